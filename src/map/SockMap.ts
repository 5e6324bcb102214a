/**
 * Sockets by index (`BPF_MAP_TYPE_SOCKMAP`, kernel 4.14) or by key (`BPF_MAP_TYPE_SOCKHASH`, 4.18): where programs find
 * sockets to redirect data and packets to. A socket leaves its maps when it is closed.
 *
 * Sockets are put in by their descriptors, and read back as their cookies, which never repeat.
 *
 * @example
 * ```ts
 * import { Layout, SockMap } from "effect-ebpf"
 * import * as Effect from "effect/Effect"
 *
 * const program = (socket: number) =>
 *   Effect.gen(function*() {
 *     const sockets = yield* SockMap.makeHash({ name: "peers", key: Layout.u32, maxEntries: 64 })
 *     yield* sockets.update(7, socket)
 *     return yield* sockets.lookupId(7) // Option.some(<the socket's cookie>)
 *   })
 * ```
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Kernel } from "../kernel/Kernel.ts"
import type { InvalidArgument, SystemCallError } from "../kernel/KernelError.ts"
import { type Layout, u32, u64 } from "../layout/Layout.ts"
import type { MapSpec } from "../spec/MapSpec.ts"
import type { BpfMap, DefineOptions, Definition } from "./BpfMap.ts"
import { extend } from "./internal/handle.ts"
import { createFrom, layout, readDefinition } from "./internal/definition.ts"
import { define as defineMap } from "./internal/open.ts"
import { acquireObjectEntries, wideFdOf } from "./internal/objectEntries.ts"
import type { Iterate, ObjectEntries, ObjectIds, ObjectReference } from "./MapOperations.ts"

/** A sockmap or sockhash of this process. `entries` pairs keys with cookies. */
export interface SockMap<K, T extends "sockmap" | "sockhash" = "sockmap" | "sockhash">
  extends
    BpfMap<T>,
    ObjectEntries<K, ObjectReference>,
    ObjectIds<K, bigint>,
    Pick<Iterate<K, bigint>, "entries" | "keys" | "count">
{}

const defineKind = <K, const T extends "sockmap" | "sockhash">(
  common: Pick<MapSpec, "name" | "maxEntries" | "flags"> & { readonly type: T },
  key: Layout<K>
): Definition<SockMap<K, T>> =>
  // With values of 4 bytes the kernel takes descriptors, but gives nothing back.
  defineMap<T, SockMap<K, T>>({ ...common, keySize: key.size, valueSize: 8 }, (opened) =>
    Effect.map(acquireObjectEntries(opened, key, u64, wideFdOf), ({ keyed, objects }) =>
      extend(opened.map, {
        ...objects,
        lookupId: keyed.lookup,
        entries: keyed.entries,
        keys: keyed.keys,
        count: keyed.count
      })))

/** A sockmap as a value, for `BpfMap.create`, `openPinned` and their sisters. Its keys are indices. */
export const define = (options: DefineOptions): Definition<SockMap<number, "sockmap">> =>
  defineKind(readDefinition("sockmap", options, {}).common, u32)

/** A sockhash as a value. */
export const defineHash = <K>(
  options: DefineOptions & { readonly key: Layout<K> }
): Definition<SockMap<K, "sockhash">> => {
  const { common, options: { key } } = readDefinition("sockhash", options, { key: layout })
  return defineKind(common, key)
}

/**
 * Creates a sockmap, closed with the scope.
 *
 * Fails with `InvalidArgument` for a bad name or number of entries, and with `SystemCallError` if the kernel refuses: it
 * needs CAP_NET_ADMIN.
 */
export const make = (
  options: DefineOptions
): Effect.Effect<SockMap<number, "sockmap">, InvalidArgument | SystemCallError, Kernel | Scope.Scope> =>
  createFrom(() => define(options))

/** Creates a sockhash, closed with the scope; as `make` otherwise. */
export const makeHash = <K>(
  options: DefineOptions & { readonly key: Layout<K> }
): Effect.Effect<SockMap<K, "sockhash">, InvalidArgument | SystemCallError, Kernel | Scope.Scope> =>
  createFrom(() => defineHash(options))
