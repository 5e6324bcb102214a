/**
 * The kinds of map: what each takes and can do, in one table. Definitions, handles, hints after a refusal and the simulated
 * kernel read it. Its sources are the `map_alloc_check` and `map_ops` of Linux 6.18 (kernel/bpf/*.c, net/core, net/xdp).
 *
 * @example
 * ```ts
 * import { MapKind } from "effect-ebpf"
 *
 * console.log(MapKind.of("percpu_array")?.keys) // "index"
 * console.log(MapKind.names.filter((name) => MapKind.of(name)?.evicts)) // [ "lru_hash", "lru_percpu_hash" ]
 * ```
 */
import { bpf_map_create_flags } from "../abi/generated/enums.ts"
import { type MapType, mapTypes } from "../abi/names.ts"
import type { FeatureName } from "../kernel/Features.ts"

/** A kind of map: by bpftool's name, or by number for kinds newer than this library. */
export type MapKind = MapType | number

/** Sizes in bytes that are taken, or the least one. */
export type Sizes = ReadonlyArray<number> | { readonly least: number }

/** The name of a flag of `BPF_MAP_CREATE`. */
export type CreateFlag = keyof typeof bpf_map_create_flags

/** What a kind of map is. */
export interface Facts {
  /**
   * How an element is named: by an `index` below `maxEntries`, by a `key` of any kind, by the descriptor or id of another
   * `object` that it belongs to; `none` where there is no key.
   */
  readonly keys: "index" | "key" | "object" | "none"
  /** The sizes of keys that it takes, and of values. */
  readonly keySize: Sizes
  readonly valueSize: Sizes
  /** The flags that it takes, beside those for access from user space and from programs, which all take. */
  readonly flags: ReadonlyArray<CreateFlag>
  /** False where `maxEntries` must be 0, as elements belong to other objects. */
  readonly hasMaxEntries: boolean
  /** What is written as a value: bytes, or the descriptor of another object. */
  readonly values: "bytes" | "descriptors"
  /** Whether an element has one value for each possible CPU. */
  readonly perCpu: boolean
  /** Whether it forgets elements to make room for others. */
  readonly evicts: boolean
  /**
   * Whether a walk over it is made by batches (`BPF_MAP_LOOKUP_BATCH`) where the kernel has them. Not for kinds where the
   * place of a batch is a key, of which nothing is known when it is gone: a trie begins again at its first entry. And
   * before 6.15 an empty slot of an array of maps ended a batch with EINTR.
   */
  readonly walkedByBatches: boolean
  /** Whether look-up and removal can be one step, and since when. */
  readonly takes: boolean
  /** Whether this process can map its memory: where it was made with BPF_F_MMAPABLE, or always. */
  readonly mmap: "flag" | "always" | "never"
  /** Whether BTF may, must or must not describe its keys and values. */
  readonly btf: "optional" | "required" | "refused"
  /** What its values may hold that the kernel keeps for itself. */
  readonly holds: ReadonlyArray<"spin_lock" | "timer">
  /** Whether it can be in a map of maps: not at all, as long as the template, or of any length. */
  readonly inner: "never" | "as long" | "any length"
  /** What the kernel must have, where not every supported one has it. */
  readonly since: FeatureName | undefined
}

const some: Sizes = { least: 1 }
const NUMA = "BPF_F_NUMA_NODE"

const base = {
  flags: [NUMA],
  hasMaxEntries: true,
  values: "bytes",
  perCpu: false,
  evicts: false,
  walkedByBatches: false,
  takes: false,
  mmap: "never",
  btf: "optional",
  holds: [],
  inner: "any length",
  // Here too, so that no row has it from Object.prototype.
  since: undefined
} as const

const hash: Facts = {
  ...base,
  keys: "key",
  keySize: some,
  valueSize: some,
  flags: ["BPF_F_NO_PREALLOC", NUMA, "BPF_F_ZERO_SEED"],
  walkedByBatches: true,
  takes: true,
  holds: ["spin_lock", "timer"]
}
const lru: Facts = {
  ...hash,
  flags: ["BPF_F_NO_COMMON_LRU", NUMA, "BPF_F_ZERO_SEED"],
  evicts: true,
  holds: ["timer"]
}
const queue: Facts = { ...base, keys: "none", keySize: [0], valueSize: some, takes: true }
const ring: Facts = { ...base, keys: "none", keySize: [0], valueSize: [0], mmap: "always" }
/** Arrays of other objects, by descriptors. */
const slots: Facts = { ...base, keys: "index", keySize: [4], valueSize: [4], values: "descriptors" }
const wideSlots: Facts = { ...slots, valueSize: [4, 8] }
const cgroupStorage: Facts = {
  ...base,
  keys: "object",
  keySize: [8, 16],
  valueSize: some,
  hasMaxEntries: false,
  holds: ["spin_lock"],
  inner: "never"
}
const localStorage: Facts = {
  ...base,
  keys: "object",
  keySize: [4],
  valueSize: some,
  flags: ["BPF_F_NO_PREALLOC", "BPF_F_CLONE"],
  hasMaxEntries: false,
  btf: "required",
  holds: ["spin_lock"]
}

const table = {
  hash,
  array: {
    ...base,
    keys: "index",
    keySize: [4],
    valueSize: some,
    flags: [NUMA, "BPF_F_MMAPABLE", "BPF_F_INNER_MAP", "BPF_F_PRESERVE_ELEMS"],
    walkedByBatches: true,
    mmap: "flag",
    holds: ["spin_lock", "timer"],
    inner: "as long"
  },
  prog_array: { ...slots, inner: "never" },
  perf_event_array: { ...slots, flags: [NUMA, "BPF_F_PRESERVE_ELEMS"], btf: "refused" },
  percpu_hash: { ...hash, perCpu: true, holds: [] },
  percpu_array: {
    ...base,
    keys: "index",
    keySize: [4],
    valueSize: some,
    flags: [],
    perCpu: true,
    walkedByBatches: true
  },
  stack_trace: {
    ...base,
    keys: "key",
    keySize: [4],
    valueSize: { least: 8 },
    flags: [NUMA, "BPF_F_STACK_BUILD_ID"],
    btf: "refused"
  },
  cgroup_array: { ...slots, btf: "refused" },
  lru_hash: lru,
  lru_percpu_hash: { ...lru, perCpu: true, holds: [] },
  lpm_trie: { ...base, keys: "key", keySize: { least: 5 }, valueSize: some, flags: ["BPF_F_NO_PREALLOC", NUMA] },
  array_of_maps: { ...slots, btf: "refused", inner: "never" },
  hash_of_maps: {
    ...base,
    keys: "key",
    keySize: some,
    valueSize: [4],
    values: "descriptors",
    flags: ["BPF_F_NO_PREALLOC", NUMA, "BPF_F_ZERO_SEED"],
    walkedByBatches: true,
    btf: "refused",
    inner: "never"
  },
  devmap: { ...wideSlots, values: "bytes", btf: "refused" },
  sockmap: { ...wideSlots, btf: "refused" },
  cpumap: { ...wideSlots, values: "bytes", btf: "refused" },
  xskmap: { ...slots, btf: "refused", inner: "as long" },
  sockhash: { ...base, keys: "key", keySize: some, valueSize: [4, 8], values: "descriptors", btf: "refused" },
  cgroup_storage: cgroupStorage,
  reuseport_sockarray: wideSlots,
  percpu_cgroup_storage: { ...cgroupStorage, perCpu: true, holds: [] },
  queue,
  stack: queue,
  sk_storage: localStorage,
  devmap_hash: { ...wideSlots, values: "bytes", keys: "key", btf: "refused" },
  // Its value is what the kernel's BTF says, and is checked by it.
  struct_ops: { ...base, keys: "index", keySize: [4], valueSize: some, flags: [], inner: "never" },
  ringbuf: { ...ring, since: "ringbuf" },
  inode_storage: { ...localStorage, since: "inodeStorage" },
  task_storage: { ...localStorage, since: "taskStorage" },
  bloom_filter: {
    ...base,
    keys: "none",
    keySize: [0],
    valueSize: some,
    flags: [NUMA, "BPF_F_ZERO_SEED"],
    since: "bloomFilter"
  },
  user_ringbuf: { ...ring, since: "userRingbuf" },
  cgrp_storage: { ...localStorage, since: "cgroupLocalStorage" },
  arena: {
    ...ring,
    flags: ["BPF_F_MMAPABLE", "BPF_F_SEGV_ON_FAULT", "BPF_F_NO_USER_CONV"],
    since: "arena"
  }
} as const satisfies { readonly [K in MapType]?: Facts }

/** The names of the kinds that the table has. */
export const names: ReadonlyArray<MapType> = Object.keys(table) as ReadonlyArray<keyof typeof table>

/** Old spellings of a number (`cgroup_storage_deprecated`) stand before the current one in the enum, which stays. */
const byNumber = new Map<number, MapType>(
  (Object.keys(mapTypes) as ReadonlyArray<MapType>).map((name) => [mapTypes[name], name])
)

/** A kind's name, also by its number in `enum bpf_map_type`; the number for one that is not known here. */
export const nameOf = (kind: MapKind): MapKind => {
  const number = numberOf(kind)
  return number === undefined ? kind : byNumber.get(number) ?? number
}

/** A kind's number in `enum bpf_map_type`; `undefined` for a word that is no kind. */
export const numberOf = (kind: MapKind): number | undefined =>
  typeof kind === "number"
    ? kind
    : typeof kind === "string" && Object.hasOwn(mapTypes, kind)
    ? mapTypes[kind]
    : undefined

/** What the table says of a kind; `undefined` for one that is not known here. */
export const of = (kind: MapKind): Facts | undefined => {
  const name = nameOf(kind)
  return typeof name === "string" && Object.hasOwn(table, name) ? table[name as keyof typeof table] : undefined
}
