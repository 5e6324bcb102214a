/**
 * BTF, the BPF Type Format: the types of a kernel, a module or a BPF program. This module parses it, finds types by
 * name, and answers what a tracer asks: how large is a type, and where in a struct does a member lie.
 *
 * It is pure: bytes in, values out. The kernel's own BTF is in `/sys/kernel/btf/vmlinux` (since 5.4, with
 * CONFIG_DEBUG_INFO_BTF): `KernelBtf.load` reads it. Types are indexed in typed arrays and decoded only
 * when asked for: a kernel has over 100,000 of them.
 *
 * It reads little-endian BTF only, which is what x86-64 and arm64 kernels have.
 *
 * @example
 * ```ts
 * import { Btf } from "effect-ebpf"
 * import * as Effect from "effect/Effect"
 *
 * const parentOffset = (vmlinux: Uint8Array) =>
 *   Effect.gen(function*() {
 *     const btf = yield* Effect.fromResult(Btf.parse(vmlinux))
 *     const member = yield* Effect.fromResult(Btf.member(btf, "task_struct", "real_parent"))
 *     return member.bitOffset / 8
 *   })
 * ```
 */
import * as Data from "effect/Data"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import type { BtfType, Member } from "./BtfType.ts"
import { tags } from "./BtfType.ts"
import { decodeType } from "./internal/decode.ts"
import { encodeTypes } from "./internal/encode.ts"
import {
  BTF_MAGIC,
  BTF_MAX_TYPE,
  BTF_VERSION,
  hashName,
  HEADER_SIZE,
  infoKind,
  infoVlen,
  trailer,
  TYPE_SIZE
} from "./internal/format.ts"

/** BTF that is malformed, or has not what was asked of it. `field` names the part at fault. */
export class BtfError extends Data.TaggedError("BtfError")<{
  readonly field: string
  readonly expected: string
  readonly actual: string
}> {
  override get message(): string {
    return `BTF ${this.field}: expected ${this.expected}, got ${this.actual}`
  }
}

const TypeId = "~effect-ebpf/Btf"

/** Parsed BTF. Ids run from `firstId` to `lastId`; smaller ids belong to the base that it was parsed with. */
export interface Btf {
  readonly [TypeId]: typeof TypeId
  readonly firstId: number
  readonly lastId: number
  /** The type with an id, decoded anew each time; `None` for 0 (`void`) and ids that do not exist. */
  readonly type: (id: number) => Option.Option<BtfType>
  /** The ids of the types with a name, in ascending order. Only those of one kind, where a tag is given. */
  readonly idsByName: (name: string, tag?: BtfType["_tag"]) => ReadonlyArray<number>
  /** @internal */
  readonly string: (offset: number) => string
  /** @internal the size of the strings of this BTF and its bases: where the strings of a split BTF begin */
  readonly stringsEnd: number
}

const problem = (field: string, expected: string, actual: string | number): BtfError =>
  new BtfError({ field, expected, actual: String(actual) })

interface Header {
  readonly typeStart: number
  readonly typeEnd: number
  readonly stringStart: number
  readonly stringEnd: number
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
    return { typeStart, typeEnd, stringStart, stringEnd }
  })
}

/** The offset of every type's record, after a check that each has a known kind and lies wholly inside the section. */
const indexTypes = (view: DataView, { typeEnd, typeStart }: Header): Result.Result<Uint32Array, BtfError> => {
  let offsets = new Uint32Array(Math.max(16, Math.ceil((typeEnd - typeStart) / 20)))
  let count = 0
  let at = typeStart
  while (at < typeEnd) {
    if (at + TYPE_SIZE > typeEnd) {
      return Result.fail(problem(`type ${count + 1}`, `${TYPE_SIZE} bytes`, `${typeEnd - at} bytes`))
    }
    const info = view.getUint32(at + 4, true)
    const after = trailer[infoKind(info)]
    if (after === undefined) {
      return Result.fail(problem(`type ${count + 1} kind`, `1 to ${tags.length - 1}`, infoKind(info)))
    }
    const size = TYPE_SIZE + after.fixed + after.each * infoVlen(info)
    if (at + size > typeEnd) {
      return Result.fail(problem(`type ${count + 1}`, `${size} bytes`, `${typeEnd - at} bytes`))
    }
    if (count === offsets.length) {
      const grown = new Uint32Array(count * 2)
      grown.set(offsets)
      offsets = grown
    }
    offsets[count++] = at
    at += size
  }
  return count <= BTF_MAX_TYPE
    ? Result.succeed(offsets.subarray(0, count))
    : Result.fail(problem("type section", `at most ${BTF_MAX_TYPE} types`, count))
}

const decoder = new TextDecoder("utf-8", { ignoreBOM: true })
const encoder = new TextEncoder()

class BtfImpl implements Btf {
  readonly [TypeId]: typeof TypeId = TypeId
  readonly firstId: number
  readonly lastId: number
  readonly stringsEnd: number
  private readonly view: DataView
  private readonly bytes: Uint8Array
  private readonly header: Header
  private readonly offsets: Uint32Array
  private readonly base: Btf | undefined
  /** A hash table of ids by name, chained through `next`; built at the first lookup, 1 MB for a kernel. */
  private names: { readonly heads: Uint32Array; readonly next: Uint32Array } | undefined

  constructor(bytes: Uint8Array, view: DataView, header: Header, offsets: Uint32Array, base: Btf | undefined) {
    this.bytes = bytes
    this.view = view
    this.header = header
    this.offsets = offsets
    this.base = base
    this.firstId = base === undefined ? 1 : base.lastId + 1
    this.lastId = this.firstId + offsets.length - 1
    this.stringsEnd = (base?.stringsEnd ?? 0) + header.stringEnd - header.stringStart
  }

  type(id: number): Option.Option<BtfType> {
    if (this.base !== undefined && id < this.firstId) return this.base.type(id)
    const offset = this.offsets[id - this.firstId]
    return offset === undefined
      ? Option.none()
      : Option.some(decodeType(this.view, offset, (at) => this.string(at)))
  }

  string(offset: number): string {
    if (this.base !== undefined && offset < this.base.stringsEnd) return this.base.string(offset)
    const start = this.stringAt(offset)
    if (start >= this.header.stringEnd) return ""
    const end = this.bytes.indexOf(0, start)
    return decoder.decode(
      this.bytes.subarray(start, end < 0 || end > this.header.stringEnd ? this.header.stringEnd : end)
    )
  }

  private stringAt(offset: number): number {
    return this.header.stringStart + offset - (this.base?.stringsEnd ?? 0)
  }

  idsByName(name: string, tag?: BtfType["_tag"]): ReadonlyArray<number> {
    const fromBase = this.base?.idsByName(name, tag) ?? []
    if (name === "") return fromBase
    const { heads, next } = this.names ??= this.indexNames()
    const wanted = encoder.encode(`${name}\0`)
    const found: Array<number> = []
    for (let slot = heads[hashName(wanted, 0) & (heads.length - 1)]!; slot !== 0; slot = next[slot - 1]!) {
      const offset = this.offsets[slot - 1]!
      if (tag !== undefined && tags[infoKind(this.view.getUint32(offset + 4, true))] !== tag) continue
      if (this.isNamed(offset, wanted)) found.push(this.firstId + slot - 1)
    }
    return [...fromBase, ...found]
  }

  private isNamed(typeOffset: number, wanted: Uint8Array): boolean {
    const nameOffset = this.view.getUint32(typeOffset, true)
    if (this.base !== undefined && nameOffset < this.base.stringsEnd) {
      return `${this.base.string(nameOffset)}\0` === decoder.decode(wanted)
    }
    const start = this.stringAt(nameOffset)
    if (start + wanted.length > this.header.stringEnd) return false
    for (let i = 0; i < wanted.length; i++) if (this.bytes[start + i] !== wanted[i]) return false
    return true
  }

  private indexNames(): { readonly heads: Uint32Array; readonly next: Uint32Array } {
    const count = this.offsets.length
    const heads = new Uint32Array(2 ** Math.ceil(Math.log2(Math.max(2, count))))
    const next = new Uint32Array(count)
    // Backwards, so that each chain runs from the smallest id up.
    for (let i = count - 1; i >= 0; i--) {
      const nameOffset = this.view.getUint32(this.offsets[i]!, true)
      if (nameOffset === 0) continue
      const inBase = this.base !== undefined && nameOffset < this.base.stringsEnd
      const hash = inBase
        ? hashName(encoder.encode(`${this.base!.string(nameOffset)}\0`), 0)
        : hashName(this.bytes, this.stringAt(nameOffset))
      const bucket = hash & (heads.length - 1)
      next[i] = heads[bucket]!
      heads[bucket] = i + 1
    }
    return { heads, next }
  }
}

/** True if the value is parsed BTF. */
export const isBtf = (u: unknown): u is Btf => typeof u === "object" && u !== null && TypeId in u

/**
 * Parses the bytes of a BTF blob, which are kept and must not change. `base` is the BTF that a split one builds on:
 * vmlinux for a module's.
 *
 * Fails with `BtfError` for truncated or malformed bytes. References between types are not followed here; a dangling
 * one shows when it is used.
 */
export const parse = (bytes: Uint8Array, options?: { readonly base?: Btf }): Result.Result<Btf, BtfError> => {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  return Result.gen(function*() {
    const header = yield* parseHeader(view)
    const offsets = yield* indexTypes(view, header)
    return new BtfImpl(bytes, view, header, offsets, options?.base)
  })
}

/** The bytes of a BTF blob with these types; the first becomes id 1. The inverse of `parse`. */
export const encode = (types: ReadonlyArray<BtfType>): Uint8Array => encodeTypes(types)

/** Every type in ascending order of id. */
export function* types(btf: Btf): Generator<readonly [id: number, type: BtfType]> {
  for (let id = btf.firstId; id <= btf.lastId; id++) yield [id, Option.getOrThrow(btf.type(id))]
}

/** How deep references may nest; beyond it BTF from outside is taken to be circular. The kernel's limit is 32. */
const MAX_DEPTH = 32

/** The type behind typedefs, qualifiers and tags, with its id. Fails for `void`, a dangling id and a circle. */
export const resolve = (
  btf: Btf,
  id: number
): Result.Result<readonly [id: number, type: BtfType], BtfError> => {
  let current = id
  for (let depth = 0; depth <= MAX_DEPTH; depth++) {
    const type = Option.getOrUndefined(btf.type(current))
    if (type === undefined) {
      return Result.fail(problem(`type ${id}`, "a type", current === 0 ? "void" : `id ${current}`))
    }
    switch (type._tag) {
      case "Typedef":
      case "Volatile":
      case "Const":
      case "Restrict":
      case "TypeTag":
        current = type.type
        continue
      default:
        return Result.succeed([current, type])
    }
  }
  return Result.fail(problem(`type ${id}`, `at most ${MAX_DEPTH} references`, "a longer chain, or a circle"))
}

/** The size of a type in bytes. Fails for types without one: `void`, functions, forward declarations. */
export const sizeOf = (btf: Btf, id: number): Result.Result<number, BtfError> => {
  let count = 1
  let current = id
  for (let depth = 0; depth <= MAX_DEPTH; depth++) {
    const resolved = resolve(btf, current)
    if (Result.isFailure(resolved)) return Result.fail(resolved.failure)
    const [, type] = resolved.success
    switch (type._tag) {
      case "Pointer":
        return Result.succeed(count * 8)
      case "Array":
        count *= type.length
        current = type.type
        continue
      case "Int":
      case "Struct":
      case "Union":
      case "Enum":
      case "Enum64":
      case "DataSection":
      case "Float":
        return Result.succeed(count * type.size)
      default:
        return Result.fail(problem(`type ${id}`, "a type that has a size", type._tag))
    }
  }
  return Result.fail(problem(`type ${id}`, `at most ${MAX_DEPTH} nested arrays`, "more, or a circle"))
}

const findMember = (
  btf: Btf,
  id: number,
  name: string,
  base: number,
  seen: Set<number>,
  depth: number
): Member | undefined => {
  const resolved = resolve(btf, id)
  if (Result.isFailure(resolved)) return undefined
  const [target, type] = resolved.success
  // A type that was searched in vain needs no second look; this also ends the search in circular BTF.
  if ((type._tag !== "Struct" && type._tag !== "Union") || seen.has(target) || depth > MAX_DEPTH) {
    return undefined
  }
  seen.add(target)
  for (const member of type.members) {
    const bitOffset = base + member.bitOffset
    if (member.name === name) return { ...member, bitOffset }
    // C looks through anonymous structs and unions, and so do we.
    const inner = member.name === "" ? findMember(btf, member.type, name, bitOffset, seen, depth + 1) : undefined
    if (inner !== undefined) return inner
  }
  return undefined
}

/**
 * A member of a struct or union by path, as in `member(btf, "task_struct", "mm.start_code")`: its type, and its offset in
 * bits from the start of the outermost. Anonymous members are looked through, pointers are not followed.
 */
export const member = (btf: Btf, typeName: string, path: string): Result.Result<Member, BtfError> => {
  const roots = [...btf.idsByName(typeName, "Struct"), ...btf.idsByName(typeName, "Union")]
  if (roots.length === 0) return Result.fail(problem("lookup", `a struct or union named ${typeName}`, "none"))
  let found: Member = { name: "", type: roots[0]!, bitOffset: 0, bitfieldSize: 0 }
  for (const name of path.split(".")) {
    const next = findMember(btf, found.type, name, found.bitOffset, new Set(), 0)
    if (next === undefined) {
      return Result.fail(problem("lookup", `a member ${path} in ${typeName}`, `no member ${name}`))
    }
    found = next
  }
  return Result.succeed(found)
}
