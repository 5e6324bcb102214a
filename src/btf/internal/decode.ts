import type { BtfType, Member } from "../BtfType.ts"
import { tags } from "../BtfType.ts"
import { type Blob, blobOf, type Btf } from "./blob.ts"
import {
  infoFlag,
  infoKind,
  infoVlen,
  INT_ENCODING,
  intBits,
  intEncoding,
  intOffset,
  partsOf,
  placeOffset,
  placeSize
} from "./format.ts"

const FIXED = 3 // words of struct btf_type

const entries = <A>(count: number, at: number, each: number, f: (at: number) => A): ReadonlyArray<A> => {
  const found: Array<A> = []
  for (let i = 0; i < count; i++) found.push(f(at + i * each))
  return found
}

/** The member whose entry begins at a word. With kind_flag the upper 8 bits of its place are the size of a bit-field. */
export const decodeMember = (blob: Blob, at: number, flag: boolean): Member => {
  const place = blob.unsigned(at + 2)
  return {
    name: blob.string(blob.unsigned(at)),
    type: blob.unsigned(at + 1),
    bitOffset: placeOffset(place, flag),
    bitfieldSize: placeSize(place, flag)
  }
}

/** A struct whose members are decoded when they are first asked for: a large one has hundreds. */
const lazyMembers = (
  blob: Blob,
  at: number,
  vlen: number,
  flag: boolean,
  head: { readonly _tag: "Struct" | "Union"; readonly name: string; readonly size: number }
): BtfType => {
  let members: ReadonlyArray<Member> | undefined
  return {
    _tag: head._tag,
    name: head.name,
    size: head.size,
    get members() {
      return members ??= entries(vlen, at + FIXED, 3, (entry) => decodeMember(blob, entry, flag))
    }
  }
}

/** The type whose record begins at a word of this BTF. */
const decodeRecord = (blob: Blob, at: number): BtfType => {
  const info = blob.word(at + 1)
  const kind = infoKind(info)
  const vlen = infoVlen(info)
  const flag = infoFlag(info)
  const name = blob.string(blob.unsigned(at))
  const word = blob.unsigned(at + 2) // the size of sized kinds, the referred type of others
  const rest = at + FIXED
  const _tag = tags[kind]
  switch (_tag) {
    case undefined: {
      const parts = partsOf(blob.shape(kind))
      return {
        _tag: "Opaque",
        kind,
        name,
        flag,
        vlen,
        word,
        fixedSize: parts.fixed,
        entrySize: parts.each,
        data: blob.tail(at, blob.shape(kind), vlen)
      }
    }
    case "Int": {
      const data = blob.word(rest)
      const encoding = intEncoding(data)
      return {
        _tag,
        name,
        size: word,
        bits: intBits(data),
        offset: intOffset(data),
        signed: (encoding & INT_ENCODING.signed) !== 0,
        char: (encoding & INT_ENCODING.char) !== 0,
        bool: (encoding & INT_ENCODING.bool) !== 0
      }
    }
    case "Pointer":
    case "Volatile":
    case "Const":
    case "Restrict":
      return { _tag, type: word }
    case "Typedef":
      return { _tag, name, type: word }
    case "TypeTag":
      return flag ? { _tag, name, type: word, attribute: true } : { _tag, name, type: word }
    case "Array":
      return { _tag, type: blob.unsigned(rest), indexType: blob.unsigned(rest + 1), length: blob.unsigned(rest + 2) }
    case "Struct":
    case "Union":
      return lazyMembers(blob, at, vlen, flag, { _tag, name, size: word })
    case "Enum":
      return {
        _tag,
        name,
        size: word,
        signed: flag,
        values: entries(vlen, rest, 2, (entry) => ({
          name: blob.string(blob.unsigned(entry)),
          value: flag ? blob.word(entry + 1) : blob.unsigned(entry + 1)
        }))
      }
    case "Enum64":
      return {
        _tag,
        name,
        size: word,
        signed: flag,
        values: entries(vlen, rest, 3, (entry) => ({
          name: blob.string(blob.unsigned(entry)),
          value: wideValue(blob, entry, flag)
        }))
      }
    case "Forward":
      return { _tag, name, of: flag ? "union" : "struct" }
    case "Func":
      return { _tag, name, type: word, linkage: vlen }
    case "FuncProto":
      return {
        _tag,
        returns: word,
        parameters: entries(vlen, rest, 2, (entry) => ({
          name: blob.string(blob.unsigned(entry)),
          type: blob.unsigned(entry + 1)
        }))
      }
    case "Var":
      return { _tag, name, type: word, linkage: blob.unsigned(rest) }
    case "DataSection":
      return {
        _tag,
        name,
        size: word,
        variables: entries(vlen, rest, 3, (entry) => ({
          type: blob.unsigned(entry),
          offset: blob.unsigned(entry + 1),
          size: blob.unsigned(entry + 2)
        }))
      }
    case "Float":
      return { _tag, name, size: word }
    case "DeclTag": {
      const component = blob.word(rest)
      return flag ? { _tag, name, type: word, component, attribute: true } : { _tag, name, type: word, component }
    }
  }
}

/** The value of an entry of an `Enum64`. */
export const wideValue = (blob: Blob, entry: number, signed: boolean): bigint => {
  const value = (BigInt(blob.unsigned(entry + 2)) << 32n) | BigInt(blob.unsigned(entry + 1))
  return signed ? BigInt.asIntN(64, value) : value
}

/** The type with an id that exists, which is the BTF's own. */
export const decodeOwn = (blob: Blob, id: number): BtfType => decodeRecord(blob, blob.at(id))

/** The type with an id. */
export const decode = (btf: Btf, id: number): BtfType | undefined => {
  const blob = blobOf(btf).owner(id)
  return blob === undefined ? undefined : decodeOwn(blob, id)
}
