import { describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import { expect } from "vitest"
import * as Asm from "../../../src/isa/Asm.ts"
import * as Instruction from "../../../src/isa/Instruction.ts"

const hex = (bytes: Uint8Array): string => (Buffer.from(bytes).toString("hex").match(/../g) ?? []).join(" ")
const bytesOf = (...items: ReadonlyArray<Asm.Item>): string => hex(Result.getOrThrow(Asm.assemble(items)).bytes)

type Operation = readonly [text: string, instruction: Instruction.Instruction, bytes: string]

const encodesAs = (operations: ReadonlyArray<Operation>): void => {
  for (const [text, instruction, bytes] of operations) {
    it(text, () => expect(hex(Instruction.encode([instruction]))).toBe(bytes))
  }
}

// From llvm-mc 14 (`llvm-mc -triple bpfel -mcpu=v3 --show-encoding`), and for those that give back the old value from
// clang 14 (`-mcpu=v3 -O2`) on the `__sync` built-ins.
describe("operations of the processors v1 to v3", () => {
  encodesAs([
    ["r1 = be16 r1", Asm.be("r1", 16), "dc 01 00 00 10 00 00 00"],
    ["r2 = be32 r2", Asm.be("r2", 32), "dc 02 00 00 20 00 00 00"],
    ["r3 = be64 r3", Asm.be("r3", 64), "dc 03 00 00 40 00 00 00"],
    ["r1 = le16 r1", Asm.le("r1", 16), "d4 01 00 00 10 00 00 00"],
    ["r2 = le32 r2", Asm.le("r2", 32), "d4 02 00 00 20 00 00 00"],
    ["r3 = le64 r3", Asm.le("r3", 64), "d4 03 00 00 40 00 00 00"],
    ["lock *(u32 *)(r1 + 4) += r2", Asm.atomicAdd32("r1", 4, "r2"), "c3 21 04 00 00 00 00 00"],
    ["lock *(u64 *)(r1 - 8) += r2", Asm.atomicAdd("r1", -8, "r2"), "db 21 f8 ff 00 00 00 00"],
    ["lock *(u32 *)(r1 + 4) |= w2", Asm.atomicOr32("r1", 4, "r2"), "c3 21 04 00 40 00 00 00"],
    ["lock *(u64 *)(r1 - 8) |= r2", Asm.atomicOr("r1", -8, "r2"), "db 21 f8 ff 40 00 00 00"],
    ["lock *(u32 *)(r1 + 4) &= w2", Asm.atomicAnd32("r1", 4, "r2"), "c3 21 04 00 50 00 00 00"],
    ["lock *(u64 *)(r1 - 8) &= r2", Asm.atomicAnd("r1", -8, "r2"), "db 21 f8 ff 50 00 00 00"],
    ["lock *(u32 *)(r1 + 4) ^= w2", Asm.atomicXor32("r1", 4, "r2"), "c3 21 04 00 a0 00 00 00"],
    ["lock *(u64 *)(r1 - 8) ^= r2", Asm.atomicXor("r1", -8, "r2"), "db 21 f8 ff a0 00 00 00"],
    ["r0 = atomic_fetch_add((u64 *)(r1 + 0), r0)", Asm.atomicFetchAdd("r1", 0, "r0"), "db 01 00 00 01 00 00 00"],
    ["r0 = atomic_fetch_or((u64 *)(r1 + 0), r0)", Asm.atomicFetchOr("r1", 0, "r0"), "db 01 00 00 41 00 00 00"],
    ["r0 = atomic_fetch_and((u64 *)(r1 + 0), r0)", Asm.atomicFetchAnd("r1", 0, "r0"), "db 01 00 00 51 00 00 00"],
    ["r0 = atomic_fetch_xor((u64 *)(r1 + 0), r0)", Asm.atomicFetchXor("r1", 0, "r0"), "db 01 00 00 a1 00 00 00"],
    ["r0 = xchg_64(r1 + 0, r0)", Asm.atomicXchg("r1", 0, "r0"), "db 01 00 00 e1 00 00 00"],
    ["r0 = cmpxchg_64(r1 + 0, r0, r3)", Asm.atomicCmpxchg("r1", 0, "r3"), "db 31 00 00 f1 00 00 00"],
    ["w0 = atomic_fetch_add((u32 *)(r1 + 0), w0)", Asm.atomicFetchAdd32("r1", 0, "r0"), "c3 01 00 00 01 00 00 00"],
    ["w0 = atomic_fetch_or((u32 *)(r1 + 0), w0)", Asm.atomicFetchOr32("r1", 0, "r0"), "c3 01 00 00 41 00 00 00"],
    ["w0 = atomic_fetch_and((u32 *)(r1 + 0), w0)", Asm.atomicFetchAnd32("r1", 0, "r0"), "c3 01 00 00 51 00 00 00"],
    ["w0 = atomic_fetch_xor((u32 *)(r1 + 0), w0)", Asm.atomicFetchXor32("r1", 0, "r0"), "c3 01 00 00 a1 00 00 00"],
    ["w0 = xchg32_32(r1 + 0, w0)", Asm.atomicXchg32("r1", 0, "r0"), "c3 01 00 00 e1 00 00 00"],
    ["w0 = cmpxchg32_32(r1 + 0, w0, w3)", Asm.atomicCmpxchg32("r1", 0, "r3"), "c3 31 00 00 f1 00 00 00"],
    ["r0 = *(u8 *)skb[14]", Asm.ldabsb(14), "30 00 00 00 0e 00 00 00"],
    ["r0 = *(u16 *)skb[12]", Asm.ldabsh(12), "28 00 00 00 0c 00 00 00"],
    ["r0 = *(u32 *)skb[26]", Asm.ldabsw(26), "20 00 00 00 1a 00 00 00"],
    ["r0 = *(u8 *)skb[r1]", Asm.ldindb("r1"), "50 10 00 00 00 00 00 00"],
    ["r0 = *(u16 *)skb[r2]", Asm.ldindh("r2"), "48 20 00 00 00 00 00 00"],
    ["r0 = *(u32 *)skb[r3]", Asm.ldindw("r3"), "40 30 00 00 00 00 00 00"]
  ])
})

// The bytes that LLVM's own tests expect of `-mcpu=v4` (llvm/test/CodeGen/BPF/assembler-disassembler-v4.s); those of the
// immediate forms and of the long jump follow RFC 9669, section 4 and 6.
describe("operations of the processor v4", () => {
  encodesAs([
    ["r1 = bswap16 r1", Asm.bswap("r1", 16), "d7 01 00 00 10 00 00 00"],
    ["r2 = bswap32 r2", Asm.bswap("r2", 32), "d7 02 00 00 20 00 00 00"],
    ["r3 = bswap64 r3", Asm.bswap("r3", 64), "d7 03 00 00 40 00 00 00"],
    ["r1 = *(s8 *)(r4 + 0)", Asm.ldxsb("r1", "r4", 0), "91 41 00 00 00 00 00 00"],
    ["r2 = *(s16 *)(r5 + 4)", Asm.ldxsh("r2", "r5", 4), "89 52 04 00 00 00 00 00"],
    ["r3 = *(s32 *)(r6 + 8)", Asm.ldxsw("r3", "r6", 8), "81 63 08 00 00 00 00 00"],
    ["r1 = (s8)r4", Asm.movsx("r1", "r4", 8), "bf 41 08 00 00 00 00 00"],
    ["r2 = (s16)r5", Asm.movsx("r2", "r5", 16), "bf 52 10 00 00 00 00 00"],
    ["r3 = (s32)r6", Asm.movsx("r3", "r6", 32), "bf 63 20 00 00 00 00 00"],
    ["w1 = (s8)w3", Asm.movsx32("r1", "r3", 8), "bc 31 08 00 00 00 00 00"],
    ["w2 = (s16)w4", Asm.movsx32("r2", "r4", 16), "bc 42 10 00 00 00 00 00"],
    ["r1 s/= r3", Asm.sdiv("r1", "r3"), "3f 31 01 00 00 00 00 00"],
    ["r2 s%= r4", Asm.smod("r2", "r4"), "9f 42 01 00 00 00 00 00"],
    ["w1 s/= w3", Asm.sdiv32("r1", "r3"), "3c 31 01 00 00 00 00 00"],
    ["w2 s%= w4", Asm.smod32("r2", "r4"), "9c 42 01 00 00 00 00 00"],
    ["r1 s/= 3", Asm.sdiv("r1", 3), "37 01 01 00 03 00 00 00"],
    ["w2 s%= -4", Asm.smod32("r2", -4), "94 02 01 00 fc ff ff ff"],
    ["w0 = load_acquire((u8 *)(r1 + 0))", Asm.loadAcquire8("r0", "r1", 0), "d3 10 00 00 00 01 00 00"],
    ["w0 = load_acquire((u16 *)(r1 + 0))", Asm.loadAcquire16("r0", "r1", 0), "cb 10 00 00 00 01 00 00"],
    ["w0 = load_acquire((u32 *)(r1 + 0))", Asm.loadAcquire32("r0", "r1", 0), "c3 10 00 00 00 01 00 00"],
    ["r0 = load_acquire((u64 *)(r1 + 0))", Asm.loadAcquire64("r0", "r1", 0), "db 10 00 00 00 01 00 00"],
    ["store_release((u8 *)(r1 + 0), w2)", Asm.storeRelease8("r1", 0, "r2"), "d3 21 00 00 10 01 00 00"],
    ["store_release((u16 *)(r1 + 0), w2)", Asm.storeRelease16("r1", 0, "r2"), "cb 21 00 00 10 01 00 00"],
    ["store_release((u32 *)(r1 + 0), w2)", Asm.storeRelease32("r1", 0, "r2"), "c3 21 00 00 10 01 00 00"],
    ["store_release((u64 *)(r1 + 0), r2)", Asm.storeRelease64("r1", 0, "r2"), "db 21 00 00 10 01 00 00"]
  ])

  it("gotol has its distance in the immediate, and goes beyond 16 bits", () => {
    const gap = Array.from({ length: 40_000 }, () => Asm.mov("r0", 0))
    expect(bytesOf(Asm.gotol("end"), gap, Asm.label("end"), Asm.exit()).slice(0, 23)).toBe("06 00 00 00 40 9c 00 00")
    const back = bytesOf(Asm.label("top"), gap, Asm.gotol("top"))
    expect(back.slice(-23)).toBe("06 00 00 00 bf 63 ff ff")
  })
})

// From include/uapi/linux/bpf.h and kernel/bpf/disasm.c: BPF_JMP | BPF_JCOND, `addr_space_cast(r, dst, src)` of
// BPF_ALU64 | BPF_MOV | BPF_X, BPF_JMP | BPF_JA | BPF_X.
describe("operations of Linux alone", () => {
  encodesAs([
    ["r1 = addr_space_cast(r2, 0, 1)", Asm.addrSpaceCast("r1", "r2", 0, 1), "bf 21 01 00 01 00 00 00"],
    ["r1 = addr_space_cast(r2, 1, 0)", Asm.addrSpaceCast("r1", "r2", 1, 0), "bf 21 01 00 00 00 01 00"],
    ["gotox r3", Asm.gotox("r3"), "0d 03 00 00 00 00 00 00"]
  ])

  it("may_goto +1", () => {
    expect(bytesOf(Asm.mayGoto("out"), Asm.mov("r0", 0), Asm.label("out"), Asm.exit()).slice(0, 23))
      .toBe("e5 00 01 00 00 00 00 00")
  })

  it("wide loads tell by their source register what their number is", () => {
    const [fd, value] = [Asm.ldMapFd("r1", "m"), Asm.ldMapValue("r2", "m", 0x1234)]
    expect(hex(Instruction.encode([fd]))).toBe("18 11 00 00 00 00 00 00 00 00 00 00 00 00 00 00")
    expect(hex(Instruction.encode([value]))).toBe("18 22 00 00 00 00 00 00 00 00 00 00 34 12 00 00")
    expect(hex(Instruction.encode([Asm.ldKernelVariable("r3", "v")]))).toBe(
      "18 33 00 00 00 00 00 00 00 00 00 00 00 00 00 00"
    )
    expect(bytesOf(Asm.ldFunc("r4", "f"), Asm.exit(), Asm.func("f", [Asm.exit()])).slice(0, 47)).toBe(
      "18 44 00 00 02 00 00 00 00 00 00 00 00 00 00 00"
    )
  })

  it("calls tell by their source register what they call", () => {
    expect(bytesOf(Asm.callLocal("f"), Asm.exit(), Asm.func("f", [Asm.exit()])).slice(0, 23)).toBe(
      "85 10 00 00 01 00 00 00"
    )
    expect(hex(Instruction.encode([Asm.callKfunc("bpf_rcu_read_lock")]))).toBe("85 20 00 00 00 00 00 00")
  })
})

describe("instructions", () => {
  it("that jump say how far", () => {
    const jumps = [Asm.ja("x"), Asm.jeq("r1", 0, "x"), Asm.jne32("r1", "r2", "x"), Asm.mayGoto("x"), Asm.gotol("x")]
    for (const jump of jumps) {
      const [resolved] = Result.getOrThrow(Asm.assemble([jump, Asm.exit(), Asm.label("x"), Asm.exit()])).instructions
      expect(Instruction.isJump(resolved!)).toBe(true)
      expect(Instruction.jumpDistance(resolved!)).toBe(1)
    }
    for (const other of [Asm.exit(), Asm.call("ktime_get_ns"), Asm.mov("r0", 1), Asm.stw("r10", -4, 1)]) {
      expect(Instruction.isJump(other)).toBe(false)
      expect(Instruction.jumpDistance(other)).toBeUndefined()
    }
    expect(Instruction.jumpDistance(Asm.gotox("r1"))).toBeUndefined()
  })

  it("that name functions are known", () => {
    expect(Instruction.isLocalCall(Asm.callLocal("f"))).toBe(true)
    expect(Instruction.isLocalCall(Asm.call("ktime_get_ns"))).toBe(false)
    expect(Instruction.isFunctionAddress(Asm.ldFunc("r1", "f"))).toBe(true)
    expect(Instruction.isFunctionAddress(Asm.lddw("r1", 4n))).toBe(false)
  })
})
