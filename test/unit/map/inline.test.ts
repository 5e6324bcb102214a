import { describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { expect } from "vitest"
import { inline, isInline } from "../../../src/map/internal/inline.ts"

describe("operations that generators run on the spot", () => {
  it("are such with the installed version of Effect", () => {
    expect(isInline).toBe(true)
  })

  it("come back from the generator's iterator with no effect to be run", () => {
    const iterator = inline(() => 5)[Symbol.iterator]()
    expect(iterator.next(undefined as never)).toEqual({ done: true, value: 5 })
  })

  it("are effects to Effect", () => {
    expect(Effect.isEffect(inline(() => 5))).toBe(true)
    expect(Effect.runSync(inline(() => 5))).toBe(5)
  })

  it.effect("hand over to other fibers now and then", () =>
    Effect.gen(function*() {
      let handedOver = 0
      for (let i = 0; i < 5000; i++) {
        const first = inline(() => i)[Symbol.iterator]().next(undefined as never)
        if (first.done !== true) {
          handedOver++
          expect(yield* first.value as Effect.Effect<number>).toBe(i)
        }
      }
      expect(handedOver).toBeGreaterThan(2)
      expect(handedOver).toBeLessThan(10)
    }))
})
