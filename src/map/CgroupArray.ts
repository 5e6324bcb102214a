/**
 * An array of cgroups (`BPF_MAP_TYPE_CGROUP_ARRAY`, kernel 4.8): programs test with `bpf_skb_under_cgroup` and
 * `bpf_current_task_under_cgroup` whether a packet's socket, or the running task, belongs to one.
 *
 * @example
 * ```ts
 * import { CgroupArray } from "effect-ebpf"
 * import * as Effect from "effect/Effect"
 * import { open } from "node:fs/promises"
 *
 * const program = Effect.gen(function*() {
 *   const groups = yield* CgroupArray.make({ name: "groups", maxEntries: 4 })
 *   const folder = yield* Effect.promise(() => open("/sys/fs/cgroup/my.slice"))
 *   yield* groups.update(0, folder) // a FileHandle has an `fd`
 *   return groups
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

/** A cgroup array of this process; its entries are descriptors of cgroup folders (version 2). */
export interface CgroupArray extends BpfMap<"cgroup_array">, ObjectEntries<number, ObjectReference> {}

/** A cgroup array as a value, for `BpfMap.create`, `openPinned` and their sisters. */
export const define = (options: DefineOptions): Definition<CgroupArray> =>
  defineMap(
    { ...readDefinition("cgroup_array", options, {}).common, keySize: 4, valueSize: 4 },
    (opened) => Effect.map(acquireObjectEntries(opened, u32, u32, fdOf), ({ objects }) => extend(opened.map, objects))
  )

/**
 * Creates a cgroup array, closed with the scope.
 *
 * Fails with `InvalidArgument` for a bad name or number of entries, and with `SystemCallError` if the kernel refuses.
 */
export const make = (
  options: DefineOptions
): Effect.Effect<CgroupArray, InvalidArgument | SystemCallError, Kernel | Scope.Scope> =>
  createFrom(() => define(options))
