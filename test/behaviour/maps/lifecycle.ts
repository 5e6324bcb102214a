import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import { expect } from "vitest"
import { ArrayMap, BpfMap, HashMap, Kernel, Layout } from "../../../src/index.ts"
import type { Test } from "../../support/kernels.ts"

const fails = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.flip(effect)

export const lifecycle = (test: Test): void => {
  test("a hash map gives back what was put in, and nothing for other keys", () =>
    Effect.gen(function*() {
      const map = yield* HashMap.make({ name: "counters", key: Layout.u32, value: Layout.u64, maxEntries: 16 })
      expect(yield* map.lookup(1)).toEqual(Option.none())
      yield* map.update(1, 2n ** 64n - 1n)
      yield* map.update(2, 5n)
      expect(yield* map.lookup(1)).toEqual(Option.some(2n ** 64n - 1n))
      expect(yield* map.lookup(2)).toEqual(Option.some(5n))
      expect(yield* map.delete(1)).toBe(true)
      expect(yield* map.delete(1)).toBe(false)
      expect(yield* map.lookup(1)).toEqual(Option.none())
    }))

  test("an update can be limited to new or to present keys", () =>
    Effect.gen(function*() {
      const map = yield* HashMap.make({ name: "m", key: Layout.u32, value: Layout.u32, maxEntries: 4 })
      const absent = yield* fails(map.update(1, 1, { mode: "exist" }))
      expect(absent).toMatchObject({ _tag: "SystemCallError", code: "ENOENT" })
      yield* map.update(1, 1, { mode: "noexist" })
      const present = yield* fails(map.update(1, 2, { mode: "noexist" }))
      expect(present).toMatchObject({ _tag: "SystemCallError", code: "EEXIST" })
      yield* map.update(1, 3, { mode: "exist" })
      expect(yield* map.lookup(1)).toEqual(Option.some(3))
    }))

  test("struct keys that are equal are one entry, whatever was in their padding before", () =>
    Effect.gen(function*() {
      const key = Layout.struct({ port: Layout.u16, address: Layout.u32, protocol: Layout.u8 })
      const map = yield* HashMap.make({ name: "flows", key, value: Layout.u32, maxEntries: 8 })
      yield* map.update({ port: 0xffff, address: 0xffffffff, protocol: 0xff }, 1)
      yield* map.update({ port: 1, address: 2, protocol: 3 }, 2)
      yield* map.update({ port: 1, address: 2, protocol: 3 }, 3)
      expect(yield* map.lookup({ port: 1, address: 2, protocol: 3 })).toEqual(Option.some(3))
      expect(yield* map.delete({ port: 1, address: 2, protocol: 3 })).toBe(true)
      expect(yield* map.delete({ port: 1, address: 2, protocol: 3 })).toBe(false)
    }))

  test("a full map says so with its size, and keeps its entries", () =>
    Effect.gen(function*() {
      const map = yield* HashMap.make({ name: "small", key: Layout.u32, value: Layout.u32, maxEntries: 2 })
      yield* map.update(1, 1)
      yield* map.update(2, 2)
      const error = yield* fails(map.update(3, 3))
      expect(error).toMatchObject({ code: "E2BIG" })
      expect(error.message).toContain("full: 2 of 2")
      expect(yield* map.lookup(1)).toEqual(Option.some(1))
      expect(yield* map.lookup(3)).toEqual(Option.none())
    }))

  test("an array has all its elements from the start, zeroed", () =>
    Effect.gen(function*() {
      const map = yield* ArrayMap.make({ name: "settings", value: Layout.u32, maxEntries: 3 })
      expect(yield* map.lookup(2)).toBe(0)
      yield* map.update(2, 77)
      expect(yield* map.lookup(2)).toBe(77)
      expect(yield* map.lookup(1)).toBe(0)
    }))

  test("an index out of range is refused before the kernel is asked", () =>
    Effect.gen(function*() {
      const map = yield* ArrayMap.make({ name: "a", value: Layout.u32, maxEntries: 3 })
      for (const index of [3, -1, 0.5, Number.NaN]) {
        expect(yield* fails(map.lookup(index))).toMatchObject({ _tag: "InvalidArgument", field: "index" })
        expect(yield* fails(map.update(index, 1))).toMatchObject({ _tag: "InvalidArgument", field: "index" })
      }
    }))

  test("a value that does not fit its layout is a LayoutError, and the map is unchanged", () =>
    Effect.gen(function*() {
      const value = Layout.struct({ count: Layout.u8 })
      const map = yield* HashMap.make({ name: "m", key: Layout.u32, value, maxEntries: 4 })
      yield* map.update(1, { count: 255 })
      const error = yield* fails(map.update(1, { count: 256 }))
      expect(error).toMatchObject({ _tag: "LayoutError", path: "count" })
      expect(yield* map.lookup(1)).toEqual(Option.some({ count: 255 }))
      expect(yield* fails(map.lookup(-1))).toMatchObject({ _tag: "LayoutError" })
    }))

  test("a map reports what the kernel knows of it", () =>
    Effect.gen(function*() {
      const map = yield* HashMap.make({ name: "known.name_1", key: Layout.u64, value: Layout.u32, maxEntries: 9 })
      expect(yield* BpfMap.info(map)).toMatchObject({ name: "known.name_1", keySize: 8, valueSize: 4, maxEntries: 9 })
    }))

  test("bad options are refused with the field and the limit", () =>
    Effect.gen(function*() {
      const make = (options: { name?: string; maxEntries?: number }) =>
        fails(Effect.scoped(HashMap.make({
          name: "m",
          key: Layout.u32,
          value: Layout.u32,
          maxEntries: 1,
          ...options
        })))
      expect(yield* make({ maxEntries: 0 })).toMatchObject({ _tag: "InvalidArgument", field: "maxEntries" })
      expect(yield* make({ maxEntries: 2 ** 32 })).toMatchObject({ field: "maxEntries" })
      expect(yield* make({ maxEntries: 1.5 })).toMatchObject({ field: "maxEntries" })
      expect(yield* make({ name: "a name" })).toMatchObject({ field: "name" })
      expect(yield* make({ name: "sixteen_letters_" })).toMatchObject({ field: "name" })
      const keyless = BpfMap.make({ type: "hash", name: "m", keySize: 0, valueSize: 4, maxEntries: 1, flags: 0 })
      expect(yield* fails(Effect.scoped(keyless))).toMatchObject({ _tag: "SystemCallError", code: "EINVAL" })
    }))

  test("a handle that outlives its scope fails, and never touches the descriptor's next owner", () =>
    Effect.gen(function*() {
      const { number, stale } = yield* Effect.scoped(Effect.gen(function*() {
        const map = yield* HashMap.make({ name: "first", key: Layout.u32, value: Layout.u32, maxEntries: 4 })
        return { number: map.fd, stale: map }
      }))
      const next = yield* HashMap.make({ name: "second", key: Layout.u32, value: Layout.u32, maxEntries: 4 })
      expect(next.fd).toBe(number)
      expect(stale.fd).toBe(-1)
      expect(yield* fails(BpfMap.info(stale))).toMatchObject({ code: "EBADF" })
      expect(yield* fails(stale.update(1, 1))).toMatchObject({ _tag: "SystemCallError", code: "EBADF" })
      expect(yield* fails(stale.lookup(1))).toMatchObject({ code: "EBADF" })
      expect(yield* next.lookup(1)).toEqual(Option.none())
    }))

  test("a handle is closed as soon as its scope begins to close, and writes to no memory that is given back", () =>
    Effect.gen(function*() {
      const kernel = yield* Kernel.Kernel
      const outer = yield* Effect.scope
      const scope = yield* Scope.fork(outer)
      const map = yield* Scope.provide(
        HashMap.make({ name: "m", key: Layout.u32, value: Layout.u32, maxEntries: 4 }),
        scope
      )
      // Watches the door: at each thing given back, the handle is tried once more.
      const outcomes: Array<string> = []
      const attempt = () => {
        const exit = Effect.runSyncExit(map.update(1, 1))
        outcomes.push(exit._tag === "Success" ? "ok" : String(exit.cause.reasons.map((r) => "error" in r && r.error)))
      }
      const { free } = kernel
      Object.assign(kernel, {
        free: (block: Kernel.Block) => {
          free(block)
          attempt()
        }
      })
      yield* Scope.close(scope, Exit.void)
      Object.assign(kernel, { free })
      expect(outcomes.length).toBeGreaterThan(1)
      for (const outcome of outcomes) expect(outcome).toContain("EBADF")
    }))

  test("the door refuses freed memory", () =>
    Effect.gen(function*() {
      const kernel = yield* Kernel.Kernel
      const block = kernel.allocate(64)
      if (typeof block === "number") throw new Error("no memory")
      kernel.free(block)
      expect(kernel.bpf.call(0, block, 64)).toBe(-14)
    }))
}
