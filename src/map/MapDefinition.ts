/**
 * Definitions of maps: a description as a value, from which `BpfMap` creates maps (`create`), opens those that exist
 * (`openPinned`, `fromId`, `fromFd`), or does either (`pinned`). What is opened must be what was defined.
 *
 * @example
 * ```ts
 * import { BpfMap, HashMap, Layout, type MapDefinition } from "effect-ebpf"
 *
 * const counters: MapDefinition.Definition<HashMap.HashMap<number, bigint>> = HashMap.define({
 *   name: "counters",
 *   key: Layout.u32,
 *   value: Layout.u64,
 *   maxEntries: 1024
 * })
 *
 * const program = BpfMap.create(counters)
 * ```
 */
import type * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { InvalidArgument, SystemCallError } from "../kernel/KernelError.ts"
import type { MapSpec } from "../spec/MapSpec.ts"
import type { BpfMap, Opened } from "./internal/handle.ts"

/**
 * A map family's description of one map: its spec, and how a handle is made of a descriptor. `HashMap.define` and its
 * sisters make one; it is a value, good for any number of maps.
 */
export interface Definition<out M extends BpfMap> {
  readonly spec: MapSpec
  /** @internal */
  readonly handle: (opened: Opened) => Effect.Effect<M, InvalidArgument | SystemCallError, Scope.Scope>
}

/** What `define` functions of families take beside their own parts. */
export interface DefineOptions {
  /** At most 15 letters, digits, `_` and `.`; shown by `bpftool map`. */
  readonly name: string
  /** How many entries it has room for. */
  readonly maxEntries: number
  /** `BPF_F_*` flags of `BPF_MAP_CREATE`. */
  readonly flags?: number
  /** The NUMA node that its memory is on. */
  readonly numaNode?: number
}
