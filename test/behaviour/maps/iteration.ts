// The contract of iteration, as MapOperations states it, while others write to the map.
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { expect } from "vitest"
import { bpf_cmd } from "../../../src/abi/generated/enums.ts"
import { Address, BpfMap, HashMap, type Kernel, Layout, LpmTrie, type MapOperations } from "../../../src/index.ts"
import type { Test } from "../../support/kernels.ts"
import { lacking, watching } from "../../support/olderKernel.ts"

/** More than a page: values of 4 KiB make pages of 64 entries. */
const Large = Layout.struct({ id: Layout.u32, rest: Layout.bytes(4092) })
const large = (id: number) => ({ id, rest: new Uint8Array(4092) })
const ENTRIES = 400

const hashOf = (maxEntries: number) => HashMap.make({ name: "walked", key: Layout.u32, value: Large, maxEntries })

const numbers = (length: number, from = 0) => Array.from({ length }, (_, i) => from + i)

const times = (keys: ReadonlyArray<number>): Map<number, number> => {
  const counts = new Map<number, number>()
  for (const key of keys) counts.set(key, (counts.get(key) ?? 0) + 1)
  return counts
}

const filled = Effect.gen(function*() {
  const map = yield* hashOf(ENTRIES)
  yield* map.setMany(numbers(ENTRIES).map((key) => [key, large(key)] as const))
  return map
})

export const iteration = (test: Test): void => {
  for (const batches of [true, false]) {
    const way = batches ? "with batches" : "without batches"
    const on = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R | Kernel.Kernel> =>
      lacking({ batches: !batches, programs: true })(effect)

    test(`a map of many pages is walked whole: keys, values, entries and count agree, ${way}`, () =>
      on(Effect.gen(function*() {
        const map = yield* filled
        const keys = yield* Stream.runCollect(map.keys)
        expect(keys.toSorted((a, b) => a - b)).toEqual(numbers(ENTRIES))
        expect((yield* Stream.runCollect(map.values)).map(({ id }) => id)).toEqual(keys)
        expect((yield* Stream.runCollect(map.entries)).map(([key, { id }]) => [key, id])).toEqual(
          keys.map((k) => [k, k])
        )
        expect(yield* map.count).toBe(ENTRIES)
      })))

    test(`an empty map gives nothing, and is not an error, ${way}`, () =>
      on(Effect.gen(function*() {
        const map = yield* hashOf(10)
        expect(yield* Stream.runCollect(map.entries)).toEqual([])
        expect(yield* Stream.runCollect(map.columns)).toEqual([])
        expect(yield* map.count).toBe(0)
        expect(yield* map.clear).toBe(0)
        expect(map.nextKeyUnsafe(undefined)).toBeUndefined()
      })))

    test(`what was just given may be deleted: every entry is given once all the same, ${way}`, () =>
      on(Effect.gen(function*() {
        const map = yield* filled
        const seen: Array<number> = []
        yield* Stream.runForEach(map.entries, ([key]) => {
          seen.push(key)
          return map.delete(key)
        })
        expect(seen.toSorted((a, b) => a - b)).toEqual(numbers(ENTRIES))
        expect(yield* map.count).toBe(0)
      })))

    test(`entries that stay are given once, while others come and go between pages, ${way}`, () =>
      on(Effect.gen(function*() {
        const map = yield* hashOf(ENTRIES * 2)
        yield* map.setMany(numbers(ENTRIES).map((key) => [key, large(key)] as const))
        const staying = new Set(numbers(ENTRIES).filter((key) => key % 4 !== 0))
        const seen: Array<number> = []
        let next = 1_000_000
        yield* Stream.runForEach(map.keys, (key) =>
          Effect.gen(function*() {
            seen.push(key)
            // Deletes what was given, and inserts what was not there: never where the walk stands.
            if (!staying.has(key)) yield* map.delete(key)
            if (seen.length % 10 === 0) yield* map.update(next++, large(0))
          }))
        const counts = times(seen)
        for (const key of staying) expect(counts.get(key), `key ${key}`).toBe(1)
        for (const [key, count] of counts) expect(count, `key ${key}`).toBe(1)
      })))

    test(`a drain takes all entries out, each given once, ${way}`, () =>
      on(Effect.gen(function*() {
        const map = yield* filled
        const drained = yield* Stream.runCollect(map.drain)
        expect(drained.map(([key]) => key).toSorted((a, b) => a - b)).toEqual(numbers(ENTRIES))
        expect(yield* map.count).toBe(0)
        yield* map.update(1, large(1))
        expect(yield* map.clear).toBe(1)
        expect(yield* map.lookup(1)).toEqual(Option.none())
      })))

    test(`a walk that is left early, or made twice at once, disturbs no other, ${way}`, () =>
      on(Effect.gen(function*() {
        const map = yield* filled
        expect(yield* Stream.runCollect(Stream.take(map.keys, 3))).toHaveLength(3)
        const both = yield* Effect.all([Stream.runCollect(map.keys), map.count, Stream.runCollect(map.keys)], {
          concurrency: "unbounded"
        })
        expect(both[0].toSorted((a, b) => a - b)).toEqual(numbers(ENTRIES))
        expect(both[1]).toBe(ENTRIES)
        expect(both[2]).toEqual(both[0])
        // Two walks in step, with other calls between.
        const zipped = yield* Stream.runCollect(Stream.zip(map.keys, Stream.tap(map.keys, (key) => map.lookup(key))))
        for (const [a, b] of zipped) expect(a).toBe(b)
        expect(zipped).toHaveLength(ENTRIES)
      })))

    test(`keys follow one another to the end by nextKeyUnsafe, ${way}`, () =>
      on(Effect.gen(function*() {
        const map = yield* filled
        const keys: Array<number> = []
        for (let key = map.nextKeyUnsafe(undefined); key !== undefined; key = map.nextKeyUnsafe(key)) keys.push(key)
        expect(keys).toEqual(yield* Stream.runCollect(map.keys))
        // A key that is not there: the kernel begins again at the first.
        expect(map.nextKeyUnsafe(999_999)).toBe(keys[0])
      })))

    test(`a trie gives what stays once, while what it was just given is deleted, ${way}`, () =>
      on(Effect.gen(function*() {
        const map = yield* LpmTrie.make({ name: "walked", key: Address.ipv4Prefix, value: Large, maxEntries: ENTRIES })
        const networks = numbers(ENTRIES).map((i) => `10.${i >> 8}.${i & 255}.0/24`)
        for (const network of networks) yield* map.update(network, large(0))
        const seen: Array<string> = []
        yield* Stream.runForEach(map.keys, (key) => {
          seen.push(key)
          return seen.length % 3 === 0 ? map.delete(key) : Effect.void
        })
        expect(seen.toSorted()).toEqual(networks.toSorted())
        expect(yield* map.count).toBe(ENTRIES - Math.floor(ENTRIES / 3))
        expect(yield* map.clear).toBe(ENTRIES - Math.floor(ENTRIES / 3))
      })))

    test(`an LRU map is walked by what is in it, ${way}`, () =>
      on(Effect.gen(function*() {
        const map = yield* HashMap.makeLru({ name: "walked", key: Layout.u32, value: Layout.u32, maxEntries: 128 })
        for (let i = 0; i < 1000; i++) yield* map.update(i, i)
        const entries = yield* Stream.runCollect(map.entries)
        expect(entries.length).toBe(yield* map.count)
        expect(times(entries.map(([key]) => key)).size).toBe(entries.length)
        for (const [key, value] of entries) expect(value).toBe(key)
      })))
  }

  test("without batches, a walk that is sent back to the start again and again is ended, and told", () =>
    Effect.gen(function*() {
      const plain = yield* HashMap.make({ name: "walked", key: Layout.u32, value: Layout.u32, maxEntries: 16 })
      const [some, others] = [numbers(8), numbers(8, 100)]
      for (const key of some) plain.updateUnsafe(key, 1)
      // Whenever the kernel is asked for the key after one, that one is gone: it begins again.
      let steps = 0
      const circling = watching((command, call) => {
        if (command !== bpf_cmd.BPF_MAP_GET_NEXT_KEY) return call()
        const [gone, put] = steps++ % 2 === 0 ? [some, others] : [others, some]
        for (const key of gone) plain.deleteUnsafe(key)
        for (const key of put) plain.updateUnsafe(key, 1)
        return call()
      })
      const definition = HashMap.define({ name: "walked", key: Layout.u32, value: Layout.u32, maxEntries: 16 })
      const error: MapOperations.IterationError = yield* circling(
        lacking({ batches: true })(Effect.gen(function*() {
          const same = yield* BpfMap.fromFd(definition, plain.fd)
          return yield* Effect.flip(Stream.runDrain(same.keys))
        }))
      )
      expect(error).toMatchObject({ _tag: "IterationAborted", maxEntries: 16 })
      expect(error.message).toContain("at most 16 entries")
      expect(steps).toBeLessThan(200)
    }))
}
