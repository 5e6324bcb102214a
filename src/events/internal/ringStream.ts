// Streams of records: of one reader, or of several.
import type * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import type * as Pull from "effect/Pull"
import type * as Scope from "effect/Scope"
import { errno } from "../../abi/errno.ts"
import type { SystemCallError } from "../../kernel/KernelError.ts"
import { isTurnDue } from "../../kernel/turn.ts"
import type { EventDecodeError } from "./decodeError.ts"
import { type OnDecodeError, RingBatches } from "./ringBatch.ts"
import { RingBufferError } from "./ringError.ts"
import type { RingReader } from "./ringReader.ts"
import { waitForAny } from "./ringWait.ts"

export interface Settings {
  readonly batchSize: number
  readonly onDecodeError: OnDecodeError
  readonly drainOnClose: boolean
}

export type Failure = EventDecodeError | RingBufferError | SystemCallError

/** One of a stream's rings: what it gives next, and whether it has ended. */
class Part<A, B> {
  readonly reader: RingReader<A>
  readonly batches: RingBatches<A>
  ended = false
  private readonly give: (batches: RingBatches<A>) => B | undefined
  private failure: Failure | undefined

  constructor(reader: RingReader<A>, give: (batches: RingBatches<A>) => B | undefined) {
    this.reader = reader
    this.batches = new RingBatches(reader.cursor, reader.map.record, reader.counts)
    this.give = give
  }

  /** What is there, or `undefined`; what fails it is given only after that. */
  next(): B | undefined {
    if (this.failure !== undefined) return undefined
    try {
      const given = this.give(this.batches)
      this.failure = this.batches.failure
      return given
    } catch (error) {
      if (!(error instanceof RingBufferError)) throw error
      this.failure = error
      return undefined
    }
  }

  takeFailure(): Failure | undefined {
    return this.failure
  }
}

/**
 * Pulls from readers in turn. `give` reads a batch of one, `undefined` for none. With `drainOnClose` a reader whose scope, or
 * map, has closed gives what is left, and then no more; once all have ended the pull is done.
 */
const pulling = <A, B>(
  readers: ReadonlyArray<RingReader<A>>,
  drainOnClose: boolean,
  give: (batches: RingBatches<A>) => B | undefined
): Effect.Effect<Pull.Pull<B, Failure>, never, Scope.Scope> =>
  Effect.gen(function*() {
    const parts = readers.map((reader) => new Part(reader, give))
    if (drainOnClose) {
      yield* Effect.acquireRelease(
        Effect.sync(() => readers.forEach((reader) => reader.keepers++)),
        () => Effect.sync(() => readers.forEach((reader) => reader.keepers--))
      )
    }
    let turn = 0
    const isClosed = (error: SystemCallError): boolean => drainOnClose && error.errno === errno.EBADF
    const next = (): Pull.Pull<B, Failure> => {
      for (let i = 0; i < parts.length; i++) {
        const part = parts[turn]!
        turn = turn + 1 < parts.length ? turn + 1 : 0
        const given = part.next()
        if (given !== undefined) return Effect.succeed(given)
        const failure = part.takeFailure()
        if (failure !== undefined) return Effect.fail(failure)
      }
      const open = parts.filter((part) => !part.ended)
      if (open.length === 0) return Cause.done()
      const waits = open.map((part) => part.reader.wait)
      const ready = waits.length === 1 ? waits[0]!.ready() : waitForAny(waits)
      return Effect.matchEffect(ready, {
        onSuccess: () => pull,
        onFailure: (error) => {
          if (!isClosed(error)) return Effect.fail(error)
          // What was submitted until now is given, and nothing after it.
          for (const part of open) {
            if (part.reader.wait.isOpen) continue
            part.ended = true
            part.reader.cursor.endHere()
          }
          return pull
        }
      })
    }
    const pull: Pull.Pull<B, Failure> = Effect.suspend(() =>
      isTurnDue() ? Effect.flatMap(Effect.yieldNow, next) : next()
    )
    return pull
  })

export const pullValues = <A>(readers: ReadonlyArray<RingReader<A>>, settings: Settings) =>
  pulling(readers, settings.drainOnClose, (batches): Arr.NonEmptyReadonlyArray<A> | undefined => {
    const values = batches.values(settings.batchSize, settings.onDecodeError)
    return values.length > 0 ? values as unknown as Arr.NonEmptyReadonlyArray<A> : undefined
  })

export const pullColumns = <A>(readers: ReadonlyArray<RingReader<A>>, settings: Settings) =>
  pulling(readers, settings.drainOnClose, (batches) => {
    const batch = batches.columns(settings.batchSize, settings.onDecodeError)
    return batch.rows > 0 ? [batch] as const : undefined
  })
