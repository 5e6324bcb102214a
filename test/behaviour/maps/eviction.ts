// What maps forget, and when: after kernel/bpf/bpf_lru_list.c.
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { expect } from "vitest"
import { bpf_map_create_flags } from "../../../src/abi/generated/enums.ts"
import { HashMap, Layout, PerCpuHashMap } from "../../../src/index.ts"
import type { Test } from "../../support/kernels.ts"

const options = { name: "recent", key: Layout.u32, value: Layout.u32, maxEntries: 200 }

export const eviction = (test: Test): void => {
  for (
    const [name, make] of [
      ["an LRU map", HashMap.makeLru(options)],
      [
        "an LRU map with a list for each CPU",
        HashMap.makeLru({
          ...options,
          flags: bpf_map_create_flags.BPF_F_NO_COMMON_LRU
        })
      ],
      ["a per-CPU LRU map", PerCpuHashMap.makeLru(options)]
    ] as const
  ) {
    test(`${name} is never full, and forgets several entries at once: fewer than it has room for are left`, () =>
      Effect.gen(function*() {
        const map = (yield* make) as HashMap.LruHashMap<number, any>
        const put = (key: number) =>
          "updateAll" in map ? (map as any).updateAll(key, key) as Effect.Effect<void> : map.update(key, key)
        let before = 0
        let largestLoss = 0
        let fewest = options.maxEntries
        for (let key = 0; key < 450; key++) {
          yield* put(key)
          expect(yield* map.lookup(key), `just put in: ${key}`).not.toEqual(Option.none())
          // Counting walks all of them: it begins before the map can be full.
          if (key < 100) continue
          const count = yield* map.count
          expect(count).toBeLessThanOrEqual(map.spec.maxEntries)
          if (key > 100) largestLoss = Math.max(largestLoss, before + 1 - count)
          if (key >= options.maxEntries) fewest = Math.min(fewest, count)
          before = count
        }
        expect(largestLoss, "forgotten at once").toBeGreaterThan(1)
        expect(fewest, "left").toBeLessThan(options.maxEntries)
      }))
  }

  test("what is deleted makes room, and nothing is forgotten for it", () =>
    Effect.gen(function*() {
      const map = yield* HashMap.makeLru({ ...options, maxEntries: 10_000 })
      for (let round = 0; round < 3; round++) {
        for (let key = 0; key < 100; key++) yield* map.update(key, round)
        expect(yield* map.count).toBe(100)
        for (let key = 0; key < 100; key++) expect(yield* map.delete(key)).toBe(true)
        expect(yield* map.count).toBe(0)
      }
    }))
}
