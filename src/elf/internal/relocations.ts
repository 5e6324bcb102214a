// Relocations: places that get their value when a symbol's address is known.
import { dual } from "effect/Function"
import * as Result from "effect/Result"
import { elf } from "../../abi/elf.ts"
import { type ElfError, problem } from "./error.ts"
import { type Elf, type Section, viewOf, wide } from "./image.ts"
import { data, fieldOf } from "./sections.ts"

/** A place, and the symbol whose address belongs there. */
export interface ElfRelocation {
  /** The place: an offset in the section that is relocated, or an address in a file that was linked. */
  readonly offset: number
  /** The symbol's index in the table that the section is linked to. */
  readonly symbol: number
  /** How the value is written, by the processor's numbers: `R_BPF_64_64` is 1. */
  readonly type: number
  /** What is added to the symbol's address; `undefined` where it stands in the place itself (`SHT_REL`). */
  readonly addend: bigint | undefined
}

const SIZES: Readonly<Record<number, number>> = { [elf.SHT_REL]: 16, [elf.SHT_RELA]: 24 }

/** True if a section holds relocations; its `info` is the section that they are for, its `link` the table of their symbols. */
export const isRelocations = (one: Section): boolean => one.type === elf.SHT_REL || one.type === elf.SHT_RELA

/** The relocations in a section of them, in its order. Fails for a section of another type, and for one that is malformed. */
export const relocations: {
  (one: Section): (file: Elf) => Result.Result<ReadonlyArray<ElfRelocation>, ElfError>
  (file: Elf, one: Section): Result.Result<ReadonlyArray<ElfRelocation>, ElfError>
} = dual(2, (file: Elf, one: Section): Result.Result<ReadonlyArray<ElfRelocation>, ElfError> => {
  const size = SIZES[one.type]
  const field = fieldOf(one)
  if (size === undefined) return Result.fail(problem(field, "SHT_REL or SHT_RELA", `type ${one.type}`))
  return Result.flatMap(data(file, one), (bytes) => {
    if (one.entrySize !== size || bytes.length % size !== 0) {
      const actual = `entries of ${one.entrySize}, and ${bytes.length} bytes`
      return Result.fail(problem(field, `entries of ${size} bytes`, actual))
    }
    const view = viewOf(bytes)
    const little = file.byteOrder === "little"
    return Result.succeed(Array.from({ length: bytes.length / size }, (_, index) => {
      const at = index * size
      return {
        offset: wide(view, at, little),
        symbol: view.getUint32(little ? at + 12 : at + 8, little),
        type: view.getUint32(little ? at + 8 : at + 12, little),
        addend: one.type === elf.SHT_RELA ? view.getBigInt64(at + 16, little) : undefined
      }
    }))
  })
})
