// Notes: small records that tools leave for tools, such as the build id and where tracing probes (USDT) are.
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import { elf } from "../../abi/elf.ts"
import { type ElfError, problem } from "./error.ts"
import { type Elf, imageOf, type Section, viewOf } from "./image.ts"
import { data, fieldOf } from "./sections.ts"

/** A note. */
export interface Note {
  /** Who defines what it means: `GNU`, `stapsdt`. */
  readonly owner: string
  /** What it is, by the owner's numbers. */
  readonly type: number
  /** Its content, in the file's byte order. Must not be changed. */
  readonly description: Uint8Array
}

const HEADER_SIZE = 12

const latin1 = (bytes: Uint8Array): string => String.fromCharCode(...bytes)

/** An owner's name is a word: a longer one is no note. */
const LONGEST_OWNER = 256

const readNotes = (
  field: string,
  bytes: Uint8Array,
  alignment: number,
  little: boolean
): Result.Result<ReadonlyArray<Note>, ElfError> => {
  const view = viewOf(bytes)
  const { length } = bytes
  // GNU's properties are aligned to 8, all else to 4, whatever it says.
  const step = alignment === 8 ? 8 : 4
  const align = (at: number): number => Math.ceil(at / step) * step
  const notes: Array<Note> = []
  for (let at = 0; at + HEADER_SIZE <= length;) {
    const nameSize = view.getUint32(at, little)
    const size = view.getUint32(at + 4, little)
    const name = at + HEADER_SIZE
    const start = align(name + nameSize)
    if (nameSize > LONGEST_OWNER || start + size > length) {
      return Result.fail(problem(`${field} note at ${at}`, `to end within ${length} bytes`, `${start + size}`))
    }
    const owner = bytes.subarray(name, name + nameSize)
    const nul = owner.indexOf(0)
    notes.push({
      owner: latin1(nul < 0 ? owner : owner.subarray(0, nul)),
      type: view.getUint32(at + 8, little),
      description: bytes.subarray(start, start + size)
    })
    at = align(start + size)
  }
  return Result.succeed(notes)
}

/** A stretch of notes. */
interface Stretch {
  readonly field: string
  readonly alignment: number
  readonly bytes: Result.Result<Uint8Array, ElfError>
}

/** The sections of notes; where there are no sections, the segments, which hold the same. */
const stretches = (file: Elf): ReadonlyArray<Stretch> => {
  const image = imageOf(file)
  if (file.sections.length > 0) {
    return file.sections.filter((one) => one.type === elf.SHT_NOTE).map((one: Section) => ({
      field: fieldOf(one),
      alignment: one.alignment,
      bytes: data(file, one)
    }))
  }
  return file.segments.filter((one) => one.type === elf.PT_NOTE).map((one) => ({
    field: "note segment",
    alignment: Number(one.alignment),
    bytes: image.bytes("note segment", one.offset, one.fileSize)
  }))
}

/** All notes of a file. Fails for one that is cut. */
export const notes = (file: Elf): Result.Result<ReadonlyArray<Note>, ElfError> =>
  imageOf(file).once(notes, () =>
    Result.gen(function*() {
      const all: Array<Note> = []
      for (const { alignment, bytes, field } of stretches(file)) {
        const some = yield* readNotes(field, yield* bytes, alignment, file.byteOrder === "little")
        for (const note of some) all.push(note)
      }
      return all
    }))

/**
 * The build id that the linker gave a file, in hexadecimal digits: what links it to its debug information and to stack traces
 * of the kernel (`BPF_F_STACK_BUILD_ID`). `None` where it has none.
 */
export const buildId = (file: Elf): Result.Result<Option.Option<string>, ElfError> =>
  Result.map(notes(file), (all) => {
    const note = all.find(({ owner, type }) => owner === "GNU" && type === elf.NT_GNU_BUILD_ID)
    return note === undefined
      ? Option.none()
      : Option.some(Array.from(note.description, (byte) => byte.toString(16).padStart(2, "0")).join(""))
  })

/** Where debug information is that was split off. */
export interface DebugLink {
  /** The file's name, without a folder. */
  readonly file: string
  /** The CRC-32 of that file, as `node:zlib`'s `crc32` computes it. */
  readonly crc32: number
}

/** What `.gnu_debuglink` says; `None` where there is none. */
export const debugLink = (file: Elf): Result.Result<Option.Option<DebugLink>, ElfError> =>
  Result.gen(function*() {
    const section = file.sections.find((one) => one.name === ".gnu_debuglink")
    if (section === undefined) return Option.none()
    const bytes = yield* data(file, section)
    const nul = bytes.indexOf(0)
    const at = Math.ceil((nul + 1) / 4) * 4
    if (nul < 1 || nul > LONGEST_NAME || at + 4 > bytes.length) {
      return yield* Result.fail(problem(fieldOf(section), "a file's name and a CRC-32", `${bytes.length} bytes`))
    }
    const name = new TextDecoder().decode(bytes.subarray(0, nul))
    return Option.some({ file: name, crc32: viewOf(bytes).getUint32(at, file.byteOrder === "little") })
  })

/** Of a file: NAME_MAX. */
const LONGEST_NAME = 255
