import * as Result from "effect/Result"
import type { BtfType } from "../BtfType.ts"
import { tags } from "../BtfType.ts"
import { BtfError, problem } from "./error.ts"
import {
  BTF_MAGIC,
  BTF_MAX_TYPE,
  BTF_VERSION,
  HEADER_SIZE,
  HEADER_SIZE_WITH_LAYOUT,
  kindOf,
  KINDS,
  knownShapes,
  LAYOUT_SIZE,
  MAX_BIT_OFFSET,
  MAX_BITFIELD_SIZE,
  MAX_ENTRIES,
  MAX_STRINGS,
  partsOf
} from "./format.ts"

const encoder = new TextEncoder()

/** A string section: each string once, the empty one first. */
class Strings {
  readonly offsets = new Map<string, number>([["", 0]])
  readonly chunks: Array<Uint8Array> = [new Uint8Array(1)]
  size = 1
  offset(text: string): number {
    const known = this.offsets.get(text)
    if (known !== undefined) return known
    const chunk = encoder.encode(`${text}\0`)
    const offset = this.size
    this.offsets.set(text, offset)
    this.chunks.push(chunk)
    this.size += chunk.length
    return offset
  }
}

const U32 = 0xffffffff

/** Writes types as words, and throws a `BtfError` for what the format has no room for; `encodeTypes` catches it. */
class Writer {
  readonly words: Array<number> = []
  readonly strings = new Strings()
  /** The sizes of records of kinds that this package does not know. */
  readonly layouts = new Map<number, { readonly fixed: number; readonly each: number }>()
  private id = 0

  private refuse(what: string, expected: string, actual: unknown): never {
    throw problem(
      `type ${this.id} ${what}`,
      expected,
      typeof actual === "string" ? JSON.stringify(actual) : String(actual)
    )
  }

  private integer(what: string, value: number, minimum: number, maximum: number): number {
    return Number.isInteger(value) && value >= minimum && value <= maximum
      ? value
      : this.refuse(what, `an integer from ${minimum} to ${maximum}`, value)
  }

  private wide(what: string, value: bigint, signed: boolean): bigint {
    const fits = typeof value === "bigint" &&
      (signed ? BigInt.asIntN(64, value) : BigInt.asUintN(64, value)) === value
    return fits ? value : this.refuse(what, `a bigint of 64 bits, ${signed ? "signed" : "unsigned"}`, value)
  }

  private name(what: string, text: string): number {
    if (typeof text !== "string" || text.includes("\0") || !text.isWellFormed()) {
      this.refuse(what, "text without NUL", text)
    }
    return this.strings.offset(text)
  }

  private u32(what: string, value: number): void {
    this.words.push(this.integer(what, value, 0, U32))
  }

  private head(kind: number, name: string, vlen: number, word: number, flag = false): void {
    const count = vlen <= MAX_ENTRIES ? vlen : this.refuse("entries", `at most ${MAX_ENTRIES}`, vlen)
    this.words.push(this.name("name", name), ((flag ? 0x80000000 : 0) | (kind << 24) | count) >>> 0)
    this.u32("size or type", word)
  }

  private members(
    kind: number,
    { members, name, size }: Extract<BtfType, { readonly _tag: "Struct" | "Union" }>
  ): void {
    const flag = members.some((member) => member.bitfieldSize !== 0)
    this.head(kind, name, members.length, size, flag)
    for (const [i, member] of members.entries()) {
      this.words.push(this.name(`member ${i} name`, member.name))
      this.u32(`member ${i} type`, member.type)
      const bitOffset = this.integer(`member ${i} bitOffset`, member.bitOffset, 0, flag ? MAX_BIT_OFFSET : U32)
      const bits = this.integer(`member ${i} bitfieldSize`, member.bitfieldSize, 0, MAX_BITFIELD_SIZE)
      this.words.push(((bits << 24) | bitOffset) >>> 0)
    }
  }

  private opaque(type: Extract<BtfType, { readonly _tag: "Opaque" }>): void {
    const { data, entrySize, fixedSize, flag, kind, name, vlen, word } = type
    this.integer("kind", kind, tags.length, KINDS - 1)
    for (const [what, size] of [["fixedSize", fixedSize], ["entrySize", entrySize]] as const) {
      if (this.integer(what, size, 0, 0xff) % 4 !== 0) this.refuse(what, "a multiple of 4", size)
    }
    this.integer("vlen", vlen, 0, MAX_ENTRIES)
    const layout = this.layouts.get(kind)
    if (layout !== undefined && (layout.fixed !== fixedSize || layout.each !== entrySize)) {
      this.refuse(
        "layout",
        `${layout.fixed} and ${layout.each} bytes as others of kind ${kind}`,
        `${fixedSize} and ${entrySize}`
      )
    }
    this.layouts.set(kind, { fixed: fixedSize, each: entrySize })
    const size = fixedSize + vlen * entrySize
    if (!(data instanceof Uint8Array) || data.length !== size) this.refuse("data", `${size} bytes`, data?.length)
    this.head(kind, name, vlen, word, flag)
    const view = new DataView(data.buffer, data.byteOffset, data.byteLength)
    for (let at = 0; at < size; at += 4) this.words.push(view.getUint32(at, true))
  }

  write(type: BtfType): void {
    this.id++
    const kind = kindOf.get(type._tag) ?? 0
    switch (type._tag) {
      case "Int": {
        this.head(kind, type.name, 0, type.size)
        const encoding = (type.signed ? 1 : 0) | (type.char ? 2 : 0) | (type.bool ? 4 : 0)
        const offset = this.integer("offset", type.offset, 0, 0xff)
        this.words.push((encoding << 24) | (offset << 16) | this.integer("bits", type.bits, 0, 0xff))
        return
      }
      case "Pointer":
      case "Volatile":
      case "Const":
      case "Restrict":
        return this.head(kind, "", 0, type.type)
      case "Typedef":
        return this.head(kind, type.name, 0, type.type)
      case "TypeTag":
        return this.head(kind, type.name, 0, type.type, type.attribute === true)
      case "Array":
        this.head(kind, "", 0, 0)
        this.u32("type", type.type)
        this.u32("indexType", type.indexType)
        return this.u32("length", type.length)
      case "Struct":
      case "Union":
        return this.members(kind, type)
      case "Enum":
        this.head(kind, type.name, type.values.length, type.size, type.signed)
        for (const [i, { name, value }] of type.values.entries()) {
          this.words.push(this.name(`value ${i} name`, name))
          const [least, most] = type.signed ? [-0x80000000, 0x7fffffff] : [0, U32]
          this.words.push(this.integer(`value ${i}`, value, least, most))
        }
        return
      case "Enum64":
        this.head(kind, type.name, type.values.length, type.size, type.signed)
        for (const [i, { name, value }] of type.values.entries()) {
          this.words.push(this.name(`value ${i} name`, name))
          const bits = this.wide(`value ${i}`, value, type.signed)
          this.words.push(Number(bits & 0xffffffffn), Number((bits >> 32n) & 0xffffffffn))
        }
        return
      case "Forward":
        return this.head(kind, type.name, 0, 0, type.of === "union")
      case "Func":
        return this.head(kind, type.name, this.integer("linkage", type.linkage, 0, MAX_ENTRIES), type.type)
      case "FuncProto":
        this.head(kind, "", type.parameters.length, type.returns)
        for (const [i, parameter] of type.parameters.entries()) {
          this.words.push(this.name(`parameter ${i} name`, parameter.name))
          this.u32(`parameter ${i} type`, parameter.type)
        }
        return
      case "Var":
        this.head(kind, type.name, 0, type.type)
        return this.u32("linkage", type.linkage)
      case "DataSection":
        this.head(kind, type.name, type.variables.length, type.size)
        for (const [i, variable] of type.variables.entries()) {
          this.u32(`variable ${i} type`, variable.type)
          this.u32(`variable ${i} offset`, variable.offset)
          this.u32(`variable ${i} size`, variable.size)
        }
        return
      case "Float":
        return this.head(kind, type.name, 0, type.size)
      case "DeclTag":
        this.head(kind, type.name, 0, type.type, type.attribute === true)
        this.words.push(this.integer("component", type.component, -0x80000000, 0x7fffffff))
        return
      case "Opaque":
        return this.opaque(type)
      default:
        this.refuse("_tag", "a kind of BTF type", (type as { readonly _tag: unknown })._tag)
    }
  }
}

/** The layout section: a fixed part and the size of an entry for each kind up to the last one used; none if all are known. */
const layoutOf = (layouts: Writer["layouts"]): Uint8Array => {
  if (layouts.size === 0) return new Uint8Array(0)
  const last = Math.max(...layouts.keys())
  const bytes = new Uint8Array((last + 1) * LAYOUT_SIZE)
  for (let kind = 1; kind <= last; kind++) {
    const shape = knownShapes[kind]!
    const parts = layouts.get(kind) ?? (shape < 0 ? { fixed: 0, each: 0 } : partsOf(shape))
    bytes.set([parts.fixed, parts.each], kind * LAYOUT_SIZE)
  }
  return bytes
}

const assemble = ({ layouts, strings, words }: Writer): Uint8Array => {
  const layout = layoutOf(layouts)
  const headerSize = layout.length === 0 ? HEADER_SIZE : HEADER_SIZE_WITH_LAYOUT
  const typeSize = words.length * 4
  const out = new Uint8Array(headerSize + typeSize + layout.length + strings.size)
  const view = new DataView(out.buffer)
  view.setUint16(0, BTF_MAGIC, true)
  view.setUint8(2, BTF_VERSION)
  view.setUint32(4, headerSize, true)
  view.setUint32(12, typeSize, true)
  view.setUint32(16, typeSize + layout.length, true)
  view.setUint32(20, strings.size, true)
  if (layout.length > 0) {
    view.setUint32(24, typeSize, true)
    view.setUint32(28, layout.length, true)
  }
  for (const [i, word] of words.entries()) view.setInt32(headerSize + i * 4, word | 0, true)
  out.set(layout, headerSize + typeSize)
  let offset = headerSize + typeSize + layout.length
  for (const chunk of strings.chunks) {
    out.set(chunk, offset)
    offset += chunk.length
  }
  return out
}

/**
 * The bytes of a BTF blob with these types; the first becomes id 1. The inverse of `parse`.
 *
 * Fails with `BtfError`, which names the type by its id, for what the format cannot hold: more than 65,535 entries, a
 * member beyond 2^24 bits in a struct with bit-fields, a NUL in a name, a number that does not fit its place.
 */
export const encode = (types: ReadonlyArray<BtfType>): Result.Result<Uint8Array, BtfError> => {
  if (types.length > BTF_MAX_TYPE) {
    return Result.fail(problem("types", `at most ${BTF_MAX_TYPE}`, types.length))
  }
  const writer = new Writer()
  try {
    for (const type of types) writer.write(type)
  } catch (error) {
    if (error instanceof BtfError) return Result.fail(error)
    throw error
  }
  return writer.strings.size <= MAX_STRINGS
    ? Result.succeed(assemble(writer))
    : Result.fail(problem("string section", `at most ${MAX_STRINGS} bytes`, writer.strings.size))
}
