// Versions of the symbols of a shared object: a number for each of them, which two other sections name.
import * as Result from "effect/Result"
import { elf } from "../../abi/elf.ts"
import { type ElfError, problem } from "./error.ts"
import { type Image, type Section, viewOf } from "./image.ts"
import { data, fieldOf, linkedStrings, sectionOfType } from "./sections.ts"

/** The version of a symbol. */
export interface Version {
  readonly name: string
  /**
   * True for the one that this file defines for programs that ask for none. Others are for programs that were linked before, or
   * are what this file needs of another.
   */
  readonly isDefault: boolean
}

/** A version by its number. */
interface Named {
  readonly name: string
  readonly isDefined: boolean
}

/** A bit of a symbol's version number: hidden from those who ask for no version. */
const VERSYM_HIDDEN = 0x8000
const VERDEF_SIZE = 20
const VERDAUX_SIZE = 8
const VERNEED_SIZE = 16
const VERNAUX_SIZE = 16

export class Versions {
  private readonly numbers: DataView
  private readonly names: ReadonlyMap<number, Named>
  private readonly little: boolean

  constructor(numbers: DataView, names: ReadonlyMap<number, Named>, little: boolean) {
    this.numbers = numbers
    this.names = names
    this.little = little
  }

  of(symbol: number): Version | undefined {
    if (symbol * 2 + 2 > this.numbers.byteLength) return undefined
    const word = this.numbers.getUint16(symbol * 2, this.little)
    const version = this.names.get(word % VERSYM_HIDDEN)
    return version && { name: version.name, isDefault: version.isDefined && word < VERSYM_HIDDEN }
  }
}

/** An entry of a chain: where it begins, and how far it is to the next one; 0 for the last. */
const chain = function*(
  view: DataView,
  from: number,
  most: number,
  size: number,
  nextAt: number,
  little: boolean
): Generator<number> {
  let at = from
  // Offsets only grow, and each entry is there: the walk ends, whatever the file says.
  for (let left = most; left > 0 && at + size <= view.byteLength; left--) {
    yield at
    const step = view.getUint32(at + nextAt, little)
    if (step === 0) return
    at += step
  }
}

/** The versions that the file defines: each entry's first name is its own, those after it are its parents. */
const readDefined = (image: Image, section: Section, names: Map<number, Named>): Result.Result<void, ElfError> =>
  Result.gen(function*() {
    const little = image.isLittleEndian
    const view = viewOf(yield* data(image, section))
    const strings = yield* linkedStrings(image, section)
    for (const at of chain(view, 0, section.info, VERDEF_SIZE, 16, little)) {
      if ((view.getUint16(at + 2, little) & elf.VER_FLG_BASE) !== 0) continue
      const name = at + view.getUint32(at + 12, little)
      if (name + VERDAUX_SIZE > view.byteLength) {
        return yield* Result.fail(problem(fieldOf(section), `a name within ${view.byteLength} bytes`, `one at ${name}`))
      }
      const text = strings.at(view.getUint32(name, little)) ?? ""
      names.set(view.getUint16(at + 4, little), { name: text, isDefined: true })
    }
  })

/** The versions that the file needs of others. */
const readNeeded = (image: Image, section: Section, names: Map<number, Named>): Result.Result<void, ElfError> =>
  Result.gen(function*() {
    const little = image.isLittleEndian
    const view = viewOf(yield* data(image, section))
    const strings = yield* linkedStrings(image, section)
    // All entries together are no more than have room, so that files that share them do not multiply.
    let left = Math.floor(view.byteLength / VERNAUX_SIZE)
    for (const at of chain(view, 0, section.info, VERNEED_SIZE, 12, little)) {
      const count = Math.min(left, view.getUint16(at + 2, little))
      const first = at + view.getUint32(at + 8, little)
      for (const entry of chain(view, first, count, VERNAUX_SIZE, 12, little)) {
        left--
        const name = strings.at(view.getUint32(entry + 8, little)) ?? ""
        names.set(view.getUint16(entry + 6, little) % VERSYM_HIDDEN, { name, isDefined: false })
      }
    }
  })

/** The versions of the symbols that are linked at run time; `undefined` where they have none. */
export const readVersions = (image: Image): Result.Result<Versions | undefined, ElfError> =>
  Result.gen(function*() {
    const numbers = sectionOfType(image, elf.SHT_GNU_versym)
    if (numbers === undefined) return undefined
    const names = new Map<number, Named>()
    const defined = sectionOfType(image, elf.SHT_GNU_verdef)
    if (defined !== undefined) yield* readDefined(image, defined, names)
    const needed = sectionOfType(image, elf.SHT_GNU_verneed)
    if (needed !== undefined) yield* readNeeded(image, needed, names)
    return new Versions(viewOf(yield* data(image, numbers)), names, image.isLittleEndian)
  })
