// What each kind of map asks of its attributes, for the words after an EINVAL: the kernel gives none. Nothing here runs
// before the kernel has refused. Source: the map_alloc_check and map_alloc functions of kernel/bpf/*.c and net/.
import { bpf_map_create_flags } from "../../abi/generated/enums.ts"
import type { MapType } from "../../abi/names.ts"
import type { FeatureName } from "../../kernel/Features.ts"
import type { MapSpec } from "../../spec/MapSpec.ts"

/** The features that kinds need beyond what every supported kernel has; for hints after a failure. */
const needs: { readonly [K in MapType]?: FeatureName } = {
  ringbuf: "ringbuf",
  bloom_filter: "bloomFilter",
  user_ringbuf: "userRingbuf",
  arena: "arena",
  inode_storage: "inodeStorage",
  task_storage: "taskStorage",
  cgrp_storage: "cgroupLocalStorage"
}

export const featuresOf = ({ type }: MapSpec): ReadonlyArray<FeatureName> => {
  const needed = typeof type === "number" ? undefined : needs[type]
  return needed === undefined ? [] : [needed]
}

interface Requirement {
  /** Sizes that are taken, or the least one. */
  readonly key?: ReadonlyArray<number> | { readonly least: number }
  readonly value?: ReadonlyArray<number> | { readonly least: number }
  /** False where `maxEntries` must be 0. */
  readonly entries?: boolean
  /** The flags taken, beside those for access from user space and from programs. */
  readonly flags: ReadonlyArray<keyof typeof bpf_map_create_flags>
}

const some = { least: 1 }
const NUMA = "BPF_F_NUMA_NODE"
const hash: Requirement = {
  key: some,
  value: some,
  flags: ["BPF_F_NO_PREALLOC", NUMA, "BPF_F_ZERO_SEED"]
}
const lru: Requirement = { key: some, value: some, flags: ["BPF_F_NO_COMMON_LRU", NUMA, "BPF_F_ZERO_SEED"] }
const queue: Requirement = { key: [0], value: some, flags: [NUMA] }
const slots: Requirement = { key: [4], value: [4], flags: [NUMA] }
const device: Requirement = { key: [4], value: [4, 8], flags: [NUMA] }
const local: Requirement = { key: [4], value: some, entries: false, flags: ["BPF_F_NO_PREALLOC", "BPF_F_CLONE"] }

const requirements: { readonly [K in MapType]?: Requirement } = {
  hash,
  percpu_hash: hash,
  lru_hash: lru,
  lru_percpu_hash: lru,
  array: { key: [4], value: some, flags: [NUMA, "BPF_F_MMAPABLE", "BPF_F_INNER_MAP", "BPF_F_PRESERVE_ELEMS"] },
  percpu_array: { key: [4], value: some, flags: [] },
  queue,
  stack: queue,
  bloom_filter: { key: [0], value: some, flags: [NUMA, "BPF_F_ZERO_SEED"] },
  lpm_trie: { key: { least: 5 }, value: some, flags: ["BPF_F_NO_PREALLOC", NUMA] },
  ringbuf: { key: [0], value: [0], flags: [NUMA] },
  user_ringbuf: { key: [0], value: [0], flags: [NUMA] },
  perf_event_array: { ...slots, flags: [NUMA, "BPF_F_PRESERVE_ELEMS"] },
  prog_array: slots,
  cgroup_array: slots,
  array_of_maps: slots,
  hash_of_maps: { key: some, value: [4], flags: ["BPF_F_NO_PREALLOC", NUMA, "BPF_F_ZERO_SEED"] },
  devmap: device,
  devmap_hash: device,
  cpumap: { key: [4], value: [4, 8], flags: [NUMA] },
  xskmap: slots,
  sockmap: { key: [4], value: [4, 8], flags: [NUMA] },
  sockhash: { key: some, value: [4, 8], flags: [NUMA] },
  reuseport_sockarray: { key: [4], value: [4, 8], flags: [NUMA] },
  stack_trace: { key: [4], value: { least: 8 }, flags: [NUMA, "BPF_F_STACK_BUILD_ID"] },
  cgroup_storage: { key: [8, 16], value: some, entries: false, flags: [NUMA] },
  percpu_cgroup_storage: { key: [8, 16], value: some, entries: false, flags: [NUMA] },
  sk_storage: local,
  task_storage: local,
  inode_storage: local,
  cgrp_storage: local,
  arena: { key: [0], value: [0], flags: ["BPF_F_MMAPABLE", "BPF_F_SEGV_ON_FAULT", "BPF_F_NO_USER_CONV"] }
}

/** Flags that most kinds take. */
const ACCESS: ReadonlyArray<keyof typeof bpf_map_create_flags> = [
  "BPF_F_RDONLY",
  "BPF_F_WRONLY",
  "BPF_F_RDONLY_PROG",
  "BPF_F_WRONLY_PROG"
]

const wrongSize = (
  field: string,
  size: number,
  wanted: ReadonlyArray<number> | { readonly least: number } | undefined
): string | undefined => {
  if (wanted === undefined) return undefined
  if ("least" in wanted) {
    return size >= wanted.least
      ? undefined
      : `${field} must be at least ${wanted.least}, not ${size}`
  }
  return wanted.includes(size) ? undefined : `${field} must be ${wanted.join(" or ")}, not ${size}`
}

const flagNames = (flags: number): ReadonlyArray<string> =>
  Array.from({ length: 32 }, (_, bit) => 2 ** bit)
    .filter((flag) => Math.floor(flags / flag) % 2 === 1)
    .map((flag) =>
      Object.entries(bpf_map_create_flags).find(([, value]) => value === flag)?.[0] ?? `0x${flag.toString(16)}`
    )

/** False for the kinds whose `maxEntries` must be 0, as their entries belong to other objects. */
export const hasMaxEntries = ({ type }: MapSpec): boolean =>
  typeof type === "string" && requirements[type]?.entries !== false

/** Which attribute of a map its kind does not take, in words; `undefined` where none is seen. */
export const whyRefused = (spec: MapSpec): string | undefined => {
  if (typeof spec.type === "number") return undefined
  const requirement = requirements[spec.type]
  if (requirement === undefined) return undefined
  const size = wrongSize("keySize", spec.keySize, requirement.key) ??
    wrongSize("valueSize", spec.valueSize, requirement.value)
  if (size !== undefined) return `For a ${spec.type} map ${size}`
  if (requirement.entries === false) {
    if (spec.maxEntries !== 0) return `For a ${spec.type} map maxEntries must be 0, not ${spec.maxEntries}`
  } else if (spec.maxEntries === 0) return `For a ${spec.type} map maxEntries must be at least 1, not 0`
  const taken: ReadonlyArray<string> = [...requirement.flags, ...ACCESS]
  const foreign = flagNames(spec.flags).filter((name) => !taken.includes(name))
  return foreign.length === 0
    ? undefined
    : `A ${spec.type} map does not take ${foreign.join(" and ")} (flags are 0x${spec.flags.toString(16)}); ` +
      `it takes ${taken.join(", ")}`
}
