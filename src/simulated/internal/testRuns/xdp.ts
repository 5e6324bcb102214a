// Test runs of XDP programs (bpf_prog_test_run_xdp), and of live frames.
import { errno } from "../../../abi/errno.ts"
import { bpf_attach_type } from "../../../abi/generated/enums.ts"
import { xdp_md } from "../../../abi/generated/structs.ts"
import type { Attr } from "../attr.ts"
import type { SimulatedProgram } from "../descriptors.ts"
import type { KernelState } from "../kernelState.ts"
import { addressOf, viewOf } from "../memory.ts"
import { ETHERNET_HEADER, Packet, XDP_HEADROOM, XdpMd } from "../packets.ts"
import { readUser } from "../userMemory.ts"
import { contextIn, contextOut, dataOut, f, LOOPBACK, PAGE, runRepeatedly, SHARED_INFO } from "./buffers.ts"

const LIVE_FRAMES = 1 << 1
/** TEST_XDP_MAX_BATCH */
const MOST_IN_BATCH = 256
/** sizeof(struct xdp_page_head), which live frames begin with. */
const PAGE_HEAD = 112
/** MAX_SKB_FRAGS */
const MOST_PIECES = 17

/** xdp_metalen_invalid() */
const isMetaLength = (length: number): boolean => length % 4 === 0 && length < 256

/** What is wrong with a context, or 0. */
const checkContext = (fields: DataView, size: number): number => {
  const word = ({ offset }: { readonly offset: number }) => fields.getUint32(offset, true)
  if (word(XdpMd.data_meta) !== 0 || word(XdpMd.data_end) > size) return -errno.EINVAL
  return word(XdpMd.data) > word(XdpMd.data_end) || !isMetaLength(word(XdpMd.data)) ? -errno.EINVAL : 0
}

/** xdp_convert_md_to_buff(): the device and its queue, or `-errno`. A simulated device has one queue. */
const checkDevice = (state: KernelState, fields: DataView): number => {
  const word = ({ offset }: { readonly offset: number }) => fields.getUint32(offset, true)
  if (word(XdpMd.egress_ifindex) !== 0) return -errno.EINVAL
  const ingress = word(XdpMd.ingress_ifindex)
  if (ingress === 0) return word(XdpMd.rx_queue_index) === 0 ? LOOPBACK : -errno.EINVAL
  if (!state.hasDevice(ingress)) return -errno.ENODEV
  return word(XdpMd.rx_queue_index) > 0 ? -errno.EINVAL : ingress
}

export const testXdp = (state: KernelState, program: SimulatedProgram, attr: Attr): number => {
  const { BPF_XDP_CPUMAP, BPF_XDP_DEVMAP } = bpf_attach_type
  if (program.attachType === BPF_XDP_DEVMAP || program.attachType === BPF_XDP_CPUMAP) return -errno.EINVAL
  const flags = attr.u32(f.flags)
  if ((flags & ~LIVE_FRAMES) !== 0) return -errno.EINVAL
  const isLive = flags !== 0
  const batch = attr.u32(f.batch_size)
  if (isLive ? batch > MOST_IN_BATCH : batch !== 0) return isLive ? -errno.E2BIG : -errno.EINVAL
  const length = attr.u32(f.data_size_in)
  const context = contextIn(state, attr, xdp_md.size)
  if (typeof context === "number") return context
  const fields = context === undefined ? undefined : viewOf(context)
  if (fields !== undefined) {
    const wrong = checkContext(fields, length)
    if (wrong < 0) return wrong
    if (isLive && (attr.address(f.data_out) !== 0n || attr.address(f.ctx_out) !== 0n)) return -errno.EINVAL
  }
  const metaLength = fields?.getUint32(XdpMd.data.offset, true) ?? 0
  const end = fields?.getUint32(XdpMd.data_end.offset, true) ?? length
  // What the first page has no room for, or `data_end` leaves, is in further pieces of a page each.
  const room = PAGE - XDP_HEADROOM - (isLive ? PAGE_HEAD : 0) + metaLength - SHARED_INFO
  const linear = Math.min(end, room)
  if (isLive && linear < length) return -errno.EINVAL
  if (linear < metaLength + ETHERNET_HEADER && length - metaLength < ETHERNET_HEADER) return -errno.EINVAL
  const start = readUser(state.memory, attr.address(f.data_in), linear)
  const device = fields === undefined ? LOOPBACK : checkDevice(state, fields)
  if (device < 0) return device
  if (length - linear > MOST_PIECES * PAGE) return -errno.ENOMEM
  const pieces = readUser(state.memory, attr.address(f.data_in) + BigInt(linear), length - linear)
  const make = () => {
    const packet = new Packet(state.memory, program.type, start.slice(metaLength), start.slice(0, metaLength))
    packet.pieces = pieces.slice()
    viewOf(packet.context.bytes).setUint32(XdpMd.ingress_ifindex.offset, device, true)
    return packet
  }
  const packet = make()
  try {
    const retval = isLive ? runLive(state, program, make, attr) : runRepeatedly(state, program, packet, attr)
    fields?.setUint32(XdpMd.data.offset, packet.meta.length, true)
    fields?.setUint32(XdpMd.data_end.offset, packet.all.length, true)
    const error = dataOut(state, attr, packet.all, retval, packet.pieces)
    return error < 0 ? error : contextOut(state, attr, context)
  } finally {
    packet.unmap()
  }
}

/** Each run has a frame of its own, and what becomes of it is not told. */
const runLive = (state: KernelState, program: SimulatedProgram, make: () => Packet, attr: Attr): number => {
  for (let i = Math.max(1, attr.u32(f.repeat)); i > 0; i--) {
    const packet = make()
    state.packets.set(packet.context.high, packet)
    try {
      state.processor.run(program, addressOf(packet.context))
    } finally {
      state.packets.delete(packet.context.high)
      packet.unmap()
    }
  }
  return 0
}
