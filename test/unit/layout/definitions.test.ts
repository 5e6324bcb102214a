// A layout that cannot be is refused when it is made, with what is wrong and where.
import { describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { expect } from "vitest"
import { Layout } from "../../../src/index.ts"

const L = Layout as any

const refusal = (make: () => unknown): Layout.LayoutError => {
  try {
    make()
  } catch (error) {
    if (error instanceof Layout.LayoutError) return error
    throw error
  }
  throw new Error("was made")
}

const roundTrip = <A>(layout: Layout.Layout<A>, value: NoInfer<A>): A =>
  Result.getOrThrow(Layout.decode(layout, Result.getOrThrow(Layout.encode(layout, value))))

describe("an enumeration", () => {
  // What gcc 12 says of `sizeof` and of the sign of enums with these values.
  const bases: ReadonlyArray<readonly [values: Record<string, number>, size: number, isSigned: boolean]> = [
    [{ A: 0, B: 1 }, 4, false],
    [{ A: 0xffffffff }, 4, false],
    [{ FAIL: -1, OK: 0 }, 4, true],
    [{ LEAST: -(2 ** 31), MOST: 2 ** 31 - 1 }, 4, true],
    [{ A: -1, B: 2 ** 31 }, 8, true],
    [{ A: -(2 ** 31) - 1 }, 8, true],
    [{ A: 2 ** 32 }, 8, false]
  ]
  for (const [values, size, isSigned] of bases) {
    it(`of ${JSON.stringify(values)} has the base that C takes: ${isSigned ? "signed" : "unsigned"}, ${size} bytes`, () => {
      const layout: Layout.Layout<string | number> = Layout.enumeration(values)
      expect(layout).toMatchObject({ size, align: size })
      for (const name of Object.keys(values)) expect(roundTrip(layout, name)).toBe(name)
      expect(Result.isSuccess(Layout.encode(layout, -5))).toBe(isSigned)
    })
  }

  it("of one negative value reads it back, and not 4294967295", () => {
    const layout = Layout.enumeration({ FAIL: -1, OK: 0 })
    expect(Layout.decode(layout, new Uint8Array(4).fill(255))).toEqual(Result.succeed("FAIL"))
    expect(Result.getOrThrow(Layout.encode(layout, "FAIL"))).toEqual(new Uint8Array(4).fill(255))
  })

  it("must have values that its base holds", () => {
    const beyond: ReadonlyArray<readonly [number, Layout.Layout<number>]> = [
      [-1, Layout.u32],
      [-1, Layout.u8],
      [256, Layout.u8],
      [128, Layout.i8],
      [-129, Layout.i8],
      [2 ** 16, Layout.u16be],
      [2 ** 31, Layout.i32],
      [2 ** 32, Layout.u32],
      [-1, Layout.u64Number]
    ]
    for (const [value, base] of beyond) {
      expect(refusal(() => Layout.enumeration({ OK: 0, BAD: value }, base))).toMatchObject({
        path: "BAD",
        actual: String(value)
      })
    }
  })

  it("must have integers as values, and at least one", () => {
    for (const value of [0.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53, "1", 1n, undefined, null, {}, []]) {
      expect(refusal(() => L.enumeration({ BAD: value })).path).toBe("BAD")
    }
    expect(refusal(() => Layout.enumeration({})).actual).toBe("none")
  })

  it("must have a base of whole numbers", () => {
    const bases = [Layout.u64, Layout.bool, Layout.bytes(4), Layout.cstring(4), Layout.bits(Layout.u8, 3), 4, null, {}]
    for (const base of bases) expect(() => L.enumeration({ A: 1 }, base)).toThrow(Layout.LayoutError)
  })

  it("of very many values is made", () => {
    const values = Object.fromEntries(Array.from({ length: 200_000 }, (_, i) => [`V${i}`, i]))
    expect(Layout.enumeration(values).size).toBe(4)
  })
})

describe("what is no definition", () => {
  const noLayouts = [undefined, null, 0, 4, "u32", {}, [], () => Layout.u32, { size: 4, align: 4 }]

  it("is no field, member, element or base, and the error names it", () => {
    for (const wrong of noLayouts) {
      expect(refusal(() => L.struct({ ok: Layout.u8, bad: wrong })).path).toBe("bad")
      expect(refusal(() => L.packed({ ok: Layout.u8, bad: wrong })).path).toBe("bad")
      expect(refusal(() => L.union({ ok: Layout.u8, bad: wrong })).path).toBe("bad")
      expect(refusal(() => L.array(wrong, 3)).expected).toBe("a layout")
      expect(refusal(() => L.bits(wrong, 3)).expected).toBe("a layout")
      const codec = { decode: (a: unknown) => a, encode: (a: unknown) => a, schema: Schema.Unknown }
      expect(refusal(() => L.transform(wrong, codec)).expected).toBe("a layout")
    }
  })

  it("is a bit-field anywhere but in a struct", () => {
    const flag = Layout.bits(Layout.u32, 3)
    for (
      const make of [
        () => L.packed({ flag }),
        () => L.union({ flag }),
        () => L.array(flag, 2),
        () => L.bits(flag, 2),
        () => L.transform(flag, { decode: Number, encode: Number, schema: Schema.Number })
      ]
    ) {
      expect(refusal(make).actual).toBe("a bit-field")
    }
  })

  it("is a bit-field of no integer, or wider than it", () => {
    for (const width of [0, -1, 33, 1.5, Number.NaN, Number.POSITIVE_INFINITY, "3", undefined, null, 3n]) {
      expect(() => L.bits(Layout.u32, width)).toThrow(Layout.LayoutError)
    }
    for (const base of [Layout.bool, Layout.u16be, Layout.bytes(4), Layout.enumeration({ A: 1 })]) {
      expect(() => L.bits(base, 1)).toThrow(Layout.LayoutError)
    }
  })

  it("is a length that is no count", () => {
    for (
      const length of [0, -1, 0.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 31, 1e300, "4", undefined, null, 4n, {}]
    ) {
      for (const make of [() => L.cstring(length), () => L.bytes(length), () => L.array(Layout.u8, length)]) {
        expect(make).toThrow(Layout.LayoutError)
      }
    }
  })

  it("is a set of names that is no plain object", () => {
    class Fields {
      a = Layout.u8
    }
    const sets = [undefined, null, 4, "ab", [Layout.u8], new Fields(), new Map([["a", Layout.u8]]), () => 1]
    for (const set of sets) {
      for (const make of [L.struct, L.packed, L.union, L.enumeration]) {
        expect(() => make(set), String(set)).toThrow(Layout.LayoutError)
      }
    }
    expect(Layout.struct(Object.assign(Object.create(null), { a: Layout.u8 })).size).toBe(1)
  })

  it("is a field that an object literal loses", () => {
    // `{ __proto__: x }` sets the prototype: there is no such field.
    for (const make of [L.struct, L.packed, L.union]) {
      expect(() => make({ a: Layout.u8, __proto__: Layout.u32 })).toThrow("a plain object with names")
    }
    const own = Layout.struct({ ["__proto__"]: Layout.u32 })
    const value = { ["__proto__"]: 7 }
    expect(Object.entries(roundTrip(own, value))).toEqual([["__proto__", 7]])
    expect(Result.isFailure(Layout.encode(own, {} as never))).toBe(true)
  })

  it("is a name that JavaScript would move to the front", () => {
    for (const make of [L.struct, L.packed, L.union]) {
      expect(() => make({ b: Layout.u8, 1: Layout.u8 })).toThrow("no integers")
    }
    expect(() => Layout.enumeration({ B: 1, 7: 1 })).toThrow("no integers")
  })

  it("is a union of nothing", () => {
    expect(() => Layout.union({})).toThrow("at least one member")
  })

  it("is a codec without its functions", () => {
    const codec = { decode: Number, encode: Number, schema: Schema.Number }
    for (const key of ["decode", "encode", "schema"]) {
      expect(refusal(() => L.transform(Layout.u8, { ...codec, [key]: undefined })).path).toBe(key)
    }
    for (const wrong of [undefined, null, 4]) expect(() => L.transform(Layout.u8, wrong)).toThrow(Layout.LayoutError)
  })

  it("is larger than the kernel's sizes, or nests without end", () => {
    const large = Layout.bytes(0x7fffffff)
    for (const make of [Layout.struct, Layout.packed]) {
      expect(() => make({ a: large, b: Layout.u8 })).toThrow("at most 2147483647 bytes")
    }
    expect(() => Layout.union({ a: large, b: Layout.u64 })).toThrow("at most 2147483647 bytes")
    let deep: Layout.Layout<any> = Layout.u8
    const nest = () => {
      for (let i = 0; i < 100_000; i++) deep = i % 2 === 0 ? Layout.array(deep, 1) : Layout.struct({ a: deep })
    }
    expect(nest).toThrow("levels of nesting")
    expect(Layout.encode(deep, 1 as never)._tag).toBe("Failure")
  })
})

describe("a schema", () => {
  it("may be given as a function, which is called when it is asked for", () => {
    let calls = 0
    const layout = Layout.transform(Layout.u8, {
      decode: String,
      encode: Number,
      schema: () => {
        calls++
        return Schema.String
      }
    })
    expect(calls).toBe(0)
    expect(layout.schema).toBe(layout.schema)
    expect(calls).toBe(1)
  })

  it("may be a class", () => {
    class Point extends Schema.Class<Point>("Point")({ x: Schema.Number }) {}
    const layout = Layout.transform(Layout.u8, {
      decode: (x) => new Point({ x }),
      encode: ({ x }) => x,
      schema: Point as unknown as Schema.Codec<Point>
    })
    expect(layout.schema).toBe(Point)
  })

  it("is one of the very module that users import", () => {
    expect(Schema.isSchema(Layout.struct({ a: Layout.u8 }).schema)).toBe(true)
    expect(Schema.decodeUnknownSync(Layout.u8.schema)(5)).toBe(5)
  })
})
