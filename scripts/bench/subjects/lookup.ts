// Looks up every key of a hash map of 10,000 entries ten times, in the way that its argument names.
import { HashMap, Kernel, Layout } from "effect-ebpf"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { answer } from "../answer.ts"
import { rawLookup } from "./rawLookup.ts"

const ENTRIES = 10_000
const LOOKUPS = 100_000
/** Key `k` holds `3 k`. */
const SUM = 3 * LOOKUPS / ENTRIES * (ENTRIES * (ENTRIES - 1) / 2)

const acquireMap = <A>(layout: Layout.Layout<A>, from: (n: number) => A) =>
  Effect.gen(function*() {
    const map = yield* HashMap.make({ name: "bench", key: layout, value: layout, maxEntries: ENTRIES })
    for (let key = 0; key < ENTRIES; key++) yield* map.update(from(key), from(key * 3))
    return map
  })

const acquireNumbers = acquireMap(Layout.u64Number, (n) => n)
const acquireBigints = acquireMap(Layout.u64, BigInt)

/** Nanoseconds per lookup of an effect that does all of them and gives the sum of what it found. */
const timed = <E>(all: Effect.Effect<number | bigint, E>) =>
  Effect.gen(function*() {
    const start = performance.now()
    const sum = yield* all
    const took = performance.now() - start
    if (Number(sum) !== SUM) return yield* Effect.die(`the sum of the values is ${sum}`)
    return took * 1e6 / LOOKUPS
  })

/** One `yield*` per lookup. */
const numbers = Effect.map(acquireNumbers, (map) =>
  timed(Effect.gen(function*() {
    let sum = 0
    for (let i = 0; i < LOOKUPS; i++) sum += Option.getOrThrow(yield* map.lookup(i % ENTRIES))
    return sum
  })))

/** The same with `bigint` keys and values. */
const bigints = Effect.map(acquireBigints, (map) =>
  timed(Effect.gen(function*() {
    let sum = 0n
    for (let i = 0; i < LOOKUPS; i++) sum += Option.getOrThrow(yield* map.lookup(BigInt(i % ENTRIES)))
    return sum
  })))

/** `Effect.whileLoop`, which needs no generator. */
const whileLoop = Effect.map(acquireNumbers, (map) =>
  timed(Effect.suspend(() => {
    let sum = 0
    let i = 0
    const loop = Effect.whileLoop({
      while: () => i < LOOKUPS,
      body: () => map.lookup(i++ % ENTRIES),
      step: (value: Option.Option<number>) => {
        sum += Option.getOrThrow(value)
      }
    })
    return Effect.map(loop, () => sum)
  })))

/** The system call through koffi, without HashMap and without an effect per lookup: what is below the other ways. */
const raw = Effect.gen(function*() {
  const map = yield* acquireNumbers
  const lookup = rawLookup(yield* Kernel.Kernel, map.fd)
  return timed(Effect.sync(() => {
    let sum = 0
    for (let i = 0; i < LOOKUPS; i++) sum += lookup(i % ENTRIES)
    return sum
  }))
})

const ways = { numbers, bigints, whileLoop, raw }
answer<unknown, unknown>(ways[process.argv[2] as keyof typeof ways])
