// The reading end of a ring: its mappings, its ownership, its cursor, and how it is waited for.
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { mman } from "../../abi/os.ts"
import { Kernel } from "../../kernel/Kernel.ts"
import { InvalidArgument, type SystemCallError } from "../../kernel/KernelError.ts"
import { acquireMapping, allOrNothing } from "../../kernel/systemCall.ts"
import { isTurnDue } from "../../kernel/turn.ts"
import { shown } from "../../kernel/validate.ts"
import { describe } from "../../map/BpfMap.ts"
import type { RingBufferMap } from "../../map/RingBufferMap.ts"
import type { EventStatistics } from "../EventStatistics.ts"
import { acquireCounts, type Counts } from "./counts.ts"
import { type ColumnBatch, RingBatches } from "./ringBatch.ts"
import { RingCursor, type RingPosition, type Visit } from "./ringCursor.ts"
import { acquireOwnership } from "./ringOwner.ts"
import { RingWait } from "./ringWait.ts"
import type { RingBufferError } from "./ringError.ts"

/** How many records are visited before the clock is looked at. */
const AT_ONCE = 256

/** How many rows columns have, unless told. */
const DEFAULT_ROWS = 4096

/** A limit of records: an integer from 1 on; anything below it reads nothing, and no limit reads all. */
const limitOf = (limit: number | undefined): number => {
  if (limit === undefined) return Number.POSITIVE_INFINITY
  if (typeof limit !== "number" || Number.isNaN(limit)) throw refused("limit", "a number of records", limit)
  return Math.floor(limit)
}

const refused = (field: string, expected: string, actual: unknown): InvalidArgument =>
  new InvalidArgument({ field, expected, actual: shown(actual) })

const checkVisit = (visit: unknown): void => {
  if (typeof visit !== "function") throw refused("visit", "a function", visit)
}

export class RingReader<A> {
  readonly map: RingBufferMap<A>
  readonly cursor: RingCursor<A>
  readonly counts: Counts
  readonly wait: RingWait
  /** How many streams want what is left when the reader closes. */
  keepers = 0
  private readonly batches: RingBatches<A>

  constructor(map: RingBufferMap<A>, cursor: RingCursor<A>, counts: Counts, wait: RingWait) {
    this.map = map
    this.cursor = cursor
    this.counts = counts
    this.wait = wait
    this.ready = wait.ready()
    this.batches = new RingBatches(cursor, map.record, counts)
  }

  readonly ready: Effect.Effect<void, SystemCallError>

  readonly flush: Effect.Effect<void> = Effect.sync(() => this.wait.wake())

  readonly drain = (visit: Visit<A>, limit?: number): number => {
    checkVisit(visit)
    return this.cursor.drain(visit, limitOf(limit))
  }

  readonly peek = (visit: Visit<A>, limit?: number): number => {
    checkVisit(visit)
    return this.cursor.peek(visit, limitOf(limit))
  }

  readonly take = (limit?: number): Array<A> => {
    const { batches } = this
    if (batches.failure === undefined) {
      const values = batches.values(limitOf(limit), "fail")
      if (values.length > 0 || batches.failure === undefined) return values
    }
    return this.fail()
  }

  readonly columns = (limit?: number, into?: ColumnBatch<A>): ColumnBatch<A> => {
    const { batches } = this
    if (into !== undefined && !batches.hasGiven(into)) {
      throw refused("into", "a batch that this reader's `columns` gave", into)
    }
    if (batches.failure === undefined) {
      const batch = batches.columns(Math.min(limitOf(limit ?? DEFAULT_ROWS), 1 << 24), "fail", into)
      if (batch.rows > 0 || batches.failure === undefined) return batch
    }
    return this.fail()
  }

  /** The failure that stands after what was given last. */
  private fail(): never {
    const { failure } = this.batches
    this.batches.failure = undefined
    throw failure
  }

  readonly position = (): RingPosition => this.cursor.where()

  readonly statistics = (): EventStatistics => this.counts.snapshot()

  /** Visits until `limit` records were, or `milliseconds` are over. */
  process(
    visit: Visit<A>,
    limit: number,
    milliseconds: number | undefined
  ): Effect.Effect<number, RingBufferError | SystemCallError> {
    return Effect.suspend(() => {
      const end = milliseconds === undefined ? undefined : performance.now() + milliseconds
      let visited = 0
      const step: Effect.Effect<number, SystemCallError> = Effect.suspend(() => {
        for (;;) {
          const wanted = Math.min(AT_ONCE, limit - visited)
          const found = this.cursor.drain(visit, wanted)
          visited += found
          if (visited >= limit) return Effect.succeed(visited)
          if (end !== undefined && performance.now() >= end) return Effect.succeed(visited)
          if (found < wanted) break
          if (isTurnDue()) return Effect.flatMap(Effect.yieldNow, () => step)
        }
        const left = end === undefined ? undefined : Math.max(1, Math.ceil(end - performance.now()))
        return Effect.flatMap(left === undefined ? this.ready : this.wait.ready(left), () => step)
      })
      return step
    })
  }
}

/** Opens a reader, closed with the scope. */
export const acquireReader = <A>(
  map: RingBufferMap<A>,
  deadline: number | undefined
): Effect.Effect<RingReader<A>, SystemCallError, Kernel | Scope.Scope> =>
  allOrNothing(Effect.gen(function*() {
    const kernel = yield* Kernel
    const { fd, spec } = map
    const { pageSize } = kernel
    const subject = describe(spec)
    // The first page holds the consumer's position, the second the producer's; the data follows, mapped twice in a row,
    // so that a record never wraps. Only the consumer's page may be written.
    const consumer = yield* acquireMapping(kernel, subject, {
      fd,
      length: pageSize,
      protection: mman.PROT_READ | mman.PROT_WRITE,
      offset: 0
    })
    const producer = yield* acquireMapping(kernel, subject, {
      fd,
      length: pageSize + 2 * spec.maxEntries,
      protection: mman.PROT_READ,
      offset: pageSize
    })
    yield* acquireOwnership(kernel, subject, consumer)
    const counts: Counts = yield* acquireCounts({ kind: spec.type, name: spec.name, lag: () => cursor.lag() })
    const cursor: RingCursor<A> = new RingCursor<A>({
      subject,
      layout: map.record,
      consumer,
      producer,
      dataOffset: pageSize,
      size: spec.maxEntries,
      architecture: kernel.architecture
    }, counts)
    const wait = new RingWait(kernel, subject, {
      deadline,
      isBusy: () => cursor.isBusy(),
      woken: () => void counts.wakeups++
    })
    const reader = new RingReader(map, cursor, counts, wait)
    yield* wait.open(fd)
    // Before whoever waits is told.
    yield* Effect.addFinalizer(() => Effect.sync(() => cursor.close(reader.keepers > 0)))
    return reader
  }))
