import { assert, it } from "@effect/vitest"
import * as SimulatedKernel from "effect-ebpf/SimulatedKernel"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { ExecutionCounts } from "./ExecutionCounts.ts"

it.effect("counts executions by user, the busiest first", () =>
  Effect.gen(function*() {
    const kernel = yield* SimulatedKernel.SimulatedKernel
    const { top } = yield* ExecutionCounts
    const execute = (uid: number) => kernel.enterSyscall({ name: "execve", arguments: ["/bin/ls"], task: { uid } })

    yield* execute(0)
    yield* execute(1000)
    yield* execute(1000)

    assert.deepStrictEqual(yield* top, [[1000, 2n], [0, 1n]])
  }).pipe(Effect.provide(ExecutionCounts.layer.pipe(Layer.provideMerge(SimulatedKernel.layer())))))
