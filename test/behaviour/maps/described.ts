// Maps as compiled objects describe them: with types of their BTF, with contents, frozen, and pinned by their name.
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import { expect } from "vitest"
import { bpf_map_create_flags } from "../../../src/abi/generated/enums.ts"
import {
  Asm,
  BpfFs,
  BpfMap,
  Btf,
  type BtfType,
  BytesMap,
  HashMap,
  Layout,
  MapOfMaps,
  type MapSpec,
  PerCpuArrayMap,
  ProgArray,
  Program,
  ProgramSpec,
  QueueMap
} from "../../../src/index.ts"
import { failingCalls } from "../../support/failingCalls.ts"
import { acquireBpfFs } from "../../support/folders.ts"
import type { Test } from "../../support/kernels.ts"

const { u32 } = Layout
const int = (name: string, size: number): BtfType.BtfType => ({
  _tag: "Int",
  name,
  size,
  bits: size * 8,
  offset: 0,
  signed: false,
  char: false,
  bool: false
})
/** 1: `unsigned int`, 2: `unsigned long`, 3: the variable of a section, 4: the section. */
const btf = Result.getOrThrow(Btf.encode([
  int("unsigned int", 4),
  int("unsigned long", 8),
  { _tag: "Var", name: "limit", type: 2, linkage: 1 },
  { _tag: "DataSection", name: ".rodata", size: 8, variables: [{ type: 3, offset: 0, size: 8 }] }
] as ReadonlyArray<BtfType.BtfType>))

const word = (n: number): Uint8Array => new Uint8Array(Uint32Array.of(n).buffer)
const long = (n: bigint): Uint8Array => new Uint8Array(BigUint64Array.of(n).buffer)

const hash = { type: "hash", name: "described", keySize: 4, valueSize: 8, maxEntries: 8, flags: 0 } as const
const shared = { ...hash, contents: [[word(1), long(10n)]], pinning: "by name" } as const
const constants: MapSpec.MapSpec<"array"> = {
  type: "array",
  name: ".rodata",
  keySize: 4,
  valueSize: 8,
  maxEntries: 1,
  flags: bpf_map_create_flags.BPF_F_RDONLY_PROG,
  types: { btf, key: 0, value: 4 },
  contents: [[word(0), long(77n)]],
  frozen: true
}

const failed = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.map(Effect.flip(effect), (error) => error as any)

export const described = (test: Test): void => {
  test("a map carries the types that an object's BTF has of its keys and values", () =>
    Effect.gen(function*() {
      const map = yield* BpfMap.make({ ...hash, types: { btf, key: 1, value: 2 } })
      const info = yield* BpfMap.info(map)
      expect(info).toMatchObject({ keyTypeId: 1, valueTypeId: 2 })
      expect(info.btfId).toBeGreaterThan(0)
      expect(yield* BpfMap.info(yield* BpfMap.make(hash))).toMatchObject({ btfId: 0, keyTypeId: 0, valueTypeId: 0 })
      // A value of another size than its type's is no such map.
      expect(yield* failed(BpfMap.make({ ...hash, types: { btf, key: 1, value: 1 } }))).toMatchObject({
        code: "EINVAL"
      })
      for (
        const types of [{ btf: "", key: 1, value: 2 }, { btf, key: 1 }, { btf, key: -1, value: 2 }, { btf, value: 2 }]
      ) {
        expect(yield* failed(BpfMap.make({ ...hash, types: types as never }))).toMatchObject({
          _tag: "InvalidArgument"
        })
      }
    }))

  test("an object's constants are there from the start, and nobody changes them", () =>
    Effect.gen(function*() {
      const map = yield* BytesMap.make(constants)
      expect(yield* BpfMap.info(map)).toMatchObject({ name: ".rodata", keyTypeId: 0, valueTypeId: 4 })
      expect(yield* map.lookup(word(0))).toEqual(Option.some(long(77n)))
      expect((yield* failed(map.update(word(0), long(1n)))).message).toContain("The map is frozen")
    }))

  test("contents are written to each kind: tables, each CPU's values, queues", () =>
    Effect.gen(function*() {
      const many = Array.from({ length: 3000 }, (_, i) => [word(i), long(BigInt(i * 2))] as const)
      const table = yield* BytesMap.make({ ...hash, maxEntries: 3000, contents: many })
      expect(yield* table.count).toBe(3000)
      expect(yield* table.lookup(word(2999))).toEqual(Option.some(long(5998n)))
      const perCpu = PerCpuArrayMap.define({ name: "described", value: u32, maxEntries: 2 })
      const values = yield* BpfMap.create({ ...perCpu, spec: { ...perCpu.spec, contents: [[word(1), word(9)]] } })
      expect(new Set(yield* values.lookup(1))).toEqual(new Set([9]))
      expect(new Set(yield* values.lookup(0))).toEqual(new Set([0]))
      const queue = QueueMap.define({ name: "described", value: u32, maxEntries: 4 })
      const contents = [3, 4].map((n) => [new Uint8Array(0), word(n)] as const)
      const queued = yield* BpfMap.create({ ...queue, spec: { ...queue.spec, contents } })
      expect([yield* queued.pop, yield* queued.pop, yield* queued.pop])
        .toEqual([Option.some(3), Option.some(4), Option.none()])
    }))

  test("slots for programs and maps are filled with those", () =>
    Effect.gen(function*() {
      const pass = yield* Program.load(
        ProgramSpec.make({ type: "xdp", name: "pass", instructions: [Asm.mov("r0", 2), Asm.exit()] })
      )
      const programs = ProgArray.define({ name: "described", programs: "xdp", maxEntries: 2 })
      const jumps = yield* BpfMap.create({ ...programs, spec: { ...programs.spec, contents: [[word(1), pass]] } })
      expect(yield* jumps.lookupId(1)).toEqual(Option.some((yield* Program.info(pass)).id))
      const inner = HashMap.define({ name: "inner", key: u32, value: u32, maxEntries: 4 })
      const tenant = yield* BpfMap.create(inner)
      const maps = MapOfMaps.define({ name: "described", inner, maxEntries: 2 })
      const outer = yield* BpfMap.create({ ...maps, spec: { ...maps.spec, contents: [[word(0), tenant]] } })
      yield* tenant.update(1, 5)
      expect(yield* Option.getOrThrow(yield* outer.lookup(0)).lookup(1)).toEqual(Option.some(5))
      const closed = yield* Effect.scoped(BpfMap.create(inner))
      expect(yield* failed(BpfMap.create({ ...maps, spec: { ...maps.spec, contents: [[word(0), closed]] } })))
        .toMatchObject({ _tag: "InvalidArgument", actual: "a closed one" })
    }))

  test("contents that do not fit are refused before the map is made, and those that there is no room for after", () =>
    Effect.gen(function*() {
      for (
        const contents of [5, [5], [[word(1)]], [[word(1), word(1)]], [[long(1n), long(1n)]], [["a", long(1n)]], [[
          word(1),
          { fd: 3 }
        ]]]
      ) {
        const error = yield* failed(BpfMap.make({ ...hash, contents: contents as never }))
        expect(error, JSON.stringify(contents)).toMatchObject({ _tag: "InvalidArgument" })
        expect(error.field).toContain("contents")
      }
      const contents = Array.from({ length: 9 }, (_, i) => [word(i), long(1n)] as const)
      const full = yield* failed(BpfMap.make({ ...hash, contents }))
      expect(full).toMatchObject({ _tag: "SystemCallError", code: "E2BIG" })
      expect(full.message).toContain("The map is full")
    }))

  test("a map that is pinned by name is one for all, and has its contents when it is seen", () =>
    Effect.gen(function*() {
      const pinFolder = yield* acquireBpfFs
      const definition = BytesMap.define(shared)
      const first = yield* BpfMap.create(definition, { pinFolder })
      yield* first.update(word(1), long(20n))
      // It is opened, and not written to.
      const second = yield* BytesMap.make(shared, { pinFolder })
      expect(yield* second.lookup(word(1))).toEqual(Option.some(long(20n)))
      expect((yield* BpfMap.info(second)).id).toBe((yield* BpfMap.info(first)).id)
      expect(yield* BpfFs.unpin(`${pinFolder}/described`)).toBe(true)
      expect(yield* (yield* BpfMap.create(definition, { pinFolder })).lookup(word(1))).toEqual(Option.some(long(10n)))
      yield* BpfMap.make({ ...constants, pinning: "by name" }, { pinFolder })
      expect(yield* BpfFs.unpin(`${pinFolder}/_rodata`)).toBe(true)
      expect(yield* BpfFs.unpin(`${pinFolder}/described`)).toBe(true)
    }))

  test("another map of that name is a mismatch that names what differs, and stays as it is", () =>
    Effect.gen(function*() {
      const pinFolder = yield* acquireBpfFs
      yield* BpfMap.make(shared, { pinFolder })
      const other = yield* failed(BpfMap.make({ ...shared, maxEntries: 9 }, { pinFolder }))
      expect(other).toMatchObject({
        _tag: "MapMismatch",
        differences: [{ field: "maxEntries", expected: "9", actual: "8" }]
      })
      expect(yield* failed(BpfMap.make({ ...shared, frozen: true }, { pinFolder }))).toMatchObject({
        _tag: "MapMismatch",
        differences: [{ field: "frozen", expected: "true", actual: "false" }]
      })
      expect(yield* failed(BpfMap.make(shared, { pinFolder: `${pinFolder}/none` }))).toMatchObject({ code: "ENOENT" })
      expect(yield* failed(BpfMap.make(shared, { pinFolder: 5 as never }))).toMatchObject({ field: "pinFolder" })
      expect(yield* failed(BpfMap.make({ ...shared, pinning: "byName" as never }))).toMatchObject({ field: "pinning" })
      expect(yield* BpfFs.unpin(`${pinFolder}/described`)).toBe(true)
    }))

  test("whoever opens it at once has the same map, and those who unpin it meanwhile do no harm", () =>
    Effect.gen(function*() {
      const pinFolder = yield* acquireBpfFs
      const open = BpfMap.make(shared, { pinFolder })
      const id = Effect.flatMap(open, BpfMap.info)
      const ids = yield* Effect.forEach(Array.from({ length: 16 }), () => id, { concurrency: "unbounded" })
      expect(new Set(ids.map((info) => info.id)).size).toBe(1)
      const unpin = BpfFs.unpin(`${pinFolder}/described`)
      yield* Effect.forEach(
        Array.from({ length: 30 }, (_, i) => i),
        (i) => Effect.scoped(i % 3 === 0 ? Effect.asVoid(unpin) : Effect.asVoid(open)),
        { concurrency: "unbounded" }
      )
      yield* unpin
    }))

  if (process.env["FAULTS"] !== "none") {
    failingCalls(test, [{
      name: "a map of an object is made with types and contents, and frozen",
      run: Effect.gen(function*() {
        const map = yield* BytesMap.make(constants)
        expect(yield* map.lookup(word(0))).toEqual(Option.some(long(77n)))
        yield* BpfMap.make({ ...hash, contents: [[word(1), long(1n)]] })
      })
    }])

    // A pin that was made before the call that failed stays, for the next to open: it is the test that takes it away.
    let pinFolder = ""
    const inFolder: Test = (name, effect, options) =>
      test(name, () =>
        Effect.gen(function*() {
          pinFolder = yield* acquireBpfFs
          yield* effect()
          yield* BpfFs.unpin(`${pinFolder}/described`)
        }), options)
    failingCalls(inFolder, [{
      name: "a map is pinned by its name, opened by it, and unpinned",
      run: Effect.gen(function*() {
        const first = yield* BpfMap.make(shared, { pinFolder })
        const second = yield* BytesMap.make(shared, { pinFolder })
        expect((yield* BpfMap.info(second)).id).toBe((yield* BpfMap.info(first)).id)
        yield* BpfFs.unpin(`${pinFolder}/described`)
      })
    }])
  }
}
