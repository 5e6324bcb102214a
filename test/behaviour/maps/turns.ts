// Operations on many entries leave the event loop its turns: so many entries are worked on between two of them, and no more.
// What is counted is turns, not time.
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { expect } from "vitest"
import { ArrayMap, BpfMap, HashMap, Kernel, Layout, LpmTrie, PerCpuHashMap } from "../../../src/index.ts"
import type { Test } from "../../support/kernels.ts"

const COUNT = 40_000

/** An effect's result, and how often the event loop turned meanwhile. */
const turnsOf = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.suspend(() => {
    let turns = 0
    let next = setImmediate(function turn() {
      turns++
      next = setImmediate(turn)
    })
    return Effect.map(effect, (result) => [result, turns] as const).pipe(
      Effect.ensuring(Effect.sync(() => clearImmediate(next)))
    )
  })

export const turns = (test: Test): void => {
  test(`operations on ${COUNT} entries give the event loop a turn after some thousands of them`, () =>
    Effect.gen(function*() {
      const rows = Array.from({ length: COUNT }, (_, i) => i)
      const entries = rows.map((i) => [i, i] as const)
      const columns = Uint32Array.from(rows)
      const values = { name: "many", value: Layout.u32, maxEntries: COUNT }
      const options = { ...values, key: Layout.u32 }
      const hash = yield* HashMap.make(options)
      const array = yield* ArrayMap.make(values)
      const perCpu = yield* PerCpuHashMap.make(options)
      const trie = yield* LpmTrie.make({ ...options, key: LpmTrie.prefix(Layout.bytes(4)) })
      const { possibleCpus } = yield* Kernel.Kernel
      const cpus = new Array<number>(possibleCpus).fill(1)
      const prefixes = rows.map((i) => ({ length: 32, data: Uint8Array.of(10, i >> 16, i >> 8, i) }))
      const operations: ReadonlyArray<
        readonly [name: string, most: number, operation: Effect.Effect<unknown, any, any>]
      > = [
        ["hash.setMany", 2048, hash.setMany(entries)],
        ["hash.getMany", 2048, hash.getMany(rows)],
        ["hash.entries", 2048, Stream.runDrain(hash.entries)],
        ["hash.entries, collected", 2048, Stream.runCollect(hash.entries)],
        ["hash.keys", 2048, Stream.runDrain(hash.keys)],
        ["hash.values", 2048, Stream.runDrain(hash.values)],
        ["hash.columns", 8192, Stream.runDrain(hash.columns)],
        ["hash.count", 8192, hash.count],
        ["hash.dump", 2048, BpfMap.dump(hash)],
        ["hash.deleteMany", 2048, hash.deleteMany(rows)],
        ["hash.setColumns", 8192, hash.setColumns(columns, columns)],
        ["hash.deleteColumns", 8192, hash.deleteColumns(columns)],
        ["hash.setMany, again", 2048, hash.setMany(entries)],
        ["hash.drain", 2048, Stream.runDrain(hash.drain)],
        ["hash.setMany, a third time", 2048, hash.setMany(entries)],
        ["hash.drainColumns", 8192, Stream.runDrain(hash.drainColumns)],
        ["hash.setMany, a fourth time", 2048, hash.setMany(entries)],
        ["hash.clear", 8192, hash.clear],
        [
          "hash.update, in a generator",
          2048,
          Effect.gen(function*() {
            for (const i of rows) yield* hash.update(i, i)
          })
        ],
        ["array.setMany", 2048, array.setMany(entries)],
        ["array.getMany", 2048, array.getMany(rows)],
        ["array.entries", 2048, Stream.runDrain(array.entries)],
        ["perCpu.setMany", 2048, perCpu.setMany(rows.map((i) => [i, cpus] as const))],
        ["perCpu.getMany", 2048, perCpu.getMany(rows)],
        ["perCpu.entries", 2048, Stream.runDrain(perCpu.entries)],
        ["trie.setMany", 2048, trie.setMany(prefixes.map((key, i) => [key, i] as const))],
        ["trie.keys", 2048, Stream.runDrain(trie.keys)],
        ["trie.deleteMany", 2048, trie.deleteMany(prefixes)]
      ]
      for (const [name, most, operation] of operations) {
        const [, turned] = yield* turnsOf(operation)
        expect(turned, name).toBeGreaterThanOrEqual(Math.ceil(COUNT / most) - 1)
      }
    }))

  test("what runs under runSync goes on without turns", () =>
    Effect.gen(function*() {
      const map = yield* HashMap.make({ name: "sync", key: Layout.u32, value: Layout.u32, maxEntries: 10_000 })
      Effect.runSync(map.setMany(Array.from({ length: 10_000 }, (_, i) => [i, i] as const)))
      expect(Effect.runSync(map.count)).toBe(10_000)
      expect(Effect.runSync(Stream.runCollect(map.keys))).toHaveLength(10_000)
    }))
}
