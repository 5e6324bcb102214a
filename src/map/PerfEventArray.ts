/**
 * An array of perf events by CPU (`BPF_MAP_TYPE_PERF_EVENT_ARRAY`, kernel 4.3): where `bpf_perf_event_output` writes
 * records, which `PerfBuffer` reads, and `bpf_perf_event_read` reads counters from. Make it with an entry for each CPU that
 * there may be: as many as the highest number and 1 (`PerfBuffer.entries`), since numbers may have holes.
 *
 * On kernels from 5.8 on a ring buffer (`RingBufferMap`) is mostly the better choice: one buffer for all CPUs, in order.
 *
 * @example
 * ```ts
 * import { PerfBuffer, PerfEventArray } from "effect-ebpf"
 * import * as Effect from "effect/Effect"
 *
 * const program = Effect.gen(function*() {
 *   return yield* PerfEventArray.make({ name: "events", maxEntries: yield* PerfBuffer.entries })
 * })
 * ```
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Kernel } from "../kernel/Kernel.ts"
import type { InvalidArgument, SystemCallError } from "../kernel/KernelError.ts"
import { u32 } from "../layout/Layout.ts"
import type { BpfMap, DefineOptions, Definition } from "./BpfMap.ts"
import { extend } from "./internal/handle.ts"
import { createFrom, readDefinition } from "./internal/definition.ts"
import { define as defineMap } from "./internal/open.ts"
import { acquireObjectEntries, fdOf } from "./internal/objectEntries.ts"
import type { ObjectEntries, ObjectReference } from "./MapOperations.ts"

/** A perf event array of this process; its entries are descriptors of perf events, by CPU. */
export interface PerfEventArray extends BpfMap<"perf_event_array">, ObjectEntries<number, ObjectReference> {}

/** A perf event array as a value, for `BpfMap.create`, `openPinned` and their sisters. */
export const define = (options: DefineOptions): Definition<PerfEventArray> =>
  defineMap(
    { ...readDefinition("perf_event_array", options, {}).common, keySize: 4, valueSize: 4 },
    (opened) => Effect.map(acquireObjectEntries(opened, u32, u32, fdOf), ({ objects }) => extend(opened.map, objects))
  )

/**
 * Creates a perf event array, closed with the scope.
 *
 * Fails with `InvalidArgument` for a bad name or number of entries, and with `SystemCallError` if the kernel refuses.
 */
export const make = (
  options: DefineOptions
): Effect.Effect<PerfEventArray, InvalidArgument | SystemCallError, Kernel | Scope.Scope> =>
  createFrom(() => define(options))
