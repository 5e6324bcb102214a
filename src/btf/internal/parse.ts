// From bytes to an index of records. Nothing is decoded here but what tells where the next record begins, and which names
// and which types there are: a kernel has over 100,000 types, and most are never asked for.
import * as Result from "effect/Result"
import { tags } from "../BtfType.ts"
import { Blob } from "./blob.ts"
import { type BtfError, problem } from "./error.ts"
import {
  BTF_MAGIC,
  BTF_MAX_TYPE,
  BTF_VERSION,
  hasNamedEntries,
  HEADER_SIZE,
  HEADER_SIZE_WITH_LAYOUT,
  infoKind,
  infoVlen,
  knownShapes,
  LAYOUT_SIZE,
  MAX_STRINGS,
  recordWords,
  SHAPE_DATA,
  TYPE_WORDS,
  withLayout
} from "./format.ts"
import { hashOf, Strings } from "./strings.ts"

interface Header {
  readonly typeStart: number
  readonly typeEnd: number
  readonly stringStart: number
  readonly stringEnd: number
  readonly shapes: Int32Array
}

const parseHeader = (view: DataView): Result.Result<Header, BtfError> => {
  const length = view.byteLength
  if (length < HEADER_SIZE) return Result.fail(problem("header", `at least ${HEADER_SIZE} bytes`, `${length} bytes`))
  const magic = view.getUint16(0, true)
  if (magic === 0x9feb) return Result.fail(problem("magic", "little-endian BTF", "big-endian BTF"))
  if (magic !== BTF_MAGIC) return Result.fail(problem("magic", "0xeb9f", `0x${magic.toString(16)}`))
  const version = view.getUint8(2)
  if (version !== BTF_VERSION) return Result.fail(problem("version", `${BTF_VERSION}`, version))
  const headerSize = view.getUint32(4, true)
  if (headerSize < HEADER_SIZE || headerSize > length) {
    return Result.fail(problem("hdr_len", `${HEADER_SIZE} to ${length}`, headerSize))
  }
  const section = (name: string, offsetAt: number): Result.Result<readonly [number, number], BtfError> => {
    const start = headerSize + view.getUint32(offsetAt, true)
    const end = start + view.getUint32(offsetAt + 4, true)
    return end <= length
      ? Result.succeed([start, end])
      : Result.fail(problem(name, `a section inside the ${length} bytes given`, `one that ends at ${end}`))
  }
  return Result.gen(function*() {
    const [typeStart, typeEnd] = yield* section("type section", 8)
    const [stringStart, stringEnd] = yield* section("string section", 16)
    if ((typeStart - headerSize) % 4 !== 0) {
      return yield* Result.fail(problem("type section", "an offset of whole words", typeStart - headerSize))
    }
    if (headerSize < HEADER_SIZE_WITH_LAYOUT) return { typeStart, typeEnd, stringStart, stringEnd, shapes: knownShapes }
    const [layoutStart, layoutEnd] = yield* section("layout section", 24)
    if ((layoutEnd - layoutStart) % LAYOUT_SIZE !== 0) {
      return yield* Result.fail(
        problem("layout section", `entries of ${LAYOUT_SIZE} bytes`, `${layoutEnd - layoutStart} bytes`)
      )
    }
    const layout = new DataView(view.buffer, view.byteOffset + layoutStart, layoutEnd - layoutStart)
    return { typeStart, typeEnd, stringStart, stringEnd, shapes: withLayout(layout) }
  })
}

const parseStrings = (bytes: Uint8Array, isSplit: boolean): Result.Result<Strings, BtfError> => {
  const { length } = bytes
  // As the kernel: a split BTF may have no strings of its own, and need not begin with the empty one.
  if (isSplit && length === 0) return Result.succeed(new Strings(bytes))
  if (length === 0) return Result.fail(problem("string section", "a NUL at its start and end", "no bytes"))
  if (!isSplit && bytes[0] !== 0) return Result.fail(problem("string section", "a NUL at its start", bytes[0]!))
  if (bytes[length - 1] !== 0) return Result.fail(problem("string section", "a NUL at its end", bytes[length - 1]!))
  if (length > MAX_STRINGS) return Result.fail(problem("string section", `at most ${MAX_STRINGS} bytes`, length))
  return Result.succeed(new Strings(bytes))
}

/** Why the loop over records stopped before the end: a wrong record, told from its words. */
const whyNot = (
  words: Int32Array,
  bytes: number,
  shapes: Int32Array,
  at: number,
  id: number,
  stringsEnd: number
): BtfError => {
  const left = bytes - at * 4
  if (at + TYPE_WORDS > words.length) return problem(`type ${id}`, `${TYPE_WORDS * 4} bytes`, `${left} bytes`)
  const info = words[at + 1]!
  const shape = shapes[infoKind(info)]!
  if (shape < 0) {
    return problem(`type ${id} kind`, `1 to ${tags.length - 1}, or one with a layout`, infoKind(info))
  }
  const size = recordWords(shape, infoVlen(info))
  if (at + size > words.length) return problem(`type ${id}`, `${size * 4} bytes`, `${left} bytes`)
  return problem(`type ${id} name`, `an offset below ${stringsEnd}`, words[at]! >>> 0)
}

/** How many records are indexed at a time: some 2 ms before V8 has compiled the loop, and 0.1 after that. */
const PART = 4096

/** How far the index of records has come. */
interface Indexed {
  readonly offsets: Uint32Array
  readonly heads: Uint32Array
  readonly links: Uint32Array
  /** The word at which the loop stopped: the end of a part, the end, or a wrong record. */
  at: number
  /** Records found, and links used. */
  count: number
  last: number
}

const startIndex = (words: Int32Array): Indexed => {
  const end = words.length
  // Memory of zeros that is never touched costs nothing, so there is room for the most records that can be.
  const most = Math.floor(end / TYPE_WORDS)
  return {
    offsets: new Uint32Array(most),
    links: new Uint32Array(2 * (most + 1)),
    heads: new Uint32Array(2 ** Math.max(1, Math.ceil(Math.log2(Math.max(2, end))) - 5)),
    at: 0,
    count: 0,
    last: 0
  }
}

/**
 * The offsets of the next records, after a check that each has a known kind and a name and lies wholly inside the section,
 * and the names of data types. One loop with nothing but numbers: it runs before V8 has compiled it. Gives whether it came as
 * far as it should.
 */
const indexRecords = (
  indexed: Indexed,
  words: Int32Array,
  shapes: Int32Array,
  bytes: Uint8Array,
  base: Blob | undefined,
  stringsEnd: number
): boolean => {
  const { heads, links, offsets } = indexed
  const end = words.length
  const mask = heads.length - 1
  const stringsStart = base?.stringsEnd ?? 0
  let { at, count, last } = indexed
  const most = count + PART
  while (count < most && at + TYPE_WORDS <= end) {
    const name = words[at]! >>> 0
    const info = words[at + 1]!
    const shape = shapes[(info >>> 24) & 0x7f]!
    if (shape < 0 || name >= stringsEnd) break
    const after = at + (shape & 0xff) + ((shape >>> 8) & 0xff) * (info & 0xffffff)
    if (after > end) break
    offsets[count++] = at
    if (name !== 0 && shape >= SHAPE_DATA) {
      const hash = name < stringsStart ? base!.hashAt(name) : hashOf(bytes, name - stringsStart)
      links[++last * 2] = heads[hash & mask]!
      links[last * 2 + 1] = count
      heads[hash & mask] = last
    }
    at = after
  }
  indexed.at = at
  indexed.count = count
  indexed.last = last
  return count === most
}

/** The first entry whose name lies outside of the string section. */
const wrongEntry = (
  words: Int32Array,
  offsets: Uint32Array,
  shapes: Int32Array,
  firstId: number,
  stringsEnd: number
): BtfError | undefined => {
  for (let i = 0; i < offsets.length; i++) {
    const at = offsets[i]!
    const info = words[at + 1]!
    const kind = infoKind(info)
    if (!hasNamedEntries(kind)) continue
    const shape = shapes[kind]!
    const each = (shape >>> 8) & 0xff
    const end = at + recordWords(shape, infoVlen(info))
    for (let entry = at + TYPE_WORDS; entry < end; entry += each) {
      const name = words[entry]! >>> 0
      if (name >= stringsEnd) {
        const index = (entry - at - TYPE_WORDS) / each
        return problem(`type ${firstId + i} entry ${index} name`, `an offset below ${stringsEnd}`, name)
      }
    }
  }
  return undefined
}

/** The words of a section: in place where they are aligned. A rest of less than a word is left out. */
const wordsOf = (bytes: Uint8Array): Int32Array => {
  const length = Math.floor(bytes.length / 4)
  return bytes.byteOffset % 4 === 0
    ? new Int32Array(bytes.buffer, bytes.byteOffset, length)
    : new Int32Array(bytes.slice(0, length * 4).buffer, 0, length)
}

/**
 * `Btf.parse`, which whoever drives it may leave for a while at each step. `isChecked` says that the kernel has looked at the
 * names of entries already.
 */
export function* parseInParts(
  bytes: Uint8Array,
  base: Blob | undefined,
  isChecked: boolean
): Generator<void, Result.Result<Blob, BtfError>> {
  const header = parseHeader(new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength))
  if (Result.isFailure(header)) return Result.fail(header.failure)
  const { shapes, stringEnd, stringStart, typeEnd, typeStart } = header.success
  const parsed = parseStrings(bytes.subarray(stringStart, stringEnd), base !== undefined)
  if (Result.isFailure(parsed)) return Result.fail(parsed.failure)
  const strings = parsed.success
  const stringsEnd = (base?.stringsEnd ?? 0) + strings.bytes.length
  const types = bytes.subarray(typeStart, typeEnd)
  const words = wordsOf(types)
  const firstId = base === undefined ? 1 : base.lastId + 1
  const indexed = startIndex(words)
  while (indexRecords(indexed, words, shapes, strings.bytes, base, stringsEnd)) yield
  const { at, count, heads, last, links } = indexed
  if (at * 4 !== types.length) {
    return Result.fail(whyNot(words, types.length, shapes, at, firstId + count, stringsEnd))
  }
  if (firstId + count - 1 > BTF_MAX_TYPE) {
    return Result.fail(problem("type section", `at most ${BTF_MAX_TYPE} types`, firstId + count - 1))
  }
  const offsets = indexed.offsets.subarray(0, count)
  const wrong = isChecked ? undefined : wrongEntry(words, offsets, shapes, firstId, stringsEnd)
  if (wrong !== undefined) return Result.fail(wrong)
  const dataNames = { heads, links: links.slice(0, 2 * (last + 1)) }
  return Result.succeed(new Blob({ words, offsets, shapes, strings, dataNames, base }))
}

/** `Btf.parse`, at once. */
export const parseBytes = (
  bytes: Uint8Array,
  base: Blob | undefined
): Result.Result<Blob, BtfError> => {
  const parts = parseInParts(bytes, base, false)
  for (;;) {
    const part = parts.next()
    if (part.done === true) return part.value
  }
}
