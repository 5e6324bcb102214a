/**
 * Arithmetic on the values of a per-CPU map: numbers, bigints, and structs and arrays of them, field by field. Fields that
 * are no numbers (texts, bytes) are the first CPU's.
 *
 * @example
 * ```ts
 * import { PerCpu } from "effect-ebpf"
 *
 * console.log(PerCpu.sum([1n, 2n, 3n])) // 6n
 * console.log(PerCpu.max([{ packets: 1, bytes: 60 }, { packets: 4, bytes: 40 }])) // { packets: 4, bytes: 60 }
 * ```
 */

type Combine<N> = (values: ReadonlyArray<N>) => N

/** What is done with numbers, and with bigints. */
interface Arithmetic {
  readonly numbers: Combine<number>
  readonly bigints: Combine<bigint>
}

const isRecord = (value: unknown): value is { readonly [name: string]: unknown } =>
  typeof value === "object" && value !== null && !ArrayBuffer.isView(value)

const combine = (values: ReadonlyArray<unknown>, arithmetic: Arithmetic): unknown => {
  const first = values[0]
  if (typeof first === "number") return arithmetic.numbers(values as ReadonlyArray<number>)
  if (typeof first === "bigint") return arithmetic.bigints(values as ReadonlyArray<bigint>)
  if (Array.isArray(first)) {
    return first.map((_, i) => combine(values.map((value) => (value as ReadonlyArray<unknown>)[i]), arithmetic))
  }
  if (!isRecord(first)) return first
  return Object.fromEntries(
    Object.keys(first).map((name) => [name, combine(values.map((value) => (value as typeof first)[name]), arithmetic)])
  )
}

const operation = (arithmetic: Arithmetic) => <A>(values: ReadonlyArray<A>): A => combine(values, arithmetic) as A

/** The sum over all CPUs. `undefined` for no values at all, which no map has. */
export const sum: <A>(values: ReadonlyArray<A>) => A = operation({
  numbers: (values) => values.reduce((a, b) => a + b, 0),
  bigints: (values) => values.reduce((a, b) => a + b, 0n)
})

/** The greatest value of any CPU. */
export const max: <A>(values: ReadonlyArray<A>) => A = operation({
  numbers: (values) => values.reduce((a, b) => a > b ? a : b),
  bigints: (values) => values.reduce((a, b) => a > b ? a : b)
})

/** The least value of any CPU. */
export const min: <A>(values: ReadonlyArray<A>) => A = operation({
  numbers: (values) => values.reduce((a, b) => a < b ? a : b),
  bigints: (values) => values.reduce((a, b) => a < b ? a : b)
})

/** The mean over all possible CPUs; of bigints rounded towards zero. */
export const avg: <A>(values: ReadonlyArray<A>) => A = operation({
  numbers: (values) => values.reduce((a, b) => a + b, 0) / values.length,
  bigints: (values) => values.reduce((a, b) => a + b, 0n) / BigInt(values.length)
})
