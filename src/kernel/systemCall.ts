// From raw results to effects: retries what a signal interrupted, and turns -errno into a SystemCallError with its hint.
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import { errno } from "../abi/errno.ts"
import { SystemCallError } from "./KernelError.ts"
import type { KernelService } from "./kernelService.ts"
import type { Block, Mapping } from "./memory.ts"
import { type FeatureName, isExpected } from "./Features.ts"
import { explain } from "./internal/hints.ts"
import { releasedHint } from "./released.ts"

/** What a call is, for its error. */
export interface Call {
  readonly call: string
  readonly command?: string
  readonly subject?: string
  readonly features?: ReadonlyArray<FeatureName>
}

/** A signal that keeps arriving must not keep us here for ever; nor may one that arrives once fail the call. */
const MOST_RETRIES = 16

/** The error for `-errno`, with its hint. */
export const toError = (kernel: KernelService, what: Call, result: number): SystemCallError =>
  new SystemCallError({
    call: what.call,
    command: what.command,
    subject: what.subject,
    errno: -result,
    hint: kernel.isReleased() ? releasedHint : explain(kernel, { ...what, errno: -result })
  })

/** Makes the call again while a signal interrupts it (EINTR). */
export const retrying = <A>(call: () => A | number): A | number => {
  let result = call() // nearly always the only one
  for (let i = 0; i < MOST_RETRIES && result === -errno.EINTR; i++) result = call()
  return result
}

const attempt = <A>(kernel: KernelService, what: Call, call: () => A | number): Effect.Effect<A, SystemCallError> =>
  Effect.suspend(() => {
    const result = retrying(call)
    return typeof result === "number" && result < 0
      ? Effect.fail(toError(kernel, what, result))
      : Effect.succeed(result as A)
  })

/** As `run`, for a call that must not be made twice: `interrupted` is the hint where a signal ends it (EINTR). */
export const runOnce = (
  kernel: KernelService,
  what: Call,
  call: () => number,
  interrupted: string
): Effect.Effect<number, SystemCallError> =>
  Effect.suspend(() => {
    const result = call()
    if (result >= 0) return Effect.succeed(result)
    const error = toError(kernel, what, result)
    return Effect.fail(error.errno === errno.EINTR ? new SystemCallError({ ...error, hint: interrupted }) : error)
  })

/** Runs one system call: its result, or a `SystemCallError`. */
export const run: (
  kernel: KernelService,
  what: Call,
  call: () => number
) => Effect.Effect<number, SystemCallError> = attempt

/**
 * A call that takes BPF memory. Kernels before 5.11 charge it to RLIMIT_MEMLOCK, whose default of 64 KiB is soon used up,
 * and then answer EPERM: the limit is raised, where that is allowed, and the call made again.
 */
export const charged = (kernel: KernelService, call: () => number): () => number => () => {
  const result = call()
  if (result !== -errno.EPERM || isExpected(kernel.version, "memcgAccounting")) return result
  return kernel.bpf.raiseMemlock() < 0 ? result : call()
}

/** A descriptor that is closed with the scope. close(2) releases it even when it reports an error, EINTR included. */
export const acquireFd = (
  kernel: KernelService,
  what: Call,
  call: () => number
): Effect.Effect<number, SystemCallError, Scope.Scope> =>
  Effect.acquireRelease(attempt(kernel, what, call), (fd) => Effect.sync(() => kernel.files.close(fd)))

/** A descriptor that a handle keeps: its number, or -1 once it is closed, when the number may be another object's. */
export interface Descriptor {
  readonly fd: number
}

/** As `acquireFd`, for handles that may outlive their scope: what they do then is EBADF, and never done to a stranger. */
export const acquireDescriptor = (
  kernel: KernelService,
  what: Call,
  call: () => number
): Effect.Effect<Descriptor, SystemCallError, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.map(attempt(kernel, what, call), (fd) => ({ fd })),
    (descriptor) =>
      Effect.sync(() => {
        const { fd } = descriptor
        descriptor.fd = -1
        kernel.files.close(fd)
      })
  )

/** A block of kernel-visible memory that is freed with the scope. */
export const acquireBlock = (
  kernel: KernelService,
  size: number
): Effect.Effect<Block, SystemCallError, Scope.Scope> => acquireBlockUntil(kernel, size, (free) => free())

/** As `acquireBlock`, for memory that may be in use when the scope closes: `release` then says when it is freed. */
export const acquireBlockUntil = (
  kernel: KernelService,
  size: number,
  release: (free: () => void) => void
): Effect.Effect<Block, SystemCallError, Scope.Scope> =>
  Effect.acquireRelease(
    attempt(kernel, { call: "mmap", subject: `${size} bytes of memory` }, () => kernel.allocate(size)),
    (block) => Effect.sync(() => release(() => kernel.free(block)))
  )

/** A mapping of a descriptor that is unmapped with the scope. */
export const acquireMapping = (
  kernel: KernelService,
  subject: string,
  map: { readonly fd: number; readonly length: number; readonly protection: number; readonly offset: number }
): Effect.Effect<Mapping, SystemCallError, Scope.Scope> =>
  Effect.acquireRelease(
    attempt(
      kernel,
      { call: "mmap", subject },
      () => kernel.files.mmap(map.fd, map.length, map.protection, map.offset)
    ),
    (mapping) => Effect.sync(() => kernel.files.munmap(mapping))
  )

/**
 * An effect that waits until a descriptor is readable, as long as the scope lives. Any number of fibers may wait; each is
 * woken, and fails with EBADF once the scope, the descriptor or the kernel is closed. `hints` are texts for errors by number.
 */
export const acquireWatch = (
  kernel: KernelService,
  subject: string,
  fd: number,
  hints: { readonly [errno: number]: string }
): Effect.Effect<Effect.Effect<void, SystemCallError>, SystemCallError, Scope.Scope> => {
  const what: Call = { call: "epoll_ctl", subject }
  const failed = (result: number): SystemCallError => {
    const error = toError(kernel, what, result)
    return kernel.isReleased() ? error : new SystemCallError({ ...error, hint: hints[error.errno] ?? error.hint })
  }
  const waiting = new Set<(result: Effect.Effect<void, SystemCallError>) => void>()
  let armed = false
  const report = (result: number): void => {
    armed = false
    if (waiting.size === 0) return
    const outcome = result < 0 ? Effect.fail(failed(result)) : Effect.void
    const all = [...waiting]
    waiting.clear()
    for (const resume of all) resume(outcome)
  }
  const watch = Effect.suspend(() => {
    const result = retrying(() => kernel.files.watch(fd, report))
    return typeof result === "number" ? Effect.fail(failed(result)) : Effect.succeed(result)
  })
  return Effect.map(
    Effect.acquireRelease(watch, (w) =>
      Effect.sync(() => {
        w.close()
        report(-errno.EBADF)
      })),
    (w) =>
      Effect.callback<void, SystemCallError>((resume) => {
        if (!armed) {
          const result = retrying(w.arm)
          if (result < 0) return resume(Effect.fail(failed(result)))
          armed = true
        }
        waiting.add(resume)
        return Effect.sync(() => waiting.delete(resume))
      })
  )
}

/** The content of a file that never changes: not to be written to, or handed on. */
export const readConstant = (kernel: KernelService, path: string): Effect.Effect<Uint8Array, SystemCallError> =>
  attempt(kernel, { call: "read", subject: path }, () => kernel.files.readConstant(path))

/** The content of a file. */
export const readFile = (kernel: KernelService, path: string): Effect.Effect<Uint8Array, SystemCallError> =>
  attempt(kernel, { call: "read", subject: path }, () => kernel.files.read(path))

/**
 * Runs several acquisitions as one: if a later one fails or is interrupted, the earlier ones are released at once, and
 * not only with the caller's scope, which may live long.
 */
export const allOrNothing = <A, E, R>(
  acquire: Effect.Effect<A, E, R>
): Effect.Effect<A, E, Exclude<R, Scope.Scope> | Scope.Scope> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.flatMap(
      Effect.flatMap(Effect.scope, (outer) => Scope.fork(outer)),
      (inner) =>
        restore(Scope.provide(acquire, inner)).pipe(
          Effect.onError((cause) => Scope.close(inner, Exit.failCause(cause)))
        )
    )
  )

/**
 * As `allOrNothing`, for an acquisition that needs memory only meanwhile: that belongs to a scope of its own, closed at
 * the end, while what is to stay is put into `owner` with `Scope.provide`.
 */
export const withLocalScope = <A, E, R>(
  acquire: (owner: Scope.Scope) => Effect.Effect<A, E, R>
): Effect.Effect<A, E, Exclude<R, Scope.Scope> | Scope.Scope> =>
  allOrNothing(Effect.flatMap(Effect.scope, (owner) => Effect.scoped(acquire(owner)))) as never
