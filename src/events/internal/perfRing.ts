// One ring of a perf buffer, as the kernel shares it: a page with positions, then the data (kernel/events/ring_buffer.c).
//
// A ring that the kernel is not to overwrite is mapped writable as a whole, since the reader's position (data_tail) stands in
// its first page; a write to any other page is SIGBUS all the same (perf_mmap_pfn_mkwrite()). Nobody outside this file sees
// the mapping: records are copied out, and visitors see the copy. So what a visitor writes harms copies at most, and cannot
// end the process; no visitor can move the position; and a ring whose mapping has ended is not looked at. The copy also
// joins a record that the end of the ring cuts in two.
//
// Ordering, as the comment above perf_output_put_handle() has it, (A) to (D):
//
//   kernel                                   here
//   write the record                         load data_head, acquire  (C)
//   smp_wmb                 (B)              copy the records
//   store data_head                          store data_tail, release (D)
//   read data_tail, then write by it (A)
//
// data_head is loaded with Atomics.load, which is sequentially consistent and so an acquire: every record before it is
// complete, and is read plainly, on all processors; there is no flag in a record's header, as ring buffers have it, that
// would need one more. data_tail is stored with Atomics.store, so a release: the copy's reads are done before the kernel may
// take the room again. It is one 64-bit store; two of 32 bits would be seen half done every 4 GiB. Of data_head the lower
// half is loaded: the kernel stores all 64 bits at once, a ring has at most 2^31 bytes, and differences are taken modulo
// 2^32, so that is enough, and a BigInt for each look is saved.
import { perf_event_type } from "../../abi/generated/enums.ts"
import type { Mapping } from "../../kernel/memory.ts"
import { PerfBufferError } from "./perfError.ts"

/** `struct perf_event_mmap_page`: where the kernel's and the reader's position are. */
export const DATA_HEAD = 1024
export const DATA_TAIL = 1032

/** `struct perf_event_header`: type, misc, and the size of all of the record, which is a multiple of 8. */
export const HEADER_SIZE = 8

/** When the kernel wakes who waits: each so many samples, or each so many bytes. */
export type Wakeup = { readonly events: number } | { readonly bytes: number }

export class PerfRing {
  readonly cpu: number
  readonly size: number
  /** Samples delivered, their bytes, and those that the kernel reported lost. */
  samples = 0
  bytes = 0
  lost = 0
  /** Bytes of records that newer ones were written over before they were read; in overwritable rings only. */
  overwritten = 0
  /** Set before the mapping ends. */
  closed = false
  private readonly subject: string
  private readonly head: Int32Array
  private readonly tail: Int32Array
  private readonly wholeTail: BigInt64Array
  private readonly data: Uint8Array
  private readonly words: Uint32Array
  private readonly everySamples: number
  private readonly everyBytes: number
  private readonly backward: boolean
  /** How far it was read, from the beginning of time. */
  private consumed: number
  /** How much was unread at the last look: it cannot become less. */
  private seen = 0
  /** The samples that were copied out so far. */
  private taken = 0

  constructor(ring: {
    /** In words, for errors. */
    readonly subject: string
    readonly cpu: number
    readonly mapping: Mapping
    readonly pageSize: number
    /** Of the data; a power of two. */
    readonly size: number
    readonly wakeup: Wakeup
    /** Whether it is overwritten, from its end to its beginning. */
    readonly backward: boolean
  }) {
    const { buffer } = ring.mapping
    this.subject = ring.subject
    this.cpu = ring.cpu
    this.size = ring.size
    this.backward = ring.backward
    this.head = new Int32Array(buffer, DATA_HEAD, 1)
    this.tail = new Int32Array(buffer, DATA_TAIL, 1)
    this.wholeTail = new BigInt64Array(buffer, DATA_TAIL, 1)
    this.data = new Uint8Array(buffer, ring.pageSize, ring.size)
    this.words = new Uint32Array(buffer, ring.pageSize, ring.size / 4)
    this.everySamples = "events" in ring.wakeup ? ring.wakeup.events : Number.POSITIVE_INFINITY
    // The kernel wakes at half a ring of bytes too, where it is not told another number of bytes (ring_buffer_init()).
    this.everyBytes = "bytes" in ring.wakeup ? ring.wakeup.bytes : ring.size / 2
    this.consumed = Number(Atomics.load(this.wholeTail, 0))
  }

  failure(reason: "Moved" | "Nonsense", expected: string, actual: string): PerfBufferError {
    return new PerfBufferError({ buffer: this.subject, cpu: this.cpu, reason, expected, actual })
  }

  /** How far it was read, in bytes. */
  get position(): number {
    return this.consumed
  }

  /** A number that changes whenever something comes. */
  get produced(): number {
    return this.closed ? 0 : Atomics.load(this.head, 0)
  }

  /** How many bytes are there to read; 0 once it has closed. */
  unread(): number {
    if (this.closed) return 0
    const low = this.consumed | 0 // modulo 2^32, as ToInt32 has it
    const unread = (Atomics.load(this.head, 0) - low) >>> 0
    const tail = Atomics.load(this.tail, 0)
    if (tail !== low) {
      const expected = `its reader's position where this reader left it, at ${low >>> 0} modulo 2^32`
      throw this.failure("Moved", expected, `${tail >>> 0}: another reads it`)
    }
    if (unread > this.size || (unread & 7) !== 0) {
      throw this.failure("Nonsense", `at most ${this.size} bytes to read, in steps of 8`, `${unread}`)
    }
    if (unread < this.seen) {
      throw this.failure("Nonsense", `at least ${this.seen} bytes to read, as before`, `${unread}: it was moved back`)
    }
    this.seen = unread
    return unread
  }

  /** As `unread`, for numbers in statistics: never throws. */
  lag(): number {
    if (this.closed || this.backward) return 0
    return Math.min(this.size, (Atomics.load(this.head, 0) - (this.consumed | 0)) >>> 0)
  }

  /** Copies the first `length` unread bytes, around the end of the ring. */
  copy(into: Uint8Array, length: number): void {
    this.copyFrom(this.consumed % this.size, into, length)
  }

  /** Gives room back to the kernel: `length` bytes that were copied, with `samples` among them. */
  advance(length: number, samples: number): void {
    this.consumed += length
    this.seen -= length
    this.taken += samples
    Atomics.store(this.wholeTail, 0, BigInt(this.consumed))
  }

  /**
   * Whether the kernel has had a reason to wake a reader since this one read on: it wakes at each so many samples or bytes
   * since the ring began. So what is below that is left for later, in full batches. What cannot be is due: `drain` says so.
   */
  isDue(): boolean {
    if (this.closed) return false
    if (this.backward) return Atomics.load(this.head, 0) !== (-this.consumed | 0)
    const unread = (Atomics.load(this.head, 0) - (this.consumed | 0)) >>> 0
    if (unread === 0) return false
    if (this.everySamples === 1 || unread > this.size) return true
    const [first, last] = [Math.max(0, this.consumed - 1), this.consumed + unread - 1]
    if (Math.floor(last / this.everyBytes) > Math.floor(first / this.everyBytes)) return true
    return this.everySamples < Number.POSITIVE_INFINITY && this.hasSamples(unread)
  }

  /** Whether the unread bytes hold the last of another `everySamples` samples. */
  private hasSamples(unread: number): boolean {
    const { size, words } = this
    const mask = size - 1
    const from = this.consumed % size
    let missing = this.everySamples - this.taken % this.everySamples
    for (let at = 0; at < unread;) {
      const word = ((from + at) & mask) >>> 2
      const length = words[word + 1]! >>> 16
      if (length < HEADER_SIZE || (length & 7) !== 0) return true
      if (words[word] === perf_event_type.PERF_RECORD_SAMPLE && --missing === 0) return true
      at += length
    }
    return false
  }

  // ---------------------------------------------------------------- overwritable rings
  //
  // Written from the end to the beginning: data_head falls from 0, the newest record begins there, and older ones follow, up
  // to the one that the newest has run into. `consumed` is then how much was ever seen, which is how far data_head fell.

  /**
   * Copies what was written since the last time and not written over: the newest record first. Gives the number of bytes;
   * the last record may be cut. Output should be paused; one that was still under way shows in the position after the copy.
   */
  copyBack(into: (length: number) => Uint8Array): number {
    if (this.closed) return 0
    const head = Atomics.load(this.head, 0)
    const written = (-head - (this.consumed | 0)) >>> 0
    if ((written & 7) !== 0) throw this.failure("Nonsense", "a position in steps of 8", `${head >>> 0}`)
    const length = Math.min(written, this.size)
    this.copyFrom((head >>> 0) % this.size, into(length), length)
    const meanwhile = (head - Atomics.load(this.head, 0)) >>> 0
    const kept = Math.max(0, Math.min(length, this.size - meanwhile))
    this.consumed += written
    this.overwritten += written - kept
    return kept
  }

  private copyFrom(start: number, into: Uint8Array, length: number): void {
    const first = Math.min(length, this.size - start)
    into.set(this.data.subarray(start, start + first))
    if (first < length) into.set(this.data.subarray(0, length - first), first)
  }
}
