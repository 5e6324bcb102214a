// Effects of single operations, which generators run on the spot: what they give and fail with must not show it.
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import { expect } from "vitest"
import { ArrayMap, HashMap, Layout } from "../../../src/index.ts"
import { inline } from "../../../src/map/internal/inline.ts"
import type { Test } from "../../support/kernels.ts"

const make = HashMap.make({ name: "inline", key: Layout.u32, value: Layout.u32, maxEntries: 4 })

/** All ways to run an effect, which must come to the same. */
const waysToRun: Readonly<Record<string, <A, E>(effect: Effect.Effect<A, E>) => Effect.Effect<A, E>>> = {
  "in a generator": (effect) =>
    Effect.gen(function*() {
      return yield* effect
    }),
  "in a generator in a generator": (effect) =>
    Effect.gen(function*() {
      return yield* Effect.gen(function*() {
        return yield* effect
      })
    }),
  "in a traced function": (effect) =>
    Effect.fn("traced")(function*() {
      return yield* effect
    })(),
  alone: (effect) => effect,
  piped: (effect) => effect.pipe(Effect.map((a) => a)),
  "after another": (effect) => Effect.flatMap(Effect.void, () => effect),
  "in all": (effect) => Effect.map(Effect.all([effect]), ([a]) => a),
  suspended: (effect) => Effect.suspend(() => effect),
  "in a fiber": (effect) => Effect.flatMap(Effect.forkChild(effect), Fiber.join),
  "as an exit": (effect) => Effect.flatMap(Effect.exit(effect), (exit) => exit),
  uninterruptible: (effect) => Effect.uninterruptible(effect),
  once: (effect) => Effect.retry(effect, { times: 0 })
}

export const inlined = (test: Test): void => {
  for (const [way, run] of Object.entries(waysToRun)) {
    test(`an operation gives the same ${way}`, () =>
      Effect.gen(function*() {
        const map = yield* make
        expect(yield* run(map.lookup(1))).toEqual(Option.none())
        yield* run(map.update(1, 7))
        expect(yield* run(map.lookup(1))).toEqual(Option.some(7))
        expect(yield* run(map.delete(1))).toBe(true)
        expect(yield* Effect.flip(run(map.update(1, 1, { mode: "exist" })))).toMatchObject({ code: "ENOENT" })
        expect(yield* Effect.flip(run(map.update(-1, 1)))).toMatchObject({ _tag: "LayoutError" })
        const array = yield* ArrayMap.make({ name: "inline", value: Layout.u32, maxEntries: 1 })
        expect(yield* Effect.flip(run(array.lookup(1)))).toMatchObject({ _tag: "InvalidArgument" })
        const defect = yield* Effect.exit(run(inline(() => {
          throw new TypeError("a bug")
        })))
        expect(Exit.isFailure(defect) && Cause.hasDies(defect.cause)).toBe(true)
      }))
  }

  test("an effect is a value: nothing is done until it is run, and each time it is run", () =>
    Effect.gen(function*() {
      const map = yield* make
      const update = map.update(1, 1, { mode: "noexist" })
      const lookup = map.lookup(1)
      expect(yield* map.count).toBe(0)
      yield* update
      expect(yield* lookup).toEqual(Option.some(1))
      expect(yield* Effect.flip(update)).toMatchObject({ code: "EEXIST" })
      yield* map.delete(1)
      expect(yield* lookup).toEqual(Option.none())
      yield* Effect.repeat(map.update(2, 2), { times: 3 })
      expect(yield* Effect.retry(map.update(3, 3, { mode: "exist" }), { times: 2 }).pipe(Effect.flip))
        .toMatchObject({ code: "ENOENT" })
      const both = yield* Effect.all({ a: lookup, b: map.lookup(2) }, { concurrency: "unbounded" })
      expect(both).toEqual({ a: Option.none(), b: Option.some(2) })
      expect(yield* Effect.race(map.lookup(2), Effect.never)).toEqual(Option.some(2))
    }))

  test("a failure ends the generator, and can be caught by its tag outside", () =>
    Effect.gen(function*() {
      const map = yield* make
      let after = false
      const body = Effect.gen(function*() {
        yield* map.update(1, 1)
        yield* map.update(1, 1, { mode: "noexist" })
        after = true
        return "done"
      })
      const caught = yield* Effect.catchTag(body, "SystemCallError", (error) => Effect.succeed(error.code))
      expect(caught).toBe("EEXIST")
      expect(after).toBe(false)
      expect(yield* map.lookup(1)).toEqual(Option.some(1))
    }))

  test("neither failures nor defects are JavaScript exceptions in the generator", () =>
    Effect.gen(function*() {
      const map = yield* make
      const guarded = (effect: Effect.Effect<unknown, unknown>) =>
        Effect.gen(function*() {
          try {
            return yield* effect
          } catch {
            return "caught as an exception"
          }
        })
      expect(yield* Effect.flip(guarded(map.update(1, 1, { mode: "exist" })))).toMatchObject({ code: "ENOENT" })
      const defect = yield* Effect.exit(guarded(inline(() => {
        throw new TypeError("a bug")
      })))
      expect(defect).toMatchObject({ _tag: "Failure" })
    }))

  test("other fibers have their turns, and an interruption arrives, however many operations follow one another", () =>
    Effect.gen(function*() {
      const map = yield* make
      let done = 0
      let turns = 0
      const busy = yield* Effect.forkChild(Effect.gen(function*() {
        for (;;) {
          yield* map.update(1, 1)
          done++
        }
      }))
      const other = yield* Effect.forkChild(Effect.gen(function*() {
        while (turns < 5) {
          turns++
          yield* Effect.yieldNow
        }
      }))
      yield* Fiber.join(other)
      expect(turns).toBe(5)
      const before = done
      yield* Fiber.interrupt(busy)
      expect(done).toBeGreaterThan(0)
      const after = done
      yield* Effect.sleep("1 millis")
      expect(done).toBe(after)
      expect(before).toBeLessThanOrEqual(after)
    }))
}
