/**
 * Fault injection: makes chosen system calls of any `Kernel`, real or simulated, fail with chosen errors. A test that
 * fails every call of a scenario in turn, and looks at what is left each time, has shown that nothing leaks.
 *
 * A call that releases something (`close`, `munmap`, `free`) does its work and then reports the error, as Linux does:
 * the descriptor is gone whatever close(2) says.
 *
 * @example
 * ```ts
 * import { HashMap, Layout } from "effect-ebpf"
 * import * as Faults from "effect-ebpf/Faults"
 * import * as SimulatedKernel from "effect-ebpf/SimulatedKernel"
 * import * as Effect from "effect/Effect"
 * import * as Layer from "effect/Layer"
 *
 * // The third system call from here on fails with ENOMEM.
 * const layer = Layer.provideMerge(Faults.layer({ nth: 3, error: "ENOMEM" }), SimulatedKernel.layer())
 *
 * const test = HashMap.make({ name: "m", key: Layout.u32, value: Layout.u32, maxEntries: 1 }).pipe(
 *   Effect.scoped,
 *   Effect.provide(layer)
 * )
 * ```
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { errno, type ErrnoName } from "../abi/errno.ts"
import { wrapCalls } from "../kernel/doorCalls.ts"
import { anInteger, type Checks, readOptions, required } from "../kernel/options.ts"
import { Kernel, type KernelService } from "../kernel/Kernel.ts"

/** A call at the door. */
export interface Call {
  /** Counts from 1. */
  readonly index: number
  readonly name: string
  /** True for a call that gives something back: failing it does not undo that. */
  readonly releases: boolean
}

/** Decides about each call: the error to fail it with, or `undefined` to let it through. */
export type Decide = (call: Call) => ErrnoName | undefined

/** The kernel with a decision made before each call. */
export const wrap = (kernel: KernelService, decide: Decide): KernelService => {
  let calls = 0
  return wrapCalls(kernel, ({ name, releases = false }, make) => {
    const index = ++calls
    if (!releases) {
      const error = decide({ index, name, releases })
      return error === undefined ? make() : -errno[error]
    }
    const result = make()
    const error = decide({ index, name, releases })
    return error === undefined ? result : -errno[error]
  })
}

/** A call to fail. */
export interface Plan {
  /** Which of the calls, counted from 1. */
  readonly nth: number
  readonly error: ErrnoName
}

const planChecks: Checks<Plan> = {
  nth: required(anInteger(1, Number.MAX_SAFE_INTEGER)),
  error: required({ expected: "the name of an error, such as ENOMEM", accepts: (name) => Object.hasOwn(errno, name) })
}

/**
 * A `Kernel` whose `nth` call fails with an error, over the one provided; or one that is decided call by call. Throws
 * `InvalidArgument` for a plan that is none.
 */
export const layer = (plan: Plan | Decide): Layer.Layer<Kernel, never, Kernel> => {
  const decide = typeof plan === "function" ? plan : decideBy(readOptions("plan", plan, planChecks))
  return Layer.effect(Kernel, Effect.map(Kernel, (kernel) => wrap(kernel, decide)))
}

const decideBy = ({ error, nth }: Plan): Decide => ({ index }) => index === nth ? error : undefined
