// Operations on many entries at once, in the way that its argument names. Keys and values are of 8 bytes.
import { ArrayMap, type HashMap } from "effect-ebpf"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as RequestResolver from "effect/RequestResolver"
import * as Stream from "effect/Stream"
import { answer } from "../answer.ts"
import { acquireMap, expectSum, numbers, timed } from "./entries.ts"

const BATCH = 65_536
const WALK = 100_000
const SLOTS = 512
/** How often a round reads all of them. */
const READS = 20_000
/** How many chosen keys a call has, and how often a round makes it. */
const CHOSEN = 256
const CALLS = 400
/** A map of as many as C's single calls have. */
const CHOSEN_OF = 10_000

type BenchMap = HashMap.HashMap<number, number>

/** The sum of the values `3 k` of the keys below `count`. */
const sumOf = (count: number): number => 3 * (count * (count - 1) / 2)

const columnOf = (from: (row: number) => number): Float64Array =>
  Float64Array.from({ length: BATCH }, (_, row) => from(row))

const keyColumn = columnOf((row) => row)
const valueColumn = columnOf((row) => row * 3)

const updateColumns = Effect.map(acquireMap(numbers, BATCH), ({ map }) =>
  Effect.gen(function*() {
    const [took] = yield* timed(map.setColumns(keyColumn, valueColumn))
    yield* expectSum(map.lookupUnsafe(BATCH - 1)!, valueColumn[BATCH - 1]!)
    return took / BATCH
  }))

const lookUpColumns = Effect.map(acquireMap(numbers, BATCH), ({ map }) =>
  Effect.gen(function*() {
    const [took, batches] = yield* timed(Stream.runCollect(map.columns))
    let sum = 0
    for (const { rows, values } of batches) for (let row = 0; row < rows; row++) sum += values[row]!
    yield* expectSum(sum, sumOf(BATCH))
    return took / BATCH
  }))

const deleteColumns = Effect.map(acquireMap(numbers, BATCH), ({ map }) =>
  Effect.gen(function*() {
    yield* map.setColumns(keyColumn, valueColumn)
    const [took, count] = yield* timed(map.deleteColumns(keyColumn))
    yield* expectSum(count, BATCH)
    return took / BATCH
  }))

/** All entries as an array of pairs. */
const entries = Effect.map(acquireMap(numbers, WALK), ({ map }) =>
  Effect.gen(function*() {
    const [took, all] = yield* timed(Stream.runCollect(map.entries))
    let sum = 0
    for (const [, value] of all) sum += value
    yield* expectSum(sum, sumOf(WALK))
    return took / WALK
  }))

/** Keys from all over the map, other ones in each call. */
const chosenKeys = (call: number): ReadonlyArray<number> =>
  Array.from({ length: CHOSEN }, (_, i) => (call * CHOSEN + i) * 7 % CHOSEN_OF)

const chosen = Array.from({ length: CALLS }, (_, call) => chosenKeys(call))
const chosenEntries = chosen.map((keys) => keys.map((key) => [key, key * 3] as const))

const getMany = Effect.map(acquireMap(numbers, CHOSEN_OF), ({ map }) =>
  Effect.gen(function*() {
    let sum = 0
    const [took] = yield* timed(Effect.gen(function*() {
      for (const keys of chosen) {
        const values = yield* map.getMany(keys)
        for (const value of values) sum += Option.getOrThrow(value)
      }
    }))
    yield* expectSum(sum, chosenEntries.flat().reduce((total, [, value]) => total + value, 0))
    return took / (CALLS * CHOSEN)
  }))

/** The same keys as for `getMany`, each looked up by a fiber of its own. */
const together = (look: (map: BenchMap) => (key: number) => Effect.Effect<Option.Option<number>, unknown>) =>
  Effect.map(acquireMap(numbers, CHOSEN_OF), ({ map }) => {
    const lookup = look(map)
    return Effect.gen(function*() {
      let sum = 0
      const [took] = yield* timed(Effect.gen(function*() {
        for (const keys of chosen) {
          const values = yield* Effect.forEach(keys, lookup, { concurrency: "unbounded" })
          for (const value of values) sum += Option.getOrThrow(value)
        }
      }))
      yield* expectSum(sum, chosenEntries.flat().reduce((total, [, value]) => total + value, 0))
      return took / (CALLS * CHOSEN)
    })
  })

const lookupTogether = together((map) => map.lookupTogether)
const resolver = together((map) => (key) => Effect.request(map.lookupRequest(key), map.resolver))
/** What Effect's own batches of requests cost: through a resolver made from the map's, which steps back there. */
const effectBatches = together((map) => {
  const resolver = RequestResolver.batchN(map.resolver, Infinity)
  return (key) => Effect.request(map.lookupRequest(key), resolver)
})

const setMany = Effect.map(acquireMap(numbers, CHOSEN_OF), ({ map }) =>
  Effect.gen(function*() {
    const [took] = yield* timed(Effect.gen(function*() {
      for (const entries of chosenEntries) yield* map.setMany(entries)
    }))
    const [key, value] = chosenEntries.at(-1)!.at(-1)!
    yield* expectSum(map.lookupUnsafe(key)!, value)
    return took / (CALLS * CHOSEN)
  }))

/** Reads of an mmapped array: all slots, again and again. */
const slots = Effect.gen(function*() {
  const map = yield* ArrayMap.make({ name: "bench", value: numbers.layout, maxEntries: SLOTS, mmapable: true })
  const view = yield* ArrayMap.view(map)
  for (let i = 0; i < SLOTS; i++) view.set(i, i * 3)
  const readAll = (): number => {
    let sum = 0
    for (let i = 0; i < SLOTS; i++) sum += view.get(i)
    return sum
  }
  return Effect.gen(function*() {
    const [took, sum] = yield* timed(Effect.sync(() => {
      let sum = 0
      for (let i = 0; i < READS; i++) sum += readAll()
      return sum
    }))
    yield* expectSum(sum, READS * sumOf(SLOTS))
    return took / (READS * SLOTS)
  })
})

const ways = {
  updateColumns,
  lookUpColumns,
  deleteColumns,
  entries,
  getMany,
  lookupTogether,
  resolver,
  effectBatches,
  setMany,
  slots
}
answer<unknown, unknown>(ways[process.argv[2] as keyof typeof ways] as typeof slots)
