/**
 * ELF files: programs, shared objects, kernels, and objects that a compiler made. This module reads their sections, segments,
 * symbols, relocations and notes, of either byte order. It is pure, and knows nothing of BPF.
 *
 * It reads no more than is asked for: `parse` takes the bytes, or a `Source` that gives parts of them, and keeps the header and
 * the tables of sections and segments. Whatever a file says, it is read within its bounds, in time that grows with its
 * length. 32-bit files are refused. Numbers are those of `include/uapi/linux/elf.h`, which `Elf.constants` has by name.
 *
 * @example
 * ```ts
 * import { Elf } from "effect-ebpf"
 * import * as Effect from "effect/Effect"
 *
 * // Where to put a uprobe.
 * const offsetOf = (libc: Uint8Array, name: string) =>
 *   Effect.gen(function*() {
 *     const file = yield* Effect.fromResult(Elf.parse(libc))
 *     const [symbol] = yield* Effect.fromResult(Elf.symbolsNamed(file, name))
 *     return symbol && Elf.fileOffset(file, symbol.value)
 *   })
 * ```
 */
import type * as Result from "effect/Result"
import { elf } from "../abi/elf.ts"
import type { ElfError } from "./internal/error.ts"
import { type Elf, parseImage, type Source, TypeId } from "./internal/image.ts"

export { addressOf, fileOffset } from "./internal/addresses.ts"
export { type Dynamic, dynamic } from "./internal/dynamic.ts"
export { ElfError } from "./internal/error.ts"
export type { Elf, Section, Segment, Source } from "./internal/image.ts"
export { buildId, type DebugLink, debugLink, type Note, notes } from "./internal/notes.ts"
export { type ElfRelocation, isRelocations, relocations } from "./internal/relocations.ts"
export { data, section } from "./internal/sections.ts"
export { type ElfSymbol, symbol, symbols, symbolsNamed, type SymbolTable } from "./internal/symbols.ts"
export type { Version } from "./internal/versions.ts"

/** Numbers of the format by their name in the UAPI: `Elf.constants.STT_FUNC`. */
export const constants = elf

/** True if the value is a parsed ELF file. */
export const isElf = (u: unknown): u is Elf => typeof u === "object" && u !== null && TypeId in u

/**
 * Reads an ELF64 file's header, sections and segments. The bytes are kept, and must not change.
 *
 * Fails with `ElfError` for what is no ELF64 file, and for tables that are malformed or lie beyond the file.
 */
export const parse = (input: Uint8Array | Source): Result.Result<Elf, ElfError> => parseImage(input)
