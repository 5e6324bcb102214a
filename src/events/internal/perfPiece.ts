// Records that were copied out of a ring, and their index. Lengths and offsets are kept beside the copy, which visitors see
// and could write to: nothing that they could have written is believed.
import { perf_event_type } from "../../abi/generated/enums.ts"
import type { Counts } from "./counts.ts"
import { HEADER_SIZE, type PerfRing } from "./perfRing.ts"

/** Sees one sample: `length` bytes at `offset` of `view` and `bytes`, which cover the same memory. */
export type Visit = (
  view: DataView,
  bytes: Uint8Array,
  offset: number,
  /** What the program gave, and up to 7 bytes of padding, whose content means nothing. */
  length: number,
  cpu: number,
  /** Nanoseconds of CLOCK_MONOTONIC, as `bpf_ktime_get_ns` has it; `undefined` unless the reader orders by time. */
  time: bigint | undefined
) => void

/** Who sees samples and losses, in the order in which the ring has them. */
export interface Visitor {
  readonly sample: Visit
  /** So many samples of a CPU found no room after the sample before. */
  readonly lost?: ((cpu: number, count: number, time: bigint | undefined) => void) | undefined
}

/**
 * How many bytes are copied at once and then given back to the kernel. More than the longest record, whose size has 16 bits;
 * it is still in the processor's cache when it is visited.
 */
const PIECE = 1 << 16
/** A record's header, and the size of its data. */
const LEAST_SAMPLE = HEADER_SIZE + 8
const TIME_SIZE = 8
/** `id` and `lost` of `struct perf_record_lost`, each 8 bytes, after the header. */
const LOST_SIZE = HEADER_SIZE + 16

/** So many moves for each record are more than programs that interrupt each other make. */
const MOST_STEPS = 8

const { PERF_RECORD_LOST, PERF_RECORD_LOST_SAMPLES, PERF_RECORD_SAMPLE } = perf_event_type

/** Times as numbers that are exact: nanoseconds from the first that was seen, within 104 days of it. */
export class Origin {
  private high = 0
  private low = 0
  private set = false

  relative(high: number, low: number): number {
    if (!this.set) {
      this.set = true
      this.high = high
      this.low = low
    }
    return (high - this.high) * 0x1_0000_0000 + (low - this.low)
  }

  absolute(relative: number): bigint {
    return (BigInt(this.high) << 32n) + BigInt(this.low) + BigInt(relative)
  }
}

export class Piece {
  /** Of whom the records are. */
  ring: PerfRing | undefined
  /** How many of its records are not delivered. */
  left = 0
  private bytes = new Uint8Array(0)
  private view = new DataView(this.bytes.buffer)
  private words = new Uint32Array(this.bytes.buffer)
  private offsets = new Int32Array(0)
  /** Of samples; for a loss, what is below 0 tells its place in `losses`. */
  private lengths = new Int32Array(0)
  private times = new Float64Array(0)
  private readonly losses: Array<number> = []
  private count = 0
  private next = 0
  /** Where times are told from; `undefined` where records have none. */
  private readonly origin: Origin | undefined

  private readonly counts: Counts

  constructor(origin: Origin | undefined, counts: Counts) {
    this.origin = origin
    this.counts = counts
  }

  /** Copies the next records of a ring that has `unread` bytes, and gives back their room; gives how many bytes that was. */
  load(ring: PerfRing, unread: number): number {
    const length = Math.min(unread, PIECE)
    ring.copy(this.reserve(length, Math.min(PIECE, ring.size)), length)
    const indexed = this.index(ring, length, length === unread)
    ring.advance(indexed, this.count - this.losses.length)
    if (this.origin !== undefined) this.sort()
    return indexed
  }

  /** Copies what an overwritable ring has, the oldest record first from then on. */
  loadBack(ring: PerfRing): void {
    const length = ring.copyBack((most) => this.reserve(most, most))
    const indexed = this.index(ring, length, false)
    ring.overwritten += length - indexed
    this.offsets.subarray(0, this.count).reverse()
    this.lengths.subarray(0, this.count).reverse()
    if (this.origin === undefined) return
    this.times.subarray(0, this.count).reverse()
    this.sort()
  }

  /** The time of the next record. */
  get nextTime(): number {
    return this.left > 0 ? this.times[this.next]! : Number.POSITIVE_INFINITY
  }

  /** How many of the records that are left have begun within the first `length` bytes. */
  countWithin(length: number): number {
    let count = 0
    for (let i = this.next; i < this.count; i++) if (this.offsets[i]! < length) count++
    return count
  }

  /** Delivers up to `limit` samples of the next `most` records, and the losses among those; gives the number of samples. */
  visit(visitor: Visitor, limit: number, most = this.left): number {
    const ring = this.ring!
    const { bytes, lengths, offsets, origin, times, view } = this
    const end = this.next + Math.min(most, this.left)
    const { cpu } = ring
    const { sample } = visitor
    let visited = 0
    let size = 0
    let losses = 0
    let i = this.next
    try {
      while (i < end && visited < limit) {
        const length = lengths[i]!
        const offset = offsets[i]!
        const time = origin === undefined ? undefined : origin.absolute(times[i]!)
        i++ // also if the visitor throws
        if (length < 0) {
          const lost = this.losses[~length]!
          losses += lost
          visitor.lost?.(cpu, lost, time)
          continue
        }
        visited++
        size += length
        sample(view, bytes, offset, length, cpu, time)
      }
    } finally {
      this.next = i
      this.left = this.count - i
      ring.samples += visited
      ring.bytes += size
      ring.lost += losses
      this.counts.events += visited
      this.counts.bytes += size
      this.counts.lost += losses
    }
    return visited
  }

  /** A visitor may have taken the memory away, by a transfer: what was left in it is gone with it. */
  forgetTransferred(): void {
    if (this.left > 0 && this.bytes.length === 0) {
      this.left = 0
      this.next = this.count
    }
  }

  /** Memory for `length` bytes: of `atLeast` bytes, if there is none that is large enough. */
  private reserve(length: number, atLeast: number): Uint8Array {
    if (this.bytes.length < length) {
      this.bytes = new Uint8Array(Math.max(length, atLeast))
      this.view = new DataView(this.bytes.buffer)
      this.words = new Uint32Array(this.bytes.buffer)
      const most = Math.ceil(this.bytes.length / LEAST_SAMPLE) + 1
      this.offsets = new Int32Array(most)
      this.lengths = new Int32Array(most)
      if (this.origin !== undefined) this.times = new Float64Array(most)
    }
    return this.bytes
  }

  /**
   * Finds the records in the first `length` bytes; gives how many bytes they have. A record that goes beyond is left for
   * later, unless these are `all` that there are: then it cannot be, as other nonsense, and what is before it comes first.
   */
  private index(ring: PerfRing, length: number, all: boolean): number {
    const { lengths, offsets, origin, times, words } = this
    const head = origin === undefined ? HEADER_SIZE : HEADER_SIZE + TIME_SIZE
    this.ring = ring
    this.next = 0
    this.losses.length = 0
    let count = 0
    let at = 0
    let wrong: string | undefined
    while (at < length) {
      const word = at >>> 2
      const type = words[word]!
      const size = words[word + 1]! >>> 16
      if (size < HEADER_SIZE || (size & 7) !== 0) {
        wrong = `one of ${size} bytes`
        break
      }
      if (size > length - at) {
        if (all) wrong = `one of ${size} bytes, where ${length - at} are there`
        break
      }
      if (type === PERF_RECORD_SAMPLE) {
        const data = size < head + 4 ? size : words[(at + head) >>> 2]!
        if (data > size - head - 4) {
          wrong = `a sample of ${data} bytes in a record of ${size}`
          break
        }
        offsets[count] = at + head + 4
        lengths[count] = data
        if (origin !== undefined) times[count] = origin.relative(words[word + 3]!, words[word + 2]!)
        count++
      } else if (type === PERF_RECORD_LOST || type === PERF_RECORD_LOST_SAMPLES) {
        const field = type === PERF_RECORD_LOST ? word + 4 : word + 2
        const trailer = origin === undefined ? 0 : TIME_SIZE
        if (size < (type === PERF_RECORD_LOST ? LOST_SIZE : LOST_SIZE - 8) + trailer) {
          wrong = `a report of losses of ${size} bytes`
          break
        }
        lengths[count] = ~this.losses.length
        this.losses.push(words[field]! + words[field + 1]! * 0x1_0000_0000)
        offsets[count] = at
        if (origin !== undefined) {
          const time = (at + size - TIME_SIZE) >>> 2
          times[count] = origin.relative(words[time + 1]!, words[time]!)
        }
        count++
      }
      at += size
    }
    this.count = count
    this.left = count
    if (wrong !== undefined && at === 0) {
      throw ring.failure("Nonsense", "a record, of 8 bytes or more in steps of 8", wrong)
    }
    return at
  }

  /**
   * By time. A program that interrupts another between its stamp and its record comes before it in the ring: few are out of
   * order, so each is moved to its place; many can be only where somebody wrote to the ring, and then that would take long.
   */
  private sort(): void {
    const { count, lengths, offsets, times } = this
    let steps = 0
    for (let i = 1; i < count; i++) {
      const time = times[i]!
      if (time >= times[i - 1]!) continue
      const [offset, length] = [offsets[i]!, lengths[i]!]
      let to = i
      for (; to > 0 && times[to - 1]! > time; to--) {
        times[to] = times[to - 1]!
        offsets[to] = offsets[to - 1]!
        lengths[to] = lengths[to - 1]!
        steps++
      }
      times[to] = time
      offsets[to] = offset
      lengths[to] = length
      if (steps > MOST_STEPS * count) return this.sortAnew()
    }
  }

  private sortAnew(): void {
    const [times, offsets, lengths] = [this.times.slice(), this.offsets.slice(), this.lengths.slice()]
    const order = Uint32Array.from({ length: this.count }, (_, i) => i)
    order.sort((a, b) => times[a]! - times[b]! || a - b)
    for (const [to, from] of order.entries()) {
      this.times[to] = times[from]!
      this.offsets[to] = offsets[from]!
      this.lengths[to] = lengths[from]!
    }
  }
}
