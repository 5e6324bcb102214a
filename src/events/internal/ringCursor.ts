// The reader's side of BPF_MAP_TYPE_RINGBUF, from the mapped pages. The protocol is that of kernel/bpf/ringbuf.c:
//
//   - the producer's position grows as records are reserved; a record's header is written, with BUSY set, before that;
//   - a record is readable when BUSY is clear in its header; the data was written before;
//   - the consumer's position is ours: the kernel reads it (acquire) to know what is free.
//
// The pages are read-only, and the kernel maps them in no other way: a visitor that wrote to them would end the process. So
// records are copied out, many at a time, and visitors see the copy. Each piece is walked three times: headers in the ring,
// to see how far records are complete; one copy of so much; and the visits. Nothing of the ring is read twice, and nothing
// that a visitor could have written is believed.
//
// Ordering. The producer position is loaded with acquire (Atomics.load is sequentially consistent), so every header up to
// it is seen as reserved or later. Each header then needs an acquire of its own before the data it announces. On x86-64
// every load is one (TSO: loads are not reordered with loads), and JavaScript engines do not move the copy, which is a call,
// before the reads of typed arrays that its length depends on, so a plain read is enough there; on arm64 it is not, and the
// header is read with Atomics.load, which costs 6 ns more. Freeing must come after the last read of the data: the consumer
// position is stored with Atomics.store, a release, in one 64-bit store, since two 32-bit ones would be seen half-done
// every 4 GiB.
import { bpf_ringbuf_header } from "../../abi/generated/enums.ts"
import type { Architecture } from "../../abi/syscalls.ts"
import type { Mapping } from "../../kernel/memory.ts"
import { RingBufferError } from "./ringError.ts"

/** Sees one record: `length` bytes at `offset` of `view` and `bytes`, which cover the same memory. */
export type Visit = (view: DataView, bytes: Uint8Array, offset: number, length: number) => void

export interface Cursor {
  readonly drain: (visit: Visit, limit?: number) => number
  readonly close: () => void
}

const DISCARD_BIT = bpf_ringbuf_header.BPF_RINGBUF_DISCARD_BIT
const HEADER_SIZE = bpf_ringbuf_header.BPF_RINGBUF_HDR_SZ
const LENGTH_MASK = 0x3fffffff

/** What a record with this header takes in the ring: its header, its data, and what rounds it up to 8. */
const stepOf = (header: number): number => ((header & LENGTH_MASK) + HEADER_SIZE + 7) & -8

/** How many bytes are copied at once and then given back to the producer: what is copied is still in the cache when visited. */
const PIECE = 1 << 15

export const makeCursor = (ring: {
  /** In words, for errors. */
  readonly subject: string
  readonly consumer: Mapping
  readonly producer: Mapping
  /** Where the data begins in the producer's mapping: one page after its position. */
  readonly dataOffset: number
  /** A power of two, at most 2^30: differences of positions fit 32 bits. */
  readonly size: number
  readonly architecture: Architecture
}): Cursor => {
  const { dataOffset, size, subject } = ring
  const mask = size - 1
  const plainHeaders = ring.architecture === "x64"
  const position = new BigInt64Array(ring.consumer.buffer, 0, 1)
  const produced = new BigInt64Array(ring.producer.buffer, 0, 1)
  const words = new Int32Array(ring.producer.buffer)
  const source = new Uint8Array(ring.producer.buffer)
  const headers = new Int32Array(PIECE / HEADER_SIZE)
  let bytes = new Uint8Array(0)
  let view = new DataView(bytes.buffer)
  let consumed = Atomics.load(position, 0)
  let draining = false
  /** Bytes that were read and not yet given back. */
  let read = 0
  /** How many records the last survey found. */
  let found = 0
  /** How many bytes the piece has that is being visited. */
  let piece = 0
  let closed = false

  const failure = (reason: RingBufferError["reason"], expected: string, actual: string): RingBufferError =>
    new RingBufferError({ ring: subject, reason, expected, actual })

  /** How many bytes are reserved and not read. */
  const available = (): number => {
    const now = Atomics.load(position, 0)
    if (now !== consumed) {
      throw failure(
        "Moved",
        `its reader's position where this reader left it, at ${consumed}`,
        `${now}: another reads it`
      )
    }
    const end = Atomics.load(produced, 0)
    const count = end - consumed
    if (consumed < 0n || count < 0n || count > BigInt(size) || ((consumed | end) & 7n) !== 0n) {
      throw failure("Nonsense", `positions of 8 bytes each, at most ${size} apart`, `${consumed} and ${end}`)
    }
    return Number(count)
  }

  const publish = (): void => {
    if (read === 0 || closed) return
    consumed += BigInt(read)
    read = 0
    Atomics.store(position, 0, consumed)
  }

  /** Copies records out. A visitor may have taken the memory away, by a transfer: then there is new one. */
  const copy = (from: number, length: number): void => {
    if (bytes.length < length) {
      bytes = new Uint8Array(Math.max(length, PIECE))
      view = new DataView(bytes.buffer)
    }
    bytes.set(source.subarray(from, from + length))
  }

  // Each walk is a function of its own: within one, V8 leaves and enters its optimised code at every piece, for 3 times the
  // time.
  /** Finds the records of a piece, at most `most` of them in `left` bytes; gives the piece's length. */
  const survey = (from: number, left: number, most: number): number => {
    let length = 0
    let count = 0
    let records = 0
    while (length < left && records < most && count < headers.length) {
      const at = (from + length) >>> 2
      const header = plainHeaders ? words[at]! : Atomics.load(words, at)
      if (header < 0) break // BUSY is the sign bit: reserved, but not yet submitted
      const step = stepOf(header)
      if (step > left - length) {
        if (count > 0) break // first those before it
        throw failure("Nonsense", `a record within the ${left} bytes that are there`, `one of ${step} bytes`)
      }
      if (count > 0 && length + step > PIECE) break
      headers[count++] = header
      length += step
      if ((header & DISCARD_BIT) === 0) records++
    }
    found = count
    return length
  }

  /** Visits the records of a piece; gives their number. What the loop uses is its own: some 2 ns a record. */
  const visitAll = (visit: Visit, count: number): number => {
    const [pieceView, pieceBytes, pieceHeaders] = [view, bytes, headers]
    let visited = 0
    let at = 0
    try {
      for (let i = 0; i < count; i++) {
        const header = pieceHeaders[i]!
        const offset = at + HEADER_SIZE
        at += stepOf(header) // also if the visitor throws
        if ((header & DISCARD_BIT) !== 0) continue
        visit(pieceView, pieceBytes, offset, header & LENGTH_MASK)
        visited++
      }
    } finally {
      read = at
    }
    return visited
  }

  const drain = (visit: Visit, limit = Number.POSITIVE_INFINITY): number => {
    if (closed) return 0
    if (draining) throw failure("InUse", "one drain of a reader at a time", "a drain within its own visitor")
    // What comes meanwhile is left for the next drain: a producer may be as fast as we are.
    let left = available()
    let visited = 0
    if (left === 0) return 0
    draining = true
    try {
      while (left > 0 && visited < limit) {
        const from = dataOffset + (Number(BigInt.asIntN(32, consumed)) & mask)
        const length = survey(from, left, limit - visited)
        if (length === 0) break
        copy(from, length)
        piece = length
        visited += visitAll(visit, found)
        if (closed) break
        left -= length
        publish()
      }
      return visited
    } finally {
      draining = false
      publish()
    }
  }

  return {
    drain,
    close: () => {
      // A visitor may close its reader: it sees the rest of its piece, which is a copy.
      if (draining) read = piece
      publish()
      closed = true
    }
  }
}
