import { describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import { expect } from "vitest"
import { Layout, PerCpu } from "../../../src/index.ts"

const counters = Layout.struct({
  packets: Layout.u32,
  bytes: Layout.u64,
  latest: Layout.array(Layout.i16, 2),
  name: Layout.cstring(8),
  raw: Layout.bytes(2)
})

/** Values of one to nine CPUs. */
const ofCpus = <A>(layout: Layout.Layout<A>) =>
  Arbitrary.array(Arbitrary.schema(layout.schema), { minLength: 1, maxLength: 9 })

describe("per-CPU arithmetic", () => {
  it.prop("of numbers is that of their list", [ofCpus(Layout.i32)], ([values]) => {
    expect(PerCpu.sum(values)).toBe(values.reduce((a, b) => a + b, 0))
    expect(PerCpu.max(values)).toBe(Math.max(...values))
    expect(PerCpu.min(values)).toBe(Math.min(...values))
    expect(PerCpu.avg(values)).toBeCloseTo(values.reduce((a, b) => a + b, 0) / values.length)
  })

  it.prop("of bigints is exact, also beyond 64 bits", [ofCpus(Layout.u64)], ([values]) => {
    expect(PerCpu.sum(values)).toBe(values.reduce((a, b) => a + b, 0n))
    for (const value of values) {
      expect(PerCpu.max(values) >= value).toBe(true)
      expect(PerCpu.min(values) <= value).toBe(true)
    }
    expect(values).toContain(PerCpu.max(values))
    expect(values).toContain(PerCpu.min(values))
    const average = PerCpu.avg(values)
    const left = PerCpu.sum(values) - average * BigInt(values.length)
    expect(left >= 0n && left < BigInt(values.length)).toBe(true)
  })

  it.prop(
    "of structs and arrays is field by field, and texts and bytes are the first CPU's",
    [ofCpus(counters)],
    ([values]) => {
      for (const operation of [PerCpu.sum, PerCpu.max, PerCpu.min, PerCpu.avg]) {
        expect(operation(values)).toEqual({
          packets: operation(values.map(({ packets }) => packets)),
          bytes: operation(values.map(({ bytes }) => bytes)),
          latest: [0, 1].map((i) => operation(values.map(({ latest }) => latest[i]!))),
          name: values[0]!.name,
          raw: values[0]!.raw
        })
      }
    }
  )

  it("rounds the mean of bigints towards zero", () => {
    expect(PerCpu.avg([1n, 2n])).toBe(1n)
    expect(PerCpu.avg([-1n, -2n])).toBe(-1n)
  })

  it("of one value is that value, of none is undefined", () => {
    expect(PerCpu.sum([{ a: 1, b: [2n] }])).toEqual({ a: 1, b: [2n] })
    for (const operation of [PerCpu.sum, PerCpu.max, PerCpu.min, PerCpu.avg]) expect(operation([])).toBeUndefined()
  })
})
