// Anywhere: the same code on a simulated kernel, which runs the program when a process executes something there.
//
//   scripts/example count/simulated
import * as SimulatedKernel from "effect-ebpf/SimulatedKernel"
import * as Effect from "effect/Effect"
import { executionsDuring } from "./count.ts"

const execute = (file: string) =>
  Effect.flatMap(
    SimulatedKernel.SimulatedKernel,
    (kernel) => kernel.enterSyscall({ name: "execve", arguments: [file] })
  )

const main = executionsDuring(Effect.andThen(execute("/bin/ls"), execute("/bin/true"))).pipe(
  Effect.provide(SimulatedKernel.layer())
)

console.log(`${await Effect.runPromise(main)} executions`)
