import { describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { expect } from "vitest"
import { Layout } from "../../../src/index.ts"

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex")

const encode = <A>(layout: Layout.Layout<A>, value: NoInfer<A>): Uint8Array =>
  Result.getOrThrow(Layout.encode(layout, value))

const decode = <A>(layout: Layout.Layout<A>, bytes: Uint8Array): A => Result.getOrThrow(Layout.decode(layout, bytes))

/** What is wrong with a value that no layout's type admits. */
const encodeError = (layout: Layout.Layout<any>, value: unknown): Layout.LayoutError => {
  const result = Layout.encode(layout, value)
  if (Result.isSuccess(result)) throw new Error(`encoded to ${hex(result.success)}`)
  return result.failure
}

const decodeError = (layout: Layout.Layout<any>, bytes: Uint8Array): Layout.LayoutError => {
  const result = Layout.decode(layout, bytes)
  if (Result.isSuccess(result)) throw new Error("decoded")
  return result.failure
}

/** `count` arbitrary bytes. */
const someBytes = (count: number): Arbitrary.Arbitrary<Uint8Array> =>
  Arbitrary.map(
    Arbitrary.array(Arbitrary.schema(Layout.u8.schema), { minLength: count, maxLength: count }),
    (bytes) => Uint8Array.from(bytes)
  )

const integers = {
  u8: Layout.u8,
  u16: Layout.u16,
  u32: Layout.u32,
  u64: Layout.u64,
  i8: Layout.i8,
  i16: Layout.i16,
  i32: Layout.i32,
  i64: Layout.i64,
  u64Number: Layout.u64Number,
  i64Number: Layout.i64Number,
  u16be: Layout.u16be,
  u32be: Layout.u32be,
  u64be: Layout.u64be,
  i16be: Layout.i16be,
  i32be: Layout.i32be,
  i64be: Layout.i64be,
  pointer: Layout.pointer
} satisfies Record<string, Layout.Layout<any>>

const inner = Layout.struct({ port: Layout.u16, proto: Layout.u8 })

const bitFields = Layout.struct({
  head: Layout.u8,
  a: Layout.bits(Layout.u32, 3),
  b: Layout.bits(Layout.i32, 7),
  c: Layout.bits(Layout.u64, 40),
  d: Layout.bits(Layout.i64, 24),
  e: Layout.bits(Layout.u8, 8),
  f: Layout.bits(Layout.i8, 1),
  g: Layout.bits(Layout.i16, 16),
  h: Layout.bits(Layout.u32, 32),
  i: Layout.bits(Layout.i32, 32),
  j: Layout.bits(Layout.u64, 64),
  k: Layout.bits(Layout.i64Number, 53),
  tail: Layout.u16be
})

const color = Layout.enumeration({ RED: 1, GREEN: 2, BLUE: 0x12345678 })

/** Layouts whose values come back from their bytes exactly as given. */
const faithful: Record<string, Layout.Layout<any>> = {
  ...integers,
  bool: Layout.bool,
  "cstring(1)": Layout.cstring(1),
  "cstring(16)": Layout.cstring(16),
  "array of u8": Layout.array(Layout.u8, 5),
  "array of i64": Layout.array(Layout.i64, 3),
  "array of structs": Layout.array(inner, 4),
  "array of arrays": Layout.array(Layout.array(Layout.u16be, 2), 3),
  "array of strings": Layout.array(Layout.cstring(4), 2),
  "array of bit-fields": Layout.array(bitFields, 2),
  "nested struct": Layout.struct({
    flag: Layout.bool,
    in: Layout.struct({ a: Layout.u8, deep: Layout.struct({ b: Layout.i64, c: Layout.cstring(3) }) }),
    list: Layout.array(inner, 2),
    end: Layout.i8
  }),
  packed: Layout.packed({ a: Layout.u8, b: Layout.u32, c: Layout.i64be, in: inner, d: Layout.u64Number }),
  "bit-fields": bitFields
}

/** The same, and those that read a value back in another form or cannot be generated. All take any bytes. */
const total: Record<string, Layout.Layout<any>> = {
  ...Object.fromEntries(
    Object.entries(faithful).filter(([name]) => !/Number$|^packed$/.test(name))
  ),
  enumeration: color,
  "enumeration of bytes": Layout.enumeration({ NONE: 0, ALL: 255 }, Layout.u8),
  "bytes(7)": Layout.bytes(7),
  union: Layout.union({ a: Layout.u8, b: Layout.u32, raw: Layout.bytes(6), in: inner, color, text: Layout.cstring(4) }),
  "struct of everything": Layout.struct({
    ok: Layout.bool,
    color,
    u: Layout.union({ word: Layout.u64, pair: Layout.array(Layout.u32, 2) }),
    bits: bitFields,
    raw: Layout.bytes(3),
    name: Layout.cstring(5),
    list: Layout.array(inner, 2)
  })
}

describe("sizes and alignments", () => {
  it("a scalar is aligned to its own size", () => {
    const places = (size: number, layouts: ReadonlyArray<Layout.Layout<any>>) => {
      for (const { align, size: actual } of layouts) expect({ size: actual, align }).toEqual({ size, align: size })
    }
    places(1, [Layout.u8, Layout.i8, Layout.bool])
    places(2, [Layout.u16, Layout.i16, Layout.u16be, Layout.i16be])
    places(4, [Layout.u32, Layout.i32, Layout.u32be, Layout.i32be, color])
    places(8, [Layout.u64, Layout.i64, Layout.u64be, Layout.i64be, Layout.u64Number, Layout.i64Number, Layout.pointer])
    places(1, [Layout.enumeration({ A: 1 }, Layout.u8)])
    places(2, [Layout.enumeration({ A: 1 }, Layout.i16)])
  })

  it("strings and bytes have the size given and no alignment, and an array has its element's", () => {
    expect(Layout.cstring(16)).toMatchObject({ size: 16, align: 1 })
    expect(Layout.bytes(7)).toMatchObject({ size: 7, align: 1 })
    expect(Layout.array(Layout.u32, 3)).toMatchObject({ size: 12, align: 4 })
    expect(Layout.array(inner, 3)).toMatchObject({ size: 12, align: 2 })
    expect(Layout.array(Layout.cstring(5), 3)).toMatchObject({ size: 15, align: 1 })
  })

  it("a struct without fields has no bytes", () => {
    const empty = Layout.struct({})
    expect(empty).toMatchObject({ size: 0, align: 1 })
    expect(decode(empty, encode(empty, {}))).toEqual({})
  })

  it("a size or length that C does not have is refused when the layout is made", () => {
    for (const size of [0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 31]) {
      expect(() => Layout.cstring(size)).toThrow(Layout.LayoutError)
      expect(() => Layout.bytes(size)).toThrow(Layout.LayoutError)
      expect(() => Layout.array(Layout.u8, size)).toThrow(Layout.LayoutError)
    }
    expect(() => Layout.array(Layout.u64, 2 ** 30)).toThrow("an array size in bytes from 1 to 2147483647")
  })

  it("a bit-field is at least one bit wide, at most its type, and little-endian", () => {
    for (const width of [0, -1, 33, 1.5, Number.NaN]) {
      expect(() => Layout.bits(Layout.u32, width)).toThrow("a width from 1 to 32 bits")
    }
    expect(() => Layout.bits(Layout.u32be, 3)).toThrow("a little-endian integer layout")
    expect(() => Layout.bits(Layout.bool as never, 1)).toThrow(Layout.LayoutError)
    expect(() => Layout.enumeration({ A: 1 }, Layout.bool as never)).toThrow("an integer layout")
  })

  it("a field's place is told by name, and a bit-field or an unknown name has none", () => {
    const layout = Layout.struct({ a: Layout.u8, b: Layout.u64, c: Layout.bits(Layout.u32, 3), in: inner })
    expect(Layout.field(layout, "a")).toEqual({ offset: 0, size: 1 })
    expect(Layout.field(layout, "b")).toEqual({ offset: 8, size: 8 })
    expect(Layout.field(layout, "in")).toEqual({ offset: 18, size: 4 })
    expect(Layout.field(layout, "c")).toBeUndefined()
    expect(Layout.field(layout, "toString" as never)).toBeUndefined()
    expect(Layout.field(Layout.u32, "toFixed")).toBeUndefined()
  })

  it("a layout is told from other values", () => {
    expect(Layout.isLayout(Layout.u8)).toBe(true)
    expect(Layout.isLayout(inner)).toBe(true)
    for (const other of [undefined, null, 1, "u8", {}, Layout.bits(Layout.u8, 1)]) {
      expect(Layout.isLayout(other)).toBe(false)
    }
  })
})

// The sizes, offsets and bytes below are those of GCC 12 for x86-64: a C program with the same declarations printed
// sizeof, _Alignof, offsetof and the memory of a variable with these values, zeroed before.
describe("as GCC lays out the same declaration", () => {
  const cases: ReadonlyArray<{
    readonly declaration: string
    readonly layout: Layout.Layout<any>
    readonly size: number
    readonly align: number
    readonly offsets?: Record<string, number>
    readonly value: unknown
    readonly bytes: string
  }> = [
    {
      declaration: "struct { u8 a; u64 b; u16 c; u32 d; i8 e; }",
      layout: Layout.struct({ a: Layout.u8, b: Layout.u64, c: Layout.u16, d: Layout.u32, e: Layout.i8 }),
      size: 32,
      align: 8,
      offsets: { a: 0, b: 8, c: 16, d: 20, e: 24 },
      value: { a: 1, b: 0x1122334455667788n, c: 0xabcd, d: 0xdeadbeef, e: -2 },
      bytes: "01000000000000008877665544332211cdab0000efbeaddefe00000000000000"
    },
    {
      declaration: "struct { u8 flag; struct inner in; u32 id; struct inner list[3]; bool ok; }",
      layout: Layout.struct({
        flag: Layout.u8,
        in: inner,
        id: Layout.u32,
        list: Layout.array(inner, 3),
        ok: Layout.bool
      }),
      size: 28,
      align: 4,
      offsets: { flag: 0, in: 2, id: 8, list: 12, ok: 24 },
      value: {
        flag: 7,
        in: { port: 0x1234, proto: 6 },
        id: 0xcafebabe,
        list: [{ port: 1, proto: 10 }, { port: 0x101, proto: 11 }, { port: 0x201, proto: 12 }],
        ok: true
      },
      bytes: "0700341206000000bebafeca01000a0001010b0001020c0001000000"
    },
    {
      declaration: "struct __attribute__((packed)) { u8 a; u32 b; u16 c; u64 d; struct inner in; }",
      layout: Layout.packed({ a: Layout.u8, b: Layout.u32, c: Layout.u16, d: Layout.u64, in: inner }),
      size: 19,
      align: 1,
      offsets: { a: 0, b: 1, c: 5, d: 7, in: 15 },
      value: { a: 1, b: 0x02030405, c: 0x0607, d: 0x08090a0b0c0d0e0fn, in: { port: 0x1011, proto: 0x12 } },
      bytes: "010504030207060f0e0d0c0b0a090811101200"
    },
    {
      declaration: "struct { i8 a; i16 b; i32 c; i64 d; }",
      layout: Layout.struct({ a: Layout.i8, b: Layout.i16, c: Layout.i32, d: Layout.i64 }),
      size: 16,
      align: 8,
      offsets: { b: 2, c: 4, d: 8 },
      value: { a: -1, b: -2, c: -3, d: -4n },
      bytes: "ff00fefffdfffffffcffffffffffffff"
    },
    {
      declaration: "struct { char comm[5]; i32 n; char tail[3]; }",
      layout: Layout.struct({ comm: Layout.cstring(5), n: Layout.i32, tail: Layout.cstring(3) }),
      size: 16,
      align: 4,
      offsets: { n: 8, tail: 12 },
      value: { comm: "init", n: -5, tail: "ok" },
      bytes: "696e697400000000fbffffff6f6b0000"
    },
    {
      declaration: "struct { u8 a; enum { RED = 1, BLUE = 0x12345678 } c; }",
      layout: Layout.struct({ a: Layout.u8, c: color }),
      size: 8,
      align: 4,
      offsets: { c: 4 },
      value: { a: 3, c: "BLUE" },
      bytes: "0300000078563412"
    },
    {
      declaration: "union { u8 a; u32 b; u8 raw[6]; }",
      layout: Layout.union({ a: Layout.u8, b: Layout.u32, raw: Layout.bytes(6) }),
      size: 8,
      align: 4,
      value: { b: 0x01020304 },
      bytes: "0403020100000000"
    },
    {
      declaration: "struct { u8 t; union { u8 a; u32 b; u8 raw[6]; } u; u16 z; }",
      layout: Layout.struct({
        t: Layout.u8,
        u: Layout.union({ a: Layout.u8, b: Layout.u32, raw: Layout.bytes(6) }),
        z: Layout.u16
      }),
      size: 16,
      align: 4,
      offsets: { u: 4, z: 12 },
      value: { t: 9, u: { b: 0x01020304 }, z: 0x0506 },
      bytes: "09000000040302010000000006050000"
    },
    {
      declaration: "u32[3]",
      layout: Layout.array(Layout.u32, 3),
      size: 12,
      align: 4,
      value: [1, 2, 0xffffffff],
      bytes: "0100000002000000ffffffff"
    },
    {
      declaration: "struct { u32 a:3; u32 b:5; u32 c:24; }",
      layout: Layout.struct({
        a: Layout.bits(Layout.u32, 3),
        b: Layout.bits(Layout.u32, 5),
        c: Layout.bits(Layout.u32, 24)
      }),
      size: 4,
      align: 4,
      value: { a: 5, b: 17, c: 0xabcdef },
      bytes: "8defcdab"
    },
    {
      declaration: "struct { u32 a:3; u8 b; }",
      layout: Layout.struct({ a: Layout.bits(Layout.u32, 3), b: Layout.u8 }),
      size: 4,
      align: 4,
      offsets: { b: 1 },
      value: { a: 5, b: 0xab },
      bytes: "05ab0000"
    },
    {
      declaration: "struct { u8 a:4; u32 b:8; }",
      layout: Layout.struct({ a: Layout.bits(Layout.u8, 4), b: Layout.bits(Layout.u32, 8) }),
      size: 4,
      align: 4,
      value: { a: 5, b: 0xab },
      bytes: "b50a0000"
    },
    {
      declaration: "struct { u32 a:30; u16 b:4; }",
      layout: Layout.struct({ a: Layout.bits(Layout.u32, 30), b: Layout.bits(Layout.u16, 4) }),
      size: 8,
      align: 4,
      value: { a: 0x2aaaaaaa, b: 9 },
      bytes: "aaaaaa2a09000000"
    },
    {
      declaration: "struct { u8 x; u32 a:3; u32 b:30; u16 y; }",
      layout: Layout.struct({
        x: Layout.u8,
        a: Layout.bits(Layout.u32, 3),
        b: Layout.bits(Layout.u32, 30),
        y: Layout.u16
      }),
      size: 12,
      align: 4,
      value: { x: 0x77, a: 6, b: 0x2bcdef01, y: 0x5566 },
      bytes: "7706000001efcd2b66550000"
    },
    {
      declaration: "struct { i32 a:5; i32 b:12; u64 c:40; i8 d:3; }",
      layout: Layout.struct({
        a: Layout.bits(Layout.i32, 5),
        b: Layout.bits(Layout.i32, 12),
        c: Layout.bits(Layout.u64, 40),
        d: Layout.bits(Layout.i8, 3)
      }),
      size: 8,
      align: 8,
      value: { a: -7, b: -1000, c: 0xabcdef0123n, d: -3 },
      bytes: "19834702de9b570b"
    },
    {
      declaration: "struct { u64 a:1; u64 b:62; u64 c:1; u64 d:64; }",
      layout: Layout.struct({
        a: Layout.bits(Layout.u64, 1),
        b: Layout.bits(Layout.u64, 62),
        c: Layout.bits(Layout.u64, 1),
        d: Layout.bits(Layout.u64, 64)
      }),
      size: 16,
      align: 8,
      value: { a: 1n, b: 0x2123456789abcdefn, c: 1n, d: 0xfedcba9876543210n },
      bytes: "df9b5713cf8a46c21032547698badcfe"
    },
    {
      declaration: "struct { u16 a:9; u16 b:9; u8 c:1; u8 d:8; }",
      layout: Layout.struct({
        a: Layout.bits(Layout.u16, 9),
        b: Layout.bits(Layout.u16, 9),
        c: Layout.bits(Layout.u8, 1),
        d: Layout.bits(Layout.u8, 8)
      }),
      size: 6,
      align: 2,
      value: { a: 0x155, b: 0x1ab, c: 1, d: 0xcd },
      bytes: "5501ab03cd00"
    },
    {
      declaration: "struct { u32 a:32; i32 b:32; u8 c:3; }",
      layout: Layout.struct({
        a: Layout.bits(Layout.u32, 32),
        b: Layout.bits(Layout.i32, 32),
        c: Layout.bits(Layout.u8, 3)
      }),
      size: 12,
      align: 4,
      value: { a: 0xfedcba98, b: -123456789, c: 5 },
      bytes: "98badcfeeb32a4f805000000"
    },
    {
      declaration: "struct { u64 a:33; u32 b:20; u32 c:12; i64 d:5; }",
      layout: Layout.struct({
        a: Layout.bits(Layout.u64, 33),
        b: Layout.bits(Layout.u32, 20),
        c: Layout.bits(Layout.u32, 12),
        d: Layout.bits(Layout.i64, 5)
      }),
      size: 16,
      align: 8,
      value: { a: 0x1deadbeefn, b: 0xabcde, c: 0x789, d: -9n },
      bytes: "efbeaddebd7915008977010000000000"
    },
    {
      declaration: "struct { u8 a; u16 b:5; u8 c; u32 d:7; }",
      layout: Layout.struct({
        a: Layout.u8,
        b: Layout.bits(Layout.u16, 5),
        c: Layout.u8,
        d: Layout.bits(Layout.u32, 7)
      }),
      size: 4,
      align: 4,
      offsets: { a: 0, c: 2 },
      value: { a: 0x11, b: 21, c: 0x33, d: 99 },
      bytes: "11153363"
    },
    {
      declaration: "struct { u16 p; u16 q:3; u64 r:20; }",
      layout: Layout.struct({ p: Layout.u16, q: Layout.bits(Layout.u16, 3), r: Layout.bits(Layout.u64, 20) }),
      size: 8,
      align: 8,
      value: { p: 0x1122, q: 5, r: 0xabcden },
      bytes: "2211f5e655000000"
    }
  ]

  for (const { align, bytes, declaration, layout, offsets = {}, size, value } of cases) {
    it(declaration, () => {
      expect({ size: layout.size, align: layout.align }).toEqual({ size, align })
      for (const [name, offset] of Object.entries(offsets)) {
        expect(Layout.field(layout, name as never)?.offset, name).toBe(offset)
      }
      expect(hex(encode(layout, value))).toBe(bytes)
      expect(decode(layout, Uint8Array.from(Buffer.from(bytes, "hex")))).toMatchObject(value as object)
    })
  }
})

describe("byte order", () => {
  it("network order is the reverse of the native one", () => {
    expect(hex(encode(Layout.u16be, 0x0102))).toBe("0102")
    expect(hex(encode(Layout.u32be, 0x01020304))).toBe("01020304")
    expect(hex(encode(Layout.u64be, 0x0102030405060708n))).toBe("0102030405060708")
    expect(hex(encode(Layout.i16be, -2))).toBe("fffe")
    expect(hex(encode(Layout.i32be, -2))).toBe("fffffffe")
    expect(hex(encode(Layout.i64be, -2n))).toBe("fffffffffffffffe")
    expect(hex(encode(Layout.u64Number, 2 ** 53 - 1))).toBe("ffffffffffff1f00")
    expect(hex(encode(Layout.i64Number, -(2 ** 53 - 1)))).toBe("010000000000e0ff")
  })
})

describe("a value comes back from its bytes", () => {
  for (const [name, layout] of Object.entries(faithful)) {
    it.prop(name, [layout.schema], ([value]) => {
      const bytes = encode(layout, value)
      expect(bytes.length).toBe(layout.size)
      expect(decode(layout, bytes)).toEqual(value)
    })
  }

  it.prop("bytes", [someBytes(9)], ([value]) => {
    const decoded = decode(Layout.bytes(9), encode(Layout.bytes(9), value))
    expect(hex(decoded)).toBe(hex(value))
  })

  it.prop("enumeration, by the first name of its number", [color.schema], ([value]) => {
    const names: Record<number, string> = { 1: "RED", 2: "GREEN", 0x12345678: "BLUE" }
    expect(decode(color, encode(color, value))).toBe(typeof value === "number" ? names[value] ?? value : value)
  })

  it("two names of one number read as the first declared", () => {
    const layout = Layout.enumeration({ CURRENT: 5, OLD: 5 })
    expect(decode(layout, encode(layout, "OLD"))).toBe("CURRENT")
    expect(decode(layout, encode(layout, 5))).toBe("CURRENT")
    expect(decode(layout, encode(layout, 6))).toBe(6)
  })

  const union = Layout.union({
    word: Layout.u64,
    pair: Layout.array(Layout.u32, 2),
    port: Layout.u16be,
    in: inner,
    raw: Layout.bytes(8)
  })
  it.prop(
    "union, of the member given",
    [Layout.union({ a: Layout.u8, b: Layout.i32, in: inner }).schema],
    ([value]) => {
      const layout = Layout.union({ a: Layout.u8, b: Layout.i32, in: inner })
      expect(decode(layout, encode(layout, value))).toMatchObject(value)
    }
  )

  it.prop("union, of all members at once, as the very same bytes", [someBytes(8)], ([bytes]) => {
    const value = decode(union, bytes)
    expect(Object.keys(value)).toEqual(["word", "pair", "port", "in", "raw"])
    expect(hex(encode(union, value))).toBe(hex(bytes))
  })

  it("a string keeps a byte order mark at its start", () => {
    const layout = Layout.cstring(8)
    expect(decode(layout, encode(layout, "\u{feff}ab"))).toBe("\u{feff}ab")
  })

  it("a string keeps everything that UTF-8 has", () => {
    const layout = Layout.cstring(32)
    for (const text of ["", "plain", "naïve", "日本語", "🦀 and more", "ab\u{10ffff}", "\u{fffd}"]) {
      expect(decode(layout, encode(layout, text))).toBe(text)
    }
  })

  it("bytes are a copy of their own, even where they are decoded from a Buffer", () => {
    for (const source of [new Uint8Array([1, 2, 3]), Buffer.from([1, 2, 3])]) {
      const value = decode(Layout.bytes(3), source)
      const within = decode(Layout.struct({ raw: Layout.bytes(3) }), source).raw
      source.fill(9)
      expect(hex(value)).toBe("010203")
      expect(hex(within)).toBe("010203")
    }
  })

  it("a value lies where its view begins, and nothing before or after it is touched", () => {
    const memory = new Uint8Array(40).fill(0xee)
    const layout = Layout.struct({ a: Layout.u8, b: Layout.u32 })
    layout.write(new DataView(memory.buffer), memory, 16, { a: 1, b: 2 })
    expect(hex(memory.subarray(0, 16))).toBe("ee".repeat(16))
    expect(hex(memory.subarray(16, 24))).toBe("0100000002000000")
    expect(hex(memory.subarray(24))).toBe("ee".repeat(16))
    expect(decode(layout, memory.subarray(16))).toEqual({ a: 1, b: 2 })
  })

  it("both operations can be piped", () => {
    const bytes = Result.getOrThrow(Layout.encode({ port: 1, proto: 2 })(inner))
    expect(Result.getOrThrow(Layout.decode(bytes)(inner))).toEqual({ port: 1, proto: 2 })
  })
})

describe("padding", () => {
  for (const [name, layout] of Object.entries(faithful)) {
    it.prop(`is zero over dirty memory: ${name}`, [layout.schema, someBytes(1)], ([value, [dirt]]) => {
      const memory = new Uint8Array(layout.size + 16).fill(dirt!)
      layout.write(new DataView(memory.buffer), memory, 8, value)
      expect(hex(memory.subarray(8, 8 + layout.size))).toBe(hex(encode(layout, value)))
      expect(hex(memory.subarray(0, 8)) + hex(memory.subarray(8 + layout.size))).toBe(
        hex(new Uint8Array(16).fill(dirt!))
      )
    })
  }

  it("is zero behind a narrow member of a union, in a struct, in an array", () => {
    const element = Layout.struct({ u: Layout.union({ a: Layout.u8, b: Layout.u64 }), z: Layout.u8 })
    const layout = Layout.array(element, 2)
    const memory = new Uint8Array(layout.size).fill(0xff)
    layout.write(new DataView(memory.buffer), memory, 0, [{ u: { a: 1 }, z: 2 }, { u: { b: 3n }, z: 4 }])
    expect(hex(memory.subarray(0, 16))).toBe("01000000000000000200000000000000")
    expect(hex(memory.subarray(16))).toBe("03000000000000000400000000000000")
  })

  it("of a nested struct at the end of a packed one is zero", () => {
    const layout = Layout.packed({ a: Layout.u8, in: inner })
    const memory = new Uint8Array(layout.size).fill(0xff)
    layout.write(new DataView(memory.buffer), memory, 0, { a: 1, in: { port: 2, proto: 3 } })
    expect(hex(memory)).toBe("0102000300")
  })

  it("is zero behind a short string", () => {
    const layout = Layout.cstring(8)
    const memory = new Uint8Array(8).fill(0xff)
    layout.write(new DataView(memory.buffer), memory, 0, "ab")
    expect(hex(memory)).toBe("6162000000000000")
  })
})

describe("a value that does not fit", () => {
  const limits: Record<keyof typeof integers, readonly [minimum: number | bigint, maximum: number | bigint]> = {
    u8: [0, 255],
    u16: [0, 65535],
    u32: [0, 4294967295],
    u64: [0n, 18446744073709551615n],
    i8: [-128, 127],
    i16: [-32768, 32767],
    i32: [-2147483648, 2147483647],
    i64: [-9223372036854775808n, 9223372036854775807n],
    u64Number: [0, 9007199254740991],
    i64Number: [-9007199254740991, 9007199254740991],
    u16be: [0, 65535],
    u32be: [0, 4294967295],
    u64be: [0n, 18446744073709551615n],
    i16be: [-32768, 32767],
    i32be: [-2147483648, 2147483647],
    i64be: [-9223372036854775808n, 9223372036854775807n],
    pointer: [0n, 18446744073709551615n]
  }

  for (const [name, [minimum, maximum]] of Object.entries(limits)) {
    it(`${name} takes ${minimum} to ${maximum}, and nothing else`, () => {
      const layout = Layout.struct({ head: Layout.u8, field: integers[name as keyof typeof limits] }) as Layout.Layout<
        any
      >
      for (const field of [minimum, maximum]) {
        expect(decode(layout, encode(layout, { head: 1, field }))).toEqual({ head: 1, field })
      }
      const one = typeof minimum === "bigint" ? 1n : 1
      const below = (minimum as number) - (one as number)
      const above = (maximum as number) + (one as number)
      const kind = typeof minimum === "bigint" ? 1 : 1n
      const never = [below, above, kind, 0.5, Number.NaN, Infinity, -Infinity, "1", true, null, undefined, {}, [1]]
      for (const field of never) {
        const error = encodeError(layout, { head: 1, field })
        expect(error._tag).toBe("LayoutError")
        expect(error.path).toBe("field")
        if (!name.endsWith("Number")) expect(error.expected).toContain(`from ${minimum} to ${maximum}`)
        expect(error.message).toMatch(/^field: expected .+, got .+/)
      }
    })
  }

  it("in a bit-field is an error with the width and the limits", () => {
    const layout = Layout.struct({
      u: Layout.bits(Layout.u32, 3),
      s: Layout.bits(Layout.i16, 4),
      b: Layout.bits(Layout.u64, 40)
    })
    const fits = { u: 7, s: -8, b: 2n ** 40n - 1n }
    expect(decode(layout, encode(layout, fits))).toEqual(fits)
    for (const u of [8, -1, 0.5, Number.NaN, 1n]) {
      expect(encodeError(layout, { ...fits, u })).toMatchObject({
        path: "u",
        expected: "a bit-field of 3 bits (an integer from 0 to 7)"
      })
    }
    for (const s of [8, -9]) {
      expect(encodeError(layout, { ...fits, s })).toMatchObject({
        path: "s",
        expected: "a bit-field of 4 bits (an integer from -8 to 7)"
      })
    }
    for (const b of [2n ** 40n, -1n, 5]) {
      expect(encodeError(layout, { ...fits, b })).toMatchObject({
        path: "b",
        expected: "a bit-field of 40 bits (a bigint from 0 to 1099511627775)"
      })
    }
  })

  it("a 64-bit field read as a number beyond 2^53 - 1 is an error, in whatever it is nested", () => {
    const big = new Uint8Array(32).fill(0xff)
    big[31] = 0x7f
    const paths: ReadonlyArray<readonly [string, Layout.Layout<any>]> = [
      ["", Layout.u64Number],
      ["a", Layout.struct({ a: Layout.u64Number })],
      ["a.b", Layout.struct({ a: Layout.struct({ b: Layout.u64Number }) })],
      ["u.n", Layout.struct({ u: Layout.union({ raw: Layout.bytes(8), n: Layout.u64Number }) })],
      ["list[3]", Layout.struct({ list: Layout.array(Layout.i64Number, 4) })]
    ]
    for (const [path, layout] of paths) expect(decodeError(layout, big), path).toMatchObject({ path })
  })

  it("a bit-field read as a number beyond 2^53 - 1 is an error too", () => {
    const layout = Layout.struct({ a: Layout.bits(Layout.u64Number, 60) })
    expect(decode(layout, encode(layout, { a: 2 ** 53 - 1 }))).toEqual({ a: 2 ** 53 - 1 })
    expect(decodeError(layout, new Uint8Array(8).fill(0xff))).toMatchObject({ path: "a" })
  })

  it("64-bit numbers are exact up to the limit, and an error one beyond it", () => {
    const at = (value: bigint) => encode(Layout.i64, value)
    for (const layout of [Layout.i64Number, Layout.u64Number]) {
      expect(decode(layout, at(2n ** 53n - 1n))).toBe(2 ** 53 - 1)
      expect(decodeError(layout, at(2n ** 53n))).toBeInstanceOf(Layout.LayoutError)
      expect(decodeError(layout, at(2n ** 53n + 1n))).toBeInstanceOf(Layout.LayoutError)
    }
    expect(decode(Layout.i64Number, at(-(2n ** 53n - 1n)))).toBe(-(2 ** 53 - 1))
    expect(decodeError(Layout.i64Number, at(-(2n ** 53n)))).toBeInstanceOf(Layout.LayoutError)
    expect(decode(Layout.i64Number, at(-1n))).toBe(-1)
    expect(decode(Layout.i64Number, at(-(2n ** 32n)))).toBe(-(2 ** 32))
  })

  it("a path leads through structs, arrays and unions", () => {
    const layout = Layout.struct({
      address: Layout.struct({ port: Layout.u16 }),
      cpus: Layout.array(Layout.struct({ load: Layout.array(Layout.u8, 2) }), 2),
      u: Layout.union({ n: Layout.u32, list: Layout.array(Layout.i8, 2) })
    })
    const fits = { address: { port: 1 }, cpus: [{ load: [1, 2] }, { load: [3, 4] }], u: { n: 1 } }
    expect(encodeError(layout, { ...fits, address: { port: -1 } }).path).toBe("address.port")
    expect(encodeError(layout, { ...fits, address: 1 }).path).toBe("address")
    expect(encodeError(layout, { ...fits, cpus: [{ load: [1, 2] }, { load: [3, 256] }] }).path).toBe("cpus[1].load[1]")
    expect(encodeError(layout, { ...fits, cpus: [{ load: [1, 2] }] })).toMatchObject({
      path: "cpus",
      expected: "an array of 2",
      actual: "an array of 1"
    })
    expect(encodeError(layout, { ...fits, cpus: [{ load: [1, 2] }, { load: [1, 2, 3] }] }).path).toBe("cpus[1].load")
    expect(encodeError(layout, { ...fits, u: { list: [1, 128] } }).path).toBe("u.list[1]")
    expect(encodeError(layout, { ...fits, u: {} })).toMatchObject({
      path: "u",
      expected: "an object with at least one of n, list"
    })
    expect(encodeError(Layout.array(Layout.u8, 2), [1, 256]).path).toBe("[1]")
    expect(encodeError(layout, undefined)).toMatchObject({ path: "", actual: "undefined" })
    expect(encodeError(layout, undefined).message).toBe("value: expected an object, got undefined")
  })

  it("a missing field is an error and not a zero", () => {
    expect(encodeError(inner, { port: 1 })).toMatchObject({ path: "proto", actual: "undefined" })
    expect(encodeError(Layout.struct({ toString: Layout.u8 }), {})).toMatchObject({ path: "toString" })
  })

  it("a string needs room for its NUL, counted in bytes of UTF-8, and may have none inside", () => {
    const layout = Layout.struct({ name: Layout.cstring(4) })
    expect(hex(encode(layout, { name: "abc" }))).toBe("61626300")
    expect(hex(encode(layout, { name: "é" }))).toBe("c3a90000")
    expect(encodeError(layout, { name: "abcd" })).toMatchObject({
      path: "name",
      expected: "a string of at most 3 bytes in UTF-8",
      actual: "\"abcd\" (4 bytes)"
    })
    expect(encodeError(layout, { name: "éé" }).actual).toBe("\"éé\" (4 bytes)")
    expect(encodeError(layout, { name: "a\0" })).toMatchObject({ path: "name", expected: "a string without NUL" })
    expect(encodeError(layout, { name: 5 })).toMatchObject({ path: "name", actual: "5" })
  })

  it("a string that is no well-formed Unicode is refused by the encoder as by the schema", () => {
    const layout = Layout.cstring(8)
    expect(Schema.decodeUnknownResult(layout.schema)("\ud800")._tag).toBe("Failure")
    expect(Layout.encode(layout, "\ud800")._tag).toBe("Failure")
  })

  it("bytes need their exact length", () => {
    const layout = Layout.struct({ raw: Layout.bytes(3) })
    for (const raw of [new Uint8Array(2), new Uint8Array(4), [1, 2, 3], "abc", undefined]) {
      expect(encodeError(layout, { raw })).toMatchObject({ path: "raw", expected: "a Uint8Array of 3 bytes" })
    }
  })

  it("a boolean is no number", () => {
    for (const ok of [0, 1, "true", null, undefined]) {
      expect(encodeError(Layout.struct({ ok: Layout.bool }), { ok })).toMatchObject({
        path: "ok",
        expected: "a boolean"
      })
    }
    expect(decode(Layout.bool, new Uint8Array([0]))).toBe(false)
    expect(decode(Layout.bool, new Uint8Array([2]))).toBe(true)
  })

  it("an unknown name of an enumeration is an error that lists the known ones", () => {
    const layout = Layout.struct({ color })
    expect(encodeError(layout, { color: "MAUVE" })).toMatchObject({
      path: "color",
      expected: "one of RED, GREEN, BLUE, or a number",
      actual: "\"MAUVE\""
    })
    for (const name of ["__proto__", "toString", "constructor"]) {
      expect(encodeError(layout, { color: name }).path).toBe("color")
    }
    expect(encodeError(layout, { color: 2 ** 32 }).path).toBe("color")
  })

  it("union members that contradict each other are an error", () => {
    const layout = Layout.union({ a: Layout.u8, b: Layout.u32 })
    expect(hex(encode(layout, { a: 1, b: 0x0201 }))).toBe("01020000")
    expect(encodeError(layout, { a: 2, b: 0x0201 })).toMatchObject({
      path: "a",
      expected: "the same bytes as the union's other members",
      actual: "2"
    })
  })

  it("fewer bytes than the layout has are an error with both numbers", () => {
    for (const [name, layout] of Object.entries(total)) {
      for (const length of [0, 1, layout.size - 1].filter((n) => n < layout.size)) {
        const error = decodeError(layout, new Uint8Array(length))
        expect(error, name).toMatchObject({
          path: "",
          expected: `at least ${layout.size} bytes`,
          actual: `${length} bytes`
        })
      }
      expect(Layout.decode(layout, new Uint8Array(layout.size + 5))._tag, name).toBe("Success")
    }
  })

  it("a view that is a window of a larger buffer is not read beyond", () => {
    const memory = new Uint8Array(64).fill(7)
    expect(decodeError(Layout.u64, memory.subarray(60))).toBeInstanceOf(Layout.LayoutError)
    expect(decodeError(Layout.u64, memory.subarray(8, 12))).toBeInstanceOf(Layout.LayoutError)
  })

  it("the text of an error is short whatever the value was", () => {
    const actual = (value: unknown) => encodeError(Layout.u8, value).actual
    expect(actual("x".repeat(1000)).length).toBeLessThan(70)
    expect(actual(new Uint8Array(1000))).toBe("1000 bytes")
    expect(actual(Array.from({ length: 1000 }))).toBe("an array of 1000")
    expect(actual({ toString: () => "never called" })).toBe("an object")
    expect(actual(() => 1)).toBe("a function")
    expect(actual(Symbol("s"))).toBe("Symbol(s)")
    expect(actual(5n)).toBe("5n")
    expect(actual(Object.create(null))).toBe("an object")
  })
})

describe("any bytes", () => {
  for (const [name, layout] of Object.entries(total)) {
    it.prop(`decode without an error: ${name}`, [someBytes(layout.size)], ([bytes]) => {
      const result = Layout.decode(layout, bytes)
      expect(result._tag).toBe("Success")
    })
  }

  it.prop("that are 64-bit numbers decode, or are an error of the layout", [someBytes(8)], ([bytes]) => {
    for (const layout of [Layout.u64Number, Layout.i64Number]) {
      const exact = layout === Layout.u64Number ? decode(Layout.u64, bytes) : decode(Layout.i64, bytes)
      const result = Layout.decode(layout, bytes)
      if (Result.isSuccess(result)) expect(BigInt(result.success)).toBe(exact)
      else expect(exact > 2n ** 53n - 1n || exact < -(2n ** 53n - 1n)).toBe(true)
    }
  })

  it("of a string end at the first NUL, or where the layout ends", () => {
    const layout = Layout.struct({ name: Layout.cstring(4), next: Layout.u32 })
    const read = (bytes: ReadonlyArray<number>) => decode(layout, Uint8Array.from([...bytes, 0x61, 0x62, 0, 0])).name
    expect(read([0x61, 0, 0x62, 0])).toBe("a")
    expect(read([0x61, 0x62, 0x63, 0x64])).toBe("abcd")
    expect(read([0xc3, 0xa9, 0xc3, 0xa9])).toBe("éé")
    expect(read([0x61, 0xff, 0x62, 0])).toBe("a\u{fffd}b")
    expect(read([0xc3, 0xa9, 0, 0xff])).toBe("é")
    expect(read([0x61, 0x62, 0x63, 0xc3])).toBe("abc\u{fffd}")
    expect(read([0, 0xff, 0xff, 0xff])).toBe("")
  })

  it("of a union encode again to what they were, where a member reads several bytes as one value", () => {
    const unions: ReadonlyArray<readonly [Layout.Layout<any>, ReadonlyArray<number>]> = [
      [Layout.union({ flag: Layout.bool, raw: Layout.u8 }), [2]],
      [Layout.union({ raw: Layout.u8, flag: Layout.bool }), [2]],
      [Layout.union({ text: Layout.cstring(4), raw: Layout.u32 }), [2, 0, 7, 9]],
      [Layout.union({ padded: inner, raw: Layout.u32 }), [2, 2, 2, 2]]
    ]
    for (const [union, given] of unions) {
      const bytes = Uint8Array.from(given)
      expect(hex(encode(union, decode(union, bytes)))).toBe(hex(bytes))
    }
  })

  it("of a string that fills its array decode whole, and do not encode: there is no room for the NUL", () => {
    const text = decode(Layout.cstring(2), Uint8Array.of(0x61, 0x62))
    expect(text).toBe("ab")
    expect(Layout.encode(Layout.cstring(2), text)._tag).toBe("Failure")
  })

  it("of a union agree with an enumeration's value given as a name or as its number", () => {
    const layout = Layout.union({ n: Layout.u64, color })
    expect(hex(encode(layout, { n: 1n, color: "RED" }))).toBe("0100000000000000")
    expect(hex(encode(layout, { n: 1n, color: 1 }))).toBe("0100000000000000")
  })
})

describe("the schema", () => {
  it("generates bytes of the right length", () => {
    const generated = Schema.is(Layout.bytes(4).schema)
    expect(generated(new Uint8Array(4))).toBe(true)
    expect(generated(new Uint8Array(3))).toBe(false)
  })

  it.prop("of bytes can be generated from", [Schema.Struct({ raw: Layout.bytes(4).schema })], ([{ raw }]) => {
    expect(raw.length).toBe(4)
  })

  const agree: Record<string, readonly [Layout.Layout<any>, ReadonlyArray<unknown>]> = {
    u8: [Layout.u8, [0, 255, 256, -1, 0.5, "1", 1n, Number.NaN]],
    u64: [Layout.u64, [0n, 2n ** 64n - 1n, 2n ** 64n, -1n, 1]],
    i64Number: [Layout.i64Number, [2 ** 53 - 1, 2 ** 53, -(2 ** 53 - 1), -(2 ** 53), 1n]],
    cstring: [Layout.cstring(4), ["", "abc", "abcd", "éé", "a\0", 5]],
    bytes: [Layout.bytes(2), [new Uint8Array(2), new Uint8Array(3), [1, 2]]],
    array: [Layout.array(Layout.u8, 2), [[1, 2], [1], [1, 2, 3], [1, 256], 5]],
    enumeration: [color, ["RED", "MAUVE", 1, 77, -1, 2 ** 32]],
    union: [Layout.union({ a: Layout.u8, b: Layout.u32 }), [{ a: 1 }, { b: 1 }, { a: 256 }, {}, 5]],
    struct: [inner, [{ port: 1, proto: 2 }, { port: 1 }, { port: 65536, proto: 2 }, null]],
    bits: [Layout.struct({ a: Layout.bits(Layout.i8, 3) }), [{ a: 3 }, { a: 4 }, { a: -4 }, { a: -5 }]]
  }
  for (const [name, [layout, values]] of Object.entries(agree)) {
    it(`accepts what the encoder accepts, and nothing else: ${name}`, () => {
      const accepts = Schema.is(layout.schema)
      for (const value of values) {
        expect(accepts(value), String(value)).toBe(Layout.encode(layout, value)._tag === "Success")
      }
    })
  }
})

describe("columns", () => {
  const record = Layout.struct({
    ok: Layout.bool,
    a: Layout.u8,
    b: Layout.i16,
    c: Layout.u32,
    d: Layout.u64,
    e: Layout.i64,
    big: Layout.u32be,
    bit: Layout.bits(Layout.i32, 5),
    wide: Layout.bits(Layout.u64, 40),
    in: inner,
    list: Layout.array(Layout.u16, 2),
    name: Layout.cstring(3),
    raw: Layout.bytes(2),
    color,
    u: Layout.union({ x: Layout.u8, y: Layout.u16 })
  })

  /** The row of a table of columns, as a record. */
  const row = (columns: any, i: number): any =>
    ArrayBuffer.isView(columns) || Array.isArray(columns)
      ? (columns as any)[i]
      : Object.fromEntries(Object.keys(columns).map((name) => [name, row(columns[name], i)]))

  it.prop("agree with decoding record by record", [someBytes(record.size * 3)], ([bytes]) => {
    const { columns, rows } = Result.getOrThrow(Layout.decodeColumns(record, bytes))
    expect(rows).toBe(3)
    for (let i = 0; i < rows; i++) {
      const single = decode(record, bytes.subarray(i * record.size))
      expect(row(columns, i)).toEqual({ ...single, ok: single.ok ? 1 : 0 })
    }
  })

  it("are typed arrays of the fields' own kinds", () => {
    const { columns } = Result.getOrThrow(Layout.decodeColumns(record, new Uint8Array(record.size)))
    expect(columns.ok).toBeInstanceOf(Uint8Array)
    expect(columns.a).toBeInstanceOf(Uint8Array)
    expect(columns.b).toBeInstanceOf(Int16Array)
    expect(columns.c).toBeInstanceOf(Uint32Array)
    expect(columns.d).toBeInstanceOf(BigUint64Array)
    expect(columns.e).toBeInstanceOf(BigInt64Array)
    expect(columns.bit).toBeInstanceOf(Int32Array)
    expect(columns.in.port).toBeInstanceOf(Uint16Array)
    expect(columns.name).toEqual([""])
    const numbers = Result.getOrThrow(Layout.decodeColumns(Layout.array(Layout.i64Number, 1), new Uint8Array(8)))
    expect(numbers.columns).toEqual([[0]])
    const floats = Result.getOrThrow(Layout.decodeColumns(Layout.i64Number, encode(Layout.i64, -5n)))
    expect(floats.columns).toEqual(new Float64Array([-5]))
  })

  it("take whole records only, at a stride", () => {
    const bytes = Uint8Array.from({ length: 22 }, (_, i) => i)
    const read = (stride?: number) =>
      Result.map(Layout.decodeColumns(Layout.u32, bytes, stride === undefined ? {} : { stride }), (r) => [
        r.rows,
        [...(r.columns as Uint32Array)].map((n) => n & 0xff)
      ])
    expect(Result.getOrThrow(read())).toEqual([5, [0, 4, 8, 12, 16]])
    expect(Result.getOrThrow(read(8))).toEqual([3, [0, 8, 16]])
    expect(Result.getOrThrow(read(9))).toEqual([3, [0, 9, 18]])
    expect(Result.getOrThrow(read(10))).toEqual([2, [0, 10]])
    for (const stride of [3, 0, -4, 4.5, Number.NaN]) {
      const failure = Result.getOrThrow(Result.flip(read(stride)))
      expect(failure).toMatchObject({ path: "stride", expected: "an integer of at least 4", actual: String(stride) })
    }
    expect(Result.getOrThrow(Layout.decodeColumns(Layout.u32, new Uint8Array(3))).rows).toBe(0)
  })

  it("fail with the path of a number beyond 2^53 - 1", () => {
    const layout = Layout.struct({ in: Layout.struct({ n: Layout.u64Number }) })
    const failure = Result.getOrThrow(Result.flip(Layout.decodeColumns(layout, new Uint8Array(8).fill(0xff))))
    expect(failure.path).toBe("in.n")
  })

  it("have a column for a field named __proto__", () => {
    const layout = Layout.struct({ ["__proto__"]: Layout.u8, a: Layout.u8 })
    const { columns } = Result.getOrThrow(Layout.decodeColumns(layout, new Uint8Array([1, 2])))
    expect(Object.keys(columns)).toEqual(["__proto__", "a"])
    expect(Object.getPrototypeOf(columns)).toBe(Object.prototype)
  })
})

describe("names", () => {
  const hostile = [
    "__proto__",
    "constructor",
    "toString",
    "hasOwnProperty",
    "\"",
    "'",
    "`",
    "\\",
    "\\\"",
    "\n",
    "\u{2028}\u{2029}",
    "${globalThis.pwned = 1}",
    "\"]: globalThis.pwned = 1, [\"",
    "*/ globalThis.pwned = 1 /*",
    "); globalThis.pwned = 1; (",
    "x",
    "v",
    "u",
    "o",
    "h",
    "c",
    "t0",
    "error",
    "i",
    ""
  ]
  const harmless = () => expect((globalThis as any).pwned).toBeUndefined()

  it.each(hostile)("a field named %j is a field and never code", (name) => {
    const number = { [name]: 258, other: 3 }
    for (const  of of[Layout.struct, Layout.packed]) {
      const layout = of({ [name]: Layout.u32, other: Layout.u8 }) as Layout.Layout<any>
      const decoded = decode(layout, encode(layout, number)) as any
      expect(Object.keys(decoded)).toEqual([name, "other"])
      expect(decoded[name]).toBe(258)
      expect(encodeError(layout, { [name]: -1, other: 3 }).path).toBe(name)
    }
    const bit = Layout.struct({ [name]: Layout.bits(Layout.u32, 9) })
    expect(Object.entries(decode(bit, encode(bit, { [name]: 258 })))).toEqual([[name, 258]])
    const nested = Layout.array(Layout.struct({ [name]: Layout.struct({ [name]: Layout.u32 }) }), 2)
    const value = { [name]: { [name]: 7 } }
    const [first] = decode(nested, encode(nested, [value, value])) as any
    expect(first[name][name]).toBe(7)
    harmless()
  })

  it.each(hostile)("a union's member named %j is a member and never code", (name) => {
    const layout = Layout.union({ [name]: Layout.u8, other: Layout.u32 }) as Layout.Layout<any>
    expect(hex(encode(layout, { [name]: 5 }))).toBe("05000000")
    const decoded = decode(layout, new Uint8Array([5, 1, 0, 0])) as any
    expect(Object.keys(decoded)).toEqual([name, "other"])
    expect(decoded[name]).toBe(5)
    harmless()
  })

  it.each(hostile)("a union's member named %j may be left out", (name) => {
    const layout = Layout.union({ [name]: Layout.u8, other: Layout.u32 }) as Layout.Layout<any>
    expect(hex(encode(layout, { other: 261 }))).toBe("05010000")
    harmless()
  })

  it.each(hostile)("a name %j of an enumeration is a name and never code", (name) => {
    const layout = Layout.enumeration({ [name]: 5 }) as Layout.Layout<any>
    expect(decode(layout, encode(layout, name))).toBe(name)
    expect(encodeError(layout, `${name}?`).expected).toBe(`one of ${name}, or a number`)
    harmless()
  })

  it("an array's path is text, whatever the field's name", () => {
    const layout = Layout.struct({ "\"+(globalThis.pwned=1)+\"": Layout.array(Layout.u8, 1) })
    expect(encodeError(layout, { "\"+(globalThis.pwned=1)+\"": [256] }).path).toBe("\"+(globalThis.pwned=1)+\"[0]")
    harmless()
  })
})
