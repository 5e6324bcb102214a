import { describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import { expect } from "vitest"
import { inspect } from "node:util"
import { VerifierError } from "../../../src/index.ts"
import * as log from "../../../src/program/internal/verifierLog.ts"

const failingInstruction = (text: string) => log.failingInstruction(log.lastLines(new TextEncoder().encode(text)).lines)

describe("the instruction that a verifier log complains of", () => {
  it("is the last one analysed", () => {
    const log = [
      "0: R1=ctx() R10=fp0",
      "0: (b7) r0 = 0                        ; R0_w=0",
      "1: (79) r2 = *(u64 *)(r1 +64)",
      "R1 is ctx, invalid offset",
      "processed 2 insns (limit 1000000) max_states_per_insn 0 total_states 0 peak_states 0 mark_read 0",
      ""
    ].join("\n")
    expect(failingInstruction(log)).toBe(1)
  })

  it("is a slot, which counts a wide load twice", () => {
    const log = [
      "0: (18) r1 = 0xffff8881003a8c00",
      "2: (85) call bpf_map_lookup_elem#1",
      "R2 !read_ok",
      "processed 2 insns (limit 1000000)"
    ].join("\n")
    expect(failingInstruction(log)).toBe(2)
  })

  it("is the one that an earlier pass names", () => {
    const logs: Record<string, number> = {
      "unreachable insn 3\nprocessed 0 insns (limit 1000000)\n": 3,
      "jump out of range from insn 1 to 77\nprocessed 0 insns\n": 1,
      "back-edge from insn 12 to 2\nprocessed 0 insns\n": 12,
      "invalid insn idx 4 insn_idx 4\ninfinite loop detected at insn 4\nprocessed 9 insns": 4
    }
    for (const [log, slot] of Object.entries(logs)) expect(failingInstruction(log), log).toBe(slot)
  })

  it("is the last one on the path that failed, and not the furthest", () => {
    const log = [
      "0: (15) if r1 == 0x0 goto pc+2",
      "5: (95) exit",
      "from 0 to 3: R1=0 R10=fp0",
      "3: (61) r0 = *(u32 *)(r1 +0)",
      "R1 invalid mem access 'scalar'"
    ].join("\n")
    expect(failingInstruction(log)).toBe(3)
  })

  it("is not one that a summary or a remark counts", () => {
    const log = [
      "7: (85) call bpf_probe_read#4",
      "last_idx 7 first_idx 0",
      "regs=4 stack=0 before 6: (b7) r2 = 4",
      "R3 type=inv expected=fp",
      "verification time 78 usec",
      "stack depth 8",
      "processed 99 insns (limit 1000000) max_states_per_insn 0, insn 55"
    ].join("\n")
    expect(failingInstruction(log)).toBe(7)
  })

  it("is not one that a line of the program's source speaks of", () => {
    const log = ["2: (bf) r1 = r6", "; if (next == insn 40) // see insn 41 @ prog.c:7", "R1 !read_ok"].join("\n")
    expect(failingInstruction(log)).toBe(2)
  })

  it("is unknown where the log has no known form", () => {
    for (const log of ["", "\n", "last insn is not an exit or jmp\nprocessed 0 insns\n", "(79) r1 = r2", "12: text"]) {
      expect(failingInstruction(log), log).toBeUndefined()
    }
  })

  it("is found in a long log at once", () => {
    const line = (i: number) => `${i}: (07) r1 += 1                      ; R1_w=${i}`
    const log = Array.from({ length: 100_000 }, (_, i) => line(i)).join("\n")
    expect(failingInstruction(log)).toBe(99_999)
  })
})

const errorOf = (text: string, fields: Partial<VerifierError.Fields> = {}) => {
  const logBytes = new TextEncoder().encode(text)
  const { lines } = log.lastLines(logBytes)
  return new VerifierError.VerifierError({
    program: "tracer",
    errno: 13,
    reason: log.reasonOf(lines),
    instruction: log.failingInstruction(lines),
    location: undefined,
    logBytes,
    missingBytes: 0,
    isCutAtEnd: false,
    ...fields
  })
}

describe("the error", () => {
  const rejected = "0: (95) exit\nR0 !read_ok\nprocessed 1 insns (limit 1000000) max_states_per_insn 0\n"

  it("says which program, where and why, and has the whole log", () => {
    const error = errorOf(rejected, { instruction: 7, location: "src/tracer.ts:12" })
    expect(error._tag).toBe("VerifierError")
    expect(error.reason).toBe("R0 !read_ok")
    expect(error.log).toBe(rejected)
    expect(error.message).toBe([
      "the verifier rejected program \"tracer\" at instruction 7 (src/tracer.ts:12): EACCES, R0 !read_ok",
      "The log:",
      "  0: (95) exit",
      "  R0 !read_ok",
      "  processed 1 insns (limit 1000000) max_states_per_insn 0"
    ].join("\n"))
  })

  it("gives the line that complains, and not the advice that 7.3 writes behind it", () => {
    const log = [
      "0: (85) call bpf_get_stackid#27",
      "program of this type cannot use helper bpf_get_stackid#27",
      "",
      "Verification failed: Policy: Operation is not allowed",
      "",
      "Suggestion:",
      "  Use a helper allowed for this program type, or move the logic to a compatible program type.",
      "",
      "processed 1 insns (limit 1000000) max_states_per_insn 0"
    ].join("\n")
    const error = errorOf(log)
    expect(error.reason).toBe("program of this type cannot use helper bpf_get_stackid#27")
    expect(error.instruction).toBe(0)
  })

  it("leaves out what is not known", () => {
    expect(errorOf("", { errno: 22 }).message).toBe(
      "the verifier rejected program \"tracer\": EINVAL, invalid argument"
    )
  })

  it("says what the kernel has not", () => {
    const missing = "member nope of task_struct: expected a member nope, got none"
    expect(errorOf(rejected, { instruction: 2, missing }).message).toMatch(
      /at instruction 2: EACCES, R0 !read_ok\. This kernel lacks what it needs \(member nope of task_struct: /
    )
  })

  it("is a page, however long the log and its lines", () => {
    const long = `${Array.from({ length: 300_000 }, (_, i) => `${i}: (07) r1 += 1   ; R1_w=${i}`).join("\n")}\n`
    const error = errorOf(`${long}${"x".repeat(9_000)}\nprocessed 300000 insns\n`, { missingBytes: 50 * 2 ** 20 })
    expect(error.message.length).toBeLessThan(4_000)
    expect(error.message.split("\n").length).toBeLessThan(24)
    expect(error.message).toMatch(/The log of 60 MiB, of which `log` has the last 10 MiB, ends with:/)
    expect(error.instruction).toBe(299_999)
    expect(errorOf("0: (b7) r0 = 0\n1: (b7) r1", { isCutAtEnd: true }).message).toMatch(
      /log's first 25 bytes.* end with/
    )
  })

  it("does not print the log twice", () => {
    expect(Cause.pretty(Cause.fail(errorOf(rejected))).split("0: (95) exit").length).toBe(2)
    expect(inspect(errorOf(rejected))).not.toMatch(/0: \(95\) exit|logBytes|Uint8Array/)
    expect(JSON.stringify(errorOf(rejected))).not.toContain("0: (95) exit")
  })
})
