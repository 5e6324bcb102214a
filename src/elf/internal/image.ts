// An ELF file as it is kept: where its bytes come from, its header, and its tables of sections and segments.
import * as Result from "effect/Result"
import { elf } from "../../abi/elf.ts"
import { type ElfError, problem } from "./error.ts"
import { Strings } from "./strings.ts"

export const TypeId = "~effect-ebpf/Elf"

/** Where an ELF's bytes come from, for files of which only parts are wanted. */
export interface Source {
  /** The file's length in bytes. */
  readonly size: number
  /**
   * The bytes from an offset on, of a range that lies within `size`: fewer if the file has become shorter. They are kept, and
   * must not change. What it throws is thrown by the function that asked.
   */
  readonly read: (offset: number, length: number) => Uint8Array
  /**
   * Fills a buffer with the bytes from an offset on, and gives how many there were. With it, large tables are searched without
   * being kept.
   */
  readonly readInto?: (target: Uint8Array, offset: number) => number
}

/** A section: a named part of a file. */
export interface Section {
  readonly index: number
  readonly name: string
  /** `SHT_*`. */
  readonly type: number
  /** `SHF_*`. */
  readonly flags: number
  /** Where it is in memory; 0 in an object that was not linked. */
  readonly address: bigint
  /** Where its bytes are in the file. */
  readonly offset: number
  /** In bytes. A `SHT_NOBITS` section has them in memory only. */
  readonly size: number
  /** What section it goes with: the strings of a symbol table, the symbols of relocations. */
  readonly link: number
  /** The section that relocations are for; the first symbol that is not local. */
  readonly info: number
  readonly alignment: number
  /** The size of an entry of a table; 0 for what is none. */
  readonly entrySize: number
}

/** A segment: what is mapped, or found, at run time. */
export interface Segment {
  /** `PT_*`. */
  readonly type: number
  /** `PF_*`. */
  readonly flags: number
  readonly offset: number
  readonly address: bigint
  /** How many bytes it has in the file. */
  readonly fileSize: number
  /** How many bytes it has in memory. */
  readonly memorySize: bigint
  readonly alignment: bigint
}

/** An ELF64 file, of either byte order. */
export interface Elf {
  readonly [TypeId]: typeof TypeId
  readonly byteOrder: "little" | "big"
  /** `ET_*`: a relocatable object, a program, a shared object or position-independent program, a core dump. */
  readonly type: number
  /** `EM_*`: the processor. */
  readonly machine: number
  readonly entry: bigint
  /** The processor's own. */
  readonly flags: number
  readonly sections: ReadonlyArray<Section>
  readonly segments: ReadonlyArray<Segment>
}

const HEADER_SIZE = 64
const SECTION_SIZE = 64
const SEGMENT_SIZE = 56

/** How much of a large table is looked at at once: a multiple of 24, the size of a symbol. */
const STRETCH = 24 * 4096

/** Filled anew by each stretch: what is mapped for the first time costs more than reading. */
let scratch: Uint8Array | undefined

const shorter = (field: string, wanted: number, offset: number, there: number): ElfError =>
  problem(field, `${wanted} bytes at ${offset}`, `${there}: the file has become shorter`)

export class Image implements Elf {
  readonly [TypeId]: typeof TypeId = TypeId
  readonly byteOrder: "little" | "big"
  readonly type: number
  readonly machine: number
  readonly entry: bigint
  readonly flags: number
  readonly source: Source
  sections: ReadonlyArray<Section> = []
  segments: ReadonlyArray<Segment> = []
  /** What was read once and is kept, by what it is. */
  readonly memo = new Map<unknown, unknown>()

  constructor(source: Source, view: DataView) {
    const little = view.getUint8(elf.EI_DATA) === elf.ELFDATA2LSB
    this.source = source
    this.byteOrder = little ? "little" : "big"
    this.type = view.getUint16(16, little)
    this.machine = view.getUint16(18, little)
    this.entry = view.getBigUint64(24, little)
    this.flags = view.getUint32(48, little)
  }

  get isLittleEndian(): boolean {
    return this.byteOrder === "little"
  }

  /** Bytes of the file; `field` says for what, should they not be there. */
  bytes(field: string, offset: number, length: number): Result.Result<Uint8Array, ElfError> {
    const { size } = this.source
    if (offset + length > size) {
      return Result.fail(problem(field, `bytes within the ${size} of the file`, `${offset} to ${offset + length}`))
    }
    if (length === 0) return Result.succeed(new Uint8Array(0))
    const bytes = this.source.read(offset, length)
    return bytes.length === length
      ? Result.succeed(bytes)
      : Result.fail(shorter(field, length, offset, bytes.length))
  }

  view(field: string, offset: number, length: number): Result.Result<DataView, ElfError> {
    return Result.map(this.bytes(field, offset, length), viewOf)
  }

  /**
   * Shows a range of the file in stretches. Each begins with the last `overlap` bytes of the one before, and its length, but of
   * the last one, is a multiple of all sizes of entries. Stretches are valid inside the call.
   */
  scan(
    field: string,
    offset: number,
    length: number,
    overlap: number,
    visit: (bytes: Uint8Array, start: number) => void
  ): Result.Result<void, ElfError> {
    const { readInto, size } = this.source
    if (readInto === undefined || length <= STRETCH || overlap >= STRETCH / 2 || offset + length > size) {
      return Result.map(this.bytes(field, offset, length), (bytes) => visit(bytes, 0))
    }
    scratch ??= new Uint8Array(STRETCH)
    for (let start = 0; start < length; start += STRETCH - overlap) {
      const target = scratch.subarray(0, Math.min(STRETCH, length - start))
      const there = readInto(target, offset + start)
      if (there !== target.length) return Result.fail(shorter(field, target.length, offset + start, there))
      visit(target, start)
      if (start + target.length === length) break
    }
    return Result.succeed(undefined)
  }

  /** What is made once for this file. */
  once<A>(key: unknown, make: () => Result.Result<A, ElfError>): Result.Result<A, ElfError> {
    const known = this.memo.get(key) as Result.Result<A, ElfError> | undefined
    if (known !== undefined) return known
    const made = make()
    this.memo.set(key, made)
    return made
  }
}

export const imageOf = (file: Elf): Image => file as Image

export const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)

/** An unsigned 64-bit number, exact up to 2^53; beyond that, nothing in a file is. */
export const wide = (view: DataView, at: number, little: boolean): number => {
  const low = view.getUint32(little ? at : at + 4, little)
  const high = view.getUint32(little ? at + 4 : at, little)
  return high * 2 ** 32 + low
}

const fromBytes = (bytes: Uint8Array): Source => ({
  size: bytes.length,
  read: (offset, length) => bytes.subarray(offset, offset + length)
})

const hexadecimal = (bytes: Uint8Array): string =>
  bytes.length === 0 ? "nothing" : `bytes ${[...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join(" ")}`

const checkIdentity = (start: Uint8Array): ElfError | undefined => {
  const magic = start.subarray(0, 4)
  if (magic.length < 4 || viewOf(magic).getUint32(0) !== 0x7f454c46) {
    return problem("magic", "an ELF file, which begins with 7f 45 4c 46", hexadecimal(magic))
  }
  if (start.length < HEADER_SIZE) return problem("header", `${HEADER_SIZE} bytes`, `${start.length} bytes`)
  const bits = start[elf.EI_CLASS]!
  if (bits !== elf.ELFCLASS64) {
    return problem("class", "a 64-bit file", bits === elf.ELFCLASS32 ? "a 32-bit one" : `class ${bits}`)
  }
  const order = start[elf.EI_DATA]!
  if (order !== elf.ELFDATA2LSB && order !== elf.ELFDATA2MSB) {
    return problem("byte order", "1 (little-endian) or 2 (big-endian)", order)
  }
  const version = start[elf.EI_VERSION]!
  return version === elf.EV_CURRENT ? undefined : problem("version", `${elf.EV_CURRENT}`, version)
}

/** A table of the header: where it is, how many entries it has, how large they are. */
interface Table {
  readonly field: string
  readonly offset: number
  readonly count: number
  readonly entrySize: number
  readonly least: number
}

const tableView = (image: Image, table: Table): Result.Result<DataView, ElfError> => {
  const { count, entrySize, field, least, offset } = table
  if (count === 0) return Result.succeed(viewOf(new Uint8Array(0)))
  if (entrySize < least) return Result.fail(problem(`${field} entry size`, `at least ${least} bytes`, entrySize))
  return image.view(field, offset, count * entrySize)
}

/** A section without its name, which is in another one. */
const decodeSection = (view: DataView, index: number, at: number, little: boolean): Section => ({
  index,
  name: "",
  type: view.getUint32(at + 4, little),
  flags: wide(view, at + 8, little),
  address: view.getBigUint64(at + 16, little),
  offset: wide(view, at + 24, little),
  size: wide(view, at + 32, little),
  link: view.getUint32(at + 40, little),
  info: view.getUint32(at + 44, little),
  alignment: wide(view, at + 48, little),
  entrySize: wide(view, at + 56, little)
})

const decodeSegment = (view: DataView, at: number, little: boolean): Segment => ({
  type: view.getUint32(at, little),
  flags: view.getUint32(at + 4, little),
  offset: wide(view, at + 8, little),
  address: view.getBigUint64(at + 16, little),
  fileSize: wide(view, at + 32, little),
  memorySize: view.getBigUint64(at + 40, little),
  alignment: view.getBigUint64(at + 48, little)
})

const readSections = (image: Image, header: DataView): Result.Result<ReadonlyArray<Section>, ElfError> =>
  Result.gen(function*() {
    const little = image.isLittleEndian
    const offset = wide(header, 40, little)
    if (offset === 0) return []
    const field = "section headers"
    const entrySize = header.getUint16(58, little)
    const least = SECTION_SIZE
    // Numbers that have no room in the header are in the first section, which is none.
    const first = decodeSection(yield* tableView(image, { field, offset, count: 1, entrySize, least }), 0, 0, little)
    const count = header.getUint16(60, little) || first.size
    const nameIndex = header.getUint16(62, little)
    const names = nameIndex === elf.SHN_XINDEX ? first.link : nameIndex
    const view = yield* tableView(image, { field, offset, count, entrySize, least })
    const raw = Array.from({ length: count }, (_, index) => decodeSection(view, index, index * entrySize, little))
    if (names === elf.SHN_UNDEF) return raw
    const table = raw[names]
    if (table === undefined) return yield* Result.fail(problem("section names", `a section below ${count}`, names))
    const strings = new Strings(yield* image.bytes("section names", table.offset, table.size))
    const sections: Array<Section> = []
    for (const section of raw) {
      const nameOffset = view.getUint32(section.index * entrySize, little)
      const name = strings.at(nameOffset)
      if (name === undefined && section.type !== elf.SHT_NULL) {
        return yield* Result.fail(
          problem(`section ${section.index} name`, `an offset below ${strings.length}`, nameOffset)
        )
      }
      sections.push({ ...section, name: name ?? "" })
    }
    return sections
  })

const readSegments = (image: Image, header: DataView): Result.Result<ReadonlyArray<Segment>, ElfError> =>
  Result.gen(function*() {
    const little = image.isLittleEndian
    const offset = wide(header, 32, little)
    if (offset === 0) return []
    const entrySize = header.getUint16(54, little)
    let count = header.getUint16(56, little)
    if (count === elf.PN_XNUM) {
      const at = wide(header, 40, little)
      count = decodeSection(yield* image.view("section headers", at, SECTION_SIZE), 0, 0, little).info
    }
    const view = yield* tableView(image, { field: "program headers", offset, count, entrySize, least: SEGMENT_SIZE })
    return Array.from({ length: count }, (_, index) => decodeSegment(view, index * entrySize, little))
  })

export const parseImage = (input: Uint8Array | Source): Result.Result<Image, ElfError> =>
  Result.gen(function*() {
    const source = input instanceof Uint8Array ? fromBytes(input) : input
    const start = source.read(0, Math.min(HEADER_SIZE, source.size))
    const wrong = checkIdentity(start)
    if (wrong !== undefined) return yield* Result.fail(wrong)
    const header = viewOf(start)
    const image = new Image(source, header)
    image.sections = yield* readSections(image, header)
    image.segments = yield* readSegments(image, header)
    return image
  })
