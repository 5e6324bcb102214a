// What is known of a number in a register: its bits ("tristate numbers", kernel/bpf/tnum.c), and its bounds read as signed
// and unsigned, in 64 bits and in the low 32. The rules are those of kernel/bpf/verifier.c, so that what it can prove is
// proved here too.
//
// Numbers of 64 bits stand as two halves of 32 signed bits each: V8 keeps those in the object itself, where each BigInt
// would be an object of its own. A path of a million instructions makes some million of these.

const LOWEST = -0x80000000
const HIGHEST = 0x7fffffff
const TWO_32 = 2 ** 32

/** All numbers are written once, by what makes it; afterwards it does not change. */
export class Scalar {
  /** The bits that are known to be set, and those that are not known. */
  valueHigh = 0
  valueLow = 0
  maskHigh = -1
  maskLow = -1
  uminHigh = 0
  uminLow = 0
  umaxHigh = -1
  umaxLow = -1
  sminHigh = LOWEST
  sminLow = 0
  smaxHigh = HIGHEST
  smaxLow = -1
  /** Bounds of the low half. */
  lowUmin = 0
  lowUmax = -1
  lowSmin = LOWEST
  lowSmax = HIGHEST
}

export type Bits = 32 | 64

export const unknown: Scalar = new Scalar()

/** A number that is known, by its halves. */
export const constantOf = (high: number, low: number): Scalar => {
  const out = new Scalar()
  out.valueHigh =
    out.uminHigh =
    out.umaxHigh =
    out.sminHigh =
    out.smaxHigh =
      high
  out.valueLow =
    out.uminLow =
    out.umaxLow =
    out.sminLow =
    out.smaxLow =
      low
  out.lowUmin =
    out.lowUmax =
    out.lowSmin =
    out.lowSmax =
      low
  out.maskHigh = out.maskLow = 0
  return out
}

export const constant = (value: bigint): Scalar =>
  constantOf(Number(BigInt.asIntN(32, value >> 32n)), Number(BigInt.asIntN(32, value)))

/** A number of 32 bits, its sign extended, such as an immediate. */
export const small = (value: number): Scalar => constantOf(value >> 31, value)

/** A copy to be written. */
export const copyOf = (a: Scalar): Scalar => {
  const out = new Scalar()
  out.valueHigh = a.valueHigh
  out.valueLow = a.valueLow
  out.maskHigh = a.maskHigh
  out.maskLow = a.maskLow
  out.uminHigh = a.uminHigh
  out.uminLow = a.uminLow
  out.umaxHigh = a.umaxHigh
  out.umaxLow = a.umaxLow
  out.sminHigh = a.sminHigh
  out.sminLow = a.sminLow
  out.smaxHigh = a.smaxHigh
  out.smaxLow = a.smaxLow
  out.lowUmin = a.lowUmin
  out.lowUmax = a.lowUmax
  out.lowSmin = a.lowSmin
  out.lowSmax = a.lowSmax
  return out
}

export const isConstant = (a: Scalar): boolean => (a.maskHigh | a.maskLow) === 0
export const isConstantIn = (a: Scalar, bits: Bits): boolean => a.maskLow === 0 && (bits === 32 || a.maskHigh === 0)

/** True for a number that is known to be 0. */
export const isZero = (a: Scalar): boolean => (a.maskHigh | a.maskLow | a.valueHigh | a.valueLow) === 0

// ---------------------------------------------------------------- as JavaScript's numbers

const signedOf = (high: number, low: number): number => high * TWO_32 + (low >>> 0)
const unsignedOf = (high: number, low: number): number => (high >>> 0) * TWO_32 + (low >>> 0)

/** The bounds as numbers, exact up to 2^53: enough to compare with what memory has. */
export const smin = (a: Scalar): number => signedOf(a.sminHigh, a.sminLow)
export const smax = (a: Scalar): number => signedOf(a.smaxHigh, a.smaxLow)
export const umin = (a: Scalar): number => unsignedOf(a.uminHigh, a.uminLow)
export const umax = (a: Scalar): number => unsignedOf(a.umaxHigh, a.umaxLow)
/** The known bits, read as a signed number, exact up to 2^53: the number itself where it is known. */
export const valueOf = (a: Scalar): number => signedOf(a.valueHigh, a.valueLow)

const wide = (high: number, low: number): bigint => (BigInt(high) << 32n) | BigInt(low >>> 0)

/** All that is known, exactly: for logs, and for what is computed seldom. */
export const exact = (a: Scalar) => ({
  value: BigInt.asUintN(64, wide(a.valueHigh, a.valueLow)),
  mask: BigInt.asUintN(64, wide(a.maskHigh, a.maskLow)),
  umin: BigInt.asUintN(64, wide(a.uminHigh, a.uminLow)),
  umax: BigInt.asUintN(64, wide(a.umaxHigh, a.umaxLow)),
  smin: wide(a.sminHigh, a.sminLow),
  smax: wide(a.smaxHigh, a.smaxLow)
})

// ---------------------------------------------------------------- comparing halves

export const isBelow = (a: number, b: number): boolean => (a >>> 0) < (b >>> 0)
export const isBelowWide = (high: number, low: number, otherHigh: number, otherLow: number): boolean =>
  high === otherHigh ? isBelow(low, otherLow) : isBelow(high, otherHigh)
export const isLessWide = (high: number, low: number, otherHigh: number, otherLow: number): boolean =>
  high === otherHigh ? isBelow(low, otherLow) : high < otherHigh

/** Raises or lowers a bound, if that tells more. */
export const raiseUmin = (s: Scalar, high: number, low: number): void => {
  if (!isBelowWide(s.uminHigh, s.uminLow, high, low)) return
  s.uminHigh = high
  s.uminLow = low
}
export const lowerUmax = (s: Scalar, high: number, low: number): void => {
  if (!isBelowWide(high, low, s.umaxHigh, s.umaxLow)) return
  s.umaxHigh = high
  s.umaxLow = low
}
export const raiseSmin = (s: Scalar, high: number, low: number): void => {
  if (!isLessWide(s.sminHigh, s.sminLow, high, low)) return
  s.sminHigh = high
  s.sminLow = low
}
export const lowerSmax = (s: Scalar, high: number, low: number): void => {
  if (!isLessWide(high, low, s.smaxHigh, s.smaxLow)) return
  s.smaxHigh = high
  s.smaxLow = low
}
export const raiseLowUmin = (s: Scalar, low: number): void => {
  if (isBelow(s.lowUmin, low)) s.lowUmin = low
}
export const lowerLowUmax = (s: Scalar, low: number): void => {
  if (isBelow(low, s.lowUmax)) s.lowUmax = low
}
export const raiseLowSmin = (s: Scalar, low: number): void => {
  if (s.lowSmin < low) s.lowSmin = low
}
export const lowerLowSmax = (s: Scalar, low: number): void => {
  if (low < s.lowSmax) s.lowSmax = low
}

// ---------------------------------------------------------------- forgetting

/** Forgets the bounds of 64 bits. */
export const forgetWide = (s: Scalar): void => {
  forgetUnsigned(s)
  forgetSigned(s)
}
export const forgetUnsigned = (s: Scalar): void => {
  s.uminHigh = s.uminLow = 0
  s.umaxHigh = s.umaxLow = -1
}
export const forgetSigned = (s: Scalar): void => {
  s.sminHigh = LOWEST
  s.sminLow = 0
  s.smaxHigh = HIGHEST
  s.smaxLow = -1
}
/** Forgets the bounds of the low half. */
export const forgetLow = (s: Scalar): void => {
  s.lowUmin = 0
  s.lowUmax = -1
  s.lowSmin = LOWEST
  s.lowSmax = HIGHEST
}

// ---------------------------------------------------------------- settling

/** Learns bounds from bits (__update_reg_bounds). */
const fromBits = (s: Scalar): void => {
  const { maskHigh, maskLow, valueHigh, valueLow } = s
  raiseSmin(s, valueHigh | (maskHigh & LOWEST), valueLow)
  lowerSmax(s, valueHigh | (maskHigh & HIGHEST), valueLow | maskLow)
  raiseUmin(s, valueHigh, valueLow)
  lowerUmax(s, valueHigh | maskHigh, valueLow | maskLow)
  raiseLowSmin(s, valueLow | (maskLow & LOWEST))
  lowerLowSmax(s, valueLow | (maskLow & HIGHEST))
  raiseLowUmin(s, valueLow)
  lowerLowUmax(s, valueLow | maskLow)
}

/** Learns each reading's bounds from the other's (__reg64_deduce_bounds). */
const acrossSigns = (s: Scalar): void => {
  if (!isLessWide(s.umaxHigh, s.umaxLow, s.uminHigh, s.uminLow)) {
    raiseSmin(s, s.uminHigh, s.uminLow)
    lowerSmax(s, s.umaxHigh, s.umaxLow)
  }
  if (!isBelowWide(s.smaxHigh, s.smaxLow, s.sminHigh, s.sminLow)) {
    raiseUmin(s, s.sminHigh, s.sminLow)
    lowerUmax(s, s.smaxHigh, s.smaxLow)
  } else if (isBelowWide(s.umaxHigh, s.umaxLow, s.sminHigh, s.sminLow)) {
    s.sminHigh = s.uminHigh
    s.sminLow = s.uminLow
    lowerUmax(s, s.smaxHigh, s.smaxLow)
  } else if (isBelowWide(s.smaxHigh, s.smaxLow, s.uminHigh, s.uminLow)) {
    s.smaxHigh = s.umaxHigh
    s.smaxLow = s.umaxLow
    raiseUmin(s, s.sminHigh, s.sminLow)
  }
}

/** The same of the low half. */
const acrossLowSigns = (s: Scalar): void => {
  if (s.lowUmin <= s.lowUmax) {
    raiseLowSmin(s, s.lowUmin)
    lowerLowSmax(s, s.lowUmax)
  }
  if (!isBelow(s.lowSmax, s.lowSmin)) {
    raiseLowUmin(s, s.lowSmin)
    lowerLowUmax(s, s.lowSmax)
  } else if (isBelow(s.lowUmax, s.lowSmin)) {
    s.lowSmin = s.lowUmin
    lowerLowUmax(s, s.lowSmax)
  } else if (isBelow(s.lowSmax, s.lowUmin)) {
    s.lowSmax = s.lowUmax
    raiseLowUmin(s, s.lowSmin)
  }
}

const learnLow = (s: Scalar, from: number, to: number): void => {
  if (!isBelow(to, from)) {
    raiseLowUmin(s, from)
    lowerLowUmax(s, to)
  }
  if (from <= to) {
    raiseLowSmin(s, from)
    lowerLowSmax(s, to)
  }
}

/** Learns of the low half from the whole (__reg32_deduce_bounds). */
const lowFromWide = (s: Scalar): void => {
  if (s.uminHigh === s.umaxHigh) learnLow(s, s.uminLow, s.umaxLow)
  if (s.sminHigh === s.smaxHigh) learnLow(s, s.sminLow, s.smaxLow)
  if (((s.sminHigh + 1) | 0) === s.smaxHigh && s.sminLow < 0 && s.smaxLow >= 0) {
    raiseLowSmin(s, s.sminLow)
    lowerLowSmax(s, s.smaxLow)
  }
}

/** Learns of the whole from its low half (__reg_deduce_mixed_bounds). */
const wideFromLow = (s: Scalar): void => {
  if (isBelow(s.uminLow, s.lowUmin)) s.uminLow = s.lowUmin
  if (isBelow(s.lowUmax, s.umaxLow)) s.umaxLow = s.lowUmax
  if (isBelow(s.sminLow, s.lowUmin)) s.sminLow = s.lowUmin
  if (isBelow(s.lowUmax, s.smaxLow)) s.smaxLow = s.lowUmax
  const isSmall = !isLessWide(s.sminHigh, s.sminLow, -1, LOWEST) && !isLessWide(0, HIGHEST, s.smaxHigh, s.smaxLow)
  if (isSmall) {
    raiseSmin(s, s.lowSmin >> 31, s.lowSmin)
    lowerSmax(s, s.lowSmax >> 31, s.lowSmax)
  }
}

/** The bits from the highest one that is set down: what numbers that differ in these do not have in common. */
const fill = (differing: number): number => differing === 0 ? 0 : (-1 >>> Math.clz32(differing)) | 0

/** Learns bits from bounds (__reg_bound_offset). */
const bitsFromBounds = (s: Scalar): void => {
  const high = fill(s.uminHigh ^ s.umaxHigh)
  const low = high === 0 ? fill(s.uminLow ^ s.umaxLow) : -1
  const setHigh = s.valueHigh | (s.uminHigh & ~high)
  const setLow = s.valueLow | (s.uminLow & ~low)
  s.maskHigh &= high
  s.maskLow &= low
  s.valueHigh = setHigh & ~s.maskHigh
  s.valueLow = setLow & ~s.maskLow
  const lowest = fill(s.lowUmin ^ s.lowUmax)
  s.maskLow &= lowest
  s.valueLow = (s.valueLow | (s.lowUmin & ~lowest)) & ~s.maskLow
}

/** Works out all that follows from the bits and bounds together (reg_bounds_sync), in place. */
export const settle = (s: Scalar): Scalar => {
  fromBits(s)
  for (let i = 0; i < 3; i++) {
    lowFromWide(s)
    acrossLowSigns(s)
    acrossSigns(s)
    wideFromLow(s)
  }
  // Contradictory bounds come from branches that are never taken: any values will do, but they must not be worse.
  const isContradictory = isBelowWide(s.umaxHigh, s.umaxLow, s.uminHigh, s.uminLow) ||
    isLessWide(s.smaxHigh, s.smaxLow, s.sminHigh, s.sminLow) || isBelow(s.lowUmax, s.lowUmin) || s.lowSmax < s.lowSmin
  if (isContradictory) {
    forgetWide(s)
    forgetLow(s)
    return s
  }
  bitsFromBounds(s)
  fromBits(s)
  return s
}

// ---------------------------------------------------------------- making

/** A number of which only bits are known. */
export const ofBitPattern = (valueHigh: number, valueLow: number, maskHigh: number, maskLow: number): Scalar => {
  const out = new Scalar()
  out.valueHigh = valueHigh
  out.valueLow = valueLow
  out.maskHigh = maskHigh
  out.maskLow = maskLow
  return settle(out)
}

const masked = (bits: number): Scalar =>
  bits > 32
    ? ofBitPattern(0, 0, fill(1 << (bits - 33)), -1)
    : ofBitPattern(0, 0, 0, fill(1 << (bits - 1)))
const byBits: ReadonlyArray<Scalar> = Array.from({ length: 65 }, (_, bits) => bits === 0 ? small(0) : masked(bits))

/** A number with only its low bits set. */
export const ofBits = (bits: number): Scalar => byBits[Math.min(bits, 64)]!

/** A number between these, signed, of less than 2^53. */
export const between = (least: number, most: number): Scalar => {
  const out = new Scalar()
  out.sminHigh = Math.floor(least / TWO_32) | 0
  out.sminLow = least | 0
  out.smaxHigh = Math.floor(most / TWO_32) | 0
  out.smaxLow = most | 0
  return settle(out)
}

/** What is left of a number when its upper half is zeroed (zext_32_to_64). */
export const zeroExtended = (a: Scalar): Scalar => {
  if (a.maskLow === 0) return constantOf(0, a.valueLow)
  const out = copyOf(a)
  out.valueHigh = out.maskHigh = 0
  out.uminHigh =
    out.umaxHigh =
    out.sminHigh =
    out.smaxHigh =
      0
  out.uminLow = out.sminLow = a.lowUmin
  out.umaxLow = out.smaxLow = a.lowUmax
  return settle(out)
}

/** The sign extension of the low bits. */
export const signExtended = (a: Scalar, bits: number): Scalar => {
  if (isConstant(a)) return bits === 32 ? small(a.valueLow) : small((a.valueLow << (32 - bits)) >> (32 - bits))
  if (bits === 32) {
    const out = copyOf(a)
    out.valueHigh = out.valueLow = 0
    out.maskHigh = out.maskLow = -1
    forgetUnsigned(out)
    out.sminHigh = a.lowSmin >> 31
    out.sminLow = a.lowSmin
    out.smaxHigh = a.lowSmax >> 31
    out.smaxLow = a.lowSmax
    return settle(out)
  }
  const half = 2 ** (bits - 1)
  return smin(a) >= -half && smax(a) < half ? a : between(-half, half - 1)
}

/** True if every value of `b` is one of `a`. */
export const contains = (a: Scalar, b: Scalar): boolean =>
  a === b ||
  (!isBelowWide(b.uminHigh, b.uminLow, a.uminHigh, a.uminLow) &&
    !isBelowWide(a.umaxHigh, a.umaxLow, b.umaxHigh, b.umaxLow) &&
    !isLessWide(b.sminHigh, b.sminLow, a.sminHigh, a.sminLow) &&
    !isLessWide(a.smaxHigh, a.smaxLow, b.smaxHigh, b.smaxLow) &&
    !isBelow(b.lowUmin, a.lowUmin) && !isBelow(a.lowUmax, b.lowUmax) &&
    b.lowSmin >= a.lowSmin && b.lowSmax <= a.lowSmax &&
    (b.maskHigh & ~a.maskHigh) === 0 && (b.maskLow & ~a.maskLow) === 0 &&
    a.valueHigh === (b.valueHigh & ~a.maskHigh) && a.valueLow === (b.valueLow & ~a.maskLow))
