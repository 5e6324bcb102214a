// What the map subjects put into their maps: key `k` holds `3 k`, alone or as a struct. c/operations.c has the same.
import { HashMap, Layout } from "effect-ebpf"
import * as Effect from "effect/Effect"

export const ENTRIES = 10_000
/** How often each subject goes over all keys in a round. */
export const TIMES = 10
export const OPERATIONS = ENTRIES * TIMES

const SUM_OF_KEYS = ENTRIES * (ENTRIES - 1) / 2
/** The words of the second half are as large as times and addresses are. */
const HIGH = 2 ** 33

/** A value of 64 bytes. */
export interface Sample {
  a: number
  b: number
  c: number
  d: number
  e: number
  f: number
  g: number
  h: number
}

const { u64Number } = Layout

const Sample = Layout.struct({
  a: u64Number,
  b: u64Number,
  c: u64Number,
  d: u64Number,
  e: u64Number,
  f: u64Number,
  g: u64Number,
  h: u64Number
})

export const sampleOf = (n: number): Sample => {
  const high = n + HIGH
  return { a: n, b: n, c: n, d: n, e: high, f: high, g: high, h: high }
}

/** A kind of value: its layout, how one is made, and its last word, which the subjects sum. */
export interface Kind<V> {
  readonly layout: Layout.Layout<V>
  readonly from: (n: number) => V
  readonly last: (value: V) => number
  /** The value with another last word: the same object, where it is one. */
  readonly withLast: (value: V, n: number) => V
  /** The sum of the last words of all operations that find what `fill` wrote. */
  readonly sum: number
}

export const numbers: Kind<number> = {
  layout: u64Number,
  from: (n) => n,
  last: (value) => value,
  withLast: (_, n) => n,
  sum: TIMES * 3 * SUM_OF_KEYS
}

export const samples: Kind<Sample> = {
  layout: Sample,
  from: sampleOf,
  last: ({ h }) => h,
  withLast: (value, n) => {
    value.h = n
    return value
  },
  sum: TIMES * (3 * SUM_OF_KEYS + ENTRIES * HIGH)
}

/** The sum of the keys that all operations of a round see. */
export const SUM_OF_ALL_KEYS = TIMES * SUM_OF_KEYS

/** A hash map of `entries` entries, key `k` holding `3 k`. */
export const acquireMap = <V>({ from, layout }: Kind<V>, entries: number = ENTRIES) =>
  Effect.gen(function*() {
    const map = yield* HashMap.make({ name: "bench", key: u64Number, value: layout, maxEntries: entries })
    const fill = map.setMany(Array.from({ length: entries }, (_, key) => [key, from(key * 3)]))
    yield* fill
    return { map, fill }
  })

/** Fails where a subject did not do what it was timed for. */
export const expectSum = (actual: number, expected: number) =>
  actual === expected ? Effect.void : Effect.die(`the sum is ${actual}, and not ${expected}`)

/** The nanoseconds that an effect takes, and what it gives. */
export const timed = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    const start = performance.now()
    const result = yield* effect
    return [(performance.now() - start) * 1e6, result] as const
  })
