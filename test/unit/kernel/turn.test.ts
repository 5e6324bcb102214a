import * as Effect from "effect/Effect"
import { assert, describe, it } from "@effect/vitest"
import { turn } from "../../../src/kernel/turn.ts"

const spin = (milliseconds: number): void => {
  const end = performance.now() + milliseconds
  while (performance.now() < end);
}

/** `steps` steps of `each` milliseconds, with a look at the clock between them. */
const busy = (steps: number, each: number): Effect.Effect<void> =>
  Effect.gen(function*() {
    for (let i = 0; i < steps; i++) {
      spin(each)
      yield* turn
    }
  })

describe("turn", () => {
  it.live("timers come between steps, of one fiber and of five", () =>
    Effect.gen(function*() {
      for (const fibers of [1, 5]) {
        let ticks = 0
        const timer = setInterval(() => ticks++, 1)
        const began = performance.now()
        yield* Effect.all(Array.from({ length: fibers }, () => busy(200 / fibers, 1)), { concurrency: "unbounded" })
        const took = performance.now() - began
        clearInterval(timer)
        // Each turn is at most 6 ms and a step of each fiber apart: one in 20 ms is well on this side of it.
        assert.isAbove(ticks, took / 20, `${fibers} fibers`)
      }
    }))

  it("goes on under runSync", () => {
    Effect.runSync(busy(20, 1))
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
