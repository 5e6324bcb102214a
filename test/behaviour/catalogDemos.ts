// The catalog's demos of instructions, held to what JavaScript makes of the same numbers.
import * as Effect from "effect/Effect"
import { expect } from "vitest"
import { Catalog, Program } from "../../src/index.ts"
import type { Test } from "../support/kernels.ts"

const packet = { data: new Uint8Array(64) }
const u64 = (value: bigint): bigint => BigInt.asUintN(64, value)
const i64 = (value: bigint): bigint => BigInt.asIntN(64, value)

/** Numbers at the edges, and some without any pattern. */
const numbers = [
  0n,
  1n,
  2n,
  63n,
  64n,
  0x7fff_ffffn,
  0xffff_ffffn,
  0x1_0000_0000n,
  0x0123_4567_89ab_cdefn,
  0x7fff_ffff_ffff_ffffn,
  0x8000_0000_0000_0000n,
  0xffff_ffff_ffff_ffffn
]
const second = [0n, 3n, 64n, 0x0123_4567_89ab_cdefn, 0x8000_0000_0000_0000n, 0xffff_ffff_ffff_ffffn]
const pairs = numbers.flatMap((a) => second.map((b) => ({ a, b })))

const reversed = (value: bigint): bigint => {
  const view = new DataView(new ArrayBuffer(8))
  view.setBigUint64(0, value, true)
  return view.getBigUint64(0, false)
}

/** Runs a demo on operands, and holds its results to what is expected of them. */
const compare = <R>(
  loaded: {
    readonly program: Program.Program<"socket_filter">
    readonly maps: {
      readonly operands: {
        readonly update: (index: number, value: { a: bigint; b: bigint }) => Effect.Effect<void, any>
      }
      readonly results: { readonly lookup: (index: number) => Effect.Effect<R, any> }
    }
  },
  operands: ReadonlyArray<{ readonly a: bigint; readonly b: bigint }>,
  wanted: (a: bigint, b: bigint) => R
) =>
  Effect.forEach(operands, ({ a, b }) =>
    Effect.gen(function*() {
      yield* loaded.maps.operands.update(0, { a, b })
      yield* Program.testRun(loaded.program, packet)
      expect(yield* loaded.maps.results.lookup(0), `${a} and ${b}`).toEqual(wanted(a, b))
    }), { discard: true })

/** Arithmetic and control flow of the catalog. */
export const catalogDemos = (test: Test): void => {
  test("arithmetic is that of 64 and 32 bits, and division by 0 gives 0", () =>
    Effect.flatMap(Catalog.load("arithmetic"), (loaded) =>
      compare(loaded, pairs, (a, b) => ({
        sum: u64(a + b),
        difference: u64(a - b),
        product: u64(a * b),
        quotient: b === 0n ? 0n : a / b,
        remainder: b === 0n ? a : a % b,
        negated: i64(-a),
        sum32: BigInt.asUintN(32, a + b)
      }))))

  test("bitwise combines, shifts and swaps", () =>
    Effect.flatMap(Catalog.load("bitwise"), (loaded) =>
      compare(loaded, pairs, (a, b) => ({
        and: a & b,
        or: a | b,
        xor: a ^ b,
        left: u64(a << (b & 63n)),
        right: a >> (b & 63n),
        arithmeticRight: i64(a) >> (b & 63n),
        swapped: reversed(a)
      }))))

  test("conditional compares as unsigned and as signed numbers", () =>
    Effect.flatMap(Catalog.load("conditional"), (loaded) =>
      compare(loaded, pairs, (a, b) => ({
        equal: a === b,
        below: a < b,
        less: i64(a) < i64(b),
        common: (a & b) !== 0n,
        sign: i64(a) < 0n ? -1 : i64(a) > 0n ? 1 : 0,
        greatest: a > b ? a : b
      }))))

  test("bounded-loop computes Fibonacci numbers, and stops at its limit", () =>
    Effect.flatMap(Catalog.load("bounded-loop"), (loaded) => {
      const fibonacci = [0n, 1n]
      for (let i = 2; i <= 90; i++) fibonacci.push(fibonacci[i - 1]! + fibonacci[i - 2]!)
      const operands = [0n, 1n, 2n, 10n, 89n, 90n, 91n, u64(-1n)].map((a) => ({ a, b: 0n }))
      return compare(loaded, operands, (a) => {
        const rounds = a < 90n ? a : 90n
        return { fibonacci: fibonacci[Number(rounds)]!, rounds }
      })
    }))

  test("local-function adds up what its function gives back", () =>
    Effect.flatMap(
      Catalog.load("local-function"),
      (loaded) => compare(loaded, pairs, (a, b) => ({ sumOfSquares: u64(a * a + b * b) }))
    ))
}
