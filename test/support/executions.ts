// The demo's whole scenario on either kernel: load and attach the tracer, execute three programs, read their records.
import { it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { execFile } from "node:child_process"
import { type Execution, executions } from "../../examples/executions.ts"
import { Kernel, type KernelError } from "../../src/index.ts"
import * as SimulatedKernel from "../../src/simulated/SimulatedKernel.ts"

type ScenarioError = Effect.Error<ReturnType<typeof executions>>

export interface Harness {
  readonly test: (
    name: string,
    effect: () => Effect.Effect<void, unknown, SimulatedKernel.SimulatedKernel | Kernel.Kernel>
  ) => void
  /** Three executions and their records. */
  readonly scenario: Effect.Effect<
    ReadonlyArray<Execution>,
    ScenarioError | Stream.Error<any>,
    Kernel.Kernel | SimulatedKernel.SimulatedKernel
  >
}

const parent = process.pid

const scenarioWith = <E, R>(execute: (file: string) => Effect.Effect<void, E, R>) =>
  Effect.scoped(Effect.gen(function*() {
    const stream = yield* executions(Option.some(parent))
    const records = yield* Effect.forkScoped(stream.pipe(Stream.take(3), Stream.runCollect))
    for (const file of ["/bin/true", "/bin/true", "/usr/bin/true"]) yield* execute(file)
    return yield* Fiber.join(records)
  }))

const executeInSimulation = (file: string) =>
  Effect.flatMap(SimulatedKernel.SimulatedKernel, (kernel) =>
    Effect.orDie(
      kernel.enterSyscall({
        name: "execve",
        arguments: [file],
        task: { pid: 5000, parent, uid: 0, command: "node" }
      }).pipe(Effect.asVoid)
    ))

const executeInProcess = (file: string) =>
  Effect.callback<void>((resume) => {
    execFile(file, () => resume(Effect.void))
  })

export const executeOnSimulated: Harness = {
  test: (name, effect) => it.live(name, () => effect().pipe(Effect.provide(SimulatedKernel.layer()))),
  scenario: scenarioWith(executeInSimulation)
}

/** A tracefs that is not mounted takes more system calls to reach: the same faults must do no harm there. */
export const executeOnUnmounted: Harness = {
  test: (name, effect) =>
    it.live(name, () => effect().pipe(Effect.provide(SimulatedKernel.layer({ tracefs: "unmounted" })))),
  scenario: scenarioWith(executeInSimulation)
}

/** The real kernel has no other side: processes are executed for real. */
const noSimulation = Layer.mock(SimulatedKernel.SimulatedKernel)({})

export const executeOnReal: Harness = {
  test: (name, effect) =>
    it.live(
      name,
      () =>
        (effect() as Effect.Effect<void, KernelError.KernelUnavailable, any>).pipe(
          Effect.provide(Layer.merge(Kernel.layer, noSimulation))
        ),
      300_000
    ),
  scenario: scenarioWith(executeInProcess)
}
