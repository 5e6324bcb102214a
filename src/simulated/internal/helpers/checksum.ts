// The Internet checksum in ones' complement, as include/net/checksum.h keeps it: 32 bits until it is folded to 16.
import { viewOf } from "../memory.ts"

const add = (a: number, b: number): number => {
  const sum = a + b
  return sum > 0xffffffff ? (sum + 1) >>> 0 : sum
}

const subtract = (a: number, b: number): number => add(a, ~b >>> 0)

/** csum_partial(): what is left behind the last 4 bytes is filled up with zeros. */
const partial = (bytes: Uint8Array, seed: number): number => {
  const view = viewOf(bytes)
  let sum = seed >>> 0
  for (let at = 0; at + 4 <= bytes.length; at += 4) sum = add(sum, view.getUint32(at, true))
  let rest = 0
  for (let at = bytes.length & ~3, shift = 0; at < bytes.length; at++, shift += 8) rest |= bytes[at]! << shift
  sum = add(sum, rest >>> 0)
  return sum
}

/** csum_fold(): 16 bits, complemented. */
const fold = (sum: number): number => {
  const once = (sum & 0xffff) + (sum >>> 16)
  return ~(once + (once >>> 16)) & 0xffff
}

/** csum_from32to16(): 16 bits as they are; what bpf_csum_diff() gives since kernel 6.13. */
const narrow = (sum: number): number => {
  const both = add(sum, ((sum << 16) | (sum >>> 16)) >>> 0)
  return both >>> 16
}

/** bpf_csum_diff() */
export const difference = (from: Uint8Array, to: Uint8Array, seed: number): number => {
  if (from.length > 0 && to.length > 0) return narrow(subtract(partial(to, seed), partial(from, 0)))
  if (to.length > 0) return narrow(partial(to, seed))
  return narrow(from.length > 0 ? ~partial(from, ~seed >>> 0) >>> 0 : seed >>> 0)
}

/** csum16_add() */
export const add16 = (a: number, b: number): number => {
  const sum = a + b
  return (sum & 0xffff) + (sum >>> 16)
}

/** csum_replace4() */
export const replace = (checksum: number, from: number, to: number): number =>
  fold(add(subtract(~checksum & 0xffff, from >>> 0), to >>> 0))

/** csum_replace_by_diff() */
export const replaceByDifference = (checksum: number, change: number): number =>
  fold(add(change >>> 0, ~checksum & 0xffff))
