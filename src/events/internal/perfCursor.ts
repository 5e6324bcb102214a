// Reads the rings of a perf buffer: one after the other, or merged by time.
//
// All ways read what was there when they began, however fast more comes. A piece of a ring is copied out, its room given back,
// and then visited; what a limit or a visitor that threw leaves of it waits in the copy for the next drain.
//
// By time. A record that is stamped before another may be seen after it: the program on the other CPU had its time, but had
// not finished to write. So a drain delivers only up to the last record that was there at the drain before, with all that was
// stamped earlier on any CPU, and holds the rest back, in the rings, for the next. A program would have to stand still
// between its stamp and its record from one drain to the next to be out of order; then its records still come, late.
import type { Counts } from "./counts.ts"
import { PerfBufferError } from "./perfError.ts"
import { Origin, Piece, type Visit, type Visitor } from "./perfPiece.ts"
import type { PerfRing } from "./perfRing.ts"

export interface CursorOptions {
  /** In words, for errors. */
  readonly subject: string
  readonly order: "cpu" | "time"
  readonly overwritable: boolean
  /** Stops output into all rings and starts it again, for those that are overwritten. */
  readonly paused: <A>(read: () => A) => A
  readonly counts: Counts
}

/** A ring, and what is copied of it. */
interface Reading {
  readonly ring: PerfRing
  readonly piece: Piece
  /** Unread bytes of this drain that are not copied yet. */
  ahead: number
  /** Where the ring ended at the drain before, and at this one, as positions. */
  before: number
  now: number
  /** How many records of the piece were there at the drain before. */
  old: number
}

export class PerfCursor {
  private readonly options: CursorOptions
  private readonly origin: Origin | undefined
  /** Replaced and never changed: a visitor may add and remove rings. */
  private readings: ReadonlyArray<Reading> = []
  /** What is read one ring after the other is copied to the same place. */
  private readonly shared: Piece
  private first = 0
  private draining = false
  private closed = false
  private failed: PerfBufferError | undefined

  constructor(options: CursorOptions) {
    this.options = options
    this.origin = options.order === "time" ? new Origin() : undefined
    this.shared = new Piece(this.origin, this.options.counts)
  }

  add(ring: PerfRing): void {
    const piece = this.options.order === "time" || this.options.overwritable
      ? new Piece(this.origin, this.options.counts)
      : this.shared
    this.readings = [...this.readings, { ring, piece, ahead: 0, before: 0, now: 0, old: 0 }]
  }

  /** Of a ring that is closed: what was copied of it is not delivered any more. */
  remove(ring: PerfRing): void {
    this.readings = this.readings.filter((reading) => reading.ring !== ring)
  }

  close(): void {
    this.closed = true
  }

  /** Whether there is something that no wake-up will tell of: copied or held back. */
  get isHolding(): boolean {
    if (this.closed) return false
    if (this.failed !== undefined || this.shared.left > 0) return true
    return this.readings.some(({ now, piece, ring }) => piece.left > 0 || now > ring.position)
  }

  /** Whether nothing that was copied of a ring is left to deliver. */
  isDelivered(ring: PerfRing): boolean {
    return this.readings.every(({ piece }) => piece.ring !== ring || piece.left === 0)
  }

  drain(visit: Visit | Visitor, limit = Number.POSITIVE_INFINITY): number {
    if (this.closed) return 0
    const { counts, overwritable, order, subject } = this.options
    if (this.draining) {
      const expected = "one drain of a reader at a time"
      const actual = "a drain within its own visitor"
      throw new PerfBufferError({ buffer: subject, cpu: undefined, reason: "InUse", expected, actual })
    }
    if (this.failed !== undefined) throw this.failed
    const visitor = typeof visit === "function" ? { sample: visit } : visit
    this.draining = true
    const before = counts.events
    try {
      this.shared.forgetTransferred()
      for (const { piece } of this.readings) piece.forgetTransferred()
      if (overwritable) return this.drainOverwritable(visitor, limit)
      return order === "time" ? this.drainByTime(visitor, limit) : this.drainInTurn(visitor, limit)
    } finally {
      this.draining = false
      if (counts.events > before) counts.batches++
    }
  }

  /** What is found to be wrong in shared memory stays wrong. */
  private checked<A>(look: () => A): A {
    try {
      return look()
    } catch (error) {
      if (error instanceof PerfBufferError) this.failed = error
      throw error
    }
  }

  /** How much each ring has: what comes later is the next drain's. */
  private look(): ReadonlyArray<Reading> {
    const { readings } = this
    this.checked(() => {
      for (const reading of readings) reading.ahead = reading.ring.unread()
    })
    return readings
  }

  private load(reading: Reading): void {
    reading.ahead -= this.checked(() => reading.piece.load(reading.ring, reading.ahead))
  }

  /** A piece of each ring in turn, and another the next time: a busy CPU does not keep the others waiting. */
  private drainInTurn(visitor: Visitor, limit: number): number {
    const { shared } = this
    let visited = shared.left > 0 ? shared.visit(visitor, limit) : 0
    if (visited >= limit) return visited
    const readings = this.look()
    for (let more = true; more;) {
      more = false
      for (let i = 0; i < readings.length; i++) {
        const at = (this.first + i) % readings.length
        const reading = readings[at]!
        if (this.closed) return visited
        if (reading.ahead === 0 || reading.ring.closed) continue
        more = true
        this.load(reading)
        visited += shared.visit(visitor, limit - visited)
        if (visited < limit) continue
        this.first = (at + 1) % readings.length
        return visited
      }
    }
    return visited
  }

  private drainByTime(visitor: Visitor, limit: number): number {
    const readings = this.look()
    for (const reading of readings) {
      reading.before = reading.now
      reading.now = reading.ring.position + reading.ahead
      reading.old = reading.piece.left // was there at the drain before, which copied it
    }
    return this.merge(readings, visitor, limit)
  }

  private drainOverwritable(visitor: Visitor, limit: number): number {
    const { readings } = this
    if (readings.every(({ piece }) => piece.left === 0)) {
      const load = () => readings.forEach(({ piece, ring }) => piece.loadBack(ring))
      this.options.paused(() => this.checked(load))
    }
    for (const reading of readings) reading.old = reading.piece.left
    if (this.options.order === "time") return this.merge(readings, visitor, limit)
    let visited = 0
    for (const { piece } of readings) {
      if (visited >= limit || this.closed) break
      if (piece.left > 0) visited += piece.visit(visitor, limit - visited)
    }
    return visited
  }

  /** Delivers by time, as long as a ring has records that were there at the drain before. */
  private merge(readings: ReadonlyArray<Reading>, visitor: Visitor, limit: number): number {
    let visited = 0
    while (visited < limit && !this.closed) {
      let pending = false
      let next: Reading | undefined
      let least = Number.POSITIVE_INFINITY
      for (const reading of readings) {
        const { piece, ring } = reading
        // A piece may have nothing to deliver: what it had were records of other types.
        while (piece.left === 0 && reading.ahead > 0 && !ring.closed) {
          const from = ring.position
          this.load(reading)
          reading.old = piece.countWithin(reading.before - from)
        }
        if (piece.left === 0) continue
        if (reading.old > 0 || reading.before > ring.position) pending = true
        if (piece.nextTime < least || next === undefined) {
          next = reading
          least = piece.nextTime
        }
      }
      if (!pending || next === undefined) break
      next.old = Math.max(0, next.old - 1)
      visited += next.piece.visit(visitor, 1, 1)
    }
    return visited
  }
}
