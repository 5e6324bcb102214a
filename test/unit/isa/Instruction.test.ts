import { describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { expect } from "vitest"
import { Instruction, Layout } from "../../../src/index.ts"

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex")
const fromHex = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text.replaceAll(" ", ""), "hex"))
const decode = (bytes: Uint8Array) => Result.getOrThrow(Instruction.decode(bytes))

const WIDE = 0x18

const integer = (minimum: number, maximum: number) => Schema.Int.check(Schema.isBetween({ minimum, maximum }))

const narrow = Schema.Struct({
  opcode: Layout.u8.schema.check(Schema.makeFilter((n: number) => n !== WIDE, { expected: "not a wide load" })),
  dst: integer(0, 15),
  src: integer(0, 15),
  offset: Layout.i16.schema,
  immediate: Layout.i32.schema
})
const wide = Schema.Struct({
  opcode: Schema.Literal(WIDE),
  dst: integer(0, 15),
  src: integer(0, 15),
  offset: Layout.i16.schema,
  immediate: Layout.u64.schema
})
const instructions = Schema.Array(Schema.Union([narrow, wide]))

describe("encoding", () => {
  it.prop("gives back every instruction when decoded", [instructions], ([parts]) => {
    const made = parts.map((part) => Instruction.make(part))
    const bytes = Instruction.encode(made)
    expect(bytes.length).toBe(parts.reduce((sum, { opcode }) => sum + (opcode === WIDE ? 16 : 8), 0))
    expect(decode(bytes)).toEqual(made)
  })

  it("puts each part where struct bpf_insn has it", () => {
    const bytes = Instruction.encode([
      Instruction.make({ opcode: 0x7b, dst: 1, src: 10, offset: -2, immediate: 0x01020304 })
    ])
    expect(hex(bytes)).toBe("7ba1feff04030201")
  })

  it("splits a wide immediate over two slots, the second otherwise zero", () => {
    const bytes = (immediate: bigint) =>
      hex(Instruction.encode([Instruction.make({ opcode: WIDE, dst: 3, immediate })]))
    expect(bytes(0x123456789abcdef0n)).toBe("18030000f0debc9a0000000078563412")
    expect(bytes(-1n)).toBe("18030000ffffffff00000000ffffffff")
    expect(bytes(2n ** 63n)).toBe("18030000000000000000000000000080")
  })

  it("writes an immediate of 32 bits signed or unsigned", () => {
    const bytes = (immediate: number) => hex(Instruction.encode([Instruction.make({ opcode: 0xb4, immediate })]))
    expect(bytes(-1)).toBe("b4000000ffffffff")
    expect(bytes(0xffffffff)).toBe("b4000000ffffffff")
    expect(bytes(-0x80000000)).toBe("b400000000000080")
  })

  it("refuses what the fields do not hold, or what extending the sign would change", () => {
    const wrong: ReadonlyArray<Parameters<typeof Instruction.make>[0]> = [
      { opcode: 0x57, immediate: 0xffffffff },
      { opcode: 0x55, immediate: 0x80000000 },
      { opcode: 0x7a, immediate: 0xffffffff },
      { opcode: 0xb4, immediate: 2 ** 32 },
      { opcode: 0xb4, immediate: 0.5 },
      { opcode: 0xb4, immediate: Number.NaN },
      { opcode: 0xb4, immediate: 1n },
      { opcode: 256 },
      { opcode: 0xb4, dst: 16 },
      { opcode: 0xb4, src: -1 },
      { opcode: 0xb4, offset: 0x8000 },
      { opcode: WIDE, immediate: 2n ** 64n },
      { opcode: WIDE, immediate: 1 }
    ]
    for (const parts of wrong) {
      const encode = () => Instruction.encode([Instruction.make({ opcode: 0x95 }), Instruction.make(parts)])
      expect(encode, JSON.stringify(parts, (_, v) => typeof v === "bigint" ? `${v}n` : v)).toThrow(/^instruction 1: /)
    }
  })

  it("writes at an offset of a view and touches nothing else", () => {
    const memory = new Uint8Array(24).fill(0xee)
    Instruction.write(new DataView(memory.buffer), 8, Instruction.make({ opcode: 0x95 }))
    expect(hex(memory)).toBe("ee".repeat(8) + "9500000000000000" + "ee".repeat(8))
  })

  it("leaves out what was not given", () => {
    expect(Instruction.make({ opcode: 0x95 })).toEqual({
      _tag: "Instruction",
      opcode: 0x95,
      dst: 0,
      src: 0,
      offset: 0,
      immediate: 0,
      reference: undefined,
      source: undefined
    })
    expect(Instruction.sourceOf(Instruction.make({ opcode: 0x95 }))).toBeUndefined()
  })

  it("counts slots: two for a wide load, and one for all else", () => {
    for (let opcode = 0; opcode < 256; opcode++) {
      const instruction = Instruction.make({ opcode })
      expect(Instruction.slots(instruction)).toBe(opcode === WIDE ? 2 : 1)
      expect(Instruction.isWide(instruction)).toBe(opcode === WIDE)
    }
  })
})

describe("decoding", () => {
  /** Slots of noise, in which wide loads are far more frequent than by chance. */
  const slot = Arbitrary.map(
    Arbitrary.all([
      Arbitrary.schema(Schema.Union([Layout.u8.schema, Schema.Literal(WIDE)])),
      Arbitrary.array(Arbitrary.schema(Layout.u8.schema), { minLength: 7, maxLength: 7 })
    ]),
    ([opcode, rest]) => [opcode, ...rest]
  )

  it.prop("encodes again to the same bytes, or fails", [Arbitrary.array(slot)], ([slots]) => {
    const bytes = Uint8Array.from(slots.flat())
    const result = Instruction.decode(bytes)
    if (Result.isSuccess(result)) expect(hex(Instruction.encode(result.success))).toBe(hex(bytes))
    else expect(result.failure).toBeInstanceOf(Instruction.DecodeError)
  })

  it("reads registers, offsets and immediates with their signs", () => {
    expect(decode(fromHex("7b a1 f8 ff fe ff ff ff"))).toEqual([
      Instruction.make({ opcode: 0x7b, dst: 1, src: 10, offset: -8, immediate: -2 })
    ])
    expect(decode(fromHex("18 11 00 00 ff ff ff ff 00 00 00 00 01 00 00 80"))).toEqual([
      Instruction.make({ opcode: WIDE, dst: 1, src: 1, immediate: 0x80000001ffffffffn })
    ])
    expect(decode(new Uint8Array(0))).toEqual([])
  })

  it("reads a window of a larger buffer", () => {
    const memory = fromHex(`ff ff ff ${"95 00 00 00 00 00 00 00"} ff ff`)
    expect(decode(memory.subarray(3, 11))).toEqual([Instruction.make({ opcode: 0x95 })])
  })

  it("fails for a length that is no multiple of 8, with the slot", () => {
    for (const length of [1, 7, 9, 23]) {
      const error = Result.getOrThrow(Result.flip(Instruction.decode(new Uint8Array(length))))
      expect(error).toMatchObject({
        _tag: "DecodeError",
        index: Math.floor(length / 8),
        expected: "a multiple of 8 bytes",
        actual: `${length} bytes`
      })
    }
  })

  it("fails for a wide load whose second slot is cut off, with its slot", () => {
    const bytes = fromHex("95 00 00 00 00 00 00 00  18 01 00 00 00 00 00 00")
    const error = Result.getOrThrow(Result.flip(Instruction.decode(bytes)))
    expect(error.message).toBe("instruction 1: expected a second slot, got the end")
  })
})
