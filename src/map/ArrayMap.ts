/**
 * An array (`BPF_MAP_TYPE_ARRAY`, kernel 3.19): `maxEntries` values, all there from the start and zeroed, by index.
 * Entries cannot be deleted, and updates are not atomic for values over 8 bytes.
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
import { bpf_map_update_flags } from "../abi/generated/enums.ts"
import { allOrNothing, toError } from "../kernel/internal/syscall.ts"
import { checkInteger } from "../kernel/internal/validate.ts"
import { Kernel } from "../kernel/Kernel.ts"
import type { InvalidArgument, SystemCallError } from "../kernel/KernelError.ts"
import type { Layout, LayoutError } from "../layout/Layout.ts"
import type { MapSpec } from "../spec/MapSpec.ts"
import * as BpfMap from "./BpfMap.ts"
import { acquireElements, elementCall } from "./internal/elements.ts"
import { extend, guard } from "./internal/handle.ts"

/**
 * An array map of this process. Its operations are one system call each. After the scope has closed they fail with a
 * `SystemCallError` of EBADF.
 */
export interface ArrayMap<V> extends BpfMap.BpfMap<"array"> {
  readonly value: Layout<V>
  /** The value at an index. Fails with `InvalidArgument` for one that is not from 0 to `maxEntries - 1`. */
  readonly lookup: (index: number) => Effect.Effect<V, InvalidArgument | LayoutError | SystemCallError>
  /** Sets the value at an index. Fails with `InvalidArgument` for one that is not from 0 to `maxEntries - 1`. */
  readonly update: (index: number, value: V) => Effect.Effect<void, InvalidArgument | LayoutError | SystemCallError>
}

/**
 * Creates an array map, closed with the scope.
 *
 * Fails with `InvalidArgument` for a bad name or number of entries, and with `SystemCallError` if the kernel refuses.
 */
export const make = <V>(options: {
  readonly name: string
  readonly value: Layout<V>
  readonly maxEntries: number
  /** `BPF_F_*` flags of `BPF_MAP_CREATE`. */
  readonly flags?: number
}): Effect.Effect<ArrayMap<V>, InvalidArgument | SystemCallError, Kernel | Scope.Scope> =>
  allOrNothing(Effect.gen(function*() {
    const { value } = options
    const spec: MapSpec<"array"> = {
      type: "array",
      name: options.name,
      keySize: 4,
      valueSize: value.size,
      maxEntries: options.maxEntries,
      flags: options.flags ?? 0
    }
    const kernel = yield* Kernel
    const map = yield* BpfMap.make(spec)
    const elements = yield* acquireElements(kernel, map)
    const open = guard(map, elements)

    /** Runs an operation on the element at `index`, once that is checked and written as the key. */
    const at = <A>(index: number, operation: () => Effect.Effect<A, SystemCallError>) =>
      open((): Effect.Effect<A, InvalidArgument | SystemCallError> => {
        const invalid = checkInteger("index", index, 0, spec.maxEntries - 1)
        if (invalid !== undefined) return Effect.fail(invalid)
        elements.key.u32[0] = index
        return operation()
      })

    return extend(
      map,
      {
        value,
        lookup: (index) =>
          at(index, () => {
            const result = elements.lookup()
            return result >= 0
              ? Effect.succeed(value.read(elements.value.view, elements.value.bytes, 0))
              : Effect.fail(toError(kernel, elementCall(map, "BPF_MAP_LOOKUP_ELEM"), result))
          }),
        update: (index, v) =>
          at(index, () => {
            value.write(elements.value.view, elements.value.bytes, 0, v)
            const result = elements.update(bpf_map_update_flags.BPF_ANY)
            return result >= 0
              ? Effect.void
              : Effect.fail(toError(kernel, elementCall(map, "BPF_MAP_UPDATE_ELEM"), result))
          })
      } satisfies Omit<ArrayMap<V>, keyof BpfMap.BpfMap>
    )
  }))
