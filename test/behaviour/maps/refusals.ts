// What a kernel refuses with a bare number, and the words that its error has for it: found after the failure.
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { expect } from "vitest"
import { bpf_map_create_flags } from "../../../src/abi/generated/enums.ts"
import { ArrayMap, BpfMap, Features, HashMap, Kernel, Layout, PerCpuHashMap, QueueMap } from "../../../src/index.ts"
import type { Test } from "../../support/kernels.ts"

const { u32, u64 } = Layout
const values = { name: "refused", value: u32, maxEntries: 100 }
const options = { ...values, key: u32 }
const entries = Array.from({ length: 100 }, (_, i) => [i, i] as const)
const { BPF_F_MMAPABLE, BPF_F_RDONLY, BPF_F_WRONLY } = bpf_map_create_flags

/** The message of an effect's failure, and of what caused it. */
const messageOf = <A, E extends { readonly message: string }, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.map(Effect.flip(effect), (error) => error.message)

export const refusals = (test: Test): void => {
  test("a map opened for reading only, or writing only, says so", () =>
    Effect.gen(function*() {
      const reading = yield* HashMap.make({ ...options, flags: BPF_F_RDONLY })
      for (
        const effect of [
          reading.update(1, 1),
          reading.delete(1),
          reading.setMany(entries),
          reading.deleteMany([1]),
          reading.clear,
          Stream.runCollect(reading.drain)
        ] as ReadonlyArray<Effect.Effect<unknown, { readonly message: string }>>
      ) {
        const message = yield* messageOf(effect)
        expect(message).toContain("EPERM")
        expect(message).toContain("opened for reading only")
      }
      const writing = yield* HashMap.make({ ...options, flags: BPF_F_WRONLY })
      for (
        const effect of [
          writing.lookup(1),
          writing.getMany(entries.map(([key]) => key)),
          writing.count,
          Stream.runCollect(writing.entries)
        ] as ReadonlyArray<Effect.Effect<unknown, { readonly message: string }>>
      ) expect(yield* messageOf(effect)).toContain("opened for writing only")
    }))

  test("a frozen map says so, also to who freezes it again or wants a view to write to", () =>
    Effect.gen(function*() {
      const map = yield* ArrayMap.make({ ...values, flags: BPF_F_MMAPABLE })
      yield* BpfMap.freeze(map)
      expect(yield* messageOf(map.update(1, 1))).toContain("The map is frozen")
      expect(yield* messageOf(map.setMany(entries))).toContain("The map is frozen")
      expect(yield* messageOf(BpfMap.freeze(map))).toContain("It is frozen already")
      expect(yield* messageOf(ArrayMap.view(map))).toContain("The map is frozen")
      expect((yield* ArrayMap.view(map, { readonly: true })).get(1)).toBe(0)
      const viewed = yield* ArrayMap.make({ ...values, flags: BPF_F_MMAPABLE })
      yield* ArrayMap.view(viewed)
      expect(yield* messageOf(BpfMap.freeze(viewed))).toContain("mapped for writing")
    }))

  test("a lock that values have not is named", () =>
    Effect.gen(function*() {
      const map = yield* HashMap.make(options)
      const lru = yield* HashMap.makeLru(options)
      for (const effect of [map.lookup(1, { lock: true }), map.update(1, 1, { lock: true })]) {
        const message = yield* messageOf(effect as Effect.Effect<unknown, { readonly message: string }>)
        expect(message).toContain("EINVAL")
        expect(message).toContain("lock: the map's values have no spin lock")
      }
      expect(yield* messageOf(lru.lookup(1, { lock: true }))).toContain("values of a lru_hash map hold no spin lock")
      expect(yield* messageOf(map.setMany(entries, { lock: true }))).toContain("spin lock")
    }))

  test("what is too large, or too much, is said to be so", () =>
    Effect.gen(function*() {
      const large = { ...options, maxEntries: 1, value: Layout.bytes(4 << 20) }
      for (
        const [effect, words] of [
          [HashMap.make(large), "must be below 4194256 bytes"],
          [
            PerCpuHashMap.make({ ...options, value: Layout.bytes(40_000) }),
            "at most 32768 bytes, and this one has 40000"
          ],
          [HashMap.make({ ...options, maxEntries: 0xffffffff }), "maxEntries 4294967295"]
        ] as const
      ) {
        const error = yield* Effect.flip(effect as Effect.Effect<unknown, any>)
        expect(error, words).toMatchObject({ _tag: "SystemCallError", command: "BPF_MAP_CREATE" })
        expect(error.message).toContain(words)
      }
    }))

  test("a NUMA node that the machine has not, or the kind, is named", () =>
    Effect.gen(function*() {
      const absent = yield* messageOf(HashMap.make({ ...options, numaNode: 63 }))
      expect(absent).toContain("EINVAL")
      expect(absent).toContain("numaNode 63 is none of this machine's nodes")
      const perCpu = yield* messageOf(BpfMap.make({
        type: "percpu_array",
        name: "refused",
        keySize: 4,
        valueSize: 4,
        maxEntries: 1,
        flags: 0,
        numaNode: 0
      }))
      expect(perCpu).toContain("A percpu_array map has no NUMA node of its own")
    }))

  test("an error of a key says that it is the key's, and of which map; so does one of a value", () =>
    Effect.gen(function*() {
      const value = Layout.struct({ hits: u32, bytes: u64 })
      const map = yield* HashMap.make({ name: "counters", key: u32, value, maxEntries: 8 })
      const array = yield* ArrayMap.make({ name: "settings", value, maxEntries: 8 })
      const queue = yield* QueueMap.make({ name: "jobs", value, maxEntries: 8 })
      const wrong: any = { hits: -1, bytes: 0n }
      const messages = yield* Effect.all([
        messageOf(map.lookup("a" as never)),
        messageOf(map.update(-1, { hits: 1, bytes: 1n })),
        messageOf(map.delete(-1)),
        messageOf(map.update(1, wrong)),
        messageOf(map.setMany([[1, { hits: 1, bytes: 1n }], [-1, { hits: 1, bytes: 1n }]])),
        messageOf(map.setMany([[1, wrong]])),
        messageOf(map.getMany([-1])),
        messageOf(map.getMany(Array.from({ length: 100 }, () => -1))),
        messageOf(map.deleteMany([-1])),
        messageOf(array.lookup(8)),
        messageOf(queue.push(wrong))
      ])
      expect(messages.map((message) => message.replace(/^.* were done: /, ""))).toEqual([
        `key of hash map "counters": expected u32 (an integer from 0 to 4294967295), got "a"`,
        `key of hash map "counters": expected u32 (an integer from 0 to 4294967295), got -1`,
        `key of hash map "counters": expected u32 (an integer from 0 to 4294967295), got -1`,
        `value of hash map "counters", hits: expected u32 (an integer from 0 to 4294967295), got -1`,
        `key of hash map "counters": expected u32 (an integer from 0 to 4294967295), got -1`,
        `value of hash map "counters", hits: expected u32 (an integer from 0 to 4294967295), got -1`,
        `key of hash map "counters": expected u32 (an integer from 0 to 4294967295), got -1`,
        `key of hash map "counters": expected u32 (an integer from 0 to 4294967295), got -1`,
        `key of hash map "counters": expected u32 (an integer from 0 to 4294967295), got -1`,
        `index: expected an index of array map "settings", an integer from 0 to 7, got 8`,
        `value of queue map "jobs", hits: expected u32 (an integer from 0 to 4294967295), got -1`
      ])
    }))

  test("options are what the types say: other words, other kinds of value and inherited ones are refused", () =>
    Effect.gen(function*() {
      const map = yield* HashMap.make(options)
      const queue = yield* QueueMap.make(values)
      yield* map.update(1, 1)
      const array = yield* ArrayMap.make(values)
      const kernel = yield* Kernel.Kernel
      const made = (changes: object) =>
        Effect.scoped(Effect.provideService(HashMap.make({ ...options, ...changes }), Kernel.Kernel, kernel))
      const bad: ReadonlyArray<readonly [effect: Effect.Effect<unknown, any>, field: string]> = [
        [made({ name: 5n }), "name"],
        [made({ flags: "1" }), "flags"],
        [made({ numaNode: null }), "numaNode"],
        [map.update(1, 2, { mode: "noExist" as never }), "mode"],
        [map.update(1, 2, { mode: "toString" as never }), "mode"],
        [map.update(1, 2, { mode: 1 as never }), "mode"],
        [map.update(1, 2, { Mode: "exist" } as never), "options of an update"],
        [map.update(1, 2, { lock: 1 as never }), "lock"],
        [map.update(1, 2, null as never), "options of an update"],
        [map.update(1, 2, "exist" as never), "options of an update"],
        [map.lookup(1, { lock: "yes" as never }), "lock"],
        [map.lookup(1, { mode: "exist" } as never), "options of a lookup"],
        [map.lookupAndDelete(1, { lock: 0 as never }), "lock"],
        [map.setMany([[1, 2]], { mode: "none" as never }), "mode"],
        [map.setColumns(Uint32Array.of(1), Uint32Array.of(2), { mode: "none" as never }), "mode"],
        [map.setMany(5 as never), "entries"],
        [map.getMany("12" as never), "keys"],
        [map.deleteMany(undefined as never), "keys"],
        [array.getMany({ length: 2 } as never), "keys"],
        [array.update(1, 2, { mode: "noExist" } as never), "mode"],
        [queue.push(1, { evict: "yes" as never }), "evict"],
        [BpfMap.dump(map, { most: -1 }) as Effect.Effect<unknown, any>, "most"]
      ]
      for (const [effect, field] of bad) {
        expect(yield* Effect.flip(effect), field).toMatchObject({ _tag: "InvalidArgument", field })
      }
      expect(() => map.updateUnsafe(1, 2, { mode: "noExist" as never })).toThrow("mode")
      expect(yield* Effect.flip(map.setMany([5 as never]))).toMatchObject({ cause: { field: "entries" } })
      expect(map.lookupUnsafe(1)).toBe(1)
      const inherited = {
        mode: "noexist",
        lock: true,
        map_flags: 1,
        elem_flags: 4,
        flags: 1,
        numaNode: 5,
        mapExtra: 3,
        btf: true,
        mmapable: true
      }
      Object.assign(Object.prototype, inherited)
      try {
        yield* map.update(1, 3, {})
        yield* map.update(2, 3)
        yield* map.setMany([[3, 3]])
        const other = yield* HashMap.make({ name: "own", key: u32, value: u32, maxEntries: 8 })
        expect((yield* BpfMap.info(other)).flags).toBe(0)
        const values = yield* ArrayMap.make({ name: "own", value: u32, maxEntries: 8 })
        expect((yield* BpfMap.info(values)).flags).toBe(0)
      } finally {
        for (const name of Object.keys(inherited)) delete (Object.prototype as any)[name]
      }
      expect(yield* map.count).toBe(3)
    }))

  test("a value that decodes to undefined is there", () =>
    Effect.gen(function*() {
      const nothing = Layout.transform(u32, {
        decode: (): undefined => undefined,
        encode: () => 0,
        schema: Schema.Undefined
      })
      const map = yield* HashMap.make({ ...options, value: nothing })
      yield* map.update(1, undefined)
      expect(yield* map.lookup(1)).toEqual(Option.some(undefined))
      expect(yield* map.lookup(2)).toEqual(Option.none())
      expect(yield* map.getMany([1, 2])).toEqual([Option.some(undefined), Option.none()])
      yield* map.setMany(entries.map(([key]) => [key, undefined] as const))
      expect(yield* map.getMany(entries.map(([key]) => key))).toEqual(entries.map(() => Option.some(undefined)))
      const { version } = yield* Kernel.Kernel
      if (Features.isExpected(version, "hashLookupAndDelete")) {
        expect(yield* map.lookupAndDelete(1)).toEqual(Option.some(undefined))
      }
      const array = yield* ArrayMap.make({ ...values, value: nothing })
      expect(yield* array.lookup(1)).toBeUndefined()
      expect(yield* array.getMany([1, 2])).toEqual([undefined, undefined])
    }))
}
