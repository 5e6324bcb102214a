// Runs behaviour specs against a kernel, each test on a fresh one, with a leak check behind every test.
import { it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import { readdirSync, readFileSync, readlinkSync } from "node:fs"
import { expect } from "vitest"
import { type Features, Kernel } from "../../src/index.ts"
import * as SimulatedKernel from "../../src/simulated/SimulatedKernel.ts"
import { whyMissing } from "./features.ts"
import { track, type Tracked } from "./tracked.ts"

/** A test of a behaviour that every kernel has, or every one with the feature that it `needs`. */
export type Test = <E>(
  name: string,
  effect: () => Effect.Effect<void, E, Kernel.Kernel | Scope.Scope>,
  options?: { readonly needs?: Features.FeatureName }
) => void

class Tracker extends Context.Service<Tracker, Tracked>()("test/Tracker") {}

const tracking = Layer.effectContext(Effect.map(Kernel.Kernel, (kernel) => {
  const tracked = track(kernel)
  return Context.make(Kernel.Kernel, tracked.kernel).pipe(Context.add(Tracker, tracked))
}))

/**
 * Kernel objects are freed after a grace period (RCU): they may outlive the last descriptor for a moment. A look takes a
 * reference for as long, and makes the kernel empty a prog_array anew, which holds it too: so looks become rarer.
 */
const expectGone = Effect.gen(function*() {
  const tracked = yield* Tracker
  for (let wait = 20; wait < 4000 && tracked.alive().length > 0; wait *= 1.3) yield* Effect.sleep(Duration.millis(wait))
  expect(tracked.alive(), "maps and programs left in the kernel").toEqual([])
})

/** Runs an effect in a scope of its own, and then looks for what it left open. */
export const leavingNothing = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    const exit = yield* Effect.exit(Effect.scoped(effect))
    const tracked = yield* Tracker
    expect(tracked.open(), "left open").toEqual([])
    yield* expectGone
    return yield* exit
  }).pipe(Effect.provide(tracking))

/** Behaviour tests on the simulated kernel. */
export const simulated: Test = (name, effect) =>
  it.live(name, () => leavingNothing(effect()).pipe(Effect.provide(SimulatedKernel.layer())))

/** Descriptors of this process by what they are, of the kinds that this library opens. */
const descriptors = (): ReadonlyArray<string> =>
  readdirSync("/proc/self/fd").flatMap((fd) => {
    try {
      const target = readlinkSync(`/proc/self/fd/${fd}`)
      return /bpf|perf_event|eventpoll|fscontext|tracing/.test(target) ? [`${fd} ${target}`] : []
    } catch {
      return [] // the descriptor that listed the folder
    }
  })

const bpfMappings = (): ReadonlyArray<string> =>
  readFileSync("/proc/self/maps", "utf8").split("\n").filter((line) => /bpf|perf_event/.test(line))

/**
 * Behaviour tests on this machine's kernel. A test that `needs` a feature is skipped, with the reason, on kernels that the
 * table of features says are too old for it, and nowhere else.
 */
export const real = <E>(
  name: string,
  effect: () => Effect.Effect<void, E, Kernel.Kernel | Scope.Scope>,
  options?: { readonly needs?: Features.FeatureName }
): void => {
  const missing = options?.needs === undefined ? undefined : whyMissing(options.needs)
  if (missing !== undefined) return it(name, (context) => context.skip(true, missing))
  it.live(name, () =>
    Effect.gen(function*() {
      const before = { descriptors: descriptors(), mappings: bpfMappings() }
      yield* leavingNothing(effect()).pipe(Effect.provide(Kernel.layer))
      expect({ descriptors: descriptors(), mappings: bpfMappings() }, "left in the process").toEqual(before)
    }))
}
