// BPF_PROG_TEST_RUN, with the rules of net/bpf/test_run.c for what goes in and what comes out.
import { errno } from "../../abi/errno.ts"
import { __sk_buff, bpf_attr_test, bpf_flow_keys, bpf_sk_lookup, xdp_md } from "../../abi/generated/structs.ts"
import { programTypes } from "../../abi/names.ts"
import { ProgramTrap } from "../ProgramTrap.ts"
import type { Attr } from "./attr.ts"
import type { SimulatedProgram } from "./descriptors.ts"
import { addressOf, viewOf } from "./memory.ts"
import { beginsAtLink, ETHERNET_HEADER, Packet, seesSkb, SkBuff, XDP_HEADROOM, XdpMd } from "./packets.ts"
import type { KernelState } from "./kernelState.ts"

const f = bpf_attr_test.fields
const PAGE = 4096
/** The aligned size of `struct skb_shared_info`, which stands behind a packet. */
const SHARED_INFO = 320
/** NET_SKB_PAD + NET_IP_ALIGN on x86-64. */
const SKB_HEADROOM = 64
/** MAX_BPF_FUNC_ARGS arguments of 8 bytes. */
const MOST_ARGUMENTS = 12 * 8
const CHECKSUM_COMPLETE = 1 << 2
const RUN_ON_CPU = 1 << 0
const LOOPBACK = 1
/** MAX_SKB_FRAGS */
const MOST_PIECES = 17

/** The program types' return values are 32-bit; the rest of r0 is lost. */
const returnValue = (r0: bigint): number => Number(r0 & 0xffffffffn)

/** The context that the caller passed, filled up with zeros; a number for an error; `undefined` for none. */
const contextIn = (state: KernelState, attr: Attr, size: number): Uint8Array | number | undefined => {
  const address = attr.address(f.ctx_in)
  if (address === 0n) return attr.address(f.ctx_out) === 0n ? undefined : new Uint8Array(size)
  const given = state.memory.read(address, attr.u32(f.ctx_size_in))
  if (given.subarray(size).some((byte) => byte !== 0)) return -errno.E2BIG
  const context = new Uint8Array(size)
  context.set(given.subarray(0, size))
  return context
}

const contextOut = (state: KernelState, attr: Attr, context: Uint8Array | undefined): number => {
  const out = attr.address(f.ctx_out)
  if (context === undefined || out === 0n) return 0
  const room = attr.u32(f.ctx_size_out)
  state.memory.write(out, context.subarray(0, room))
  attr.set(f.ctx_size_out, context.length)
  return context.length > room ? -errno.ENOSPC : 0
}

const dataOut = (state: KernelState, attr: Attr, data: Uint8Array, retval: number): number => {
  const room = attr.u32(f.data_size_out)
  const out = attr.address(f.data_out)
  const isCut = room !== 0 && data.length > room
  if (out !== 0n) state.memory.write(out, isCut ? data.subarray(0, room) : data)
  attr.set(f.data_size_out, data.length)
  attr.set(f.retval, retval)
  return isCut ? -errno.ENOSPC : 0
}

const runRepeatedly = (state: KernelState, program: SimulatedProgram, packet: Packet, attr: Attr): number => {
  const context = addressOf(packet.context)
  state.packets.set(packet.context.high, packet)
  try {
    let r0 = 0n
    for (let i = Math.max(1, attr.u32(f.repeat)); i > 0; i--) r0 = state.processor.run(program, context)
    return returnValue(r0)
  } finally {
    state.packets.delete(packet.context.high)
  }
}

/** The fields of `__sk_buff` that a caller may set: all others must be zero (convert___skb_to_skb). */
const SETTABLE: ReadonlyArray<{ readonly offset: number; readonly size: number }> = [
  SkBuff.mark,
  SkBuff.priority,
  SkBuff.ingress_ifindex,
  SkBuff.ifindex,
  SkBuff.cb,
  SkBuff.tstamp,
  SkBuff.wire_len,
  SkBuff.gso_segs,
  SkBuff.gso_size,
  SkBuff.hwtstamp
]

const isSettable = (offset: number): boolean =>
  SETTABLE.some((field) => offset >= field.offset && offset < field.offset + field.size)

/** eth_type_trans(): how a packet is addressed to the loopback device, whose address is all zeros. */
const packetType = (data: Uint8Array): number => {
  const [BROADCAST, MULTICAST, OTHERHOST] = [1, 2, 3]
  if ((data[0]! & 1) !== 0) return data.subarray(0, 6).every((byte) => byte === 0xff) ? BROADCAST : MULTICAST
  return data.subarray(0, 6).some((byte) => byte !== 0) ? OTHERHOST : 0
}

/** A packet has its IP header whole, where the Ethernet type says that it has one. */
const leastFor = (data: Uint8Array): number => {
  const [IPV4, IPV6] = [0x0800, 0x86dd]
  const type = (data[12]! << 8) | data[13]!
  return ETHERNET_HEADER + (type === IPV4 ? 20 : type === IPV6 ? 40 : 0)
}

const testSkb = (state: KernelState, program: SimulatedProgram, attr: Attr): number => {
  const length = attr.u32(f.data_size_in)
  if ((attr.u32(f.flags) & ~CHECKSUM_COMPLETE) !== 0 || attr.u32(f.cpu) !== 0 || attr.u32(f.batch_size) !== 0) {
    return -errno.EINVAL
  }
  if (length < ETHERNET_HEADER || length > PAGE - SKB_HEADROOM - SHARED_INFO) return -errno.EINVAL
  const data = state.memory.read(attr.address(f.data_in), length)
  if (length < leastFor(data)) return -errno.EINVAL
  const context = contextIn(state, attr, __sk_buff.size)
  if (typeof context === "number") return context
  if (context?.some((byte, offset) => byte !== 0 && !isSettable(offset)) === true) return -errno.EINVAL
  const atLink = beginsAtLink(program.type)
  const packet = new Packet(state.memory, program.type, atLink ? data : data.slice(ETHERNET_HEADER))
  const view = viewOf(packet.context.bytes)
  try {
    if (context !== undefined) {
      for (const { offset, size } of SETTABLE) packet.context.bytes.set(context.subarray(offset, offset + size), offset)
    }
    const wireLength = view.getUint32(SkBuff.wire_len.offset, true)
    if (wireLength === 0) view.setUint32(SkBuff.wire_len.offset, packet.data.length, true)
    else if (wireLength < packet.data.length) return -errno.EINVAL
    if (view.getUint32(SkBuff.ifindex.offset, true) > LOOPBACK) return -errno.ENODEV
    view.setUint32(SkBuff.ifindex.offset, LOOPBACK, true)
    view.setUint32(SkBuff.pkt_type.offset, packetType(data), true)
    view.setUint16(SkBuff.protocol.offset, data[12]! | (data[13]! << 8), true)
    const retval = runRepeatedly(state, program, packet, attr)
    const bytes = atLink ? packet.data : new Uint8Array([...new Uint8Array(ETHERNET_HEADER), ...packet.data])
    const error = dataOut(state, attr, bytes, retval)
    if (error < 0) return error
    if (context !== undefined) {
      for (const { offset, size } of SETTABLE) context.set(packet.context.bytes.subarray(offset, offset + size), offset)
    }
    return contextOut(state, attr, context)
  } finally {
    packet.unmap()
  }
}

/** xdp_metalen_invalid() */
const isMetaLength = (length: number): boolean => length % 4 === 0 && length < 256

const testXdp = (state: KernelState, program: SimulatedProgram, attr: Attr): number => {
  if (attr.u32(f.flags) !== 0 || attr.u32(f.batch_size) !== 0) return -errno.EINVAL
  const length = attr.u32(f.data_size_in)
  const context = contextIn(state, attr, xdp_md.size)
  if (typeof context === "number") return context
  const fields = context === undefined ? undefined : viewOf(context)
  const metaLength = fields?.getUint32(XdpMd.data.offset, true) ?? 0
  const end = fields?.getUint32(XdpMd.data_end.offset, true) ?? length
  if (fields !== undefined) {
    if (fields.getUint32(XdpMd.data_meta.offset, true) !== 0 || end > length || metaLength > end) return -errno.EINVAL
    if (!isMetaLength(metaLength) || fields.getUint32(XdpMd.egress_ifindex.offset, true) !== 0) return -errno.EINVAL
    const ingress = fields.getUint32(XdpMd.ingress_ifindex.offset, true)
    if (ingress === 0 && fields.getUint32(XdpMd.rx_queue_index.offset, true) !== 0) return -errno.EINVAL
    if (ingress > LOOPBACK) return -errno.ENODEV
  }
  if (length - metaLength < ETHERNET_HEADER) return -errno.EINVAL
  // What the first page has no room for, or `data_end` leaves, is in further pieces of a page each.
  const linear = Math.min(end, PAGE - XDP_HEADROOM + metaLength - SHARED_INFO)
  if (length - linear > MOST_PIECES * PAGE) return -errno.ENOMEM
  const data = state.memory.read(attr.address(f.data_in), length)
  const packet = new Packet(state.memory, program.type, data.slice(metaLength, linear), data.slice(0, metaLength))
  packet.pieces = data.slice(linear)
  viewOf(packet.context.bytes).setUint32(XdpMd.ingress_ifindex.offset, LOOPBACK, true)
  try {
    const retval = runRepeatedly(state, program, packet, attr)
    fields?.setUint32(XdpMd.data.offset, packet.meta.length, true)
    fields?.setUint32(XdpMd.data_end.offset, packet.all.length, true)
    const all = packet.pieces.length === 0 ? packet.all : new Uint8Array([...packet.meta, ...packet.whole])
    const error = dataOut(state, attr, all, retval)
    return error < 0 ? error : contextOut(state, attr, context)
  } finally {
    packet.unmap()
  }
}

/** Raw tracepoints and `syscall` programs: the context is all they have. */
const testContext = (state: KernelState, program: SimulatedProgram, attr: Attr): number => {
  const isSyscall = program.type === programTypes.syscall
  const unused = [f.data_size_in, f.data_size_out, f.ctx_size_out, f.duration, f.repeat, f.batch_size]
  if (unused.some((field) => attr.u32(field) !== 0)) return -errno.EINVAL
  if (attr.address(f.data_in) !== 0n || attr.address(f.data_out) !== 0n) return -errno.EINVAL
  const flags = attr.u32(f.flags)
  if ((flags & ~(isSyscall ? 0 : RUN_ON_CPU)) !== 0) return -errno.EINVAL
  if ((flags & RUN_ON_CPU) === 0 ? attr.u32(f.cpu) !== 0 : attr.u32(f.cpu) >= state.possibleCpus) {
    return (flags & RUN_ON_CPU) === 0 ? -errno.EINVAL : -errno.ENXIO
  }
  const size = attr.u32(f.ctx_size_in)
  if (size < program.contextSize || size > (isSyscall ? 0xffff : MOST_ARGUMENTS)) return -errno.EINVAL
  const given = size === 0 ? new Uint8Array(0) : state.memory.read(attr.address(f.ctx_in), size)
  const context = state.memory.map(given, { writable: isSyscall })
  try {
    attr.set(f.retval, returnValue(state.processor.run(program, addressOf(context))))
    if (isSyscall && size > 0) state.memory.write(attr.address(f.ctx_in), given)
    return 0
  } finally {
    state.memory.unmap(context)
  }
}

const FlowKeys = bpf_flow_keys.fields

/** Flow dissectors: they see a packet, and fill in what their context's `flow_keys` points to. */
const testFlowDissector = (state: KernelState, program: SimulatedProgram, attr: Attr): number => {
  const length = attr.u32(f.data_size_in)
  if (attr.u32(f.flags) !== 0 || attr.u32(f.cpu) !== 0 || attr.u32(f.batch_size) !== 0) return -errno.EINVAL
  if (length < ETHERNET_HEADER || length > PAGE) return -errno.EINVAL
  const data = state.memory.read(attr.address(f.data_in), length)
  const context = contextIn(state, attr, bpf_flow_keys.size)
  if (typeof context === "number") return context
  const isFlags = (offset: number) => offset >= FlowKeys.flags.offset && offset < FlowKeys.flags.offset + 4
  if (context?.some((byte, offset) => byte !== 0 && !isFlags(offset)) === true) return -errno.EINVAL
  const packet = new Packet(state.memory, program.type, data)
  const keys = state.memory.map(new Uint8Array(bpf_flow_keys.size))
  try {
    const view = viewOf(keys.bytes)
    if (context !== undefined) keys.bytes.set(context)
    view.setUint16(FlowKeys.nhoff.offset, ETHERNET_HEADER, true)
    view.setUint16(FlowKeys.thoff.offset, ETHERNET_HEADER, true)
    view.setUint16(FlowKeys.n_proto.offset, (data[12]! << 8) | data[13]!, false)
    packet.pointTo(SkBuff.flow_keys.offset, keys)
    const retval = runRepeatedly(state, program, packet, attr)
    const clamp = (value: number, least: number, most: number) => Math.max(least, Math.min(value, most))
    view.setUint16(
      FlowKeys.nhoff.offset,
      clamp(view.getUint16(FlowKeys.nhoff.offset, true), ETHERNET_HEADER, length),
      true
    )
    const nhoff = view.getUint16(FlowKeys.nhoff.offset, true)
    view.setUint16(FlowKeys.thoff.offset, clamp(view.getUint16(FlowKeys.thoff.offset, true), nhoff, length), true)
    const error = dataOut(state, attr, keys.bytes, retval)
    return error < 0 ? error : contextOut(state, attr, context)
  } finally {
    state.memory.unmap(keys)
    packet.unmap()
  }
}

const SkLookup = bpf_sk_lookup.fields
const [AF_INET, AF_INET6] = [2, 10]

/** `sk_lookup` programs: the context is all they have. No socket is found here, so its cookie is 0. */
const testSkLookup = (state: KernelState, program: SimulatedProgram, attr: Attr): number => {
  const unused = [f.flags, f.cpu, f.data_size_in, f.data_size_out, f.batch_size]
  if (unused.some((field) => attr.u32(field) !== 0)) return -errno.EINVAL
  if (attr.address(f.data_in) !== 0n || attr.address(f.data_out) !== 0n) return -errno.EINVAL
  const context = contextIn(state, attr, bpf_sk_lookup.size)
  if (typeof context === "number") return context
  if (context === undefined) return -errno.EINVAL
  const view = viewOf(context)
  if (view.getBigUint64(SkLookup.cookie.offset, true) !== 0n) return -errno.EINVAL
  if (view.getUint32(SkLookup.local_port.offset, true) > 0xffff) return -errno.ERANGE
  const family = view.getUint32(SkLookup.family.offset, true)
  if (family !== AF_INET && family !== AF_INET6) return -errno.EAFNOSUPPORT
  const region = state.memory.map(context.slice(), { writable: false })
  try {
    let r0 = 0n
    for (let i = Math.max(1, attr.u32(f.repeat)); i > 0; i--) r0 = state.processor.run(program, addressOf(region))
    attr.set(f.retval, returnValue(r0))
    attr.set(f.data_size_out, 0)
    return contextOut(state, attr, context)
  } finally {
    state.memory.unmap(region)
  }
}

/** BPF_PROG_TEST_RUN */
export const testRun = (state: KernelState, attr: Attr): number => {
  const program = state.descriptors.get(attr.u32(f.prog_fd), "Program")
  const pairs = [[f.ctx_size_in, f.ctx_in], [f.ctx_size_out, f.ctx_out]] as const
  if (pairs.some(([size, address]) => (attr.u32(size) === 0) !== (attr.address(address) === 0n))) return -errno.EINVAL
  if (program === undefined) return -errno.EBADF
  try {
    if (program.type === programTypes.xdp) return testXdp(state, program, attr)
    if (program.type === programTypes.flow_dissector) return testFlowDissector(state, program, attr)
    if (program.type === programTypes.sk_lookup) return testSkLookup(state, program, attr)
    if (seesSkb(program.type) && program.type !== programTypes.sk_skb) return testSkb(state, program, attr)
    if (program.type === programTypes.raw_tracepoint || program.type === programTypes.syscall) {
      return testContext(state, program, attr)
    }
    return -errno.ENOTSUPP
  } catch (error) {
    if (!(error instanceof ProgramTrap)) throw error
    state.trapped(error)
    return -errno.EFAULT
  }
}
