/**
 * A ring buffer (`BPF_MAP_TYPE_RINGBUF`, kernel 5.8): one queue of records of any length from BPF programs on all CPUs
 * to one reader, in order. Programs write with `bpf_ringbuf_output`, or `reserve` and `submit`; when it is full their
 * call fails and the record is lost, which only they can count.
 *
 * This module creates it; `RingBuffer` reads it.
 *
 * @example
 * ```ts
 * import { Layout, RingBuffer, RingBufferMap } from "effect-ebpf"
 * import * as Effect from "effect/Effect"
 * import * as Stream from "effect/Stream"
 *
 * const program = Effect.gen(function*() {
 *   const record = Layout.struct({ pid: Layout.u32, exitCode: Layout.i32 })
 *   const events = yield* RingBufferMap.make({ name: "events", record, maxEntries: 256 * 1024 })
 *   yield* RingBuffer.stream(events).pipe(Stream.runForEach((event) => Effect.log(event.pid)))
 * })
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

/** A ring buffer of this process, and the layout of its records. */
export interface RingBufferMap<A> extends BpfMap<"ringbuf"> {
  readonly record: Layout<A>
}

/** What a ring buffer is made of. `maxEntries` is its size in bytes. */
export interface Options<A> extends DefineOptions {
  readonly record: Layout<A>
}

/** A ring buffer as a value, for `BpfMap.create`, `openPinned` and their sisters. */
export const define = <A>(options: Options<A>): Definition<RingBufferMap<A>> => {
  const { common, options: { record } } = readDefinition("ringbuf", options, { record: layout })
  return defineMap(
    { ...common, keySize: 0, valueSize: 0 },
    (opened) => Effect.succeed(extend(opened.map, { record }))
  )
}

/**
 * Creates a ring buffer, closed with the scope. `maxEntries` is its size in bytes: a power of two times the page size,
 * and at most 1 GiB. Each record takes 8 bytes more than its own, rounded up to 8.
 *
 * Fails with `InvalidArgument` for a bad name or size, and with `SystemCallError` if the kernel refuses.
 */
export const make = <A>(
  options: Options<A>
): Effect.Effect<RingBufferMap<A>, InvalidArgument | SystemCallError, Kernel | Scope.Scope> =>
  createFrom(() => define(options))
