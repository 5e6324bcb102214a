import { describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { expect } from "vitest"
import { Asm, Instruction, Layout } from "../../../src/index.ts"
import * as Disassembler from "../../../src/isa/Disassembler.ts"

const hex = (bytes: Uint8Array): string => (Buffer.from(bytes).toString("hex").match(/../g) ?? []).join(" ")
const fromHex = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text.replaceAll(/\s/g, ""), "hex"))

const assemble = (...items: ReadonlyArray<Asm.Item>): Asm.Assembled => Result.getOrThrow(Asm.assemble(items))
const parse = (text: string): Disassembler.Listing => Result.getOrThrow(Disassembler.parse(text))
const failure = (text: string): Disassembler.ParseError => Result.getOrThrow(Result.flip(Disassembler.parse(text)))

/** The text of one instruction. */
const textOf = (bytes: string, options?: Disassembler.Options): string =>
  Disassembler.disassemble(fromHex(bytes), options).trim()

// The bytes and their texts are llvm-objdump's (LLVM 14), for C that clang compiled with -mcpu=v3.
const likeLlvm: ReadonlyArray<readonly [bytes: string, text: string]> = [
  ["bf 10 00 00 00 00 00 00", "r0 = r1"],
  ["54 02 00 00 0f 00 00 00", "w2 &= 15"],
  ["b7 03 00 00 fb ff ff ff", "r3 = -5"],
  ["07 01 00 00 ff ff ff ff", "r1 += -1"],
  ["37 01 00 00 07 00 00 00", "r1 /= 7"],
  ["67 06 00 00 07 00 00 00", "r6 <<= 7"],
  ["af 06 00 00 00 00 00 00", "r6 ^= r0"],
  ["c7 04 00 00 03 00 00 00", "r4 s>>= 3"],
  ["87 03 00 00 00 00 00 00", "r3 = -r3"],
  ["dc 01 00 00 10 00 00 00", "r1 = be16 r1"],
  ["bc 33 00 00 00 00 00 00", "w3 = w3"],
  ["16 02 06 00 00 00 00 00", "if w2 == 0 goto +6"],
  ["ad 23 08 00 00 00 00 00", "if r3 < r2 goto +8"],
  ["c5 04 ea ff fb ff ff ff", "if r4 s< -5 goto -22"],
  ["05 00 0b 00 00 00 00 00", "goto +11"],
  ["79 11 08 00 00 00 00 00", "r1 = *(u64 *)(r1 + 8)"],
  ["71 44 00 00 00 00 00 00", "r4 = *(u8 *)(r4 + 0)"],
  ["63 1a dc ff 00 00 00 00", "*(u32 *)(r10 - 36) = r1"],
  ["db 21 00 00 00 00 00 00", "lock *(u64 *)(r1 + 0) += r2"],
  ["95 00 00 00 00 00 00 00", "exit"]
]

// The encodings are RFC 9669's, and linux/bpf.h's for what came after it. LLVM has the same texts but for those of calls,
// maps and exchanges, where they are the kernel's.
const others: ReadonlyArray<readonly [bytes: string, text: string]> = [
  ["3f 21 01 00 00 00 00 00", "r1 s/= r2"],
  ["94 01 01 00 03 00 00 00", "w1 s%= 3"],
  ["bf 21 08 00 00 00 00 00", "r1 = (s8)r2"],
  ["bf 21 20 00 00 00 00 00", "r1 = (s32)r2"],
  ["bc 21 10 00 00 00 00 00", "w1 = (s16)w2"],
  ["bf 21 01 00 01 00 00 00", "r1 = addr_space_cast(r2, 0, 1)"],
  ["d4 01 00 00 20 00 00 00", "r1 = le32 r1"],
  ["d7 01 00 00 40 00 00 00", "r1 = bswap64 r1"],
  ["45 01 02 00 04 00 00 00", "if r1 & 4 goto +2"],
  ["06 00 00 00 40 42 0f 00", "gotol +1000000"],
  ["0d 03 00 00 00 00 00 00", "gotox r3"],
  ["e5 00 03 00 00 00 00 00", "may_goto +3"],
  ["91 21 ff ff 00 00 00 00", "r1 = *(s8 *)(r2 - 1)"],
  ["81 21 04 00 00 00 00 00", "r1 = *(s32 *)(r2 + 4)"],
  ["7a 01 08 00 fe ff ff ff", "*(u64 *)(r1 + 8) = -2"],
  ["30 00 00 00 17 00 00 00", "r0 = *(u8 *)skb[23]"],
  ["48 10 00 00 04 00 00 00", "r0 = *(u16 *)skb[r1 + 4]"],
  ["c3 21 04 00 40 00 00 00", "lock *(u32 *)(r1 + 4) |= w2"],
  ["db 21 08 00 01 00 00 00", "r2 = atomic64_fetch_add((u64 *)(r1 + 8), r2)"],
  ["c3 21 00 00 a1 00 00 00", "w2 = atomic_fetch_xor((u32 *)(r1 + 0), w2)"],
  ["db 21 00 00 e1 00 00 00", "r2 = atomic64_xchg((u64 *)(r1 + 0), r2)"],
  ["db 21 f8 ff f1 00 00 00", "r0 = atomic64_cmpxchg((u64 *)(r1 - 8), r0, r2)"],
  ["c3 21 00 00 f1 00 00 00", "w0 = atomic_cmpxchg((u32 *)(r1 + 0), w0, w2)"],
  ["db 21 00 00 00 01 00 00", "r1 = load_acquire((u64 *)(r2 + 0))"],
  ["d3 21 00 00 10 01 00 00", "store_release((u8 *)(r1 + 0), w2)"],
  ["85 00 00 00 01 00 00 00", "call bpf_map_lookup_elem#1"],
  ["85 00 00 00 0f 27 00 00", "call helper#9999"],
  ["85 10 00 00 fe ff ff ff", "call -2"],
  ["85 20 00 00 d2 04 00 00", "call kfunc#1234"],
  ["85 20 02 00 d2 04 00 00", "call kfunc#1234@2"],
  ["18 01 00 00 f0 de bc 9a 00 00 00 00 78 56 34 12", "r1 = 0x123456789abcdef0 ll"],
  ["18 01 00 00 08 00 00 00 00 00 00 00 00 00 00 00", "r1 = 0x8 ll"],
  ["18 11 00 00 05 00 00 00 00 00 00 00 00 00 00 00", "r1 = map[fd:5]"],
  ["18 21 00 00 05 00 00 00 00 00 00 00 10 00 00 00", "r1 = map[fd:5][0]+16"],
  ["18 51 00 00 02 00 00 00 00 00 00 00 00 00 00 00", "r1 = map[idx:2]"],
  ["18 61 00 00 02 00 00 00 00 00 00 00 04 00 00 00", "r1 = map[idx:2][0]+4"],
  ["18 31 00 00 39 30 00 00 00 00 00 00 00 00 00 00", "r1 = btf[id:12345]"],
  ["18 31 00 00 39 30 00 00 00 00 00 00 07 00 00 00", "r1 = btf[id:12345]@7"],
  ["18 42 00 00 63 00 00 00 00 00 00 00 00 00 00 00", "r2 = func +99"]
]

describe("the text of an instruction", () => {
  for (const [bytes, text] of likeLlvm) {
    it(`is LLVM's: ${text}`, () => {
      expect(textOf(bytes)).toBe(text)
      expect(hex(parse(text).bytes)).toBe(bytes)
    })
  }
  for (const [bytes, text] of others) {
    it(`is also ${text}`, () => {
      expect(textOf(bytes)).toBe(text)
      expect(hex(parse(text).bytes)).toBe(bytes)
    })
  }

  const data: ReadonlyArray<readonly [what: string, bytes: string, text: string]> = [
    ["an opcode that is none", "ff 00 00 00 00 00 00 00", ".8byte 0x00000000000000ff"],
    ["a register above r10", "bf b0 00 00 00 00 00 00", ".8byte 0x000000000000b0bf"],
    ["an offset in exit", "95 00 01 00 00 00 00 00", ".8byte 0x0000000000010095"],
    ["an immediate beside a register", "0f 21 00 00 05 00 00 00", ".8byte 0x000000050000210f"],
    ["a first half of a wide load at the end", "18 01 00 00 07 00 00 00", ".8byte 0x0000000700000118"],
    [
      "a wide load with an unknown source",
      "18 f1 00 00 07 00 00 00 00 00 00 00 01 00 00 00",
      ".8byte 0x000000070000f118\n  .8byte 0x0000000100000000"
    ],
    [
      "a descriptor of more than 32 bits",
      "18 11 00 00 07 00 00 00 00 00 00 00 01 00 00 00",
      ".8byte 0x0000000700001118\n  .8byte 0x0000000100000000"
    ]
  ]
  for (const [what, bytes, text] of data) {
    it(`is a line of data for ${what}`, () => {
      expect(textOf(bytes)).toBe(text)
      expect(hex(parse(text).bytes)).toBe(bytes)
    })
  }
})

// ---------------------------------------------------------------- generated instructions

const register = Arbitrary.schema(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 10 })))
/** Small ones are frequent: they are distances inside of a program, and calls of functions in it. */
const small = Schema.Literals([-3, -2, -1, 0, 1, 2, 3])
const offset = Arbitrary.schema(Schema.Union([small, Layout.i16.schema]))
const int32 = Arbitrary.schema(Schema.Union([small, Layout.i32.schema]))
const pick = <const A extends ReadonlyArray<number>>(...values: A) => Arbitrary.schema(Schema.Literals(values))

type Parts = Parameters<typeof Instruction.make>[0]
const zero = Arbitrary.Constant(0)
const made = (
  fields: { readonly [K in "opcode" | "dst" | "src" | "offset" | "immediate"]?: Arbitrary.Arbitrary<any> }
) =>
  Arbitrary.map(
    Arbitrary.all([
      fields.opcode ?? zero,
      fields.dst ?? zero,
      fields.src ?? zero,
      fields.offset ?? zero,
      fields.immediate ?? zero
    ]),
    ([opcode, dst, src, off, immediate]) => Instruction.make({ opcode, dst, src, offset: off, immediate } as Parts)
  )

/** Opcodes of a class with each of some operations. */
const opcodes = (base: number, operations: ReadonlyArray<number>) => pick(...operations.map((o) => base | o))
const plain = [0x00, 0x10, 0x20, 0x30, 0x40, 0x50, 0x60, 0x70, 0x90, 0xa0, 0xb0, 0xc0]
const compares = [0x10, 0x20, 0x30, 0x40, 0x50, 0x60, 0x70, 0xa0, 0xb0, 0xc0, 0xd0]
const halfwide = Arbitrary.schema(Layout.u64.schema)
const low = Arbitrary.map(Arbitrary.schema(Layout.u32.schema), BigInt)

/** Every form of RFC 9669 and linux/bpf.h, with the fields that each may use. Distances are any. */
const forms = [
  ...[0x04, 0x07].flatMap((c) => [
    made({ opcode: opcodes(c, plain), dst: register, immediate: int32 }),
    made({ opcode: opcodes(c | 8, plain), dst: register, src: register }),
    made({ opcode: opcodes(c, [0x30, 0x90]), dst: register, offset: pick(1), immediate: int32 }),
    made({ opcode: opcodes(c | 8, [0x30, 0x90]), dst: register, src: register, offset: pick(1) }),
    made({ opcode: pick(c | 0xb8), dst: register, src: register, offset: c === 7 ? pick(8, 16, 32) : pick(8, 16) }),
    made({ opcode: pick(c | 0x80), dst: register })
  ]),
  made({ opcode: pick(0xd4, 0xdc, 0xd7), dst: register, immediate: pick(16, 32, 64) }),
  made({ opcode: pick(0xbf), dst: register, src: register, offset: pick(1), immediate: int32 }),
  ...[0x05, 0x06].flatMap((c) => [
    made({ opcode: opcodes(c, compares), dst: register, offset, immediate: int32 }),
    made({ opcode: opcodes(c | 8, compares), dst: register, src: register, offset })
  ]),
  made({ opcode: pick(0x05, 0xe5), offset }),
  made({ opcode: pick(0x06), immediate: int32 }),
  made({ opcode: pick(0x0d), dst: register }),
  made({ opcode: pick(0x85), src: pick(0, 1), immediate: int32 }),
  made({ opcode: pick(0x85), src: pick(2), offset, immediate: int32 }),
  made({ opcode: pick(0x95) }),
  made({ opcode: pick(0x61, 0x69, 0x71, 0x79, 0x81, 0x89, 0x91), dst: register, src: register, offset }),
  made({ opcode: pick(0x62, 0x6a, 0x72, 0x7a), dst: register, offset, immediate: int32 }),
  made({ opcode: pick(0x63, 0x6b, 0x73, 0x7b), dst: register, src: register, offset }),
  made({ opcode: pick(0x20, 0x28, 0x30), immediate: int32 }),
  made({ opcode: pick(0x40, 0x48, 0x50), src: register, immediate: int32 }),
  made({
    opcode: pick(0xc3, 0xdb),
    dst: register,
    src: register,
    offset,
    immediate: pick(0x00, 0x40, 0x50, 0xa0, 0x01, 0x41, 0x51, 0xa1, 0xe1, 0xf1)
  }),
  made({ opcode: pick(0xc3, 0xcb, 0xd3, 0xdb), dst: register, src: register, offset, immediate: pick(0x100, 0x110) }),
  made({ opcode: pick(0x18), dst: register, src: pick(0, 2, 3, 6), immediate: halfwide }),
  made({ opcode: pick(0x18), dst: register, src: pick(1, 4, 5), immediate: low })
]

/** Instructions of any form; the form is as likely as any other. */
const instruction = Arbitrary.flatMap(
  Arbitrary.schema(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: forms.length - 1 }))),
  (form) => forms[form]!
)

/** Slots of noise, among which fields that are often zero are so more often than by chance. */
const noise = Arbitrary.map(
  Arbitrary.all([
    Arbitrary.schema(Schema.Union([Layout.u8.schema, Schema.Literal(0x18)])),
    Arbitrary.schema(Schema.Union([Layout.u8.schema, Schema.Literals([0x00, 0x01, 0x10, 0x21])])),
    Arbitrary.schema(Schema.Union([Layout.u16.schema, Schema.Literals([0, 1, 2, 0xffff])])),
    Arbitrary.schema(Schema.Union([Layout.u32.schema, Schema.Literals([0, 1, 2, 0xffffffff])]))
  ]),
  ([opcode, registers, off, immediate]) => {
    const bytes = Buffer.alloc(8)
    bytes.writeUInt8(opcode, 0)
    bytes.writeUInt8(registers, 1)
    bytes.writeUInt16LE(off, 2)
    bytes.writeUInt32LE(immediate, 4)
    return [...bytes]
  }
)

describe("disassembling and parsing", () => {
  for (const [index, form] of forms.entries()) {
    it.prop(`give the same bytes again, without a line of data, for form ${index}`, [form], ([one]) => {
      const bytes = Instruction.encode([one])
      const text = Disassembler.disassemble(bytes)
      expect(text).not.toContain(".8byte")
      expect(hex(parse(text).bytes)).toBe(hex(bytes))
    })
  }

  it.prop("give the same bytes again for programs of all forms", [Arbitrary.array(instruction)], ([program]) => {
    const bytes = Instruction.encode(program)
    for (const input of [bytes, program]) {
      for (const options of [{}, { slots: true }, { slots: true, bytes: true }, { bytes: true }]) {
        expect(hex(parse(Disassembler.disassemble(input, options)).bytes)).toBe(hex(bytes))
      }
    }
  })

  it.prop("give the same bytes again for any slots", [Arbitrary.array(noise)], ([slots]) => {
    const bytes = Uint8Array.from(slots.flat())
    expect(hex(parse(Disassembler.disassemble(bytes)).bytes)).toBe(hex(bytes))
  })

  it.prop("give what assembles to the same bytes", [Arbitrary.array(instruction, { minLength: 1 })], ([program]) => {
    const first = Asm.assemble([program, Asm.mov("r0", 0), Asm.exit()])
    if (Result.isFailure(first)) return // writes to r10
    const { items } = parse(Disassembler.disassemble(first.success.bytes))
    const again = Asm.assemble(items)
    // A call into the middle of a program makes a function that what stands before it may fall into.
    if (Result.isFailure(again)) expect(again.failure.message).toContain("falls off the end")
    else expect(hex(again.success.bytes)).toBe(hex(first.success.bytes))
  })

  it.prop("never throw, whatever the text", [Arbitrary.schema(Schema.String)], ([text]) => {
    const result = Disassembler.parse(text)
    if (Result.isFailure(result)) expect(result.failure).toBeInstanceOf(Disassembler.ParseError)
  })

  it("never throw, whatever becomes of a good text", () => {
    for (const [, text] of [...likeLlvm, ...others]) {
      for (let at = 0; at < text.length; at++) {
        const [before, after] = [text.slice(0, at), text.slice(at)]
        for (const broken of [before, before + after.slice(1), `${before}"${after}`, `${before}(${after}`]) {
          const result = Disassembler.parse(broken)
          if (Result.isFailure(result)) expect(result.failure).toBeInstanceOf(Disassembler.ParseError)
        }
      }
    }
  })

  it("take bytes after the last slot for a comment", () => {
    const text = Disassembler.disassemble(fromHex("95 00 00 00 00 00 00 00 01 02 ff"))
    expect(text).toBe("  exit\n; 3 bytes more: 01 02 ff\n")
    expect(hex(parse(text).bytes)).toBe("95 00 00 00 00 00 00 00")
    expect(Disassembler.disassemble(new Uint8Array(0))).toBe("")
  })

  it("read a window of a larger buffer", () => {
    expect(Disassembler.disassemble(fromHex("ff ff 95 00 00 00 00 00 00 00 ff").subarray(2, 10))).toBe("  exit\n")
  })
})

describe("a listing", () => {
  const program = assemble(
    Asm.mov("r6", "r1"),
    Asm.ldMapFd("r1", "counters"),
    Asm.ldMapValue("r2", "my data", 16),
    Asm.jeq("r1", 0, "out"),
    Asm.callLocal("twice"),
    Asm.ja("out"),
    Asm.label("out"),
    Asm.exit(),
    Asm.func("twice", [Asm.label("out"), Asm.add32("r0", "r0"), Asm.jgt32("r0", 5, "out"), Asm.exit()], {
      global: true,
      parameters: 1
    })
  )

  const text = [
    "  r6 = r1",
    "  r1 = map[fd:0] <counters>",
    "  r2 = map[fd:0][0]+16 <\"my data\">",
    "  if r1 == 0 goto +2 <out>",
    "  call +2 <twice>",
    "  goto +0 <out>",
    "out:",
    "  exit",
    "",
    "global <twice>(1):",
    "out:",
    "  w0 += w0",
    "  if w0 > 5 goto -2 <out>",
    "  exit",
    ""
  ].join("\n")

  it("has the labels, functions and maps of what was assembled, each function with labels of its own", () => {
    expect(Disassembler.disassemble(program, { source: false })).toBe(text)
  })

  it("is read as the same program, with the same functions and maps", () => {
    const again = assemble(...parse(text).items)
    expect(hex(again.bytes)).toBe(hex(program.bytes))
    expect(again.functions).toEqual(program.functions)
    expect(again.maps).toEqual(program.maps)
  })

  it("names jump targets and functions by their slots, where nothing else names them", () => {
    expect(Disassembler.disassemble(program.bytes)).toBe(
      text.replaceAll("<counters>", "").replaceAll("<\"my data\">", "").replaceAll("<twice>(1)", "<func_9>")
        .replaceAll("<twice>", "<func_9>").replaceAll("global ", "").replaceAll(/ +\n/g, "\n")
        .replace("+2 <out>", "+2 <L8>").replace("+0 <out>", "+0 <L8>").replace("out:", "L8:").replaceAll("out", "L9")
    )
  })

  it("takes names that it is given", () => {
    const bytes = fromHex(`
      18 11 00 00 05 00 00 00 00 00 00 00 00 00 00 00
      85 20 00 00 d2 04 00 00
      85 10 00 00 01 00 00 00
      95 00 00 00 00 00 00 00
      95 00 00 00 00 00 00 00`)
    const listing = Disassembler.disassemble(bytes, {
      functions: [{ name: "main", slot: 0 }, { name: "leaf", slot: 5 }],
      mapName: (fd) => fd === 5 ? "a map" : undefined,
      kfuncName: (id) => id === 1234 ? "bpf_task_release" : undefined,
      line: (slot) => slot < 3 ? "tracer.c:42" : "tracer.c:43"
    })
    expect(listing).toBe([
      "<main>:",
      "; tracer.c:42",
      "  r1 = map[fd:5] <\"a map\">",
      "  call kfunc#1234 <bpf_task_release>",
      "; tracer.c:43",
      "  call +1 <leaf>",
      "  exit",
      "",
      "<leaf>:",
      "  exit",
      ""
    ].join("\n"))
    expect(hex(parse(listing).bytes)).toBe(hex(bytes))
    const kfunc = Instruction.make({
      opcode: 0x85,
      src: 2,
      immediate: 1234,
      reference: { _tag: "Kfunc", name: "bpf_task_release" }
    })
    expect(parse(listing).items).toMatchObject([{
      name: "main",
      items: [{ reference: { name: "a map" } }, kfunc, {}, {}]
    }, {
      name: "leaf"
    }])
  })

  it("shows the line of each builder call, once for neighbours of one line", () => {
    const listing = Disassembler.disassemble(assemble([Asm.mov("r0", 0), Asm.mov("r1", 0)], Asm.exit()))
    expect(listing.match(/^; Disassembler\.test\.ts:\d+$/gm)).toHaveLength(1)
    expect(listing).toMatch(/^; Disassembler\.test\.ts:\d+\n {2}r0 = 0\n {2}r1 = 0\n {2}exit\n$/)
  })

  it("shows slots and bytes when asked, and is read with them", () => {
    const listing = Disassembler.disassemble(program, { slots: true, bytes: true, source: false })
    expect(listing).toContain("     5: [15 01 02 00 00 00 00 00] if r1 == 0 goto +2 <out>\n")
    expect(listing).toContain("     1: [18 11 00 00 00 00 00 00 00 00 00 00 00 00 00 00] r1 = map[fd:0] <counters>\n")
    expect(hex(parse(listing).bytes)).toBe(hex(program.bytes))
  })

  it("keeps names apart that would be the same", () => {
    const again = assemble(
      Asm.scope([Asm.label("a"), Asm.jeq("r1", 0, "a")]),
      Asm.scope([Asm.label("a"), Asm.jeq("r1", 1, "a")]),
      Asm.exit()
    )
    const listing = Disassembler.disassemble(again, { source: false })
    expect(listing).toBe("a:\n  if r1 == 0 goto -1 <a>\na_2:\n  if r1 == 1 goto -1 <a_2>\n  exit\n")
    expect(hex(assemble(...parse(listing).items).bytes)).toBe(hex(again.bytes))
  })

  it("has any names in quotes, and they come back", () => {
    const odd = "a \"b\" <c>:\n; \\ é"
    const again = assemble(Asm.jeq("r1", 0, odd), Asm.ldMapFd("r1", odd), Asm.label(odd), Asm.exit())
    const { items } = parse(Disassembler.disassemble(again, { source: false }))
    expect(assemble(...items).maps).toEqual(again.maps)
    expect(hex(assemble(...items).bytes)).toBe(hex(again.bytes))
  })

  it("gives no label to jumps that leave their function, or end inside of a wide load", () => {
    const bytes = fromHex(`
      05 00 01 00 00 00 00 00
      18 01 00 00 00 00 00 00 00 00 00 00 00 00 00 00
      05 00 10 00 00 00 00 00
      95 00 00 00 00 00 00 00`)
    expect(Disassembler.disassemble(bytes)).toBe("  goto +1\n  r1 = 0x0 ll\n  goto +16\n  exit\n")
  })
})

describe("parsing", () => {
  it("reads what llvm-objdump writes, with its numbers, bytes, labels and hexadecimal numbers", () => {
    const { bytes } = parse(`
0000000000000000 <prog>:
       0:	b7 02 00 00 00 00 00 00	r2 = 0
       1:	7b 2a f8 ff 00 00 00 00	*(u64 *)(r10 - 0x8) = r2
       2:	18 03 00 00 00 ff 00 ff 00 00 00 00 00 ff 00 00	r3 = 280379743338240 ll
       4:	85 00 00 00 82 00 00 00	call 130
       5:	15 01 02 00 00 00 00 00	if r1 == 0x0 goto +0x2 <LBB0_2>
       6:	db 41 10 00 e1 00 00 00	r4 = xchg_64(r1 + 16, r4)
       7:	db 21 00 00 f1 00 00 00	r0 = cmpxchg_64(r1 + 0x0, r0, r2)

0000000000000040 <LBB0_2>:
       8:	db 41 08 00 01 00 00 00	r4 = atomic_fetch_add((u64 *)(r1 + 8), r4)
       9:	c3 41 00 00 e1 00 00 00	w4 = xchg32_32(r1 + 0, w4)
      10:	61 10 00 00 00 00 00 00	w0 = *(u32 *)(r1 + 0x0)
      11:	63 0a fc ff 00 00 00 00	*(u32 *)(r10 - 0x4) = w0
      12:	95 00 00 00 00 00 00 00	exit
`)
    expect(hex(bytes)).toBe(
      `b7 02 00 00 00 00 00 00 7b 2a f8 ff 00 00 00 00 18 03 00 00 00 ff 00 ff 00 00 00 00 00 ff 00 00
      85 00 00 00 82 00 00 00 15 01 02 00 00 00 00 00 db 41 10 00 e1 00 00 00 db 21 00 00 f1 00 00 00
      db 41 08 00 01 00 00 00 c3 41 00 00 e1 00 00 00 61 10 00 00 00 00 00 00 63 0a fc ff 00 00 00 00
      95 00 00 00 00 00 00 00`.replaceAll(/\s+/g, " ")
    )
  })

  it("reads what the verifier's log shows of an instruction", () => {
    const { bytes } = parse(
      "12: (79) r1 = *(u64 *)(r2 +0)\n13: (15) if r1 == 0x0 goto pc+5\n14: (7b) *(u64 *)(r10 -8) = r1"
    )
    expect(hex(bytes)).toBe("79 21 00 00 00 00 00 00 15 01 05 00 00 00 00 00 7b 1a f8 ff 00 00 00 00")
  })

  it("lets a label count more than the distance beside it, so that lines can be put in between", () => {
    const { items } = parse("if r1 == 0 goto +0 <out>\nr0 = 1\nr0 = 2\nout:\nexit")
    expect(hex(assemble(...items).bytes).slice(0, 23)).toBe("15 01 02 00 00 00 00 00")
    expect(hex(parse("goto +5 <elsewhere>").bytes)).toBe("05 00 05 00 00 00 00 00")
  })

  it("takes labels and functions by name alone, forward and back", () => {
    const { items } = parse("start: ; here\ngoto end\ngotol start\nr1 = func <cb>\ncall <cb>\nend:\nexit\n<cb>:\nexit")
    const { bytes } = assemble(...items)
    expect(Disassembler.disassemble(bytes)).toContain(
      "goto +4 <L5>\n  gotol -2 <L0>\n  r1 = func +3 <func_6>\n  call +1 <func_6>\n"
    )
  })

  it("skips comments and empty lines, and takes lines that end in any way", () => {
    expect(parse("; a\r\n\r\n# b\n // c\n  r0 = 0 ; d\rexit").items).toHaveLength(1)
    expect(hex(parse("r0 = 0 ; d\rexit").bytes)).toBe("b7 00 00 00 00 00 00 00 95 00 00 00 00 00 00 00")
    expect(parse("")).toMatchObject({ items: [], bytes: new Uint8Array(0) })
  })

  it("takes both readings of 32 and of 64 bits", () => {
    expect(hex(parse("w1 = 0xffffffff\nw1 += 4294967295\nr1 = -1\nr1 = 0xffffffffffffffff").bytes)).toBe(
      "b4 01 00 00 ff ff ff ff 04 01 00 00 ff ff ff ff b7 01 00 00 ff ff ff ff b7 01 00 00 ff ff ff ff"
    )
    expect(hex(parse("r1 = -1 ll").bytes)).toBe(hex(parse("r1 = 0xffffffffffffffff ll").bytes))
  })

  const mistakes: ReadonlyArray<readonly [text: string, message: string]> = [
    ["r0 = r11", "line 1, column 6: expected a value, got r11"],
    ["  r1 += w2", "line 1, column 9: expected a register r0 to r10, got w2"],
    ["r0 = 0\nexit 1", "line 2, column 6: expected the end of the line, got 1"],
    ["goto nowhere", "line 1, column 1: expected a label nowhere, got none"],
    ["if r1 == 5 goto nowhere", "line 1, column 1: expected a label nowhere, got none"],
    ["call <none>", "line 1, column 1: expected a function none, got none"],
    ["*(u64 *)(r1 + 40000) = 1", "line 1, column 15: expected a number from -32768 to 32767, got 40000"],
    [
      "r1 = 99999999999",
      "line 1, column 6: expected a number from -2147483648 to 2147483647, since its sign is extended, or ll after it " +
      "for 64 bits, got 99999999999"
    ],
    ["   w1 = 5 ll", "line 1, column 4: expected a register r0 to r10 for 64 bits, got w1"],
    ["r1 = *(u128 *)(r1 + 0)", "line 1, column 8: expected u8, u16, u32, u64, s8, s16 or s32, got u128"],
    ["r1 = be16 r2", "line 1, column 11: expected r1, got another register"],
    ["call bpf_nothing", "line 1, column 6: expected the name of a helper, got bpf_nothing"],
    ["a:\na:", "line 2, column 1: expected one label a, got a second one"],
    ["<f>:\nexit\n<f>:\nexit", "line 3, column 2: expected one function f, got a second one"],
    ["r1 = map[fd:1", "line 1, column 14: expected ], got the end of the line"],
    ["nonsense", "line 1, column 1: expected an instruction, got nonsense"],
    [".8byte 0x10000000000000000", "line 1, column 8: expected a number of 64 bits, got 18446744073709551616"],
    [`r1 = ${"9".repeat(5000)}`, `line 1, column 6: expected a number of at most 64 bits, got ${"9".repeat(40)}…`]
  ]
  for (const [text, message] of mistakes) {
    it(`fails for ${JSON.stringify(text.slice(0, 40))}, with the place`, () =>
      expect(failure(text).message).toBe(message))
  }

  it("fails for a label too far for a jump, and gotol reaches it", () => {
    const far = (jump: string): string => `${jump} out\n${"r0 = 0\n".repeat(32_768)}out:\nexit`
    expect(failure(far("goto"))).toMatchObject({ line: 1, expected: "a label at most 32767 slots away" })
    expect(hex(parse(far("gotol")).bytes.subarray(0, 8))).toBe("06 00 00 00 00 80 00 00")
  })

  it("gives half a wide load as an item that assembling rejects, and its bytes as they are", () => {
    const { bytes, items } = parse(".8byte 0x0000000700000118\nexit")
    expect(hex(bytes)).toBe("18 01 00 00 07 00 00 00 95 00 00 00 00 00 00 00")
    expect(Result.isFailure(Asm.assemble(items))).toBe(true)
  })
})
