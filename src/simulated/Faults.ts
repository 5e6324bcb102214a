/**
 * Fault injection: makes chosen system calls of any `Kernel`, real or simulated, fail with chosen errors. A test that
 * fails every call of a scenario in turn, and looks at what is left each time, has shown that nothing leaks.
 *
 * A call that releases something (`close`, `munmap`, `free`) does its work and then reports the error, as Linux does:
 * the descriptor is gone whatever close(2) says.
 *
 * @example
 * ```ts
 * import { Faults, HashMap, Layout, SimulatedKernel } from "effect-ebpf"
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
import { Kernel, type KernelService, type Watch } from "../kernel/Kernel.ts"

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
  const acquires = <A>(name: string, call: () => A | number): A | number => {
    const error = decide({ index: ++calls, name, releases: false })
    return error === undefined ? call() : -errno[error]
  }
  const releases = (name: string, call: () => number): number => {
    const result = call()
    const error = decide({ index: ++calls, name, releases: true })
    return error === undefined ? result : -errno[error]
  }
  const number = acquires<number>
  const watch = (inner: Watch): Watch => ({
    arm: () => number("epoll_ctl", inner.arm),
    close: () => {
      releases("epoll_ctl", () => {
        inner.close()
        return 0
      })
    }
  })
  return {
    ...kernel,
    allocate: (size) => acquires("mmap", () => kernel.allocate(size)),
    free: (block) => {
      releases("munmap", () => {
        kernel.free(block)
        return 0
      })
    },
    bpf: (command, attr, size) => number("bpf", () => kernel.bpf(command, attr, size)),
    perfEventOpen: (attr, pid, cpu, groupFd, flags) =>
      number("perf_event_open", () => kernel.perfEventOpen(attr, pid, cpu, groupFd, flags)),
    ioctl: (fd, request, argument) => number("ioctl", () => kernel.ioctl(fd, request, argument)),
    mmap: (fd, length, protection, offset) => acquires("mmap", () => kernel.mmap(fd, length, protection, offset)),
    munmap: (mapping) => releases("munmap", () => kernel.munmap(mapping)),
    close: (fd) => releases("close", () => kernel.close(fd)),
    dup: (fd) => number("fcntl", () => kernel.dup(fd)),
    raiseMemlock: () => number("prlimit", kernel.raiseMemlock),
    readFile: (path) => acquires("read", () => kernel.readFile(path)),
    fsopen: (type) => number("fsopen", () => kernel.fsopen(type)),
    fsconfig: (fd, command) => number("fsconfig", () => kernel.fsconfig(fd, command)),
    fsmount: (fd) => number("fsmount", () => kernel.fsmount(fd)),
    mount: (type, target) => number("mount", () => kernel.mount(type, target)),
    unmount: (target) => releases("umount2", () => kernel.unmount(target)),
    mkdir: (path) => number("mkdir", () => kernel.mkdir(path)),
    unlink: (path) => releases("unlink", () => kernel.unlink(path)),
    fileSystemType: (path) => number("statfs", () => kernel.fileSystemType(path)),
    pidfdOpen: (pid) => number("pidfd_open", () => kernel.pidfdOpen(pid)),
    watch: (fd, onReadable) => {
      const inner = acquires("epoll_ctl", () => kernel.watch(fd, onReadable))
      return typeof inner === "number" ? inner : watch(inner)
    }
  }
}

/** A `Kernel` whose `nth` call fails with an error, over the one provided; or one that is decided call by call. */
export const layer = (
  plan: { readonly nth: number; readonly error: ErrnoName } | Decide
): Layer.Layer<Kernel, never, Kernel> => {
  const decide: Decide = typeof plan === "function"
    ? plan
    : ({ index }) => index === plan.nth ? plan.error : undefined
  return Layer.effect(Kernel, Effect.map(Kernel, (kernel) => wrap(kernel, decide)))
}
