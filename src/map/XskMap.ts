/**
 * AF_XDP sockets by receive queue (`BPF_MAP_TYPE_XSKMAP`, kernel 4.18): where an XDP program sends packets to user space
 * with `bpf_redirect_map`. The sockets come from elsewhere; entries empty themselves when a socket is closed.
 *
 * @example
 * ```ts
 * import { XskMap } from "effect-ebpf"
 * import * as Effect from "effect/Effect"
 *
 * const bind = (queue: number, socket: number) =>
 *   Effect.gen(function*() {
 *     const sockets = yield* XskMap.make({ name: "sockets", maxEntries: 64 })
 *     yield* sockets.update(queue, socket)
 *     return sockets
 *   })
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

/** An XSK map of this process; its entries are descriptors of bound AF_XDP sockets, by receive queue. */
export interface XskMap extends BpfMap<"xskmap">, ObjectEntries<number, ObjectReference> {}

/** An XSK map as a value, for `BpfMap.create`, `openPinned` and their sisters. */
export const define = (options: DefineOptions): Definition<XskMap> =>
  defineMap(
    { ...readDefinition("xskmap", options, {}).common, keySize: 4, valueSize: 4 },
    (opened) => Effect.map(acquireObjectEntries(opened, u32, u32, fdOf), ({ objects }) => extend(opened.map, objects))
  )

/**
 * Creates an XSK map, closed with the scope.
 *
 * Fails with `InvalidArgument` for a bad name or number of entries, and with `SystemCallError` if the kernel refuses.
 */
export const make = (
  options: DefineOptions
): Effect.Effect<XskMap, InvalidArgument | SystemCallError, Kernel | Scope.Scope> => createFrom(() => define(options))
