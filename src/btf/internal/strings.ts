// A BTF's string section: NUL-terminated names at offsets that types refer to.
import { Buffer } from "node:buffer"

const encoder = new TextEncoder()
const utf8 = new TextDecoder("utf-8", { ignoreBOM: true })
const strict = new TextDecoder("utf-8", { ignoreBOM: true, fatal: true })

/** Longer names than any kernel takes (KSYM_NAME_LEN is 512) are read by way of the text that they end. */
const LONG = 512
/** How many bytes of a name tell its place in an index: what n types cost does not depend on how long their names are. */
const HASHED = 128

/** A name that is looked for: its bytes, and their hash. */
export interface Wanted {
  readonly bytes: Uint8Array
  readonly length: number
  readonly hash: number
}

let scratch = new Uint8Array(256)

/** The hash of the name at an offset. */
export const hashOf = (bytes: Uint8Array, start: number): number => {
  let hash = 0x811c9dc5
  const end = start + HASHED
  for (let at = start; at < end; at++) {
    const byte = bytes[at]
    if (byte === 0 || byte === undefined) break
    hash = Math.imul(hash ^ byte, 0x01000193)
  }
  return hash ^ (hash >>> 15)
}

/** The bytes of a name to look for, valid until the next call. */
export const want = (name: string): Wanted => {
  const { length } = name
  if (length < scratch.length) {
    let at = 0
    for (; at < length; at++) {
      const code = name.charCodeAt(at)
      if (code > 0x7f) break
      scratch[at] = code
    }
    if (at === length) {
      scratch[length] = 0
      return { bytes: scratch, length, hash: hashOf(scratch, 0) }
    }
  }
  const bytes = encoder.encode(`${name}\0`)
  return { bytes, length: bytes.length - 1, hash: hashOf(bytes, 0) }
}

/** A stretch of more than `LONG` bytes without NUL, decoded once; names are cut from it, as types may share it. */
interface LongText {
  readonly start: number
  readonly end: number
  readonly text: string
  /** The index in `text` of the character at each byte; `undefined` where each byte is one. */
  readonly indices: Uint32Array | undefined
}

export class Strings {
  readonly bytes: Uint8Array
  private readonly buffer: Buffer
  private long: ReadonlyArray<LongText> | undefined

  constructor(bytes: Uint8Array) {
    this.bytes = bytes
    this.buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  }

  hashAt(offset: number): number {
    return hashOf(this.bytes, offset)
  }

  /** Whether the name at an offset is this one. Its end is looked at first: of names that end alike few are compared. */
  equals(offset: number, wanted: Wanted): boolean {
    const { bytes } = this
    const { length } = wanted
    if (bytes[offset + length] !== 0) return false
    const name = wanted.bytes
    for (let i = 0; i < length; i++) if (bytes[offset + i] !== name[i]) return false
    return true
  }

  at(offset: number): string {
    const { bytes } = this
    const limit = Math.min(bytes.length, offset + LONG)
    let end = offset
    let all = 0
    for (; end < limit; end++) {
      const byte = bytes[end]!
      if (byte === 0) break
      all |= byte
    }
    if (end === limit && end < bytes.length) return this.longAt(offset)
    return all < 0x80 ? this.buffer.toString("latin1", offset, end) : utf8.decode(bytes.subarray(offset, end))
  }

  private longAt(offset: number): string {
    const all = this.long ??= this.findLong()
    let low = 0
    let high = all.length - 1
    while (low < high) {
      const middle = (low + high + 1) >> 1
      if (all[middle]!.start <= offset) low = middle
      else high = middle - 1
    }
    const { indices, start, text } = all[low]!
    return text.slice(indices === undefined ? offset - start : indices[offset - start])
  }

  private findLong(): ReadonlyArray<LongText> {
    const found: Array<LongText> = []
    for (let start = 0; start < this.bytes.length;) {
      const nul = this.bytes.indexOf(0, start)
      const end = nul < 0 ? this.bytes.length : nul
      if (end - start > LONG) found.push(this.longText(start, end))
      start = end + 1
    }
    return found
  }

  private longText(start: number, end: number): LongText {
    const bytes = this.bytes.subarray(start, end)
    if (!bytes.some((byte) => byte > 0x7f)) {
      return { start, end, text: this.buffer.toString("latin1", start, end), indices: undefined }
    }
    let text: string
    try {
      text = strict.decode(bytes)
    } catch {
      // No text at all: a byte is a character, which keeps names of the same bytes the same.
      return { start, end, text: this.buffer.toString("latin1", start, end), indices: undefined }
    }
    const indices = new Uint32Array(bytes.length)
    let index = -1
    for (const [at, byte] of bytes.entries()) {
      if ((byte & 0xc0) !== 0x80) index++
      indices[at] = index
      if (byte >= 0xf0) index++ // two UTF-16 units
    }
    return { start, end, text, indices }
  }

  /**
   * Every offset at which this name can be read, as names may end alike in the section; `undefined` where there are more than
   * `most`. A search of the engine's own: far faster than a look at each name.
   */
  offsetsOf(wanted: Wanted, most: number): Array<number> | undefined {
    const text = wanted.bytes.subarray(0, wanted.length + 1)
    const found: Array<number> = []
    for (let at = this.buffer.indexOf(text); at >= 0; at = this.buffer.indexOf(text, at + 1)) {
      if (found.length === most) return undefined
      found.push(at)
    }
    return found
  }

  /** The offsets at which names end that hold these bytes; in the order of the section. */
  *namesWith(part: string): Generator<string> {
    for (let at = this.buffer.indexOf(part, 0, "latin1"); at >= 0; at = this.buffer.indexOf(part, at, "latin1")) {
      const start = this.buffer.lastIndexOf(0, at) + 1
      const nul = this.buffer.indexOf(0, at)
      const end = nul < 0 ? this.buffer.length : nul
      yield this.at(start)
      at = end
    }
  }
}
