/**
 * An array with one value for each CPU (`BPF_MAP_TYPE_PERCPU_ARRAY`, kernel 4.6): a program sees and changes that of its
 * own CPU, with no lock and no contention; here a value is the array of all of them, by the number of the *possible* CPU.
 * `PerCpu` sums them up.
 *
 * @example
 * ```ts
 * import { Layout, PerCpu, PerCpuArrayMap } from "effect-ebpf"
 * import * as Effect from "effect/Effect"
 *
 * const program = Effect.gen(function*() {
 *   const packets = yield* PerCpuArrayMap.make({ name: "packets", value: Layout.u64, maxEntries: 2 })
 *   return PerCpu.sum(yield* packets.lookup(0)) // 0n
 * })
 * ```
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Kernel } from "../kernel/Kernel.ts"
import type { InvalidArgument, SystemCallError } from "../kernel/KernelError.ts"
import type { Layout, LayoutError } from "../layout/Layout.ts"
import type { BpfMap, DefineOptions, Definition } from "./BpfMap.ts"
import { perCpu } from "./internal/codec.ts"
import { extend } from "./internal/handle.ts"
import { acquireIndexed, type Indexed } from "./internal/indexed.ts"
import { createFrom, layout, readDefinition } from "./internal/definition.ts"
import { define as defineMap } from "./internal/open.ts"

/**
 * A per-CPU array map of this process. After the scope that it was made in has closed, its operations fail with a
 * `SystemCallError` of EBADF.
 */
export interface PerCpuArrayMap<V> extends BpfMap<"percpu_array">, Indexed<ReadonlyArray<V>> {
  /** The layout of one CPU's value. */
  readonly value: Layout<V>
  /** Sets the values of all CPUs to this one. */
  readonly updateAll: (index: number, value: V) => Effect.Effect<void, InvalidArgument | LayoutError | SystemCallError>
}

/** What a per-CPU array map is made of. */
export interface Options<V> extends DefineOptions {
  /** The layout of one CPU's value. */
  readonly value: Layout<V>
}

/** A per-CPU array map as a value, for `BpfMap.create`, `openPinned` and their sisters. */
export const define = <V>(options: Options<V>): Definition<PerCpuArrayMap<V>> => {
  const { common, options: { value } } = readDefinition("percpu_array", options, { value: layout })
  return defineMap({ ...common, keySize: 4, valueSize: value.size }, (opened) => {
    const cpus = opened.kernel.possibleCpus
    return Effect.map(acquireIndexed(opened, perCpu(value, cpus)), (operations) =>
      extend(opened.map, {
        value,
        ...operations,
        updateAll: (index: number, v: V) => operations.update(index, new Array<V>(cpus).fill(v))
      }))
  })
}

/**
 * Creates a per-CPU array map, closed with the scope.
 *
 * Fails with `InvalidArgument` for a bad name or number of entries, and with `SystemCallError` if the kernel refuses.
 */
export const make = <V>(
  options: Options<V>
): Effect.Effect<PerCpuArrayMap<V>, InvalidArgument | SystemCallError, Kernel | Scope.Scope> =>
  createFrom(() => define(options))
