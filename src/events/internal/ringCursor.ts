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
//
// The pages are read-only, and the kernel maps them in no other way: who wrote to them would end the process. So nobody but
// this package sees them. A visitor has a RingRecord, which gives numbers and copies. Layouts of this package's codecs alone
// are decoded in place; others from a copy. While records are decoded in place no other code runs; a visitor may do anything
// at all between two records, such as closing the reader, and each step asks whether it did.
import { bpf_ringbuf_header } from "../../abi/generated/enums.ts"
import type { Architecture } from "../../abi/syscalls.ts"
import type { Mapping } from "../../kernel/memory.ts"
import type { Layout } from "../../layout/Layout.ts"
import type { Counts } from "./counts.ts"
import { RingBufferError } from "./ringError.ts"
import { aim, endVisit, RingRecord, setMemory } from "./ringRecord.ts"

/** Sees one record. */
export type Visit<A> = (record: RingRecord<A>) => void

/** Where a ring is. */
export interface RingPosition {
  /** How many bytes have been read since the ring was made, headers and padding included. */
  readonly consumer: bigint
  /** How many have been reserved. */
  readonly producer: bigint
  /** Their difference: what is to be read. */
  readonly backlog: number
}

/** What a survey found: records to be decoded together. */
export interface Survey {
  /** Where records begin in the source, how long they are, and at how many bytes beyond what is given back each ends. */
  offsets: Int32Array
  lengths: Int32Array
  ends: Int32Array
}

const DISCARD_BIT = bpf_ringbuf_header.BPF_RINGBUF_DISCARD_BIT
const HEADER_SIZE = bpf_ringbuf_header.BPF_RINGBUF_HDR_SZ
const LENGTH_MASK = 0x3fffffff

/** How many bytes are read before they are given back to the producer. Each publication costs an atomic store. */
const PIECE = 1 << 16

/** A limit for who has none: a ring holds fewer records. All numbers of the inner loops are 32-bit integers. */
const MOST_AT_ONCE = 0x3fffffff

const NONE = new Int32Array(0)

export interface Ring<A> {
  /** In words, for errors. */
  readonly subject: string
  readonly layout: Layout<A>
  readonly consumer: Mapping
  readonly producer: Mapping
  /** Where the data begins in the producer's mapping: one page after its position. */
  readonly dataOffset: number
  /** A power of two, at most 2^30: differences of positions fit 32 bits. */
  readonly size: number
  readonly architecture: Architecture
}

export class RingCursor<A> {
  readonly record: RingRecord<A>
  readonly survey: Survey = { offsets: NONE, lengths: NONE, ends: NONE }
  readonly subject: string
  private readonly size: number
  private readonly plainHeaders: boolean
  private readonly position: BigInt64Array
  private readonly produced: BigInt64Array
  private words: Int32Array
  private source: Uint8Array
  private view: DataView
  /** A record at a position lies at `origin + (position & mask)` of the source. */
  private origin: number
  private mask: number
  /** The position up to which all is read and given back. */
  private consumed: bigint
  /** Bytes that were read and not yet given back. */
  private read = 0
  /** Bytes that are there beyond `consumed`, as the last look found. */
  private there = 0
  /** Whether what is there begins, or ended at the last read, with a record that is reserved and not submitted. */
  waits = false
  closed = false
  private reading = false
  private peeking = false
  /** A copy for codecs that are not ours, of records that begin at `shift` of the source. */
  private copy = new Uint8Array(0)
  /** The position to end at, once nothing that comes later is wanted. */
  private last: bigint | undefined
  /** Whether the ring is no more, and a copy is read of what was left of it. */
  private isKept = false
  private readonly counts: Counts

  constructor(ring: Ring<A>, counts: Counts) {
    this.subject = ring.subject
    this.size = ring.size
    this.mask = ring.size - 1
    this.origin = ring.dataOffset
    this.plainHeaders = ring.architecture === "x64"
    this.position = new BigInt64Array(ring.consumer.buffer, 0, 1)
    this.produced = new BigInt64Array(ring.producer.buffer, 0, 1)
    this.words = new Int32Array(ring.producer.buffer)
    this.source = new Uint8Array(ring.producer.buffer)
    this.view = new DataView(ring.producer.buffer)
    this.consumed = Atomics.load(this.position, 0)
    this.counts = counts
    this.record = new RingRecord(ring.subject, ring.layout)
    setMemory(this.record, this.source)
  }

  private failure(reason: RingBufferError["reason"], expected: string, actual: string): RingBufferError {
    return new RingBufferError({ ring: this.subject, reason, expected, actual })
  }

  /** Looks how many bytes are reserved and not read: no more than those are read until the next look. */
  private look(): number {
    if (this.last !== undefined) return this.there = Number(this.last - this.consumed) | 0
    if (this.position.length === 0) return this.there = 0 // unmapped, as its kernel was released
    const { consumed, size } = this
    const now = Atomics.load(this.position, 0)
    if (now !== consumed) {
      throw this.failure(
        "Moved",
        `its reader's position where this reader left it, at ${consumed}`,
        `${now}: another reads it`
      )
    }
    const end = Atomics.load(this.produced, 0)
    const count = end - consumed
    if (consumed < 0n || count < 0n || count > BigInt(size) || ((consumed | end) & 7n) !== 0n) {
      throw this.failure("Nonsense", `positions of 8 bytes each, at most ${size} apart`, `${consumed} and ${end}`)
    }
    return this.there = Number(count) | 0
  }

  /** Gives back what was read. */
  private publish(): void {
    if (this.read === 0 || (this.closed && !this.isKept)) return
    this.consumed += BigInt(this.read)
    this.there -= this.read
    this.read = 0
    if (!this.isKept && this.position.length > 0) Atomics.store(this.position, 0, this.consumed)
  }

  private refuseOverlap(): void {
    if (this.reading) throw this.failure("InUse", "one read of a reader at a time", "another within its own visitor")
  }

  private nonsense(step: number, left: number): RingBufferError {
    return this.failure("Nonsense", `a record within the ${left} bytes that are there`, `one of ${step} bytes`)
  }

  /**
   * Visits records from `read` on, until `end` bytes were read or `most` visited: their number. A function of its own for
   * each piece, since V8 leaves and enters its optimised code at every turn of an outer loop.
   */
  private walk(visit: Visit<A>, end: number, most: number): number {
    const { mask, origin, plainHeaders, record, words } = this
    const start = Number(BigInt.asIntN(32, this.consumed)) | 0
    const left = this.there
    let at = this.read
    let visited = 0
    let bytes = 0
    try {
      while (at < end && visited < most && !this.closed) {
        const offset = (origin + ((start + at) & mask)) | 0
        const header = plainHeaders ? words[offset >>> 2]! : Atomics.load(words, offset >>> 2)
        if (header < 0) { // BUSY is the sign bit: reserved, but not yet submitted
          this.waits = true
          break
        }
        const length = header & LENGTH_MASK
        const step = (length + HEADER_SIZE + 7) & -8
        if (step > left - at) throw this.nonsense(step, left - at)
        this.read = at += step // also if the visitor throws, or closes the reader
        if ((header & DISCARD_BIT) !== 0) continue
        visited++
        bytes += length
        aim(record, offset + HEADER_SIZE, length)
        visit(record)
      }
    } finally {
      this.read = at
      this.counts.events += visited
      this.counts.bytes += bytes
    }
    return visited
  }

  drain(visit: Visit<A>, limit: number): number {
    if (this.closed) return 0
    this.refuseOverlap()
    this.waits = false
    // What comes meanwhile is left for the next drain: a producer may be as fast as we are.
    if (this.look() === 0) return 0
    this.reading = true
    let visited = 0
    try {
      while (visited < limit && this.there > 0 && !this.closed && !this.waits) {
        visited += this.walk(visit, Math.min(this.there, PIECE) | 0, Math.min(limit - visited, MOST_AT_ONCE) | 0)
        this.publish()
      }
    } finally {
      this.reading = false
      endVisit(this.record)
      this.publish()
      if (visited > 0) this.counts.batches++
    }
    return visited
  }

  /** As `drain`, and leaves the ring as it is. */
  peek(visit: Visit<A>, limit: number): number {
    if (this.closed) return 0
    this.refuseOverlap()
    if (this.look() === 0) return 0
    const { bytes, events } = this.counts
    this.reading = true
    this.peeking = true
    try {
      return this.walk(visit, this.there, Math.min(limit, MOST_AT_ONCE) | 0)
    } finally {
      this.read = 0
      this.reading = false
      this.peeking = false
      endVisit(this.record)
      this.counts.events = events
      this.counts.bytes = bytes
    }
  }

  // ---------------------------------------------------------------- reading in batches
  //
  // `begin`, then `find` and `consume` any number of times, then `end`.

  /** Whether there is anything to be read in batches. What comes meanwhile is left for the next time. */
  begin(): boolean {
    if (this.closed && !this.isKept) return false
    this.refuseOverlap()
    this.waits = false
    if (this.look() === 0) return false
    return this.reading = true
  }

  end(): void {
    this.reading = false
    this.publish()
  }

  /**
   * Finds up to `most` records of at least `least` bytes, within `bytes` bytes: their number. Discarded ones are passed over.
   * It stops at a record that is too short; if that is the first, the survey has it alone, and the number is -1.
   */
  find(most: number, least: number, bytes: number): number {
    const { mask, origin, plainHeaders, survey, words } = this
    const left = this.there
    if (survey.offsets.length < most) {
      // As many as there can be, each of 8 bytes at least.
      const length = Math.min(most, (left >>> 3) + 1)
      if (survey.offsets.length < length) {
        survey.offsets = new Int32Array(length)
        survey.lengths = new Int32Array(length)
        survey.ends = new Int32Array(length)
      }
    }
    const { ends, lengths, offsets } = survey
    const start = Number(BigInt.asIntN(32, this.consumed)) | 0
    const end = Math.min(left, bytes) | 0
    const wanted = Math.min(most, offsets.length) | 0
    let at = 0
    let count = 0
    while (at < end && count < wanted) {
      const offset = (origin + ((start + at) & mask)) | 0
      const header = plainHeaders ? words[offset >>> 2]! : Atomics.load(words, offset >>> 2)
      if (header < 0) {
        this.waits = true
        break
      }
      const length = header & LENGTH_MASK
      const step = (length + HEADER_SIZE + 7) & -8
      if (step > left - at) {
        if (count > 0) break // first those before it
        throw this.nonsense(step, left - at)
      }
      if ((header & DISCARD_BIT) !== 0) {
        at += step
        continue
      }
      if (length < least && count > 0) break
      at += step
      offsets[count] = offset + HEADER_SIZE
      lengths[count] = length
      ends[count] = at
      if (length < least) {
        this.read = at
        return -1
      }
      count++
    }
    this.read = at
    return count
  }

  /** Counts the first `count` records of the survey as read, and gives their room back. */
  consume(count: number, found: number): void {
    const { ends, lengths } = this.survey
    if (count < found) this.read = count === 0 ? 0 : ends[count - 1]!
    let bytes = 0
    for (let i = 0; i < count; i++) bytes += lengths[i]!
    this.counts.events += count
    this.counts.bytes += bytes
    this.publish()
  }

  /** Whether there is more of what `begin` saw. */
  get hasMore(): boolean {
    return this.there > 0 && !this.waits && (!this.closed || this.isKept)
  }

  /** The ring's own memory, for direct reads alone. */
  get memory(): { readonly view: DataView; readonly bytes: Uint8Array } {
    return { view: this.view, bytes: this.source }
  }

  /** A copy of the survey's first `count` records, whose offsets are then of the copy. */
  copied(count: number): { readonly view: DataView; readonly bytes: Uint8Array } {
    const { lengths, offsets } = this.survey
    const first = offsets[0]!
    const length = offsets[count - 1]! + lengths[count - 1]! - first
    // Codecs may keep it, write to it, or take it away by a transfer: it is theirs, and there is new one for the next.
    if (this.copy.length < length) this.copy = new Uint8Array(Math.max(length, PIECE))
    const bytes = this.copy
    bytes.set(this.source.subarray(first, first + length))
    for (let i = 0; i < count; i++) offsets[i]! -= first
    return { view: new DataView(bytes.buffer), bytes }
  }

  /** A copy of the bytes of the survey's record `i`, as long as it is in the ring. */
  bytesOf(i: number): Uint8Array<ArrayBuffer> {
    const end = this.origin + (((Number(BigInt.asIntN(32, this.consumed)) | 0) + this.survey.ends[i]!) & this.mask)
    const length = this.survey.lengths[i]!
    // The record ends before its padding, and begins before the ring's end.
    const step = (length + HEADER_SIZE + 7) & -8
    const begin = end - step + HEADER_SIZE
    const offset = begin < this.origin ? begin + this.mask + 1 : begin
    return new Uint8Array(this.source.subarray(offset, offset + length))
  }

  // ---------------------------------------------------------------- where it is

  /** Bytes that are reserved and not read; 0 for positions that make no sense. */
  lag(): number {
    if (this.closed || this.position.length === 0) return 0
    const count = Atomics.load(this.produced, 0) - Atomics.load(this.position, 0)
    return count < 0n || count > BigInt(this.size) ? 0 : Number(count)
  }

  where(): RingPosition {
    if (this.closed || this.position.length === 0) {
      return { consumer: this.consumed, producer: this.consumed, backlog: 0 }
    }
    const consumer = Atomics.load(this.position, 0)
    const producer = Atomics.load(this.produced, 0)
    return { consumer, producer, backlog: this.lag() }
  }

  /** Whether the next record is reserved and not submitted: the kernel says all the time that there is something then. */
  isBusy(): boolean {
    if (this.closed || this.position.length === 0 || this.lag() === 0) return false
    const offset = this.origin + ((Number(BigInt.asIntN(32, this.consumed)) | 0) & this.mask)
    return Atomics.load(this.words, offset >>> 2) < 0
  }

  // ---------------------------------------------------------------- the end

  /** Nothing that comes from now on will be read. */
  endHere(): void {
    if (this.last === undefined && !this.closed && this.position.length > 0) {
      this.last = this.consumed + BigInt(this.lag())
    }
  }

  /** The reader closes: what visitors read of it is counted as read. With `keep`, a copy of the rest can be read in batches. */
  close(keep: boolean): void {
    if (this.closed) return
    if (this.peeking) this.read = 0
    this.publish()
    endVisit(this.record)
    if (keep && !this.reading && this.position.length > 0) {
      const length = this.lag()
      const start = (Number(BigInt.asIntN(32, this.consumed)) | 0) & this.mask
      const copy = new Uint8Array(length)
      copy.set(this.source.subarray(this.origin + start, this.origin + start + length))
      this.last = this.consumed + BigInt(length)
      this.words = new Int32Array(copy.buffer)
      this.source = copy
      this.view = new DataView(copy.buffer)
      // At the position `consumed` the copy begins; it has no end to wrap at.
      this.origin = -(Number(BigInt.asIntN(32, this.consumed)) | 0)
      this.mask = -1
      this.isKept = true
    }
    this.closed = true
  }
}
