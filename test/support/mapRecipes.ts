// Generated sequences of map commands: which kind of map, and what is done to it. Numbers are small, so that keys meet.
import * as Arbitrary from "effect/Arbitrary"
import * as Schema from "effect/Schema"
import { Features, type Kernel } from "../../src/index.ts"
import type { Shape } from "./mapDoor.ts"

const NO_PREALLOC = 1
const NO_COMMON_LRU = 2
const ZERO_SEED = 64
const MMAPABLE = 1024
const PAGE = 4096
/** More than may be in a list of a CPU: an LRU map of fewer entries forgets some before it is full. */
const LRU_ENTRIES = 1024

/** How a kind of map is tested. */
export interface Kind {
  readonly shape: (sizes: Sizes) => Shape
  readonly keys: "index" | "bytes" | "prefix" | "none" | "descriptor"
  /** In what values are: bytes, or the descriptor of one of the objects; the first word of a device or a queue. */
  readonly values: "bytes" | "descriptor" | "device" | "queue"
  /** True where the order of keys is the kernel's own business. */
  readonly unordered?: boolean
  readonly perCpu?: boolean
  readonly inner?: boolean
  readonly needs?: Features.FeatureName
  readonly since?: readonly [major: number, minor: number]
}

interface Sizes {
  readonly key: number
  readonly value: number
  readonly entries: number
}

const table =
  (type: Shape["type"], flags = 0, entries?: number): Kind["shape"] => ({ entries: given, key, value }) => ({
    type,
    keySize: key,
    valueSize: value,
    maxEntries: entries ?? given,
    flags
  })
const indexed = (type: Shape["type"], flags = 0): Kind["shape"] => ({ entries, value }) => ({
  type,
  keySize: 4,
  valueSize: value,
  maxEntries: entries,
  flags
})
const fixed = (type: Shape["type"], keySize: number, valueSize: number, flags = 0): Kind["shape"] => ({ entries }) => ({
  type,
  keySize,
  valueSize,
  maxEntries: entries,
  flags
})
const pages = (type: Shape["type"]): Kind["shape"] => () => ({
  type,
  keySize: 0,
  valueSize: 0,
  maxEntries: PAGE,
  flags: 0
})

const hashes = { keys: "bytes", values: "bytes", unordered: true } as const
const arrays = { keys: "index", values: "bytes" } as const
const descriptors = { keys: "index", values: "descriptor" } as const

/** Kinds that need nothing but a kernel, with the variants of their flags. */
export const kinds = {
  hash: { ...hashes, shape: table("hash") },
  "hash without preallocation": { ...hashes, shape: table("hash", NO_PREALLOC) },
  "hash with a seed of 0": { ...hashes, shape: table("hash", ZERO_SEED) },
  percpu_hash: { ...hashes, shape: table("percpu_hash"), perCpu: true },
  lru_hash: { ...hashes, shape: table("lru_hash", 0, LRU_ENTRIES) },
  "lru_hash with a list for each CPU": { ...hashes, shape: table("lru_hash", NO_COMMON_LRU, LRU_ENTRIES) },
  lru_percpu_hash: { ...hashes, shape: table("lru_percpu_hash", 0, LRU_ENTRIES), perCpu: true },
  array: { ...arrays, shape: indexed("array") },
  "array to be mapped": { ...arrays, shape: indexed("array", MMAPABLE) },
  percpu_array: { ...arrays, shape: indexed("percpu_array"), perCpu: true },
  queue: {
    keys: "none",
    values: "bytes",
    shape: ({ entries, value }) => fixed("queue", 0, value)({ entries, key: 0, value })
  },
  stack: {
    keys: "none",
    values: "bytes",
    shape: ({ entries, value }) => fixed("stack", 0, value)({ entries, key: 0, value })
  },
  bloom_filter: {
    keys: "none",
    values: "bytes",
    // With so much room, and so few values, none is taken for another.
    shape: ({ value }) => ({
      type: "bloom_filter",
      keySize: 0,
      valueSize: value,
      maxEntries: 4096,
      flags: 0,
      extra: 3
    }),
    needs: "bloomFilter"
  },
  lpm_trie: {
    keys: "prefix",
    values: "bytes",
    shape: ({ entries, key, value }) => ({
      type: "lpm_trie",
      keySize: 4 + Math.min(key, 4),
      valueSize: value,
      maxEntries: entries,
      flags: NO_PREALLOC
    }),
    since: [6, 13] // when its updates began to look at their flags
  },
  array_of_maps: { ...descriptors, shape: fixed("array_of_maps", 4, 4), inner: true, since: [6, 15] },
  hash_of_maps: {
    keys: "bytes",
    values: "descriptor",
    unordered: true,
    inner: true,
    shape: ({ entries, key }) => fixed("hash_of_maps", key, 4)({ entries, key, value: 4 }),
    since: [6, 1]
  },
  prog_array: { ...descriptors, shape: fixed("prog_array", 4, 4) },
  perf_event_array: { ...descriptors, shape: fixed("perf_event_array", 4, 4) },
  cgroup_array: { ...descriptors, shape: fixed("cgroup_array", 4, 4) },
  devmap: { keys: "index", values: "device", shape: fixed("devmap", 4, 4) },
  "devmap with programs": { keys: "index", values: "device", shape: fixed("devmap", 4, 8), since: [5, 8] },
  devmap_hash: { keys: "index", values: "device", unordered: true, shape: fixed("devmap_hash", 4, 4) },
  cpumap: { keys: "index", values: "queue", shape: fixed("cpumap", 4, 4) },
  xskmap: { ...descriptors, shape: fixed("xskmap", 4, 4) },
  sockmap: { ...descriptors, shape: fixed("sockmap", 4, 8) },
  sockhash: { keys: "index", values: "descriptor", unordered: true, shape: fixed("sockhash", 4, 4) },
  reuseport_sockarray: { ...descriptors, shape: fixed("reuseport_sockarray", 4, 4) },
  stack_trace: { ...arrays, shape: fixed("stack_trace", 4, 16) },
  ringbuf: { keys: "none", values: "bytes", shape: pages("ringbuf") },
  user_ringbuf: { keys: "none", values: "bytes", shape: pages("user_ringbuf"), needs: "userRingbuf" },
  arena: {
    keys: "none",
    values: "bytes",
    shape: () => ({ type: "arena", keySize: 0, valueSize: 0, maxEntries: 1, flags: MMAPABLE }),
    needs: "arena"
  },
  task_storage: {
    keys: "descriptor",
    values: "bytes",
    shape: () => ({
      type: "task_storage",
      keySize: 4,
      valueSize: 4,
      maxEntries: 0,
      flags: NO_PREALLOC,
      described: true
    }),
    since: [6, 1]
  }
} satisfies { readonly [name: string]: Kind }

export type KindName = keyof typeof kinds

const isSince = (version: Kernel.KernelVersion, [major, minor]: readonly [number, number]): boolean =>
  version.major > major || (version.major === major && version.minor >= minor)

/** The kinds of map that a kernel has, as they are since Linux 6.18. */
export const kindsOf = (version: Kernel.KernelVersion): ReadonlyArray<KindName> =>
  (Object.keys(kinds) as Array<KindName>).filter((name) => {
    const { needs, since }: Kind = kinds[name]
    return (needs === undefined || Features.isExpected(version, needs)) &&
      (since === undefined || isSince(version, since))
  })

/** What a kernel's version leaves out of the commands. */
export interface Limits {
  /** BPF_MAP_LOOKUP_AND_DELETE_ELEM of hash maps, 5.14. */
  readonly takesFromHashes: boolean
  /** The same of stack_trace, 6.18. */
  readonly takesFromStacks: boolean
  /** Batches of all kinds that have them, 6.1. */
  readonly batches: boolean
  /** A second BPF_MAP_FREEZE is EPERM. */
  readonly freezes: boolean
  /** Flags 8 and above, which kernels after 6.18 know: a CPU, in the upper half its number. */
  readonly unknownFlags: boolean
}

export const limitsOf = (version: Kernel.KernelVersion): Limits => ({
  takesFromHashes: isSince(version, [5, 14]),
  takesFromStacks: isSince(version, [6, 18]),
  batches: isSince(version, [6, 1]),
  freezes: isSince(version, [6, 12]),
  unknownFlags: !isSince(version, [6, 19])
})

export const operations = [
  "lookup",
  "update",
  "delete",
  "next",
  "walk",
  "take",
  "lookupBatch",
  "takeBatch",
  "updateBatch",
  "deleteBatch",
  "freeze",
  "info"
] as const

export type OperationName = typeof operations[number]

/** One command. What `key` and `value` are, the kind of map says; `key` 0 is none, where a command can do without. */
export interface Step {
  readonly name: OperationName
  readonly key: number
  readonly value: number
  readonly flags: number
  readonly count: number
}

export interface Recipe {
  readonly kind: number
  readonly sizes: Sizes
  readonly readOnly: boolean
  readonly writeOnly: boolean
  readonly steps: ReadonlyArray<Step>
}

const integer = (minimum: number, maximum: number) => Schema.Int.check(Schema.isBetween({ minimum, maximum }))

/** Freezing ends all changes: it is rare. */
const weighted: ReadonlyArray<OperationName> = [
  ...operations,
  ...operations.filter((name) => name !== "freeze" && name !== "info"),
  "lookup",
  "update",
  "update",
  "update",
  "update"
]

const step: Arbitrary.Arbitrary<Step> = Arbitrary.map(
  Arbitrary.schema(Schema.Struct({
    name: integer(0, weighted.length - 1),
    key: integer(0, 7),
    value: integer(0, 9),
    flags: integer(0, 24),
    count: integer(0, 10)
  })),
  // Most flags are 0, and most of the others are known.
  (given) => ({
    ...given,
    name: weighted[given.name]!,
    flags: [0, 1, 2, 3, 4, 5, 8, 2 ** 32, 2 ** 40][given.flags] ?? 0
  })
)

export const recipes: Arbitrary.Arbitrary<Recipe> = Arbitrary.map(
  Arbitrary.all([
    Arbitrary.schema(Schema.Struct({
      kind: integer(0, 999),
      key: integer(1, 9),
      value: integer(1, 20),
      entries: integer(1, 6),
      access: integer(0, 19)
    })),
    Arbitrary.array(step, { minLength: 1, maxLength: 30 })
  ]),
  ([{ access, entries, key, kind, value }, steps]) => ({
    kind,
    sizes: { key, value, entries },
    readOnly: access === 0,
    writeOnly: access === 1,
    steps
  })
)
