/**
 * Storage that cgroup programs have for each cgroup they are attached to (`BPF_MAP_TYPE_CGROUP_STORAGE`, kernel 4.19, and
 * `BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE`, 4.20): `bpf_get_local_storage` gives a program its value. Entries appear when a
 * program that uses the map is attached, and go with it. From 6.2 on `LocalStorage` of cgroups is the newer way.
 *
 * Keys here are ids of cgroups (kernel 5.9): all attachments to a cgroup share one value. A walk ends early where the entry
 * it stands on goes meanwhile.
 *
 * @example
 * ```ts
 * import { CgroupStorage, Layout } from "effect-ebpf"
 * import * as Effect from "effect/Effect"
 *
 * const program = Effect.gen(function*() {
 *   const bytes = yield* CgroupStorage.make({ name: "bytes", value: Layout.u64 })
 *   return yield* bytes.lookup(1n) // Option.none() until a program that uses it is attached
 * })
 * ```
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Struct from "effect/Struct"
import type { Kernel } from "../kernel/Kernel.ts"
import type { InvalidArgument, SystemCallError } from "../kernel/KernelError.ts"
import { type Layout, u64 } from "../layout/Layout.ts"
import type { BpfMap, DefineOptions, Definition } from "./BpfMap.ts"
import { perCpu } from "./internal/codec.ts"
import { extend } from "./internal/handle.ts"
import { acquireKeyed } from "./internal/keyed.ts"
import { createFrom, layout, readDefinition } from "./internal/definition.ts"
import { define as defineMap } from "./internal/open.ts"
import type { Iterate, Lookup, Update } from "./MapOperations.ts"

/** Cgroup storage of this process, by cgroup id. */
export interface CgroupStorage<V>
  extends
    BpfMap<"cgroup_storage">,
    Lookup<bigint, V>,
    Update<bigint, V>,
    Pick<Iterate<bigint, V>, "entries" | "keys" | "values" | "count">
{
  readonly value: Layout<V>
}

/** Cgroup storage with one value for each possible CPU; see `PerCpu`. */
export interface PerCpuCgroupStorage<V>
  extends
    BpfMap<"percpu_cgroup_storage">,
    Lookup<bigint, ReadonlyArray<V>>,
    Update<bigint, ReadonlyArray<V>>,
    Pick<Iterate<bigint, ReadonlyArray<V>>, "entries" | "keys" | "values" | "count">
{
  /** The layout of one CPU's value. */
  readonly value: Layout<V>
}

/** What cgroup storage is made of: it has as many entries as cgroups that its programs are attached to. */
export interface Options<V> extends Omit<DefineOptions, "maxEntries"> {
  readonly value: Layout<V>
}

const operations = [
  "lookup",
  "lookupUnsafe",
  "update",
  "updateUnsafe",
  "entries",
  "keys",
  "values",
  "count"
] as const

/** Cgroup storage as a value, for `BpfMap.create`, `openPinned` and their sisters. */
export const define = <V>(options: Options<V>): Definition<CgroupStorage<V>> => {
  const { common, options: { value } } = readDefinition("cgroup_storage", options, { value: layout })
  return defineMap(
    { ...common, keySize: 8, valueSize: value.size },
    (opened) =>
      Effect.map(
        acquireKeyed(opened, u64, value),
        (keyed) => extend(opened.map, { value, ...Struct.pick(keyed, operations) })
      )
  )
}

/** Per-CPU cgroup storage as a value. */
export const definePerCpu = <V>(options: Options<V>): Definition<PerCpuCgroupStorage<V>> => {
  const { common, options: { value } } = readDefinition("percpu_cgroup_storage", options, { value: layout })
  return defineMap(
    { ...common, keySize: 8, valueSize: value.size },
    (opened) =>
      Effect.map(
        acquireKeyed(opened, u64, perCpu(value, opened.kernel.possibleCpus)),
        (keyed) => extend(opened.map, { value, ...Struct.pick(keyed, operations) })
      )
  )
}

/**
 * Creates cgroup storage, closed with the scope.
 *
 * Fails with `InvalidArgument` for a bad name, and with `SystemCallError` if the kernel refuses.
 */
export const make = <V>(
  options: Options<V>
): Effect.Effect<CgroupStorage<V>, InvalidArgument | SystemCallError, Kernel | Scope.Scope> =>
  createFrom(() => define(options))

/** Creates per-CPU cgroup storage, closed with the scope; as `make` otherwise. */
export const makePerCpu = <V>(
  options: Options<V>
): Effect.Effect<PerCpuCgroupStorage<V>, InvalidArgument | SystemCallError, Kernel | Scope.Scope> =>
  createFrom(() => definePerCpu(options))
