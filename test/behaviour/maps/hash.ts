// Hash tables, LRU ones among them, and what single operations do.
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { expect } from "vitest"
import { bpf_map_create_flags } from "../../../src/abi/generated/enums.ts"
import { ArrayMap, BpfMap, HashMap, Layout, PerCpuHashMap } from "../../../src/index.ts"
import type { Test } from "../../support/kernels.ts"

const Counter = Layout.struct({ lock: Layout.spinLock, hits: Layout.u32, bytes: Layout.u64 })

const families = {
  hash: (maxEntries: number) => HashMap.make({ name: "table", key: Layout.u32, value: Layout.u64, maxEntries }),
  lru_hash: (maxEntries: number) => HashMap.makeLru({ name: "table", key: Layout.u32, value: Layout.u64, maxEntries }),
  "hash, not preallocated": (maxEntries: number) =>
    HashMap.make({
      name: "table",
      key: Layout.u32,
      value: Layout.u64,
      maxEntries,
      flags: bpf_map_create_flags.BPF_F_NO_PREALLOC
    })
} as const

export const hash = (test: Test): void => {
  for (const [family, make] of Object.entries(families)) {
    test(`a ${family} map looks up, updates and deletes, by effects and at once`, () =>
      Effect.gen(function*() {
        const map = yield* make(64)
        expect(yield* map.lookup(1)).toEqual(Option.none())
        expect(map.lookupUnsafe(1)).toBeUndefined()
        yield* map.update(1, 10n)
        map.updateUnsafe(2, 20n)
        expect(map.lookupUnsafe(1)).toBe(10n)
        expect(yield* map.lookup(2)).toEqual(Option.some(20n))
        expect(map.deleteUnsafe(1)).toBe(true)
        expect(map.deleteUnsafe(1)).toBe(false)
        expect(yield* map.delete(2)).toBe(true)
        expect(yield* map.count).toBe(0)
        expect(() => map.updateUnsafe(1, 1n, { mode: "exist" })).toThrow("ENOENT")
        expect(() => map.lookupUnsafe(-1)).toThrow("integer")
      }))

    test(`a ${family} map gives an entry and removes it in one step`, () =>
      Effect.gen(function*() {
        const map = yield* make(64)
        yield* map.update(1, 10n)
        expect(yield* map.lookupAndDelete(1)).toEqual(Option.some(10n))
        expect(yield* map.lookupAndDelete(1)).toEqual(Option.none())
        expect(yield* map.count).toBe(0)
      }), { needs: "hashLookupAndDelete" })
  }

  test("a value with a spin lock is read and written under it, and the lock reads as 0", () =>
    Effect.gen(function*() {
      const map = yield* HashMap.make({ name: "locked", key: Layout.u32, value: Counter, maxEntries: 8, btf: true })
      yield* map.update(1, { lock: 0, hits: 1, bytes: 2n }, { lock: true })
      yield* map.update(1, { lock: 77, hits: 3, bytes: 4n }, { lock: true, mode: "exist" })
      expect(yield* map.lookup(1, { lock: true })).toEqual(Option.some({ lock: 0, hits: 3, bytes: 4n }))
      expect(map.lookupUnsafe(1)).toEqual({ lock: 0, hits: 3, bytes: 4n })
      yield* map.setMany(
        Array.from({ length: 7 }, (_, i) => [i + 10, { lock: 0, hits: i, bytes: 0n }] as const),
        { lock: true }
      )
      expect(yield* map.lookup(16, { lock: true })).toEqual(Option.some({ lock: 0, hits: 6, bytes: 0n }))
      expect(yield* map.count).toBe(8)
      const array = yield* ArrayMap.make({ name: "locked", value: Counter, maxEntries: 2, btf: true })
      yield* array.update(1, { lock: 0, hits: 5, bytes: 6n }, { lock: true })
      expect(yield* array.lookup(1, { lock: true })).toEqual({ lock: 0, hits: 5, bytes: 6n })
    }))

  test("a lock is refused where the value has none", () =>
    Effect.gen(function*() {
      const map = yield* HashMap.make({ name: "plain", key: Layout.u32, value: Layout.u64, maxEntries: 8 })
      expect(yield* Effect.flip(map.update(1, 1n, { lock: true }))).toMatchObject({ code: "EINVAL" })
      expect(yield* Effect.flip(map.lookup(1, { lock: true }))).toMatchObject({ code: "EINVAL" })
      expect(yield* Effect.flip(map.setMany([[1, 1n]], { lock: true })))
        .toMatchObject({ _tag: "BatchError", index: 0, done: 0, cause: { code: "EINVAL" } })
      // The refusal says nothing of what the map can do without one.
      yield* map.setMany([[1, 1n], [2, 2n]])
      expect(yield* map.count).toBe(2)
    }))

  test("a map carries BTF of every kind of layout", () =>
    Effect.gen(function*() {
      const value = Layout.struct({
        flag: Layout.bool,
        comm: Layout.cstring(16),
        raw: Layout.bytes(3),
        list: Layout.array(Layout.i16, 3),
        signed: Layout.i64,
        number: Layout.u64Number,
        port: Layout.u16be,
        nested: Layout.struct({ a: Layout.u8, "b c": Layout.pointer }),
        low: Layout.bits(Layout.u32, 3),
        high: Layout.bits(Layout.u32, 29)
      })
      const map = yield* HashMap.make({
        name: "typed.map-1".replace("-", "_"),
        key: Layout.u32,
        value,
        maxEntries: 4,
        btf: true
      })
      const given = {
        flag: true,
        comm: "init",
        raw: Uint8Array.of(1, 2, 3),
        list: [-1, 0, 1],
        signed: -1n,
        number: 2 ** 53 - 1,
        port: 443,
        nested: { a: 1, "b c": 2n },
        low: 5,
        high: 0x1fffffff
      }
      yield* map.update(1, given)
      expect(yield* map.lookup(1)).toEqual(Option.some(given))
      const array = yield* ArrayMap.make({ name: "typed", value: Layout.cstring(8), maxEntries: 1, btf: true })
      yield* array.update(0, "text")
      expect(yield* array.lookup(0)).toBe("text")
    }))

  test("an LRU map is never full: it evicts", () =>
    Effect.gen(function*() {
      const map = yield* HashMap.makeLru({ name: "recent", key: Layout.u32, value: Layout.u64, maxEntries: 256 })
      const perCpu = yield* PerCpuHashMap.makeLru({
        name: "recent",
        key: Layout.u32,
        value: Layout.u32,
        maxEntries: 256
      })
      for (let key = 0; key < 3000; key++) {
        yield* map.update(key, BigInt(key))
        yield* perCpu.updateAll(key, key)
        expect(map.lookupUnsafe(key)).toBe(BigInt(key)) // what was put in last is in it
      }
      expect(yield* map.count).toBeLessThanOrEqual(256)
      expect(yield* perCpu.count).toBeLessThanOrEqual(256)
      expect(yield* map.count).toBeGreaterThan(0)
      expect(perCpu.spec.type).toBe("lru_percpu_hash")
    }))

  test("each CPU has a part of an LRU map of its own with BPF_F_NO_COMMON_LRU", () =>
    Effect.gen(function*() {
      const definition = HashMap.defineLru({
        name: "recent",
        key: Layout.u32,
        value: Layout.u64,
        maxEntries: 1001,
        flags: bpf_map_create_flags.BPF_F_NO_COMMON_LRU
      })
      const map = yield* BpfMap.create(definition)
      for (let key = 0; key < 3000; key++) yield* map.update(key, 1n)
      // The kernel rounds the number of entries to a multiple of the number of CPUs: it is the same map all the same.
      const again = yield* BpfMap.fromFd(definition, map.fd)
      expect(yield* again.count).toBeGreaterThan(0)
      expect(yield* again.count).toBeLessThanOrEqual(1001 + 512)
    }))

  test("a value may be changed while it is walked over, and then either value is given", () =>
    Effect.gen(function*() {
      const map = yield* families.hash(200)
      yield* map.setMany(Array.from({ length: 200 }, (_, key) => [key, 1n] as const))
      const seen: Array<bigint> = []
      yield* Stream.runForEach(map.entries, ([key, value]) => {
        seen.push(value)
        return map.update((key + 1) % 200, 2n)
      })
      expect(seen).toHaveLength(200)
      for (const value of seen) expect([1n, 2n]).toContain(value)
    }))
}
