// What programs of each type may read and write of their context (the is_valid_access functions of net/core/filter.c,
// kernel/trace/bpf_trace.c and kernel/bpf/cgroup.c).
import {
  __sk_buff,
  bpf_cgroup_dev_ctx,
  bpf_sk_lookup,
  bpf_sock,
  bpf_sock_addr,
  bpf_sockopt,
  bpf_sysctl,
  xdp_md
} from "../../../abi/generated/structs.ts"
import { type ProgramType, programTypes } from "../../../abi/names.ts"
import { ptRegsX64 } from "../../../abi/registers.ts"
import { SkBuff, XdpMd } from "../packets.ts"
import type { Kind } from "./state.ts"

/** What an access gives, or `undefined` where it is not allowed. A `scalar` has no more than the bits loaded. */
export type Access = Kind | undefined

type Rule = (offset: number, size: number, write: boolean) => Access

const between = (offset: number, size: number, from: number, length: number): boolean =>
  offset >= from && offset + size <= from + length

const aligned = (offset: number, size: number): boolean => offset % size === 0

/** Where a field lies. */
interface Place {
  readonly offset: number
  readonly size: number
}

const within = (offset: number, size: number, field: Place): boolean => between(offset, size, field.offset, field.size)

/** All from one field to another. */
const through = (first: Place, last: Place): Place => ({
  offset: first.offset,
  size: last.offset + last.size - first.offset
})

/** A struct that may be read all over, and written where `writable` says. */
const readable = (length: number, writable: ReadonlyArray<Place> = []): Rule => (offset, size, write) => {
  if (!between(offset, size, 0, length) || !aligned(offset, size)) return undefined
  // Pointers are of 8 bytes.
  if (!write) return size === 8 ? "anything" : "scalar"
  return writable.some((field) => within(offset, size, field)) ? "scalar" : undefined
}

const skbWritable: { readonly [type: string]: ReadonlyArray<Place> } = {
  socket_filter: [],
  cgroup_skb: [SkBuff.mark, SkBuff.priority],
  sched_cls: [SkBuff.mark, SkBuff.tc_index, SkBuff.priority, SkBuff.tc_classid, SkBuff.queue_mapping],
  sched_act: [SkBuff.mark, SkBuff.tc_index, SkBuff.priority, SkBuff.tc_classid, SkBuff.queue_mapping],
  lwt_in: [SkBuff.mark, SkBuff.priority],
  lwt_out: [SkBuff.mark, SkBuff.priority],
  lwt_xmit: [SkBuff.mark, SkBuff.priority],
  lwt_seg6local: [SkBuff.mark, SkBuff.priority],
  sk_skb: [SkBuff.tc_index, SkBuff.priority]
}

/** The fields of sockets, which lie together. */
const ofSockets: Place = through(SkBuff.family, SkBuff.local_port)

const ofRoutes = [ofSockets, SkBuff.tc_classid, SkBuff.tstamp, SkBuff.wire_len, SkBuff.hwtstamp]

/** The fields that a type may neither read nor write, beside the packet's ends. */
const skbClosed: { readonly [type: string]: ReadonlyArray<Place> } = {
  socket_filter: ofRoutes,
  cgroup_skb: [SkBuff.tc_classid, SkBuff.wire_len],
  sched_cls: [ofSockets],
  sched_act: [ofSockets],
  lwt_in: ofRoutes,
  lwt_out: ofRoutes,
  lwt_xmit: ofRoutes,
  lwt_seg6local: ofRoutes,
  sk_skb: [SkBuff.tc_classid, SkBuff.tstamp, SkBuff.wire_len, SkBuff.hwtstamp]
}

const skb = (type: string): Rule => (offset, size, write) => {
  const is = (field: Place) => within(offset, size, field)
  if (!between(offset, size, 0, __sk_buff.size) || !aligned(offset, size)) return undefined
  const isTc = type === "sched_cls" || type === "sched_act"
  if (is(SkBuff.cb)) return "scalar"
  if (skbClosed[type]?.some(is) === true) return undefined
  if (is(SkBuff.tstamp)) return size !== 8 || (write && !isTc && type !== "cgroup_skb") ? undefined : "scalar"
  if (write) {
    if (size !== 4) return undefined
    return (skbWritable[type] ?? []).some((field) => field.offset === offset) ? "scalar" : undefined
  }
  const isEnd = is(SkBuff.data) || is(SkBuff.data_end) || is(SkBuff.data_meta)
  if (isEnd) {
    if (size !== 4 || type === "socket_filter" || (is(SkBuff.data_meta) && !isTc)) return undefined
    return is(SkBuff.data) ? "packet" : is(SkBuff.data_end) ? "end" : "meta"
  }
  if (is(SkBuff.sk) || is(SkBuff.flow_keys)) return size !== 8 || is(SkBuff.flow_keys) ? undefined : "anything"
  return size === 8 && offset !== SkBuff.hwtstamp.offset ? undefined : "scalar"
}

/** Flow dissectors see the packet and their keys. */
const flowDissector: Rule = (offset, size, write) => {
  if (write) return undefined
  if (offset === SkBuff.flow_keys.offset && size === 8) return "anything"
  if (size !== 4) return undefined
  return offset === SkBuff.data.offset ? "packet" : offset === SkBuff.data_end.offset ? "end" : undefined
}

const xdp: Rule = (offset, size, write) => {
  if (write || size !== 4 || !aligned(offset, size) || !between(offset, size, 0, xdp_md.size)) return undefined
  return offset === XdpMd.data.offset
    ? "packet"
    : offset === XdpMd.data_end.offset
    ? "end"
    : offset === XdpMd.data_meta.offset
    ? "meta"
    : "scalar"
}

/** Arguments of 8 bytes, which may be pointers to kernel types. */
const words = (length: number): Rule => (offset, size, write) =>
  write || !between(offset, size, 0, length) || !aligned(offset, size) ? undefined : "anything"

/** A record that any bytes may be read of. */
const record = (length: number): Rule => (offset, size, write) =>
  write || !between(offset, size, 0, length) || !aligned(offset, size) ? undefined : "scalar"

/** PERF_MAX_TRACE_SIZE */
const MOST_RECORD = 8192
/** sizeof(struct pt_regs) on x86-64 */
const PT_REGS = ptRegsX64.length * 8

const sock = bpf_sock.fields
const address = bpf_sock_addr.fields
const option = bpf_sockopt.fields

const rules: { readonly [K in ProgramType]?: Rule } = {
  ...Object.fromEntries(Object.keys(skbWritable).map((type) => [type, skb(type)])),
  xdp,
  flow_dissector: flowDissector,
  tracepoint: record(MOST_RECORD),
  kprobe: record(PT_REGS),
  perf_event: record(PT_REGS + 16),
  raw_tracepoint: words(96),
  raw_tracepoint_writable: words(96),
  tracing: words(96),
  lsm: words(96),
  syscall: (offset, size) => between(offset, size, 0, 0xffff) ? "anything" : undefined,
  cgroup_device: record(bpf_cgroup_dev_ctx.size),
  cgroup_sysctl: readable(bpf_sysctl.size, [bpf_sysctl.fields.file_pos]),
  cgroup_sock: readable(bpf_sock.size, [sock.bound_dev_if, sock.mark, sock.priority]),
  cgroup_sock_addr: readable(bpf_sock_addr.size, [
    address.user_ip4,
    address.user_ip6,
    address.user_port,
    address.msg_src_ip4,
    address.msg_src_ip6
  ]),
  cgroup_sockopt: readable(bpf_sockopt.size, [option.level, option.optname, option.optlen, option.retval]),
  sk_lookup: readable(bpf_sk_lookup.size)
}

const typeNames = new Map(Object.entries(programTypes).map(([name, number]) => [number, name as ProgramType]))

/** What an access to the context gives. Types without rules here allow all. */
export const contextAccess = (type: number, offset: number, size: number, write: boolean): Access => {
  const name = typeNames.get(type)
  const rule = name === undefined ? undefined : rules[name]
  return rule === undefined ? "anything" : rule(offset, size, write)
}
