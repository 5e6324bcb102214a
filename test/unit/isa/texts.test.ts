// Texts of other tools, of the same program (texts/fixture.c), against the bytes that they are of: LLVM 14 and 19, the log of
// Linux 6.18 at level 2, and bpftool 7.1.
import { describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import { readFileSync } from "node:fs"
import { expect } from "vitest"
import * as Disassembler from "../../../src/isa/Disassembler.ts"

const file = (name: string): string => readFileSync(new URL(`texts/${name}`, import.meta.url), "utf8")
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex")
const parsed = (text: string): string => hex(Result.getOrThrow(Disassembler.parse(text)).bytes)
const refusal = (text: string): string => Result.getOrThrow(Result.flip(Disassembler.parse(text))).message

describe("the text of the same program", () => {
  for (const name of ["llvm14-v2", "llvm14-v3", "llvm19-v3", "llvm19-v4", "log-v3", "xlated-opcodes"]) {
    it(`of ${name} is read as its bytes`, () => expect(parsed(file(`${name}.txt`))).toBe(file(`${name}.hex`).trim()))
  }

  for (const name of ["llvm14-v2", "llvm14-v3", "llvm19-v3", "llvm19-v4"]) {
    const bare = file(`${name}.txt`).replaceAll(/^( +\d+:\t)[0-9a-f ]+\t/gm, "$1")
    it(`of ${name} without bytes is refused for its call, which may be of a helper or of a function`, () => {
      expect(refusal(bare)).toMatch(/expected call bpf_NAME#\w+ or call \+\w+, or the bytes/)
    })
    it(`of ${name} without bytes and calls is read as its bytes`, () => {
      expect(parsed(bare.replace(/call (?:0x)?7/, "call bpf_get_prandom_u32#7"))).toBe(file(`${name}.hex`).trim())
    })
  }

  it("of bpftool without opcodes is refused for a call that the kernel has put there", () => {
    expect(refusal(file("xlated.txt"))).toMatch(/the name of a helper, or the bytes.*bpf_user_rnd_u32/)
  })

  it("of any line changed in its bytes or in its words is refused", () => {
    const text = file("llvm19-v4.txt")
    const lines = text.split("\n")
    for (const [i, line] of lines.entries()) {
      const match = /^( +\d+:\t)([0-9a-f ]+)(\t.*)$/.exec(line)
      if (match === null) continue
      const bytes = match[2]!.split(" ").map((byte) => Number.parseInt(byte, 16))
      for (let at = 0; at < bytes.length; at++) {
        const changed = bytes.map((byte, n) => (n === at ? byte ^ 0x11 : byte).toString(16).padStart(2, "0")).join(" ")
        const broken = lines.with(i, match[1]! + changed + match[3]!).join("\n")
        const result = Disassembler.parse(broken)
        // A call and a wide load have a source register that LLVM's words leave out.
        if (Result.isSuccess(result)) expect(`${at} ${match[3]!.trim()}`).toMatch(/^1 (call|.* ll$)/)
        else expect(result.failure.line).toBe(i + 1)
      }
    }
  })
})

describe("what a line says of its bytes", () => {
  it("wins over its words, where they may mean either", () => {
    expect(parsed("0: (18) r0 = 0x5")).toBe("18000000050000000000000000000000")
    expect(parsed("0: (b7) r0 = 5")).toBe("b700000005000000")
    expect(parsed("85 10 00 00 01 00 00 00 call 0x1")).toBe("8510000001000000")
    expect(parsed("85 00 00 00 01 00 00 00 call 0x1")).toBe("8500000001000000")
    expect(parsed("85 20 00 00 39 30 00 00 call bpf_rcu_read_lock#12345")).toBe("8520000039300000")
    expect(parsed("18 11 00 00 05 00 00 00 00 00 00 00 00 00 00 00 r1 = 0x5 ll")).toBe(
      "18110000050000000000000000000000"
    )
    expect(parsed("8d 00 00 00 02 00 00 00 callx r2")).toBe("8d00000002000000")
    expect(parsed("8d 02 00 00 00 00 00 00 callx r2")).toBe("8d02000000000000")
    expect(parsed("callx r2")).toBe("8d02000000000000")
    expect(parsed("0: (bf) r1 = &(void __percpu *)(r1)\n1: (c0) nospec")).toBe("bf11ffff00000000c000000000000000")
    expect(parsed("d7 01 00 00 10 00 00 00 <unknown>")).toBe("d701000010000000")
    expect(parsed("  36: (85) call pc+27#bpf_prog_0d1b_mix\n       85 10 1b 00 01 00 00 00 ")).toBe("85101b0001000000")
  })

  it("must not contradict them", () => {
    const contradictions = [
      "0: (b7) r0 = r1",
      "0: (18) w0 = 5",
      "0: (b4) r0 = 5",
      "0: (85) exit",
      "b7 00 00 00 05 00 00 00 r0 = 6",
      "b7 00 00 00 05 00 00 00 r1 = 5",
      "b7 01 00 00 05 00 00 00 r0 = 5",
      "b7 00 01 00 05 00 00 00 r0 = 5",
      "[b7 00 00 00 05 00 00 00] r0 = 6",
      "[b7 00 00 00] r0 = 5",
      "18 00 00 00 05 00 00 00 r0 = 5 ll",
      "95 00 00 00 00 00 00 00 .8byte 0x94",
      "05 00 01 00 00 00 00 00 goto +1 <out>\n exit\n exit\nout:\n exit",
      "   0: (b7) r0 = 5\n       b7 00 00 00 06 00 00 00 ",
      "0: (85) call bpf_map_lookup_elem#2"
    ]
    for (const text of contradictions) expect(Result.isFailure(Disassembler.parse(text)), text).toBe(true)
  })

  it("is a place to jump to that must be where the distance leads", () => {
    const text = (place: string) => `0000000000000000 <f>:\n 0: goto +0x1 <${place}>\n 1: exit\n 2: exit`
    expect(parsed(text("f+0x10"))).toBe("050001000000000095000000000000009500000000000000")
    expect(parsed(text("elsewhere+0x10"))).toBe("050001000000000095000000000000009500000000000000")
    expect(refusal(text("f+0x8"))).toBe("line 2, column 5: expected the place that 1 slots lead to, got <f+0x8>")
  })

  it("is refused where neither words nor bytes tell", () => {
    expect(refusal("7: (18) r1 = 0xffff88810439e400")).toMatch(/map\[fd:N\] or the bytes/)
    expect(refusal("7: (18) r1 = 0x5 ; R1_w=map_ptr(ks=4,vs=8)")).toMatch(/map\[fd:N\] or the bytes/)
    expect(parsed("7: (18) r1 = 0xfffff00000000000 ; R1_w=0xfffff00000000000")).toBe(
      "18010000000000000000000000f0ffff"
    )
    expect(refusal("3: (85) call bpf_rcu_read_lock#12345")).toMatch(/or the bytes/)
    expect(refusal("3: (85) call pc+5#bpf_prog_1_f")).toMatch(/or the bytes/)
    expect(refusal("3: (18) r1 = subprog[+5]")).toMatch(/or the bytes/)
    expect(refusal("3: callx r1")).toMatch(/the bytes/)
    expect(refusal("3:\tcall 0x1")).toMatch(/or the bytes/)
    expect(refusal("3: <unknown>")).toMatch(/the bytes/)
  })

  it("may be a map by its id", () => {
    expect(parsed("7: (18) r1 = map[id:7]\n9: (18) r2 = map[id:7][0]+8")).toBe(
      "1811000007000000000000000000000018220000070000000000000008000000"
    )
  })

  it("reads 32 bits of a comparison as the kernel writes them, and nothing else so", () => {
    expect(parsed("0: (55) if r1 != 0xfffffffd goto pc+0")).toBe("55010000fdffffff")
    for (
      const text of [
        "if r1 != 0xfffffffd goto +0",
        "r1 &= 0xffffffff",
        "r1 = 0x80000000",
        "*(u64 *)(r1 + 0) = 0xffffffff"
      ]
    ) {
      expect(refusal(text)).toMatch(/sign/)
    }
    expect(parsed("if w1 != 0xfffffffd goto +0")).toBe("56010000fdffffff")
  })
})

describe("the numbers of slots", () => {
  it("count on, from wherever they begin", () => {
    expect(parsed("7: r0 = 0\n8: exit").length).toBe(32)
    expect(refusal("7: r0 = 0\n9: exit")).toBe("line 2, column 1: expected slot 8, got slot 9")
    expect(refusal("0: r0 = 5 ll\n1: exit")).toBe("line 2, column 1: expected slot 2, got slot 1")
  })

  it("place what a log walked over, in any order and as often as it likes", () => {
    const log = "func#0 @0\n0: R1=ctx() R10=fp0\n0: (15) if r1 == 0x0 goto pc+1\n2: (95) exit\nfrom 0 to 1: R1=0\n" +
      "1: (b7) r0 = 0\n2: (95) exit\nprocessed 5 insns (limit 1000000)"
    expect(parsed(log)).toBe("1501010000000000b7000000000000009500000000000000")
  })

  it("must all be there", () => {
    const log = (lines: string) => `func#0 @0\n${lines}`
    expect(refusal(log("0: (b7) r0 = 0\n2: (95) exit"))).toMatch(/slot 1/)
    expect(refusal(log("0: (b7) r0 = 0"))).toMatch(/slot 1/)
    expect(refusal(log("0: (05) goto pc+1\n1: (95) exit"))).toMatch(/slot 2/)
    expect(refusal(log("0: (95) exit\n0: (b7) r0 = 0"))).toMatch(/what the log had for slot 0/)
    expect(refusal(log("0: (95) exit\nR0 !read_ok"))).toMatch(/what the verifier writes/)
  })

  it("are bounded, and so is the work", () => {
    for (
      const text of [`${"9".repeat(5000)}: exit`, "999999999: exit", `func#0 @0\n${"0: (95) exit\n".repeat(200_000)}`]
    ) {
      const result = Disassembler.parse(text)
      if (Result.isSuccess(result)) expect(result.success.bytes.length).toBe(8)
      else expect(result.failure.message.length).toBeLessThan(300)
    }
  })
})
