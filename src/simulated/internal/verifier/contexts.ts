// What programs of each type may read and write of their context (the is_valid_access functions of net/core/filter.c,
// kernel/trace/bpf_trace.c and kernel/bpf/cgroup.c).
import { bpf_attach_type as a } from "../../../abi/generated/enums.ts"
import {
  bpf_cgroup_dev_ctx,
  bpf_sk_lookup,
  bpf_sock,
  bpf_sock_addr,
  bpf_sockopt,
  bpf_sysctl
} from "../../../abi/generated/structs.ts"
import { type ProgramType, programTypes } from "../../../abi/names.ts"
import { ptRegsX64 } from "../../../abi/registers.ts"
import { SkBuff, XdpMd } from "../packets.ts"
import type { Kind } from "./state.ts"

/** What an access gives, or `undefined` where it is not allowed. A `scalar` has no more than the bits loaded. */
export type Access = Kind | undefined

/** What is asked for: `attachType` is the program's. */
interface Asked {
  readonly offset: number
  readonly size: number
  readonly write: boolean
  readonly attachType: number
}
type Rule = (asked: Asked) => Access

/** Where a field lies. */
interface Place {
  readonly offset: number
  readonly size: number
}

const within = (offset: number, size: number, field: Place): boolean =>
  offset >= field.offset && offset + size <= field.offset + field.size

const aligned = ({ offset, size }: Asked): boolean => offset % size === 0

/** All from one field to another. */
const through = (first: Place, last: Place): Place => ({
  offset: first.offset,
  size: last.offset + last.size - first.offset
})

/**
 * How a field may be read: `narrow` in parts of its numbers of `unit` bytes (bpf_ctx_narrow_access_ok), `start` in parts
 * at its beginning, `whole` in whole numbers, `wide` narrow or in 8 bytes (bpf_ctx_wide_access_ok).
 */
type Reads = "narrow" | "start" | "whole" | "wide" | "never"

interface Field {
  readonly place: Place
  readonly unit: number
  readonly reads: Reads
  /** What a read gives. */
  readonly gives: Kind
  /** The attach types that have the field; all where it is not given. */
  readonly only?: ReadonlySet<number> | undefined
  /** True for what may be written, in whole numbers; or for which attach types. */
  readonly writes: boolean | ReadonlySet<number>
}

const field = (
  place: Place,
  reads: Reads,
  { gives = "scalar", only, unit = 4, writes = false }: Partial<Pick<Field, "gives" | "only" | "unit" | "writes">> = {}
): Field => ({ place, unit, reads, gives, only, writes })

const readsAt = ({ place, reads, unit }: Field, { offset, size }: Asked): boolean => {
  switch (reads) {
    case "narrow":
      return size <= unit
    case "start":
      return size <= unit && (offset === place.offset || size === unit)
    case "whole":
      return size === unit
    case "wide":
      return size <= unit || (size === 8 && within(offset, size, place))
    case "never":
      return false
  }
}

const writesAt = ({ place, reads, unit, writes }: Field, { attachType, offset, size }: Asked): boolean => {
  if (writes === false || (writes !== true && !writes.has(attachType))) return false
  return size === unit || (reads === "wide" && size === 8 && within(offset, size, place))
}

/** A struct of which only these fields are there. */
const fieldsOf = (fields: ReadonlyArray<Field>): Rule => (asked) => {
  if (!aligned(asked)) return undefined
  const found = fields.find(({ place }) => asked.offset >= place.offset && asked.offset < place.offset + place.size)
  if (found === undefined || (found.only !== undefined && !found.only.has(asked.attachType))) return undefined
  if (asked.write) return writesAt(found, asked) ? "scalar" : undefined
  return readsAt(found, asked) ? found.gives : undefined
}

// ---------------------------------------------------------------- packets

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
const packetEnds = [SkBuff.data, SkBuff.data_end, SkBuff.data_meta]
const lwtClosed = [SkBuff.tc_classid, ofSockets, SkBuff.data_meta, SkBuff.tstamp, SkBuff.wire_len, SkBuff.hwtstamp]

/** What programs of a type may not touch at all. */
const skbClosed: { readonly [type: string]: ReadonlyArray<Place> } = {
  socket_filter: [...packetEnds, SkBuff.tc_classid, ofSockets, SkBuff.tstamp, SkBuff.wire_len, SkBuff.hwtstamp],
  cgroup_skb: [SkBuff.tc_classid, SkBuff.data_meta, SkBuff.wire_len],
  sched_cls: [ofSockets],
  sched_act: [ofSockets],
  lwt_in: lwtClosed,
  lwt_out: lwtClosed,
  lwt_xmit: lwtClosed,
  lwt_seg6local: lwtClosed,
  sk_skb: [
    SkBuff.tc_classid,
    SkBuff.data_meta,
    SkBuff.tstamp,
    SkBuff.wire_len,
    SkBuff.hwtstamp,
    SkBuff.mark
  ]
}

/** Types that may write when a packet is to be sent, and into the control block. */
const writesTime: ReadonlySet<string> = new Set(["sched_cls", "sched_act", "cgroup_skb"])
const writesControlBlock = (type: string): boolean => type !== "sk_skb"

const skb = (type: string): Rule => {
  const isTc = type === "sched_cls" || type === "sched_act"
  const special = [
    field(SkBuff.data, "whole", { gives: "packet" }),
    field(SkBuff.data_end, "whole", { gives: "end" }),
    field(SkBuff.data_meta, "whole", { gives: "meta" }),
    field(through(SkBuff.remote_ip4, SkBuff.local_ip6), "whole"),
    field(SkBuff.flow_keys, "never", { unit: 8 }),
    field(SkBuff.sk, "whole", { unit: 8, gives: "anything" }),
    field(SkBuff.tstamp, "whole", { unit: 8, writes: writesTime.has(type) }),
    field(SkBuff.hwtstamp, "whole", { unit: 8 }),
    field(SkBuff.tstamp_type, isTc ? "whole" : "never", { unit: 1 })
  ]
  const isSpecial = ({ offset }: Place): boolean => special.some(({ place }) => within(offset, 1, place))
  const fields = [
    ...special,
    ...Object.values(SkBuff).filter((place) => !isSpecial(place)).map((place) =>
      field(place, "narrow", { writes: (skbWritable[type] ?? []).includes(place) })
    )
  ].filter(({ place }) => !(skbClosed[type] ?? []).some((closed) => within(place.offset, 1, closed)))
  const rule = fieldsOf(fields)
  return (asked) => {
    if (!within(asked.offset, 1, SkBuff.cb)) return rule(asked)
    if (!aligned(asked) || !within(asked.offset, asked.size, SkBuff.cb)) return undefined
    return asked.write && !writesControlBlock(type) ? undefined : "scalar"
  }
}

const whole = (place: Place, gives: Kind = "scalar"): Field => field(place, "whole", { gives })

const xdp: Rule = fieldsOf([
  whole(XdpMd.data, "packet"),
  whole(XdpMd.data_end, "end"),
  whole(XdpMd.data_meta, "meta"),
  whole(XdpMd.ingress_ifindex),
  whole(XdpMd.rx_queue_index),
  field(XdpMd.egress_ifindex, "whole", { only: new Set([a.BPF_XDP_DEVMAP]) })
])

/** Flow dissectors see the packet and their keys. */
const flowDissector: Rule = fieldsOf([
  whole(SkBuff.data, "packet"),
  whole(SkBuff.data_end, "end"),
  field(SkBuff.flow_keys, "whole", { unit: 8, gives: "anything" })
])

// ---------------------------------------------------------------- tracing

/** Arguments of 8 bytes, which may be pointers to kernel types. */
const words = (length: number): Rule => (asked) =>
  asked.write || !within(asked.offset, asked.size, { offset: 0, size: length }) || !aligned(asked)
    ? undefined
    : "anything"

/** A record that any bytes may be read of, from its beginning or from some place on. */
const record = (length: number, from = 0): Rule => (asked) =>
  asked.write || !within(asked.offset, asked.size, { offset: from, size: length - from }) || !aligned(asked)
    ? undefined
    : "scalar"

/** MAX_BPF_FUNC_ARGS, 8 bytes each */
const ARGUMENTS = 12 * 8
/** PERF_MAX_TRACE_SIZE */
const MOST_RECORD = 8192
/** A record begins with what is not for programs: as much as a pointer. */
const RECORD_HEAD = 8
/** sizeof(struct pt_regs) on x86-64 */
const PT_REGS = ptRegsX64.length * 8

/** Before the record's beginning too: the kernel compares the offset with a size, as an unsigned number. */
const tracepoint: Rule = (asked) => {
  const read = { ...asked, offset: asked.offset < 0 ? RECORD_HEAD : asked.offset }
  return asked.offset % asked.size !== 0 ? undefined : record(MOST_RECORD, RECORD_HEAD)(read)
}

const writableTracepoint: Rule = (asked) => {
  if (asked.offset !== 0) return record(ARGUMENTS)(asked)
  return asked.size === 8 && !asked.write ? "anything" : undefined
}

const perfEvent: Rule = fieldsOf([
  field({ offset: 0, size: PT_REGS }, "whole", { unit: 8 }),
  field({ offset: PT_REGS, size: 16 }, "narrow", { unit: 8 })
])

// ---------------------------------------------------------------- control groups and sockets

const only = (...types: ReadonlyArray<number>): ReadonlySet<number> => new Set(types)

const device = bpf_cgroup_dev_ctx.fields
const sysctl = bpf_sysctl.fields
const sock = bpf_sock.fields
const address = bpf_sock_addr.fields
const option = bpf_sockopt.fields
const found = bpf_sk_lookup.fields

const whileMade = only(a.BPF_CGROUP_INET_SOCK_CREATE, a.BPF_CGROUP_INET_SOCK_RELEASE)
const afterBind4 = only(a.BPF_CGROUP_INET4_POST_BIND)
const afterBind6 = only(a.BPF_CGROUP_INET6_POST_BIND)
const afterBind = only(a.BPF_CGROUP_INET4_POST_BIND, a.BPF_CGROUP_INET6_POST_BIND)

const portOfSocket: Rule = ({ offset, size }) =>
  size <= 2 || (size === 4 && offset === sock.dst_port.offset) ? "scalar" : undefined

const socketFields = fieldsOf([
  field(sock.bound_dev_if, "whole", { only: whileMade, writes: true }),
  field(sock.mark, "whole", { only: whileMade, writes: true }),
  field(sock.priority, "whole", { only: whileMade, writes: true }),
  ...[sock.family, sock.type, sock.protocol, sock.state, sock.rx_queue_mapping].map((place) => field(place, "start")),
  field(sock.src_ip4, "narrow", { only: afterBind4 }),
  field(sock.src_ip6, "narrow", { only: afterBind6 }),
  field(sock.src_port, "start", { only: afterBind }),
  field(sock.dst_ip4, "narrow"),
  field(sock.dst_ip6, "narrow")
])

const socket: Rule = (asked) =>
  within(asked.offset, 1, sock.dst_port)
    ? (asked.write || !aligned(asked) ? undefined : portOfSocket(asked))
    : socketFields(asked)

const of4 = only(
  a.BPF_CGROUP_INET4_BIND,
  a.BPF_CGROUP_INET4_CONNECT,
  a.BPF_CGROUP_INET4_GETPEERNAME,
  a.BPF_CGROUP_INET4_GETSOCKNAME,
  a.BPF_CGROUP_UDP4_SENDMSG,
  a.BPF_CGROUP_UDP4_RECVMSG
)
const of6 = only(
  a.BPF_CGROUP_INET6_BIND,
  a.BPF_CGROUP_INET6_CONNECT,
  a.BPF_CGROUP_INET6_GETPEERNAME,
  a.BPF_CGROUP_INET6_GETSOCKNAME,
  a.BPF_CGROUP_UDP6_SENDMSG,
  a.BPF_CGROUP_UDP6_RECVMSG
)

const socketAddress = fieldsOf([
  field(address.user_ip4, "narrow", { only: of4, writes: true }),
  field(address.user_ip6, "wide", { only: of6, writes: true }),
  field(address.msg_src_ip4, "narrow", { only: only(a.BPF_CGROUP_UDP4_SENDMSG), writes: true }),
  field(address.msg_src_ip6, "wide", { only: only(a.BPF_CGROUP_UDP6_SENDMSG), writes: true }),
  field(address.user_port, "narrow", { writes: true }),
  field(address.sk, "whole", { unit: 8, gives: "anything" }),
  ...[address.user_family, address.family, address.type, address.protocol].map((place) => whole(place))
])

const sets = only(a.BPF_CGROUP_SETSOCKOPT)
const gets = only(a.BPF_CGROUP_GETSOCKOPT)

const socketOption = fieldsOf([
  field(option.sk, "whole", { unit: 8, gives: "anything" }),
  field(option.optval, "whole", { unit: 8, gives: "packet" }),
  field(option.optval_end, "whole", { unit: 8, gives: "end" }),
  field(option.level, "whole", { writes: sets }),
  field(option.optname, "whole", { writes: sets }),
  field(option.optlen, "whole", { writes: true }),
  field(option.retval, "whole", { only: gets, writes: true })
])

/** The port has 2 bytes and padding behind it, which older programs read as one number. */
const lookupFields = fieldsOf([
  field(found.sk, "whole", { unit: 8, gives: "anything" }),
  ...[
    found.family,
    found.protocol,
    found.remote_ip4,
    found.remote_ip6,
    found.local_ip4,
    found.local_ip6,
    found.local_port,
    found.ingress_ifindex
  ].map((place) => field(place, "narrow")),
  field({ offset: found.remote_port.offset + 2, size: 2 }, "narrow", { unit: 2 })
])

const lookup: Rule = (asked) => {
  if (!within(asked.offset, 1, { offset: found.remote_port.offset, size: 2 })) return lookupFields(asked)
  return asked.write || !aligned(asked) || asked.size > 4 ? undefined : "scalar"
}

const rules: { readonly [K in ProgramType]?: Rule } = {
  ...Object.fromEntries(Object.keys(skbWritable).map((type) => [type, skb(type)])),
  xdp,
  flow_dissector: flowDissector,
  tracepoint,
  kprobe: record(PT_REGS),
  perf_event: perfEvent,
  raw_tracepoint: record(ARGUMENTS),
  raw_tracepoint_writable: writableTracepoint,
  tracing: words(ARGUMENTS),
  lsm: words(ARGUMENTS),
  syscall: ({ offset, size }) => within(offset, size, { offset: 0, size: 0xffff }) ? "anything" : undefined,
  cgroup_device: fieldsOf([field(device.access_type, "narrow"), whole(device.major), whole(device.minor)]),
  cgroup_sysctl: fieldsOf([field(sysctl.write, "narrow"), field(sysctl.file_pos, "narrow", { writes: true })]),
  cgroup_sock: socket,
  cgroup_sock_addr: socketAddress,
  cgroup_sockopt: socketOption,
  sk_lookup: lookup
}

const typeNames = new Map(Object.entries(programTypes).map(([name, number]) => [number, name as ProgramType]))

/** What an access to the context gives. Types without rules here allow all. */
export const contextAccess = (
  { attachType, type }: { readonly type: number; readonly attachType: number },
  offset: number,
  size: number,
  write: boolean
): Access => {
  const name = typeNames.get(type)
  const rule = name === undefined ? undefined : rules[name]
  return rule === undefined ? "anything" : rule({ offset, size, write, attachType })
}
