// The loops of columnar decoding and encoding as generated code: all fields of a record, then the next record.
import { literal, read, readBits, Source, write } from "./compile.ts"
import { join } from "./error.ts"
import { hasGaps, type IntNode, type Node } from "./node.ts"

/** Reads `rows` records, `stride` bytes apart, into columns: one for each field, in their order. */
export type ReadRows = (
  view: DataView,
  bytes: Uint8Array,
  stride: number,
  rows: number,
  columns: ReadonlyArray<unknown>
) => void

/** Writes rows `from` to `to` of columns as records from the start of the bytes. */
export type WriteRows = (
  view: DataView,
  bytes: Uint8Array,
  stride: number,
  columns: ReadonlyArray<unknown>,
  from: number,
  to: number
) => void

/** What has one column: a value at an offset, or a bit-field. */
interface Leaf {
  readonly node: Node
  readonly offset: number
  readonly path: string
  readonly bits: { readonly shift: number; readonly width: number } | undefined
}

/** The leaves of a description. `isNested`, asked about each part in turn, says which have a column for each field. */
const leavesOf = (node: Node, isNested: (part: Leaf) => boolean): ReadonlyArray<Leaf> => {
  const leaves: Array<Leaf> = []
  const walk = (part: Leaf): void => {
    if (!isNested(part) || part.node._tag !== "Struct") return void leaves.push(part)
    for (const field of part.node.fields) {
      walk({ ...field, offset: part.offset + field.offset, path: join(part.path, field.name) })
    }
  }
  walk({ node, offset: 0, path: "", bits: undefined })
  return leaves
}

/** Declares a local for each column. */
const declare = (source: Source, leaves: ReadonlyArray<Leaf>): ReadonlyArray<string> =>
  leaves.map((_, i) => {
    const column = source.name()
    source.emit(`const ${column} = columns[${i}];`)
    return column
  })

/** Emits the statements that read one record at `o` into row `row` of each column. */
const readRow = (source: Source, leaves: ReadonlyArray<Leaf>, columns: ReadonlyArray<string>): void => {
  for (const [i, leaf] of leaves.entries()) {
    const value = leaf.bits === undefined
      ? read(source, leaf.node, leaf.offset, leaf.path)
      : readBits(leaf.node as IntNode, leaf.offset, leaf.bits, leaf.path)
    source.emit(`${columns[i]}[row] = ${leaf.node._tag === "Bool" ? `${value} ? 1 : 0` : value};`)
  }
}

export const compileReadRows = (node: Node): ReadRows => {
  const source = new Source()
  const leaves = leavesOf(node, (part) => part.node._tag === "Struct")
  const columns = declare(source, leaves)
  source.emit("for (let row = 0, o = 0; row < rows; row++, o += stride) {")
  readRow(source, leaves, columns)
  source.emit("}")
  return source.build<ReadRows>("v, u, stride, rows, columns")
}

/** Where it was when it failed. */
export interface Progress {
  done: number
}

/** Reads records at the first `count` of the offsets, in order: adds their values to `values`. */
export type ReadMany = (
  view: DataView,
  bytes: Uint8Array,
  offsets: Int32Array,
  count: number,
  values: Array<unknown>,
  progress: Progress
) => void

export const compileReadMany = (node: Node): ReadMany => {
  const source = new Source()
  source.emit("let row = 0; try { for (; row < count; row++) { const o = offsets[row];")
  source.emit(`values.push(${read(source, node, 0, "")});`)
  source.emit("} } finally { progress.done = row; }")
  return source.build<ReadMany>("v, u, offsets, count, values, progress")
}

/** Reads records at the first `count` of the offsets into rows from `first` on of columns. */
export type ReadScattered = (
  view: DataView,
  bytes: Uint8Array,
  offsets: Int32Array,
  count: number,
  columns: ReadonlyArray<unknown>,
  first: number,
  progress: Progress
) => void

export const compileReadScattered = (node: Node): ReadScattered => {
  const source = new Source()
  const leaves = leavesOf(node, (part) => part.node._tag === "Struct")
  const columns = declare(source, leaves)
  source.emit("let i = 0; try { for (; i < count; i++) { const o = offsets[i]; const row = first + i;")
  readRow(source, leaves, columns)
  source.emit("} } finally { progress.done = i; }")
  return source.build<ReadScattered>("v, u, offsets, count, columns, first, progress")
}

/**
 * `shape` has a parenthesis for each struct that is given as columns, and a `_` for each column; a field's error has its
 * row before its path.
 */
export const compileWriteRows = (node: Node, shape: string): WriteRows => {
  const source = new Source()
  const parts = shape.replaceAll(")", "")
  let part = 0
  const leaves = leavesOf(node, () => parts[part++] === "(")
  const columns = declare(source, leaves)
  source.emit("let row = from; try { for (let o = 0; row < to; row++, o += stride) {")
  if (hasGaps(node)) source.emit(`u.fill(0, o, o + ${node.size});`)
  for (const [i, leaf] of leaves.entries()) {
    const value = source.name()
    // A column of booleans is one of 0 and 1.
    const item = `${columns[i]}[row]`
    source.emit(`const ${value} = ${leaf.node._tag === "Bool" ? `Boolean(${item})` : item};`)
    write(source, leaf.node, leaf.offset, value, leaf.path)
  }
  source.emit(`} } catch (error) { throw h.within(error, ${literal("[")} + row + "]"); }`)
  return source.build<WriteRows>("v, u, stride, columns, from, to")
}
