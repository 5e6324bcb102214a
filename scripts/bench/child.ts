// A subject in a process of its own, so that no subject's code is compiled for another's types. It does one round for
// each line it is sent, and answers with a line that holds the figure: C and TypeScript alike.
import * as Effect from "effect/Effect"
import { spawn } from "node:child_process"
import { createInterface } from "node:readline"
import { fileURLToPath } from "node:url"
import type { Subject } from "./harness.ts"

/** Starts a command that answers; it is killed with the scope. */
export const acquireChild = (name: string, command: string, args: ReadonlyArray<string>) =>
  Effect.map(
    Effect.acquireRelease(
      Effect.sync(() => spawn(command, args, { stdio: ["pipe", "pipe", "inherit"] })),
      (child) => Effect.sync(() => child.kill())
    ),
    (child): Subject => {
      let ended: Error | undefined
      let settle: (answer: Effect.Effect<number, Error>) => void = () => {}
      const end = (error: Error): void => {
        ended = error
        settle(Effect.fail(error))
      }
      child.on("error", end)
      child.on("exit", (code, signal) => end(new Error(`${name}: ended with ${code ?? signal} before its answer`)))
      child.stdin.on("error", end)
      createInterface({ input: child.stdout }).on("line", (line) => {
        const figure = Number(line)
        settle(figure > 0 ? Effect.succeed(figure) : Effect.fail(new Error(`${name}: answered ${line}`)))
      })
      return {
        name,
        round: Effect.callback<number, Error>((resume) => {
          settle = resume
          if (ended === undefined) child.stdin.write("\n")
          else resume(Effect.fail(ended))
        })
      }
    }
  )

/** A subject in TypeScript: a module of `subjects/` and its arguments, run from source. */
export const acquireScript = (name: string, module: string, ...args: ReadonlyArray<string>) =>
  acquireChild(name, process.execPath, [
    "--expose-gc",
    "--conditions=effect-ebpf-source",
    fileURLToPath(new URL(`subjects/${module}`, import.meta.url)),
    ...args
  ])
