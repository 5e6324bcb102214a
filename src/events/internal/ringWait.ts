// Waiting for a ring: any number of fibers, each woken by a report, by a flush, or by a time of its own.
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { errno } from "../../abi/errno.ts"
import type { KernelService, Watch } from "../../kernel/kernelService.ts"
import { SystemCallError } from "../../kernel/KernelError.ts"
import { retrying, toError } from "../../kernel/systemCall.ts"

export type Resume = (outcome: Effect.Effect<void, SystemCallError>) => void

const HINTS: { readonly [errno: number]: string } = {
  [errno.EEXIST]: "It has a reader already, and a ring buffer can have only one",
  [errno.EBADF]: "The reader's scope, or that of its map, has closed"
}

/** A record that is reserved and not submitted is reported all the time: it is looked at again after so many milliseconds. */
const BUSY = 1

const nothing = (): void => {}

export class RingWait {
  private readonly kernel: KernelService
  private readonly subject: string
  private readonly deadline: number | undefined
  private readonly isBusy: () => boolean
  private readonly woken: () => void
  private readonly waiting = new Set<Resume>()
  private watch: Watch | undefined
  private armed = false
  private pending = false
  /** False once the ring's descriptor, or what watches it, has closed. */
  isOpen = false

  constructor(
    kernel: KernelService,
    subject: string,
    options: { readonly deadline: number | undefined; readonly isBusy: () => boolean; readonly woken: () => void }
  ) {
    this.kernel = kernel
    this.subject = subject
    this.deadline = options.deadline
    this.isBusy = options.isBusy
    this.woken = options.woken
  }

  private failed(result: number): SystemCallError {
    const error = toError(this.kernel, { call: "epoll_ctl", subject: this.subject }, result)
    return this.kernel.isReleased() ? error : new SystemCallError({ ...error, hint: HINTS[error.errno] ?? error.hint })
  }

  private goOn(outcome: Effect.Effect<void, SystemCallError>): void {
    if (this.waiting.size === 0) return
    this.woken()
    const all = [...this.waiting]
    this.waiting.clear()
    for (const resume of all) resume(outcome)
  }

  private report(result: number): void {
    this.armed = false
    if (result < 0) this.isOpen = false
    if (this.waiting.size > 0) this.goOn(result < 0 ? Effect.fail(this.failed(result)) : Effect.void)
  }

  /** Watches the ring until the scope closes; who waits then, and later, fails with EBADF. */
  readonly open = (fd: number): Effect.Effect<void, SystemCallError, Scope.Scope> =>
    Effect.asVoid(Effect.acquireRelease(
      Effect.suspend(() => {
        const watch = retrying(() => this.kernel.files.watch(fd, (result) => this.report(result)))
        if (typeof watch === "number") return Effect.fail(this.failed(watch))
        this.watch = watch
        this.isOpen = true
        return Effect.succeed(watch)
      }),
      (watch) =>
        Effect.sync(() => {
          this.watch = undefined
          watch.close()
          this.report(-errno.EBADF)
        })
    ))

  /** Calls `resume` once, when there is something, or `within` milliseconds went by. Gives what takes that back. */
  listen(resume: Resume, within = this.deadline): () => void {
    if (this.watch === undefined) return resume(Effect.fail(this.failed(-errno.EBADF))), nothing
    if (this.pending) {
      this.pending = false
      return resume(Effect.void), nothing
    }
    const busy = this.isBusy()
    if (!busy && !this.armed) {
      const result = retrying(this.watch.arm)
      if (result < 0) {
        this.isOpen = false
        return resume(Effect.fail(this.failed(result))), nothing
      }
      this.armed = true
    }
    const time = busy ? Math.min(BUSY, within ?? BUSY) : within
    const entry: Resume = (outcome) => {
      clearTimeout(timer)
      resume(outcome)
    }
    const onTime = (): void => {
      if (this.waiting.delete(entry)) resume(Effect.void)
    }
    const timer = time === undefined ? undefined : setTimeout(onTime, time)
    this.waiting.add(entry)
    return () => {
      clearTimeout(timer)
      this.waiting.delete(entry)
    }
  }

  /** Lets those who wait go on; with nobody there, the next who would wait. */
  wake(): void {
    if (this.waiting.size === 0) this.pending = true
    else this.goOn(Effect.void)
  }

  /** Waits until there is something, or `within` milliseconds went by. */
  ready(within?: number): Effect.Effect<void, SystemCallError> {
    return Effect.callback<void, SystemCallError>((resume) => {
      const cancel = this.listen(resume, within)
      return Effect.sync(cancel)
    })
  }
}

/** Waits until any of several has something. */
export const waitForAny = (waits: ReadonlyArray<RingWait>): Effect.Effect<void, SystemCallError> =>
  Effect.callback<void, SystemCallError>((resume) => {
    const cancels: Array<() => void> = []
    let done = false
    const cancelAll = (): void => {
      for (const cancel of cancels) cancel()
    }
    for (const wait of waits) {
      const cancel = wait.listen((outcome) => {
        if (done) return
        done = true
        cancelAll()
        resume(outcome)
      })
      if (done) {
        cancel()
        break
      }
      cancels.push(cancel)
    }
    return Effect.sync(cancelAll)
  })
