// Test runs of programs that see an skb (bpf_prog_test_run_skb).
import { errno } from "../../../abi/errno.ts"
import { __sk_buff } from "../../../abi/generated/structs.ts"
import type { Attr } from "../attr.ts"
import type { SimulatedProgram } from "../descriptors.ts"
import type { KernelState } from "../kernelState.ts"
import { viewOf } from "../memory.ts"
import { beginsAtLink, ETHERNET_HEADER, Packet, SkBuff } from "../packets.ts"
import {
  contextIn,
  contextOut,
  dataIn,
  dataOut,
  f,
  LOOPBACK,
  PAGE,
  runRepeatedly,
  SHARED_INFO,
  SKB_HEADROOM
} from "./buffers.ts"

const CHECKSUM_COMPLETE = 1 << 2
/** GSO_LEGACY_MAX_SIZE */
const MOST_WIRE_LENGTH = 65_536
/** GSO_MAX_SEGS */
const MOST_SEGMENTS = 65_535

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

/** Those that come back. The size of segments stays what was given, and is 0 to the program's bits above. */
const RETURNED = SETTABLE.filter((field) => field !== SkBuff.gso_size)

const isSettable = (offset: number): boolean =>
  SETTABLE.some((field) => offset >= field.offset && offset < field.offset + field.size)

/**
 * eth_type_trans(): how a packet is addressed to a device. The loopback device's address is all zeros, and so is that of
 * its broadcasts.
 */
const packetType = (data: Uint8Array, isLoopback: boolean): number => {
  const [BROADCAST, MULTICAST, OTHERHOST] = [1, 2, 3]
  const isBroadcast = !isLoopback && data.subarray(0, 6).every((byte) => byte === 0xff)
  if ((data[0]! & 1) !== 0) return isBroadcast ? BROADCAST : MULTICAST
  return data.subarray(0, 6).some((byte) => byte !== 0) ? OTHERHOST : 0
}

/** A packet has its IP header whole, where the Ethernet type says that it has one. */
const leastFor = (data: Uint8Array): number => {
  const [IPV4, IPV6] = [0x0800, 0x86dd]
  const type = (data[12]! << 8) | data[13]!
  return ETHERNET_HEADER + (type === IPV4 ? 20 : type === IPV6 ? 40 : 0)
}

export const testSkb = (state: KernelState, program: SimulatedProgram, attr: Attr): number => {
  if ((attr.u32(f.flags) & ~CHECKSUM_COMPLETE) !== 0 || attr.u32(f.cpu) !== 0 || attr.u32(f.batch_size) !== 0) {
    return -errno.EINVAL
  }
  const data = dataIn(state, attr, ETHERNET_HEADER, PAGE - SKB_HEADROOM - SHARED_INFO)
  if (typeof data === "number") return data
  const context = contextIn(state, attr, __sk_buff.size)
  if (typeof context === "number") return context
  const given = viewOf(context ?? new Uint8Array(__sk_buff.size))
  const word = ({ offset }: { readonly offset: number }) => given.getUint32(offset, true)
  const ifindex = word(SkBuff.ifindex)
  if (ifindex > LOOPBACK && !state.hasDevice(ifindex)) return -errno.ENODEV
  if (data.length < leastFor(data)) return -errno.EINVAL
  if (context?.some((byte, offset) => byte !== 0 && !isSettable(offset)) === true) return -errno.EINVAL
  const atLink = beginsAtLink(program.type)
  const length = data.length - (atLink ? 0 : ETHERNET_HEADER)
  const wireLength = word(SkBuff.wire_len)
  if (wireLength !== 0 && (wireLength < length || wireLength > MOST_WIRE_LENGTH)) return -errno.EINVAL
  if (word(SkBuff.gso_segs) > MOST_SEGMENTS) return -errno.EINVAL
  const packet = new Packet(state.memory, program.type, atLink ? data : data.slice(ETHERNET_HEADER))
  if (!atLink) packet.link = data.slice(0, ETHERNET_HEADER)
  const view = viewOf(packet.context.bytes)
  try {
    if (context !== undefined) {
      for (const { offset, size } of SETTABLE) packet.context.bytes.set(context.subarray(offset, offset + size), offset)
      // The kernel's own field has 16 bits.
      view.setUint32(SkBuff.gso_size.offset, word(SkBuff.gso_size) & 0xffff, true)
      if (wireLength === 0) view.setUint32(SkBuff.wire_len.offset, length, true)
    }
    view.setUint32(SkBuff.ifindex.offset, Math.max(LOOPBACK, ifindex), true)
    view.setUint32(SkBuff.pkt_type.offset, packetType(data, ifindex <= LOOPBACK), true)
    view.setUint16(SkBuff.protocol.offset, protocolOf(data), true)
    const retval = runRepeatedly(state, program, packet, attr)
    const bytes = atLink ? packet.data : new Uint8Array([...new Uint8Array(ETHERNET_HEADER), ...packet.data])
    if (context !== undefined) {
      for (const { offset, size } of RETURNED) context.set(packet.context.bytes.subarray(offset, offset + size), offset)
    }
    const error = dataOut(state, attr, bytes, retval)
    return error < 0 ? error : contextOut(state, attr, context)
  } finally {
    packet.unmap()
  }
}

/** eth_type_trans(), as it lies in memory: what is no type is a length, of an 802.3 or 802.2 frame. */
const protocolOf = (data: Uint8Array): number => {
  const type = (data[12]! << 8) | data[13]!
  const [LEAST_TYPE, ETH_P_802_3, ETH_P_802_2] = [0x600, 0x0001, 0x0004]
  if (type >= LEAST_TYPE) return data[12]! | (data[13]! << 8)
  return (data[14] === 0xff && data[15] === 0xff ? ETH_P_802_3 : ETH_P_802_2) << 8
}
