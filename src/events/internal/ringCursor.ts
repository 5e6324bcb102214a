// The reader's side of BPF_MAP_TYPE_RINGBUF, in place in the mapped pages. The protocol is that of kernel/bpf/ringbuf.c:
//
//   - the producer's position grows as records are reserved; a record's header is written, with BUSY set, before that;
//   - a record is readable when BUSY is clear in its header; the data was written before;
//   - the consumer's position is ours: the kernel reads it (acquire) to know what is free.
//
// Ordering. The producer position is loaded with acquire (Atomics.load is sequentially consistent), so every header up to
// it is seen as reserved or later. Each header then needs an acquire of its own before the data it announces. On x86-64
// every load is one (TSO: loads are not reordered with loads), and JavaScript engines do not move reads of typed arrays
// across one another where the second depends on a branch on the first, so a plain read is enough there; on arm64 it is
// not, and the header is read with Atomics.load, which costs 6 ns more. Freeing must come after the last read of the
// data: the consumer position is stored with Atomics.store, a release, in one 64-bit store, since two 32-bit ones would
// be seen half-done every 4 GiB.
import { bpf_ringbuf_header } from "../../abi/generated/enums.ts"
import type { Architecture } from "../../abi/syscalls.ts"
import type { Mapping } from "../../kernel/memory.ts"

/** Sees one record in the ring: `length` bytes at `offset` of `view` and `bytes`, which cover the same memory. */
export type Visit = (view: DataView, bytes: Uint8Array, offset: number, length: number) => void

export interface Cursor {
  readonly drain: (visit: Visit, limit?: number) => number
  readonly close: () => void
}

const DISCARD_BIT = bpf_ringbuf_header.BPF_RINGBUF_DISCARD_BIT
const HEADER_SIZE = bpf_ringbuf_header.BPF_RINGBUF_HDR_SZ
const LENGTH_MASK = 0x3fffffff

/** How many bytes are read before they are given back to the producer. Each publication costs an atomic store. */
const PUBLISH_EVERY = 1 << 16

export const makeCursor = (ring: {
  readonly consumer: Mapping
  readonly producer: Mapping
  /** Where the data begins in the producer's mapping: one page after its position. */
  readonly dataOffset: number
  /** A power of two, at most 2^30: differences of positions fit 32 bits. */
  readonly size: number
  readonly architecture: Architecture
}): Cursor => {
  const { dataOffset, size } = ring
  const mask = size - 1
  const plainHeaders = ring.architecture === "x64"
  const position = new BigInt64Array(ring.consumer.buffer, 0, 1)
  const words = new Int32Array(ring.producer.buffer)
  const bytes = new Uint8Array(ring.producer.buffer)
  const view = new DataView(ring.producer.buffer)
  let consumed = Number(Atomics.load(position, 0))
  let closed = false

  const publish = (count: number): void => {
    if (count === 0) return
    consumed += count
    Atomics.store(position, 0, BigInt(consumed))
  }

  const drain = (visit: Visit, limit = Number.POSITIVE_INFINITY): number => {
    if (closed) return 0
    let visited = 0
    let unpublished = 0
    // The low 32 bits of both positions are enough, since they are never more than `size` apart.
    let low = consumed | 0
    try {
      for (;;) {
        const available = (Atomics.load(words, 0) - low) | 0
        if (available === 0) {
          if (unpublished === 0) return visited
          // Published before the last look: a producer that finds the ring drained then notifies, and no wakeup is lost.
          publish(unpublished)
          unpublished = 0
          continue
        }
        let seen = 0
        while (seen < available) {
          if (visited >= limit) return visited
          const at = dataOffset + (low & mask)
          const header = plainHeaders ? words[at >>> 2]! : Atomics.load(words, at >>> 2)
          if (header < 0) return visited // BUSY is the sign bit: reserved, but not yet submitted
          const length = header & LENGTH_MASK
          const step = (length + HEADER_SIZE + 7) & -8
          low = (low + step) | 0
          seen += step
          unpublished += step
          if ((header & DISCARD_BIT) === 0) {
            visited++
            visit(view, bytes, at + HEADER_SIZE, length)
          }
          if (unpublished >= PUBLISH_EVERY) {
            publish(unpublished)
            unpublished = 0
          }
        }
      }
    } finally {
      publish(unpublished)
    }
  }

  return {
    drain,
    close: () => {
      closed = true
    }
  }
}
