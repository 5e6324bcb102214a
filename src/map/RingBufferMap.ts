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
import { Kernel } from "../kernel/Kernel.ts"
import { InvalidArgument, type SystemCallError } from "../kernel/KernelError.ts"
import type { Layout } from "../layout/Layout.ts"
import * as BpfMap from "./BpfMap.ts"
import { extend } from "./internal/handle.ts"

/** A ring buffer of this process, and the layout of its records. */
export interface RingBufferMap<A> extends BpfMap.BpfMap<"ringbuf"> {
  readonly record: Layout<A>
}

/** Larger rings would need 64-bit positions on the reader's hot path. */
const MOST_BYTES = 1 << 30

/**
 * Creates a ring buffer, closed with the scope. `maxEntries` is its size in bytes: a power of two times the page size,
 * and at most 1 GiB. Each record takes 8 bytes more than its own, rounded up to 8.
 *
 * Fails with `InvalidArgument` for a bad name or size, and with `SystemCallError` if the kernel refuses.
 */
export const make = <A>(options: {
  readonly name: string
  readonly record: Layout<A>
  readonly maxEntries: number
  /** `BPF_F_*` flags of `BPF_MAP_CREATE`. */
  readonly flags?: number
}): Effect.Effect<RingBufferMap<A>, InvalidArgument | SystemCallError, Kernel | Scope.Scope> =>
  Effect.gen(function*() {
    const { maxEntries, record } = options
    const { pageSize } = yield* Kernel
    if (!(maxEntries >= pageSize && maxEntries <= MOST_BYTES && Number.isInteger(Math.log2(maxEntries)))) {
      return yield* new InvalidArgument({
        field: "maxEntries",
        expected: `a size in bytes that is a power of two from ${pageSize} (the page size) to ${MOST_BYTES}`,
        actual: String(maxEntries)
      })
    }
    const map = yield* BpfMap.make({
      type: "ringbuf",
      name: options.name,
      keySize: 0,
      valueSize: 0,
      maxEntries,
      flags: options.flags ?? 0
    })
    return extend(map, { record })
  })
