/**
 * Hash tables with one value for each CPU (`BPF_MAP_TYPE_PERCPU_HASH`, kernel 4.6, and `BPF_MAP_TYPE_LRU_PERCPU_HASH`,
 * 4.10): a program sees and changes that of its own CPU, with no lock and no contention; here a value is the array of all
 * of them, by the number of the *possible* CPU. `PerCpu` sums them up.
 *
 * There are as many as `Kernel.possibleCpus` says, also for CPUs that are not online. Its operations are described in
 * `MapOperations`.
 *
 * @example
 * ```ts
 * import { Layout, PerCpu, PerCpuHashMap } from "effect-ebpf"
 * import * as Effect from "effect/Effect"
 * import * as Option from "effect/Option"
 *
 * const program = Effect.gen(function*() {
 *   const counters = yield* PerCpuHashMap.make({ name: "hits", key: Layout.u32, value: Layout.u64, maxEntries: 64 })
 *   yield* counters.updateAll(7, 0n)
 *   return Option.map(yield* counters.lookup(7), PerCpu.sum) // Option.some(0n)
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
import { acquireKeyed } from "./internal/keyed.ts"
import { createFrom, layout, readDefinition } from "./internal/definition.ts"
import { define as defineMap } from "./internal/open.ts"
import type { Keyed, UpdateOptions } from "./MapOperations.ts"

/**
 * A per-CPU hash map of this process. After the scope that it was made in has closed, its operations fail with a
 * `SystemCallError` of EBADF.
 */
export interface PerCpuHashMap<
  K,
  V,
  T extends "percpu_hash" | "lru_percpu_hash" = "percpu_hash" | "lru_percpu_hash"
> extends BpfMap<T>, Keyed<K, ReadonlyArray<V>> {
  readonly key: Layout<K>
  /** The layout of one CPU's value. */
  readonly value: Layout<V>
  /** Sets the values of all CPUs to this one. */
  readonly updateAll: (
    key: K,
    value: V,
    options?: UpdateOptions
  ) => Effect.Effect<void, InvalidArgument | LayoutError | SystemCallError>
}

/** What a per-CPU hash map is made of. */
export interface Options<K, V> extends DefineOptions {
  readonly key: Layout<K>
  /** The layout of one CPU's value. */
  readonly value: Layout<V>
}

const defineKind = <K, V, const T extends "percpu_hash" | "lru_percpu_hash">(
  type: T,
  options: Options<K, V>
): Definition<PerCpuHashMap<K, V, T>> => {
  const { common, options: { key, value } } = readDefinition(type, options, { key: layout, value: layout })
  return defineMap<T, PerCpuHashMap<K, V, T>>({
    ...common,
    keySize: key.size,
    valueSize: value.size
  }, (opened) => {
    const cpus = opened.kernel.possibleCpus
    return Effect.map(acquireKeyed(opened, key, perCpu(value, cpus)), (operations) =>
      extend(opened.map, {
        key,
        value,
        ...operations,
        updateAll: (k: K, v: V, updateOptions?: UpdateOptions) =>
          operations.update(k, new Array<V>(cpus).fill(v), updateOptions)
      }))
  })
}

/** A per-CPU hash map as a value, for `BpfMap.create`, `openPinned` and their sisters. */
export const define = <K, V>(options: Options<K, V>): Definition<PerCpuHashMap<K, V, "percpu_hash">> =>
  defineKind("percpu_hash", options)

/** A per-CPU hash map that evicts when it is full, as that of `HashMap.makeLru` does, as a value. */
export const defineLru = <K, V>(options: Options<K, V>): Definition<PerCpuHashMap<K, V, "lru_percpu_hash">> =>
  defineKind("lru_percpu_hash", options)

/**
 * Creates a per-CPU hash map, closed with the scope. Its memory is `maxEntries` values for each possible CPU.
 *
 * Fails with `InvalidArgument` for a bad name or number of entries, and with `SystemCallError` if the kernel refuses:
 * E2BIG for a value of more than 32 KiB, the most that per-CPU memory gives at once.
 */
export const make = <K, V>(
  options: Options<K, V>
): Effect.Effect<PerCpuHashMap<K, V, "percpu_hash">, InvalidArgument | SystemCallError, Kernel | Scope.Scope> =>
  createFrom(() => define(options))

/** Creates a per-CPU hash map that evicts when it is full, closed with the scope; as `make` otherwise. Kernel 4.10. */
export const makeLru = <K, V>(
  options: Options<K, V>
): Effect.Effect<PerCpuHashMap<K, V, "lru_percpu_hash">, InvalidArgument | SystemCallError, Kernel | Scope.Scope> =>
  createFrom(() => defineLru(options))
