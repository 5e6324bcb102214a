// A string table: NUL-terminated names, of which one may be the end of another.
import { Buffer } from "node:buffer"

const utf8 = new TextDecoder("utf-8", { ignoreBOM: true })

/** Names up to this length are read by themselves; longer ones by way of all the text, as many symbols may share one. */
const LONG = 512

/** A whole table as text, a character for each byte, and where its names end. */
interface AllText {
  readonly text: string
  readonly ends: ReadonlyArray<number>
}

export class Strings {
  private readonly bytes: Buffer
  private all: AllText | undefined

  constructor(bytes: Uint8Array) {
    this.bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  }

  get length(): number {
    return this.bytes.length
  }

  /**
   * The name at an offset; `undefined` beyond the table. A name of over 512 bytes is given byte for byte, shorter ones are
   * UTF-8. What all names of a table cost grows with the table and their number, and not with what they share.
   */
  at(offset: number): string | undefined {
    const { bytes } = this
    if (offset >= bytes.length) return undefined
    const limit = Math.min(bytes.length, offset + LONG)
    let end = offset
    let all = 0
    for (; end < limit; end++) {
      const byte = bytes[end]!
      if (byte === 0) break
      all |= byte
    }
    if (end === limit && end < bytes.length) return this.longAt(offset)
    return all < 0x80 ? bytes.toString("latin1", offset, end) : utf8.decode(bytes.subarray(offset, end))
  }

  private longAt(offset: number): string {
    const { ends, text } = this.all ??= this.read()
    let low = 0
    let high = ends.length - 1
    while (low < high) {
      const middle = (low + high) >> 1
      if (ends[middle]! < offset) low = middle + 1
      else high = middle
    }
    // A slice that V8 makes without a copy.
    return text.slice(offset, ends[low])
  }

  private read(): AllText {
    const { bytes } = this
    const ends: Array<number> = []
    for (let end = bytes.indexOf(0); end >= 0; end = bytes.indexOf(0, end + 1)) ends.push(end)
    if (ends.at(-1) !== bytes.length - 1) ends.push(bytes.length)
    return { text: bytes.toString("latin1", 0, bytes.length), ends }
  }
}
