import { describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Result from "effect/Result"
import { expect } from "vitest"
import { Address, Layout } from "../../../src/index.ts"

const layouts: Readonly<Record<string, Layout.Layout<any>>> = {
  u8: Layout.u8,
  i16: Layout.i16,
  u32be: Layout.u32be,
  u64: Layout.u64,
  i64: Layout.i64,
  u64Number: Layout.u64Number,
  bool: Layout.bool,
  cstring: Layout.cstring(6),
  bytes: Layout.bytes(3),
  array: Layout.array(Layout.u16, 2),
  address: Address.ipv4,
  struct: Layout.struct({ a: Layout.u8, b: Layout.u64, c: Layout.bool, d: Layout.cstring(5) }),
  nested: Layout.struct({
    a: Layout.u16,
    b: Layout.struct({ c: Layout.u8, d: Layout.i32 }),
    e: Layout.array(Layout.u8, 3)
  })
}

const rowsOf = (layout: Layout.Layout<any>) =>
  Arbitrary.array(Arbitrary.schema(layout.schema as never), { maxLength: 20 }) as Arbitrary.Arbitrary<Array<unknown>>

const write = (
  layout: Layout.Layout<any>,
  columns: any,
  from: number,
  to: number,
  stride = layout.size
): Uint8Array => {
  const data = new Uint8Array(Math.max(0, to - from) * stride).fill(0xff)
  Layout.writeColumns(layout, columns, { view: new DataView(data.buffer), data, stride }, from, to)
  return data
}

describe("columns", () => {
  for (const [name, layout] of Object.entries(layouts)) {
    it.prop(`of ${name} are written as the records that they were decoded from`, [rowsOf(layout)], ([values]) => {
      const records = new Uint8Array(values.length * layout.size)
      values.forEach((value, i) => records.set(Result.getOrThrow(Layout.encode(layout, value)), i * layout.size))
      const { columns, rows } = Result.getOrThrow(Layout.decodeColumns(layout, records))
      expect(rows).toBe(values.length)
      expect(Layout.rowsOf(layout, columns)).toBe(rows)
      expect(write(layout, columns, 0, rows)).toEqual(records)
      // Any part of them, and whole values in place of columns.
      const from = rows >> 1
      expect(write(layout, columns, from, rows)).toEqual(records.subarray(from * layout.size))
      expect(Layout.rowsOf(layout, values)).toBe(rows)
      expect(write(layout, values, 0, rows)).toEqual(records)
    })
  }

  it("of structs are written with zeroed padding, at any distance", () => {
    const layout = Layout.struct({ a: Layout.u8, b: Layout.u32 })
    const data = write(layout, { a: Uint8Array.of(1, 2), b: Uint32Array.of(3, 4) }, 0, 2, 16)
    expect(data.subarray(0, 8)).toEqual(Uint8Array.of(1, 0, 0, 0, 3, 0, 0, 0))
    expect(data.subarray(16, 24)).toEqual(Uint8Array.of(2, 0, 0, 0, 4, 0, 0, 0))
    expect(data[8]).toBe(0xff)
  })

  it("with a value that does not fit name the row and the field, and the rows before it are written", () => {
    const layout = Layout.struct({ a: Layout.u8, b: Layout.struct({ c: Layout.u16 }) })
    const data = new Uint8Array(3 * layout.size)
    const columns: any = { a: [1, 2, 3], b: { c: [10, 70_000, 30] } }
    let error: unknown
    try {
      Layout.writeColumns(layout, columns, { view: new DataView(data.buffer), data, stride: layout.size }, 0, 3)
    } catch (thrown) {
      error = thrown
    }
    expect(error).toMatchObject({ _tag: "LayoutError", path: "[1].b.c" })
    expect(data.subarray(0, layout.size)).toEqual(Uint8Array.of(1, 0, 10, 0))
  })

  it("of different lengths, missing or of no column at all have no number of rows", () => {
    const layout = Layout.struct({ a: Layout.u8, b: Layout.u32 })
    const cases: ReadonlyArray<any> = [
      { a: [1], b: [] },
      { a: [1] },
      {},
      undefined,
      null,
      5,
      "text",
      { a: "1", b: "2" },
      { a: new DataView(new ArrayBuffer(1)), b: [1] }
    ]
    for (const columns of cases) expect(Layout.rowsOf(layout, columns)).toBeUndefined()
    expect(Layout.rowsOf(layout, { a: [1, 2] as any, b: Uint32Array.of(1, 2) })).toBe(2)
    expect(Layout.rowsOf(Layout.u32, 5 as any)).toBeUndefined()
  })
})
