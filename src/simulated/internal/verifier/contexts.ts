// What programs of each type may read and write of their context (the is_valid_access functions of net/core/filter.c,
// kernel/trace/bpf_trace.c and kernel/bpf/cgroup.c).
import { type ProgramType, programTypes } from "../../../abi/names.ts"
import { SkBuff, XdpMd } from "../packets.ts"
import type { Kind } from "./state.ts"

/** What an access gives, or `undefined` where it is not allowed. A `scalar` has no more than the bits loaded. */
export type Access = Kind | undefined

type Rule = (offset: number, size: number, write: boolean) => Access

const between = (offset: number, size: number, from: number, length: number): boolean =>
  offset >= from && offset + size <= from + length

const aligned = (offset: number, size: number): boolean => offset % size === 0

/** A struct that may be read all over, and written where `writable` says. */
const readable =
  (length: number, writable: ReadonlyArray<readonly [offset: number, size: number]> = []): Rule =>
  (offset, size, write) => {
    if (!between(offset, size, 0, length) || !aligned(offset, size)) return undefined
    if (!write) return "anything"
    return writable.some(([from, many]) => between(offset, size, from, many)) ? "scalar" : undefined
  }

const skbWritable: { readonly [type: string]: ReadonlyArray<number> } = {
  socket_filter: [],
  cgroup_skb: [SkBuff.mark, SkBuff.priority],
  sched_cls: [SkBuff.mark, SkBuff.tcIndex, SkBuff.priority, SkBuff.tcClassid, SkBuff.queueMapping],
  sched_act: [SkBuff.mark, SkBuff.tcIndex, SkBuff.priority, SkBuff.tcClassid, SkBuff.queueMapping],
  lwt_in: [SkBuff.mark, SkBuff.priority],
  lwt_out: [SkBuff.mark, SkBuff.priority],
  lwt_xmit: [SkBuff.mark, SkBuff.priority],
  sk_skb: [SkBuff.tcIndex, SkBuff.priority]
}

const skb = (type: string): Rule => (offset, size, write) => {
  const is = (field: number, length = 4) => between(offset, size, field, length)
  if (!between(offset, size, 0, SkBuff.size) || !aligned(offset, size)) return undefined
  const isTc = type === "sched_cls" || type === "sched_act"
  if (is(SkBuff.cb, 20)) return "scalar"
  if (is(SkBuff.tstamp, 8)) {
    if (size !== 8 || (write && !isTc && type !== "cgroup_skb")) return undefined
    return type === "socket_filter" ? undefined : "scalar"
  }
  if (write) {
    if (size !== 4) return undefined
    return (skbWritable[type] ?? []).includes(offset) ? "scalar" : undefined
  }
  const isEnd = is(SkBuff.data) || is(SkBuff.dataEnd) || is(SkBuff.dataMeta)
  if (isEnd) {
    if (size !== 4 || type === "socket_filter" || (is(SkBuff.dataMeta) && !isTc)) return undefined
    return is(SkBuff.data) ? "packet" : is(SkBuff.dataEnd) ? "end" : "meta"
  }
  if (is(SkBuff.sk, 8) || is(SkBuff.flowKeys, 8)) {
    return size !== 8 || is(SkBuff.flowKeys, 8) ? undefined : "anything"
  }
  const ofSockets = between(offset, size, SkBuff.family, SkBuff.localPort + 4 - SkBuff.family)
  const closed = type === "socket_filter" && (ofSockets || is(SkBuff.tcClassid) || is(SkBuff.wireLen))
  return size === 8 && offset !== SkBuff.hwtstamp ? undefined : closed ? undefined : "scalar"
}

const xdp: Rule = (offset, size, write) => {
  if (write || size !== 4 || !aligned(offset, size) || !between(offset, size, 0, XdpMd.size)) return undefined
  return offset === XdpMd.data
    ? "packet"
    : offset === XdpMd.dataEnd
    ? "end"
    : offset === XdpMd.dataMeta
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
const PT_REGS = 168

const rules: { readonly [K in ProgramType]?: Rule } = {
  ...Object.fromEntries(Object.keys(skbWritable).map((type) => [type, skb(type)])),
  xdp,
  tracepoint: record(MOST_RECORD),
  kprobe: record(PT_REGS),
  perf_event: record(PT_REGS + 16),
  raw_tracepoint: words(96),
  raw_tracepoint_writable: words(96),
  tracing: words(96),
  lsm: words(96),
  syscall: (offset, size) => between(offset, size, 0, 0xffff) ? "anything" : undefined,
  cgroup_device: record(12),
  cgroup_sysctl: readable(8, [[4, 4]]),
  cgroup_sock: readable(80, [[16, 8], [4, 4]]),
  cgroup_sock_addr: readable(72, [[4, 36], [40, 16]]),
  cgroup_sockopt: readable(40, [[24, 16]]),
  sk_lookup: readable(72)
}

const typeNames = new Map(Object.entries(programTypes).map(([name, number]) => [number, name as ProgramType]))

/** What an access to the context gives. Types without rules here allow all. */
export const contextAccess = (type: number, offset: number, size: number, write: boolean): Access => {
  const name = typeNames.get(type)
  const rule = name === undefined ? undefined : rules[name]
  return rule === undefined ? "anything" : rule(offset, size, write)
}
