// Maps that exist: opened by descriptor or id, with a definition or without, looked at, listed and frozen.
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { expect } from "vitest"
import { bpf_map_create_flags } from "../../../src/abi/generated/enums.ts"
import {
  Address,
  ArrayMap,
  Asm,
  BloomFilter,
  BpfMap,
  BytesMap,
  CgroupArray,
  CgroupStorage,
  CpuMap,
  DevMap,
  type Features,
  HashMap,
  Kernel,
  Layout,
  LocalStorage,
  LpmTrie,
  MapOfMaps,
  PerCpuArrayMap,
  PerCpuHashMap,
  PerfEventArray,
  ProgArray,
  Program,
  ProgramSpec,
  QueueMap,
  ReuseportSockArray,
  RingBufferMap,
  SockMap,
  StackTraceMap,
  UserRingBufferMap,
  XskMap
} from "../../../src/index.ts"
import type { Test } from "../../support/kernels.ts"

const name = "opened"
const { u32, u64 } = Layout
const common = { name, maxEntries: 8 }
const inner = HashMap.define({ ...common, key: u32, value: u32 })

/** One definition of each family, with what it needs where that is not every kernel's. */
const definitions: ReadonlyArray<readonly [BpfMap.Definition<BpfMap.BpfMap>, Features.FeatureName?]> = [
  [HashMap.define({ ...common, key: u32, value: u64 })],
  [HashMap.define({ ...common, key: u32, value: u64, btf: true, flags: bpf_map_create_flags.BPF_F_NO_PREALLOC })],
  [HashMap.define({ ...common, key: u32, value: u64, numaNode: 0 })],
  [HashMap.defineLru({ ...common, key: u32, value: u64 })],
  [ArrayMap.define({ ...common, value: u32, mmapable: true })],
  [PerCpuArrayMap.define({ ...common, value: Layout.bytes(5) })],
  [PerCpuHashMap.define({ ...common, key: u32, value: u64 })],
  [PerCpuHashMap.defineLru({ ...common, key: u32, value: u64 })],
  [QueueMap.define({ ...common, value: u32 })],
  [QueueMap.defineStack({ ...common, value: u32 })],
  [LpmTrie.define({ ...common, key: Address.ipv4Prefix, value: u32 })],
  [MapOfMaps.define({ ...common, inner })],
  [MapOfMaps.defineHash({ ...common, key: u32, inner })],
  [ProgArray.define({ ...common, programs: "xdp" })],
  [PerfEventArray.define(common)],
  [CgroupArray.define(common)],
  [StackTraceMap.define({ ...common, maxDepth: 4 })],
  [DevMap.define(common)],
  [DevMap.defineHash(common)],
  [CpuMap.define({ ...common, maxEntries: 1 })],
  [XskMap.define(common)],
  [SockMap.define(common)],
  [SockMap.defineHash({ ...common, key: u64 })],
  [ReuseportSockArray.define(common)],
  [CgroupStorage.define({ name, value: u64 })],
  [CgroupStorage.definePerCpu({ name, value: u64 })],
  [LocalStorage.defineSocket({ name, value: u64 })],
  [LocalStorage.defineTask({ name, value: u64 }), "taskStorage"],
  [LocalStorage.defineInode({ name, value: u64 }), "inodeStorage"],
  [LocalStorage.defineCgroup({ name, value: u64 }), "cgroupLocalStorage"],
  [RingBufferMap.define({ name, maxEntries: 4096, record: u32 })],
  [UserRingBufferMap.define({ name, maxEntries: 4096, record: u32 }), "userRingbuf"],
  [BloomFilter.define({ ...common, value: u64, hashes: 7 }), "bloomFilter"]
]

const counters = HashMap.define({ name: "counters", key: u32, value: u64, maxEntries: 16 })

export const opening = (test: Test): void => {
  for (const [definition, needs] of definitions) {
    const { flags, type } = definition.spec
    test(
      `a ${type} map (flags 0x${flags.toString(16)}) is opened again by its descriptor and its id, as the same map`,
      () =>
        Effect.gen(function*() {
          const map = yield* BpfMap.create(definition)
          const info = yield* BpfMap.info(map)
          expect(info).toMatchObject({ name, kind: type })
          const again = yield* BpfMap.fromFd(definition, map.fd)
          expect(again.fd).not.toBe(map.fd)
          expect(yield* BpfMap.info(again)).toEqual(info)
          expect(yield* BpfMap.info(yield* BpfMap.fromId(definition, info.id))).toEqual(info)
          expect(yield* BpfMap.info(yield* BytesMap.fromId(info.id))).toEqual(info)
        }),
      needs === undefined ? {} : { needs }
    )
  }

  test("a map opened by its descriptor has its data, and outlives the descriptor", () =>
    Effect.gen(function*() {
      const outer = yield* Effect.scope
      const opened = yield* Effect.scoped(Effect.gen(function*() {
        const map = yield* BpfMap.create(counters)
        yield* map.update(1, 5n)
        return yield* Scope.provide(BpfMap.fromFd(counters, map.fd), outer)
      }))
      expect(yield* opened.lookup(1)).toEqual(Option.some(5n))
    }))

  test("a map of other sizes, flags or kind is refused, with both numbers of each field", () =>
    Effect.gen(function*() {
      const map = yield* BpfMap.create(counters)
      const other = HashMap.define({
        name: "counters",
        key: u64,
        value: u32,
        maxEntries: 17,
        flags: bpf_map_create_flags.BPF_F_NO_PREALLOC
      })
      const error = yield* Effect.flip(BpfMap.fromFd(other, map.fd))
      expect(error).toMatchObject({
        _tag: "MapMismatch",
        found: `of descriptor ${map.fd}`,
        differences: [
          { field: "keySize", expected: "8", actual: "4" },
          { field: "valueSize", expected: "4", actual: "8" },
          { field: "maxEntries", expected: "17", actual: "16" },
          { field: "flags", expected: "0x1", actual: "0x0" }
        ]
      })
      expect(error.message).toContain("keySize: expected 8, found 4")
      const array = ArrayMap.define({ name: "counters", value: u64, maxEntries: 16 })
      const kind = yield* Effect.flip(BpfMap.fromFd(array, map.fd))
      expect(kind).toMatchObject({ differences: [{ field: "type", expected: "array", actual: "hash" }] })
      const { id } = yield* BpfMap.info(map)
      expect(yield* Effect.flip(BpfMap.fromId(array, id))).toMatchObject({ _tag: "MapMismatch", found: `of id ${id}` })
      // The name is no part of what a map is.
      const renamed = HashMap.define({ name: "renamed", key: u32, value: u64, maxEntries: 16 })
      expect((yield* BpfMap.fromFd(renamed, map.fd)).spec.name).toBe("counters")
    }))

  test("descriptors of other objects, and of none, are refused and closed", () =>
    Effect.gen(function*() {
      const program = yield* Program.load(ProgramSpec.make({
        type: "socket_filter",
        name: "no_map",
        instructions: [Asm.mov("r0", 0), Asm.exit()]
      }))
      for (const fd of [program.fd, 0]) {
        const error = yield* Effect.flip(BpfMap.fromFd(counters, fd))
        expect(error).toMatchObject({ _tag: "SystemCallError", code: "EINVAL" })
        expect(error.message).toContain("no map, but another kind of object")
      }
      expect(yield* Effect.flip(BpfMap.fromFd(counters, 999))).toMatchObject({ _tag: "SystemCallError", code: "EBADF" })
      for (const fd of [-1, 0.5, Number.NaN, 2 ** 31]) {
        expect(yield* Effect.flip(BpfMap.fromFd(counters, fd))).toMatchObject({ _tag: "InvalidArgument", field: "fd" })
      }
      for (const id of [0, -1, 2 ** 32, 0.5]) {
        expect(yield* Effect.flip(BpfMap.fromId(counters, id))).toMatchObject({ _tag: "InvalidArgument", field: "id" })
        expect(yield* Effect.flip(BytesMap.fromId(id))).toMatchObject({ _tag: "InvalidArgument", field: "id" })
      }
      expect(yield* Effect.flip(BpfMap.fromId(counters, 2 ** 32 - 1))).toMatchObject({ code: "ENOENT" })
    }))

  test("all maps are listed by ascending id, and this one among them", () =>
    Effect.gen(function*() {
      const first = yield* BpfMap.info(yield* BpfMap.create(counters))
      const second = yield* BpfMap.info(yield* BpfMap.create(counters))
      const found = yield* Stream.runCollect(BpfMap.list)
      const ids = found.map(({ id }) => id)
      expect(ids).toEqual(ids.toSorted((a, b) => a - b))
      expect(found.filter(({ id }) => id === first.id || id === second.id)).toEqual([first, second])
    }))

  test("a dump shows each entry, or as many as asked for, and that there are more", () =>
    Effect.gen(function*() {
      const map = yield* BpfMap.create(counters)
      yield* map.setMany([[1, 10n], [2, 20n], [3, 30n]])
      const { id } = yield* BpfMap.info(map)
      const all = yield* BpfMap.dump(map)
      const [head, ...lines] = all.split("\n")
      expect(head).toBe(`hash map "counters", id ${id}: keys of 4 bytes, values of 8, 3 of 16 entries`)
      expect(lines.toSorted()).toEqual(["  1 → 10n", "  2 → 20n", "  3 → 30n"])
      const some = (yield* BpfMap.dump(map, { most: 2 })).split("\n")
      expect(some).toHaveLength(4)
      expect(some[0]).toContain("more than 2 of 16 entries")
      expect(some[3]).toBe("  …")
      expect((yield* BpfMap.dump(map, { most: 3 })).split("\n")).toHaveLength(4)
      expect((yield* BpfMap.dump(map, { most: 0 })).split("\n")).toHaveLength(2)
    }))

  test("a map that is frozen takes no writes of any kind, and its entries stay", () =>
    Effect.gen(function*() {
      const map = yield* BpfMap.create(counters)
      yield* map.update(1, 1n)
      yield* BpfMap.freeze(map)
      for (const write of [map.update(1, 2n), map.update(2, 2n), map.delete(1)]) {
        expect(yield* Effect.flip(write as Effect.Effect<unknown, { code: string }>)).toMatchObject({ code: "EPERM" })
      }
      expect(yield* Effect.flip(map.deleteMany([1]))).toMatchObject({ _tag: "BatchError", cause: { code: "EPERM" } })
      expect(yield* Effect.flip(map.clear)).toMatchObject({ _tag: "SystemCallError", code: "EPERM" })
      expect(yield* Stream.runCollect(map.entries)).toEqual([[1, 1n]])
      const again = yield* BpfMap.fromFd(counters, map.fd)
      expect(yield* Effect.flip(again.update(1, 2n))).toMatchObject({ code: "EPERM" })
    }))

  test("a map that this process may only read, or only write, says so", () =>
    Effect.gen(function*() {
      const options = { name: "one_way", key: u32, value: u32, maxEntries: 100 }
      const reading = yield* HashMap.make({ ...options, flags: bpf_map_create_flags.BPF_F_RDONLY })
      expect(yield* Effect.flip(reading.update(1, 1))).toMatchObject({ code: "EPERM" })
      expect(yield* reading.lookup(1)).toEqual(Option.none())
      const entries = Array.from({ length: 100 }, (_, key) => [key, key] as const)
      expect(yield* Effect.flip(reading.setMany(entries))).toMatchObject({
        index: 0,
        done: 0,
        cause: { code: "EPERM" }
      })
      const writing = yield* HashMap.make({ ...options, flags: bpf_map_create_flags.BPF_F_WRONLY })
      yield* writing.setMany(entries)
      expect(yield* Effect.flip(writing.lookup(1))).toMatchObject({ code: "EPERM" })
      expect(yield* Effect.flip(writing.getMany(entries.map(([key]) => key)))).toMatchObject({ code: "EPERM" })
      expect(yield* Effect.flip(Stream.runCollect(writing.entries))).toMatchObject({ code: "EPERM" })
    }))

  test("a map of bytes is made of any kind, by name or by number", () =>
    Effect.gen(function*() {
      const { possibleCpus } = yield* Kernel.Kernel
      const spec = { name: "bytes", keySize: 4, valueSize: 3, maxEntries: 4, flags: 0 }
      const key = Uint8Array.of(1, 0, 0, 0)
      for (const type of ["hash", 1, "array", 2] as const) {
        const map = yield* BytesMap.make({ ...spec, type })
        yield* map.update(key, Uint8Array.of(7, 8, 9))
        expect(yield* map.lookup(key)).toEqual(Option.some(Uint8Array.of(7, 8, 9)))
        for (
          const bad of [new Uint8Array(3), new Uint8Array(5), [1, 0, 0, 0] as never, "1" as never, undefined as never]
        ) {
          expect(yield* Effect.flip(map.lookup(bad))).toMatchObject({ _tag: "LayoutError", path: "key" })
        }
        for (const bad of [new Uint8Array(4), new Uint8Array(0), null as never]) {
          expect(yield* Effect.flip(map.update(key, bad))).toMatchObject({ _tag: "LayoutError", path: "value" })
        }
        expect(yield* map.lookup(key)).toEqual(Option.some(Uint8Array.of(7, 8, 9)))
      }
      for (const type of ["percpu_array", 6] as const) {
        const perCpu = yield* BytesMap.make({ ...spec, type })
        const value = Option.getOrThrow(yield* perCpu.lookup(key))
        expect(value).toHaveLength(8 * possibleCpus)
        yield* perCpu.update(key, value.fill(1))
        expect(Option.getOrThrow(yield* perCpu.lookup(key)).subarray(0, 3)).toEqual(Uint8Array.of(1, 1, 1))
      }
    }))

  test("a map found by its id shows its entries as bytes", () =>
    Effect.gen(function*() {
      const map = yield* BpfMap.create(counters)
      yield* map.update(0x01020304, 0x1122334455667788n)
      const found = yield* BytesMap.fromId((yield* BpfMap.info(map)).id)
      expect(found.spec).toMatchObject({ type: "hash", name: "counters", keySize: 4, valueSize: 8, maxEntries: 16 })
      expect(yield* Stream.runCollect(found.entries)).toEqual([
        [Uint8Array.of(4, 3, 2, 1), Uint8Array.of(0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11)]
      ])
      expect(yield* BpfMap.dump(found)).toContain("1 of 16 entries")
    }))
}
