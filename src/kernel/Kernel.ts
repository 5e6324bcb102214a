/**
 * `Kernel` is the one service that this library's effects require: the door to the operating system. `Kernel.layer` is a
 * real Linux kernel, reached through koffi; `SimulatedKernel.layer` is one in memory, for tests and for machines without
 * privilege or without Linux.
 *
 * You provide it; you rarely call it. Its methods are raw system calls that the modules above wrap: they check no
 * argument but the memory they are given.
 *
 * @example
 * ```ts
 * import { Kernel } from "effect-ebpf"
 * import * as Effect from "effect/Effect"
 *
 * const program = Effect.gen(function*() {
 *   const kernel = yield* Kernel.Kernel
 *   console.log(kernel.version.release, kernel.possibleCpus)
 * })
 *
 * Effect.runPromise(program.pipe(Effect.provide(Kernel.layer)))
 * ```
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { type Architecture, syscalls } from "../abi/syscalls.ts"
import * as Linux from "./internal/linux.ts"
import { KernelUnavailable } from "./KernelError.ts"
import type { KernelService } from "./kernelService.ts"

export type { BpfCalls, FileCalls, KernelService, KernelVersion, NetCalls, PerfCalls, Watch } from "./kernelService.ts"
export type { Block, Mapping } from "./memory.ts"

/** The service tag: `yield* Kernel.Kernel` gives the door. */
export class Kernel extends Context.Service<Kernel, KernelService>()("effect-ebpf/Kernel") {}

const isKnown = (architecture: string): architecture is Architecture => architecture in syscalls

const open: Effect.Effect<Linux.LinuxKernel, KernelUnavailable> = Effect.gen(function*() {
  const { arch, platform } = process
  if (platform !== "linux") return yield* new KernelUnavailable({ reason: `eBPF needs Linux, and this is ${platform}` })
  if (!isKnown(arch)) {
    return yield* new KernelUnavailable({ reason: `needs x64 or arm64, and this process is ${arch}` })
  }
  return yield* Effect.tryPromise({
    try: () => Linux.open(arch),
    catch: (error) => new KernelUnavailable({ reason: error instanceof Error ? error.message : String(error) })
  })
})

/**
 * The running Linux kernel. Needs no privilege itself; what the kernel then refuses is a `SystemCallError` of the
 * effect that asked. Releasing the layer frees its memory and its epoll descriptor.
 *
 * Fails with `KernelUnavailable` elsewhere than on Linux on x86-64 or arm64.
 */
export const layer: Layer.Layer<Kernel, KernelUnavailable> = Layer.effect(
  Kernel,
  Effect.map(Effect.acquireRelease(open, (linux) => Effect.sync(linux.release)), (linux) => linux.service)
)
