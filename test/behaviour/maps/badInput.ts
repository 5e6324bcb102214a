// What users may pass that no map takes: always an error with a name, never a crash, and nothing is changed by it.
import * as Arbitrary from "effect/Arbitrary"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { expect } from "vitest"
import { bpf_map_create_flags } from "../../../src/abi/generated/enums.ts"
import {
  Address,
  ArrayMap,
  BpfMap,
  BytesMap,
  HashMap,
  Layout,
  LpmTrie,
  type MapSpec,
  PerCpuArrayMap,
  PerCpuHashMap,
  QueueMap,
  SockMap,
  StackTraceMap
} from "../../../src/index.ts"
import type { Test } from "../../support/kernels.ts"

const { u32 } = Layout
const spec = { name: "bad", keySize: 4, valueSize: 4, maxEntries: 4, flags: 0 }

/** What the kernel refuses with EINVAL, or E2BIG, and the words that its error is to have. */
const refused: ReadonlyArray<readonly [changes: Partial<MapSpec.MapSpec>, words: ReadonlyArray<string>]> = [
  [{ type: "array", keySize: 8 }, ["array", "keySize must be 4, not 8"]],
  [{ type: "array", valueSize: 0 }, ["valueSize must be at least 1, not 0"]],
  [{ type: "hash", keySize: 0 }, ["keySize must be at least 1"]],
  [{ type: "queue", keySize: 4 }, ["keySize must be 0, not 4"]],
  [{ type: "hash", flags: bpf_map_create_flags.BPF_F_MMAPABLE }, [
    "hash map does not take BPF_F_MMAPABLE",
    "BPF_F_NO_PREALLOC"
  ]],
  [{ type: "array", flags: bpf_map_create_flags.BPF_F_NO_PREALLOC }, ["array map does not take BPF_F_NO_PREALLOC"]],
  [{ type: "array", flags: 0x40000000 }, ["does not take 0x40000000", "it takes"]],
  [{ type: "hash", flags: bpf_map_create_flags.BPF_F_NO_COMMON_LRU }, ["BPF_F_NO_COMMON_LRU"]],
  [{ type: "lpm_trie", keySize: 4, flags: 1 }, ["keySize must be at least 5"]],
  [{ type: "ringbuf", keySize: 4, valueSize: 0, maxEntries: 4096 }, ["keySize must be 0"]],
  [{ type: "sockmap", valueSize: 5 }, ["valueSize must be 4 or 8, not 5"]],
  [{ type: "stack_trace", valueSize: 4 }, ["valueSize must be at least 8"]]
]

const invalid: ReadonlyArray<readonly [changes: Partial<MapSpec.MapSpec>, field: string]> = [
  [{ type: "hash", maxEntries: 0 }, "maxEntries"],
  [{ type: "hash", maxEntries: -1 }, "maxEntries"],
  [{ type: "hash", keySize: -1 }, "keySize"],
  [{ type: "hash", keySize: 2 ** 31 }, "keySize"],
  [{ type: "hash", valueSize: 1.5 }, "valueSize"],
  [{ type: "hash", flags: -1 }, "flags"],
  [{ type: "hash", flags: 2 ** 32 }, "flags"],
  [{ type: "hash", mapExtra: -1 }, "mapExtra"],
  [{ type: "hash", numaNode: 0.5 }, "numaNode"],
  [{ type: "hash", name: "" }, "name"],
  [{ type: "hash", name: "with\0nul" }, "name"],
  [{ type: "hash", name: "ünicode" }, "name"],
  [{ type: "nonsense" as never }, "type"],
  [{ type: 0 }, "type"],
  [{ type: -1 }, "type"],
  [{ type: 1.5 }, "type"]
]

/** All operations of a handle whose scope has closed. */
const closedOperations = Effect.gen(function*() {
  const any = { name: "closed", maxEntries: 100 }
  const values = { ...any, value: u32 }
  const key = { ...values, key: u32 }
  const { array, hash, perCpu, perCpuHash, queue, sockets, stacks, trie } = yield* Effect.scoped(Effect.all({
    hash: HashMap.make(key),
    array: ArrayMap.make(values),
    perCpu: PerCpuArrayMap.make(values),
    perCpuHash: PerCpuHashMap.make(key),
    queue: QueueMap.make(values),
    trie: LpmTrie.make({ ...key, key: Address.ipv4Prefix }),
    sockets: SockMap.makeHash({ ...any, key: u32 }),
    stacks: StackTraceMap.make(any)
  }))
  const hundred = Array.from({ length: 100 }, (_, i) => i)
  const pairs = hundred.map((i) => [i, i] as const)
  const column = Uint32Array.from(hundred)
  const effects: Record<string, Effect.Effect<unknown, unknown, any>> = {
    "hash.lookup": hash.lookup(1),
    "hash.update": hash.update(1, 1),
    "hash.delete": hash.delete(1),
    "hash.lookupAndDelete": hash.lookupAndDelete(1),
    "hash.getMany": hash.getMany(hundred),
    "hash.getMany of one": hash.getMany([1]),
    "hash.setMany": hash.setMany(pairs),
    "hash.setMany of one": hash.setMany([[1, 1]]),
    "hash.setColumns": hash.setColumns(column, column),
    "hash.deleteMany": hash.deleteMany(hundred),
    "hash.deleteColumns": hash.deleteColumns(column),
    "hash.count": hash.count,
    "hash.clear": hash.clear,
    "hash.entries": Stream.runCollect(hash.entries),
    "hash.keys": Stream.runCollect(hash.keys),
    "hash.values": Stream.runCollect(hash.values),
    "hash.columns": Stream.runCollect(hash.columns),
    "hash.drain": Stream.runCollect(hash.drain),
    "hash.drainColumns": Stream.runCollect(hash.drainColumns),
    "array.lookup": array.lookup(1),
    "array.update": array.update(1, 1),
    "array.getMany": array.getMany(hundred),
    "array.setMany": array.setMany(pairs),
    "array.entries": Stream.runCollect(array.entries),
    "perCpu.lookup": perCpu.lookup(1),
    "perCpu.updateAll": perCpu.updateAll(1, 1),
    "perCpuHash.updateAll": perCpuHash.updateAll(1, 1),
    "perCpuHash.entries": Stream.runCollect(perCpuHash.entries),
    "queue.push": queue.push(1),
    "queue.pop": queue.pop,
    "queue.peek": queue.peek,
    "trie.lookup": trie.lookup("10.0.0.0/8"),
    "trie.keys": Stream.runCollect(trie.keys),
    "sockets.update": sockets.update(1, 0),
    "sockets.lookupId": sockets.lookupId(1),
    "sockets.entries": Stream.runCollect(sockets.entries),
    "stacks.lookup": stacks.lookup(1),
    info: BpfMap.info(hash),
    dump: BpfMap.dump(hash),
    freeze: BpfMap.freeze(hash),
    pin: BpfMap.pin(hash, "/sys/fs/bpf/closed")
  }
  const calls: Record<string, () => unknown> = {
    lookupUnsafe: () => hash.lookupUnsafe(1),
    updateUnsafe: () => hash.updateUnsafe(1, 1),
    deleteUnsafe: () => hash.deleteUnsafe(1),
    nextKeyUnsafe: () => hash.nextKeyUnsafe(undefined),
    "array.lookupUnsafe": () => array.lookupUnsafe(1)
  }
  return { effects, calls }
})

/** Layouts with padding at every place where C puts some. */
const padded = {
  between: Layout.struct({ a: Layout.u8, b: Layout.u32 }),
  after: Layout.struct({ a: Layout.u64, b: Layout.u16 }),
  nested: Layout.struct({ a: Layout.u16, b: Layout.struct({ c: Layout.u8, d: Layout.u64 }), e: Layout.u8 }),
  bits: Layout.struct({ a: Layout.bits(Layout.u32, 3), b: Layout.u8, c: Layout.u16 }),
  listed: Layout.struct({ a: Layout.array(Layout.struct({ b: Layout.u16, c: Layout.u8 }), 2), d: Layout.u32 }),
  text: Layout.struct({ a: Layout.cstring(5), b: Layout.u16 }),
  union: Layout.union({ a: Layout.u8, b: Layout.u64 })
} as const

export const badInput = (test: Test): void => {
  for (const [changes, words] of refused) {
    test(`what a map of kind ${changes.type} does not take is refused with the reason: ${words[0]}`, () =>
      Effect.gen(function*() {
        const error = yield* Effect.flip(BpfMap.make({ ...spec, ...changes } as MapSpec.MapSpec))
        expect(error).toMatchObject({ _tag: "SystemCallError", command: "BPF_MAP_CREATE" })
        for (const word of words) expect(error.message).toContain(word)
      }))
  }

  test("sizes, numbers and names out of range are refused before the kernel is asked", () =>
    Effect.gen(function*() {
      for (const [changes, field] of invalid) {
        const given = { ...spec, ...changes } as MapSpec.MapSpec
        for (const effect of [BpfMap.make(given), BytesMap.make(given)]) {
          const error = yield* Effect.flip(effect as Effect.Effect<unknown, unknown, any>)
          expect(error, JSON.stringify(changes)).toMatchObject({ _tag: "InvalidArgument", field })
        }
      }
    }))

  test("every operation of a handle whose scope has closed is EBADF, and none reaches another map", () =>
    Effect.gen(function*() {
      const { calls, effects } = yield* closedOperations
      const next = yield* HashMap.make({ name: "next", key: u32, value: u32, maxEntries: 100 })
      for (const [name, effect] of Object.entries(effects)) {
        const error: any = yield* Effect.flip(effect)
        const cause = error._tag === "BatchError" ? error.cause : error
        expect(cause, name).toMatchObject({ _tag: "SystemCallError", code: "EBADF" })
        expect(cause.hint, name).toContain("scope that the map was made in has closed")
      }
      for (const [name, call] of Object.entries(calls)) expect(call, name).toThrow("EBADF")
      expect(yield* next.count).toBe(0)
    }))

  test("values of other types than the layout's are LayoutErrors, and leave the map as it was", () =>
    Effect.gen(function*() {
      const value = Layout.struct({ id: u32, name: Layout.cstring(8) })
      const map = yield* HashMap.make({ name: "bad", key: u32, value, maxEntries: 4 })
      yield* map.update(1, { id: 1, name: "one" })
      const bad: ReadonlyArray<any> = [
        undefined,
        null,
        5,
        "text",
        [],
        {},
        { id: "1", name: "one" },
        { id: 1n, name: "one" },
        { id: 1 },
        { id: 1, name: 5 },
        { id: 1, name: "longer than 8" },
        { id: Number.NaN, name: "one" },
        { id: -0.5, name: "one" }
      ]
      for (const each of bad) {
        expect(yield* Effect.flip(map.update(1, each))).toMatchObject({ _tag: "LayoutError" })
        expect(yield* Effect.flip(map.setMany([[1, each]]))).toMatchObject({ cause: { _tag: "LayoutError" } })
      }
      for (
        const key of [undefined, null, "1", 1n, {}, -1, 2 ** 32, 0.1, Number.NaN, Number.POSITIVE_INFINITY] as Array<
          any
        >
      ) {
        expect(yield* Effect.flip(map.lookup(key))).toMatchObject({ _tag: "LayoutError" })
        expect(yield* Effect.flip(map.delete(key))).toMatchObject({ _tag: "LayoutError" })
        expect(yield* Effect.flip(map.getMany([key]))).toMatchObject({ _tag: "LayoutError" })
        expect(() => map.lookupUnsafe(key)).toThrow()
      }
      expect(yield* Stream.runCollect(map.entries)).toEqual([[1, { id: 1, name: "one" }]])
    }))

  for (const [place, layout] of Object.entries(padded)) {
    test(`struct keys with padding (${place}) are one entry where they are equal, whatever was there before`, () =>
      Effect.gen(function*() {
        const key = layout as Layout.Layout<any>
        const map = yield* HashMap.make({ name: "padded", key, value: u32, maxEntries: 64 })
        // What the key's memory held before: ones everywhere.
        const filler = yield* HashMap.make({ name: "filler", key: Layout.bytes(key.size), value: u32, maxEntries: 4 })
        const keys = Arbitrary.schema(key.schema)
        const result = yield* Arbitrary.checkEffect(
          keys,
          (k) =>
            Effect.gen(function*() {
              yield* filler.update(new Uint8Array(key.size).fill(0xff), 1)
              yield* map.update(k, 1)
              // The same value made anew, after another one was in the same memory.
              yield* map.lookup(yield* Effect.fromResult(Layout.decode(key, new Uint8Array(key.size))))
              const copy = yield* Effect.fromResult(
                Layout.decode(key, yield* Effect.fromResult(Layout.encode(key, k)))
              )
              expect(yield* map.lookup(copy)).toEqual(Option.some(1))
              yield* map.setMany([[copy, 2], [k, 3]])
              expect(yield* map.getMany([k, copy])).toEqual([Option.some(3), Option.some(3)])
              expect(yield* map.count).toBe(1)
              expect(yield* map.delete(copy)).toBe(true)
              expect(yield* map.delete(k)).toBe(false)
              return true
            }).pipe(Effect.catchCause((cause) => Effect.fail(Cause.squash(cause)))),
          { runs: 30 }
        )
        if (result._tag === "Falsified" && result.failure._tag === "PropertyError") throw result.failure.error
        expect(result._tag).toBe("Passed")
      }))
  }
}
