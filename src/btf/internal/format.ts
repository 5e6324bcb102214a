// The BTF wire format, from Documentation/bpf/btf.rst and include/uapi/linux/btf.h: a header, a type section of records of
// whole words, a section of NUL-terminated strings, and since 2026 a section with the sizes of each kind's records.
import { tags } from "../BtfType.ts"

export const BTF_MAGIC = 0xeb9f
export const BTF_VERSION = 1
/** sizeof(struct btf_header) without and with the place of the layout section. */
export const HEADER_SIZE = 24
export const HEADER_SIZE_WITH_LAYOUT = 32
/** sizeof(struct btf_layout): a byte for the fixed part, a byte for each entry, two of flags */
export const LAYOUT_SIZE = 4
/** sizeof(struct btf_type) in words: name_off, info, size or type */
export const TYPE_WORDS = 3
/** The largest `btf_type` id (BTF_MAX_TYPE) that the kernel takes. */
export const BTF_MAX_TYPE = 0xfffff
/** The largest string section that libbpf takes (BTF_MAX_STR_OFFSET). */
export const MAX_STRINGS = 0x7fffffff
/** The most entries of a type that every kernel can read: those before 2026 have 16 bits for it, later ones 24. */
export const MAX_ENTRIES = 0xffff
/** The largest offset and size, in bits, of a member where a struct has bit-fields. */
export const MAX_BIT_OFFSET = 0xffffff
export const MAX_BITFIELD_SIZE = 0xff
/** `BTF_MAX_KIND`: how many numbers of kinds the format has. */
export const KINDS = 0x80

export const infoKind = (info: number): number => (info >>> 24) & 0x7f
export const infoVlen = (info: number): number => info & 0xffffff
export const infoFlag = (info: number): boolean => info < 0 || info >>> 31 === 1

/** The place of a member, in bits: where its struct has bit-fields (kind_flag), the upper byte is this one's size. */
export const placeOffset = (place: number, flag: boolean): number => flag ? place & MAX_BIT_OFFSET : place
/** The size of a bit-field by its member's place, 0 where it is none. */
export const placeSize = (place: number, flag: boolean): number => flag ? place >>> 24 : 0

/** What `BTF_INT_ENCODING`, `BTF_INT_OFFSET` and `BTF_INT_BITS` take from the word of an integer. */
export const intEncoding = (data: number): number => (data >>> 24) & 0xf
export const intOffset = (data: number): number => (data >>> 16) & 0xff
export const intBits = (data: number): number => data & 0xff
/** BTF_INT_SIGNED, BTF_INT_CHAR, BTF_INT_BOOL */
export const INT_ENCODING = { signed: 1, char: 2, bool: 4 } as const

export const KIND = {
  Int: 1,
  Pointer: 2,
  Array: 3,
  Struct: 4,
  Union: 5,
  Enum: 6,
  Forward: 7,
  Typedef: 8,
  Volatile: 9,
  Const: 10,
  Restrict: 11,
  Func: 12,
  FuncProto: 13,
  Var: 14,
  DataSection: 15,
  Float: 16,
  DeclTag: 17,
  TypeTag: 18,
  Enum64: 19
} as const

/** What follows `struct btf_type` for each kind: a fixed part, and a part for each of `vlen` entries, in words. */
const trailers: ReadonlyArray<readonly [kind: number, fixed: number, each: number]> = [
  [KIND.Int, 1, 0],
  [KIND.Pointer, 0, 0],
  [KIND.Array, 3, 0],
  [KIND.Struct, 0, 3],
  [KIND.Union, 0, 3],
  [KIND.Enum, 0, 2],
  [KIND.Forward, 0, 0],
  [KIND.Typedef, 0, 0],
  [KIND.Volatile, 0, 0],
  [KIND.Const, 0, 0],
  [KIND.Restrict, 0, 0],
  [KIND.Func, 0, 0],
  [KIND.FuncProto, 0, 2],
  [KIND.Var, 1, 0],
  [KIND.DataSection, 0, 3],
  [KIND.Float, 0, 0],
  [KIND.DeclTag, 1, 0],
  [KIND.TypeTag, 0, 0],
  [KIND.Enum64, 0, 3]
]

/** Kinds that C code names as types. Their names are indexed when BTF is parsed, all others when first asked for. */
const dataKinds: ReadonlySet<number> = new Set([
  KIND.Int,
  KIND.Struct,
  KIND.Union,
  KIND.Enum,
  KIND.Forward,
  KIND.Typedef,
  KIND.Float,
  KIND.Enum64
])

/** Kinds whose entries begin with the offset of a name. */
export const hasNamedEntries = (kind: number): boolean =>
  kind === KIND.Struct || kind === KIND.Union || kind === KIND.Enum || kind === KIND.Enum64 || kind === KIND.FuncProto

/** The shape of a record in one number, for the loop over all of them: see `recordWords`. -1 for a kind not known. */
export const SHAPE_EACH = 8
export const SHAPE_DATA = 1 << 16
const shapeOf = (kind: number, fixed: number, each: number): number =>
  TYPE_WORDS + fixed | each << SHAPE_EACH | (dataKinds.has(kind) ? SHAPE_DATA : 0)

/** Words of the record with this shape and this many entries. */
export const recordWords = (shape: number, vlen: number): number =>
  (shape & 0xff) + ((shape >>> SHAPE_EACH) & 0xff) * vlen

const known = new Int32Array(KINDS).fill(-1)
for (const [kind, fixed, each] of trailers) known[kind] = shapeOf(kind, fixed, each)

/** The shapes of the kinds that this package knows, by number. */
export const knownShapes: Int32Array = known

/** As `knownShapes`, with those that a layout section describes; a size that is no whole number of words is not known. */
export const withLayout = (layout: DataView): Int32Array => {
  const shapes = known.slice()
  const count = Math.min(KINDS, Math.floor(layout.byteLength / LAYOUT_SIZE))
  for (let kind = 1; kind < count; kind++) {
    const fixed = layout.getUint8(kind * LAYOUT_SIZE)
    const each = layout.getUint8(kind * LAYOUT_SIZE + 1)
    if (shapes[kind] === -1 && fixed % 4 === 0 && each % 4 === 0) shapes[kind] = shapeOf(kind, fixed / 4, each / 4)
  }
  return shapes
}

/** The fixed part of a record beyond `struct btf_type`, and one entry, in bytes. */
export const partsOf = (shape: number): { readonly fixed: number; readonly each: number } => ({
  fixed: ((shape & 0xff) - TYPE_WORDS) * 4,
  each: ((shape >>> SHAPE_EACH) & 0xff) * 4
})

export const isData = (kind: number): boolean => dataKinds.has(kind)

/** The number of a kind by its tag; `Opaque` stands for all that have none. */
export const kindOf: ReadonlyMap<string, number> = new Map(
  tags.flatMap((tag, kind) => tag === undefined ? [] : [[tag, kind] as const])
)
