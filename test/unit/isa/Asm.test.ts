import { describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { expect } from "vitest"
import { Asm, Instruction, Layout } from "../../../src/index.ts"

const hex = (bytes: Uint8Array): string => (Buffer.from(bytes).toString("hex").match(/../g) ?? []).join(" ")

const assemble = (...items: ReadonlyArray<Asm.Item>): Asm.Assembled => Result.getOrThrow(Asm.assemble(items))

const failure = (...items: ReadonlyArray<Asm.Item>): Asm.AsmError => {
  const result = Asm.assemble(items)
  if (Result.isSuccess(result)) throw new Error(`assembled to ${hex(result.success.bytes)}`)
  return result.failure
}

/** The place of its own call, as an error message of the assembler names one. */
const here = (): string => {
  const holder: { stack?: string } = {}
  Error.captureStackTrace(holder, here)
  const [, file, line] = /\(?(?:file:\/\/)?([^\s()]+):(\d+):\d+\)?$/.exec(holder.stack!.split("\n")[1]!)!
  return `${file}:${line}`
}

const nop = Asm.mov("r0", 0)

// The bytes are those that clang 14 (`clang -target bpf -mcpu=v3 -c`) wrote for the BPF assembly beside them, as
// llvm-objdump shows them. Its assembler knows no `%=`, `&` jump or store of an immediate: those come from a C program
// that filled a `struct bpf_insn` with the macros of linux/bpf.h.
describe("operations", () => {
  const operations: ReadonlyArray<readonly [text: string, instruction: Instruction.Instruction, bytes: string]> = [
    ["r0 = 0", Asm.mov("r0", 0), "b7 00 00 00 00 00 00 00"],
    ["r1 = r10", Asm.mov("r1", "r10"), "bf a1 00 00 00 00 00 00"],
    ["r2 = -1", Asm.mov("r2", -1), "b7 02 00 00 ff ff ff ff"],
    ["r1 += -8", Asm.add("r1", -8), "07 01 00 00 f8 ff ff ff"],
    ["r3 += r4", Asm.add("r3", "r4"), "0f 43 00 00 00 00 00 00"],
    ["r5 -= 7", Asm.sub("r5", 7), "17 05 00 00 07 00 00 00"],
    ["r6 *= r7", Asm.mul("r6", "r7"), "2f 76 00 00 00 00 00 00"],
    ["r7 /= 10", Asm.div("r7", 10), "37 07 00 00 0a 00 00 00"],
    ["r8 %= r9", Asm.mod("r8", "r9"), "9f 98 00 00 00 00 00 00"],
    ["r8 %= 9", Asm.mod("r8", 9), "97 08 00 00 09 00 00 00"],
    ["r1 |= 255", Asm.or("r1", 255), "47 01 00 00 ff 00 00 00"],
    ["r2 &= r3", Asm.and("r2", "r3"), "5f 32 00 00 00 00 00 00"],
    ["r3 ^= 1", Asm.xor("r3", 1), "a7 03 00 00 01 00 00 00"],
    ["r4 <<= 32", Asm.lsh("r4", 32), "67 04 00 00 20 00 00 00"],
    ["r5 >>= r6", Asm.rsh("r5", "r6"), "7f 65 00 00 00 00 00 00"],
    ["r6 s>>= 63", Asm.arsh("r6", 63), "c7 06 00 00 3f 00 00 00"],
    ["w0 = 1", Asm.mov32("r0", 1), "b4 00 00 00 01 00 00 00"],
    ["w1 = w2", Asm.mov32("r1", "r2"), "bc 21 00 00 00 00 00 00"],
    ["w3 += 5", Asm.add32("r3", 5), "04 03 00 00 05 00 00 00"],
    ["w4 -= w5", Asm.sub32("r4", "r5"), "1c 54 00 00 00 00 00 00"],
    ["w5 *= 3", Asm.mul32("r5", 3), "24 05 00 00 03 00 00 00"],
    ["w6 /= w7", Asm.div32("r6", "r7"), "3c 76 00 00 00 00 00 00"],
    ["w7 %= 9", Asm.mod32("r7", 9), "94 07 00 00 09 00 00 00"],
    ["w7 %= w1", Asm.mod32("r7", "r1"), "9c 17 00 00 00 00 00 00"],
    ["w8 |= w9", Asm.or32("r8", "r9"), "4c 98 00 00 00 00 00 00"],
    ["w9 &= 15", Asm.and32("r9", 15), "54 09 00 00 0f 00 00 00"],
    ["w0 ^= w1", Asm.xor32("r0", "r1"), "ac 10 00 00 00 00 00 00"],
    ["w1 <<= 4", Asm.lsh32("r1", 4), "64 01 00 00 04 00 00 00"],
    ["w2 >>= w3", Asm.rsh32("r2", "r3"), "7c 32 00 00 00 00 00 00"],
    ["w3 s>>= 31", Asm.arsh32("r3", 31), "c4 03 00 00 1f 00 00 00"],
    ["r4 = -r4", Asm.neg("r4"), "87 04 00 00 00 00 00 00"],
    ["w5 = -w5", Asm.neg32("r5"), "84 05 00 00 00 00 00 00"],
    [
      "r1 = 0x123456789abcdef0 ll",
      Asm.lddw("r1", 0x123456789abcdef0n),
      "18 01 00 00 f0 de bc 9a 00 00 00 00 78 56 34 12"
    ],
    ["r1 = map fd 0", Asm.ldMapFd("r1", "m"), "18 11 00 00 00 00 00 00 00 00 00 00 00 00 00 00"],
    ["r1 = *(u8 *)(r2 + 1)", Asm.ldxb("r1", "r2", 1), "71 21 01 00 00 00 00 00"],
    ["r2 = *(u16 *)(r3 - 2)", Asm.ldxh("r2", "r3", -2), "69 32 fe ff 00 00 00 00"],
    ["r3 = *(u32 *)(r4 + 4)", Asm.ldxw("r3", "r4", 4), "61 43 04 00 00 00 00 00"],
    ["r4 = *(u64 *)(r10 - 8)", Asm.ldxdw("r4", "r10", -8), "79 a4 f8 ff 00 00 00 00"],
    ["*(u8 *)(r1 + 0) = r2", Asm.stb("r1", 0, "r2"), "73 21 00 00 00 00 00 00"],
    ["*(u16 *)(r2 + 2) = r3", Asm.sth("r2", 2, "r3"), "6b 32 02 00 00 00 00 00"],
    ["*(u32 *)(r10 - 4) = r5", Asm.stw("r10", -4, "r5"), "63 5a fc ff 00 00 00 00"],
    ["*(u64 *)(r10 - 8) = r6", Asm.stdw("r10", -8, "r6"), "7b 6a f8 ff 00 00 00 00"],
    ["*(u8 *)(r1 + 1) = -1", Asm.stb("r1", 1, -1), "72 01 01 00 ff ff ff ff"],
    ["*(u16 *)(r2 - 2) = 7", Asm.sth("r2", -2, 7), "6a 02 fe ff 07 00 00 00"],
    ["*(u32 *)(r10 - 4) = 0x12345678", Asm.stw("r10", -4, 0x12345678), "62 0a fc ff 78 56 34 12"],
    ["*(u64 *)(r10 - 8) = 0", Asm.stdw("r10", -8, 0), "7a 0a f8 ff 00 00 00 00"],
    ["call map_lookup_elem", Asm.call("map_lookup_elem"), "85 00 00 00 01 00 00 00"],
    ["call ktime_get_ns", Asm.call("ktime_get_ns"), "85 00 00 00 05 00 00 00"],
    ["call get_current_pid_tgid", Asm.call("get_current_pid_tgid"), "85 00 00 00 0e 00 00 00"],
    ["call ringbuf_output", Asm.call("ringbuf_output"), "85 00 00 00 82 00 00 00"],
    ["exit", Asm.exit(), "95 00 00 00 00 00 00 00"]
  ]

  for (const [text, instruction, bytes] of operations) {
    it(text, () => expect(hex(Instruction.encode([instruction]))).toBe(bytes))
  }

  it("of every register end in its number", () => {
    for (let n = 0; n <= 10; n++) {
      const register = `r${n}` as Asm.Register
      expect(Asm.mov(register, register)).toMatchObject({ dst: n, src: n })
    }
  })
})

// From clang and llvm-objdump as above; the jumps go back to the program's first instruction.
describe("jumps", () => {
  const jumps: ReadonlyArray<readonly [text: string, instruction: Instruction.Instruction, bytes: string]> = [
    ["if r1 == 0 goto -1", Asm.jeq("r1", 0, "start"), "15 01 ff ff 00 00 00 00"],
    ["if r1 == r2 goto -2", Asm.jeq("r1", "r2", "start"), "1d 21 fe ff 00 00 00 00"],
    ["if r1 != 5 goto -3", Asm.jne("r1", 5, "start"), "55 01 fd ff 05 00 00 00"],
    ["if r2 != r3 goto -4", Asm.jne("r2", "r3", "start"), "5d 32 fc ff 00 00 00 00"],
    ["if r1 > 5 goto -5", Asm.jgt("r1", 5, "start"), "25 01 fb ff 05 00 00 00"],
    ["if r1 > r2 goto -6", Asm.jgt("r1", "r2", "start"), "2d 21 fa ff 00 00 00 00"],
    ["if r1 >= 5 goto -7", Asm.jge("r1", 5, "start"), "35 01 f9 ff 05 00 00 00"],
    ["if r1 >= r2 goto -8", Asm.jge("r1", "r2", "start"), "3d 21 f8 ff 00 00 00 00"],
    ["if r1 < 5 goto -9", Asm.jlt("r1", 5, "start"), "a5 01 f7 ff 05 00 00 00"],
    ["if r1 < r2 goto -10", Asm.jlt("r1", "r2", "start"), "ad 21 f6 ff 00 00 00 00"],
    ["if r1 <= 5 goto -11", Asm.jle("r1", 5, "start"), "b5 01 f5 ff 05 00 00 00"],
    ["if r1 <= r2 goto -12", Asm.jle("r1", "r2", "start"), "bd 21 f4 ff 00 00 00 00"],
    ["if r1 s> -5 goto -13", Asm.jsgt("r1", -5, "start"), "65 01 f3 ff fb ff ff ff"],
    ["if r1 s> r2 goto -14", Asm.jsgt("r1", "r2", "start"), "6d 21 f2 ff 00 00 00 00"],
    ["if r1 s>= -5 goto -15", Asm.jsge("r1", -5, "start"), "75 01 f1 ff fb ff ff ff"],
    ["if r1 s>= r2 goto -16", Asm.jsge("r1", "r2", "start"), "7d 21 f0 ff 00 00 00 00"],
    ["if r1 s< -5 goto -17", Asm.jslt("r1", -5, "start"), "c5 01 ef ff fb ff ff ff"],
    ["if r1 s< r2 goto -18", Asm.jslt("r1", "r2", "start"), "cd 21 ee ff 00 00 00 00"],
    ["if r1 s<= -5 goto -19", Asm.jsle("r1", -5, "start"), "d5 01 ed ff fb ff ff ff"],
    ["if r1 s<= r2 goto -20", Asm.jsle("r1", "r2", "start"), "dd 21 ec ff 00 00 00 00"],
    ["if w1 == 0 goto -21", Asm.jeq32("r1", 0, "start"), "16 01 eb ff 00 00 00 00"],
    ["if w1 == w2 goto -22", Asm.jeq32("r1", "r2", "start"), "1e 21 ea ff 00 00 00 00"],
    ["if w1 != 5 goto -23", Asm.jne32("r1", 5, "start"), "56 01 e9 ff 05 00 00 00"],
    ["if w1 > 5 goto -24", Asm.jgt32("r1", 5, "start"), "26 01 e8 ff 05 00 00 00"],
    ["if w1 >= w2 goto -25", Asm.jge32("r1", "r2", "start"), "3e 21 e7 ff 00 00 00 00"],
    ["if w1 < 5 goto -26", Asm.jlt32("r1", 5, "start"), "a6 01 e6 ff 05 00 00 00"],
    ["if w1 <= w2 goto -27", Asm.jle32("r1", "r2", "start"), "be 21 e5 ff 00 00 00 00"],
    ["if w1 s> -5 goto -28", Asm.jsgt32("r1", -5, "start"), "66 01 e4 ff fb ff ff ff"],
    ["if w1 s>= w2 goto -29", Asm.jsge32("r1", "r2", "start"), "7e 21 e3 ff 00 00 00 00"],
    ["if w1 s< -5 goto -30", Asm.jslt32("r1", -5, "start"), "c6 01 e2 ff fb ff ff ff"],
    ["if w1 s<= w2 goto -31", Asm.jsle32("r1", "r2", "start"), "de 21 e1 ff 00 00 00 00"],
    ["goto -32", Asm.ja("start"), "05 00 e0 ff 00 00 00 00"],
    ["goto +1", Asm.ja("end"), "05 00 01 00 00 00 00 00"],
    ["r0 = 0", Asm.mov("r0", 0), "b7 00 00 00 00 00 00 00"]
  ]

  it("encode as clang does, backwards and forwards", () => {
    const { bytes } = assemble(Asm.label("start"), jumps.map(([, jump]) => jump), Asm.label("end"), Asm.exit())
    const expected = [...jumps, ["exit", Asm.exit(), "95 00 00 00 00 00 00 00"] as const]
    for (const [i, [text, , wanted]] of expected.entries()) {
      expect(hex(bytes.subarray(i * 8, i * 8 + 8)), text).toBe(wanted)
    }
    expect(bytes.length).toBe(expected.length * 8)
  })

  it("on bits in common encode as the kernel's header says", () => {
    const one = (jump: Instruction.Instruction) =>
      hex(assemble(jump, nop, Asm.label("next"), Asm.exit()).bytes.subarray(0, 8))
    expect(one(Asm.jset("r1", 64, "next"))).toBe("45 01 01 00 40 00 00 00")
    expect(one(Asm.jset("r1", "r2", "next"))).toBe("4d 21 01 00 00 00 00 00")
    expect(one(Asm.jset32("r1", 64, "next"))).toBe("46 01 01 00 40 00 00 00")
  })

  it("count the two slots of a wide load, forwards and backwards", () => {
    const { bytes, instructions, slots } = assemble(
      Asm.label("top"),
      Asm.jeq("r1", 0, "out"),
      Asm.lddw("r2", 1n),
      Asm.ldMapFd("r3", "m"),
      Asm.jne("r1", 0, "top"),
      Asm.label("out"),
      Asm.exit()
    )
    expect(slots).toEqual([0, 1, 3, 5, 6])
    expect(bytes.length).toBe(7 * 8)
    expect(instructions.map((i) => i.offset)).toEqual([5, 0, 0, -6, 0])
  })

  it("may go to themselves and to the next instruction", () => {
    const { instructions } = assemble(
      Asm.label("self"),
      Asm.jeq("r1", 0, "self"),
      Asm.jeq("r1", 1, "next"),
      Asm.label("next"),
      Asm.ja("self")
    )
    expect(instructions.map((i) => i.offset)).toEqual([-1, 0, -3])
  })

  it("reach 32767 slots forward and 32768 back, and no further", () => {
    const gap = (count: number) => Array.from({ length: count }, () => nop)
    const forward = (count: number) => [Asm.ja("end"), gap(count), Asm.label("end"), Asm.exit()]
    const back = (count: number) => [Asm.label("top"), gap(count), Asm.ja("top")]
    expect(assemble(forward(32767)).instructions[0]!.offset).toBe(32767)
    expect(failure(forward(32768))).toMatchObject({
      index: 0,
      expected: "a jump of at most 32767 slots",
      actual: "32768"
    })
    expect(assemble(back(32767)).instructions[32767]!.offset).toBe(-32768)
    expect(failure(back(32768))).toMatchObject({ index: 32768, actual: "-32769" })
  })

  const bodies = Arbitrary.array(
    Arbitrary.schema(Schema.Struct({
      wide: Schema.Boolean,
      label: Schema.Boolean,
      to: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 1000 }))
    })),
    { minLength: 1, maxLength: 30 }
  )
  it.prop("land on the instruction after their label", [bodies], ([body]) => {
    const names = body.flatMap(({ label }, i) => label ? [`l${i}`] : [])
    const targets: Array<string | undefined> = []
    const items = body.map(({ label, to, wide }, i) => {
      const target = wide ? undefined : names[to % Math.max(1, names.length)]
      targets.push(target)
      const instruction = target === undefined ? Asm.lddw("r1", BigInt(i)) : Asm.jeq("r1", i, target)
      return label ? [Asm.label(`l${i}`), instruction] : instruction
    })
    const { bytes, instructions, slots } = assemble(items, Asm.exit())
    expect(bytes).toEqual(Instruction.encode(instructions))
    for (const [i, target] of targets.entries()) {
      if (target === undefined) continue
      const landing = slots[i]! + 1 + instructions[i]!.offset
      expect(slots.indexOf(landing)).toBe(Number(target.slice(1)))
    }
  })
})

describe("programs", () => {
  it("are arrays that nest", () => {
    const prologue = [Asm.mov("r6", "r1"), [Asm.mov("r0", 0)]]
    expect(assemble(prologue, [[Asm.exit()]]).bytes).toEqual(
      assemble(Asm.mov("r6", "r1"), Asm.mov("r0", 0), Asm.exit()).bytes
    )
  })

  it("name their maps with the slots that refer to them", () => {
    const { bytes, maps } = assemble(
      nop,
      Asm.ldMapFd("r1", "counters"),
      Asm.ldMapFd("r2", "events"),
      Asm.ldMapFd("r3", "counters"),
      Asm.exit()
    )
    expect([...maps]).toEqual([["counters", [1, 5]], ["events", [3]]])
    expect(hex(bytes.subarray(8, 24))).toBe("18 11 00 00 00 00 00 00 00 00 00 00 00 00 00 00")
  })

  it("may end in a jump back", () => {
    expect(assemble(Asm.label("loop"), nop, Asm.ja("loop")).bytes.length).toBe(16)
  })

  it("may use one instruction several times", () => {
    expect(assemble(nop, nop, Asm.exit()).bytes.length).toBe(24)
  })

  it("take 32-bit immediates signed or unsigned, and wide ones of 64 bits", () => {
    const bytes = (instruction: Instruction.Instruction) => hex(assemble(instruction, Asm.exit()).bytes.subarray(0, -8))
    expect(bytes(Asm.mov("r1", -0x80000000))).toBe("b7 01 00 00 00 00 00 80")
    expect(bytes(Asm.mov32("r1", 0xffffffff))).toBe("b4 01 00 00 ff ff ff ff")
    expect(bytes(Asm.mov32("r1", -1))).toBe("b4 01 00 00 ff ff ff ff")
    expect(bytes(Asm.lddw("r1", -(2n ** 63n)))).toBe("18 01 00 00 00 00 00 00 00 00 00 00 00 00 00 80")
    expect(bytes(Asm.lddw("r1", 2n ** 64n - 1n))).toBe("18 01 00 00 ff ff ff ff 00 00 00 00 ff ff ff ff")
  })

  it.prop("keep every wide immediate", [Layout.u64.schema], ([value]) => {
    const { bytes } = assemble(Asm.lddw("r1", value), Asm.exit())
    expect(Result.getOrThrow(Instruction.decode(bytes))[0]).toMatchObject({ immediate: value })
  })
})

describe("a program that cannot be assembled", () => {
  it("is an empty one", () => {
    expect(failure()).toMatchObject({ _tag: "AsmError", expected: "1 to 1000000 instructions", actual: "0" })
    expect(failure(Asm.label("only"))).toMatchObject({ actual: "0" })
    expect(failure([[], []]).message).toBe("instruction 0: expected 1 to 1000000 instructions, got 0")
  })

  it("is one with more slots than the kernel takes", () => {
    const most = Array.from({ length: 999_999 }, () => nop)
    expect(Result.isSuccess(Asm.assemble([...most, Asm.exit()]))).toBe(true)
    expect(failure(most, nop, Asm.exit())).toMatchObject({ actual: "1000001" })
  })

  /** Each case: the items with the wrong one made on the line that `here()` names. */
  const cases: ReadonlyArray<
    readonly [name: string, place: string, items: ReadonlyArray<Asm.Item>, index: number, problem: string]
  > = [
    ["a label that is not there", here(), [nop, Asm.ja("nowhere")], 1, "expected a label nowhere, got none"],
    [
      "a label with nothing after it",
      ...[here(), [Asm.jeq("r1", 0, "end"), Asm.exit(), Asm.label("end")]] as const,
      0,
      "expected an instruction after label end, got the end"
    ],
    [
      "an immediate that needs lddw",
      ...[here(), [Asm.mov("r1", 2 ** 32), Asm.exit()]] as const,
      0,
      "expected value of mov to be a register r0 to r10, or an integer from -2147483648 to 2147483647, got 4294967296; " +
      "lddw loads 64 bits into a register"
    ],
    [
      "an immediate below 32 bits",
      ...[here(), [nop, Asm.add("r1", -(2 ** 31) - 1), Asm.exit()]] as const,
      1,
      "expected value of add to be a register r0 to r10, or an integer from -2147483648 to 2147483647, " +
      "got -2147483649; lddw loads 64 bits into a register"
    ],
    [
      "a fraction",
      ...[here(), [Asm.stw("r1", 0, 0.5), Asm.exit()]] as const,
      0,
      "expected value of stw to be a register r0 to r10, or an integer from -2147483648 to 4294967295, got 0.5"
    ],
    [
      "an immediate beyond 64 bits",
      ...[here(), [Asm.lddw("r1", 2n ** 64n), Asm.exit()]] as const,
      0,
      "expected value of lddw to be a bigint from -2^63 to 2^64 - 1, got 18446744073709551616n"
    ],
    [
      "an immediate below 64 bits",
      ...[here(), [Asm.lddw("r1", -(2n ** 63n) - 1n), Asm.exit()]] as const,
      0,
      "expected value of lddw to be a bigint from -2^63 to 2^64 - 1, got -9223372036854775809n"
    ],
    [
      "an offset beyond 16 bits",
      ...[here(), [Asm.ldxw("r1", "r2", 32768), Asm.exit()]] as const,
      0,
      "expected offset of ldxw to be an integer from -32768 to 32767, got 32768; add the rest to the register"
    ],
    [
      "an offset below 16 bits",
      ...[here(), [Asm.stb("r1", -32769, 1), Asm.exit()]] as const,
      0,
      "expected offset of stb to be an integer from -32768 to 32767, got -32769; add the rest to the register"
    ],
    [
      "a broken offset",
      ...[here(), [Asm.stdw("r10", -7.5, "r1"), Asm.exit()]] as const,
      0,
      "expected offset of stdw to be an integer from -32768 to 32767, got -7.5; add the rest to the register"
    ],
    [
      "an unknown register as destination",
      ...[here(), [Asm.mov("r11" as never, 0), Asm.exit()]] as const,
      0,
      "expected dst of mov to be a register r0 to r10, got \"r11\""
    ],
    [
      "an unknown register as source",
      ...[here(), [Asm.add("r1", "eax" as never), Asm.exit()]] as const,
      0,
      "expected value of add to be a register r0 to r10, or an integer from -2147483648 to 2147483647, got \"eax\""
    ],
    [
      "an unknown register in a load",
      ...[here(), [Asm.ldxb("r1", "r01" as never, 0), Asm.exit()]] as const,
      0,
      "expected src of ldxb to be a register r0 to r10, got \"r01\""
    ],
    [
      "an unknown register in a jump",
      ...[here(), [Asm.label("x"), Asm.jlt32("r1", "R2" as never, "x"), Asm.exit()]] as const,
      0,
      "expected value of jlt32 to be a register r0 to r10, or an integer from -2147483648 to 4294967295, got \"R2\""
    ],
    [
      "an unknown helper",
      ...[here(), [Asm.call("make_coffee" as never), Asm.exit()]] as const,
      0,
      "expected helper of call to be the name of a helper without bpf_, or its id, got \"make_coffee\""
    ],
    [
      "an end that is no end",
      ...[here(), [Asm.exit(), Asm.mov("r0", 0)]] as const,
      1,
      "expected exit() or ja() as the last instruction, got one that falls off the end"
    ],
    [
      "an end that may fall through",
      ...[here(), [Asm.label("top"), Asm.jeq("r1", 0, "top")]] as const,
      0,
      "expected exit() or ja() as the last instruction, got one that falls off the end"
    ]
  ]
  for (const [name, place, items, index, problem] of cases) {
    it(`has ${name}, and the error names the line`, () => {
      const error = failure(...items)
      expect(error).toBeInstanceOf(Asm.AsmError)
      expect(error.location).toBe(place)
      expect(error.index).toBe(index)
      expect(error.message).toBe(`instruction ${index} (${place}): ${problem}`)
    })
  }

  it("has a jump too far, and the error names the line", () => {
    const [place, jump] = [here(), Asm.ja("far")]
    const error = failure(jump, Array.from({ length: 40_000 }, () => nop), Asm.label("far"), Asm.exit())
    expect(error.message).toBe(
      `instruction 0 (${place}): expected a jump of at most 32767 slots, got 40000; ` +
        "gotol goes further, from kernel 6.6 on"
    )
  })

  it("has a label twice", () => {
    const error = failure(nop, Asm.label("a"), nop, Asm.label("a"), Asm.exit())
    expect(error).toMatchObject({ expected: "one label a", actual: "a second one" })
  })

  it("has a label twice, and the error names the line of the second", () => {
    const first = Asm.label("a")
    const [place, second] = [here(), Asm.label("a")]
    const error = failure(nop, first, nop, second, Asm.exit())
    expect(error.location).toBe(place)
  })

  it("has a label twice at its start, and the error still has an index of an instruction", () => {
    expect(failure(Asm.label("a"), Asm.label("a"), Asm.exit()).index).toBeGreaterThanOrEqual(0)
  })

  it("has a bigint where no wide load is", () => {
    const item = Instruction.make({ opcode: 0xb7, dst: 1, immediate: 5n })
    expect(failure(nop, item, Asm.exit())).toMatchObject({ index: 1 })
  })

  it("has registers that do not exist, made without the builders", () => {
    for (const parts of [{ dst: 16 }, { src: 16 }, { dst: 0.5 }, { dst: 11 }, { src: -1 }]) {
      expect(failure(Instruction.make({ opcode: 0xbf, ...parts }), Asm.exit()), JSON.stringify(parts)).toMatchObject({
        expected: "registers r0 to r10",
        location: undefined
      })
    }
  })
})

describe("sources", () => {
  it("of every builder are the line of its call", () => {
    const made = [
      [here(), Asm.mov("r0", 0)],
      [here(), Asm.neg("r0")],
      [here(), Asm.neg32("r0")],
      [here(), Asm.lddw("r0", 0n)],
      [here(), Asm.ldMapFd("r0", "m")],
      [here(), Asm.ldxb("r0", "r1", 0)],
      [here(), Asm.stb("r0", 0, 1)],
      [here(), Asm.jeq("r0", 0, "x")],
      [here(), Asm.ja("x")],
      [here(), Asm.call("ktime_get_ns")],
      [here(), Asm.exit()]
    ] as const
    for (const [place, instruction] of made) {
      const source = Instruction.sourceOf(instruction)!
      expect(`${source.file}:${source.line}`).toBe(place)
      expect(Instruction.sourceOf(instruction)).toBe(source)
    }
    expect(new Set(made.map(([place]) => place)).size).toBe(made.length)
  })

  it("leave the stack trace limit as it was", () => {
    const before = Error.stackTraceLimit
    Error.stackTraceLimit = 17
    Asm.mov("r0", 0)
    expect(Error.stackTraceLimit).toBe(17)
    Error.stackTraceLimit = before
  })
})
