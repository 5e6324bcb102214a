/**
 * An array (`BPF_MAP_TYPE_ARRAY`, kernel 3.19): `maxEntries` values, all there from the start and zeroed, by index.
 * Entries cannot be deleted, and updates are not atomic for values over 8 bytes.
 *
 * With `mmapable: true` (kernel 5.5) the values can be mapped into this process: see `view`.
 *
 * @example
 * ```ts
 * import { ArrayMap, Layout } from "effect-ebpf"
 * import * as Effect from "effect/Effect"
 *
 * const program = Effect.gen(function*() {
 *   const settings = yield* ArrayMap.make({ name: "settings", value: Layout.u32, maxEntries: 4 })
 *   yield* settings.update(2, 100)
 *   return yield* settings.lookup(2) // 100
 * })
 * ```
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { bpf_map_create_flags } from "../abi/generated/enums.ts"
import { Kernel } from "../kernel/Kernel.ts"
import { aBoolean, type Checks, readOptions, whenRight } from "../kernel/options.ts"
import type { InvalidArgument, SystemCallError } from "../kernel/KernelError.ts"
import { type Layout, u32 } from "../layout/Layout.ts"
import type { BpfMap, DefineOptions, Definition } from "./BpfMap.ts"
import { assertMap, extend } from "./internal/handle.ts"
import { acquireIndexed, type Indexed } from "./internal/indexed.ts"
import { acquireView, type ArrayView } from "./internal/mapped.ts"
import { createFrom, layout, readDefinition } from "./internal/definition.ts"
import { define as defineMap } from "./internal/open.ts"

export type { ArrayView } from "./internal/mapped.ts"

/**
 * An array map of this process. After the scope that it was made in has closed, its operations fail with a
 * `SystemCallError` of EBADF.
 */
export interface ArrayMap<V> extends BpfMap<"array">, Indexed<V> {
  readonly value: Layout<V>
}

/** What an array map is made of. */
export interface Options<V> extends DefineOptions {
  readonly value: Layout<V>
  /** Whether its values can be mapped into processes (`BPF_F_MMAPABLE`); kernel 5.5. */
  readonly mmapable?: boolean
  /** Whether the map carries BTF of its layout: bpftool prints entries by it, and spin locks need it. */
  readonly btf?: boolean
}

/** The keys of arrays in BTF. */
const index = u32

/** An array map as a value, for `BpfMap.create`, `openPinned` and their sisters. */
export const define = <V>(options: Options<V>): Definition<ArrayMap<V>> => {
  const { common, options: { btf, mmapable, value } } = readDefinition("array", options, {
    value: layout,
    mmapable: aBoolean,
    btf: aBoolean
  })
  return defineMap(
    {
      ...common,
      flags: mmapable === true ? common.flags | bpf_map_create_flags.BPF_F_MMAPABLE : common.flags,
      keySize: 4,
      valueSize: value.size,
      ...(btf === true ? { types: { key: index, value } } : {})
    },
    (opened) => Effect.map(acquireIndexed(opened, value), (operations) => extend(opened.map, { value, ...operations }))
  )
}

/**
 * Creates an array map, closed with the scope.
 *
 * Fails with `InvalidArgument` for a bad name or number of entries, and with `SystemCallError` if the kernel refuses.
 */
export const make = <V>(
  options: Options<V>
): Effect.Effect<ArrayMap<V>, InvalidArgument | SystemCallError, Kernel | Scope.Scope> =>
  createFrom(() => define(options))

/** How values are mapped. */
export interface ViewOptions {
  /** Whether they can only be read, which a frozen map allows too. */
  readonly readonly?: boolean
}

const viewChecks: Checks<ViewOptions> = { readonly: aBoolean }

/**
 * The values of an mmapable array as memory of this process: reads and writes without a system call. It is unmapped with
 * the scope, and from then on every access throws a `SystemCallError` of EBADF.
 *
 * Fails with `InvalidArgument` for a map made without `mmapable`, and with `SystemCallError` if the kernel refuses: EPERM
 * for a frozen map, which `readonly: true` still maps.
 */
export const view = <V>(
  map: ArrayMap<V>,
  options?: ViewOptions
): Effect.Effect<ArrayView<V>, InvalidArgument | SystemCallError, Kernel | Scope.Scope> =>
  whenRight(() => {
    const { readonly } = readOptions("options of a view", options, viewChecks)
    assertMap("map", map, "array")
    return Effect.flatMap(Kernel, (kernel) => acquireView(kernel, map, map.value, readonly === true))
  })
