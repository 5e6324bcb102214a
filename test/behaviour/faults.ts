import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import { expect } from "vitest"
import type { ErrnoName } from "../../src/abi/errno.ts"
import { Kernel } from "../../src/index.ts"
import * as Faults from "../../src/simulated/Faults.ts"
import type { Harness } from "../support/executions.ts"
import { track } from "../support/tracked.ts"

/** A scenario that waits longer than this hangs. */
const LIMIT = "60 seconds"

const errors = ["EPERM", "ENOMEM", "EINTR", "EBUSY"] as const satisfies ReadonlyArray<ErrnoName>

export const faults = ({ scenario, test }: Harness): void => {
  /** Runs the scenario with a decision at each call: how it ended, what it left, and what it called. */
  const runWith = (decide: Faults.Decide, onStart: (fiber: Fiber.Fiber<unknown, unknown>) => void = () => {}) =>
    Effect.gen(function*() {
      const tracked = track(yield* Kernel.Kernel)
      const calls: Array<string> = []
      const kernel = Faults.wrap(tracked.kernel, (call) => {
        calls.push(call.name)
        return decide(call)
      })
      const fiber = yield* Effect.forkChild(
        Effect.timeout(
          Effect.suspend(() => {
            onStart(Fiber.getCurrent()!)
            return scenario
          }),
          LIMIT
        ).pipe(Effect.provideService(Kernel.Kernel, kernel))
      )
      const exit = yield* Fiber.await(fiber)
      return { calls, exit, open: tracked.open() }
    })

  const describeExit = (exit: Exit.Exit<unknown, unknown>): string =>
    Exit.isSuccess(exit) ? "success" : Cause.pretty(exit.cause)

  test("the scenario itself succeeds, with many calls", () =>
    Effect.gen(function*() {
      const { calls, exit, open } = yield* runWith(() => undefined)
      expect(describeExit(exit)).toBe("success")
      expect(open).toEqual([])
      expect(calls.length).toBeGreaterThan(20)
      for (const name of ["bpf", "perf_event_open", "ioctl", "mmap", "epoll_ctl", "close", "read"]) {
        expect(calls).toContain(name)
      }
    }))

  /** Lets each call of the scenario fail once, with the error chosen for it: how many runs failed of those it was. */
  const failEach = (errorOf: (call: number) => ErrnoName) =>
    Effect.gen(function*() {
      const { calls } = yield* runWith(() => undefined)
      const failures = { interrupted: 0, other: 0 }
      for (let n = 1; n <= calls.length; n++) {
        const error = errorOf(n)
        const { exit, open } = yield* runWith(({ index }) => index === n ? error : undefined)
        const where = `call ${n} (${calls[n - 1]}), ${error}: ${describeExit(exit)}`
        expect(open, where).toEqual([])
        if (Exit.isSuccess(exit)) continue
        failures[error === "EINTR" ? "interrupted" : "other"]++
        for (const reason of exit.cause.reasons) {
          expect(reason._tag, where).toBe("Fail")
          const tag = reason._tag === "Fail" ? (reason.error as { _tag: string })._tag : ""
          expect(["SystemCallError", "AttachError"], where).toContain(tag)
        }
      }
      return failures
    })

  // Four times the scenario's calls take minutes where a kernel is emulated: there the errors take turns.
  if (process.env["FAULTS"] === "in turn") {
    test("any one call that fails, with one error or another, gives a typed error or a success, and leaves nothing", () =>
      Effect.gen(function*() {
        const failures = yield* failEach((n) => errors[n % errors.length]!)
        expect(failures.interrupted).toBe(0)
        expect(failures.other).toBeGreaterThan(10)
      }))
  } else {
    for (const error of errors) {
      test(`any one call that fails with ${error} gives a typed error or a success, and leaves nothing`, () =>
        Effect.gen(function*() {
          const failures = yield* failEach(() => error)
          // A signal is retried everywhere; the others are failures wherever a result is needed.
          expect(failures.interrupted).toBe(0)
          if (error !== "EINTR") expect(failures.other).toBeGreaterThan(10)
        }))
    }
  }

  test("an interruption at any call ends the scenario, and leaves nothing", () =>
    Effect.gen(function*() {
      const { calls } = yield* runWith(() => undefined)
      let interrupted = 0
      for (let n = 1; n <= calls.length; n++) {
        let fiber: Fiber.Fiber<unknown, unknown> | undefined
        const { exit, open } = yield* runWith(
          ({ index }) => {
            if (index === n) fiber?.interruptUnsafe()
            return undefined
          },
          (started) => {
            fiber = started
          }
        )
        const where = `call ${n} (${calls[n - 1]}): ${describeExit(exit)}`
        expect(open, where).toEqual([])
        if (Exit.isSuccess(exit)) continue
        interrupted++
        for (const reason of exit.cause.reasons) expect(reason._tag, where).toBe("Interrupt")
      }
      expect(interrupted).toBeGreaterThan(10)
    }))
}
