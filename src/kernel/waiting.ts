// Waiting for any of several descriptors that forget that they were readable once they are asked: perf events. See
// `acquireWatch` in systemCall.ts for one that does not forget.
//
// Each descriptor stays armed until it reports. So waiting again costs one call for each that reported since, and not one
// for each there is.
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { errno } from "../abi/errno.ts"
import type { KernelService, Watch } from "./kernelService.ts"
import { SystemCallError } from "./KernelError.ts"
import { retrying, toError } from "./systemCall.ts"

/** What one descriptor says of itself. */
export interface Source {
  readonly fd: number
  /** Whether it has what is to be reported. Must not throw. */
  readonly isDue: () => boolean
  /** A number that changes with whatever comes: a report without a change is no report of something new. */
  readonly position: () => number
}

interface Watched {
  readonly source: Source
  watch: Watch | undefined
  armed: boolean
  /** The position when it was armed. */
  from: number
  /** Reports in a row that came with nothing new. */
  vain: number
}

/** A descriptor that reports so often with nothing new is not armed again: its event has ended, and it would always. */
const MOST_VAIN = 3

export interface Waiting {
  /** Watches one more, as long as the scope lives. */
  readonly add: (source: Source) => Effect.Effect<void, SystemCallError, Scope.Scope>
  /** Waits until one of them is due, or `wake` is called. Fails with EBADF once the waiting's own scope has closed. */
  readonly ready: Effect.Effect<void, SystemCallError>
  /** Lets those who wait go on; with nobody there, the next who would wait. */
  readonly wake: () => void
}

/** `woken` is called each time that somebody who waits goes on; `hints` are texts for errors by number. */
export const makeWaiting = (
  kernel: KernelService,
  subject: string,
  hints: { readonly [errno: number]: string },
  woken: () => void
): Effect.Effect<Waiting, never, Scope.Scope> => {
  const failed = (result: number): SystemCallError => {
    const error = toError(kernel, { call: "epoll_ctl", subject }, result)
    return kernel.isReleased() ? error : new SystemCallError({ ...error, hint: hints[error.errno] ?? error.hint })
  }
  const all = new Set<Watched>()
  const waiting = new Set<(result: Effect.Effect<void, SystemCallError>) => void>()
  let pending = false
  let ended = false

  const goOn = (outcome: Effect.Effect<void, SystemCallError>): void => {
    if (waiting.size === 0) return
    woken()
    const resumes = [...waiting]
    waiting.clear()
    for (const resume of resumes) resume(outcome)
  }
  const isDue = (): boolean => {
    for (const { source } of all) if (source.isDue()) return true
    return false
  }
  const arm = (one: Watched): number => {
    if (one.armed || one.vain >= MOST_VAIN || one.watch === undefined) return 0
    one.from = one.source.position()
    const result = retrying(one.watch.arm)
    one.armed = result >= 0
    return result
  }
  /** Arms all that are not, and looks: what came before is not reported any more. Gives 1 if one is due. */
  const armAll = (): number => {
    for (const one of all) {
      const result = arm(one)
      if (result < 0) return result
    }
    return isDue() ? 1 : 0
  }
  const report = (one: Watched, result: number): void => {
    one.armed = false
    one.vain = one.source.position() === one.from ? one.vain + 1 : 0
    if (waiting.size === 0) return
    // Of what was read since it was armed there may be nothing left.
    const due = result < 0 ? result : one.source.isDue() ? 1 : armAll()
    if (due < 0) goOn(Effect.fail(failed(due)))
    else if (due > 0) goOn(Effect.void)
  }

  const waitings: Waiting = {
    add: (source) =>
      Effect.asVoid(Effect.acquireRelease(
        Effect.suspend(() => {
          const one: Watched = { source, watch: undefined, armed: false, from: 0, vain: 0 }
          const watch = retrying(() => kernel.files.watch(source.fd, (result) => report(one, result), source.isDue))
          if (typeof watch === "number") return Effect.fail(failed(watch))
          one.watch = watch
          all.add(one)
          if (waiting.size > 0) arm(one) // else who waits next does
          return Effect.succeed({ one, watch })
        }),
        ({ one, watch }) =>
          Effect.sync(() => {
            all.delete(one)
            watch.close()
          })
      )),
    ready: Effect.callback<void, SystemCallError>((resume) => {
      if (ended) return resume(Effect.fail(failed(-errno.EBADF)))
      const due = pending ? 1 : isDue() ? 1 : armAll()
      pending = false
      if (due < 0) return resume(Effect.fail(failed(due)))
      if (due > 0) return resume(Effect.void)
      waiting.add(resume)
      return Effect.sync(() => waiting.delete(resume))
    }),
    wake: () => {
      if (waiting.size === 0) pending = true
      else goOn(Effect.void)
    }
  }
  return Effect.acquireRelease(Effect.succeed(waitings), () =>
    Effect.sync(() => {
      ended = true
      goOn(Effect.fail(failed(-errno.EBADF)))
    }))
}
