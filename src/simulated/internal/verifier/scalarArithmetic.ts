// Arithmetic on what is known of numbers (adjust_scalar_min_max_vals), 64 bits as two halves.
import { alu } from "../../../isa/opcodes.ts"
import {
  type Bits,
  constant,
  constantOf,
  exact,
  forgetWide,
  isBelow,
  isBelowWide,
  isConstantIn,
  lowerLowUmax,
  lowerUmax,
  raiseLowUmin,
  raiseUmin,
  Scalar,
  settle,
  umax,
  unknown,
  zeroExtended
} from "./scalar.ts"

const TWO_32 = 2 ** 32
const LOWEST = -0x80000000

/** A bit that is carried from the low half of a sum, and one that is borrowed for that of a difference. */
const carry = (low: number, sum: number): number => isBelow(sum, low) ? 1 : 0
const borrow = (low: number, by: number): number => isBelow(low, by) ? 1 : 0

// ---------------------------------------------------------------- sums and differences

const addBits = (out: Scalar, a: Scalar, b: Scalar): void => {
  const low = (a.valueLow + b.valueLow) | 0
  const high = (a.valueHigh + b.valueHigh + carry(a.valueLow, low)) | 0
  const maskLow = (a.maskLow + b.maskLow) | 0
  const maskHigh = (a.maskHigh + b.maskHigh + carry(a.maskLow, maskLow)) | 0
  const sumLow = (maskLow + low) | 0
  const sumHigh = (maskHigh + high + carry(maskLow, sumLow)) | 0
  out.maskLow = (sumLow ^ low) | a.maskLow | b.maskLow
  out.maskHigh = (sumHigh ^ high) | a.maskHigh | b.maskHigh
  out.valueLow = low & ~out.maskLow
  out.valueHigh = high & ~out.maskHigh
}

const subtractBits = (out: Scalar, a: Scalar, b: Scalar): void => {
  const low = (a.valueLow - b.valueLow) | 0
  const high = (a.valueHigh - b.valueHigh - borrow(a.valueLow, b.valueLow)) | 0
  const moreLow = (low + a.maskLow) | 0
  const moreHigh = (high + a.maskHigh + carry(low, moreLow)) | 0
  const lessLow = (low - b.maskLow) | 0
  const lessHigh = (high - b.maskHigh - borrow(low, b.maskLow)) | 0
  out.maskLow = (moreLow ^ lessLow) | a.maskLow | b.maskLow
  out.maskHigh = (moreHigh ^ lessHigh) | a.maskHigh | b.maskHigh
  out.valueLow = low & ~out.maskLow
  out.valueHigh = high & ~out.maskHigh
}

/** Bounds of a sum: if both ends overflow, the range between them is whole again. */
const addWide = (out: Scalar, a: Scalar, b: Scalar): void => {
  const uminLow = (a.uminLow + b.uminLow) | 0
  const uminHigh = (a.uminHigh + b.uminHigh + carry(a.uminLow, uminLow)) | 0
  const umaxLow = (a.umaxLow + b.umaxLow) | 0
  const umaxHigh = (a.umaxHigh + b.umaxHigh + carry(a.umaxLow, umaxLow)) | 0
  const leastOverflows = isBelowWide(uminHigh, uminLow, a.uminHigh, a.uminLow)
  const mostOverflows = isBelowWide(umaxHigh, umaxLow, a.umaxHigh, a.umaxLow)
  if (leastOverflows === mostOverflows) {
    out.uminHigh = uminHigh
    out.uminLow = uminLow
    out.umaxHigh = umaxHigh
    out.umaxLow = umaxLow
  }
  const sminLow = (a.sminLow + b.sminLow) | 0
  const sminHigh = (a.sminHigh + b.sminHigh + carry(a.sminLow, sminLow)) | 0
  const smaxLow = (a.smaxLow + b.smaxLow) | 0
  const smaxHigh = (a.smaxHigh + b.smaxHigh + carry(a.smaxLow, smaxLow)) | 0
  const overflows = ((a.sminHigh ^ sminHigh) & (b.sminHigh ^ sminHigh)) < 0 ||
    ((a.smaxHigh ^ smaxHigh) & (b.smaxHigh ^ smaxHigh)) < 0
  if (overflows) return
  out.sminHigh = sminHigh
  out.sminLow = sminLow
  out.smaxHigh = smaxHigh
  out.smaxLow = smaxLow
}

const addLow = (out: Scalar, a: Scalar, b: Scalar): void => {
  const least = (a.lowUmin + b.lowUmin) | 0
  const most = (a.lowUmax + b.lowUmax) | 0
  if (isBelow(least, a.lowUmin) === isBelow(most, a.lowUmax)) {
    out.lowUmin = least
    out.lowUmax = most
  }
  const smallest = a.lowSmin + b.lowSmin
  const largest = a.lowSmax + b.lowSmax
  if (smallest !== (smallest | 0) || largest !== (largest | 0)) return
  out.lowSmin = smallest
  out.lowSmax = largest
}

const subtractWide = (out: Scalar, a: Scalar, b: Scalar): void => {
  const leastUnderflows = isBelowWide(a.uminHigh, a.uminLow, b.umaxHigh, b.umaxLow)
  const mostUnderflows = isBelowWide(a.umaxHigh, a.umaxLow, b.uminHigh, b.uminLow)
  if (leastUnderflows === mostUnderflows) {
    out.uminLow = (a.uminLow - b.umaxLow) | 0
    out.uminHigh = (a.uminHigh - b.umaxHigh - borrow(a.uminLow, b.umaxLow)) | 0
    out.umaxLow = (a.umaxLow - b.uminLow) | 0
    out.umaxHigh = (a.umaxHigh - b.uminHigh - borrow(a.umaxLow, b.uminLow)) | 0
  }
  const sminLow = (a.sminLow - b.smaxLow) | 0
  const sminHigh = (a.sminHigh - b.smaxHigh - borrow(a.sminLow, b.smaxLow)) | 0
  const smaxLow = (a.smaxLow - b.sminLow) | 0
  const smaxHigh = (a.smaxHigh - b.sminHigh - borrow(a.smaxLow, b.sminLow)) | 0
  const overflows = ((a.sminHigh ^ b.smaxHigh) & (a.sminHigh ^ sminHigh)) < 0 ||
    ((a.smaxHigh ^ b.sminHigh) & (a.smaxHigh ^ smaxHigh)) < 0
  if (overflows) return
  out.sminHigh = sminHigh
  out.sminLow = sminLow
  out.smaxHigh = smaxHigh
  out.smaxLow = smaxLow
}

const subtractLow = (out: Scalar, a: Scalar, b: Scalar): void => {
  if (isBelow(a.lowUmin, b.lowUmax) === isBelow(a.lowUmax, b.lowUmin)) {
    out.lowUmin = (a.lowUmin - b.lowUmax) | 0
    out.lowUmax = (a.lowUmax - b.lowUmin) | 0
  }
  const smallest = a.lowSmin - b.lowSmax
  const largest = a.lowSmax - b.lowSmin
  if (smallest !== (smallest | 0) || largest !== (largest | 0)) return
  out.lowSmin = smallest
  out.lowSmax = largest
}

// ---------------------------------------------------------------- products

/** The bits of a product, by halves of what is known of the second (tnum_mul, since 6.18). */
const multiplyBits = (out: Scalar, a: Scalar, b: Scalar): void => {
  let [valueHigh, valueLow, maskHigh, maskLow] = [a.valueHigh, a.valueLow, a.maskHigh, a.maskLow]
  const shifted = new Scalar()
  shifted.valueHigh = b.valueHigh
  shifted.valueLow = b.valueLow
  shifted.maskHigh = b.maskHigh
  shifted.maskLow = b.maskLow
  const sum = new Scalar()
  out.valueHigh =
    out.valueLow =
    out.maskHigh =
    out.maskLow =
      0
  while ((valueHigh | valueLow | maskHigh | maskLow) !== 0) {
    if ((valueLow & 1) !== 0) addBits(out, out, shifted)
    else if ((maskLow & 1) !== 0) {
      addBits(sum, out, shifted)
      // Either of both.
      const eitherHigh = (out.valueHigh ^ sum.valueHigh) | out.maskHigh | sum.maskHigh
      const eitherLow = (out.valueLow ^ sum.valueLow) | out.maskLow | sum.maskLow
      out.valueHigh &= sum.valueHigh & ~eitherHigh
      out.valueLow &= sum.valueLow & ~eitherLow
      out.maskHigh = eitherHigh
      out.maskLow = eitherLow
    }
    valueLow = (valueLow >>> 1) | (valueHigh << 31)
    valueHigh >>>= 1
    maskLow = (maskLow >>> 1) | (maskHigh << 31)
    maskHigh >>>= 1
    shifted.valueHigh = (shifted.valueHigh << 1) | (shifted.valueLow >>> 31)
    shifted.valueLow <<= 1
    shifted.maskHigh = (shifted.maskHigh << 1) | (shifted.maskLow >>> 31)
    shifted.maskLow <<= 1
  }
}

const high = (value: bigint): number => Number(BigInt.asIntN(32, value >> 32n))
const low = (value: bigint): number => Number(BigInt.asIntN(32, value))
const product = (a: bigint, b: bigint): bigint => a * b
const least = (values: ReadonlyArray<bigint>): bigint => values.reduce((a, b) => a < b ? a : b)
const most = (values: ReadonlyArray<bigint>): bigint => values.reduce((a, b) => a > b ? a : b)

const MOST_SIGNED = 2n ** 63n - 1n
const LEAST_SIGNED = -(2n ** 63n)
const MOST_UNSIGNED = 2n ** 64n - 1n
/** Products of no more than these are exact in JavaScript's numbers. */
const EXACT_FACTOR = 2 ** 26

const multiplyWide = (out: Scalar, a: Scalar, b: Scalar): void => {
  if (umax(a) <= EXACT_FACTOR && umax(b) <= EXACT_FACTOR) {
    const from = (a.uminLow >>> 0) * (b.uminLow >>> 0)
    const to = (a.umaxLow >>> 0) * (b.umaxLow >>> 0)
    out.uminHigh = out.sminHigh = Math.floor(from / TWO_32)
    out.uminLow = out.sminLow = from | 0
    out.umaxHigh = out.smaxHigh = Math.floor(to / TWO_32)
    out.umaxLow = out.smaxLow = to | 0
    return
  }
  const [x, y] = [exact(a), exact(b)]
  const products = [
    product(x.smin, y.smin),
    product(x.smin, y.smax),
    product(x.smax, y.smin),
    product(x.smax, y.smax)
  ]
  const [smallest, largest] = [least(products), most(products)]
  if (smallest >= LEAST_SIGNED && largest <= MOST_SIGNED) {
    out.sminHigh = high(smallest)
    out.sminLow = low(smallest)
    out.smaxHigh = high(largest)
    out.smaxLow = low(largest)
  }
  if (product(x.umax, y.umax) > MOST_UNSIGNED) return
  out.uminHigh = high(product(x.umin, y.umin))
  out.uminLow = low(product(x.umin, y.umin))
  out.umaxHigh = high(product(x.umax, y.umax))
  out.umaxLow = low(product(x.umax, y.umax))
}

const multiplyLow = (out: Scalar, a: Scalar, b: Scalar): void => {
  // Products of 32 bits that are inexact as numbers are too large anyway.
  const products = [
    a.lowSmin * b.lowSmin,
    a.lowSmin * b.lowSmax,
    a.lowSmax * b.lowSmin,
    a.lowSmax * b.lowSmax
  ]
  const smallest = Math.min(...products)
  const largest = Math.max(...products)
  if (smallest === (smallest | 0) && largest === (largest | 0)) {
    out.lowSmin = smallest | 0
    out.lowSmax = largest | 0
  }
  if ((a.lowUmax >>> 0) * (b.lowUmax >>> 0) >= TWO_32) return
  out.lowUmin = Math.imul(a.lowUmin, b.lowUmin)
  out.lowUmax = Math.imul(a.lowUmax, b.lowUmax)
}

// ---------------------------------------------------------------- quotients and remainders (since 7.0)

const divideWide = (out: Scalar, a: Scalar, b: Scalar): void => {
  const [x, y] = [exact(a), exact(b)]
  const to = y.umin === 0n ? x.umax : x.umax / y.umin
  out.umaxHigh = high(to)
  out.umaxLow = low(to)
}

const divideLow = (out: Scalar, a: Scalar, b: Scalar): void => {
  out.lowUmax = b.lowUmin === 0 ? a.lowUmax : Math.floor((a.lowUmax >>> 0) / (b.lowUmin >>> 0)) | 0
}

/** Modulo zero gives the dividend. */
const moduloWide = (out: Scalar, a: Scalar, b: Scalar): void => {
  const [x, y] = [exact(a), exact(b)]
  const to = y.umin === 0n || x.umax < y.umax ? x.umax : y.umax - 1n
  out.umaxHigh = high(to)
  out.umaxLow = low(to)
}

const moduloLow = (out: Scalar, a: Scalar, b: Scalar): void => {
  out.lowUmax = b.lowUmin === 0 || isBelow(a.lowUmax, b.lowUmax) ? a.lowUmax : (b.lowUmax - 1) | 0
}

// ---------------------------------------------------------------- bits

const andBits = (out: Scalar, a: Scalar, b: Scalar): void => {
  out.valueHigh = a.valueHigh & b.valueHigh
  out.valueLow = a.valueLow & b.valueLow
  out.maskHigh = (a.valueHigh | a.maskHigh) & (b.valueHigh | b.maskHigh) & ~out.valueHigh
  out.maskLow = (a.valueLow | a.maskLow) & (b.valueLow | b.maskLow) & ~out.valueLow
}

const orBits = (out: Scalar, a: Scalar, b: Scalar): void => {
  out.valueHigh = a.valueHigh | b.valueHigh
  out.valueLow = a.valueLow | b.valueLow
  out.maskHigh = (a.maskHigh | b.maskHigh) & ~out.valueHigh
  out.maskLow = (a.maskLow | b.maskLow) & ~out.valueLow
}

const xorBits = (out: Scalar, a: Scalar, b: Scalar): void => {
  out.maskHigh = a.maskHigh | b.maskHigh
  out.maskLow = a.maskLow | b.maskLow
  out.valueHigh = (a.valueHigh ^ b.valueHigh) & ~out.maskHigh
  out.valueLow = (a.valueLow ^ b.valueLow) & ~out.maskLow
}

// ---------------------------------------------------------------- shifts

/** What may shift its top bit out is known no more; of signs, only that of a whole low half (__scalar64_min_max_lsh). */
const shiftLeftWide = (out: Scalar, a: Scalar, by: number): void => {
  shiftBitsLeft(out, a, by)
  if (by === 32) {
    out.sminHigh = a.lowSmin
    out.sminLow = 0
    out.smaxHigh = a.lowSmax
    out.smaxLow = 0
  }
  // No more than 2^(63 - by).
  const [limitHigh, limitLow] = by <= 31 ? [(LOWEST >>> by) | 0, 0] : [0, (LOWEST >>> (by - 32)) | 0]
  if (isBelowWide(limitHigh, limitLow, a.umaxHigh, a.umaxLow)) return
  out.uminHigh = leftHigh(a.uminHigh, a.uminLow, by)
  out.uminLow = leftLow(a.uminLow, by)
  out.umaxHigh = leftHigh(a.umaxHigh, a.umaxLow, by)
  out.umaxLow = leftLow(a.umaxLow, by)
}

const leftHigh = (high: number, low: number, by: number): number =>
  by === 0 ? high : by < 32 ? (high << by) | (low >>> (32 - by)) : low << (by - 32)
const leftLow = (low: number, by: number): number => by < 32 ? low << by : 0
const rightHigh = (high: number, by: number): number => by < 32 ? (high >>> by) | 0 : 0
const rightLow = (high: number, low: number, by: number): number =>
  by === 0 ? low : by < 32 ? (low >>> by) | (high << (32 - by)) : (high >>> (by - 32)) | 0
const signedHigh = (high: number, by: number): number => by < 32 ? high >> by : high >> 31
const signedLow = (high: number, low: number, by: number): number =>
  by === 0 ? low : by < 32 ? (low >>> by) | (high << (32 - by)) : high >> (by - 32)

const shiftBitsLeft = (out: Scalar, a: Scalar, by: number): void => {
  out.valueHigh = leftHigh(a.valueHigh, a.valueLow, by)
  out.valueLow = leftLow(a.valueLow, by)
  out.maskHigh = leftHigh(a.maskHigh, a.maskLow, by)
  out.maskLow = leftLow(a.maskLow, by)
}

const shiftRightWide = (out: Scalar, a: Scalar, by: number): void => {
  out.valueHigh = rightHigh(a.valueHigh, by)
  out.valueLow = rightLow(a.valueHigh, a.valueLow, by)
  out.maskHigh = rightHigh(a.maskHigh, by)
  out.maskLow = rightLow(a.maskHigh, a.maskLow, by)
  out.uminHigh = rightHigh(a.uminHigh, by)
  out.uminLow = rightLow(a.uminHigh, a.uminLow, by)
  out.umaxHigh = rightHigh(a.umaxHigh, by)
  out.umaxLow = rightLow(a.umaxHigh, a.umaxLow, by)
}

const shiftArithmeticWide = (out: Scalar, a: Scalar, by: number): void => {
  out.valueHigh = signedHigh(a.valueHigh, by)
  out.valueLow = signedLow(a.valueHigh, a.valueLow, by)
  out.maskHigh = signedHigh(a.maskHigh, by)
  out.maskLow = signedLow(a.maskHigh, a.maskLow, by)
  out.sminHigh = signedHigh(a.sminHigh, by)
  out.sminLow = signedLow(a.sminHigh, a.sminLow, by)
  out.smaxHigh = signedHigh(a.smaxHigh, by)
  out.smaxLow = signedLow(a.smaxHigh, a.smaxLow, by)
}

/** A shift of the low half. What is above is not known until it is zeroed. */
const shiftLow = (out: Scalar, operation: number, a: Scalar, by: number): void => {
  switch (operation) {
    case alu.BPF_LSH:
      out.valueLow = a.valueLow << by
      out.maskLow = a.maskLow << by
      // No more than 2^(31 - by).
      if (isBelow(LOWEST >>> by, a.lowUmax)) return
      out.lowUmin = a.lowUmin << by
      out.lowUmax = a.lowUmax << by
      return
    case alu.BPF_RSH:
      out.valueLow = (a.valueLow >>> by) | 0
      out.maskLow = (a.maskLow >>> by) | 0
      out.lowUmin = (a.lowUmin >>> by) | 0
      out.lowUmax = (a.lowUmax >>> by) | 0
      return
    default:
      out.valueLow = a.valueLow >> by
      out.maskLow = a.maskLow >> by
      out.lowSmin = a.lowSmin >> by
      out.lowSmax = a.lowSmax >> by
  }
}

const shifted = (operation: number, bits: Bits, a: Scalar, b: Scalar): Scalar => {
  const isKnown = bits === 64
    ? b.uminHigh === 0 && b.umaxHigh === 0 && b.uminLow === b.umaxLow && isBelow(b.umaxLow, 64)
    : b.lowUmin === b.lowUmax && isBelow(b.lowUmax, 32)
  if (!isKnown) return bits === 64 ? unknown : zeroExtended(unknown)
  const by = bits === 64 ? b.uminLow : b.lowUmin
  const out = new Scalar()
  if (bits === 32) {
    shiftLow(out, operation, a, by)
    return zeroExtended(settle(out))
  }
  if (operation === alu.BPF_LSH) shiftLeftWide(out, a, by)
  else if (operation === alu.BPF_RSH) shiftRightWide(out, a, by)
  else shiftArithmeticWide(out, a, by)
  return settle(out)
}

// ---------------------------------------------------------------- all operations

/** The result of two numbers that are known. */
const knownResult = (operation: number, bits: Bits, a: Scalar, b: Scalar): Scalar => {
  if (operation === alu.BPF_ADD) {
    const low = (a.valueLow + b.valueLow) | 0
    return constantOf(bits === 32 ? 0 : (a.valueHigh + b.valueHigh + carry(a.valueLow, low)) | 0, low)
  }
  if (operation === alu.BPF_SUB) {
    const high = bits === 32 ? 0 : (a.valueHigh - b.valueHigh - borrow(a.valueLow, b.valueLow)) | 0
    return constantOf(high, (a.valueLow - b.valueLow) | 0)
  }
  const [x, y] = [BigInt.asUintN(bits, exact(a).value), BigInt.asUintN(bits, exact(b).value)]
  return constant(BigInt.asUintN(bits, knownBig(operation, bits, x, y)))
}

const knownBig = (operation: number, bits: Bits, a: bigint, b: bigint): bigint => {
  const by = b & BigInt(bits - 1)
  switch (operation) {
    case alu.BPF_MUL:
      return a * b
    case alu.BPF_DIV:
      return b === 0n ? 0n : a / b
    case alu.BPF_MOD:
      return b === 0n ? a : a % b
    case alu.BPF_LSH:
      return a << by
    case alu.BPF_RSH:
      return a >> by
    case alu.BPF_ARSH:
      return BigInt.asIntN(bits, a) >> by
    case alu.BPF_AND:
      return a & b
    case alu.BPF_OR:
      return a | b
    default:
      return a ^ b
  }
}

/** The result of an operation on two numbers. In 32 bits the upper half becomes zero. */
export const arithmetic = (operation: number, bits: Bits, a: Scalar, b: Scalar): Scalar => {
  if (isConstantIn(a, bits) && isConstantIn(b, bits)) return knownResult(operation, bits, a, b)
  const out = new Scalar()
  switch (operation) {
    case alu.BPF_LSH:
    case alu.BPF_RSH:
    case alu.BPF_ARSH:
      return shifted(operation, bits, a, b)
    case alu.BPF_ADD:
      addBits(out, a, b)
      addLow(out, a, b)
      addWide(out, a, b)
      break
    case alu.BPF_SUB:
      subtractBits(out, a, b)
      subtractLow(out, a, b)
      subtractWide(out, a, b)
      break
    case alu.BPF_MUL:
      multiplyBits(out, a, b)
      multiplyLow(out, a, b)
      multiplyWide(out, a, b)
      break
    case alu.BPF_DIV:
      if (bits === 64) divideWide(out, a, b)
      else divideLow(out, a, b)
      break
    case alu.BPF_MOD:
      if (bits === 64) moduloWide(out, a, b)
      else moduloLow(out, a, b)
      break
    case alu.BPF_AND:
      andBits(out, a, b)
      out.umaxHigh = a.umaxHigh
      out.umaxLow = a.umaxLow
      lowerUmax(out, b.umaxHigh, b.umaxLow)
      out.lowUmax = a.lowUmax
      lowerLowUmax(out, b.lowUmax)
      break
    case alu.BPF_OR:
      orBits(out, a, b)
      out.uminHigh = a.uminHigh
      out.uminLow = a.uminLow
      raiseUmin(out, b.uminHigh, b.uminLow)
      out.lowUmin = a.lowUmin
      raiseLowUmin(out, b.lowUmin)
      break
    default:
      xorBits(out, a, b)
  }
  if (bits === 64) return settle(out)
  forgetWide(out)
  return zeroExtended(settle(out))
}
