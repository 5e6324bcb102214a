/**
 * A map as a value: what to create, before any kernel is asked. Specs are made by hand, by the definitions of the map
 * families (`HashMap.define` and its sisters hold one), or read from a compiled object.
 */
import type { Layout } from "../layout/Layout.ts"
import type { MapKind } from "./MapKind.ts"

export type { MapKind } from "./MapKind.ts"

/** The description of one map. Sizes are in bytes; 0 where a kind has no key or no value. */
export interface MapSpec<T extends MapKind = MapKind> {
  readonly type: T
  /** At most 15 letters, digits, `_` and `.`; shown by `bpftool map`. */
  readonly name: string
  readonly keySize: number
  /** For per-CPU kinds the size of one CPU's value. */
  readonly valueSize: number
  readonly maxEntries: number
  /** `BPF_F_*` flags of `BPF_MAP_CREATE`. */
  readonly flags: number
  /** `map_extra`: the number of hash functions of a bloom filter, the address of an arena. */
  readonly mapExtra?: number
  /** The NUMA node that its memory is on. */
  readonly numaNode?: number
  /** What the maps inside a map of maps are like. */
  readonly inner?: MapSpec
  /**
   * The layouts of its keys and values. Where given, the map carries BTF made from them: local storage and spin locks
   * need it, and bpftool prints entries by it.
   */
  readonly types?: { readonly key: Layout<any>; readonly value: Layout<any> }
  /** The type in the kernel's own BTF that the value has: what a struct_ops map is for. */
  readonly vmlinuxValueType?: number
}
