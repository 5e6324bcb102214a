// Symbols: names for addresses. A file may have two tables: all symbols, which `strip` removes, and those that are linked at
// run time.
import * as Result from "effect/Result"
import { elf } from "../../abi/elf.ts"
import { type ElfError, problem } from "./error.ts"
import { type Elf, type Image, imageOf, type Section, viewOf } from "./image.ts"
import { indicesWith, offsetsOf } from "./search.ts"
import { data, fieldOf, linkedStrings, sectionOfType, stringSection } from "./sections.ts"
import { readVersions, type Version, type Versions } from "./versions.ts"

/** Which table of symbols: all of them (`.symtab`), or those that are linked at run time (`.dynsym`). */
export type SymbolTable = "symtab" | "dynsym"

/** A symbol: a name for a place. */
export interface ElfSymbol {
  readonly table: SymbolTable
  readonly index: number
  readonly name: string
  /** An address; in an object that was not linked, an offset in its section. */
  readonly value: bigint
  /** In bytes; 0 where it is not known. */
  readonly size: bigint
  /** `STT_*`. */
  readonly type: number
  /** `STB_*`. */
  readonly binding: number
  /** `STV_*`. */
  readonly visibility: number
  /** The section it is in, or `SHN_UNDEF`, `SHN_ABS`, `SHN_COMMON`. */
  readonly section: number
  /** The version that it has (`GLIBC_2.34`), where symbols of a shared object have versions. */
  readonly version: Version | undefined
}

const SYMBOL_SIZE = 24

/** A table of symbols, checked; entries are decoded when they are asked for. */
class Table {
  readonly image: Image
  readonly name: SymbolTable
  readonly section: Section
  readonly count: number
  /** Sections of symbols whose number has no room in the symbol. */
  private readonly wideSections: DataView | undefined
  private readonly versions: Versions | undefined

  constructor(
    image: Image,
    name: SymbolTable,
    section: Section,
    wideSections: DataView | undefined,
    versions: Versions | undefined
  ) {
    this.image = image
    this.name = name
    this.section = section
    this.count = section.size / SYMBOL_SIZE
    this.wideSections = wideSections
    this.versions = versions
  }

  private sectionAt(index: number, narrow: number): number {
    const wideSections = this.wideSections
    return narrow === elf.SHN_XINDEX && wideSections !== undefined && index * 4 + 4 <= wideSections.byteLength
      ? wideSections.getUint32(index * 4, this.image.isLittleEndian)
      : narrow
  }

  /** The symbol with an index, from its bytes. */
  decode(index: number, name: string, view: DataView, at: number): ElfSymbol {
    const little = this.image.isLittleEndian
    const info = view.getUint8(at + 4)
    return {
      table: this.name,
      index,
      name,
      value: view.getBigUint64(at + 8, little),
      size: view.getBigUint64(at + 16, little),
      type: info % TYPES,
      binding: Math.floor(info / TYPES),
      visibility: view.getUint8(at + 5) % VISIBILITIES,
      section: this.sectionAt(index, view.getUint16(at + 6, little)),
      version: this.versions?.of(index)
    }
  }

  /** All of it, kept for the next time. */
  read(): Result.Result<(index: number) => ElfSymbol, ElfError> {
    const { image, section } = this
    return image.once(this, () =>
      Result.gen(function*(this: Table) {
        const strings = yield* linkedStrings(image, section)
        const view = viewOf(yield* data(image, section))
        return (index: number) => {
          const at = index * SYMBOL_SIZE
          // A name beyond its table is none: the symbol is still one.
          const name = strings.at(view.getUint32(at, image.isLittleEndian)) ?? ""
          return this.decode(index, name, view, at)
        }
      }.bind(this)))
  }

  /** The symbols of a name, of which alone the bytes are kept. */
  named(name: string): Result.Result<ReadonlyArray<ElfSymbol>, ElfError> {
    const { image, section } = this
    return Result.gen(function*(this: Table) {
      const offsets = yield* offsetsOf(image, yield* stringSection(image, section), name)
      const found: Array<ElfSymbol> = []
      for (const index of yield* indicesWith(image, section, SYMBOL_SIZE, offsets)) {
        const view = yield* image.view(fieldOf(section), section.offset + index * SYMBOL_SIZE, SYMBOL_SIZE)
        found.push(this.decode(index, name, view, 0))
      }
      return found
    }.bind(this))
  }
}

/** The lower half of a symbol's info byte is its type, the upper its binding. */
const TYPES = 16
/** Two bits of its other byte are its visibility. */
const VISIBILITIES = 4

const typeOf = { symtab: elf.SHT_SYMTAB, dynsym: elf.SHT_DYNSYM } as const

const wideSectionsOf = (image: Image, table: Section): Result.Result<DataView | undefined, ElfError> => {
  const found = image.sections.find((one) => one.type === elf.SHT_SYMTAB_SHNDX && one.link === table.index)
  return found === undefined ? Result.succeed(undefined) : Result.map(data(image, found), viewOf)
}

/** A table; `undefined` where the file has none. */
const tableOf = (file: Elf, name: SymbolTable): Result.Result<Table | undefined, ElfError> => {
  const image = imageOf(file)
  return image.once(name, () =>
    Result.gen(function*() {
      const section = sectionOfType(image, typeOf[name])
      if (section === undefined) return undefined
      if (section.entrySize !== SYMBOL_SIZE || section.size % SYMBOL_SIZE !== 0) {
        const actual = `entries of ${section.entrySize}, and ${section.size} bytes`
        return yield* Result.fail(problem(fieldOf(section), `entries of ${SYMBOL_SIZE} bytes`, actual))
      }
      const versions = name === "dynsym" ? yield* readVersions(image) : undefined
      return new Table(image, name, section, yield* wideSectionsOf(image, section), versions)
    }))
}

const tables: ReadonlyArray<SymbolTable> = ["symtab", "dynsym"]

const nothing: Iterable<ElfSymbol> = []

/**
 * Every symbol of a table in its order, decoded as it is walked; none where the file has no such table. The first, which is
 * empty, is left out. The table is read whole, and kept with the file. Fails for one that is malformed or beyond the file.
 */
export const symbols = (file: Elf, name: SymbolTable): Result.Result<Iterable<ElfSymbol>, ElfError> =>
  Result.gen(function*() {
    const table = yield* tableOf(file, name)
    if (table === undefined) return nothing
    const at = yield* table.read()
    return {
      *[Symbol.iterator]() {
        for (let index = 1; index < table.count; index++) yield at(index)
      }
    }
  })

/** The symbol of a table with an index, as relocations name it. Fails where there is none. */
export const symbol = (file: Elf, name: SymbolTable, index: number): Result.Result<ElfSymbol, ElfError> =>
  Result.gen(function*() {
    const table = yield* tableOf(file, name)
    const count = table?.count ?? 0
    if (table === undefined || !Number.isInteger(index) || index < 0 || index >= count) {
      return yield* Result.fail(problem(name, `a symbol below ${count}`, index))
    }
    return (yield* table.read())(index)
  })

/** `memcpy@GLIBC_2.14` or `memcpy@@GLIBC_2.14`: a symbol of one version. */
const splitVersion = (name: string): { readonly name: string; readonly version: string } | undefined => {
  const match = /^([^@]+)@@?([^@]+)$/.exec(name)
  return match === null ? undefined : { name: match[1]!, version: match[2]! }
}

/**
 * The symbols of a name: of both tables, those of all symbols first, or of one. `name@VERSION` is the one of that version. The
 * tables are searched as they are read, and not kept.
 */
export const symbolsNamed = (
  file: Elf,
  name: string,
  options?: { readonly table?: SymbolTable }
): Result.Result<ReadonlyArray<ElfSymbol>, ElfError> =>
  Result.gen(function*() {
    if (name === "" || name.includes("\0")) return []
    const versioned = splitVersion(name)
    const found: Array<ElfSymbol> = []
    for (const which of options?.table === undefined ? tables : [options.table]) {
      const table = yield* tableOf(file, which)
      if (table === undefined) continue
      found.push(...yield* table.named(name))
      if (versioned === undefined) continue
      const candidates = yield* table.named(versioned.name)
      found.push(...candidates.filter(({ version }) => version?.name === versioned.version))
    }
    return found
  })
