// What a file asks of the dynamic linker.
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import { elf } from "../../abi/elf.ts"
import { type ElfError, problem } from "./error.ts"
import { type Elf, type Image, imageOf, viewOf, wide } from "./image.ts"
import { fileOffset } from "./addresses.ts"
import { Strings } from "./strings.ts"

/** What a shared object, or a program that is linked to some, says of itself. */
export interface Dynamic {
  /** The shared objects that it needs, by their `soname`. */
  readonly needed: ReadonlyArray<string>
  /** The name by which it is linked to. */
  readonly soname: string | undefined
  /** Where what it needs is looked for first: `DT_RUNPATH`, else `DT_RPATH`. `$ORIGIN` is left in it. */
  readonly runPath: string | undefined
}

const ENTRY_SIZE = 16

const nothing: Dynamic = { needed: [], soname: undefined, runPath: undefined }

const stringsAt = (image: Image, address: number, size: number): Result.Result<Strings, ElfError> =>
  Option.match(fileOffset(image, BigInt(address)), {
    onNone: () =>
      Result.fail(problem("dynamic strings", "an address that is in the file", `0x${address.toString(16)}`)),
    onSome: (offset) => Result.map(image.bytes("dynamic strings", offset, size), (bytes) => new Strings(bytes))
  })

/** What a file asks of the dynamic linker; nothing for a static program and for an object that was not linked. */
export const dynamic = (file: Elf): Result.Result<Dynamic, ElfError> =>
  Result.gen(function*() {
    const image = imageOf(file)
    const segment = file.segments.find((one) => one.type === elf.PT_DYNAMIC)
    if (segment === undefined) return nothing
    const little = image.isLittleEndian
    const view = viewOf(yield* image.bytes("dynamic segment", segment.offset, segment.fileSize))
    const values = new Map<number, Array<number>>()
    for (let at = 0; at + ENTRY_SIZE <= view.byteLength; at += ENTRY_SIZE) {
      const tag = wide(view, at, little)
      if (tag === elf.DT_NULL) break
      const value = wide(view, at + 8, little)
      const some = values.get(tag)
      if (some === undefined) values.set(tag, [value])
      else some.push(value)
    }
    const first = (tag: number): number | undefined => values.get(tag)?.[0]
    const address = first(elf.DT_STRTAB)
    if (address === undefined) return nothing
    const strings = yield* stringsAt(image, address, first(elf.DT_STRSZ) ?? 0)
    const text = (offset: number | undefined): string | undefined =>
      offset === undefined ? undefined : strings.at(offset)
    return {
      needed: (values.get(elf.DT_NEEDED) ?? []).flatMap((offset) => strings.at(offset) ?? []),
      soname: text(first(elf.DT_SONAME)),
      runPath: text(first(elf.DT_RUNPATH) ?? first(elf.DT_RPATH))
    }
  })
