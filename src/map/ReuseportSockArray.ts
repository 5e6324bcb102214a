/**
 * Sockets of a `SO_REUSEPORT` group by index (`BPF_MAP_TYPE_REUSEPORT_SOCKARRAY`, kernel 4.19): what a program chooses
 * from with `bpf_sk_select_reuseport`. A socket leaves the map when it is closed.
 *
 * @example
 * ```ts
 * import { ReuseportSockArray } from "effect-ebpf"
 * import * as Effect from "effect/Effect"
 *
 * const program = (listener: number) =>
 *   Effect.gen(function*() {
 *     const sockets = yield* ReuseportSockArray.make({ name: "listeners", maxEntries: 4 })
 *     yield* sockets.update(0, listener)
 *     return sockets
 *   })
 * ```
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Kernel } from "../kernel/Kernel.ts"
import type { InvalidArgument, SystemCallError } from "../kernel/KernelError.ts"
import { u32, u64 } from "../layout/Layout.ts"
import type { BpfMap, DefineOptions, Definition } from "./BpfMap.ts"
import { extend } from "./internal/handle.ts"
import { createFrom, readDefinition } from "./internal/definition.ts"
import { define as defineMap } from "./internal/open.ts"
import { acquireObjectEntries, wideFdOf } from "./internal/objectEntries.ts"
import type { ObjectEntries, ObjectIds, ObjectReference } from "./MapOperations.ts"

/** A reuseport socket array of this process. Sockets are put in by their descriptors, and read back as cookies. */
export interface ReuseportSockArray
  extends BpfMap<"reuseport_sockarray">, ObjectEntries<number, ObjectReference>, ObjectIds<number, bigint>
{}

/** A reuseport socket array as a value, for `BpfMap.create`, `openPinned` and their sisters. */
export const define = (options: DefineOptions): Definition<ReuseportSockArray> =>
  defineMap(
    { ...readDefinition("reuseport_sockarray", options, {}).common, keySize: 4, valueSize: 8 },
    (opened) =>
      Effect.map(
        acquireObjectEntries(opened, u32, u64, wideFdOf),
        ({ keyed, objects }) => extend(opened.map, { ...objects, lookupId: keyed.lookup })
      )
  )

/**
 * Creates a reuseport socket array, closed with the scope.
 *
 * Fails with `InvalidArgument` for a bad name or number of entries, and with `SystemCallError` if the kernel refuses.
 */
export const make = (
  options: DefineOptions
): Effect.Effect<ReuseportSockArray, InvalidArgument | SystemCallError, Kernel | Scope.Scope> =>
  createFrom(() => define(options))
