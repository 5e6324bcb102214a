import { describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { expect } from "vitest"
import { Layout } from "../../../src/index.ts"

/** Nanoseconds in memory, and a text of them as the value. */
const duration = Layout.transform(Layout.u64, {
  decode: (ns) => `${ns}ns`,
  encode: (text: string) => {
    if (!/^\d{1,20}ns$/.test(text)) {
      throw new Layout.LayoutError({ path: "", expected: "a duration such as 5ns", actual: JSON.stringify(text) })
    }
    return BigInt(text.slice(0, -2))
  },
  schema: Schema.String
})

const bytesOf = <A>(layout: Layout.Layout<A>, value: A): Uint8Array => Result.getOrThrow(Layout.encode(layout, value))

describe("a transformed layout", () => {
  it("lies in memory as its base does", () => {
    expect([duration.size, duration.align]).toEqual([Layout.u64.size, Layout.u64.align])
    expect(bytesOf(duration, "258ns")).toEqual(bytesOf(Layout.u64, 258n))
  })

  it.prop("gives back what it was given", [Layout.u64.schema], ([ns]) => {
    const bytes = bytesOf(duration, `${ns}ns`)
    expect(Layout.decode(duration, bytes)).toEqual(Result.succeed(`${ns}ns`))
  })

  it("tells where in a struct or array a value does not fit, by its own check or the base's", () => {
    const Event = Layout.struct({ id: Layout.u8, times: Layout.array(duration, 2) })
    expect(Layout.encode(Event, { id: 1, times: ["1ns", "soon"] })).toMatchObject({
      failure: { path: "times[1]", expected: "a duration such as 5ns" }
    })
    const beyond = Layout.encode(Event, { id: 1, times: ["1ns", `${2n ** 64n}ns`] })
    expect(beyond).toMatchObject({ failure: { _tag: "LayoutError", path: "times[1]" } })
    const bytes = bytesOf(Event, { id: 1, times: ["1ns", "2ns"] })
    expect(bytes).toHaveLength(24)
    expect(Layout.decode(Event, bytes)).toEqual(Result.succeed({ id: 1, times: ["1ns", "2ns"] }))
  })

  it("can be transformed again, and its padding is zero", () => {
    const Pair = Layout.transform(Layout.struct({ a: Layout.u8, b: Layout.u32 }), {
      decode: ({ a, b }) => [a, b] as const,
      encode: ([a, b]: readonly [number, number]) => ({ a, b }),
      schema: Schema.Tuple([Schema.Int, Schema.Int]) as unknown as Schema.Codec<readonly [number, number]>
    })
    const Sum = Layout.transform(Pair, {
      decode: ([a, b]) => a + b,
      encode: (sum: number): readonly [number, number] => [1, sum - 1],
      schema: Schema.Int
    })
    const data = new Uint8Array(8).fill(0xff)
    Sum.write(new DataView(data.buffer), data, 0, 6)
    expect(data).toEqual(Uint8Array.of(1, 0, 0, 0, 5, 0, 0, 0))
    expect(Layout.decode(Sum, data)).toEqual(Result.succeed(6))
  })

  it("has the schema that it was given", () => {
    expect(duration.schema).toBe(Schema.String)
    expect(Schema.is(Layout.struct({ at: duration }).schema)({ at: "5ns" })).toBe(true)
    expect(Schema.is(Layout.struct({ at: duration }).schema)({ at: 5n })).toBe(false)
  })

  it("decodes to a plain column, and is written from one", () => {
    const data = bytesOf(Layout.array(duration, 3), ["1ns", "2ns", "3ns"])
    expect(Layout.decodeColumns(duration, data)).toEqual(Result.succeed({ rows: 3, columns: ["1ns", "2ns", "3ns"] }))
  })

  it("lets an error that is no LayoutError through, as the bug that it is", () => {
    const broken = Layout.transform(Layout.u8, {
      decode: (): number => {
        throw new TypeError("a bug")
      },
      encode: (): number => {
        throw new TypeError("a bug")
      },
      schema: Schema.Number
    })
    expect(() => Layout.encode(broken, 1)).toThrow(TypeError)
    expect(() => Layout.decode(broken, Uint8Array.of(1))).toThrow(TypeError)
  })

  it("is a spin lock by its name only: it reads and writes as a number", () => {
    expect([Layout.spinLock.size, Layout.spinLock.align]).toEqual([4, 4])
    expect(bytesOf(Layout.spinLock, 0)).toEqual(new Uint8Array(4))
  })
})
