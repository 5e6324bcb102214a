// What the simulated verifier knows of numbers must be true of every number that may be there: held for numbers taken at
// random, through chains of operations and comparisons.
import { describe, it } from "@effect/vitest"
import { expect } from "vitest"
import { alu, jumps } from "../../../src/isa/opcodes.ts"
import { flipped, outcome, refined } from "../../../src/simulated/internal/verifier/jumps.ts"
import * as Scalar from "../../../src/simulated/internal/verifier/scalar.ts"
import { arithmetic } from "../../../src/simulated/internal/verifier/scalarArithmetic.ts"

/** A number, and what is known of it. */
interface Known {
  readonly value: bigint
  readonly scalar: Scalar.Scalar
}

const edges = [0n, 1n, 7n, 8n, 31n, 32n, 63n, 64n, 255n, 2n ** 31n, 2n ** 32n, 2n ** 63n].flatMap((
  n
) => [n - 1n, n, -n])

/** xorshift, so that a run can be told by its seed. */
const makeRandom = (seed: number) => {
  let state = seed
  const below = (n: number): number => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return (state >>> 0) % n
  }
  const wide = (): bigint => (BigInt(below(2 ** 32 - 1)) << 32n) | BigInt(below(2 ** 32 - 1))
  const value = (): bigint =>
    BigInt.asUintN(64, [() => BigInt(below(100)), () => edges[below(edges.length)]!, wide][below(3)]!())
  return { below, value }
}

const operations = [
  alu.BPF_ADD,
  alu.BPF_SUB,
  alu.BPF_MUL,
  alu.BPF_DIV,
  alu.BPF_MOD,
  alu.BPF_AND,
  alu.BPF_OR,
  alu.BPF_XOR,
  alu.BPF_LSH,
  alu.BPF_RSH,
  alu.BPF_ARSH
]

const compute = (operation: number, bits: Scalar.Bits, x: bigint, y: bigint): bigint => {
  const [a, b] = [BigInt.asUintN(bits, x), BigInt.asUintN(bits, y)]
  const by = b & BigInt(bits - 1)
  const results: { readonly [operation: number]: () => bigint } = {
    [alu.BPF_ADD]: () => a + b,
    [alu.BPF_SUB]: () => a - b,
    [alu.BPF_MUL]: () => a * b,
    [alu.BPF_DIV]: () => b === 0n ? 0n : a / b,
    [alu.BPF_MOD]: () => b === 0n ? a : a % b,
    [alu.BPF_AND]: () => a & b,
    [alu.BPF_OR]: () => a | b,
    [alu.BPF_XOR]: () => a ^ b,
    [alu.BPF_LSH]: () => a << by,
    [alu.BPF_RSH]: () => a >> by,
    [alu.BPF_ARSH]: () => BigInt.asIntN(bits, a) >> by
  }
  return BigInt.asUintN(bits, results[operation]!())
}

const comparisons = [
  jumps.BPF_JEQ,
  jumps.BPF_JNE,
  jumps.BPF_JGT,
  jumps.BPF_JGE,
  jumps.BPF_JLT,
  jumps.BPF_JLE,
  jumps.BPF_JSGT,
  jumps.BPF_JSGE,
  jumps.BPF_JSLT,
  jumps.BPF_JSLE,
  jumps.BPF_JSET
]

const holds = (operation: number, bits: Scalar.Bits, x: bigint, y: bigint): boolean => {
  const [a, b] = [BigInt.asUintN(bits, x), BigInt.asUintN(bits, y)]
  const [s, t] = [BigInt.asIntN(bits, x), BigInt.asIntN(bits, y)]
  const answers: { readonly [operation: number]: boolean } = {
    [jumps.BPF_JEQ]: a === b,
    [jumps.BPF_JNE]: a !== b,
    [jumps.BPF_JGT]: a > b,
    [jumps.BPF_JGE]: a >= b,
    [jumps.BPF_JLT]: a < b,
    [jumps.BPF_JLE]: a <= b,
    [jumps.BPF_JSGT]: s > t,
    [jumps.BPF_JSGE]: s >= t,
    [jumps.BPF_JSLT]: s < t,
    [jumps.BPF_JSLE]: s <= t,
    [jumps.BPF_JSET]: (a & b) !== 0n
  }
  return answers[operation]!
}

const isTrue = ({ scalar, value }: Known): boolean => Scalar.contains(scalar, Scalar.constant(value))

describe("what the simulated verifier knows of numbers", () => {
  it("holds for every number that may be there, through 60,000 operations and comparisons", () => {
    const { below, value } = makeRandom(20_251)
    const fresh = (): Known => {
      const chosen = value()
      const bits = [8, 16, 32, 64][below(4)]!
      if (below(2) === 0) return { value: chosen, scalar: Scalar.constant(chosen) }
      return { value: BigInt.asUintN(bits, chosen), scalar: Scalar.ofBits(bits) }
    }
    let pool: Array<Known> = []
    for (let run = 0; run < 60_000; run++) {
      if (run % 40 === 0) pool = Array.from({ length: 8 }, fresh)
      const a = pool[below(pool.length)]!
      const b = below(2) === 0 ? fresh() : pool[below(pool.length)]!
      const bits = below(2) === 0 ? 64 : 32
      const made: Array<Known> = []
      if (below(2) === 0) {
        const operation = operations[below(operations.length)]!
        made.push({
          value: compute(operation, bits, a.value, b.value),
          scalar: arithmetic(operation, bits, a.scalar, b.scalar)
        })
      } else {
        const operation = comparisons[below(comparisons.length)]!
        const taken = holds(operation, bits, a.value, b.value)
        const certain = outcome(operation, bits, a.scalar, b.scalar)
        if (certain === !taken) expect.fail(`run ${run}: ${a.value} ${operation} ${b.value} said to be ${certain}`)
        made.push({ value: a.value, scalar: refined(operation, bits, a.scalar, b.scalar, taken) })
        made.push({ value: b.value, scalar: refined(flipped(operation), bits, b.scalar, a.scalar, taken) })
      }
      for (const known of made) {
        if (!isTrue(known)) expect.fail(`run ${run}: ${known.value} is not in ${JSON.stringify(known.scalar)}`)
        pool.push(known)
      }
    }
  })

  it("knows the low bits of a product of what is aligned", () => {
    const multiple = arithmetic(alu.BPF_MUL, 64, Scalar.ofBits(64), Scalar.small(8))
    expect(Scalar.exact(multiple).mask & 7n).toBe(0n)
    expect(Scalar.exact(multiple).value & 7n).toBe(0n)
  })
})
