// Helpers of ring buffers, and dynptrs: pointers whose size is known only as the program runs.
import { errno } from "../../../abi/errno.ts"
import { addressOf, viewOf } from "../memory.ts"
import type { SimulatedRingBuffer } from "../ringBuffer.ts"
import { type Environment, failed, type Helpers, u32 } from "./environment.ts"

/** `struct bpf_dynptr` as it lies on the stack here: an address, a size, and the bit that forbids writing. */
const Dynptr = { size: 16, address: 0, length: 8, flags: 12 } as const
const READ_ONLY = 1
/** BPF_RB_NO_WAKEUP and BPF_RB_FORCE_WAKEUP */
const WAKEUPS = 3n
/** DYNPTR_MAX_SIZE */
const LARGEST = 0xffffff

export const ringHelpers = ({ map, memory, processor }: Environment): Helpers => {
  /** Rings that records were reserved in: a record's address does not tell its ring. */
  const rings = new Set<SimulatedRingBuffer>()

  const ringOf = (pointer: bigint): SimulatedRingBuffer => {
    const ring = map(pointer)?.ring
    if (ring === undefined) throw new RangeError("the first argument is no ring buffer")
    return ring
  }
  const reserve = (pointer: bigint, size: bigint): bigint => {
    const ring = ringOf(pointer)
    rings.add(ring)
    return ring.reserve(u32(size))
  }
  const commit = (record: bigint, flags: bigint, discard: boolean): bigint => {
    for (const ring of rings) if (ring.commit(record, Number(flags), discard)) return 0n
    throw new RangeError("the first argument is no reserved record")
  }

  const setDynptr = (at: bigint, address: bigint, length: number, flags = 0): void => {
    const bytes = new Uint8Array(Dynptr.size)
    const view = viewOf(bytes)
    view.setBigUint64(Dynptr.address, address, true)
    view.setUint32(Dynptr.length, length, true)
    view.setUint32(Dynptr.flags, flags, true)
    memory.write(at, bytes)
  }
  const dynptr = (at: bigint) => {
    const view = viewOf(memory.read(at, Dynptr.size))
    return {
      address: view.getBigUint64(Dynptr.address, true),
      length: view.getUint32(Dynptr.length, true),
      writable: (view.getUint32(Dynptr.flags, true) & READ_ONLY) === 0
    }
  }
  const commitDynptr = (at: bigint, flags: bigint, discard: boolean): bigint => {
    const { address } = dynptr(at)
    if (address === 0n) return 0n
    setDynptr(at, 0n, 0)
    return commit(address, flags, discard)
  }

  return {
    BPF_FUNC_ringbuf_output: (pointer, source, length, flags) => {
      if ((flags & ~WAKEUPS) !== 0n) return failed(errno.EINVAL)
      return ringOf(pointer).output(memory.read(source, u32(length)), Number(flags)) ? 0n : failed(errno.EAGAIN)
    },
    BPF_FUNC_ringbuf_reserve: (pointer, length, flags) => flags === 0n ? reserve(pointer, length) : 0n,
    BPF_FUNC_ringbuf_submit: (record, flags) => commit(record, flags, false),
    BPF_FUNC_ringbuf_discard: (record, flags) => commit(record, flags, true),
    BPF_FUNC_ringbuf_query: (pointer, what) => ringOf(pointer).query(Number(what)),
    BPF_FUNC_ringbuf_reserve_dynptr: (pointer, size, flags, at) => {
      const address = flags === 0n && u32(size) <= LARGEST ? reserve(pointer, size) : 0n
      setDynptr(at, address, address === 0n ? 0 : u32(size))
      if (address !== 0n) return 0n
      return failed(flags !== 0n ? errno.EINVAL : u32(size) > LARGEST ? errno.E2BIG : errno.EINVAL)
    },
    BPF_FUNC_ringbuf_submit_dynptr: (at, flags) => commitDynptr(at, flags, false),
    BPF_FUNC_ringbuf_discard_dynptr: (at, flags) => commitDynptr(at, flags, true),
    BPF_FUNC_dynptr_from_mem: (data, size, flags, at) => {
      const wrong = u32(size) > LARGEST ? errno.E2BIG : flags !== 0n ? errno.EINVAL : 0
      setDynptr(at, wrong === 0 ? data : 0n, wrong === 0 ? u32(size) : 0)
      return failed(wrong)
    },
    BPF_FUNC_dynptr_read: (destination, length, at, offset, flags) => {
      const from = dynptr(at)
      if (from.address === 0n || flags !== 0n) return failed(errno.EINVAL)
      if (u32(offset) + u32(length) > from.length) return failed(errno.E2BIG)
      memory.write(destination, memory.read(from.address + BigInt(u32(offset)), u32(length)))
      return 0n
    },
    BPF_FUNC_dynptr_write: (at, offset, source, length, flags) => {
      const to = dynptr(at)
      if (to.address === 0n || !to.writable) return failed(errno.EINVAL)
      if (u32(offset) + u32(length) > to.length) return failed(errno.E2BIG)
      if (flags !== 0n) return failed(errno.EINVAL)
      memory.write(to.address + BigInt(u32(offset)), memory.read(source, u32(length)))
      return 0n
    },
    BPF_FUNC_dynptr_data: (at, offset, length) => {
      const { address, length: size, writable } = dynptr(at)
      const fits = address !== 0n && writable && u32(offset) + u32(length) <= size
      return fits ? address + BigInt(u32(offset)) : 0n
    },
    BPF_FUNC_user_ringbuf_drain: (pointer, callback, context, flags) => {
      const ring = map(pointer)?.userRing
      if (ring === undefined) throw new RangeError("the first argument is no user ring buffer")
      if ((flags & ~3n) !== 0n) return failed(errno.EINVAL)
      const program = processor().current!
      const place = memory.map(new Uint8Array(Dynptr.size))
      try {
        return BigInt.asUintN(
          64,
          BigInt(ring.drain((sample) => {
            const record = memory.map(sample, { writable: false })
            try {
              setDynptr(addressOf(place), addressOf(record), sample.length, READ_ONLY)
              return processor().callback(program, callback, addressOf(place), context) === 0n
            } finally {
              memory.unmap(record)
            }
          }, Number(flags)))
        )
      } finally {
        memory.unmap(place)
      }
    }
  }
}
