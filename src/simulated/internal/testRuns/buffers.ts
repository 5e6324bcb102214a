// What all test runs share: the context and the data that go in and come out, and the runs themselves.
import { errno } from "../../../abi/errno.ts"
import { bpf_attr_test } from "../../../abi/generated/structs.ts"
import type { Attr } from "../attr.ts"
import type { SimulatedProgram } from "../descriptors.ts"
import type { KernelState } from "../kernelState.ts"
import { AccessFault, addressOf } from "../memory.ts"
import type { Packet } from "../packets.ts"
import { readUser, writeUser } from "../userMemory.ts"

export const f = bpf_attr_test.fields
/** What the room of a page is computed with, whatever the size of a page. */
export const PAGE = 4096
/** The aligned size of `struct skb_shared_info`, which stands behind a packet. */
export const SHARED_INFO = 320
/** NET_SKB_PAD + NET_IP_ALIGN on x86-64. */
export const SKB_HEADROOM = 64
/** The index of the loopback device. */
export const LOOPBACK = 1

/** The program types' return values are 32-bit; the rest of r0 is lost. */
export const returnValue = (r0: bigint): number => Number(r0 & 0xffffffffn)

/** The fields that most kinds refuse. */
export const asksForMore = (attr: Attr): boolean =>
  [f.flags, f.cpu, f.batch_size].some((field) => attr.u32(field) !== 0)

/** The data that the caller passed (bpf_test_init), or `-errno`. `size` of it is taken, and no more than fits. */
export const dataIn = (
  state: KernelState,
  attr: Attr,
  least: number,
  most: number,
  size = attr.u32(f.data_size_in)
): Uint8Array | number => {
  if (size < least || size > most) return -errno.EINVAL
  return readUser(state.memory, attr.address(f.data_in), size)
}

/** The context that the caller passed, filled up with zeros; a number for an error; `undefined` for none (bpf_ctx_init). */
export const contextIn = (state: KernelState, attr: Attr, size: number): Uint8Array | number | undefined => {
  const address = attr.address(f.ctx_in)
  if (address === 0n) return attr.address(f.ctx_out) === 0n ? undefined : new Uint8Array(size)
  const length = attr.u32(f.ctx_size_in)
  if (length > state.pageSize) return -errno.E2BIG
  const given = readUser(state.memory, address, length)
  if (given.subarray(size).some((byte) => byte !== 0)) return -errno.E2BIG
  const context = new Uint8Array(size)
  context.set(given.subarray(0, size))
  return context
}

/** Writes to the process. Where that fails, what was to be said before is said: the kernel keeps one error. */
const written = (state: KernelState, address: bigint, bytes: Uint8Array, error: number): number => {
  try {
    writeUser(state.memory, address, bytes)
    return 0
  } catch (fault) {
    if (!(fault instanceof AccessFault)) throw fault
    return error === 0 ? -errno.EFAULT : error
  }
}

/** bpf_ctx_finish() */
export const contextOut = (state: KernelState, attr: Attr, context: Uint8Array | undefined): number => {
  const out = attr.address(f.ctx_out)
  if (context === undefined || out === 0n) return 0
  const room = attr.u32(f.ctx_size_out)
  const error = context.length > room ? -errno.ENOSPC : 0
  const failed = written(state, out, context.subarray(0, room), error)
  if (failed < 0) return failed
  attr.answer(f.ctx_size_out, context.length)
  return error
}

/** bpf_test_finish(); `pieces` are those of a packet in several, which come behind as much of the first as then fits. */
export const dataOut = (
  state: KernelState,
  attr: Attr,
  data: Uint8Array,
  retval: number,
  pieces = new Uint8Array(0)
): number => {
  const size = data.length + pieces.length
  const room = attr.u32(f.data_size_out)
  const out = attr.address(f.data_out)
  const copied = room !== 0 && size > room ? room : size
  const error = copied < size ? -errno.ENOSPC : 0
  if (out !== 0n) {
    const first = copied - pieces.length
    if (first < 0) return -errno.ENOSPC
    const failed = written(state, out, new Uint8Array([...data.subarray(0, first), ...pieces]), error)
    if (failed < 0) return failed
  }
  attr.answer(f.data_size_out, size)
  attr.answer(f.retval, retval)
  return error
}

/** Runs a program as often as it was asked for; gives the last result. */
export const runRepeatedly = (state: KernelState, program: SimulatedProgram, packet: Packet, attr: Attr): number => {
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
