// A live tracer of process executions: one line for each execve(2), with the file that is about to run.
//
//   scripts/demo [--seconds N] [--parent PID]
//
// The program (in executions.ts) filters inside the kernel and sends its records through a ring buffer; here they are an
// Effect Stream. Without the privilege to trace, the same code runs on a simulated kernel.
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { Kernel, type KernelError } from "effect-ebpf"
import { Command, Flag } from "effect/cli"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { executions } from "./executions.ts"
import { simulatedExecutions } from "./simulatedExecutions.ts"

const line = (pid: string, parent: string, uid: string, command: string, file: string) =>
  [pid.padStart(8), parent.padStart(8), uid.padStart(6), command.padEnd(15), file].join("  ")

/** Prints executions as they happen. Never ends by itself. */
const trace = Effect.fnUntraced(function*(parent: Option.Option<number>) {
  const stream = yield* executions(parent)
  yield* Console.log(Option.match(parent, {
    onNone: () => "tracing execve(2) of all processes until Ctrl-C; on a quiet machine type ls in another terminal",
    onSome: (pid) => `tracing execve(2) of the children of process ${pid} until Ctrl-C`
  }))
  yield* Console.log(line("PID", "PARENT", "UID", "COMMAND", "FILE"))
  yield* Stream.runForEach(
    stream,
    (e) => Console.log(line(String(e.pid), String(e.parent), String(e.uid), e.command, e.file))
  )
}, Effect.scoped)

type TraceError = Effect.Error<ReturnType<typeof trace>>

/** What a user without privilege meets: not Linux, or a kernel that says no. */
const isUnprivileged = (error: TraceError | KernelError.KernelUnavailable) => {
  const reason = error._tag === "AttachError" ? error.reason : error
  return reason._tag === "KernelUnavailable" || reason._tag === "TracefsUnavailable" ||
    (reason._tag === "SystemCallError" && ["EPERM", "EACCES", "ENOSYS"].includes(reason.code))
}

const command = Command.make("execve", {
  seconds: Flag.Int("seconds").pipe(Flag.withDescription("Stop after this many seconds"), Flag.optional),
  parent: Flag.Int("parent").pipe(Flag.withDescription("Trace only the children of this process"), Flag.optional)
}, ({ parent, seconds }) => {
  const run = trace(parent).pipe(
    Effect.provide(Kernel.layer),
    Effect.catchIf(isUnprivileged, (error) =>
      Effect.andThen(
        Console.log(`simulated kernel, with made-up executions: ${error.message}`),
        Effect.provide(trace(parent), simulatedExecutions(parent))
      ))
  )
  return Option.match(seconds, {
    onNone: () => run,
    onSome: (n) => Effect.asVoid(Effect.timeoutOption(run, `${n} seconds`))
  })
})

Command.run(command, { version: "0.1.0" }).pipe(Effect.provide(NodeServices.layer), NodeRuntime.runMain)
