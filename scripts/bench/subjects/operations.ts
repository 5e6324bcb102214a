// One operation on every key of a hash map of 10,000 entries, ten times: operations.ts WAY OPERATION VALUE_SIZE.
import type { HashMap } from "effect-ebpf"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { answer } from "../answer.ts"
import {
  acquireMap,
  ENTRIES,
  expectSum,
  type Kind,
  numbers,
  OPERATIONS,
  samples,
  SUM_OF_ALL_KEYS,
  timed,
  TIMES
} from "./entries.ts"

/** A map to work on, and what a round needs. */
interface Setting<V> {
  readonly map: HashMap.HashMap<number, V>
  readonly kind: Kind<V>
  /** Writes all entries again. */
  readonly fill: Effect.Effect<void, unknown>
}

/** A round: nanoseconds per operation. */
type Round = <V>(setting: Setting<V>) => Effect.Effect<number, unknown>

/** Once over all operations: the time of `all`, whose sum is checked. */
const once = (expected: number, all: Effect.Effect<number, unknown>) =>
  Effect.gen(function*() {
    const [took, sum] = yield* timed(all)
    yield* expectSum(sum, expected)
    return took / OPERATIONS
  })

/** `all` updates key `i % ENTRIES` to hold `i` in its last word: what the last of them holds is checked. */
const checked = <V>({ kind, map }: Setting<V>, all: Effect.Effect<void, unknown>) =>
  Effect.gen(function*() {
    const [took] = yield* timed(all)
    const last = map.lookupUnsafe(ENTRIES - 1)!
    yield* expectSum(kind.last(last), OPERATIONS - 1)
    return took / OPERATIONS
  })

/** `all` deletes every entry and gives how many were there; entries are written back outside of the time. */
const refilled = <V>({ fill }: Setting<V>, all: Effect.Effect<number, unknown>) =>
  Effect.gen(function*() {
    let total = 0
    for (let i = 0; i < TIMES; i++) {
      yield* fill
      const [took, count] = yield* timed(all)
      yield* expectSum(count, ENTRIES)
      total += took
    }
    return total / OPERATIONS
  })

/** The methods that do it at once. */
const handle: { readonly [operation: string]: Round } = {
  lookup: ({ kind, map }) =>
    once(
      kind.sum,
      Effect.sync(() => {
        let sum = 0
        for (let i = 0; i < OPERATIONS; i++) sum += kind.last(map.lookupUnsafe(i % ENTRIES)!)
        return sum
      })
    ),
  update: (setting) =>
    checked(
      setting,
      Effect.sync(() => {
        const { kind, map } = setting
        const value = kind.from(0)
        for (let i = 0; i < OPERATIONS; i++) map.updateUnsafe(i % ENTRIES, kind.withLast(value, i))
      })
    ),
  delete: (setting) =>
    refilled(
      setting,
      Effect.sync(() => {
        const { map } = setting
        let count = 0
        for (let key = 0; key < ENTRIES; key++) if (map.deleteUnsafe(key)) count++
        return count
      })
    ),
  next: ({ map }) =>
    once(
      SUM_OF_ALL_KEYS,
      Effect.sync(() => {
        let sum = 0
        for (let i = 0; i < TIMES; i++) {
          for (let key = map.nextKeyUnsafe(undefined); key !== undefined; key = map.nextKeyUnsafe(key)) sum += key
        }
        return sum
      })
    )
}

/** The effects, one `yield*` for each. */
const effects: { readonly [operation: string]: Round } = {
  lookup: ({ kind, map }) =>
    once(
      kind.sum,
      Effect.gen(function*() {
        let sum = 0
        for (let i = 0; i < OPERATIONS; i++) sum += kind.last(Option.getOrThrow(yield* map.lookup(i % ENTRIES)))
        return sum
      })
    ),
  update: (setting) =>
    checked(
      setting,
      Effect.gen(function*() {
        const { kind, map } = setting
        const value = kind.from(0)
        for (let i = 0; i < OPERATIONS; i++) yield* map.update(i % ENTRIES, kind.withLast(value, i))
      })
    ),
  delete: (setting) =>
    refilled(
      setting,
      Effect.gen(function*() {
        const { map } = setting
        let count = 0
        for (let key = 0; key < ENTRIES; key++) if (yield* map.delete(key)) count++
        return count
      })
    )
}

const [, , way, operation, size] = process.argv
const round = (way === "handle" ? handle : effects)[operation!]!
const prepare = <V>(kind: Kind<V>) => Effect.map(acquireMap(kind), (setting) => round({ ...setting, kind }))
answer<unknown, unknown>(size === "64" ? prepare(samples) : prepare(numbers))
