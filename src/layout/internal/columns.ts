// Columnar decoding and encoding: many records from or into one typed array per field, with no object per record. The
// loop over the records is generated too, once for each description: a call per field and record would cost more than
// the field.
import { compileReadRows, compileWriteRows, type ReadRows, type WriteRows } from "./compileRows.ts"
import type { IntNode, Node } from "./node.ts"

const typedArray = (node: IntNode, length: number) => {
  if (node.size === 8) {
    if (!node.bigint) return new Float64Array(length)
    return node.signed ? new BigInt64Array(length) : new BigUint64Array(length)
  }
  if (node.size === 4) return node.signed ? new Int32Array(length) : new Uint32Array(length)
  if (node.size === 2) return node.signed ? new Int16Array(length) : new Uint16Array(length)
  return node.signed ? new Int8Array(length) : new Uint8Array(length)
}

/** The columns of `rows` records; those that hold values are added to `flat`, in the order of the fields. */
const allocate = (node: Node, rows: number, flat: Array<unknown>): unknown => {
  if (node._tag === "Struct") {
    return Object.fromEntries(node.fields.map((field) => [field.name, allocate(field.node, rows, flat)]))
  }
  const column = node._tag === "Int"
    ? typedArray(node, rows)
    : node._tag === "Bool"
    ? new Uint8Array(rows)
    : new Array<unknown>(rows)
  flat.push(column)
  return column
}

const readers = new WeakMap<Node, ReadRows>()

const readerOf = (node: Node): ReadRows => {
  let reader = readers.get(node)
  if (reader === undefined) {
    reader = compileReadRows(node)
    readers.set(node, reader)
  }
  return reader
}

/** Columns for `rows` records, of which none is read yet, and those that hold values, in the order of the fields. */
export const emptyColumns = (
  node: Node,
  rows: number
): { readonly columns: unknown; readonly flat: ReadonlyArray<unknown> } => {
  const flat: Array<unknown> = []
  return { columns: allocate(node, rows, flat), flat }
}

/** The columns of `rows` records that lie `stride` bytes apart. */
export const decode = (node: Node, view: DataView, bytes: Uint8Array, stride: number, rows: number): unknown => {
  const flat: Array<unknown> = []
  const columns = allocate(node, rows, flat)
  readerOf(node)(view, bytes, stride, rows, flat)
  return columns
}

const isColumn = (columns: unknown): columns is ArrayLike<unknown> =>
  Array.isArray(columns) || (ArrayBuffer.isView(columns) && !(columns instanceof DataView))

/** A struct's columns are an object of columns, or an array of whole values; all else is one column. */
const isNested = (node: Node, columns: unknown): node is Extract<Node, { _tag: "Struct" }> =>
  node._tag === "Struct" && !isColumn(columns) && node.fields.every((field) => field.bits === undefined)

const columnAt = (columns: unknown, name: string): unknown =>
  typeof columns === "object" && columns !== null && Object.hasOwn(columns, name)
    ? (columns as { readonly [name: string]: unknown })[name]
    : undefined

/** How many rows columns have; `undefined` where they are no columns of this layout, or differ in length. */
export const lengthOf = (node: Node, columns: unknown): number | undefined => {
  if (!isNested(node, columns)) return isColumn(columns) ? columns.length : undefined
  const lengths = node.fields.map((field) => lengthOf(field.node, columnAt(columns, field.name)))
  return lengths.every((length) => length === lengths[0]) ? lengths[0] : undefined
}

/**
 * Adds the columns that hold values to `flat`, and gives which structs are given as columns: the same layout may be given
 * either way, and what is compiled for one is not for the other.
 */
const flatten = (node: Node, columns: unknown, flat: Array<unknown>): string => {
  if (!isNested(node, columns)) {
    flat.push(columns)
    return "_"
  }
  return `(${node.fields.map((field) => flatten(field.node, columnAt(columns, field.name), flat)).join("")})`
}

const writers = new WeakMap<Node, Map<string, WriteRows>>()

const writerOf = (node: Node, shape: string): WriteRows => {
  const byShape = writers.get(node) ?? new Map<string, WriteRows>()
  writers.set(node, byShape)
  let writer = byShape.get(shape)
  if (writer === undefined) {
    writer = compileWriteRows(node, shape)
    byShape.set(shape, writer)
  }
  return writer
}

/** Writes rows `from` to `to` of columns, whose lengths have been checked, as records from the start of `data`. */
export const encode = (
  node: Node,
  columns: unknown,
  { data, stride, view }: { readonly view: DataView; readonly data: Uint8Array; readonly stride: number },
  from: number,
  to: number
): void => {
  const flat: Array<unknown> = []
  const shape = flatten(node, columns, flat)
  writerOf(node, shape)(view, data, stride, flat, from, to)
}
