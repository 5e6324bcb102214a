// What is known of a number in a register: its bits, and its bounds read as signed and unsigned, in 64 bits and in the low
// 32. The rules are those of kernel/bpf/verifier.c, so that what it can prove is proved here too.
import { alu } from "../../../isa/opcodes.ts"
import * as Tnum from "./tnum.ts"

/** Bounds of a reading of so many bits. */
interface Bounds {
  smin: bigint
  smax: bigint
  umin: bigint
  umax: bigint
}

export interface Scalar {
  readonly tnum: Tnum.Tnum
  readonly wide: Readonly<Bounds>
  readonly low: Readonly<Bounds>
}

type Bits = 32 | 64

const LOWEST = { 32: -(2n ** 31n), 64: -(2n ** 63n) } as const
const HIGHEST = { 32: 2n ** 31n - 1n, 64: 2n ** 63n - 1n } as const
const MOST = { 32: 2n ** 32n - 1n, 64: 2n ** 64n - 1n } as const
const SIGN = { 32: 2n ** 31n, 64: 2n ** 63n } as const
const UPPER = MOST[64] ^ MOST[32]

const min = (a: bigint, b: bigint): bigint => a < b ? a : b
const max = (a: bigint, b: bigint): bigint => a > b ? a : b
const signed = (bits: Bits, value: bigint): bigint => BigInt.asIntN(bits, value)
const unsigned = (bits: Bits, value: bigint): bigint => BigInt.asUintN(bits, value)

const anything = (bits: Bits): Bounds => ({ smin: LOWEST[bits], smax: HIGHEST[bits], umin: 0n, umax: MOST[bits] })
const exactly = (bits: Bits, value: bigint): Bounds => {
  const s = signed(bits, value)
  const u = unsigned(bits, value)
  return { smin: s, smax: s, umin: u, umax: u }
}

export const unknown: Scalar = { tnum: Tnum.unknown, wide: anything(64), low: anything(32) }

export const constant = (value: bigint): Scalar => ({
  tnum: Tnum.known(value),
  wide: exactly(64, value),
  low: exactly(32, value)
})

/** A number with only its low bits set. */
export const ofBits = (bits: number): Scalar =>
  bits >= 64 ? unknown : settle(Tnum.truncate(Tnum.unknown, bits), anything(64), anything(32))

/** A number of which only bits are known. */
export const ofTnum = (tnum: Tnum.Tnum): Scalar => settle(tnum, anything(64), anything(32))

/** A number between these, signed. */
export const between = (smin: bigint, smax: bigint): Scalar =>
  settle(Tnum.unknown, { ...anything(64), smin, smax }, anything(32))

export const isConstant = ({ tnum }: Scalar): boolean => tnum.mask === 0n
export const isConstantIn = ({ tnum }: Scalar, bits: Bits): boolean => unsigned(bits, tnum.mask) === 0n

const fromBits = (bits: Bits, tnum: Tnum.Tnum, b: Bounds): void => {
  const { mask, value } = Tnum.truncate(tnum, bits)
  b.smin = max(b.smin, signed(bits, value | (mask & SIGN[bits])))
  b.smax = min(b.smax, signed(bits, value | (mask & ~SIGN[bits])))
  b.umin = max(b.umin, value)
  b.umax = min(b.umax, value | mask)
}

/** Learns each reading's bounds from the other's. */
const acrossSigns = (bits: Bits, b: Bounds): void => {
  if (signed(bits, b.umin) <= signed(bits, b.umax)) {
    b.smin = max(b.smin, signed(bits, b.umin))
    b.smax = min(b.smax, signed(bits, b.umax))
  }
  if (unsigned(bits, b.smin) <= unsigned(bits, b.smax)) {
    b.umin = max(b.umin, unsigned(bits, b.smin))
    b.umax = min(b.umax, unsigned(bits, b.smax))
  } else if (b.umax < unsigned(bits, b.smin)) {
    b.smin = signed(bits, b.umin)
    b.umax = min(b.umax, unsigned(bits, b.smax))
  } else if (unsigned(bits, b.smax) < b.umin) {
    b.smax = signed(bits, b.umax)
    b.umin = max(b.umin, unsigned(bits, b.smin))
  }
}

const lowFromWide = (wide: Bounds, low: Bounds): void => {
  const learnUnsigned = (from: bigint, to: bigint): void => {
    if (unsigned(32, from) > unsigned(32, to)) return
    low.umin = max(low.umin, unsigned(32, from))
    low.umax = min(low.umax, unsigned(32, to))
  }
  const learnSigned = (from: bigint, to: bigint): void => {
    if (signed(32, from) > signed(32, to)) return
    low.smin = max(low.smin, signed(32, from))
    low.smax = min(low.smax, signed(32, to))
  }
  if (wide.umin >> 32n === wide.umax >> 32n) {
    learnUnsigned(wide.umin, wide.umax)
    learnSigned(wide.umin, wide.umax)
  }
  if (wide.smin >> 32n === wide.smax >> 32n) {
    learnUnsigned(wide.smin, wide.smax)
    learnSigned(wide.smin, wide.smax)
  }
  const crosses = (wide.smin >> 32n) + 1n === wide.smax >> 32n
  if (crosses && signed(32, wide.smin) < 0n && signed(32, wide.smax) >= 0n) learnSigned(wide.smin, wide.smax)
}

const wideFromLow = (wide: Bounds, low: Bounds): void => {
  wide.umin = max(wide.umin, (wide.umin & UPPER) | low.umin)
  wide.umax = min(wide.umax, (wide.umax & UPPER) | low.umax)
  wide.smin = max(wide.smin, signed(64, (unsigned(64, wide.smin) & UPPER) | low.umin))
  wide.smax = min(wide.smax, signed(64, (unsigned(64, wide.smax) & UPPER) | low.umax))
  if (wide.smin >= LOWEST[32] && wide.smax <= HIGHEST[32]) {
    wide.smin = max(wide.smin, low.smin)
    wide.smax = min(wide.smax, low.smax)
  }
}

const LOW_MOST = 0xffffffff

/** The bits that numbers from `minimum` to `maximum`, of 32 bits, do not have in common. */
const unsureBits = (minimum: number, maximum: number): number => {
  const differ = (minimum ^ maximum) >>> 0
  return differ === 0 ? 0 : LOW_MOST >>> Math.clz32(differ)
}

/**
 * As `settle` for what lies between 0 and 2^32 - 1, which most numbers do: in JavaScript's own numbers, many times
 * faster. `undefined` where that is not so, or where the low half's sign tells something.
 */
const settleSmall = (
  tnum: Tnum.Tnum,
  wide: Readonly<Bounds>,
  low: Readonly<Bounds>
): Scalar | undefined => {
  const isSmall = wide.umax <= MOST[32] || (wide.smin >= 0n && wide.smax <= MOST[32]) ||
    (tnum.value | tnum.mask) <= MOST[32]
  if (!isSmall) return undefined
  const hasSign = low.smin !== LOWEST[32] || low.smax !== HIGHEST[32]
  if (hasSign && low.smin < 0n) return undefined
  const bits = Number(tnum.value & MOST[32])
  const unsure = Number(tnum.mask & MOST[32])
  let from = Math.max(Number(wide.umin), Number(wide.smin), Number(low.umin), bits)
  let to = Math.min(Number(wide.umax), Number(wide.smax), Number(low.umax), (bits | unsure) >>> 0)
  if (hasSign) {
    from = Math.max(from, Number(low.smin))
    to = Math.min(to, Number(low.smax))
  }
  if (from > to || to > LOW_MOST) return undefined
  // The bits that all numbers between have in common are known.
  const spread = unsureBits(from, to)
  const known = (~unsure | ~spread) >>> 0
  const value = ((bits & ~unsure) | (from & ~spread)) & known
  const mask = ~known >>> 0
  from = Math.max(from, value >>> 0)
  to = Math.min(to, (value | mask) >>> 0)
  const umin = BigInt(from)
  const umax = to === from ? umin : BigInt(to)
  const bounds = { smin: umin, smax: umax, umin, umax }
  const isPositive = to <= 0x7fffffff
  return {
    tnum: { value: BigInt(value >>> 0), mask: BigInt(mask) },
    wide: bounds,
    low: isPositive ? bounds : from > 0x7fffffff
      ? { smin: BigInt(from | 0), smax: BigInt(to | 0), umin, umax }
      : { smin: LOWEST[32], smax: HIGHEST[32], umin, umax }
  }
}

/** All that follows from the bits and bounds together (reg_bounds_sync). */
const settle = (tnum: Tnum.Tnum, wideBounds: Readonly<Bounds>, lowBounds: Readonly<Bounds>): Scalar => {
  const small = settleSmall(tnum, wideBounds, lowBounds)
  if (small !== undefined) return small
  const wide = { ...wideBounds }
  const low = { ...lowBounds }
  fromBits(64, tnum, wide)
  fromBits(32, tnum, low)
  for (let i = 0; i < 3; i++) {
    lowFromWide(wide, low)
    acrossSigns(32, low)
    acrossSigns(64, wide)
    wideFromLow(wide, low)
  }
  // Contradictory bounds come from branches that are never taken: any values will do, but they must not be worse.
  if (wide.umin > wide.umax || low.umin > low.umax || wide.smin > wide.smax || low.smin > low.smax) {
    return { tnum, wide: anything(64), low: anything(32) }
  }
  const wideBits = Tnum.intersect(tnum, Tnum.range(wide.umin, wide.umax))
  const lowBits = Tnum.intersect(Tnum.truncate(wideBits, 32), Tnum.range(low.umin, low.umax))
  const bits = {
    value: (wideBits.value & UPPER) | lowBits.value,
    mask: (wideBits.mask & UPPER) | lowBits.mask
  }
  fromBits(64, bits, wide)
  fromBits(32, bits, low)
  return { tnum: bits, wide, low }
}

/** What is left of a number when its upper half is zeroed. */
export const zeroExtended = (a: Scalar): Scalar => {
  const tnum = Tnum.truncate(a.tnum, 32)
  if (tnum.mask === 0n) return constant(tnum.value)
  return settle(tnum, { smin: a.low.umin, smax: a.low.umax, umin: a.low.umin, umax: a.low.umax }, a.low)
}

/** The sign extension of the low bits. */
export const signExtended = (a: Scalar, bits: number): Scalar => {
  if (isConstant(a)) return constant(BigInt.asIntN(bits, a.tnum.value))
  if (bits === 32) return settle(Tnum.unknown, { ...anything(64), smin: a.low.smin, smax: a.low.smax }, a.low)
  const half = 1n << BigInt(bits - 1)
  if (a.wide.smin >= -half && a.wide.smax < half) return a
  return between(-half, half - 1n)
}

// ---------------------------------------------------------------- arithmetic

const addBounds = (bits: Bits, a: Bounds, b: Bounds): Bounds => {
  const out = anything(bits)
  const smin = a.smin + b.smin
  const smax = a.smax + b.smax
  if (smin >= LOWEST[bits] && smax <= HIGHEST[bits]) Object.assign(out, { smin, smax })
  const umin = a.umin + b.umin
  const umax = a.umax + b.umax
  if (umax <= MOST[bits]) Object.assign(out, { umin, umax })
  // If both ends overflow, the range between them is whole again.
  else if (umin > MOST[bits]) Object.assign(out, { umin: unsigned(bits, umin), umax: unsigned(bits, umax) })
  return out
}

const subtractBounds = (bits: Bits, a: Bounds, b: Bounds): Bounds => {
  const out = anything(bits)
  const smin = a.smin - b.smax
  const smax = a.smax - b.smin
  if (smin >= LOWEST[bits] && smax <= HIGHEST[bits]) Object.assign(out, { smin, smax })
  const umin = a.umin - b.umax
  const umax = a.umax - b.umin
  if (umin >= 0n) Object.assign(out, { umin, umax })
  else if (umax < 0n) Object.assign(out, { umin: unsigned(bits, umin), umax: unsigned(bits, umax) })
  return out
}

const multiplyBounds = (bits: Bits, a: Bounds, b: Bounds): Bounds => {
  const out = anything(bits)
  const products = [a.smin * b.smin, a.smin * b.smax, a.smax * b.smin, a.smax * b.smax]
  const smin = products.reduce(min)
  const smax = products.reduce(max)
  if (smin >= LOWEST[bits] && smax <= HIGHEST[bits]) Object.assign(out, { smin, smax })
  if (a.umax * b.umax <= MOST[bits]) Object.assign(out, { umin: a.umin * b.umin, umax: a.umax * b.umax })
  return out
}

/** Bounds of `and`, `or` and `xor` beside what the bits tell. */
const bitwiseBounds = (operation: number, bits: Bits, a: Bounds, b: Bounds): Bounds => {
  const out = anything(bits)
  if (operation === alu.BPF_AND) out.umax = min(a.umax, b.umax)
  if (operation === alu.BPF_OR) out.umin = max(a.umin, b.umin)
  return out
}

const divideBounds = (bits: Bits, a: Bounds, b: Bounds): Bounds => ({
  ...anything(bits),
  umax: b.umin === 0n ? a.umax : a.umax / b.umin
})

/** Modulo zero gives the dividend. */
const moduloBounds = (bits: Bits, a: Bounds, b: Bounds): Bounds => ({
  ...anything(bits),
  umax: b.umin === 0n ? a.umax : min(a.umax, b.umax - 1n)
})

/** What may shift its top bit out is known no more; of signs, only that of a whole low half (__scalar64_min_max_lsh). */
const shiftLeftBounds = (bits: Bits, a: Bounds, low: Bounds, by: bigint): Bounds => {
  const out = anything(bits)
  if (bits === 64 && by === 32n) Object.assign(out, { smin: low.smin << 32n, smax: low.smax << 32n })
  if (a.umax <= 1n << (BigInt(bits) - 1n - by)) Object.assign(out, { umin: a.umin << by, umax: a.umax << by })
  return out
}

const shifted = (operation: number, bits: Bits, a: Scalar, b: Scalar): Scalar => {
  const bounds = bits === 64 ? a.wide : a.low
  const by = bits === 64 ? b.wide : b.low
  const own = bits === 64 ? a.tnum : Tnum.truncate(a.tnum, 32)
  if (by.umin !== by.umax || by.umax >= BigInt(bits)) return unknown
  const n = by.umin
  const tnum = operation === alu.BPF_LSH
    ? Tnum.shiftLeft(own, n)
    : operation === alu.BPF_RSH
    ? Tnum.shiftRight(own, n)
    : Tnum.shiftArithmetic(own, n, bits)
  const out = operation === alu.BPF_LSH
    ? shiftLeftBounds(bits, bounds, a.low, n)
    : operation === alu.BPF_RSH
    ? { ...anything(bits), umin: bounds.umin >> n, umax: bounds.umax >> n }
    : { ...anything(bits), smin: bounds.smin >> n, smax: bounds.smax >> n }
  return bits === 64 ? settle(tnum, out, anything(32)) : settle({ ...tnum, mask: tnum.mask | UPPER }, anything(64), out)
}

const tnumOf = (operation: number, a: Tnum.Tnum, b: Tnum.Tnum): Tnum.Tnum => {
  switch (operation) {
    case alu.BPF_ADD:
      return Tnum.add(a, b)
    case alu.BPF_SUB:
      return Tnum.subtract(a, b)
    case alu.BPF_AND:
      return Tnum.and(a, b)
    case alu.BPF_OR:
      return Tnum.or(a, b)
    case alu.BPF_XOR:
      return Tnum.xor(a, b)
    default:
      return Tnum.unknown
  }
}

const boundsOf = (operation: number, bits: Bits, a: Bounds, b: Bounds): Bounds => {
  switch (operation) {
    case alu.BPF_ADD:
      return addBounds(bits, a, b)
    case alu.BPF_SUB:
      return subtractBounds(bits, a, b)
    case alu.BPF_MUL:
      return multiplyBounds(bits, a, b)
    case alu.BPF_DIV:
      return divideBounds(bits, a, b)
    case alu.BPF_MOD:
      return moduloBounds(bits, a, b)
    default:
      return bitwiseBounds(operation, bits, a, b)
  }
}

const truncating = (operation: number): boolean => operation === alu.BPF_DIV || operation === alu.BPF_MOD

const known = (operation: number, bits: Bits, a: bigint, b: bigint): bigint => {
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
      return signed(bits, a) >> by
    case alu.BPF_ADD:
      return a + b
    case alu.BPF_SUB:
      return a - b
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
  if (isConstantIn(a, bits) && isConstantIn(b, bits)) {
    return constant(unsigned(bits, known(operation, bits, unsigned(bits, a.tnum.value), unsigned(bits, b.tnum.value))))
  }
  if (operation === alu.BPF_LSH || operation === alu.BPF_RSH || operation === alu.BPF_ARSH) {
    const out = shifted(operation, bits, a, b)
    return bits === 32 ? zeroExtended(out) : out
  }
  const tnum = tnumOf(operation, a.tnum, b.tnum)
  const low = bits === 64 && truncating(operation) ? anything(32) : boundsOf(operation, 32, a.low, b.low)
  if (bits === 64) return settle(tnum, boundsOf(operation, 64, a.wide, b.wide), low)
  return zeroExtended(settle(tnum, anything(64), low))
}

// ---------------------------------------------------------------- comparisons

/** Bounds by comparison: what is left of a number that is at most or at least another. */
export const narrowed = (
  a: Scalar,
  bits: Bits,
  with_: Partial<Bounds>,
  tnum?: Tnum.Tnum
): Scalar => {
  // A number that is known is not known better; where it would be another, no path leads.
  if (isConstant(a)) return a
  const own = bits === 64 ? a.wide : a.low
  const bounds = {
    smin: max(own.smin, with_.smin ?? own.smin),
    smax: min(own.smax, with_.smax ?? own.smax),
    umin: max(own.umin, with_.umin ?? own.umin),
    umax: min(own.umax, with_.umax ?? own.umax)
  }
  const bitsKnown = tnum === undefined ? a.tnum : Tnum.intersect(a.tnum, tnum)
  return bits === 64 ? settle(bitsKnown, bounds, a.low) : settle(bitsKnown, a.wide, bounds)
}

/** True if every value of `b` is one of `a`. */
export const contains = (a: Scalar, b: Scalar): boolean =>
  a.wide.umin <= b.wide.umin && a.wide.umax >= b.wide.umax && a.wide.smin <= b.wide.smin &&
  a.wide.smax >= b.wide.smax && a.low.umin <= b.low.umin && a.low.umax >= b.low.umax &&
  a.low.smin <= b.low.smin && a.low.smax >= b.low.smax && Tnum.contains(a.tnum, b.tnum)
