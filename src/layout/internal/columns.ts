// Columnar decoding: many records into one typed array per field, with no object per record.
import { compileRead, type Read } from "./compile.ts"
import { within } from "./error.ts"
import type { IntNode, Node } from "./node.ts"

/** Where a decoded field is put; `row` counts records from 0. */
type Put = (view: DataView, bytes: Uint8Array, offset: number, row: number) => void

const typedArray = (node: IntNode, length: number) => {
  if (node.size === 8) {
    if (!node.bigint) return new Float64Array(length)
    return node.signed ? new BigInt64Array(length) : new BigUint64Array(length)
  }
  if (node.size === 4) return node.signed ? new Int32Array(length) : new Uint32Array(length)
  if (node.size === 2) return node.signed ? new Int16Array(length) : new Uint16Array(length)
  return node.signed ? new Int8Array(length) : new Uint8Array(length)
}

const putter = (column: { [row: number]: unknown }, read: Read): Put => (view, bytes, offset, row) => {
  column[row] = read(view, bytes, offset)
}

/** Allocates the columns of `rows` records, and gives back the function that fills one row of them. */
export const columnsOf = (node: Node, rows: number): { readonly columns: unknown; readonly put: Put } => {
  switch (node._tag) {
    case "Int": {
      const columns = typedArray(node, rows)
      return { columns, put: putter(columns as unknown as { [row: number]: unknown }, compileRead(node)) }
    }
    case "Bool": {
      const columns = new Uint8Array(rows)
      return {
        columns,
        put: (_view, bytes, offset, row) => {
          columns[row] = bytes[offset] === 0 ? 0 : 1
        }
      }
    }
    case "Struct": {
      const columns: Array<readonly [name: string, column: unknown]> = []
      const puts: Array<Put> = []
      for (const field of node.fields) {
        if (field.bits !== undefined) {
          const column = typedArray(field.node as IntNode, rows)
          const single: Node = { ...node, fields: [{ ...field, name: "value" }] }
          const read = compileRead(single)
          puts.push(putter(
            column as unknown as { [row: number]: unknown },
            (view, bytes, offset) => (read(view, bytes, offset) as { readonly value: unknown }).value
          ))
          columns.push([field.name, column])
          continue
        }
        const inner = columnsOf(field.node, rows)
        columns.push([field.name, inner.columns])
        puts.push((view, bytes, offset, row) => {
          try {
            inner.put(view, bytes, offset + field.offset, row)
          } catch (error) {
            throw within(error, field.name)
          }
        })
      }
      return {
        columns: Object.fromEntries(columns),
        put: (view, bytes, offset, row) => {
          for (const put of puts) put(view, bytes, offset, row)
        }
      }
    }
    case "CString":
    case "Bytes":
    case "Enum":
    case "Array":
    case "Union": {
      const columns: Array<unknown> = new Array(rows)
      return { columns, put: putter(columns, compileRead(node)) }
    }
  }
}
