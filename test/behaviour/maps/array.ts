// Arrays, and their memory in this process.
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { expect } from "vitest"
import { ArrayMap, Asm, BpfMap, Layout, Program, ProgramSpec } from "../../../src/index.ts"
import type { Test } from "../../support/kernels.ts"

const thrown = (f: () => unknown): unknown => {
  try {
    f()
  } catch (error) {
    return error
  }
  return undefined
}

/** Layouts of sizes around the words that are moved whole, and of kinds that are read in other ways. */
const layouts: ReadonlyArray<readonly [name: string, layout: Layout.Layout<any>, values: ReadonlyArray<unknown>]> = [
  ["u8", Layout.u8, [0, 255]],
  ["u16be", Layout.u16be, [1, 0xff00]],
  ["3 bytes", Layout.bytes(3), [Uint8Array.of(1, 2, 3), Uint8Array.of(255, 254, 253)]],
  ["i32", Layout.i32, [-1, 2 ** 31 - 1]],
  ["5 bytes", Layout.bytes(5), [Uint8Array.of(1, 2, 3, 4, 5), Uint8Array.of(5, 4, 3, 2, 1)]],
  ["u64", Layout.u64, [2n ** 64n - 1n, 1n]],
  ["i64", Layout.i64, [-(2n ** 63n), -1n]],
  ["u64be", Layout.u64be, [1n, 2n ** 63n]],
  ["u64Number", Layout.u64Number, [2 ** 53 - 1, 2 ** 32]],
  ["i64Number", Layout.i64Number, [-(2 ** 53 - 1), -1]],
  ["pair", Layout.struct({ a: Layout.u32, b: Layout.u32 }), [{ a: 1, b: 2 }, { a: 2 ** 32 - 1, b: 0 }]],
  ["large", Layout.struct({ a: Layout.u64, b: Layout.u8 }), [{ a: 1n, b: 2 }, { a: 2n ** 64n - 1n, b: 255 }]],
  ["text", Layout.cstring(16), ["init", "a longer name"]]
]

const mmapable = <V>(value: Layout.Layout<V>, maxEntries = 3) =>
  ArrayMap.make({ name: "values", value, maxEntries, mmapable: true })

export const array = (test: Test): void => {
  test("an array is read and written by index, by effects and at once, and walked in order", () =>
    Effect.gen(function*() {
      const map = yield* ArrayMap.make({ name: "settings", value: Layout.i64, maxEntries: 4 })
      yield* map.update(1, -5n)
      map.updateUnsafe(3, 9n)
      expect(map.lookupUnsafe(1)).toBe(-5n)
      expect(yield* Stream.runCollect(map.entries)).toEqual([[0, 0n], [1, -5n], [2, 0n], [3, 9n]])
      expect(yield* Stream.runCollect(map.keys)).toEqual([0, 1, 2, 3])
      expect(yield* map.count).toBe(4)
      expect(yield* map.getMany([3, 1, 3])).toEqual([9n, -5n, 9n])
      expect([map.nextKeyUnsafe(undefined), map.nextKeyUnsafe(0), map.nextKeyUnsafe(3)]).toEqual([0, 1, undefined])
      for (const index of [4, -1, 0.5]) {
        expect(thrown(() => map.lookupUnsafe(index))).toMatchObject({ _tag: "InvalidArgument", field: "index" })
        expect(thrown(() => map.updateUnsafe(index, 1n))).toMatchObject({ _tag: "InvalidArgument", field: "index" })
      }
      expect(map).not.toHaveProperty("delete")
      expect(map).not.toHaveProperty("clear")
    }))

  for (const [name, layout, values] of layouts) {
    test(`a view of ${name} values shows what the map has, and the map what the view sets`, () =>
      Effect.gen(function*() {
        const map = yield* mmapable(layout)
        const view = yield* ArrayMap.view(map)
        expect(view.length).toBe(3)
        for (const value of values) {
          for (const index of [0, 1, 2]) {
            yield* map.update(index, value)
            expect(view.get(index)).toEqual(value)
            expect(view.get(index)).toEqual(yield* map.lookup(index))
          }
          for (const other of values) {
            view.set(1, other)
            expect(yield* map.lookup(1)).toEqual(other)
            expect(view.get(1)).toEqual(other)
          }
          expect(yield* map.lookup(0)).toEqual(value)
          expect(yield* map.lookup(2)).toEqual(value)
        }
      }))
  }

  test("a program's change is seen in a view, and a view's change by the program", () =>
    Effect.gen(function*() {
      const map = yield* mmapable(Layout.u64, 1)
      const view = yield* ArrayMap.view(map)
      const program = yield* Program.load(ProgramSpec.make({
        type: "socket_filter",
        name: "double",
        instructions: [
          Asm.ldMapValue("r1", map),
          Asm.ldxdw("r0", "r1", 0),
          Asm.add("r0", "r0"),
          Asm.stdw("r1", 0, "r0"),
          Asm.exit()
        ]
      }))
      view.set(0, 21n)
      expect((yield* Program.testRun(program, { data: new Uint8Array(64) })).returnValue).toBe(42)
      expect(view.get(0)).toBe(42n)
    }))

  test("a view of an array larger than a page has every value at its place", () =>
    Effect.gen(function*() {
      const map = yield* mmapable(Layout.u64Number, 2000)
      const view = yield* ArrayMap.view(map)
      for (let i = 0; i < 2000; i++) view.set(i, i * 3)
      expect(yield* Stream.runCollect(map.values)).toEqual(Array.from({ length: 2000 }, (_, i) => i * 3))
      expect(view.get(1999)).toBe(1999 * 3)
    }))

  test("an index out of range and a value that does not fit are refused, and change nothing", () =>
    Effect.gen(function*() {
      const map = yield* mmapable(Layout.struct({ a: Layout.u32, b: Layout.u8, c: Layout.u64 }))
      const view = yield* ArrayMap.view(map)
      view.set(0, { a: 1, b: 2, c: 3n })
      expect(thrown(() => view.set(0, { a: 9, b: 256, c: 9n }))).toMatchObject({ _tag: "LayoutError", path: "b" })
      expect(thrown(() => view.set(0, { a: 9, b: 1, c: -1n }))).toMatchObject({ _tag: "LayoutError", path: "c" })
      expect(view.get(0)).toEqual({ a: 1, b: 2, c: 3n })
      for (const index of [3, -1, 1.5, Number.NaN, "0" as never, 2 ** 40]) {
        expect(thrown(() => view.get(index)), String(index)).toMatchObject({ _tag: "InvalidArgument", field: "index" })
        expect(thrown(() => view.set(index, { a: 1, b: 2, c: 3n }))).toMatchObject({ _tag: "InvalidArgument" })
      }
      const numbers = yield* ArrayMap.view(yield* mmapable(Layout.u64Number))
      for (const value of [-1, 2 ** 53, 0.5, Number.NaN, 1n as never, undefined as never]) {
        expect(thrown(() => numbers.set(0, value)), String(value)).toMatchObject({ _tag: "LayoutError" })
      }
      expect(numbers.get(0)).toBe(0)
    }))

  test("a number beyond 2^53 in the memory is a LayoutError, and no wrong number", () =>
    Effect.gen(function*() {
      const map = yield* mmapable(Layout.u64)
      yield* map.update(0, 2n ** 53n)
      yield* map.update(1, 2n ** 64n - 1n)
      const definition = ArrayMap.define({ name: "values", value: Layout.u64Number, maxEntries: 3, mmapable: true })
      const view = yield* ArrayMap.view(yield* BpfMap.fromFd(definition, map.fd))
      for (const index of [0, 1]) expect(thrown(() => view.get(index))).toMatchObject({ _tag: "LayoutError" })
      expect(view.get(2)).toBe(0)
    }))

  test("after its scope has closed, every access to a view is an error", () =>
    Effect.gen(function*() {
      const map = yield* mmapable(Layout.u64Number)
      const scope = yield* Scope.make()
      const view = yield* Scope.provide(ArrayMap.view(map), scope)
      view.set(0, 5)
      yield* Scope.close(scope, Exit.void)
      for (const use of [() => view.get(0), () => view.set(0, 1), () => view.get(99)]) {
        expect(thrown(use)).toMatchObject({ _tag: "SystemCallError", code: "EBADF" })
      }
      expect(yield* map.lookup(0)).toBe(5)
      // A map may be viewed again, and a view outlives its map's handle as long as its own scope is open.
      const early = yield* Scope.make()
      const other = yield* Scope.provide(mmapable(Layout.u32), early)
      const stays = yield* ArrayMap.view(other)
      yield* Scope.close(early, Exit.void)
      stays.set(2, 7)
      expect(stays.get(2)).toBe(7)
      expect(yield* Effect.flip(ArrayMap.view(other))).toMatchObject({ code: "EBADF" })
    }))

  test("a readonly view reads, and refuses writes with an error and no signal", () =>
    Effect.gen(function*() {
      const map = yield* mmapable(Layout.u32)
      const view = yield* ArrayMap.view(map, { readonly: true })
      yield* map.update(1, 8)
      expect(view.get(1)).toBe(8)
      expect(thrown(() => view.set(1, 9))).toMatchObject({ _tag: "InvalidArgument", field: "view" })
      expect(view.get(1)).toBe(8)
    }))

  test("an array made without mmapable has no view", () =>
    Effect.gen(function*() {
      const map = yield* ArrayMap.make({ name: "plain", value: Layout.u32, maxEntries: 3 })
      const error = yield* Effect.flip(ArrayMap.view(map))
      expect(error).toMatchObject({ _tag: "InvalidArgument", field: "map" })
      expect(error.message).toContain("mmapable")
    }))

  test("a frozen array refuses writes, and has a readonly view; one that is viewed for writing cannot be frozen", () =>
    Effect.gen(function*() {
      const map = yield* mmapable(Layout.u32)
      yield* map.update(0, 1)
      const busy = yield* Effect.scoped(Effect.gen(function*() {
        yield* ArrayMap.view(map)
        return yield* Effect.flip(BpfMap.freeze(map))
      }))
      expect(busy).toMatchObject({ _tag: "SystemCallError", code: "EBUSY", command: "BPF_MAP_FREEZE" })
      yield* BpfMap.freeze(map)
      const again: unknown = yield* Effect.flip(BpfMap.freeze(map))
      expect(["EBUSY", "EPERM"]).toContain((again as { readonly code: string }).code) // that it is frozen already
      expect(yield* Effect.flip(map.update(0, 2))).toMatchObject({ code: "EPERM" })
      expect(yield* Effect.flip(map.setMany([[0, 2]]))).toMatchObject({
        _tag: "BatchError",
        done: 0,
        cause: { code: "EPERM" }
      })
      expect(yield* Effect.flip(ArrayMap.view(map))).toMatchObject({ _tag: "SystemCallError", code: "EPERM" })
      const view = yield* ArrayMap.view(map, { readonly: true })
      expect(view.get(0)).toBe(1)
      expect(yield* map.lookup(0)).toBe(1)
    }))

  test("a frozen array refuses many entries as it does one", () =>
    Effect.gen(function*() {
      const map = yield* ArrayMap.make({ name: "frozen", value: Layout.u32, maxEntries: 100 })
      const entries = Array.from({ length: 100 }, (_, i) => [i, i] as const)
      yield* map.setMany(entries)
      yield* BpfMap.freeze(map)
      const error = yield* Effect.flip(map.setMany(entries.map(([i]) => [i, 7] as const)))
      expect(error).toMatchObject({ _tag: "BatchError", index: 0, done: 0, cause: { code: "EPERM" } })
      expect(yield* map.getMany([0, 50, 99])).toEqual([0, 50, 99])
    }))

  test("a handle knows its layout and what it was made from", () =>
    Effect.gen(function*() {
      const map = yield* mmapable(Layout.u32)
      expect(map.value).toBe(Layout.u32)
      expect(map.spec).toMatchObject({
        type: "array",
        name: "values",
        keySize: 4,
        valueSize: 4,
        maxEntries: 3,
        flags: 0x400
      })
      expect(BpfMap.describe(map.spec)).toBe("array map \"values\"")
    }))
}
