/**
 * A hash table (`BPF_MAP_TYPE_HASH`, kernel 3.19): keys and values of fixed size, shared with BPF programs. Updates
 * of one entry are atomic; there is no order.
 *
 * Iteration, batches and the LRU and per-CPU variants are not here yet.
 *
 * @example
 * ```ts
 * import { HashMap, Layout } from "effect-ebpf"
 * import * as Effect from "effect/Effect"
 *
 * const program = Effect.gen(function*() {
 *   const counters = yield* HashMap.make({ name: "counters", key: Layout.u32, value: Layout.u64, maxEntries: 1024 })
 *   yield* counters.update(7, 1n)
 *   return yield* counters.lookup(7) // Option.some(1n)
 * })
 * ```
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import { bpf_map_update_flags } from "../abi/generated/enums.ts"
import { errno } from "../abi/errno.ts"
import { allOrNothing, toError } from "../kernel/internal/syscall.ts"
import { Kernel } from "../kernel/Kernel.ts"
import type { InvalidArgument, SystemCallError } from "../kernel/KernelError.ts"
import type { Layout, LayoutError } from "../layout/Layout.ts"
import type { MapSpec } from "../spec/MapSpec.ts"
import * as BpfMap from "./BpfMap.ts"
import { acquireElements, elementCall, full } from "./internal/elements.ts"
import { extend, guard } from "./internal/handle.ts"

/** Whether an update may create an entry, replace one, or both (the default). */
export type UpdateMode = "any" | "noexist" | "exist"

const modes: { readonly [M in UpdateMode]: number } = {
  any: bpf_map_update_flags.BPF_ANY,
  noexist: bpf_map_update_flags.BPF_NOEXIST,
  exist: bpf_map_update_flags.BPF_EXIST
}

/**
 * A hash map of this process. Its operations are one system call each. After the scope has closed they fail with a
 * `SystemCallError` of EBADF.
 */
export interface HashMap<K, V> extends BpfMap.BpfMap<"hash"> {
  readonly key: Layout<K>
  readonly value: Layout<V>
  /** The value of a key; `None` if there is no such entry. */
  readonly lookup: (key: K) => Effect.Effect<Option.Option<V>, LayoutError | SystemCallError>
  /**
   * Sets the value of a key. Fails with EEXIST for `noexist` on a present key, ENOENT for `exist` on an absent one, and
   * E2BIG when the map is full.
   */
  readonly update: (
    key: K,
    value: V,
    options?: { readonly mode?: UpdateMode }
  ) => Effect.Effect<void, LayoutError | SystemCallError>
  /** Removes an entry: true if there was one. */
  readonly delete: (key: K) => Effect.Effect<boolean, LayoutError | SystemCallError>
}

/**
 * Creates a hash map, closed with the scope. `maxEntries` is a limit that the kernel enforces; its memory is allocated
 * at once.
 *
 * Fails with `InvalidArgument` for a bad name or number of entries, and with `SystemCallError` if the kernel refuses.
 */
export const make = <K, V>(options: {
  readonly name: string
  readonly key: Layout<K>
  readonly value: Layout<V>
  readonly maxEntries: number
  /** `BPF_F_*` flags of `BPF_MAP_CREATE`. */
  readonly flags?: number
}): Effect.Effect<HashMap<K, V>, InvalidArgument | SystemCallError, Kernel | Scope.Scope> =>
  allOrNothing(Effect.gen(function*() {
    const { key, value } = options
    const spec: MapSpec<"hash"> = {
      type: "hash",
      name: options.name,
      keySize: key.size,
      valueSize: value.size,
      maxEntries: options.maxEntries,
      flags: options.flags ?? 0
    }
    const kernel = yield* Kernel
    const map = yield* BpfMap.make(spec)
    const elements = yield* acquireElements(kernel, map)
    const open = guard(map, elements)

    const writeKey = (k: K): void => key.write(elements.key.view, elements.key.bytes, 0, k)
    const refuse = (command: "BPF_MAP_LOOKUP_ELEM" | "BPF_MAP_UPDATE_ELEM" | "BPF_MAP_DELETE_ELEM", result: number) =>
      Effect.fail(toError(kernel, elementCall(map, command), result))

    return extend(
      map,
      {
        key,
        value,
        lookup: (k) =>
          open(() => {
            writeKey(k)
            const result = elements.lookup()
            if (result >= 0) {
              return Effect.succeed(Option.some(value.read(elements.value.view, elements.value.bytes, 0)))
            }
            return result === -errno.ENOENT ? Effect.succeedNone : refuse("BPF_MAP_LOOKUP_ELEM", result)
          }),
        update: (k, v, updateOptions) =>
          open(() => {
            writeKey(k)
            value.write(elements.value.view, elements.value.bytes, 0, v)
            const result = elements.update(modes[updateOptions?.mode ?? "any"])
            if (result >= 0) return Effect.void
            return result === -errno.E2BIG ? Effect.fail(full(map)) : refuse("BPF_MAP_UPDATE_ELEM", result)
          }),
        delete: (k) =>
          open(() => {
            writeKey(k)
            const result = elements.delete()
            if (result >= 0) return Effect.succeed(true)
            return result === -errno.ENOENT ? Effect.succeed(false) : refuse("BPF_MAP_DELETE_ELEM", result)
          })
      } satisfies Omit<HashMap<K, V>, keyof BpfMap.BpfMap>
    )
  }))
