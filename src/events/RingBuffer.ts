/**
 * Reads ring buffers: as a `Stream` of decoded records, in batches of values or columns, or record by record in place for
 * those who need every nanosecond. Kernel 5.8.
 *
 * A ring buffer has one reader at a time, on the whole machine: a second one fails with EEXIST, from whatever handle, thread
 * or process it comes. (Programs that do not use this library are not asked; if one reads too, this one fails with a
 * `RingBufferError`.) Records come in the order in which programs
 * reserved them. Those that a program discarded are skipped. Records lost because the ring was full are not seen here:
 * only the program can count them, by the result of its `bpf_ringbuf_output` or `reserve`: see `Snippets.countLost`.
 *
 * **Wake-ups.** A program that writes into a ring whose reader has read all before wakes it. One that gives the flag
 * `BPF_RB_NO_WAKEUP` (1) to `bpf_ringbuf_output`, `submit` or `discard` wakes nobody, and its records wait for the next that
 * does; a common policy is to give `BPF_RB_FORCE_WAKEUP` (2) at each 100th record, or once enough is there by
 * `bpf_ringbuf_query`. Readers see such records when they look: `drain` and its sisters always, a stream at the next wake-up,
 * at a `flush`, or within its `deadline`.
 *
 * **Handlers.** Operators of `Stream` make a pipeline of parser, filter, transformation and handler; those on whole arrays
 * cost a few nanoseconds a record:
 *
 * ```ts
 * import { RingBuffer, type RingBufferMap } from "effect-ebpf"
 * import * as Effect from "effect/Effect"
 * import * as Stream from "effect/Stream"
 *
 * const handle = (opened: RingBufferMap.RingBufferMap<{ readonly pid: number; readonly name: string }>) =>
 *   RingBuffer.stream(opened, { onDecodeError: "skip", deadline: "100 millis" }).pipe(
 *     Stream.filter(({ pid }) => pid !== process.pid),
 *     Stream.map(({ name }) => name.toUpperCase()),
 *     Stream.runForEachArray((names) => Effect.log(names.length))
 *   )
 * ```
 *
 * @example
 * ```ts
 * import { Layout, RingBuffer, RingBufferMap } from "effect-ebpf"
 * import * as Effect from "effect/Effect"
 * import * as Stream from "effect/Stream"
 *
 * const program = Effect.gen(function*() {
 *   const events = yield* RingBufferMap.make({ name: "events", record: Layout.u64, maxEntries: 65536 })
 *   // … load and attach a program that writes to it …
 *   return yield* RingBuffer.stream(events).pipe(Stream.take(10), Stream.runCollect)
 * })
 * ```
 */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import { deferredStream } from "../effect/onDemand.ts"
import type { Kernel } from "../kernel/Kernel.ts"
import { InvalidArgument, type SystemCallError } from "../kernel/KernelError.ts"
import { aBoolean, anInteger, type Checks, oneOf, readingOptions } from "../kernel/options.ts"
import { shown } from "../kernel/validate.ts"
import type { RingBufferMap } from "../map/RingBufferMap.ts"
import type { EventStatistics } from "./EventStatistics.ts"
import type { EventDecodeError } from "./internal/decodeError.ts"
import { aDuration, toMilliseconds } from "./internal/duration.ts"
import type { ColumnBatch, OnDecodeError } from "./internal/ringBatch.ts"
import type { RingPosition, Visit } from "./internal/ringCursor.ts"
import type { RingBufferError } from "./internal/ringError.ts"
import { acquireReader, RingReader } from "./internal/ringReader.ts"
import { pullColumns, pullValues, type Settings } from "./internal/ringStream.ts"

export { EventDecodeError } from "./internal/decodeError.ts"
export type { ColumnBatch, OnDecodeError } from "./internal/ringBatch.ts"
export type { RingPosition, Visit } from "./internal/ringCursor.ts"
export { RingBufferError } from "./internal/ringError.ts"
export type { RingRecord } from "./internal/ringRecord.ts"

/**
 * The reading end of a ring buffer. Reads and `ready` are meant to take turns: read until there is nothing, then wait.
 *
 * All reads see what was there when they began. They throw a `RingBufferError` if called within a visitor of the same reader,
 * if another reader moved the ring's position, and for positions and lengths that cannot be; after the scope has closed they
 * give nothing. They block the event loop as long as they read: with slow visitors or codecs, give a `limit`.
 */
export interface Reader<in out A> {
  /** The ring that is read. */
  readonly map: RingBufferMap<A>
  /**
   * Calls `visit` for each record, at most `limit` of them, and gives their number. The record is one object for all, valid
   * only inside the call: read its fields, decode or copy. Nothing is allocated. If `visit` throws, the record counts as
   * read. A visitor may close the reader: no visit follows.
   */
  readonly drain: (visit: Visit<A>, limit?: number) => number
  /** As `drain`, and leaves the records in the ring. */
  readonly peek: (visit: Visit<A>, limit?: number) => number
  /**
   * The next records, decoded by the map's layout: at most `limit`, and no more than some 5 ms of them. Throws an
   * `EventDecodeError` for one that cannot be decoded, after those before it were given: the next call goes on after it.
   */
  readonly take: (limit?: number) => Array<A>
  /**
   * The next records as columns, a typed array for each field: at most `limit` rows, 4096 unless given. Throws as `take`
   * does.
   *
   * With `into`, a batch that this reader gave before and whose rows are no longer needed, its typed arrays are filled again
   * if they have room and no column is an `Array`, and keep their lengths: the first `rows` count. New memory costs a page
   * fault every 4 KiB, which is more than the decoding. Throws an `InvalidArgument` for any other object.
   */
  readonly columns: (limit?: number, into?: ColumnBatch<A>) => ColumnBatch<A>
  /**
   * Waits until there is something to read, a `flush`, or the `deadline`; for any number of fibers. Fails with EBADF once the
   * scope of the reader or of its map has closed, or the Kernel layer was released. Takes up to 4 ms in a `worker_threads`
   * worker, where some 40 µs are usual, and 1 ms where the next record is reserved and not yet submitted.
   */
  readonly ready: Effect.Effect<void, SystemCallError>
  /** Lets who waits, streams included, go on now, or the next who would wait: to see records that wake nobody. */
  readonly flush: Effect.Effect<void>
  /** Where its reader and its programs are in the ring, and how far apart. */
  readonly position: () => RingPosition
  /** What was read, as a snapshot; the same numbers are in Effect's metrics, see `EventStatistics`. */
  readonly statistics: () => EventStatistics
}

/** How a reader waits. */
export interface Options {
  /**
   * How long records may wait that wake nobody: whoever waits then looks that often, so a timer runs where without it
   * nothing does. From 1 ms on; none unless given.
   */
  readonly deadline?: Duration.Input
}

const checks: Checks<Options> = { deadline: aDuration(1) }

/**
 * Opens the reading end of a ring buffer, closed with the scope. Reading goes on where the last reader stopped.
 *
 * Fails with `SystemCallError`: EEXIST if it has a reader already; and with `InvalidArgument` for a wrong option.
 */
export const make: {
  <A>(
    map: RingBufferMap<A>,
    options: Options
  ): Effect.Effect<Reader<A>, InvalidArgument | SystemCallError, Kernel | Scope.Scope>
  <A>(map: RingBufferMap<A>): Effect.Effect<Reader<A>, SystemCallError, Kernel | Scope.Scope>
} = <A>(map: RingBufferMap<A>, options?: Options): Effect.Effect<Reader<A>, any, Kernel | Scope.Scope> =>
  Effect.flatMap(
    readingOptions("options", options, checks),
    ({ deadline }) => acquireReader(map, toMilliseconds(deadline))
  )

/** What `processEvents` ends at. */
export interface Until {
  /** So many records. */
  readonly limit?: number
  /** So much time. */
  readonly timeout?: Duration.Input
}

const untilChecks: Checks<Until> = { limit: anInteger(1, Number.MAX_SAFE_INTEGER), timeout: aDuration(0) }

/**
 * Visits records as they come, until `limit` of them were visited or the `timeout` is over, and gives their number: with both,
 * whichever is first; with neither, for ever. A timeout of 0 visits what is there. The event loop has its turns.
 */
export const processEvents = <A>(
  reader: Reader<A>,
  visit: Visit<A>,
  until?: Until
): Effect.Effect<number, InvalidArgument | RingBufferError | SystemCallError> =>
  Effect.flatMap(readingOptions<Until>("until", until, untilChecks), ({ limit, timeout }): Effect.Effect<
    number,
    InvalidArgument | RingBufferError | SystemCallError
  > => {
    if (!(reader instanceof RingReader)) return Effect.fail(noReader(reader))
    if (typeof visit !== "function") {
      return Effect.fail(new InvalidArgument({ field: "visit", expected: "a function", actual: shown(visit) }))
    }
    return reader.process(visit, limit ?? Number.POSITIVE_INFINITY, toMilliseconds(timeout))
  })

const noReader = (reader: unknown): InvalidArgument =>
  new InvalidArgument({ field: "reader", expected: "a reader of RingBuffer.make", actual: shown(reader) })

/** How a stream reads. */
export interface StreamOptions {
  /** How many records a chunk has at most, 1 to 2^24; 4096 unless given. */
  readonly batchSize?: number
  /**
   * What becomes of a record that its layout cannot decode, which is counted either way: `"fail"` ends the stream with an
   * `EventDecodeError`, after all records before it; `"skip"` goes on. `"fail"` unless given.
   */
  readonly onDecodeError?: OnDecodeError
  /**
   * True for a stream that ends, when the scope of its reader or of its map closes, with what was submitted until then. Else
   * it fails with EBADF. What is left of a reader's ring is copied as it closes: as many bytes as its backlog has.
   */
  readonly drainOnClose?: boolean
}

const streamChecks: Checks<StreamOptions> = {
  batchSize: anInteger(1, 1 << 24),
  onDecodeError: oneOf(["fail", "skip"]),
  drainOnClose: aBoolean
}

/** How many records a stream decodes at once: the size of its largest chunk. */
const DEFAULT_BATCH = 4096

const settingsOf = (
  { batchSize = DEFAULT_BATCH, drainOnClose = false, onDecodeError = "fail" }: StreamOptions
): Settings => ({ batchSize, drainOnClose, onDecodeError })

/** Why a stream of records may fail. */
export type StreamError = EventDecodeError | InvalidArgument | RingBufferError | SystemCallError

type Rings<A> = ReadonlyArray<RingBufferMap<A>>

const opened = <A>(maps: Rings<A>, options: Options & StreamOptions | undefined) =>
  Effect.gen(function*() {
    const read = yield* readingOptions<Options & StreamOptions>("options", options, { ...checks, ...streamChecks })
    const readers = yield* Effect.forEach(maps, (map) => acquireReader(map, toMilliseconds(read.deadline)))
    return { readers, settings: settingsOf(read) }
  })

/**
 * The records of a ring buffer, decoded by its layout, in order. Each chunk holds what was there, up to `batchSize`
 * records; with nothing there the stream waits without holding a thread, and with always something there it gives the event
 * loop a turn every 5 ms, beside what its consumer does with a chunk. It ends only by failing or by being interrupted,
 * or as `drainOnClose` says, and then leaves the ring to the next reader. Records of a chunk are out of the ring: what an
 * interrupted consumer, or `Stream.take`, leaves of one is gone.
 *
 * A record may be longer than the layout: the rest is ignored. Fails with `EventDecodeError` for one that cannot be decoded,
 * with `SystemCallError` if the ring cannot be opened, and with `RingBufferError` if it cannot be read on.
 */
export const stream = <A>(
  map: RingBufferMap<A>,
  options?: Options & StreamOptions
): Stream.Stream<A, StreamError, Kernel> => streamAll([map], options)

/**
 * The records of several ring buffers in one stream. Each chunk is of one ring, and the rings take turns; between records of
 * different rings there is no order. As `stream` otherwise.
 */
export const streamAll = <A>(
  maps: ReadonlyArray<RingBufferMap<A>>,
  options?: Options & StreamOptions
): Stream.Stream<A, StreamError, Kernel> =>
  deferredStream((module) =>
    module.scoped(module.fromPull(
      Effect.flatMap(opened(maps, options), ({ readers, settings }) => pullValues(readers, settings))
    ))
  )

/** As `stream`, in columns: an element for each time that there was something, of at most `batchSize` rows. */
export const streamColumns = <A>(
  map: RingBufferMap<A>,
  options?: Options & StreamOptions
): Stream.Stream<ColumnBatch<A>, StreamError, Kernel> =>
  deferredStream((module) =>
    module.scoped(module.fromPull(
      Effect.flatMap(opened([map], options), ({ readers, settings }) => pullColumns(readers, settings))
    ))
  )

/**
 * As `stream`, of a reader that is open and stays so: for its `statistics`, its `position`, a `flush`. Several streams of one
 * reader share its records.
 */
export const streamFrom = <A>(reader: Reader<A>, options?: StreamOptions): Stream.Stream<A, StreamError> =>
  deferredStream((module) =>
    module.scoped(module.fromPull(
      Effect.flatMap(
        readingOptions("options", options, streamChecks),
        (read) =>
          reader instanceof RingReader
            ? pullValues([reader as RingReader<A>], settingsOf(read))
            : Effect.fail(noReader(reader))
      )
    ))
  )
