/**
 * A map of any kind that has elements, with keys and values as bytes: for kinds that this library has no module for (by
 * number), and for maps found by id or path of which no more is known.
 *
 * What an operation means, and whether there is one, is the kernel's affair: it answers EINVAL or ENOTSUPP.
 *
 * @example
 * ```ts
 * import { BpfMap, BytesMap } from "effect-ebpf"
 * import * as Effect from "effect/Effect"
 *
 * // Prints any map of the system.
 * const program = (id: number) =>
 *   Effect.gen(function*() {
 *     const map = yield* BytesMap.fromId(id)
 *     console.log(yield* BpfMap.dump(map))
 *   }).pipe(Effect.scoped)
 * ```
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { acquireById } from "../bpf/objectIds.ts"
import { allOrNothing, type Descriptor } from "../kernel/systemCall.ts"
import { checkId } from "../kernel/validate.ts"
import { Kernel, type KernelService } from "../kernel/Kernel.ts"
import type { InvalidArgument, SystemCallError } from "../kernel/KernelError.ts"
import * as MapKinds from "../spec/MapKind.ts"
import type { MapKind, MapSpec } from "../spec/MapSpec.ts"
import type { BpfMap, Definition } from "./BpfMap.ts"
import { exactBytes, strideOf } from "./internal/codec.ts"
import { extend, handleOf, type Opened } from "./internal/handle.ts"
import { acquireKeyed } from "./internal/keyed.ts"
import { whenRight } from "../kernel/options.ts"
import type { MapMismatch } from "./MapError.ts"
import { type CreateOptions, createOrShare, define as defineMap, specOfFound } from "./internal/open.ts"
import { readSpec } from "./internal/spec.ts"
import { acquirePinned } from "../bpf/pins.ts"
import type { Keyed } from "./MapOperations.ts"

/** A map of bytes of this process. Keys and values of another size than the map's are a `LayoutError`. */
export interface BytesMap<T extends MapKind = MapKind> extends BpfMap<T>, Keyed<Uint8Array, Uint8Array> {}

/** How much a lookup copies: for per-CPU kinds all CPUs' values, each rounded up to 8 bytes. */
const valueBytes = ({ possibleCpus }: KernelService, { type, valueSize }: MapSpec): number =>
  MapKinds.of(type)?.perCpu === true ? strideOf(valueSize) * possibleCpus : valueSize

const acquire = <T extends MapKind>(opened: Opened<T>) =>
  Effect.map(
    acquireKeyed(
      opened,
      exactBytes(opened.map.spec.keySize, "key"),
      exactBytes(valueBytes(opened.kernel, opened.map.spec), "value")
    ),
    (operations): BytesMap<T> => extend(opened.map, operations)
  )

/** A map of bytes as a value, for `BpfMap.create`, `openPinned` and their sisters. */
export const define = <const T extends MapKind>(spec: MapSpec<T>): Definition<BytesMap<T>> =>
  defineMap<T, BytesMap<T>>(readSpec(spec) as MapSpec<T>, acquire)

/**
 * Creates a map, closed with the scope; its contents, freezing and pinning are as for `BpfMap.create`.
 *
 * Fails with `InvalidArgument` for a bad name, size or number of entries, and with `SystemCallError` if the kernel
 * refuses.
 */
export const make = <const T extends MapKind>(
  spec: MapSpec<T>,
  options?: CreateOptions
): Effect.Effect<BytesMap<T>, InvalidArgument | MapMismatch | SystemCallError, Kernel | Scope.Scope> =>
  whenRight(() => createOrShare(define(spec), options))

const adopt = (kernel: KernelService, descriptor: Descriptor, found: string) =>
  Effect.flatMap(
    specOfFound(kernel, descriptor, found),
    (spec) => acquire({ kernel, map: handleOf(kernel, descriptor, spec) })
  )

/** Opens any map by its id; closed with the scope. Fails as `BpfMap.fromId` does. */
export const fromId = (
  id: number
): Effect.Effect<BytesMap, InvalidArgument | SystemCallError, Kernel | Scope.Scope> =>
  allOrNothing(Effect.gen(function*() {
    const invalid = checkId(id)
    if (invalid !== undefined) return yield* invalid
    const kernel = yield* Kernel
    return yield* adopt(kernel, yield* acquireById(kernel, "map", id), `of id ${id}`)
  }))

/** Opens any map pinned at a path; closed with the scope. Fails as `BpfMap.openPinned` does. */
export const openPinned = (
  path: string
): Effect.Effect<BytesMap, InvalidArgument | SystemCallError, Kernel | Scope.Scope> =>
  allOrNothing(Effect.gen(function*() {
    const kernel = yield* Kernel
    return yield* adopt(kernel, yield* acquirePinned(kernel, path), `pinned at ${path}`)
  }))
