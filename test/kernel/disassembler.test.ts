// Holds the text form against the kernel's own disassembler, whose lines the verifier's log has.
import { beforeEach, describe } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import { expect } from "vitest"
import { Asm, type Features, Program, ProgramSpec } from "../../src/index.ts"
import * as Disassembler from "../../src/isa/Disassembler.ts"
import { real } from "../support/kernels.ts"
import { skipUnlessPossible } from "../support/privilege.ts"

const arithmetic = [
  Asm.mov,
  Asm.add,
  Asm.sub,
  Asm.mul,
  Asm.div,
  Asm.mod,
  Asm.or,
  Asm.and,
  Asm.xor,
  Asm.lsh,
  Asm.rsh,
  Asm.arsh,
  Asm.mov32,
  Asm.add32,
  Asm.sub32,
  Asm.mul32,
  Asm.div32,
  Asm.mod32,
  Asm.or32,
  Asm.and32,
  Asm.xor32,
  Asm.lsh32,
  Asm.rsh32,
  Asm.arsh32
]
const jumps = [
  Asm.jeq,
  Asm.jne,
  Asm.jgt,
  Asm.jge,
  Asm.jlt,
  Asm.jle,
  Asm.jsgt,
  Asm.jsge,
  Asm.jslt,
  Asm.jsle,
  Asm.jset,
  Asm.jeq32,
  Asm.jne32,
  Asm.jgt32,
  Asm.jge32,
  Asm.jlt32,
  Asm.jle32,
  Asm.jsgt32,
  Asm.jsge32,
  Asm.jslt32,
  Asm.jsle32,
  Asm.jset32
]

/** A jump to the next instruction. */
const over = (jump: (target: string) => Asm.Item): Asm.Item => Asm.scope([jump("next"), Asm.label("next")])

/** Instructions on numbers in r1 and r2 and on the stack, by the feature that they need. */
const kinds: ReadonlyArray<readonly [what: string, instructions: Asm.Item, needs?: Features.FeatureName]> = [
  ["arithmetic", arithmetic.flatMap((operation) => [operation("r1", "r2"), operation("r1", 5)])],
  ["negative numbers", [Asm.mov("r1", -7), Asm.add32("r1", -0x80000000), Asm.and("r1", 0x7fffffff)]],
  ["negations and byte swaps", [
    Asm.neg("r1"),
    Asm.neg32("r1"),
    ([16, 32, 64] as const).flatMap((bits) => [Asm.be("r1", bits), Asm.le("r1", bits)])
  ]],
  ["loads and stores", [
    [Asm.ldxb, Asm.ldxh, Asm.ldxw, Asm.ldxdw].map((load) => load("r1", "r10", -16)),
    [Asm.stb, Asm.sth, Asm.stw, Asm.stdw].flatMap((store) => [store("r10", -8, "r2"), store("r10", -8, -9)])
  ]],
  ["jumps", [
    jumps.flatMap((jump) => [over((next) => jump("r1", "r2", next)), over((next) => jump("r1", -3, next))]),
    over(Asm.ja)
  ]],
  ["additions to memory", [Asm.atomicAdd("r10", -8, "r2"), Asm.atomicAdd32("r10", -8, "r2")]],
  ["atomic operations", [
    [Asm.atomicOr, Asm.atomicAnd, Asm.atomicXor, Asm.atomicOr32, Asm.atomicAnd32, Asm.atomicXor32].map((atomic) =>
      atomic("r10", -8, "r2")
    ),
    [
      Asm.atomicFetchAdd,
      Asm.atomicFetchOr,
      Asm.atomicFetchAnd,
      Asm.atomicFetchXor,
      Asm.atomicXchg,
      Asm.atomicCmpxchg,
      Asm.atomicFetchAdd32,
      Asm.atomicFetchOr32,
      Asm.atomicFetchAnd32,
      Asm.atomicFetchXor32,
      Asm.atomicXchg32,
      Asm.atomicCmpxchg32
    ].map((atomic) => atomic("r10", -8, "r2"))
  ], "atomics"],
  ["what came with cpu v4", [
    Asm.sdiv("r1", "r2"),
    Asm.smod("r1", 5),
    Asm.sdiv32("r1", 5),
    Asm.smod32("r1", "r2"),
    Asm.movsx("r1", "r2", 8),
    Asm.movsx("r1", "r2", 32),
    Asm.movsx32("r1", "r2", 16),
    Asm.bswap("r1", 16),
    Asm.bswap("r1", 64),
    Asm.ldxsb("r1", "r10", -16),
    Asm.ldxsh("r1", "r10", -16),
    Asm.ldxsw("r1", "r10", -16),
    over(Asm.gotol)
  ], "cpuV4"],
  ["may_goto", over(Asm.mayGoto), "arena"],
  ["ordered loads and stores", [
    [Asm.loadAcquire8, Asm.loadAcquire16, Asm.loadAcquire32, Asm.loadAcquire64].map((load) => load("r1", "r10", -16)),
    [Asm.storeRelease8, Asm.storeRelease16, Asm.storeRelease32, Asm.storeRelease64].map((store) =>
      store("r10", -8, "r2")
    )
  ], "loadAcquire"]
]

describe("this machine's kernel's own text", () => {
  beforeEach(skipUnlessPossible)

  for (const [what, instructions, needs] of kinds) {
    real(`of ${what} is read as the same instructions`, () =>
      Effect.gen(function*() {
        const program = [
          Asm.stdw("r10", -8, 1),
          Asm.stdw("r10", -16, 1),
          Asm.call("get_prandom_u32"),
          Asm.mov("r1", "r0"),
          Asm.mov("r2", 3),
          instructions,
          Asm.mov("r0", "r5"), // which the call has destroyed: the verifier stops here, and shows its log
          Asm.exit()
        ]
        const { bytes, slots } = Result.getOrThrow(Asm.assemble(program))
        const error = yield* Effect.flip(
          Program.load(ProgramSpec.make({ type: "socket_filter", name: "shown", instructions: program }))
        )
        if (error._tag !== "VerifierError") throw error
        const seen = new Set<number>()
        for (const [line, slot] of error.log.matchAll(/^(\d+): \([0-9a-f]{2}\) .*$/gm)) {
          const at = Number(slot)
          const read = Result.getOrThrow(Disassembler.parse(line))
          expect([...read.bytes], line).toEqual([...bytes.subarray(at * 8, at * 8 + 8)])
          seen.add(at)
        }
        expect([...seen]).toEqual(expect.arrayContaining(slots.slice(0, -2)))
      }), needs === undefined ? {} : { needs })
  }
})
