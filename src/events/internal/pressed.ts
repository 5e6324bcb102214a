// A stream with something between its source and its consumer: the source is pulled by a fiber of its own, as fast as it
// gives or until there is no room, and the consumer takes what waits.
import * as Effect from "effect/Effect"
import type * as Arr from "effect/Array"
import type * as Cause from "effect/Cause"
import * as Exit from "effect/Exit"
import type * as Pull from "effect/Pull"
import * as Scope from "effect/Scope"
import { turn } from "../../kernel/turn.ts"
import type { Backlog } from "./backlog.ts"

/** Who counts what goes by; each is told before the records go on. */
export interface Account {
  readonly received: (count: number) => void
  readonly dropped: (count: number) => void
  readonly delivered: (count: number) => void
  /** So many more wait, or fewer. */
  readonly buffered: (change: number) => void
  /** So many waited when the consumer left. */
  readonly abandoned: (count: number) => void
}

type Batch<A> = Arr.NonEmptyReadonlyArray<A>
type Source<A, E> = Pull.Pull<Batch<A>, E>

/** A side that waits for the other. */
interface Waiting {
  /** Waits until `isOver`, which is asked once, or until `wake`: a fiber may pause between its own look and this one. */
  readonly wait: (isOver: () => boolean) => Effect.Effect<void>
  /** Lets it go on, at once: call it last. */
  readonly wake: () => void
}

const makeWaiting = (): Waiting => {
  let resume: ((effect: Effect.Effect<void>) => void) | undefined
  return {
    wait: (isOver) =>
      Effect.callback<void>((resumeThis) => {
        if (isOver()) return resumeThis(Effect.void)
        resume = resumeThis
        return Effect.sync(() => {
          resume = undefined
        })
      }),
    wake: () => {
      const resumeNow = resume
      resume = undefined
      resumeNow?.(Effect.void)
    }
  }
}

/** What a source gives, at most one array ahead of its consumer; `pick` may leave records out. */
export const straight = <A, E>(
  pull: Source<A, E>,
  account: Account,
  pick: (records: Batch<A>) => ReadonlyArray<A>
): Source<A, E> => {
  const next: Source<A, E> = Effect.flatMap(pull, (records): Source<A, E> => {
    const picked = pick(records)
    account.received(records.length)
    if (picked.length < records.length) account.dropped(records.length - picked.length)
    account.delivered(picked.length)
    return picked.length > 0
      ? Effect.succeed(picked as unknown as Batch<A>)
      : Effect.flatMap(turn, () => next)
  })
  return next
}

/** A source as the consumer sees it, through a backlog. `waits`: the source waits for room; else it drops. */
export const buffering = <A, E>(
  pull: Source<A, E>,
  scope: Scope.Scope,
  account: Account,
  options: { readonly backlog: Backlog<A>; readonly capacity: number; readonly waits: boolean }
): Effect.Effect<Source<A, E>> => {
  const { backlog, capacity, waits } = options
  const consumer = makeWaiting()
  const producer = makeWaiting()
  let ended: Cause.Cause<E | Cause.Done<void>> | undefined
  /** How many records of the last array the source's fiber still holds. */
  let held = 0

  const offer = (records: ReadonlyArray<A>): void => {
    const dropped = backlog.offer(records)
    held -= records.length
    if (dropped > 0) {
      account.buffered(-dropped)
      account.dropped(dropped)
    }
    consumer.wake()
  }

  /** Puts away an array from `start` on, as much at once as ever has room. */
  const place = (records: Batch<A>, start: number): Effect.Effect<void> =>
    Effect.suspend(() => {
      const room = capacity - backlog.size()
      const wanted = Math.min(records.length - start, capacity)
      const put = (count: number): Effect.Effect<void> => {
        const end = start + count
        offer(start === 0 && end === records.length ? records : records.slice(start, end))
        return end === records.length ? Effect.void : place(records, end)
      }
      if (wanted <= room) return put(wanted)
      if (!waits) {
        // A consumer that is ready to take has a turn before anything is dropped.
        return Effect.flatMap(Effect.yieldNow, () => Effect.suspend(() => put(wanted)))
      }
      return room > 0
        ? put(room)
        : Effect.flatMap(producer.wait(() => backlog.size() < capacity), () => place(records, start))
    })

  const produce: Effect.Effect<never, E | Cause.Done<void>> = Effect.flatMap(pull, (records) => {
    held = records.length
    account.received(held)
    account.buffered(held)
    return Effect.flatMap(Effect.andThen(place(records, 0), turn), () => produce)
  })

  const take: Source<A, E> = Effect.suspend((): Source<A, E> => {
    const records = backlog.take()
    if (records.length > 0) {
      account.buffered(-records.length)
      account.delivered(records.length)
      producer.wake()
      return Effect.succeed(records as unknown as Batch<A>)
    }
    return ended === undefined
      ? Effect.flatMap(consumer.wait(() => backlog.size() > 0 || ended !== undefined), () => take)
      : Effect.failCause(ended)
  })

  return Effect.gen(function*() {
    yield* Scope.addFinalizer(
      scope,
      Effect.sync(() => {
        const left = backlog.size() + held
        if (left === 0) return
        account.buffered(-left)
        account.abandoned(left)
      })
    )
    yield* produce.pipe(
      Effect.onExit((exit) =>
        Effect.sync(() => {
          if (Exit.isFailure(exit)) ended = exit.cause
          consumer.wake()
        })
      ),
      Effect.forkIn(scope)
    )
    return take
  })
}
