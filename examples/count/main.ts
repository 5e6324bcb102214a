// As root on Linux: what this system executes while a shell runs two commands.
//
//   scripts/example count/main
import { Kernel } from "effect-ebpf"
import * as Effect from "effect/Effect"
import { execFile } from "node:child_process"
import { promisify } from "node:util"
import { executionsDuring } from "./count.ts"

const shell = Effect.promise(() => promisify(execFile)("sh", ["-c", "ls; date"]))

const main = executionsDuring(shell).pipe(Effect.provide(Kernel.layer))

console.log(`${await Effect.runPromise(main)} executions`)
