// Bits in bytes: bit n is in byte n / 8.
const SHIFT = 3
const WITHIN = 7

/** The byte that a bit is in. */
export const byteOf = (bit: number): number => bit >>> SHIFT

/** A bit's place in its byte, from the lowest. */
export const placeIn = (bit: number): number => bit & WITHIN

/** A bit's place in its byte, from the highest, as bits of a network's address are counted. */
export const placeFromTop = (bit: number): number => WITHIN - placeIn(bit)
