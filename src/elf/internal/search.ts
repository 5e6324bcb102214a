// Looks a name up in tables of many megabytes, a stretch at a time: fresh memory for all of them costs more than reading.
import { Buffer } from "node:buffer"
import * as Result from "effect/Result"
import type { ElfError } from "./error.ts"
import type { Image, Section } from "./image.ts"
import { fieldOf } from "./sections.ts"

/** A place for each byte: how far a search may go on when a stretch ends with it. */
const BYTES = 256

/**
 * Every place in a string table where this name stands, in ascending order: the ends of longer names are among them. Horspool's
 * search, which looks at one byte in as many as the name is long.
 */
export const offsetsOf = (
  image: Image,
  strings: Section,
  name: string
): Result.Result<ReadonlyArray<number>, ElfError> => {
  const wanted = Buffer.from(`${name}\0`)
  const last = wanted.length - 1
  const steps = new Int32Array(BYTES).fill(wanted.length)
  for (let i = 0; i < last; i++) steps[wanted[i]!] = last - i
  const found: Array<number> = []
  const scanned = image.scan(fieldOf(strings), strings.offset, strings.size, last, (bytes, start) => {
    for (let end = last; end < bytes.length;) {
      const byte = bytes[end]!
      if (byte === 0) {
        let at = last - 1
        while (at >= 0 && bytes[end - last + at] === wanted[at]) at--
        if (at < 0) found.push(start + end - last)
      }
      end += steps[byte]!
    }
  })
  return Result.map(scanned, () => found)
}

const isHostLittle = new Uint8Array(Uint32Array.of(1).buffer)[0] === 1

/** The indices of the entries of a table, each of `size` bytes and beginning with a 32-bit number, in which it is one of these. */
export const indicesWith = (
  image: Image,
  table: Section,
  size: number,
  numbers: ReadonlyArray<number>
): Result.Result<ReadonlyArray<number>, ElfError> => {
  const found: Array<number> = []
  if (numbers.length === 0) return Result.succeed(found)
  const wanted = new Set(numbers)
  const little = image.isLittleEndian
  const only = numbers.length === 1 ? numbers[0] : undefined
  const inWords = (words: Uint32Array, first: number): void => {
    const step = size / 4
    for (let at = 0, index = first; at < words.length; at += step, index++) {
      const number = words[at]!
      if (only === undefined ? wanted.has(number) : number === only) found.push(index)
    }
  }
  const scanned = image.scan(fieldOf(table), table.offset, table.size, 0, (bytes, start) => {
    const first = start / size
    if (little === isHostLittle && bytes.byteOffset % 4 === 0) {
      return inWords(new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length >> 2), first)
    }
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    for (let at = 0; at + 4 <= bytes.length; at += size) {
      if (wanted.has(view.getUint32(at, little))) found.push(first + at / size)
    }
  })
  return Result.map(scanned, () => found)
}
