/**
 * Reads ring buffers: as a `Stream` of decoded records, or record by record in place for those who need every
 * nanosecond. Kernel 5.8.
 *
 * A ring buffer has one reader at a time, on the whole machine: a second one fails with EEXIST, from whatever handle, thread
 * or process it comes. (Programs that do not use this library are not asked; if one reads too, this one fails with a
 * `RingBufferError`.) Records come in the order in which programs
 * reserved them. Those that a program discarded are skipped. Records lost because the ring was full are not seen here:
 * only the program can count them, by the result of its `bpf_ringbuf_output` or `reserve`.
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
import type * as Arr from "effect/Array"
import * as Effect from "effect/Effect"
import type * as Pull from "effect/Pull"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import { deferredStream } from "../effect/onDemand.ts"
import { errno } from "../abi/errno.ts"
import { acquireMapping, acquireWatch, allOrNothing } from "../kernel/systemCall.ts"
import { checkInteger } from "../kernel/validate.ts"
import { mman } from "../abi/os.ts"
import { Kernel } from "../kernel/Kernel.ts"
import type { InvalidArgument, SystemCallError } from "../kernel/KernelError.ts"
import { type Layout, LayoutError } from "../layout/Layout.ts"
import { describe } from "../map/BpfMap.ts"
import type { RingBufferMap } from "../map/RingBufferMap.ts"
import { isTurnDue } from "../kernel/turn.ts"
import { makeCursor, type Visit } from "./internal/ringCursor.ts"
import { RingBufferError } from "./internal/ringError.ts"
import { acquireOwnership } from "./internal/ringOwner.ts"

export type { Visit } from "./internal/ringCursor.ts"
export { RingBufferError } from "./internal/ringError.ts"

/**
 * The reading end of a ring buffer. `drain` and `ready` are meant to take turns: drain until it gives 0, then wait.
 */
export interface Reader {
  /**
   * Calls `visit` for each record that is there when it begins, at most `limit` of them, and gives their number. The memory
   * that `visit` sees is the reader's own and is valid only inside the call: decode or copy. What is written to it harms
   * the records after it at most. If `visit` throws, the record counts as read.
   *
   * Throws a `RingBufferError` if called within its own `visit`, if another reader moved the ring's position, and for
   * positions and lengths that cannot be. After the scope has closed it gives 0. It blocks the event loop as long as it
   * reads, some 10 ns for a small record: with a slow `visit`, give a `limit`.
   */
  readonly drain: (visit: Visit, limit?: number) => number
  /**
   * Waits until there is something to drain, for any number of fibers. Fails with EBADF once the scope of the reader or of
   * its map has closed, or the Kernel layer was released. Takes up to 4 ms in a `worker_threads` worker, where some 40 µs
   * are usual.
   */
  readonly ready: Effect.Effect<void, SystemCallError>
}

/**
 * Opens the reading end of a ring buffer, closed with the scope. Reading goes on where the last reader stopped.
 *
 * Fails with `SystemCallError`: EEXIST if it has a reader already.
 */
export const make = <A>(map: RingBufferMap<A>): Effect.Effect<Reader, SystemCallError, Kernel | Scope.Scope> =>
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
    const ready = yield* acquireWatch(kernel, subject, fd, {
      [errno.EEXIST]: "It has a reader already, and a ring buffer can have only one",
      [errno.EBADF]: "The reader's scope, or that of its map, has closed"
    })
    const cursor = makeCursor({
      subject,
      consumer,
      producer,
      dataOffset: pageSize,
      size: spec.maxEntries,
      architecture: kernel.architecture
    })
    yield* Effect.addFinalizer(() => Effect.sync(cursor.close))
    return { drain: cursor.drain, ready }
  }))

/** How many records a stream decodes at once: the size of its largest chunk. */
const DEFAULT_BATCH = 4096
/** How many it decodes before it looks at the clock. */
const DECODED_AT_ONCE = 256

const tooShort = (layout: Layout<unknown>, length: number): LayoutError =>
  new LayoutError({ path: "record", expected: `at least ${layout.size} bytes`, actual: `${length} bytes` })

/**
 * The records of a ring buffer, decoded by its layout, in order. Each chunk holds what was there, up to `batchSize`
 * records; with nothing there the stream waits without holding a thread, and with always something there it gives the event
 * loop a turn every 5 ms, beside what its consumer does with a chunk. It ends only by failing or by being interrupted,
 * and then leaves the ring to the next reader. Records of a chunk are out of the ring: what an interrupted consumer, or
 * `Stream.take`, leaves of one is gone.
 *
 * A record may be longer than the layout: the rest is ignored. Fails with `LayoutError` for a shorter one, after all
 * records before it, with `SystemCallError` if the ring cannot be opened, and with `RingBufferError` if it cannot be read on.
 */
export const stream = <A>(
  map: RingBufferMap<A>,
  options?: { readonly batchSize?: number }
): Stream.Stream<A, InvalidArgument | LayoutError | RingBufferError | SystemCallError, Kernel> =>
  deferredStream((module) =>
    module.scoped(module.fromPull(Effect.gen(function*() {
      const limit = options?.batchSize ?? DEFAULT_BATCH
      const invalid = checkInteger("batchSize", limit, 1, 1 << 24)
      if (invalid !== undefined) return yield* invalid
      const { record } = map
      const reader = yield* make(map)

      let failure: LayoutError | RingBufferError | undefined
      let batch: Array<A> = []
      const visit: Visit = (view, bytes, offset, length) => {
        if (length < record.size) throw tooShort(record as Layout<unknown>, length)
        batch.push(record.read(view, bytes, offset))
      }
      const fill = (): Array<A> => {
        batch = []
        try {
          for (;;) {
            const wanted = Math.min(DECODED_AT_ONCE, limit - batch.length)
            if (reader.drain(visit, wanted) < wanted || batch.length >= limit || isTurnDue()) break
          }
        } catch (error) {
          if (!(error instanceof LayoutError || error instanceof RingBufferError)) throw error
          failure = error
        }
        return batch
      }
      type Chunk = Arr.NonEmptyReadonlyArray<A>
      type Failure = LayoutError | RingBufferError | SystemCallError
      const next = (): Pull.Pull<Chunk, Failure> => {
        if (failure !== undefined) return Effect.fail(failure)
        const records = fill()
        if (records.length > 0) return Effect.succeed(records as unknown as Chunk)
        return failure === undefined ? Effect.flatMap(reader.ready, () => pull) : Effect.fail(failure)
      }
      const pull: Pull.Pull<Chunk, Failure> = Effect.suspend(() =>
        isTurnDue() ? Effect.flatMap(Effect.yieldNow, next) : next()
      )
      return pull
    })))
  )
