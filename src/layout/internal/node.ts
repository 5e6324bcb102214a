// The pure description behind a Layout: what lies at which offset. Sizes and alignments follow the C ABI that
// x86-64 and arm64 share (System V: every scalar is aligned to its own size, a struct to its widest member).

/** An integer of 1, 2, 4 or 8 bytes. `bigint` says whether its value is a `bigint` or a `number`. */
export interface IntNode {
  readonly _tag: "Int"
  readonly size: 1 | 2 | 4 | 8
  readonly align: number
  readonly signed: boolean
  readonly bigEndian: boolean
  readonly bigint: boolean
  readonly label: string
}

export interface BoolNode {
  readonly _tag: "Bool"
  readonly size: 1
  readonly align: 1
}

/** A `char[size]` read up to its first NUL, and always written with one. */
export interface CStringNode {
  readonly _tag: "CString"
  readonly size: number
  readonly align: 1
}

export interface BytesNode {
  readonly _tag: "Bytes"
  readonly size: number
  readonly align: 1
}

export interface ArrayNode {
  readonly _tag: "Array"
  readonly size: number
  readonly align: number
  readonly element: Node
  readonly length: number
}

/** `bits` is set for a bit-field: its place inside the little-endian storage unit `node` at `offset`. */
export interface Field {
  readonly name: string
  readonly node: Node
  readonly offset: number
  readonly bits: { readonly shift: number; readonly width: number } | undefined
}

export interface StructNode {
  readonly _tag: "Struct"
  readonly size: number
  readonly align: number
  readonly fields: ReadonlyArray<Field>
}

export interface UnionNode {
  readonly _tag: "Union"
  readonly size: number
  readonly align: number
  readonly members: ReadonlyArray<{ readonly name: string; readonly node: Node }>
}

export interface EnumNode {
  readonly _tag: "Enum"
  readonly size: 1 | 2 | 4 | 8
  readonly align: number
  readonly base: IntNode
  readonly values: ReadonlyMap<string, number>
}

/** The bytes of `base`, read as another value: a user's own codec. `encode` throws `LayoutError`. */
export interface MappedNode {
  readonly _tag: "Mapped"
  readonly size: number
  readonly align: number
  readonly base: Node
  readonly decode: (value: any) => any
  readonly encode: (value: any) => any
  /** Gives a `Schema.Codec`; this file knows no Effect. */
  readonly schema: () => unknown
  /** Whether its codec is this package's own, which does nothing but what it is there for. */
  readonly ours: boolean
}

export type Node =
  | IntNode
  | BoolNode
  | CStringNode
  | BytesNode
  | ArrayNode
  | StructNode
  | UnionNode
  | EnumNode
  | MappedNode

/** The least and the greatest value of an integer that is `width` bits wide. */
export const range = (node: IntNode, width = node.size * 8): readonly [minimum: bigint, maximum: bigint] =>
  node.signed
    ? [-(1n << BigInt(width - 1)), (1n << BigInt(width - 1)) - 1n]
    : [0n, (1n << BigInt(width)) - 1n]

/** How deep descriptions nest; what is compiled from them nests as deep. */
export const depthOf = (node: Node): number => {
  const known = depths.get(node)
  if (known !== undefined) return known
  const depth = 1 + innerOf(node).reduce((most, inner) => Math.max(most, depthOf(inner)), 0)
  depths.set(node, depth)
  return depth
}

const depths = new WeakMap<Node, number>()

const innerOf = (node: Node): ReadonlyArray<Node> => {
  switch (node._tag) {
    case "Array":
      return [node.element]
    case "Struct":
      return node.fields.map((field) => field.node)
    case "Union":
      return node.members.map((member) => member.node)
    case "Enum":
    case "Mapped":
      return [node.base]
    default:
      return []
  }
}

/** Whether reading such a value runs code that is not this package's: it may do anything, such as closing what it is read from. */
export const runsForeignCode = (node: Node): boolean => {
  let foreign = foreignNodes.get(node)
  if (foreign === undefined) {
    foreign = (node._tag === "Mapped" && !node.ours) || innerOf(node).some(runsForeignCode)
    foreignNodes.set(node, foreign)
  }
  return foreign
}

const foreignNodes = new WeakMap<Node, boolean>()

export const alignUp = (n: number, align: number): number => Math.ceil(n / align) * align

/** True where some byte of the layout belongs to no value, or may be left unwritten: it must be zeroed before writing. */
export const hasGaps = (node: Node): boolean => {
  switch (node._tag) {
    case "Int":
    case "Bool":
    case "Bytes":
    case "Enum":
      return false
    case "CString":
    case "Union":
      return true
    case "Array":
      return hasGaps(node.element)
    case "Mapped":
      return hasGaps(node.base)
    case "Struct": {
      let covered = 0
      for (const field of node.fields) {
        if (field.bits !== undefined || field.offset !== covered || hasGaps(field.node)) return true
        covered = field.offset + field.node.size
      }
      return covered !== node.size
    }
  }
}

export interface FieldInput {
  readonly name: string
  readonly node: Node
  /** The width in bits, where the field is a bit-field. */
  readonly width: number | undefined
}

/**
 * Places the fields of a struct as a C compiler does on a little-endian System V target. A bit-field goes into the
 * next free bits unless it would straddle a storage unit of its declared type; then it starts the next unit.
 */
export const placeStruct = (inputs: ReadonlyArray<FieldInput>, packed: boolean): StructNode => {
  const fields: Array<Field> = []
  let bit = 0
  let align = 1
  for (const { name, node, width } of inputs) {
    const fieldAlign = packed ? 1 : node.align
    align = Math.max(align, fieldAlign)
    if (width === undefined) {
      const offset = alignUp(Math.ceil(bit / 8), fieldAlign)
      fields.push({ name, node, offset, bits: undefined })
      bit = (offset + node.size) * 8
      continue
    }
    const unit = node.size * 8
    if (Math.floor(bit / unit) !== Math.floor((bit + width - 1) / unit)) bit = alignUp(bit, unit)
    const offset = Math.floor(bit / unit) * node.size
    fields.push({ name, node, offset, bits: { shift: bit - offset * 8, width } })
    bit += width
  }
  return { _tag: "Struct", size: alignUp(Math.ceil(bit / 8), align), align, fields }
}
