// Writes ELF64 files by hand, of either byte order, for what no compiler here would write.
import { Buffer } from "node:buffer"

export interface SectionSpec {
  readonly name: string
  readonly type: number
  readonly bytes?: Uint8Array
  readonly size?: number
  readonly flags?: number
  readonly address?: bigint
  readonly link?: number
  readonly info?: number
  readonly alignment?: number
  readonly entrySize?: number
}

export interface SegmentSpec {
  readonly type: number
  readonly flags?: number
  readonly address: bigint
  /** The section whose bytes it has. */
  readonly section: string
  readonly memorySize?: bigint
  readonly alignment?: bigint
}

export interface FileSpec {
  readonly byteOrder: "little" | "big"
  readonly type?: number
  readonly machine?: number
  readonly sections?: ReadonlyArray<SectionSpec>
  readonly segments?: ReadonlyArray<SegmentSpec>
  /** Numbers stand in the first section, as if they had no room in the header. */
  readonly extended?: boolean
}

/** Writes numbers in one byte order. */
export class Writer {
  private readonly parts: Array<Buffer> = []
  length = 0
  private readonly little: boolean

  constructor(byteOrder: "little" | "big") {
    this.little = byteOrder === "little"
  }

  bytes(bytes: Uint8Array): this {
    this.parts.push(Buffer.from(bytes))
    this.length += bytes.length
    return this
  }
  u8(...values: ReadonlyArray<number>): this {
    return this.bytes(Uint8Array.from(values))
  }
  u16(...values: ReadonlyArray<number>): this {
    for (const value of values) {
      const part = Buffer.alloc(2)
      if (this.little) part.writeUInt16LE(value)
      else part.writeUInt16BE(value)
      this.bytes(part)
    }
    return this
  }
  u32(...values: ReadonlyArray<number>): this {
    for (const value of values) {
      const part = Buffer.alloc(4)
      if (this.little) part.writeUInt32LE(value)
      else part.writeUInt32BE(value)
      this.bytes(part)
    }
    return this
  }
  u64(...values: ReadonlyArray<bigint | number>): this {
    for (const value of values) {
      const part = Buffer.alloc(8)
      const wrapped = BigInt.asUintN(64, BigInt(value))
      if (this.little) part.writeBigUInt64LE(wrapped)
      else part.writeBigUInt64BE(wrapped)
      this.bytes(part)
    }
    return this
  }
  align(to: number): this {
    while (this.length % to !== 0) this.u8(0)
    return this
  }
  done(): Uint8Array<ArrayBuffer> {
    return new Uint8Array(Buffer.concat(this.parts))
  }
}

/** A string table, and where each text is in it. */
export const stringTable = (texts: ReadonlyArray<string>): { bytes: Uint8Array; at: (text: string) => number } => {
  const offsets = new Map([["", 0]])
  const parts = [Buffer.from([0])]
  let length = 1
  for (const text of texts) {
    if (offsets.has(text)) continue
    offsets.set(text, length)
    const part = Buffer.from(`${text}\0`)
    parts.push(part)
    length += part.length
  }
  return { bytes: Buffer.concat(parts), at: (text) => offsets.get(text)! }
}

/** The bytes of a file. Sections keep their order, from 1 on; their names come last. */
export const elfFile = (spec: FileSpec): Uint8Array<ArrayBuffer> => {
  const sections: ReadonlyArray<SectionSpec> = [...spec.sections ?? [], { name: ".shstrtab", type: 3 }]
  const names = stringTable(sections.map(({ name }) => name))
  const content = sections.map((one) => one.name === ".shstrtab" ? names.bytes : one.bytes ?? new Uint8Array(0))
  const segments = spec.segments ?? []
  const segmentsAt = segments.length === 0 ? 0 : 64
  const offsets: Array<number> = []
  let at = 64 + 56 * segments.length
  for (const bytes of content) {
    at = Math.ceil(at / 8) * 8
    offsets.push(at)
    at += bytes.length
  }
  const sectionsAt = Math.ceil(at / 8) * 8
  const count = sections.length + 1
  const { extended = false } = spec

  const writer = new Writer(spec.byteOrder)
  writer.u8(0x7f, 0x45, 0x4c, 0x46, 2, spec.byteOrder === "little" ? 1 : 2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0)
  writer.u16(spec.type ?? 1, spec.machine ?? 247).u32(1).u64(0x1234, segmentsAt, sectionsAt).u32(0)
  writer.u16(64, 56, extended ? 0xffff : segments.length, 64, extended ? 0 : count, extended ? 0xffff : count - 1)
  for (const segment of segments) {
    const index = sections.findIndex(({ name }) => name === segment.section)
    const size = content[index]!.length
    writer.u32(segment.type, segment.flags ?? 4).u64(offsets[index]!, segment.address, segment.address)
    writer.u64(size, segment.memorySize ?? size, segment.alignment ?? 8)
  }
  for (const [index, bytes] of content.entries()) {
    while (writer.length < offsets[index]!) writer.u8(0)
    writer.bytes(bytes)
  }
  writer.align(8)
  writer.u32(0, 0).u64(0, 0, 0, extended ? count : 0)
  writer.u32(extended ? count - 1 : 0, extended ? segments.length : 0).u64(0, 0)
  for (const [index, one] of sections.entries()) {
    writer.u32(names.at(one.name), one.type).u64(one.flags ?? 0, one.address ?? 0n, offsets[index]!)
    writer.u64(one.size ?? content[index]!.length).u32(one.link ?? 0, one.info ?? 0)
    writer.u64(one.alignment ?? 1, one.entrySize ?? 0)
  }
  return writer.done()
}

export interface SymbolSpec {
  readonly name: string
  readonly value: bigint
  readonly size: bigint
  readonly type: number
  readonly binding: number
  readonly visibility: number
  readonly section: number
}

/** A table of symbols and its strings, as sections; the first is at `index`. */
export const symbolSections = (
  byteOrder: "little" | "big",
  symbols: ReadonlyArray<SymbolSpec>,
  index: number,
  kind: "symtab" | "dynsym" = "symtab"
): ReadonlyArray<SectionSpec> => {
  const strings = stringTable(symbols.map(({ name }) => name))
  const writer = new Writer(byteOrder).bytes(new Uint8Array(24))
  for (const { binding, name, section, size, type, value, visibility } of symbols) {
    writer.u32(strings.at(name)).u8(binding * 16 + type, visibility).u16(section).u64(value, size)
  }
  return [
    { name: `.${kind}`, type: kind === "symtab" ? 2 : 11, bytes: writer.done(), link: index + 1, entrySize: 24 },
    { name: kind === "symtab" ? ".strtab" : ".dynstr", type: 3, bytes: strings.bytes }
  ]
}
