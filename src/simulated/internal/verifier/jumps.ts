// Conditional jumps: whether they are taken, and what is known after them.
import { jumps } from "../../../isa/opcodes.ts"
import * as Scalar from "./scalar.ts"

type Bits = Scalar.Bits

const MOST = -1
const HIGHEST = 0x7fffffff
const LOWEST = -0x80000000

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

// ---------------------------------------------------------------- whether one is taken

/** True if the known bits of both differ. */
const differ = (a: Scalar.Scalar, b: Scalar.Scalar, bits: Bits): boolean =>
  ((a.valueLow ^ b.valueLow) & ~a.maskLow & ~b.maskLow) !== 0 ||
  (bits === 64 && ((a.valueHigh ^ b.valueHigh) & ~a.maskHigh & ~b.maskHigh) !== 0)

const areEqual = (a: Scalar.Scalar, b: Scalar.Scalar, bits: Bits): boolean | undefined => {
  if (Scalar.isConstantIn(a, bits) && Scalar.isConstantIn(b, bits)) {
    return a.valueLow === b.valueLow && (bits === 32 || a.valueHigh === b.valueHigh)
  }
  const apart = isUnsignedBelow(b, a, bits) || isUnsignedBelow(a, b, bits) || isSignedBelow(b, a, bits) ||
    isSignedBelow(a, b, bits) || differ(a, b, bits)
  return apart ? false : undefined
}

/** True if all that `a` may be is below all that `b` may be. */
const isUnsignedBelow = (a: Scalar.Scalar, b: Scalar.Scalar, bits: Bits): boolean =>
  bits === 64
    ? Scalar.isBelowWide(a.umaxHigh, a.umaxLow, b.uminHigh, b.uminLow)
    : Scalar.isBelow(a.lowUmax, b.lowUmin)
const isSignedBelow = (a: Scalar.Scalar, b: Scalar.Scalar, bits: Bits): boolean =>
  bits === 64 ? Scalar.isLessWide(a.smaxHigh, a.smaxLow, b.sminHigh, b.sminLow) : a.lowSmax < b.lowSmin

/** True if nothing that `a` may be is below anything that `b` may be. */
const isNowhereBelow = (a: Scalar.Scalar, b: Scalar.Scalar, bits: Bits): boolean =>
  bits === 64
    ? !Scalar.isBelowWide(a.uminHigh, a.uminLow, b.umaxHigh, b.umaxLow)
    : !Scalar.isBelow(a.lowUmin, b.lowUmax)
const isNowhereLess = (a: Scalar.Scalar, b: Scalar.Scalar, bits: Bits): boolean =>
  bits === 64 ? !Scalar.isLessWide(a.sminHigh, a.sminLow, b.smaxHigh, b.smaxLow) : a.lowSmin >= b.lowSmax

const isBelow = (a: Scalar.Scalar, b: Scalar.Scalar, bits: Bits): boolean | undefined =>
  isUnsignedBelow(a, b, bits) ? true : isNowhereBelow(a, b, bits) ? false : undefined
const isLess = (a: Scalar.Scalar, b: Scalar.Scalar, bits: Bits): boolean | undefined =>
  isSignedBelow(a, b, bits) ? true : isNowhereLess(a, b, bits) ? false : undefined
const not = (answer: boolean | undefined): boolean | undefined => answer === undefined ? undefined : !answer

const haveCommonBit = (a: Scalar.Scalar, b: Scalar.Scalar, bits: Bits): boolean | undefined => {
  const isWide = bits === 64
  if ((a.valueLow & b.valueLow) !== 0 || (isWide && (a.valueHigh & b.valueHigh) !== 0)) return true
  const mayLow = (a.valueLow | a.maskLow) & (b.valueLow | b.maskLow)
  const mayHigh = isWide ? (a.valueHigh | a.maskHigh) & (b.valueHigh | b.maskHigh) : 0
  return (mayLow | mayHigh) === 0 ? false : undefined
}

/** Whether a comparison holds, where the bounds tell, and `undefined` where both may be. */
export const outcome = (operation: number, bits: Bits, a: Scalar.Scalar, b: Scalar.Scalar): boolean | undefined => {
  switch (operation) {
    case jumps.BPF_JEQ:
      return areEqual(a, b, bits)
    case jumps.BPF_JNE:
      return not(areEqual(a, b, bits))
    case jumps.BPF_JSET:
      return haveCommonBit(a, b, bits)
    case jumps.BPF_JGT:
      return isBelow(b, a, bits)
    case jumps.BPF_JGE:
      return not(isBelow(a, b, bits))
    case jumps.BPF_JLT:
      return isBelow(a, b, bits)
    case jumps.BPF_JLE:
      return not(isBelow(b, a, bits))
    case jumps.BPF_JSGT:
      return isLess(b, a, bits)
    case jumps.BPF_JSGE:
      return not(isLess(a, b, bits))
    case jumps.BPF_JSLT:
      return isLess(a, b, bits)
    default:
      return not(isLess(b, a, bits))
  }
}

// ---------------------------------------------------------------- what is known then

/** One more and one less. Of the largest and the smallest there is none: no path leads there. */
const highAfter = (high: number, low: number): number => low === MOST ? (high + 1) | 0 : high
const highBefore = (high: number, low: number): number => low === 0 ? (high - 1) | 0 : high

/** Bounds by the other's: `by` 0 for no more or less than it, 1 for one apart. */
const raiseUnsigned = (s: Scalar.Scalar, b: Scalar.Scalar, bits: Bits, by: 0 | 1): void => {
  if (bits === 32) {
    if (by === 1 && b.lowUmin === MOST) return contradict(s)
    return Scalar.raiseLowUmin(s, (b.lowUmin + by) | 0)
  }
  if (by === 0) return Scalar.raiseUmin(s, b.uminHigh, b.uminLow)
  if ((b.uminHigh & b.uminLow) === MOST) return contradict(s)
  Scalar.raiseUmin(s, highAfter(b.uminHigh, b.uminLow), (b.uminLow + 1) | 0)
}
const lowerUnsigned = (s: Scalar.Scalar, b: Scalar.Scalar, bits: Bits, by: 0 | 1): void => {
  if (bits === 32) {
    if (by === 1 && b.lowUmax === 0) return contradict(s)
    return Scalar.lowerLowUmax(s, (b.lowUmax - by) | 0)
  }
  if (by === 0) return Scalar.lowerUmax(s, b.umaxHigh, b.umaxLow)
  if ((b.umaxHigh | b.umaxLow) === 0) return contradict(s)
  Scalar.lowerUmax(s, highBefore(b.umaxHigh, b.umaxLow), (b.umaxLow - 1) | 0)
}
const raiseSigned = (s: Scalar.Scalar, b: Scalar.Scalar, bits: Bits, by: 0 | 1): void => {
  if (bits === 32) {
    if (by === 1 && b.lowSmin === HIGHEST) return contradict(s)
    return Scalar.raiseLowSmin(s, (b.lowSmin + by) | 0)
  }
  if (by === 0) return Scalar.raiseSmin(s, b.sminHigh, b.sminLow)
  if (b.sminHigh === HIGHEST && b.sminLow === MOST) return contradict(s)
  Scalar.raiseSmin(s, highAfter(b.sminHigh, b.sminLow), (b.sminLow + 1) | 0)
}
const lowerSigned = (s: Scalar.Scalar, b: Scalar.Scalar, bits: Bits, by: 0 | 1): void => {
  if (bits === 32) {
    if (by === 1 && b.lowSmax === LOWEST) return contradict(s)
    return Scalar.lowerLowSmax(s, (b.lowSmax - by) | 0)
  }
  if (by === 0) return Scalar.lowerSmax(s, b.smaxHigh, b.smaxLow)
  if (b.smaxHigh === LOWEST && b.smaxLow === 0) return contradict(s)
  Scalar.lowerSmax(s, highBefore(b.smaxHigh, b.smaxLow), (b.smaxLow - 1) | 0)
}

/** Nothing is left: bounds that say so are forgotten as they are settled. */
const contradict = (s: Scalar.Scalar): void => {
  s.uminHigh = s.uminLow = MOST
  s.umaxHigh = s.umaxLow = 0
}

const equalTo = (s: Scalar.Scalar, b: Scalar.Scalar, bits: Bits): void => {
  raiseUnsigned(s, b, bits, 0)
  lowerUnsigned(s, b, bits, 0)
  raiseSigned(s, b, bits, 0)
  lowerSigned(s, b, bits, 0)
  s.maskLow &= b.maskLow
  s.valueLow = (s.valueLow | b.valueLow) & ~s.maskLow
  if (bits === 32) return
  s.maskHigh &= b.maskHigh
  s.valueHigh = (s.valueHigh | b.valueHigh) & ~s.maskHigh
}

/** Not that one number: it is taken off an end of the range. */
const without = (s: Scalar.Scalar, b: Scalar.Scalar, bits: Bits): void => {
  if (bits === 32) {
    const isLeast = s.lowUmin === b.lowUmin
    const isMost = s.lowUmax === b.lowUmin
    const isSmallest = s.lowSmin === b.lowSmin
    const isLargest = s.lowSmax === b.lowSmin
    if (isLeast) raiseUnsigned(s, b, bits, 1)
    if (isMost) lowerUnsigned(s, b, bits, 1)
    if (isSmallest) raiseSigned(s, b, bits, 1)
    if (isLargest) lowerSigned(s, b, bits, 1)
    return
  }
  const isLeast = s.uminHigh === b.uminHigh && s.uminLow === b.uminLow
  const isMost = s.umaxHigh === b.uminHigh && s.umaxLow === b.uminLow
  const isSmallest = s.sminHigh === b.sminHigh && s.sminLow === b.sminLow
  const isLargest = s.smaxHigh === b.sminHigh && s.smaxLow === b.sminLow
  if (isLeast) raiseUnsigned(s, b, bits, 1)
  if (isMost) lowerUnsigned(s, b, bits, 1)
  if (isSmallest) raiseSigned(s, b, bits, 1)
  if (isLargest) lowerSigned(s, b, bits, 1)
}

const isPowerOfTwo = (high: number, low: number): boolean =>
  (high === 0 && low !== 0 && (low & (low - 1)) === 0) || (low === 0 && high !== 0 && (high & (high - 1)) === 0)

const withBit = (s: Scalar.Scalar, b: Scalar.Scalar, bits: Bits): void => {
  const high = bits === 64 ? b.valueHigh : 0
  if (!isPowerOfTwo(high, b.valueLow)) return
  s.valueHigh |= high
  s.valueLow |= b.valueLow
  s.maskHigh &= ~high
  s.maskLow &= ~b.valueLow
}

/** The opposite of `set`: none of these bits. The verifier forgets the bounds here. */
const withoutBits = (bits: Bits, a: Scalar.Scalar, b: Scalar.Scalar): Scalar.Scalar => {
  if (!Scalar.isConstantIn(b, bits)) return a
  const high = bits === 64 ? b.valueHigh : 0
  return Scalar.ofBitPattern(
    a.valueHigh & ~high,
    a.valueLow & ~b.valueLow,
    a.maskHigh & ~high,
    a.maskLow & ~b.valueLow
  )
}

/** What is left of `a` where `a operation b` holds. */
const where = (operation: number, bits: Bits, a: Scalar.Scalar, b: Scalar.Scalar): Scalar.Scalar => {
  // A number that is known is not known better; where it would be another, no path leads.
  if (Scalar.isConstant(a)) return a
  const takesConstant = operation === jumps.BPF_JNE || operation === jumps.BPF_JSET
  if (takesConstant && !Scalar.isConstantIn(b, bits)) return a
  const s = Scalar.copyOf(a)
  switch (operation) {
    case jumps.BPF_JEQ:
      equalTo(s, b, bits)
      break
    case jumps.BPF_JNE:
      without(s, b, bits)
      break
    case jumps.BPF_JGT:
      raiseUnsigned(s, b, bits, 1)
      break
    case jumps.BPF_JGE:
      raiseUnsigned(s, b, bits, 0)
      break
    case jumps.BPF_JLT:
      lowerUnsigned(s, b, bits, 1)
      break
    case jumps.BPF_JLE:
      lowerUnsigned(s, b, bits, 0)
      break
    case jumps.BPF_JSGT:
      raiseSigned(s, b, bits, 1)
      break
    case jumps.BPF_JSGE:
      raiseSigned(s, b, bits, 0)
      break
    case jumps.BPF_JSLT:
      lowerSigned(s, b, bits, 1)
      break
    case jumps.BPF_JSLE:
      lowerSigned(s, b, bits, 0)
      break
    default:
      withBit(s, b, bits)
  }
  return Scalar.settle(s)
}

/** What is known of `a` where `a operation b` is `taken`; of `b` it is the same of the flipped question. */
export const refined = (
  operation: number,
  bits: Bits,
  a: Scalar.Scalar,
  b: Scalar.Scalar,
  taken: boolean
): Scalar.Scalar => {
  const holds = taken ? operation : opposite(operation)
  return holds === 0 ? withoutBits(bits, a, b) : where(holds, bits, a, b)
}
