// Effects of operations that are over in a microsecond. Where a generator yields one (`yield* map.lookup(key)`), it runs on
// the spot: the value comes back without a turn of the fiber's run loop, which costs some 500 ns after each system call,
// when the processor has forgotten the loop's branches. Everywhere else it is an `Effect.suspend` like any other.
import * as Effect from "effect/Effect"
import { caught } from "./handle.ts"

/** How often a generator may go on without giving other fibers a turn; the run loop's own number is 2048. */
const MOST_IN_A_ROW = 1024
let inARow = 0

/** The suspended form: what `run` throws as a failure. */
const suspended = <A>(run: () => A) => (): Effect.Effect<A, any> => {
  try {
    return Effect.succeed(run())
  } catch (error) {
    return caught(error)
  }
}

/**
 * Where `Effect.suspend` keeps its thunk: its objects have that one property. If they ever are built otherwise, this is
 * `undefined`, and operations are plain suspended effects.
 */
const thunkKey: PropertyKey | undefined = (() => {
  const thunk = (): Effect.Effect<void> => Effect.void
  const sample: object = Effect.suspend(thunk)
  const [key, ...others] = Reflect.ownKeys(sample)
  return key !== undefined && others.length === 0 && Reflect.get(sample, key) === thunk ? key : undefined
})()

/** What `yield*` makes of an effect: runs it at once, or hands a failure, or the whole of it, to the run loop. */
class InlineIterator<A> implements Iterator<Effect.Effect<A, any>, A, any> {
  private run: (() => A) | undefined
  constructor(run: () => A) {
    this.run = run
  }
  next(value: any): IteratorResult<Effect.Effect<A, any>, A> {
    const { run } = this
    if (run === undefined) return { done: true, value }
    if (++inARow > MOST_IN_A_ROW) {
      inARow = 0
      this.run = undefined
      return { done: false, value: Effect.flatMap(Effect.yieldNow, suspended(run)) }
    }
    try {
      return { done: true, value: run() }
    } catch (error) {
      this.run = undefined
      // Suspended: a defect thrown here would be an exception that the generator's own code could catch.
      return { done: false, value: Effect.suspend(() => caught(error)) }
    }
  }
}

interface Inline {
  readonly run: () => unknown
}

const prototype = Object.create(Object.getPrototypeOf(Effect.suspend(() => Effect.void)), {
  [Symbol.iterator]: {
    value: function(this: Inline) {
      return new InlineIterator(this.run)
    }
  },
  ...(thunkKey === undefined ? {} : {
    [thunkKey]: {
      get: function(this: Inline) {
        return suspended(this.run)
      }
    }
  })
})

const Inline = function(this: { run: () => unknown }, run: () => unknown) {
  this.run = run
} as unknown as new(run: () => unknown) => unknown
Inline.prototype = prototype

/** True if operations run inside generators; for the tests, which must notice when they no longer do. */
export const isInline: boolean = thunkKey !== undefined

/**
 * An effect of `run`, which must not wait. What it throws of this library's errors is a failure, and anything else a
 * defect.
 */
export const inline: <A, E>(run: () => A) => Effect.Effect<A, E> = thunkKey === undefined
  ? (run) => Effect.suspend(suspended(run))
  : (run) => new Inline(run) as never
