import type { BtfType, Member } from "../BtfType.ts"
import { tags } from "../BtfType.ts"
import { infoFlag, infoKind, infoVlen, TYPE_SIZE } from "./format.ts"

const entries = <A>(count: number, offset: number, size: number, f: (at: number) => A): ReadonlyArray<A> =>
  Array.from({ length: count }, (_, i) => f(offset + i * size))

/**
 * The type whose record starts at `offset`. The index has checked that the whole record lies inside the section;
 * `name` gives the string at an offset, or "" for one out of range.
 */
export const decodeType = (view: DataView, offset: number, name: (offset: number) => string): BtfType => {
  const u32 = (at: number): number => view.getUint32(at, true)
  const own = name(u32(offset))
  const info = u32(offset + 4)
  const vlen = infoVlen(info)
  const flag = infoFlag(info)
  const word = u32(offset + 8) // the size of sized kinds, the referred type of others
  const rest = offset + TYPE_SIZE
  const _tag = tags[infoKind(info)]!
  switch (_tag) {
    case "Int": {
      const data = u32(rest)
      const encoding = (data >>> 24) & 0xf
      return {
        _tag,
        name: own,
        size: word,
        bits: data & 0xff,
        offset: (data >>> 16) & 0xff,
        signed: (encoding & 1) !== 0,
        char: (encoding & 2) !== 0,
        bool: (encoding & 4) !== 0
      }
    }
    case "Pointer":
    case "Volatile":
    case "Const":
    case "Restrict":
      return { _tag, type: word }
    case "Typedef":
    case "TypeTag":
      return { _tag, name: own, type: word }
    case "Array":
      return { _tag, type: u32(rest), indexType: u32(rest + 4), length: u32(rest + 8) }
    case "Struct":
    case "Union": {
      const members = entries(vlen, rest, 12, (at): Member => {
        const place = u32(at + 8)
        return {
          name: name(u32(at)),
          type: u32(at + 4),
          // With kind_flag set the upper 8 bits hold the size of a bit-field; without, all 32 are the offset.
          bitOffset: flag ? place & 0xffffff : place,
          bitfieldSize: flag ? place >>> 24 : 0
        }
      })
      return { _tag, name: own, size: word, members }
    }
    case "Enum":
      return {
        _tag,
        name: own,
        size: word,
        signed: flag,
        values: entries(vlen, rest, 8, (at) => ({
          name: name(u32(at)),
          value: flag ? view.getInt32(at + 4, true) : u32(at + 4)
        }))
      }
    case "Enum64":
      return {
        _tag,
        name: own,
        size: word,
        signed: flag,
        values: entries(vlen, rest, 12, (at) => {
          const value = (BigInt(u32(at + 8)) << 32n) | BigInt(u32(at + 4))
          return { name: name(u32(at)), value: flag ? BigInt.asIntN(64, value) : value }
        })
      }
    case "Forward":
      return { _tag, name: own, of: flag ? "union" : "struct" }
    case "Func":
      return { _tag, name: own, type: word, linkage: vlen }
    case "FuncProto":
      return {
        _tag,
        returns: word,
        parameters: entries(vlen, rest, 8, (at) => ({ name: name(u32(at)), type: u32(at + 4) }))
      }
    case "Var":
      return { _tag, name: own, type: word, linkage: u32(rest) }
    case "DataSection":
      return {
        _tag,
        name: own,
        size: word,
        variables: entries(vlen, rest, 12, (at) => ({ type: u32(at), offset: u32(at + 4), size: u32(at + 8) }))
      }
    case "Float":
      return { _tag, name: own, size: word }
    case "DeclTag":
      return { _tag, name: own, type: word, component: view.getInt32(rest, true) }
  }
}
