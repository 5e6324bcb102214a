import { beforeEach, describe } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { expect } from "vitest"
import { Asm, Program, ProgramSpec } from "../../src/index.ts"
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
})
