// Per-CPU maps: one value for each possible CPU, each rounded up to 8 bytes.
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { expect } from "vitest"
import { Asm, Kernel, Layout, PerCpu, PerCpuArrayMap, PerCpuHashMap, Program, ProgramSpec } from "../../../src/index.ts"
import type { Test } from "../../support/kernels.ts"

/** 5 bytes: what lies between two CPUs' values is padding. */
const Odd = Layout.bytes(5)

const numbers = (length: number) => Array.from({ length }, (_, i) => i)

export const perCpu = (test: Test): void => {
  test("a value is one for each possible CPU, whatever its size", () =>
    Effect.gen(function*() {
      const { possibleCpus } = yield* Kernel.Kernel
      const array = yield* PerCpuArrayMap.make({ name: "odd", value: Odd, maxEntries: 3 })
      const hash = yield* PerCpuHashMap.make({ name: "odd", key: Layout.u16, value: Odd, maxEntries: 3 })
      const values = numbers(possibleCpus).map((cpu) => Uint8Array.of(cpu, 1, 2, 3, 255 - cpu))
      expect(yield* array.lookup(2)).toEqual(numbers(possibleCpus).map(() => new Uint8Array(5)))
      yield* array.update(2, values)
      yield* hash.update(2, values)
      expect(yield* array.lookup(2)).toEqual(values)
      expect(yield* hash.lookup(2)).toEqual(Option.some(values))
      expect(yield* array.lookup(1)).toEqual(numbers(possibleCpus).map(() => new Uint8Array(5)))
      expect(yield* Stream.runCollect(array.entries)).toEqual([
        [0, yield* array.lookup(0)],
        [1, yield* array.lookup(1)],
        [2, values]
      ])
      expect(yield* Stream.runCollect(hash.entries)).toEqual([[2, values]])
    }))

  test("fewer or more values than possible CPUs are refused, and change nothing", () =>
    Effect.gen(function*() {
      const { possibleCpus } = yield* Kernel.Kernel
      const map = yield* PerCpuArrayMap.make({ name: "counters", value: Layout.u64, maxEntries: 1 })
      yield* map.updateAll(0, 7n)
      const wrong: ReadonlyArray<any> = [
        [],
        numbers(possibleCpus - 1).map(() => 1n),
        numbers(possibleCpus + 1).map(() => 1n),
        7n,
        undefined,
        { length: possibleCpus }
      ]
      for (const values of wrong) {
        const error = yield* Effect.flip(map.update(0, values))
        expect(error).toMatchObject({ _tag: "LayoutError" })
        expect(error.message).toContain(`${possibleCpus} values, one for each possible CPU`)
      }
      // One bad value among good ones.
      const bad = numbers(possibleCpus).map((cpu) => cpu === possibleCpus - 1 ? -1n : 1n)
      expect(yield* Effect.flip(map.update(0, bad))).toMatchObject({ _tag: "LayoutError" })
      expect(yield* map.lookup(0)).toEqual(numbers(possibleCpus).map(() => 7n))
    }))

  test("a program counts on its own CPU, and the sum over all of them is what was counted", () =>
    Effect.gen(function*() {
      const { possibleCpus } = yield* Kernel.Kernel
      const map = yield* PerCpuArrayMap.make({ name: "counters", value: Layout.u64, maxEntries: 1 })
      const program = yield* Program.load(ProgramSpec.make({
        type: "socket_filter",
        name: "count",
        instructions: [
          Asm.stw("r10", -4, 0),
          Asm.ldMapFd("r1", map),
          Asm.mov("r2", "r10"),
          Asm.add("r2", -4),
          Asm.call("map_lookup_elem"),
          Asm.jeq("r0", 0, "out"),
          Asm.ldxdw("r1", "r0", 0),
          Asm.add("r1", 1),
          Asm.stdw("r0", 0, "r1"),
          Asm.label("out"),
          Asm.mov("r0", 0),
          Asm.exit()
        ]
      }))
      for (let i = 0; i < 5; i++) yield* Program.testRun(program, { data: new Uint8Array(64), repeat: 20 })
      const values = yield* map.lookup(0)
      expect(values).toHaveLength(possibleCpus)
      expect(PerCpu.sum(values)).toBe(100n)
    }))

  test("updateAll sets every CPU's value, as the mode allows", () =>
    Effect.gen(function*() {
      const map = yield* PerCpuHashMap.make({ name: "hits", key: Layout.u32, value: Layout.u32, maxEntries: 2 })
      yield* map.updateAll(1, 5)
      expect(Option.map(yield* map.lookup(1), PerCpu.min)).toEqual(Option.some(5))
      expect(Option.map(yield* map.lookup(1), PerCpu.max)).toEqual(Option.some(5))
      expect(yield* Effect.flip(map.updateAll(1, 6, { mode: "noexist" }))).toMatchObject({ code: "EEXIST" })
      expect(yield* Effect.flip(map.updateAll(2, 6, { mode: "exist" }))).toMatchObject({ code: "ENOENT" })
      yield* map.updateAll(2, 6)
      expect(yield* Effect.flip(map.updateAll(3, 6))).toMatchObject({ code: "E2BIG" })
      expect(yield* map.delete(1)).toBe(true)
      expect(yield* map.lookup(1)).toEqual(Option.none())
    }))

  test("a per-CPU entry is given and removed in one step", () =>
    Effect.gen(function*() {
      const map = yield* PerCpuHashMap.make({ name: "hits", key: Layout.u32, value: Layout.u32, maxEntries: 2 })
      yield* map.updateAll(1, 5)
      expect(Option.map(yield* map.lookupAndDelete(1), PerCpu.max)).toEqual(Option.some(5))
      expect(yield* map.lookupAndDelete(1)).toEqual(Option.none())
    }), { needs: "hashLookupAndDelete" })

  test("indices out of range are refused before the kernel is asked", () =>
    Effect.gen(function*() {
      const map = yield* PerCpuArrayMap.make({ name: "counters", value: Layout.u32, maxEntries: 2 })
      for (const index of [2, -1, 0.5, Number.NaN, "1" as never]) {
        expect(yield* Effect.flip(map.lookup(index))).toMatchObject({ _tag: "InvalidArgument", field: "index" })
        expect(yield* Effect.flip(map.updateAll(index, 1))).toMatchObject({ _tag: "InvalidArgument", field: "index" })
      }
    }))
}
