/**
 * Maps of maps: an array of them (`BPF_MAP_TYPE_ARRAY_OF_MAPS`, kernel 4.12), or a hash table
 * (`BPF_MAP_TYPE_HASH_OF_MAPS`). All inner maps are like one definition; programs look one up, and then an entry in it.
 * Replacing an inner map as a whole is how to change many entries at once.
 *
 * An inner map lives as long as it is in the outer one, whatever becomes of the scope that it was made in.
 *
 * @example
 * ```ts
 * import { BpfMap, HashMap, Layout, MapOfMaps } from "effect-ebpf"
 * import * as Effect from "effect/Effect"
 *
 * const rules = HashMap.define({ name: "rules", key: Layout.u32, value: Layout.u8, maxEntries: 256 })
 *
 * const program = Effect.gen(function*() {
 *   const tenants = yield* MapOfMaps.makeHash({ name: "tenants", key: Layout.u32, inner: rules, maxEntries: 64 })
 *   const first = yield* BpfMap.create(rules)
 *   yield* first.update(80, 1)
 *   yield* tenants.update(7, first)
 *   return yield* tenants.lookup(7) // Option.some(<a handle of the same map>)
 * })
 * ```
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import { errno } from "../abi/errno.ts"
import { Kernel } from "../kernel/Kernel.ts"
import { type InvalidArgument, SystemCallError } from "../kernel/KernelError.ts"
import { type Layout, type LayoutError, u32 } from "../layout/Layout.ts"
import type { BpfMap, DefineOptions, Definition } from "./BpfMap.ts"
import { extend } from "./internal/handle.ts"
import { createFrom, definition, layout, readDefinition } from "./internal/definition.ts"
import { define as defineMap, fromId, whyUnlike } from "./internal/open.ts"
import { acquireObjectEntries, fdOf } from "./internal/objectEntries.ts"
import type { MapSpec } from "../spec/MapSpec.ts"
import type { MapMismatch } from "./MapError.ts"
import type { Iterate, ObjectEntries, ObjectIds, UpdateOptions } from "./MapOperations.ts"

/** A map of maps of this process, whose inner maps are `M`s. `ids` pairs keys with the ids of inner maps. */
export interface MapOfMaps<
  K,
  M extends BpfMap,
  T extends "array_of_maps" | "hash_of_maps" = "array_of_maps" | "hash_of_maps"
> extends BpfMap<T>, ObjectEntries<K, M>, ObjectIds<K, number> {
  readonly inner: Definition<M>
  /** Opens the inner map of a key, with the scope. Needs CAP_SYS_ADMIN, as opening by id does. */
  readonly lookup: (
    key: K
  ) => Effect.Effect<Option.Option<M>, InvalidArgument | LayoutError | MapMismatch | SystemCallError, Scope.Scope>
  readonly ids: Iterate<K, number>["entries"]
}

/** What a map of maps is made of. */
export interface Options<M extends BpfMap> extends DefineOptions {
  /** What the inner maps are like. Their names may differ. */
  readonly inner: Definition<M>
}

const defineKind = <K, M extends BpfMap, const T extends "array_of_maps" | "hash_of_maps">(
  common: Pick<MapSpec, "name" | "maxEntries" | "flags"> & { readonly type: T },
  key: Layout<K>,
  inner: Definition<M>
): Definition<MapOfMaps<K, M, T>> => {
  const spec = { ...common, keySize: key.size, valueSize: 4, inner: inner.spec }
  return defineMap<T, MapOfMaps<K, M, T>>(
    spec,
    (opened) =>
      Effect.map(acquireObjectEntries(opened, key, u32, (map: M) => fdOf(map)), ({ keyed, objects }) => {
        const open = (id: number) =>
          fromId(inner, id, "as the kernel holds inner maps").pipe(
            Effect.provideService(Kernel, opened.kernel),
            Effect.asSome,
            // It was replaced since, and is gone.
            Effect.catchIf(
              (error) => error instanceof SystemCallError && error.errno === errno.ENOENT,
              () => Effect.succeedNone
            )
          )
        return extend(opened.map, {
          inner,
          ...objects,
          update: (k: K, map: M, updateOptions?: UpdateOptions) =>
            Effect.catchIf(
              objects.update(k, map, updateOptions),
              (error): error is SystemCallError => error instanceof SystemCallError && error.errno === errno.EINVAL,
              (error) =>
                Effect.flatMap(
                  whyUnlike(opened.kernel, inner.spec, map.fd),
                  (hint) => Effect.fail(hint === undefined ? error : new SystemCallError({ ...error, hint }))
                )
            ),
          lookupId: keyed.lookup,
          lookup: (k: K) =>
            Effect.flatMap(
              keyed.lookup(k),
              (id): Effect.Effect<Option.Option<M>, InvalidArgument | MapMismatch | SystemCallError, Scope.Scope> =>
                Option.isNone(id) ? Effect.succeedNone : open(id.value)
            ),
          ids: keyed.entries
        })
      })
  )
}

/** An array of maps as a value, for `BpfMap.create`, `openPinned` and their sisters. Its keys are indices. */
export const define = <M extends BpfMap>(options: Options<M>): Definition<MapOfMaps<number, M, "array_of_maps">> => {
  const { common, options: { inner } } = readDefinition("array_of_maps", options, { inner: definition })
  return defineKind(common, u32, inner)
}

/** A hash table of maps as a value. */
export const defineHash = <K, M extends BpfMap>(
  options: Options<M> & { readonly key: Layout<K> }
): Definition<MapOfMaps<K, M, "hash_of_maps">> => {
  const { common, options: { inner, key } } = readDefinition("hash_of_maps", options, {
    inner: definition,
    key: layout
  })
  return defineKind(common, key, inner)
}

/**
 * Creates an array of maps, closed with the scope; its entries are empty.
 *
 * Fails with `InvalidArgument` for a bad name or number of entries, and with `SystemCallError` if the kernel refuses.
 */
export const make = <M extends BpfMap>(
  options: Options<M>
): Effect.Effect<MapOfMaps<number, M, "array_of_maps">, InvalidArgument | SystemCallError, Kernel | Scope.Scope> =>
  createFrom(() => define(options))

/** Creates a hash table of maps, closed with the scope; as `make` otherwise. */
export const makeHash = <K, M extends BpfMap>(
  options: Options<M> & { readonly key: Layout<K> }
): Effect.Effect<MapOfMaps<K, M, "hash_of_maps">, InvalidArgument | SystemCallError, Kernel | Scope.Scope> =>
  createFrom(() => defineHash(options))
