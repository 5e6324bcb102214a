import { beforeEach, describe } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { execFileSync } from "node:child_process"
import { expect } from "vitest"
import { executions } from "../../examples/executions.ts"
import { Asm, Btf, KernelBtf, Program, ProgramSpec, Tracepoint } from "../../src/index.ts"
import { real } from "../support/kernels.ts"
import { skipUnlessPossible } from "../support/privilege.ts"

const idle = ProgramSpec.make({
  type: "tracepoint",
  name: "idle",
  instructions: [Asm.mov("r0", 0), Asm.exit()]
})

describe("tracepoints of this machine's kernel", () => {
  beforeEach(skipUnlessPossible)

  real(
    "the tracer sees what this process executes, with pid, parent, user, command and file",
    () =>
      Effect.gen(function*() {
        const stream = yield* executions(Option.some(process.pid))
        const pid = Number(execFileSync("/bin/sh", ["-c", "echo $$"], { encoding: "utf8" }))
        const [record] = yield* stream.pipe(Stream.take(1), Stream.runCollect)
        expect(record).toMatchObject({ pid, parent: process.pid, uid: process.getuid!(), file: "/bin/sh" })
        expect(record!.command.length).toBeGreaterThan(0)
      })
  )

  real("the filter is in the kernel: executions of grandchildren are not seen", () =>
    Effect.gen(function*() {
      const stream = yield* executions(Option.some(process.pid))
      execFileSync("/bin/sh", ["-c", "/bin/true; /bin/true; exit 0"])
      execFileSync("/bin/true")
      const records = yield* stream.pipe(Stream.take(2), Stream.runCollect)
      expect(records.map((record) => record.file)).toEqual(["/bin/sh", "/bin/true"])
    }))

  real("a detached program sees nothing more", () =>
    Effect.gen(function*() {
      yield* Effect.scoped(Effect.gen(function*() {
        const program = yield* Program.load(idle)
        yield* Tracepoint.attach(program, { category: "sched", name: "sched_process_exec" })
      }))
      const stream = yield* executions(Option.some(process.pid))
      execFileSync("/bin/true")
      const [record] = yield* stream.pipe(Stream.take(1), Stream.runCollect)
      expect(record!.file).toBe("/bin/true")
    }))

  real("a program that reads beyond the record is told how long that is", () =>
    Effect.gen(function*() {
      const far = yield* Program.load(ProgramSpec.make({
        type: "tracepoint",
        name: "far",
        instructions: [Asm.ldxdw("r1", "r1", 1024), Asm.mov("r0", 0), Asm.exit()]
      }))
      const error = yield* Effect.flip(Tracepoint.attach(far, { category: "sched", name: "sched_process_exec" }))
      expect(error).toMatchObject({ _tag: "AttachError", reason: { _tag: "ReadsBeyondRecord", recordSize: 20 } })
      expect(error.message).toContain("reads beyond the record's 20 bytes")
    }))

  real("the kernel's own BTF is read and knows task_struct", () =>
    Effect.gen(function*() {
      const btf = yield* KernelBtf.load
      const pid = yield* Effect.fromResult(Btf.member(btf, "task_struct", "pid"))
      const tgid = yield* Effect.fromResult(Btf.member(btf, "task_struct", "tgid"))
      expect(tgid.bitOffset - pid.bitOffset).toBe(32)
    }))

  real(
    "test runs are refused for a type that cannot have them, with the kernel's own error",
    () =>
      Effect.gen(function*() {
        const program = yield* Program.load(idle)
        // The type forbids it: only a cast gets here.
        const error = yield* Effect.flip(Program.testRun(program as never, {}))
        expect(error).toMatchObject({ _tag: "SystemCallError", code: "ENOTSUPP" })
      })
  )
})
