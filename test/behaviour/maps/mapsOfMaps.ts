// Maps of maps.
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { expect } from "vitest"
import { ArrayMap, Asm, BpfMap, HashMap, Layout, MapOfMaps, Program, ProgramSpec } from "../../../src/index.ts"
import type { Test } from "../../support/kernels.ts"

const rules = HashMap.define({ name: "rules", key: Layout.u32, value: Layout.u64, maxEntries: 8 })

const id = (map: BpfMap.BpfMap) => Effect.map(BpfMap.info(map), (info) => info.id)

/** Returns the value of key 1 in the inner map of index 0; 404 where there is none. */
const reader = (outer: BpfMap.BpfMap) =>
  Program.load(ProgramSpec.make({
    type: "socket_filter",
    name: "reader",
    instructions: [
      Asm.stw("r10", -4, 0),
      Asm.ldMapFd("r1", outer),
      Asm.mov("r2", "r10"),
      Asm.add("r2", -4),
      Asm.call("map_lookup_elem"),
      Asm.jeq("r0", 0, "none"),
      Asm.stw("r10", -4, 1),
      Asm.mov("r1", "r0"),
      Asm.mov("r2", "r10"),
      Asm.add("r2", -4),
      Asm.call("map_lookup_elem"),
      Asm.jeq("r0", 0, "none"),
      Asm.ldxdw("r0", "r0", 0),
      Asm.exit(),
      Asm.label("none"),
      Asm.mov("r0", 404),
      Asm.exit()
    ]
  }))

const run = (program: Parameters<typeof Program.testRun>[0]) =>
  Effect.map(Program.testRun(program, { data: new Uint8Array(64) }), ({ returnValue }) => returnValue)

export const mapsOfMaps = (test: Test): void => {
  test("inner maps are read back as strictly as the kernel takes them: their number of entries is their own", () =>
    Effect.gen(function*() {
      const outer = yield* MapOfMaps.make({ name: "tenants", inner: rules, maxEntries: 4 })
      const large = yield* HashMap.make({ name: "large", key: Layout.u32, value: Layout.u64, maxEntries: 1024 })
      yield* large.update(1, 10n)
      yield* outer.update(0, large)
      const found = Option.getOrThrow(yield* outer.lookup(0))
      expect(yield* found.lookup(1)).toEqual(Option.some(10n))
      expect(found.spec.maxEntries).toBe(1024)
    }))

  test("an inner map that does not fit is refused with what is different", () =>
    Effect.gen(function*() {
      const settings = ArrayMap.define({ name: "settings", value: Layout.u32, maxEntries: 4 })
      const outer = yield* MapOfMaps.make({ name: "tenants", inner: settings, maxEntries: 4 })
      const longer = yield* ArrayMap.make({ name: "longer", value: Layout.u32, maxEntries: 8 })
      const error = yield* Effect.flip(outer.update(0, longer))
      expect(error).toMatchObject({ _tag: "SystemCallError", code: "EINVAL" })
      expect(error.message).toContain("maxEntries 4, and this one has 8")
      const wider = yield* ArrayMap.make({ name: "wider", value: Layout.u64, maxEntries: 4 })
      expect((yield* Effect.flip(outer.update(0, wider as never))).message).toContain("valueSize 4, and this one has 8")
      expect(yield* outer.lookupId(0)).toEqual(Option.none())
    }))

  for (const kind of ["array", "hash"] as const) {
    const makeOuter = kind === "array"
      ? MapOfMaps.make({ name: "tenants", inner: rules, maxEntries: 4 })
      : MapOfMaps.makeHash({ name: "tenants", key: Layout.u32, inner: rules, maxEntries: 4 })
    const make = makeOuter as Effect.Effect<
      MapOfMaps.MapOfMaps<number, HashMap.HashMap<number, bigint>>,
      Effect.Error<typeof makeOuter>,
      Effect.Services<typeof makeOuter>
    >

    test(`an inner map of ${kind === "array" ? "an array" : "a hash table"} is looked up as a handle of the same map`, () =>
      Effect.gen(function*() {
        const outer = yield* make
        const first = yield* BpfMap.create(rules)
        yield* first.update(1, 10n)
        expect(yield* outer.lookup(2)).toEqual(Option.none())
        expect(yield* outer.lookupId(2)).toEqual(Option.none())
        yield* outer.update(2, first)
        expect(yield* outer.lookupId(2)).toEqual(Option.some(yield* id(first)))
        const found = Option.getOrThrow(yield* outer.lookup(2))
        expect(yield* found.lookup(1)).toEqual(Option.some(10n))
        yield* found.update(1, 11n)
        expect(yield* first.lookup(1)).toEqual(Option.some(11n))
        expect(yield* Stream.runCollect(outer.ids)).toEqual([[2, yield* id(first)]])
        expect(yield* outer.delete(2)).toBe(true)
        expect(yield* outer.lookup(2)).toEqual(Option.none())
        expect(outer.inner).toBe(rules)
      }))

    test(`an inner map of ${kind === "array" ? "an array" : "a hash table"} outlives the scope it was made in, until it is replaced`, () =>
      Effect.gen(function*() {
        const outer = yield* make
        const scope = yield* Scope.make()
        const first = yield* Scope.provide(BpfMap.create(rules), scope)
        yield* first.update(1, 10n)
        yield* outer.update(0, first)
        const firstId = yield* id(first)
        yield* Scope.close(scope, Exit.void)
        // A lookup's handle is closed with its own scope, and the map lives on.
        for (let i = 0; i < 2; i++) {
          yield* Effect.scoped(Effect.gen(function*() {
            const found = Option.getOrThrow(yield* outer.lookup(0))
            expect(yield* found.lookup(1)).toEqual(Option.some(10n))
          }))
        }
        const program = yield* reader(outer)
        expect(yield* run(program)).toBe(10)
        const second = yield* BpfMap.create(rules)
        yield* second.update(1, 20n)
        yield* outer.update(0, second)
        expect(yield* run(program)).toBe(20)
        expect(yield* outer.lookupId(0)).toEqual(Option.some(yield* id(second)))
        // The one that was replaced is gone, once the kernel has seen to it.
        let gone = false
        for (let i = 0; i < 1000 && !gone; i++) {
          const found = yield* Effect.exit(Effect.scoped(BpfMap.fromId(rules, firstId)))
          gone = Exit.isFailure(found)
          yield* Effect.sleep("20 millis")
        }
        expect(gone).toBe(true)
      }))
  }

  test("only maps like the definition go in, and no closed ones", () =>
    Effect.gen(function*() {
      const outer = yield* MapOfMaps.makeHash({ name: "tenants", key: Layout.u16, inner: rules, maxEntries: 4 })
      const other = yield* HashMap.make({ name: "rules", key: Layout.u32, value: Layout.u32, maxEntries: 8 })
      expect(yield* Effect.flip(outer.update(1, other as never))).toMatchObject({
        _tag: "SystemCallError",
        code: "EINVAL"
      })
      const closed = yield* Effect.scoped(BpfMap.create(rules))
      expect(yield* Effect.flip(outer.update(1, closed))).toMatchObject({
        _tag: "InvalidArgument",
        actual: "a closed one"
      })
      expect(yield* Effect.flip(outer.update(70_000, yield* BpfMap.create(rules)))).toMatchObject({
        _tag: "LayoutError"
      })
      expect(yield* Stream.runCollect(outer.ids)).toEqual([])
    }))

  test("keys are limited by the mode, and an array's by its size", () =>
    Effect.gen(function*() {
      const hash = yield* MapOfMaps.makeHash({ name: "tenants", key: Layout.u32, inner: rules, maxEntries: 1 })
      const array = yield* MapOfMaps.make({ name: "tenants", inner: rules, maxEntries: 2 })
      const inner = yield* BpfMap.create(rules)
      expect(yield* Effect.flip(hash.update(1, inner, { mode: "exist" }))).toMatchObject({ code: "ENOENT" })
      yield* hash.update(1, inner, { mode: "noexist" })
      expect(yield* Effect.flip(hash.update(1, inner, { mode: "noexist" }))).toMatchObject({ code: "EEXIST" })
      expect((yield* Effect.flip(hash.update(2, inner))).message).toContain("full: 1 of 1")
      const beyond = yield* Effect.flip(array.update(2, inner))
      expect(beyond).toMatchObject({ code: "E2BIG" })
      expect(beyond.message).toContain("below 2")
      expect(yield* array.delete(0)).toBe(false)
    }))

  test("an array that has many inner maps and empty slots is walked whole", () =>
    Effect.gen(function*() {
      const definition = ArrayMap.define({ name: "part", value: Layout.u32, maxEntries: 1 })
      const outer = yield* MapOfMaps.make({ name: "parts", inner: definition, maxEntries: 100 })
      const expected: Array<readonly [number, number]> = []
      for (let slot = 3; slot < 100; slot += 10) {
        const part = yield* BpfMap.create(definition)
        yield* outer.update(slot, part)
        expected.push([slot, yield* id(part)])
      }
      expect(yield* Stream.runCollect(outer.ids)).toEqual(expected)
    }))

  test("an inner map that the definition does not fit is refused at once", () =>
    Effect.gen(function*() {
      const bad = HashMap.define({ name: "a bad name", key: Layout.u32, value: Layout.u32, maxEntries: 1 })
      const error = yield* Effect.flip(MapOfMaps.make({ name: "tenants", inner: bad, maxEntries: 1 }))
      expect(error).toMatchObject({ _tag: "InvalidArgument", field: "name" })
      const nested = MapOfMaps.define({ name: "outer", inner: rules, maxEntries: 1 })
      const refused = yield* Effect.flip(MapOfMaps.make({ name: "tenants", inner: nested, maxEntries: 1 }))
      expect(refused).toMatchObject({ _tag: "SystemCallError" })
    }))
}
