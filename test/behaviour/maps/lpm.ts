// Tries of prefixes.
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { expect } from "vitest"
import { Address, Layout, LpmTrie } from "../../../src/index.ts"
import type { Test } from "../../support/kernels.ts"

const routesOf = (maxEntries: number) =>
  LpmTrie.make({ name: "routes", key: Address.ipv4Prefix, value: Layout.u32, maxEntries })

export const lpm = (test: Test): void => {
  test("the longest prefix that covers an address is found", () =>
    Effect.gen(function*() {
      const routes = yield* routesOf(16)
      yield* routes.update("0.0.0.0/0", 1)
      yield* routes.update("10.0.0.0/8", 2)
      yield* routes.update("10.1.0.0/16", 3)
      yield* routes.update("10.1.2.3", 4)
      const expected = { "10.1.2.3": 4, "10.1.2.4": 3, "10.2.0.0": 2, "11.0.0.1": 1, "10.1.2.0/24": 3, "10.0.0.0/8": 2 }
      for (const [address, value] of Object.entries(expected)) {
        expect(yield* routes.lookup(address), address).toEqual(Option.some(value))
      }
      expect(yield* routes.delete("0.0.0.0/0")).toBe(true)
      expect(yield* routes.delete("0.0.0.0/0")).toBe(false)
      expect(yield* routes.lookup("11.0.0.1")).toEqual(Option.none())
      // A deletion means the prefix itself, not what covers it.
      expect(yield* routes.delete("10.1.2.0/24")).toBe(false)
      expect((yield* Stream.runCollect(routes.entries)).toSorted(([a], [b]) => a < b ? -1 : 1)).toEqual([
        ["10.0.0.0/8", 2],
        ["10.1.0.0/16", 3],
        ["10.1.2.3/32", 4]
      ])
    }))

  test("networks of IPv6 are matched over all 128 bits", () =>
    Effect.gen(function*() {
      const routes = yield* LpmTrie.make({ name: "routes", key: Address.ipv6Prefix, value: Layout.u8, maxEntries: 8 })
      yield* routes.update("2001:db8::/32", 1)
      yield* routes.update("2001:db8:0:1::/64", 2)
      yield* routes.update("2001:db8::1/128", 3)
      yield* routes.update("2001:db8::/127", 4)
      expect(yield* routes.lookup("2001:db8::1")).toEqual(Option.some(3))
      expect(yield* routes.lookup("2001:db8::")).toEqual(Option.some(4))
      expect(yield* routes.lookup("2001:db8::2")).toEqual(Option.some(1))
      expect(yield* routes.lookup("2001:db8:0:1:ffff::")).toEqual(Option.some(2))
      expect(yield* routes.lookup("2001:db9::")).toEqual(Option.none())
      expect((yield* Stream.runCollect(routes.keys)).toSorted()).toEqual([
        "2001:db8:0:1::/64",
        "2001:db8::/127",
        "2001:db8::/32",
        "2001:db8::1/128"
      ])
    }))

  test("bits after the prefix are an error that names the network meant", () =>
    Effect.gen(function*() {
      const routes = yield* routesOf(4)
      const error = yield* Effect.flip(routes.update("10.1.2.3/8", 1))
      expect(error).toMatchObject({ _tag: "LayoutError" })
      expect(error.message).toContain("10.0.0.0/8")
      for (const key of ["10.0.0.0/33", "10.0.0/8", "", "/8", "10.0.0.0/", "::1", "10.0.0.0/-1", 7 as never]) {
        expect(yield* Effect.flip(routes.lookup(key)), String(key)).toMatchObject({ _tag: "LayoutError" })
      }
      expect(yield* routes.count).toBe(0)
    }))

  test("prefixes of any data are keys, made by LpmTrie.prefix", () =>
    Effect.gen(function*() {
      const key = LpmTrie.prefix(Layout.struct({ tenant: Layout.u16be, host: Layout.u32be }))
      const map = yield* LpmTrie.make({ name: "tenants", key, value: Layout.u8, maxEntries: 8 })
      yield* map.update({ length: 16, data: { tenant: 7, host: 0 } }, 1)
      yield* map.update({ length: 0, data: { tenant: 0, host: 0 } }, 2)
      expect(yield* map.lookup({ length: key.size * 8 - 32, data: { tenant: 7, host: 0xabcdef } })).toEqual(
        Option.some(1)
      )
      expect(yield* map.lookup({ length: 64, data: { tenant: 8, host: 1 } })).toEqual(Option.some(2))
      for (const length of [-1, 65, 0.5]) {
        const error = yield* Effect.flip(map.update({ length, data: { tenant: 7, host: 0 } }, 1))
        expect(error).toMatchObject({ _tag: "LayoutError", path: "length" })
      }
      expect((yield* Stream.runCollect(map.keys)).map(({ length }) => length).toSorted()).toEqual([0, 16])
    }))

  test("a full trie says so with its size", () =>
    Effect.gen(function*() {
      const routes = yield* routesOf(2)
      yield* routes.update("10.0.0.0/8", 1)
      yield* routes.update("11.0.0.0/8", 1)
      const error = yield* Effect.flip(routes.update("12.0.0.0/8", 1))
      expect(error).toMatchObject({ _tag: "SystemCallError", code: "ENOSPC" })
      expect(error.message).toContain("full: 2 of 2")
      expect(yield* routes.lookup("10.0.0.1")).toEqual(Option.some(1))
      yield* routes.delete("11.0.0.0/8")
      yield* routes.update("10.0.0.0/8", 5)
      expect(yield* routes.lookup("10.0.0.1")).toEqual(Option.some(5))
    }))

  test("a trie takes many prefixes at once, and gives them back by address", () =>
    Effect.gen(function*() {
      const routes = yield* routesOf(1000)
      const networks = Array.from({ length: 300 }, (_, i) => `10.${i >> 8}.${i & 255}.0/24`)
      yield* routes.setMany(networks.map((network, i) => [network, i] as const))
      expect(yield* routes.getMany([...networks.map((n) => n.replace("0/24", "9")), "11.0.0.1"])).toEqual([
        ...networks.map((_, i) => Option.some(i)),
        Option.none()
      ])
      expect(yield* routes.deleteMany([...networks.slice(0, 100), "11.0.0.0/8"])).toBe(100)
      expect(yield* routes.count).toBe(200)
      const wrong = yield* Effect.flip(routes.setMany([["10.0.0.0/24", 1], ["10.0.0.1/24", 1]]))
      expect(wrong).toMatchObject({ _tag: "BatchError", index: 1, done: 1, cause: { _tag: "LayoutError" } })
    }))
}
