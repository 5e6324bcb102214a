// Records in batches: as values, or as columns. Layouts of this package's own codecs are read in place; others from a copy,
// since what they run may do anything.
import {
  type Columns,
  columnsFor,
  type DirectReads,
  directReads,
  type Layout,
  scatteredReads
} from "../../layout/Layout.ts"
import type { Counts } from "./counts.ts"
import { EventDecodeError } from "./decodeError.ts"
import type { RingCursor } from "./ringCursor.ts"
import { tooShort } from "./ringRecord.ts"
import { isTurnDue } from "../../kernel/turn.ts"

/** Records as typed arrays, a row for each. */
export interface ColumnBatch<A> {
  readonly rows: number
  readonly columns: Columns<A>
}

/** What to do with a record that its layout cannot decode. */
export type OnDecodeError = "fail" | "skip"

/** How many records are decoded before the clock is looked at, and in how many bytes they lie. */
const AT_ONCE = 256
const PIECE = 1 << 16

export class RingBatches<A> {
  /** The error that the last batch ended with, after the records before it. */
  failure: EventDecodeError | undefined
  private readonly cursor: RingCursor<A>
  private readonly layout: Layout<A>
  private readonly direct: DirectReads<A> | undefined
  private readonly least: number
  private readonly counts: Counts
  private readonly progress = { done: 0 }
  /** The memory of columns that were given, by their batch: who gives one back has it filled again. */
  private readonly given = new WeakMap<ColumnBatch<A>, MadeColumns<A>>()

  constructor(cursor: RingCursor<A>, layout: Layout<A>, counts: Counts) {
    this.cursor = cursor
    this.layout = layout
    this.direct = directReads(layout)
    this.least = this.direct?.size ?? layout.size
    this.counts = counts
  }

  /** Up to `limit` values of what is there, and no more than are decoded in a turn of the event loop. */
  values(limit: number, policy: OnDecodeError): Array<A> {
    const values: Array<A> = []
    const { cursor } = this
    if (!cursor.begin()) return values
    try {
      while (values.length < limit && cursor.hasMore) {
        const found = cursor.find(Math.min(AT_ONCE, limit - values.length), this.least, PIECE)
        if (!this.decode(found, policy, (count, memory) => this.readMany(count, memory, values))) break
        if (isTurnDue()) break
      }
    } finally {
      cursor.end()
      if (values.length > 0) this.counts.batches++
    }
    return values
  }

  /** Whether a batch is one that `columns` gave. */
  hasGiven(batch: ColumnBatch<A>): boolean {
    return this.given.has(batch)
  }

  private remember(rows: number, made: MadeColumns<A>): ColumnBatch<A> {
    const batch = { rows, columns: made.columns }
    this.given.set(batch, made)
    return batch
  }

  /** The same in columns, which have their exact size; or those of a batch that was given, where they have room. */
  columns(limit: number, policy: OnDecodeError, into?: ColumnBatch<A>): ColumnBatch<A> {
    const { cursor, layout } = this
    const old = into === undefined ? undefined : this.given.get(into)
    let made = old ?? columnsFor(layout, 0)
    const done = { rows: 0 }
    if (!cursor.begin()) return this.remember(0, made)
    const scattered = this.direct?.scattered ?? scatteredReads(layout)
    const read = (count: number, { bytes, view }: Memory): void => {
      made = old !== undefined && haveRoom(old.flat, count) ? old : columnsFor(layout, count)
      const { progress } = this
      try {
        scattered(view, bytes, cursor.survey.offsets, count, made.flat, 0, progress)
      } catch (error) {
        // The rows before the one that failed, in columns of their size.
        const rows = progress.done
        if (made !== old) {
          made = columnsFor(layout, rows)
          scattered(view, bytes, cursor.survey.offsets, rows, made.flat, 0, progress)
        }
        throw error
      } finally {
        done.rows = progress.done
      }
    }
    try {
      while (done.rows === 0 && cursor.hasMore) {
        const found = cursor.find(limit, this.least, 0x7fffffff)
        if (!this.decode(found, policy, read) || isTurnDue()) break
      }
    } finally {
      cursor.end()
      if (done.rows > 0) this.counts.batches++
    }
    return this.remember(done.rows, made)
  }

  /** Reads what was found; false if it ended with a failure. */
  private decode(found: number, policy: OnDecodeError, read: (count: number, memory: Memory) => void): boolean {
    const { cursor, progress } = this
    if (found < 0) return this.refuse(0, 1, policy, tooShort(this.least, cursor.survey.lengths[0]!))
    if (found === 0) {
      cursor.consume(0, 0)
      return true
    }
    progress.done = 0
    try {
      read(found, this.direct === undefined ? cursor.copied(found) : cursor.memory)
    } catch (error) {
      return this.refuse(progress.done, found, policy, error)
    }
    cursor.consume(found, found)
    return true
  }

  private readMany(count: number, { bytes, view }: Memory, values: Array<A>): void {
    const { layout, progress } = this
    const { offsets } = this.cursor.survey
    if (this.direct !== undefined) return this.direct.many(view, bytes, offsets, count, values, progress)
    for (let i = 0; i < count; i++) {
      values.push(layout.read(view, bytes, offsets[i]!))
      progress.done = i + 1
    }
  }

  /** Record `i` of those found cannot be decoded: it, and those before it, are read. */
  private refuse(i: number, found: number, policy: OnDecodeError, cause: unknown): boolean {
    const { cursor } = this
    this.counts.decodeErrors++
    if (policy === "fail") {
      this.failure = new EventDecodeError({ source: cursor.subject, bytes: cursor.bytesOf(i), cause })
    }
    cursor.consume(i + 1, found)
    return policy === "skip"
  }
}

type MadeColumns<A> = ReturnType<typeof columnsFor<A>>

/** Typed arrays alone: an array of a user's may have accessors. One whose buffer was transferred has no length. */
const haveRoom = (columns: ReadonlyArray<unknown>, rows: number): boolean =>
  columns.every((column) => ArrayBuffer.isView(column) && (column as Uint8Array).length >= rows)

interface Memory {
  readonly view: DataView
  readonly bytes: Uint8Array
}
