// Many entries at once: by a program in the kernel, by batches, by single calls, always with one result.
import * as Arbitrary from "effect/Arbitrary"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { isDeepStrictEqual } from "node:util"
import { expect } from "vitest"
import { errno } from "../../../src/abi/errno.ts"
import { bpf_cmd } from "../../../src/abi/generated/enums.ts"
import { ArrayMap, HashMap, Kernel, Layout, PerCpuHashMap } from "../../../src/index.ts"
import type { Test } from "../../support/kernels.ts"
import { lacking, ways } from "../../support/olderKernel.ts"

const SIZES = [0, 1, 63, 64, 65, 513, 5000]

type Entries = ReadonlyArray<readonly [number, bigint]>

const entriesOf = (count: number): Entries =>
  Array.from({ length: count }, (_, i) => [i * 7 + 1, BigInt(i) << 33n] as const)

const hashOf = (maxEntries: number) =>
  HashMap.make({ name: "many", key: Layout.u32, value: Layout.u64, maxEntries: Math.max(1, maxEntries) })

const sorted = <K, V>(map: { readonly entries: Stream.Stream<readonly [K, V], unknown> }) =>
  Effect.map(
    Stream.runCollect(map.entries),
    (entries) => entries.toSorted(([a], [b]) => Number(a) - Number(b))
  )

/** As `toEqual`, for thousands of values: its own comparison is slow. */
const expectEqual = (actual: unknown, expected: unknown, message?: string): void => {
  if (!isDeepStrictEqual(actual, expected)) expect(actual, message).toEqual(expected)
}

const failure = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.flip(effect)

/** Operations on keys of a small range, so that they meet; up to some more than are worth a program. */
const steps = Arbitrary.array(
  Arbitrary.schema(Schema.Struct({
    kind: Schema.Literals(["set", "delete", "update", "get"]),
    keys: Schema.Array(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 250 }))).check(Schema.isMaxLength(90))
  })),
  { maxLength: 6 }
)

const counted = (length: number) => Array.from({ length }, (_, i) => i)

export const many = (test: Test): void => {
  for (const [way, lacks] of ways) {
    const on = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R | Kernel.Kernel> =>
      lacking(lacks)(effect)

    test(`setMany, getMany and deleteMany do for any number of entries what single calls do, ${way}`, () =>
      on(Effect.gen(function*() {
        for (const size of SIZES) {
          yield* Effect.scoped(Effect.gen(function*() {
            const entries = entriesOf(size)
            const map = yield* hashOf(size)
            yield* map.setMany(entries)
            expectEqual(yield* sorted(map), entries, `${size} set`)
            expect(yield* map.count).toBe(size)
            const keys = entries.flatMap(([key]) => [key, key + 1])
            const expected = entries.flatMap(([, value]) => [Option.some(value), Option.none()])
            expectEqual(yield* map.getMany(keys), expected, `${size} got`)
            expectEqual(yield* map.getMany(keys), expected, `${size} got again`)
            // Every second key is absent, and so is what was deleted before.
            expect(yield* map.deleteMany(keys.slice(0, size))).toBe(Math.ceil(size / 2))
            expectEqual(yield* sorted(map), entries.slice(Math.ceil(size / 2)))
            expect(yield* map.deleteMany(keys)).toBe(Math.floor(size / 2))
            expect(yield* map.count).toBe(0)
          }))
        }
      })))

    test(`columns are set, read, drained and deleted in any number, ${way}`, () =>
      on(Effect.gen(function*() {
        for (const size of SIZES) {
          yield* Effect.scoped(Effect.gen(function*() {
            const map = yield* hashOf(size)
            const keys = Uint32Array.from({ length: size }, (_, i) => i * 3)
            const values = BigUint64Array.from(keys, (key) => BigInt(key) * 5n)
            yield* map.setColumns(keys, values)
            const seen = new Map<number, bigint>()
            const collect = (batch: { keys: unknown; values: unknown; rows: number }) => {
              expect(batch.keys).toBeInstanceOf(Uint32Array)
              expect(batch.values).toBeInstanceOf(BigUint64Array)
              for (let i = 0; i < batch.rows; i++) {
                seen.set((batch.keys as Uint32Array)[i]!, (batch.values as BigUint64Array)[i]!)
              }
            }
            yield* Stream.runForEach(map.columns, (batch) => Effect.sync(() => collect(batch)))
            expect(seen.size).toBe(size)
            for (const [key, value] of seen) expect(value).toBe(BigInt(key) * 5n)
            expect(yield* map.deleteColumns(keys.subarray(0, size >> 1))).toBe(size >> 1)
            seen.clear()
            yield* Stream.runForEach(map.drainColumns, (batch) => Effect.sync(() => collect(batch)))
            expect([...seen.keys()].toSorted((a, b) => a - b)).toEqual([...keys.subarray(size >> 1)])
            expect(yield* map.count).toBe(0)
          }))
        }
      })))

    test(`one bad value among many stops there: those before it are in the map, and no others, ${way}`, () =>
      on(Effect.gen(function*() {
        for (
          const [size, bad] of [[60, 0], [60, 30], [1500, 0], [1500, 1], [1500, 64], [1500, 513], [1500, 1499]] as const
        ) {
          yield* Effect.scoped(Effect.gen(function*() {
            const map = yield* hashOf(size)
            const good = entriesOf(size)
            const entries = good.map(([key, value], i) => [key, i === bad ? -1n : value] as const)
            const error = yield* failure(map.setMany(entries))
            expect(error).toMatchObject({
              _tag: "BatchError",
              operation: "update",
              index: bad,
              done: bad,
              cause: { _tag: "LayoutError" }
            })
            expectEqual(yield* sorted(map), good.slice(0, bad))
            const keys = good.map(([key], i) => i === bad ? -1 : key)
            expect(yield* failure(map.deleteMany(keys))).toMatchObject({ operation: "delete", index: bad, done: bad })
            expect(yield* map.count).toBe(0)
          }))
        }
      })))

    test(`a bad value in a column is told by its row, and the rows before it are in the map, ${way}`, () =>
      on(Effect.gen(function*() {
        const value = Layout.struct({ a: Layout.u8, b: Layout.u64 })
        for (const bad of [0, 5, 70, 199]) {
          const map = yield* HashMap.make({ name: "many", key: Layout.u32, value, maxEntries: 200 })
          const keys = counted(200)
          const columns = {
            a: Uint8Array.from(keys, (k) => k),
            b: keys.map((k) => k === bad ? 2n ** 64n : BigInt(k)) as unknown as BigUint64Array
          }
          const error = yield* failure(map.setColumns(Uint32Array.from(keys), columns))
          expect(error).toMatchObject({ index: bad, done: bad, cause: { _tag: "LayoutError", path: "b" } })
          expectEqual(yield* sorted(map), keys.slice(0, bad).map((k) => [k, { a: k, b: BigInt(k) }]))
        }
      })))

    test(`a map that gets full among many says at which entry, and keeps those before it, ${way}`, () =>
      on(Effect.gen(function*() {
        for (const [room, size] of [[40, 60], [70, 100], [600, 1200]] as const) {
          yield* Effect.scoped(Effect.gen(function*() {
            const map = yield* hashOf(room)
            const entries = entriesOf(size)
            const error = yield* failure(map.setMany(entries))
            expect(error).toMatchObject({ _tag: "BatchError", index: room, done: room, cause: { code: "E2BIG" } })
            expect(error.message).toContain(`full: ${room} of ${room}`)
            expectEqual(yield* sorted(map), entries.slice(0, room))
          }))
        }
      })))

    test(`the mode holds for each of many, also when the map was written to before, ${way}`, () =>
      on(Effect.gen(function*() {
        for (const [size, at] of [[50, 20], [100, 0], [100, 70], [700, 600]] as const) {
          yield* Effect.scoped(Effect.gen(function*() {
            const map = yield* hashOf(size)
            const entries = entriesOf(size)
            yield* map.setMany([[entries[at]![0], 99n]])
            const present = yield* failure(map.setMany(entries, { mode: "noexist" }))
            expect(present).toMatchObject({ _tag: "BatchError", index: at, done: at, cause: { code: "EEXIST" } })
            expect(yield* map.count).toBe(at + 1)
            expect(yield* map.lookup(entries[at]![0])).toEqual(Option.some(99n))
            const absent = yield* failure(map.setMany(entries.toReversed(), { mode: "exist" }))
            const first = at === size - 1 ? 1 : 0
            expect(absent).toMatchObject({ index: first, done: first, cause: { code: "ENOENT" } })
            const columns = { keys: Uint32Array.from(entries, ([key]) => key), values: new BigUint64Array(size) }
            expect(yield* failure(map.setColumns(columns.keys, columns.values, { mode: "noexist" })))
              .toMatchObject({ index: 0, done: 0, cause: { code: "EEXIST" } })
            yield* map.setMany(entries)
            yield* map.setMany(entries.map(([key]) => [key, 1n] as const), { mode: "exist" })
            expect((yield* map.getMany(entries.map(([key]) => key))).every((v) => Option.contains(v, 1n))).toBe(true)
          }))
        }
      })))

    test(`an array is written and read in many, and says which index is out of range, ${way}`, () =>
      on(Effect.gen(function*() {
        for (const size of [1, 63, 64, 65, 513, 5000]) {
          yield* Effect.scoped(Effect.gen(function*() {
            const map = yield* ArrayMap.make({ name: "many", value: Layout.u32, maxEntries: size })
            yield* map.setMany(counted(size).map((i) => [size - 1 - i, i] as const))
            expectEqual(yield* map.getMany(counted(size)), counted(size).toReversed())
            expectEqual(yield* Stream.runCollect(map.values), counted(size).toReversed())
            yield* map.setColumns(Uint32Array.from(counted(size)), Uint32Array.from(counted(size)))
            expectEqual(yield* Stream.runCollect(map.entries), counted(size).map((i) => [i, i]))
            expect(yield* failure(map.getMany([0, size]))).toMatchObject({ _tag: "InvalidArgument", field: "index" })
            const beyond = yield* failure(map.setMany([[0, 77], [size, 1], [0, 78]]))
            expect(beyond).toMatchObject({ _tag: "BatchError", index: 1, done: 1, cause: { code: "E2BIG" } })
            expect(beyond.message).toContain(`below ${size}`)
            expect(yield* map.lookup(0)).toBe(77)
          }))
        }
      })))

    test(`an LRU map takes many more than it has room for, ${way}`, () =>
      on(Effect.gen(function*() {
        const map = yield* HashMap.makeLru({ name: "many", key: Layout.u32, value: Layout.u64, maxEntries: 512 })
        yield* map.setMany(entriesOf(5000))
        expect(yield* map.count).toBeLessThanOrEqual(512)
        expect(yield* map.count).toBeGreaterThan(0)
        yield* map.setMany(entriesOf(100))
        yield* map.clear
        expect(yield* map.count).toBe(0)
      })))

    test(`per-CPU values are written and read in many, ${way}`, () =>
      on(Effect.gen(function*() {
        const map = yield* PerCpuHashMap.make({ name: "many", key: Layout.u32, value: Layout.u32, maxEntries: 600 })
        yield* map.updateAll(0, 0)
        const [zeros] = yield* map.getMany([0])
        const cpus = Option.getOrThrow(zeros!).length
        const entries = counted(600).map((key) => [key, counted(cpus).map((cpu) => key * 100 + cpu)] as const)
        yield* map.setMany(entries)
        expectEqual(yield* map.getMany(counted(600)), entries.map(([, value]) => Option.some(value)))
        expectEqual(yield* sorted(map), entries)
        expect(yield* map.deleteMany(counted(300))).toBe(300)
        expect(yield* map.count).toBe(300)
        const wrong = yield* failure(map.setMany([[1, [1]]]))
        expect(wrong).toMatchObject({ index: 0, done: 0, cause: { _tag: "LayoutError" } })
      })))

    test(`a key twice among many is set twice, and the later value stays; deleted, it counts once, ${way}`, () =>
      on(Effect.gen(function*() {
        const map = yield* hashOf(100)
        yield* map.setMany([...entriesOf(80), ...entriesOf(80).map(([key]) => [key, 7n] as const)])
        expect(yield* map.count).toBe(80)
        expect(yield* map.lookup(1)).toEqual(Option.some(7n))
        expect(yield* map.deleteMany([1, 1, 8, 1, 8])).toBe(2)
        expectEqual(yield* map.getMany(new Array(70).fill(15)), new Array(70).fill(Option.some(7n)))
      })))

    test(`any sequence of operations leaves what it leaves in a JavaScript Map, ${way}`, () =>
      on(Effect.gen(function*() {
        const map = yield* hashOf(300)
        const model = new Map<number, bigint>()
        const result = yield* Arbitrary.checkEffect(
          steps,
          (sequence) =>
            Effect.gen(function*() {
              yield* map.clear
              model.clear()
              for (const { keys, kind } of sequence) {
                const entries = keys.map((key, i) => [key, BigInt(i * 1000 + key)] as const)
                const present = new Set(keys.filter((key) => model.has(key))).size
                if (kind === "set") {
                  yield* map.setMany(entries)
                  for (const [key, value] of entries) model.set(key, value)
                } else if (kind === "delete") {
                  expect(yield* map.deleteMany(keys)).toBe(present)
                  for (const key of keys) model.delete(key)
                } else if (kind === "update") {
                  for (const [key, value] of entries) yield* map.update(key, value)
                  for (const [key, value] of entries) model.set(key, value)
                } else {
                  const found = yield* map.getMany(keys)
                  expectEqual(found, keys.map((key) => Option.fromUndefinedOr(model.get(key))))
                }
                expectEqual(yield* sorted(map), [...model].toSorted(([a], [b]) => a - b))
              }
              return true
            }).pipe(Effect.catchCause((cause) => Effect.fail(Cause.squash(cause)))),
          { runs: 10 }
        )
        if (result._tag === "Falsified" && result.failure._tag === "PropertyError") throw result.failure.error
        expect(result._tag).toBe("Passed")
      })))

    test(`keys and values of odd sizes, and values too large to be copied by loads, are read and written whole, ${way}`, () =>
      on(Effect.gen(function*() {
        for (const [keySize, valueSize] of [[3, 5], [4, 1], [13, 31], [5, 300], [16, 4000]] as const) {
          yield* Effect.scoped(Effect.gen(function*() {
            const map = yield* HashMap.make({
              name: "odd",
              key: Layout.bytes(keySize),
              value: Layout.bytes(valueSize),
              maxEntries: 200
            })
            const entries = counted(200).map((i) =>
              [
                Uint8Array.from({ length: keySize }, (_, at) => at === 0 ? i : at),
                Uint8Array.from({ length: valueSize }, (_, at) => i + at)
              ] as const
            )
            yield* map.setMany(entries)
            const found = yield* map.getMany(entries.map(([key]) => key))
            expect(found).toEqual(entries.map(([, value]) => Option.some(value)))
            expect(yield* map.deleteMany(entries.map(([key]) => key))).toBe(200)
          }))
        }
      })))
  }

  test("hundreds of thousands of absent keys are passed over, and the present ones among them deleted", () =>
    Effect.gen(function*() {
      const map = yield* hashOf(4)
      yield* map.setMany([[0, 1n], [150_000, 2n], [299_999, 3n]])
      expect(yield* map.deleteColumns(Uint32Array.from(counted(300_000)))).toBe(3)
    }))

  test("columns of different lengths, or of another shape, are refused before anything is written", () =>
    Effect.gen(function*() {
      const value = Layout.struct({ a: Layout.u32, b: Layout.u32 })
      const map = yield* HashMap.make({ name: "many", key: Layout.u32, value, maxEntries: 8 })
      const two = Uint32Array.of(1, 2)
      const refused: ReadonlyArray<readonly [keys: any, values: any, field: string]> = [
        [two, { a: two, b: Uint32Array.of(1) }, "values"],
        [two, { a: two }, "values"],
        [Uint32Array.of(1, 2, 3), { a: two, b: two }, "values"],
        [5, { a: two, b: two }, "keys"],
        [two, undefined, "values"],
        [two, null, "values"]
      ]
      for (const [keys, values, field] of refused) {
        expect(yield* failure(map.setColumns(keys, values))).toMatchObject({ _tag: "InvalidArgument", field })
      }
      expect(yield* failure(map.deleteColumns(null as never))).toMatchObject({ _tag: "InvalidArgument", field: "keys" })
      expect(yield* map.count).toBe(0)
      // Whole values are a column too.
      yield* map.setColumns([1, 2] as any, [{ a: 1, b: 2 }, { a: 3, b: 4 }] as any)
      expect(yield* map.lookup(2)).toEqual(Option.some({ a: 3, b: 4 }))
    }))

  test("where there is no program to read many keys by, nothing stays of the attempt to load one", () =>
    Effect.gen(function*() {
      const kernel = yield* Kernel.Kernel
      const open: Array<number> = []
      const counted = {
        ...kernel,
        files: {
          ...kernel.files,
          mmap: (...args: Parameters<Kernel.FileCalls["mmap"]>) => {
            open.push(1)
            return kernel.files.mmap(...args)
          },
          munmap: (mapping: Kernel.Mapping) => {
            open.pop()
            return kernel.files.munmap(mapping)
          }
        }
      }
      yield* lacking({ programs: true })(Effect.gen(function*() {
        const map = yield* hashOf(100)
        yield* map.setMany(entriesOf(64))
        yield* map.getMany(entriesOf(64).map(([key]) => key))
      })).pipe(Effect.provideService(Kernel.Kernel, counted))
      expect(open).toEqual([])
    }))

  test("what many keys are read by is loaded once for each map, and closed with it", () =>
    Effect.gen(function*() {
      const map = yield* hashOf(100)
      yield* map.setMany(entriesOf(100))
      const keys = entriesOf(100).map(([key]) => key)
      const all = yield* Effect.all([map.getMany(keys), map.getMany(keys), map.getMany(keys)], {
        concurrency: "unbounded"
      })
      for (const found of all) expect(found).toEqual(entriesOf(100).map(([, value]) => Option.some(value)))
    }))

  for (const error of ["ENOMEM", "EACCES"] as const) {
    const isPassing = error === "ENOMEM"
    test(`a program that ${error} kept from being loaded is ${isPassing ? "tried again" : "not asked for again"}`, () =>
      Effect.gen(function*() {
        let loads = 0
        const kernel = yield* Kernel.Kernel
        const failing = Kernel.Kernel.of({
          ...kernel,
          bpf: {
            ...kernel.bpf,
            call: (command, attr, size) =>
              command !== bpf_cmd.BPF_PROG_LOAD || ++loads > 1 ? kernel.bpf.call(command, attr, size) : -errno[error]
          }
        })
        const map = yield* Effect.provideService(hashOf(200), Kernel.Kernel, failing)
        const entries = entriesOf(100)
        yield* map.setColumns(
          Uint32Array.from(entries, ([key]) => key),
          BigUint64Array.from(entries, ([, value]) => value)
        )
        const keys = entries.map(([key]) => key)
        for (let i = 0; i < 3; i++) {
          expectEqual(yield* map.getMany(keys), entries.map(([, value]) => Option.some(value)))
        }
        expect(loads).toBe(isPassing ? 2 : 1)
      }))
  }
}
