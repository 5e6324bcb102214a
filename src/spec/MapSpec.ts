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
   * The types of its keys and values: their layouts, of which BTF is made, or BTF that there is. Where given, the map
   * carries it: local storage and spin locks need it, and bpftool prints entries by it.
   */
  readonly types?: LayoutTypes | ObjectTypes
  /** The type in the kernel's own BTF that the value has: what a struct_ops map is for. */
  readonly vmlinuxValueType?: number
  /** Entries that are written as it is created, before anyone else sees it. */
  readonly contents?: Contents
  /** Whether it is read-only for processes once its contents are written, as an object's `.rodata` is; kernel 5.2. */
  readonly frozen?: boolean
  /**
   * Where given, the map is shared by its name (libbpf's `LIBBPF_PIN_BY_NAME`): the one that is pinned under it is opened,
   * if it is as described, and else it is created and pinned. `BpfMap.create` says in which folder.
   */
  readonly pinning?: "by name"
}

/** Types by layouts. */
export interface LayoutTypes {
  readonly key: Layout<any>
  readonly value: Layout<any>
}

/** Types by their ids in BTF, as a compiled object has them. */
export interface ObjectTypes {
  /** The blob, as `BPF_BTF_LOAD` takes it. */
  readonly btf: Uint8Array
  /** The id of the key's type; 0 where there is none, as for an object's variables. */
  readonly key: number
  readonly value: number
}

/**
 * First entries, in the order that they are written in. Keys and values are bytes of the map's sizes, for per-CPU kinds one
 * value that all CPUs get; in maps of other objects a value is the object, by its handle or descriptor. Queues, stacks and
 * filters have keys of no bytes.
 */
export type Contents = ReadonlyArray<readonly [key: Uint8Array, value: Uint8Array | { readonly fd: number }]>
