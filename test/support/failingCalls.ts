// Runs a scenario once for each system call that it makes, with that call failing.
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Scope from "effect/Scope"
import { expect } from "vitest"
import type { ErrnoName } from "../../src/abi/errno.ts"
import { type Features, Kernel } from "../../src/index.ts"
import * as Faults from "../../src/simulated/Faults.ts"
import type { Test } from "./kernels.ts"
import { track } from "./tracked.ts"

/** What is done, and succeeds when no call fails. */
export type Scenario = Effect.Effect<unknown, unknown, Kernel.Kernel | Scope.Scope>

/** What a scenario comes to, what it called, and what it left open. */
const runWith = (scenario: Scenario, decide: Faults.Decide) =>
  Effect.gen(function*() {
    const tracked = track(yield* Kernel.Kernel)
    const calls: Array<string> = []
    const kernel = Faults.wrap(tracked.kernel, (call) => {
      calls.push(call.name)
      return decide(call)
    })
    const exit = yield* Effect.exit(Effect.scoped(scenario).pipe(Effect.provideService(Kernel.Kernel, kernel)))
    return { calls, exit, open: tracked.open() }
  })

const describeExit = (exit: Exit.Exit<unknown, unknown>): string =>
  Exit.isSuccess(exit) ? "success" : Cause.pretty(exit.cause)

const errors = ["EPERM", "ENOMEM", "EINTR", "EBUSY"] as const satisfies ReadonlyArray<ErrnoName>
const typed = [
  "SystemCallError",
  "AttachError",
  "TargetNotFound",
  "VerifierError",
  "BatchError",
  "InvalidArgument",
  "MapMismatch",
  "IterationAborted"
]

/** A scenario of which each call is to fail. */
export interface Failing {
  /** What it does, to be read after "while". */
  readonly name: string
  readonly run: Scenario
  readonly needs?: Features.FeatureName
  /** Done before each run, to clear away what the last one left on purpose. */
  readonly before?: Effect.Effect<unknown>
  /** Where each call fails with one of the errors, in the simulation too. */
  readonly isSlow?: boolean
}

/** Each call that a scenario makes failed with an error: a typed failure or a success, and nothing left. */
export const holds = (
  { before, isSlow, run }: Failing,
  error: typeof errors[number]
): Effect.Effect<void, never, Kernel.Kernel> =>
  Effect.gen(function*() {
    const { kind } = yield* Kernel.Kernel
    const { calls, exit, open } = yield* runWith(run, () => undefined)
    expect(describeExit(exit)).toBe("success")
    expect(open).toEqual([])
    // Linux takes its time to free what was made, and a simulated verifier to follow loops: there, each call fails with
    // one of the errors.
    const inTurn = kind === "linux" || isSlow === true
    const [first, step] = inTurn ? [1 + errors.indexOf(error), errors.length] : [1, 1]
    let failures = 0
    for (let n = first; n <= calls.length; n += step) {
      yield* before ?? Effect.void
      const outcome = yield* runWith(run, ({ index }) => index === n ? error : undefined)
      const where = `call ${n} (${calls[n - 1]}): ${describeExit(outcome.exit)}`
      expect(outcome.open, where).toEqual([])
      if (Exit.isSuccess(outcome.exit)) continue
      failures++
      for (const reason of outcome.exit.cause.reasons) {
        expect(reason._tag, where).toBe("Fail")
        if (reason._tag === "Fail") expect(typed, where).toContain((reason.error as { _tag: string })._tag)
      }
    }
    if (error === "EINTR") expect(failures).toBe(0)
    else expect(failures).toBeGreaterThan(0)
  })

/** The errors that a scenario's calls fail with. Where a kernel is emulated that takes minutes: there each has one. */
export const errorsFor = (scenario: number): ReadonlyArray<typeof errors[number]> =>
  process.env["FAULTS"] === "in turn" ? [errors[scenario % errors.length]!] : errors

/** One test for each scenario and error. */
export const failingCalls = (test: Test, scenarios: ReadonlyArray<Failing>): void => {
  for (const [index, scenario] of scenarios.entries()) {
    for (const error of errorsFor(index)) {
      test(
        `any one call that fails with ${error} while ${scenario.name} does no harm`,
        () => holds(scenario, error),
        scenario.needs === undefined ? {} : { needs: scenario.needs }
      )
    }
  }
}
