// Sections by name, and what is in them.
import { dual } from "effect/Function"
import * as Result from "effect/Result"
import { elf } from "../../abi/elf.ts"
import { nearest } from "../../abi/nearest.ts"
import { type ElfError, problem } from "./error.ts"
import { type Elf, type Image, imageOf, type Section } from "./image.ts"
import { Strings } from "./strings.ts"

/**
 * The first section of a name. Fails where there is none; the error names those that are near.
 */
export const section: {
  (name: string): (file: Elf) => Result.Result<Section, ElfError>
  (file: Elf, name: string): Result.Result<Section, ElfError>
} = dual(2, (file: Elf, name: string): Result.Result<Section, ElfError> => {
  const found = file.sections.find((one) => one.name === name)
  if (found !== undefined) return Result.succeed(found)
  const near = nearest(name, file.sections.map((one) => one.name).filter((one) => one !== ""))
  const hint = near.length === 0 ? "" : `; did you mean ${near.join(", ")}?`
  return Result.fail(problem("lookup", `a section named ${name}`, `none${hint}`))
})

/** The first section of a type. */
export const sectionOfType = (file: Elf, type: number): Section | undefined =>
  file.sections.find((one) => one.type === type)

/**
 * The bytes of a section, which must not be changed: they may be those of the file. None for `SHT_NOBITS`, which has bytes in
 * memory only. Fails for bytes beyond the file, and for a compressed section, as debug information may be.
 */
export const data: {
  (one: Section): (file: Elf) => Result.Result<Uint8Array, ElfError>
  (file: Elf, one: Section): Result.Result<Uint8Array, ElfError>
} = dual(2, (file: Elf, one: Section): Result.Result<Uint8Array, ElfError> => {
  if (one.type === elf.SHT_NOBITS || one.type === elf.SHT_NULL) return Result.succeed(new Uint8Array(0))
  const field = fieldOf(one)
  return (one.flags & elf.SHF_COMPRESSED) === 0
    ? imageOf(file).bytes(field, one.offset, one.size)
    : Result.fail(problem(field, "plain bytes", "compressed ones (SHF_COMPRESSED)"))
})

export const fieldOf = (one: Section): string => `section ${one.index} ${one.name}`.trimEnd()

/** The string table that a section is linked to. */
export const stringSection = (image: Image, one: Section): Result.Result<Section, ElfError> => {
  const strings = image.sections[one.link]
  if (strings?.type === elf.SHT_STRTAB) return Result.succeed(strings)
  const actual = strings === undefined ? "there is none" : `it is of type ${strings.type}`
  return Result.fail(problem(`${fieldOf(one)} link`, `a string table in section ${one.link}`, actual))
}

/** Its strings, read once: many sections share one. */
export const linkedStrings = (image: Image, one: Section): Result.Result<Strings, ElfError> =>
  Result.flatMap(
    stringSection(image, one),
    (strings) => image.once(strings, () => Result.map(data(image, strings), (bytes) => new Strings(bytes)))
  )
