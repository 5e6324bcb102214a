// Maps of values without keys: queues, stacks and bloom filters.
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { expect } from "vitest"
import { BloomFilter, Layout, QueueMap } from "../../../src/index.ts"
import type { Test } from "../../support/kernels.ts"

export const queues = (test: Test): void => {
  test("a queue gives the oldest value first, a stack the newest", () =>
    Effect.gen(function*() {
      const queue = yield* QueueMap.make({ name: "queue", value: Layout.u32, maxEntries: 4 })
      const stack = yield* QueueMap.makeStack({ name: "stack", value: Layout.u32, maxEntries: 4 })
      for (const map of [queue, stack]) {
        expect(yield* map.pop).toEqual(Option.none())
        expect(yield* map.peek).toEqual(Option.none())
        for (const value of [1, 2, 3]) yield* map.push(value)
      }
      expect(yield* queue.peek).toEqual(Option.some(1))
      expect(yield* queue.peek).toEqual(Option.some(1))
      expect([yield* queue.pop, yield* queue.pop, yield* queue.pop]).toEqual([1, 2, 3].map(Option.some))
      expect(yield* stack.peek).toEqual(Option.some(3))
      expect([yield* stack.pop, yield* stack.pop, yield* stack.pop]).toEqual([3, 2, 1].map(Option.some))
      expect(yield* stack.pop).toEqual(Option.none())
    }))

  test("a full queue refuses another value, or evicts the oldest where it may", () =>
    Effect.gen(function*() {
      for (const make of [QueueMap.make, QueueMap.makeStack]) {
        const map = yield* make({ name: "full", value: Layout.u64, maxEntries: 2 })
        yield* map.push(1n)
        yield* map.push(2n)
        const error = yield* Effect.flip(map.push(3n))
        expect(error).toMatchObject({ _tag: "SystemCallError", code: "E2BIG" })
        expect(error.message).toContain("full: 2 of 2")
        yield* map.push(3n, { evict: true })
        const left = [yield* map.pop, yield* map.pop]
        expect(left.toSorted()).toEqual([Option.some(2n), Option.some(3n)].toSorted())
        expect(left[0]).toEqual(Option.some(map.spec.type === "queue" ? 2n : 3n))
      }
    }))

  test("a value that does not fit its layout is not pushed", () =>
    Effect.gen(function*() {
      const map = yield* QueueMap.make({
        name: "queue",
        value: Layout.struct({ a: Layout.u8, b: Layout.u32 }),
        maxEntries: 2
      })
      yield* map.push({ a: 255, b: 1 })
      expect(yield* Effect.flip(map.push({ a: 256, b: 2 }))).toMatchObject({ _tag: "LayoutError", path: "a" })
      expect(yield* Effect.flip(map.push(undefined as never))).toMatchObject({ _tag: "LayoutError" })
      expect(yield* map.pop).toEqual(Option.some({ a: 255, b: 1 }))
      expect(yield* map.pop).toEqual(Option.none())
    }))

  test("a bloom filter has every value that was added, and few others", () =>
    Effect.gen(function*() {
      const filter = yield* BloomFilter.make({ name: "seen", value: Layout.u64, maxEntries: 1000, hashes: 3 })
      expect(yield* filter.mayHave(1n)).toBe(false)
      for (let i = 0n; i < 200n; i++) yield* filter.add(i)
      for (let i = 0n; i < 200n; i++) expect(yield* filter.mayHave(i)).toBe(true)
      let mistaken = 0
      for (let i = 1000n; i < 2000n; i++) if (yield* filter.mayHave(i)) mistaken++
      expect(mistaken).toBeLessThan(500)
      expect(yield* Effect.flip(filter.add(-1n))).toMatchObject({ _tag: "LayoutError" })
    }), { needs: "bloomFilter" })

  test("a bloom filter has from 1 to 15 hash functions", () =>
    Effect.gen(function*() {
      for (const hashes of [0, 16, 1.5, Number.NaN]) {
        const error = yield* Effect.flip(BloomFilter.make({ name: "seen", value: Layout.u64, maxEntries: 8, hashes }))
        expect(error).toMatchObject({ _tag: "InvalidArgument", field: "hashes" })
      }
      for (const hashes of [1, 15]) {
        const filter = yield* BloomFilter.make({ name: "seen", value: Layout.u64, maxEntries: 8, hashes })
        yield* filter.add(5n)
        expect(yield* filter.mayHave(5n)).toBe(true)
      }
    }), { needs: "bloomFilter" })
}
