import type { BtfType } from "../BtfType.ts"
import { tags } from "../BtfType.ts"
import { BTF_MAGIC, BTF_VERSION, HEADER_SIZE } from "./format.ts"

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

const wordsOf = (type: BtfType, strings: Strings): ReadonlyArray<number> => {
  const kind = tags.indexOf(type._tag)
  const head = (name: string, vlen: number, word: number, flag = false): Array<number> => [
    strings.offset(name),
    ((flag ? 0x80000000 : 0) | (kind << 24) | vlen) >>> 0,
    word
  ]
  switch (type._tag) {
    case "Int": {
      const encoding = (type.signed ? 1 : 0) | (type.char ? 2 : 0) | (type.bool ? 4 : 0)
      return [...head(type.name, 0, type.size), (encoding << 24) | (type.offset << 16) | type.bits]
    }
    case "Pointer":
    case "Volatile":
    case "Const":
    case "Restrict":
      return head("", 0, type.type)
    case "Typedef":
    case "TypeTag":
      return head(type.name, 0, type.type)
    case "Array":
      return [...head("", 0, 0), type.type, type.indexType, type.length]
    case "Struct":
    case "Union": {
      const flag = type.members.some((m) => m.bitfieldSize !== 0)
      return [
        ...head(type.name, type.members.length, type.size, flag),
        ...type.members.flatMap((m) => [
          strings.offset(m.name),
          m.type,
          flag ? ((m.bitfieldSize << 24) | m.bitOffset) >>> 0 : m.bitOffset
        ])
      ]
    }
    case "Enum":
      return [
        ...head(type.name, type.values.length, type.size, type.signed),
        ...type.values.flatMap((v) => [strings.offset(v.name), v.value >>> 0])
      ]
    case "Enum64":
      return [
        ...head(type.name, type.values.length, type.size, type.signed),
        ...type.values.flatMap((v) => [
          strings.offset(v.name),
          Number(v.value & 0xffffffffn),
          Number((v.value >> 32n) & 0xffffffffn)
        ])
      ]
    case "Forward":
      return head(type.name, 0, 0, type.of === "union")
    case "Func":
      return head(type.name, type.linkage, type.type)
    case "FuncProto":
      return [
        ...head("", type.parameters.length, type.returns),
        ...type.parameters.flatMap((p) => [strings.offset(p.name), p.type])
      ]
    case "Var":
      return [...head(type.name, 0, type.type), type.linkage]
    case "DataSection":
      return [
        ...head(type.name, type.variables.length, type.size),
        ...type.variables.flatMap((v) => [v.type, v.offset, v.size])
      ]
    case "Float":
      return head(type.name, 0, type.size)
    case "DeclTag":
      return [...head(type.name, 0, type.type), type.component]
  }
}

/** A whole BTF blob of the types in order; the first becomes id 1. */
export const encodeTypes = (types: ReadonlyArray<BtfType>): Uint8Array => {
  const strings = new Strings()
  const words = types.flatMap((type) => wordsOf(type, strings))
  const typeSize = words.length * 4
  const out = new Uint8Array(HEADER_SIZE + typeSize + strings.size)
  const view = new DataView(out.buffer)
  view.setUint16(0, BTF_MAGIC, true)
  view.setUint8(2, BTF_VERSION)
  view.setUint32(4, HEADER_SIZE, true)
  view.setUint32(12, typeSize, true)
  view.setUint32(16, typeSize, true)
  view.setUint32(20, strings.size, true)
  words.forEach((word, i) => view.setInt32(HEADER_SIZE + i * 4, word | 0, true))
  let offset = HEADER_SIZE + typeSize
  for (const chunk of strings.chunks) {
    out.set(chunk, offset)
    offset += chunk.length
  }
  return out
}
