// Numbers of which only some bits are known ("tristate numbers", kernel/bpf/tnum.c): a bit of `mask` is unknown, and the
// others are those of `value`. All are 64 bits wide.

export interface Tnum {
  readonly value: bigint
  readonly mask: bigint
}

export const U64 = 2n ** 64n - 1n
export const u64 = (value: bigint): bigint => BigInt.asUintN(64, value)

const make = (value: bigint, mask: bigint): Tnum => ({ value: u64(value) & ~mask, mask })

export const known = (value: bigint): Tnum => ({ value: u64(value), mask: 0n })
export const unknown: Tnum = { value: 0n, mask: U64 }

const widthOf = (value: bigint): number => value === 0n ? 0 : value.toString(2).length

/** What all numbers from `minimum` to `maximum` have in common. */
export const range = (minimum: bigint, maximum: bigint): Tnum => {
  const bits = widthOf(minimum ^ maximum)
  const mask = (1n << BigInt(bits)) - 1n
  return make(minimum & ~mask, mask)
}

export const shiftLeft = ({ mask, value }: Tnum, by: bigint): Tnum => ({
  value: u64(value << by),
  mask: u64(mask << by)
})
export const shiftRight = ({ mask, value }: Tnum, by: bigint): Tnum => ({ value: value >> by, mask: mask >> by })

/** An arithmetic shift of a number of so many bits. */
export const shiftArithmetic = ({ mask, value }: Tnum, by: bigint, bits: number): Tnum => ({
  value: BigInt.asUintN(bits, BigInt.asIntN(bits, value) >> by),
  mask: BigInt.asUintN(bits, BigInt.asIntN(bits, mask) >> by)
})

export const add = (a: Tnum, b: Tnum): Tnum => {
  const sum = a.value + b.value
  const unsure = ((a.mask + b.mask + sum) ^ sum) | a.mask | b.mask
  return make(sum, u64(unsure))
}

export const subtract = (a: Tnum, b: Tnum): Tnum => {
  const difference = a.value - b.value
  const unsure = ((difference + a.mask) ^ (difference - b.mask)) | a.mask | b.mask
  return make(u64(difference), u64(unsure))
}

export const and = (a: Tnum, b: Tnum): Tnum => {
  const ones = a.value & b.value
  return { value: ones, mask: (a.value | a.mask) & (b.value | b.mask) & ~ones }
}

export const or = (a: Tnum, b: Tnum): Tnum => {
  const ones = a.value | b.value
  return { value: ones, mask: (a.mask | b.mask) & ~ones }
}

export const xor = (a: Tnum, b: Tnum): Tnum => make(a.value ^ b.value, a.mask | b.mask)

/** What both say. */
export const intersect = (a: Tnum, b: Tnum): Tnum => make(a.value | b.value, a.mask & b.mask)

/** The low bits alone. */
export const truncate = ({ mask, value }: Tnum, bits: number): Tnum => ({
  value: BigInt.asUintN(bits, value),
  mask: BigInt.asUintN(bits, mask)
})

/** True if every number that `b` may be is one that `a` may be. */
export const contains = (a: Tnum, b: Tnum): boolean => (b.mask & ~a.mask) === 0n && a.value === (b.value & ~a.mask)
