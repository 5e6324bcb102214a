// A simulated kernel on which processes keep executing files: what the tracer shows where it may not trace.
import * as SimulatedKernel from "effect-ebpf/SimulatedKernel"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"

/** Made-up executions: who runs what. */
const script = [
  { command: "bash", file: "/usr/bin/ls", uid: 1000 },
  { command: "cron", file: "/usr/sbin/logrotate", uid: 0 },
  { command: "sshd", file: "/usr/bin/id", uid: 0 },
  { command: "make", file: "/usr/bin/cc", uid: 1000 },
  { command: "node", file: "/usr/bin/git", uid: 1000 }
]

/** One execution every 200 ms, by children of `parent` if given, for as long as the layer lives. */
export const simulatedExecutions = (parent: Option.Option<number>) =>
  Layer.effectDiscard(Effect.gen(function*() {
    const kernel = yield* SimulatedKernel.SimulatedKernel
    let count = 0
    const execute = Effect.suspend(() => {
      const { command, file, uid } = script[count % script.length]!
      const pid = 4000 + count++
      return kernel.enterSyscall({
        name: "execve",
        arguments: [file],
        task: { pid, parent: Option.getOrElse(parent, () => 1), uid, command }
      })
    })
    yield* Effect.forkScoped(Effect.repeat(execute, Schedule.spaced("200 millis")))
  })).pipe(Layer.provideMerge(SimulatedKernel.layer()))
