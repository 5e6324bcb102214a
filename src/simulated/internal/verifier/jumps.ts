// Conditional jumps: whether they are taken, and what is known after them.
import { jumps } from "../../../isa/opcodes.ts"
import * as Scalar from "./scalar.ts"
import type * as Tnum from "./tnum.ts"

type Bits = 32 | 64

/** The same question with its sides exchanged. */
export const flipped = (operation: number): number => {
  switch (operation) {
    case jumps.BPF_JGT:
      return jumps.BPF_JLT
    case jumps.BPF_JGE:
      return jumps.BPF_JLE
    case jumps.BPF_JLT:
      return jumps.BPF_JGT
    case jumps.BPF_JLE:
      return jumps.BPF_JGE
    case jumps.BPF_JSGT:
      return jumps.BPF_JSLT
    case jumps.BPF_JSGE:
      return jumps.BPF_JSLE
    case jumps.BPF_JSLT:
      return jumps.BPF_JSGT
    case jumps.BPF_JSLE:
      return jumps.BPF_JSGE
    default:
      return operation
  }
}

/** The question whose answer is the opposite; 0 for `set`, which has none. */
const opposite = (operation: number): number => {
  switch (operation) {
    case jumps.BPF_JEQ:
      return jumps.BPF_JNE
    case jumps.BPF_JNE:
      return jumps.BPF_JEQ
    case jumps.BPF_JGT:
      return jumps.BPF_JLE
    case jumps.BPF_JGE:
      return jumps.BPF_JLT
    case jumps.BPF_JLT:
      return jumps.BPF_JGE
    case jumps.BPF_JLE:
      return jumps.BPF_JGT
    case jumps.BPF_JSGT:
      return jumps.BPF_JSLE
    case jumps.BPF_JSGE:
      return jumps.BPF_JSLT
    case jumps.BPF_JSLT:
      return jumps.BPF_JSGE
    case jumps.BPF_JSLE:
      return jumps.BPF_JSGT
    default:
      return 0
  }
}

const bitsOf = (a: Scalar.Scalar, bits: Bits): Tnum.Tnum =>
  bits === 64 ? a.tnum : { value: BigInt.asUintN(32, a.tnum.value), mask: BigInt.asUintN(32, a.tnum.mask) }

/** True or false where the bounds tell, and `undefined` where both may be. */
export const outcome = (operation: number, bits: Bits, a: Scalar.Scalar, b: Scalar.Scalar): boolean | undefined => {
  const x = bits === 64 ? a.wide : a.low
  const y = bits === 64 ? b.wide : b.low
  const p = bitsOf(a, bits)
  const q = bitsOf(b, bits)
  switch (operation) {
    case jumps.BPF_JEQ: {
      if (p.mask === 0n && q.mask === 0n) return p.value === q.value
      const apart = x.umin > y.umax || x.umax < y.umin || x.smin > y.smax || x.smax < y.smin ||
        ((p.value ^ q.value) & ~p.mask & ~q.mask) !== 0n
      return apart ? false : undefined
    }
    case jumps.BPF_JNE: {
      const equal = outcome(jumps.BPF_JEQ, bits, a, b)
      return equal === undefined ? undefined : !equal
    }
    case jumps.BPF_JSET:
      if ((p.value & q.value) !== 0n) return true
      return ((p.value | p.mask) & (q.value | q.mask)) === 0n ? false : undefined
    case jumps.BPF_JGT:
      return x.umin > y.umax ? true : x.umax <= y.umin ? false : undefined
    case jumps.BPF_JGE:
      return x.umin >= y.umax ? true : x.umax < y.umin ? false : undefined
    case jumps.BPF_JLT:
      return x.umax < y.umin ? true : x.umin >= y.umax ? false : undefined
    case jumps.BPF_JLE:
      return x.umax <= y.umin ? true : x.umin > y.umax ? false : undefined
    case jumps.BPF_JSGT:
      return x.smin > y.smax ? true : x.smax <= y.smin ? false : undefined
    case jumps.BPF_JSGE:
      return x.smin >= y.smax ? true : x.smax < y.smin ? false : undefined
    case jumps.BPF_JSLT:
      return x.smax < y.smin ? true : x.smin >= y.smax ? false : undefined
    default:
      return x.smax <= y.smin ? true : x.smin > y.smax ? false : undefined
  }
}

/** What is left of `a` where `a operation b` holds. */
const where = (operation: number, bits: Bits, a: Scalar.Scalar, b: Scalar.Scalar): Scalar.Scalar => {
  const y = bits === 64 ? b.wide : b.low
  switch (operation) {
    case jumps.BPF_JEQ: {
      const { mask, value } = b.tnum
      const tnum = bits === 64
        ? b.tnum
        : { value: BigInt.asUintN(32, value), mask: BigInt.asUintN(32, mask) | 0xffffffff00000000n }
      return Scalar.narrowed(a, bits, y, tnum)
    }
    case jumps.BPF_JNE:
      return without(bits, a, b)
    case jumps.BPF_JGT:
      return Scalar.narrowed(a, bits, { umin: y.umin + 1n })
    case jumps.BPF_JGE:
      return Scalar.narrowed(a, bits, { umin: y.umin })
    case jumps.BPF_JLT:
      return Scalar.narrowed(a, bits, { umax: y.umax - 1n })
    case jumps.BPF_JLE:
      return Scalar.narrowed(a, bits, { umax: y.umax })
    case jumps.BPF_JSGT:
      return Scalar.narrowed(a, bits, { smin: y.smin + 1n })
    case jumps.BPF_JSGE:
      return Scalar.narrowed(a, bits, { smin: y.smin })
    case jumps.BPF_JSLT:
      return Scalar.narrowed(a, bits, { smax: y.smax - 1n })
    case jumps.BPF_JSLE:
      return Scalar.narrowed(a, bits, { smax: y.smax })
    case jumps.BPF_JSET:
      return withBit(bits, a, b)
    default:
      return withoutBits(bits, a, b)
  }
}

/** Not that one number: it is taken off an end of the range. */
const without = (bits: Bits, a: Scalar.Scalar, b: Scalar.Scalar): Scalar.Scalar => {
  if (!Scalar.isConstantIn(b, bits)) return a
  const x = bits === 64 ? a.wide : a.low
  const { smin, umin } = bits === 64 ? b.wide : b.low
  return Scalar.narrowed(a, bits, {
    ...(x.umin === umin ? { umin: umin + 1n } : {}),
    ...(x.umax === umin ? { umax: umin - 1n } : {}),
    ...(x.smin === smin ? { smin: smin + 1n } : {}),
    ...(x.smax === smin ? { smax: smin - 1n } : {})
  })
}

const isPowerOfTwo = (value: bigint): boolean => value !== 0n && (value & (value - 1n)) === 0n

const withBit = (bits: Bits, a: Scalar.Scalar, b: Scalar.Scalar): Scalar.Scalar => {
  const bit = bitsOf(b, bits).value
  if (!Scalar.isConstantIn(b, bits) || !isPowerOfTwo(bit)) return a
  return Scalar.narrowed(a, 64, {}, { value: bit, mask: 0xffffffffffffffffn & ~bit })
}

/** The opposite of `set`: none of these bits. The verifier forgets the bounds here. */
const withoutBits = (bits: Bits, a: Scalar.Scalar, b: Scalar.Scalar): Scalar.Scalar => {
  if (!Scalar.isConstantIn(b, bits)) return a
  const set = bitsOf(b, bits).value
  return Scalar.ofTnum({ value: a.tnum.value & ~set, mask: a.tnum.mask & ~set })
}

/** What is known of both sides where the answer is `taken`. */
export const refined = (
  operation: number,
  bits: Bits,
  a: Scalar.Scalar,
  b: Scalar.Scalar,
  taken: boolean
): readonly [Scalar.Scalar, Scalar.Scalar] => {
  const holds = taken ? operation : opposite(operation)
  if (holds === 0) return [withoutBits(bits, a, b), withoutBits(bits, b, a)]
  return [where(holds, bits, a, b), where(flipped(holds), bits, b, a)]
}
