import { describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { expect } from "vitest"
import { KernelSymbols, Layout } from "../../../src/index.ts"

const text = [
  "0000000000000000 A fixed_percpu_data",
  "ffffffff81000000 T _stext",
  "ffffffff81000000 T _text",
  "ffffffff81001000 t do_one",
  "ffffffff81002000 W weak_one",
  "ffffffffc0000010 t in_module\t[veth]",
  "ffffffffc0000000 T first_in_module\t[veth]",
  "0000000000000000 T hidden",
  "ffffffff81003000 a absolute",
  "no symbol at all",
  ""
].join("\n")

const symbols = KernelSymbols.parse(text)

describe("kernel symbols", () => {
  it("are those with an address, in the order of addresses", () => {
    expect(symbols.size).toBe(6)
    expect(symbols.find(0xffffffff81001000n)).toEqual(
      Option.some({ name: "do_one", module: undefined, offset: 0n })
    )
    expect(symbols.find(0xffffffff81001fffn)).toEqual(
      Option.some({ name: "do_one", module: undefined, offset: 0xfffn })
    )
    expect(symbols.find(0xffffffffc000000fn)).toEqual(
      Option.some({ name: "first_in_module", module: "veth", offset: 15n })
    )
    expect(symbols.find(0xffffffffc0000011n)).toEqual(Option.some({ name: "in_module", module: "veth", offset: 1n }))
  })

  it("have nothing below the first one", () => {
    expect(symbols.find(0xffffffff80ffffffn)).toEqual(Option.none())
    expect(symbols.find(0n)).toEqual(Option.none())
    expect(symbols.find(-1n)).toEqual(Option.none())
  })

  it("are shown with offset and module, and an unknown address as itself", () => {
    expect(KernelSymbols.format(symbols, 0xffffffff81002004n)).toBe("weak_one+0x4")
    expect(KernelSymbols.format(symbols, 0xffffffffc0000010n)).toBe("in_module [veth]")
    expect(KernelSymbols.format(symbols, 16n)).toBe("0x10")
  })

  it("are none where the kernel hides them", () => {
    const hidden = KernelSymbols.parse("0000000000000000 T _stext\n0000000000000000 t do_one\n")
    expect(hidden.size).toBe(0)
    expect(KernelSymbols.format(hidden, 1n)).toBe("0x1")
  })

  it.prop("are found by every address from their own to the next one's", [
    Arbitrary.array(Arbitrary.schema(Layout.u64.schema), { minLength: 1, maxLength: 40 }),
    Layout.u64.schema
  ], ([addresses, address]) => {
    const lines = addresses.map((each, i) => `${each.toString(16).padStart(16, "0")} t s${i}`)
    const found = KernelSymbols.parse(lines.join("\n")).find(address)
    const below = addresses.filter((each) => each !== 0n && each <= address)
    const nearest = below.reduce((a, b) => a > b ? a : b, 0n)
    expect(Option.map(found, ({ offset }) => offset)).toEqual(
      below.length === 0 ? Option.none() : Option.some(address - nearest)
    )
  })

  it.prop("of noise are few or none, and never an exception", [Schema.String], ([noise]) => {
    const parsed = KernelSymbols.parse(noise)
    expect(parsed.size).toBeLessThanOrEqual(noise.split("\n").length)
    KernelSymbols.format(parsed, 5n)
  })
})
