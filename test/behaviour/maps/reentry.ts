// Code of the user's own runs in the midst of an operation: codecs, and getters of values. What it does to the same map must
// not change what the operation does.
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Exit from "effect/Exit"
import { expect } from "vitest"
import { ArrayMap, BloomFilter, HashMap, Layout, LpmTrie, PerCpuHashMap, QueueMap } from "../../../src/index.ts"
import type { Test } from "../../support/kernels.ts"

/** What the codec of `own` does while it encodes and decodes. */
const hooks: Record<"encode" | "decode", (value: number) => void> = { encode: () => {}, decode: () => {} }

const own = Layout.transform(Layout.u32, {
  encode: (value: number) => (hooks.encode(value), value),
  decode: (value) => (hooks.decode(value), value),
  schema: Schema.Finite
})
const pair = Layout.struct({ a: Layout.u32, b: own })

/** Runs with hooks, each of which runs once at a time: what it does runs none. */
const hooked = <A, E, R>(given: Partial<typeof hooks>, effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> => {
  let inside = false
  const once = (hook: ((value: number) => void) | undefined) => (value: number) => {
    if (inside || hook === undefined) return
    inside = true
    try {
      hook(value)
    } finally {
      inside = false
    }
  }
  return Effect.acquireUseRelease(
    Effect.sync(() => Object.assign(hooks, { encode: once(given.encode), decode: once(given.decode) })),
    () => effect,
    () => Effect.sync(() => Object.assign(hooks, { encode: () => {}, decode: () => {} }))
  )
}

const at = (a: number, b = a) => ({ a, b })
const hundred = Array.from({ length: 100 }, (_, i) => i)

export const reentry = (test: Test): void => {
  for (const [name, make] of [["hash", HashMap.make], ["lru_hash", HashMap.makeLru]] as const) {
    test(`a codec may use its own ${name} map while it encodes and decodes`, () =>
      Effect.gen(function*() {
        const map = yield* make({ name: "own", key: pair, value: pair, maxEntries: 1000 })
        const other = () => {
          map.updateUnsafe(at(900), at(901))
          expect(map.lookupUnsafe(at(900))).toEqual(at(901))
          expect(map.lookupUnsafe(at(902))).toBeUndefined()
          map.nextKeyUnsafe(undefined)
          map.nextKeyUnsafe(at(900))
          expect(map.deleteUnsafe(at(900))).toBe(true)
          expect(map.deleteUnsafe(at(900))).toBe(false)
          Effect.runSync(map.setMany([[at(910), at(910)], [at(911), at(911)]]))
          expect(Effect.runSync(map.getMany([at(910), at(911)]))).toEqual([
            Option.some(at(910)),
            Option.some(at(911))
          ])
          expect(Effect.runSync(map.deleteMany([at(910), at(911), at(912)]))).toBe(2)
        }
        yield* hooked(
          { encode: other, decode: other },
          Effect.gen(function*() {
            for (let i = 0; i < 10; i++) {
              yield* map.update(at(i), at(i, i + 100))
              expect(yield* map.lookup(at(i))).toEqual(Option.some(at(i, i + 100)))
            }
            expect(map.lookupUnsafe(at(3))).toEqual(at(3, 103))
            expect(yield* map.delete(at(3))).toBe(true)
            expect(yield* map.lookup(at(3))).toEqual(Option.none())
            expect(yield* map.delete(at(4))).toBe(true)
            expect((yield* Stream.runCollect(map.entries)).map(([k, v]) => [k.a, v.b]).toSorted(([a], [b]) => a! - b!))
              .toEqual([0, 1, 2, 5, 6, 7, 8, 9].map((i) => [i, i + 100]))
            expect(map.nextKeyUnsafe(undefined)).toMatchObject({})
          })
        )
        expect(yield* map.count).toBe(8)
      }))
  }

  test(
    "a codec may use its own hash map while an entry is given and removed in one step",
    () =>
      Effect.gen(function*() {
        const map = yield* HashMap.make({ name: "own", key: pair, value: pair, maxEntries: 1000 })
        yield* map.setMany([[at(4), at(4, 104)], [at(5), at(5, 105)]])
        const other = () => {
          map.updateUnsafe(at(900), at(901))
          expect(Effect.runSync(map.lookupAndDelete(at(900)))).toEqual(Option.some(at(901)))
        }
        yield* hooked(
          { encode: other, decode: other },
          Effect.gen(function*() {
            expect(yield* map.lookupAndDelete(at(4))).toEqual(Option.some(at(4, 104)))
            expect(yield* map.lookupAndDelete(at(4))).toEqual(Option.none())
          })
        )
        expect(yield* map.count).toBe(1)
      }),
    { needs: "hashLookupAndDelete" }
  )

  test("a codec may use its own map amid operations on many entries", () =>
    Effect.gen(function*() {
      const map = yield* HashMap.make({ name: "own", key: pair, value: pair, maxEntries: 1000 })
      const keys = hundred.map((i) => at(i))
      const entries = hundred.map((i) => [at(i), at(i, i + 1000)] as const)
      const inner = Array.from({ length: 80 }, (_, i) => at(800 + i))
      yield* map.setMany(inner.map((k) => [k, k]))
      let calls = 0
      const other = () => {
        if (calls++ % 7 !== 0) return
        Effect.runSync(map.setMany(inner.map((k) => [k, k])))
        expect(Effect.runSync(map.getMany(inner))).toEqual(inner.map((k) => Option.some(k)))
        map.updateUnsafe(at(900), at(900))
        map.deleteUnsafe(at(900))
      }
      const changed = (f: () => void) => ({ encode: f, decode: f })
      for (let round = 0; round < 2; round++) {
        yield* hooked(changed(other), map.setMany(entries))
        expect(yield* hooked(changed(other), map.getMany(keys))).toEqual(entries.map(([, v]) => Option.some(v)))
        const columns = { a: Uint32Array.from(hundred), b: Uint32Array.from(hundred) }
        const values = { a: columns.a, b: Uint32Array.from(hundred, (i) => i + 1000) }
        yield* hooked(changed(other), map.setColumns(columns, values))
        expect(yield* map.getMany(keys)).toEqual(entries.map(([, v]) => Option.some(v)))
        expect(yield* hooked(changed(other), map.deleteMany(keys.slice(50)))).toBe(50)
        expect(yield* map.count).toBe(130)
      }
    }))

  test("a codec may look up the parent of what it decodes", () =>
    Effect.gen(function*() {
      const parents: Array<unknown> = []
      const node = Layout.struct({ parent: own, padding: Layout.u32, name: Layout.u64 })
      const map = yield* HashMap.make({ name: "tree", key: Layout.u32, value: node, maxEntries: 64 })
      for (let i = 1; i < 20; i++) yield* map.update(i, { parent: i - 1, padding: i, name: BigInt(i) })
      const value = yield* hooked(
        { decode: (parent) => parents.push(map.lookupUnsafe(parent)?.name) },
        map.lookup(7)
      )
      expect(value).toEqual(Option.some({ parent: 6, padding: 7, name: 7n }))
      expect(parents).toEqual([6n])
    }))

  test("a value's getter may use the map that it is written to, with layouts that run no code", () =>
    Effect.gen(function*() {
      const plain = Layout.struct({ a: Layout.u32, b: Layout.u32 })
      const map = yield* HashMap.make({ name: "plain", key: plain, value: plain, maxEntries: 1000 })
      const sly = (a: number) => ({
        a,
        get b() {
          map.updateUnsafe({ a: 500, b: 500 }, { a: 501, b: 501 })
          Effect.runSync(map.count)
          return a
        }
      })
      yield* map.update(sly(1), sly(2))
      expect(map.lookupUnsafe(sly(1))).toEqual({ a: 2, b: 2 })
      yield* map.setMany([[sly(3), sly(4)]])
      yield* map.setMany(hundred.map((i) => [sly(i), sly(i + 1)]))
      expect(yield* map.getMany(hundred.map((a) => sly(a)))).toEqual(
        hundred.map((a) => Option.some({ a: a + 1, b: a + 1 }))
      )
      expect(map.lookupUnsafe({ a: 500, b: 500 })).toEqual({ a: 501, b: 501 })
      expect(yield* map.delete(sly(1))).toBe(true)
      expect(yield* map.count).toBe(100)
    }))

  test("a codec may use its own map: per-CPU values, tries, arrays, queues and filters", () =>
    Effect.gen(function*() {
      const shared = { name: "own", value: pair, maxEntries: 100 }
      const perCpu = yield* PerCpuHashMap.make({ ...shared, key: Layout.u32 })
      const trie = yield* LpmTrie.make({ ...shared, key: LpmTrie.prefix(Layout.bytes(4)) })
      const array = yield* ArrayMap.make({ ...shared, mmapable: true })
      const view = yield* ArrayMap.view(array)
      const queue = yield* QueueMap.make(shared)
      const filter = yield* BloomFilter.make(shared)
      const net = (a: number) => ({ length: 32, data: Uint8Array.of(10, 0, 0, a) })
      yield* perCpu.updateAll(50, at(50))
      yield* queue.push(at(1))
      const other = () => {
        perCpu.updateUnsafe(50, perCpu.lookupUnsafe(50)!)
        trie.updateUnsafe(net(50), at(50))
        trie.lookupUnsafe(net(50))
        array.updateUnsafe(50, at(50))
        array.lookupUnsafe(50)
        view.set(51, at(51))
        view.get(51)
        Effect.runSync(queue.push(at(99)))
        Effect.runSync(queue.peek)
        Effect.runSync(filter.add(at(99)))
      }
      yield* hooked(
        { encode: other, decode: other },
        Effect.gen(function*() {
          yield* perCpu.updateAll(1, at(1))
          const values = Option.getOrThrow(yield* perCpu.lookup(1))
          expect(values).toEqual(values.map(() => at(1)))
          yield* trie.update(net(1), at(1))
          expect(yield* trie.lookup(net(1))).toEqual(Option.some(at(1)))
          yield* array.update(1, at(1))
          expect(yield* array.lookup(1)).toEqual(at(1))
          view.set(2, at(2))
          expect(view.get(2)).toEqual(at(2))
          expect(yield* queue.pop).toEqual(Option.some(at(1)))
          yield* filter.add(at(1))
        })
      )
      expect(yield* filter.mayHave(at(1))).toBe(true)
      expect(yield* array.lookup(1)).toEqual(at(1))
      expect(view.get(2)).toEqual(at(2))
    }), { needs: "bloomFilter" })

  test("code that closes the map amid an operation on it gets EBADF, and reaches no map that was made since", () =>
    Effect.gen(function*() {
      const outer = yield* Effect.scope
      for (const run of ["update", "lookup", "setMany", "getMany", "setColumns", "deleteColumns"] as const) {
        const scope = yield* Scope.fork(outer)
        const next = yield* Scope.fork(outer)
        const make = HashMap.make({ name: "own", key: pair, value: pair, maxEntries: 1000 })
        const map = yield* Scope.provide(make, scope)
        yield* map.setMany(hundred.map((i) => [at(i), at(i)]))
        yield* map.getMany(hundred.map((i) => at(i)))
        let second: HashMap.HashMap<{ a: number; b: number }, { a: number; b: number }> | undefined
        const context = yield* Effect.context<any>()
        const swap = () => {
          if (second !== undefined) return
          Effect.runSync(Scope.close(scope, Exit.void))
          second = Effect.runSync(Effect.provide(Scope.provide(make, next), context) as Effect.Effect<typeof map>)
        }
        const columns = { a: Uint32Array.from(hundred), b: Uint32Array.from(hundred) }
        const operation: Effect.Effect<unknown, any> = {
          setColumns: map.setColumns(columns, columns),
          deleteColumns: map.deleteColumns(columns),
          update: map.update(at(1), at(2)),
          lookup: map.lookup(at(1)),
          setMany: map.setMany(hundred.map((i) => [at(i), at(i)])),
          getMany: map.getMany(hundred.map((i) => at(i)))
        }[run]
        const error = yield* Effect.flip(hooked({ encode: swap }, operation))
        expect(error._tag === "BatchError" ? error.cause : error, run).toMatchObject({ code: "EBADF" })
        expect(yield* second!.count, run).toBe(0)
        yield* second!.update(at(1), at(2))
        expect(yield* second!.lookup(at(1)), run).toEqual(Option.some(at(2)))
        yield* Scope.close(next, Exit.void)
      }
    }))
}
