/**
 * A ring buffer from this process to BPF programs (`BPF_MAP_TYPE_USER_RINGBUF`, kernel 6.1): programs take records out
 * with `bpf_user_ringbuf_drain`. This module creates it.
 *
 * @example
 * ```ts
 * import { Layout, UserRingBufferMap } from "effect-ebpf"
 *
 * const commands = UserRingBufferMap.make({ name: "commands", record: Layout.u32, maxEntries: 4096 })
 * ```
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Kernel } from "../kernel/Kernel.ts"
import type { InvalidArgument, SystemCallError } from "../kernel/KernelError.ts"
import type { Layout } from "../layout/Layout.ts"
import type { BpfMap, DefineOptions, Definition } from "./BpfMap.ts"
import { extend } from "./internal/handle.ts"
import { createFrom, layout, readDefinition } from "./internal/definition.ts"
import { define as defineMap } from "./internal/open.ts"

/** A user ring buffer of this process, and the layout of its records. */
export interface UserRingBufferMap<A> extends BpfMap<"user_ringbuf"> {
  readonly record: Layout<A>
}

/** What a user ring buffer is made of. `maxEntries` is its size in bytes. */
export interface Options<A> extends DefineOptions {
  readonly record: Layout<A>
}

/** A user ring buffer as a value, for `BpfMap.create`, `openPinned` and their sisters. */
export const define = <A>(options: Options<A>): Definition<UserRingBufferMap<A>> => {
  const { common, options: { record } } = readDefinition("user_ringbuf", options, { record: layout })
  return defineMap(
    { ...common, keySize: 0, valueSize: 0 },
    (opened) => Effect.succeed(extend(opened.map, { record }))
  )
}

/**
 * Creates a user ring buffer, closed with the scope. `maxEntries` is its size in bytes: a power of two times the page
 * size, and at most 1 GiB.
 *
 * Fails with `InvalidArgument` for a bad name or size, and with `SystemCallError` if the kernel refuses.
 */
export const make = <A>(
  options: Options<A>
): Effect.Effect<UserRingBufferMap<A>, InvalidArgument | SystemCallError, Kernel | Scope.Scope> =>
  createFrom(() => define(options))
