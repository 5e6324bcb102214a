import * as Effect from "effect/Effect"
import { assert, describe, it } from "@effect/vitest"
import { turn } from "../../../src/kernel/turn.ts"

const spin = (milliseconds: number): void => {
  const end = performance.now() + milliseconds
  while (performance.now() < end);
}

/** `steps` steps of a millisecond or, on a loaded machine, more, with a look at the clock after each. */
const busy = (steps: number, onStep: () => void = () => {}): Effect.Effect<void> =>
  Effect.gen(function*() {
    for (let i = 0; i < steps; i++) {
      spin(1)
      onStep()
      yield* turn
    }
  })

describe("turn", () => {
  for (const fibers of [1, 5]) {
    it.live(`lets timers come after a few steps of ${fibers === 1 ? "one fiber" : "five fibers"}`, () =>
      Effect.gen(function*() {
        let inARow = 0
        let most = 0
        let counting = true
        const between = (): void => {
          inARow = 0
          if (counting) setImmediate(between)
        }
        setImmediate(between)
        const count = (): void => {
          most = Math.max(most, ++inARow)
        }
        yield* Effect.all(Array.from({ length: fibers }, () => busy(200 / fibers, count)), { concurrency: "unbounded" })
        counting = false
        // A turn comes after 5 ms, and each fiber may have a step of its own until then.
        assert.isAtMost(most, 6 + fibers)
      }))
  }

  it("goes on under runSync", () => {
    Effect.runSync(busy(20))
  })

  it.live("costs quick steps no turn", () =>
    Effect.gen(function*() {
      let turns = 0
      let counting = true
      const count = (): void => {
        turns++
        if (counting) setImmediate(count)
      }
      setImmediate(count)
      for (let i = 0; i < 1000; i++) yield* turn // well below 5 ms
      counting = false
      assert.isAtMost(turns, 3)
    }))
})
