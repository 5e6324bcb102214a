import { beforeEach, describe } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { expect } from "vitest"
import { bpf_cmd } from "../../src/abi/generated/enums.ts"
import { Asm, Features, Kernel, Program, ProgramSpec } from "../../src/index.ts"
import { real } from "../support/kernels.ts"
import { skipUnlessPossible } from "../support/privilege.ts"

/** The verifier prints every instruction it looks at: so many give a log of the size wanted, at 30 bytes and more each. */
const rejectedAfter = (instructions: number) =>
  ProgramSpec.make({
    type: "socket_filter",
    name: "long_log",
    instructions: [
      Asm.mov("r1", 0),
      Array.from({ length: instructions }, (_, i) => Asm.add("r1", i)),
      Asm.mov("r0", "r5"),
      Asm.exit()
    ]
  })

describe("the verifier's log on this machine's kernel", () => {
  beforeEach(skipUnlessPossible)

  // The first buffer is 64 KiB, the second 1 MiB.
  for (const instructions of [10, 4_000, 60_000]) {
    real(
      `is complete for a program of ${instructions} instructions, from the first to the one at fault`,
      () =>
        Effect.gen(function*() {
          const error = yield* Effect.flip(Program.load(rejectedAfter(instructions)))
          expect(error._tag).toBe("VerifierError")
          if (error._tag !== "VerifierError") return
          expect(error.log.length).toBeGreaterThan(instructions * 20)
          expect(error.log).toMatch(/^0: \(b7\) r1 = 0/m)
          expect(error.log).toContain(`${instructions + 1}: (bf) r0 = r5`)
          expect(error.log).toContain("R5 !read_ok")
          expect(error.instruction).toBe(instructions + 1)
          expect(error.location).toMatch(/verifier\.test\.ts:\d+$/)
        })
    )
  }

  /** A log of some 90 bytes for each turn of a loop that the verifier follows to its end; then what ends it. */
  const long = (turns: number, end: ReadonlyArray<Asm.Item>) =>
    ProgramSpec.make({
      type: "socket_filter",
      name: "endless",
      instructions: [
        Asm.mov("r1", 0),
        Asm.label("again"),
        Asm.add("r1", 1),
        Asm.jlt("r1", turns, "again"),
        ...end
      ]
    })

  const longLog = (spec: ReturnType<typeof long>, code: string, reason: RegExp) =>
    Effect.gen(function*() {
      let loads = 0
      const kernel = yield* Kernel.Kernel
      const counted = Kernel.Kernel.of({
        ...kernel,
        bpf: {
          ...kernel.bpf,
          call: (command, attr, size) => {
            if (command === bpf_cmd.BPF_PROG_LOAD) loads++
            return kernel.bpf.call(command, attr, size)
          }
        }
      })
      const error = yield* Effect.flip(Effect.provideService(Program.load(spec), Kernel.Kernel, counted))
      expect(error._tag).toBe("VerifierError")
      if (error._tag !== "VerifierError") return
      expect(error.code).toBe(code)
      expect(error.message.length).toBeLessThan(5_000)
      expect(error.logBytes.length).toBeLessThanOrEqual(1 << 24)
      if (Features.isExpected(kernel.version, "logTrueSize")) {
        expect(loads).toBe(2)
        expect(error.missingBytes).toBeGreaterThan(1 << 20)
        expect(error.reason).toMatch(reason)
      } else expect(loads).toBeLessThanOrEqual(3)
    })

  real(
    "is kept to its end where it is longer than is kept, and takes two loads",
    () => longLog(long(170_000, [Asm.exit()]), "EACCES", /^R0 !read_ok/)
  )

  // A million instructions, which are the same to every kernel and take an emulated one minutes.
  if (process.env["EMULATED"] !== "1") {
    real(
      "is kept to its end where it has hundreds of megabytes, and takes two loads",
      () => longLog(long(10_000_000, [Asm.mov("r0", 0), Asm.exit()]), "E2BIG", /^BPF program is too large/)
    )
  }

  real("shows the line of TypeScript that made each instruction", () =>
    Effect.gen(function*() {
      const { version } = yield* Kernel.Kernel
      const first = new Error("here").stack!.match(/verifier\.test\.ts:(\d+)/)!
      const program = [
        Asm.mov("r1", 0),
        Asm.ldxdw("r0", "r1", 8),
        Asm.exit()
      ]
      const error = yield* Effect.flip(
        Program.load(ProgramSpec.make({ type: "socket_filter", name: "lines", instructions: program }))
      )
      expect(error._tag).toBe("VerifierError")
      if (error._tag !== "VerifierError") return
      const line = Number(first[1]) + 3
      expect(error.location).toMatch(new RegExp(`verifier\\.test\\.ts:${line}$`))
      expect(error.log).toMatch(new RegExp(`^; verifier\\.test\\.ts:${line - 1}: Asm\\.mov\\(\\.\\.\\.\\)`, "m"))
      const text = `; verifier.test.ts:${line}: Asm.ldxdw(...)`
      const hasFile = version.major > 6 || (version.major === 6 && version.minor >= 9)
      expect(error.log.split("\n")).toContain(hasFile ? `${text} @ verifier.test.ts:${line}` : text)
    }))

  real("says of an instruction that needs what this kernel has not, what it is", () =>
    Effect.gen(function*() {
      const spec = ProgramSpec.make({
        type: "socket_filter",
        name: "missing",
        instructions: [Asm.mov("r0", Asm.coreFieldOffset("task_struct", "no_such_member")), Asm.exit()]
      })
      const error = yield* Effect.flip(Program.load(spec))
      expect(error).toMatchObject({
        _tag: "VerifierError",
        instruction: 0,
        missing: "member no_such_member of task_struct: expected a member no_such_member, got none"
      })
      expect(error.message).toContain("This kernel lacks what it needs (member no_such_member of task_struct")
    }))
})
