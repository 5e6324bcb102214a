// The maps that the helpers of the row "helper results" are called with, and what is in them before.
import { bpf_cmd } from "../../../src/abi/generated/enums.ts"
import { bpf_attr_btf_load } from "../../../src/abi/generated/structs.ts"
import * as Result from "effect/Result"
import { Btf } from "../../../src/index.ts"
import type { BtfType } from "../../../src/btf/BtfType.ts"
import type { Fields } from "./bench.ts"
import type { ResultBench } from "./helperResults.ts"

type Entry = readonly [key: Uint8Array, value: Uint8Array]

export interface MapRecipe {
  readonly type: string
  readonly keySize: number
  readonly valueSize: number
  readonly maxEntries: number
  readonly fields?: (side: ResultBench) => Fields
  readonly entries: (side: ResultBench) => ReadonlyArray<Entry>
  /** How many bytes a look-up gives, where the map's entries can be told. */
  readonly lookupSize?: (side: ResultBench) => number
}

export const u32 = (value: number): Uint8Array => {
  const bytes = new Uint8Array(4)
  new DataView(bytes.buffer).setUint32(0, value, true)
  return bytes
}
export const u64 = (value: bigint): Uint8Array => {
  const bytes = new Uint8Array(8)
  new DataView(bytes.buffer).setBigUint64(0, value, true)
  return bytes
}

const none = () => []
const eight = () => 8
const perCpu = (side: ResultBench) => 8 * side.kernel.possibleCpus
const sameOnAll = (side: ResultBench, value: bigint) =>
  Uint8Array.from(Array.from({ length: side.kernel.possibleCpus }, () => [...u64(value)]).flat())
const nothing = new Uint8Array(0)
const NO_PREALLOC = 1

const table = (type: string, maxEntries: number, fields?: Fields): MapRecipe => ({
  type,
  keySize: 4,
  valueSize: 8,
  maxEntries,
  ...(fields === undefined ? {} : { fields: () => fields }),
  entries: () => [[u32(1), u64(101n)], [u32(2), u64(102n)]],
  lookupSize: eight
})

const perCpuTable = (type: string): MapRecipe => ({
  ...table(type, 4),
  entries: (side) => [[u32(1), sameOnAll(side, 101n)], [u32(2), sameOnAll(side, 102n)]],
  lookupSize: perCpu
})

const line = (type: string, count: number): MapRecipe => ({
  type,
  keySize: 0,
  valueSize: 8,
  maxEntries: 3,
  entries: () => Array.from({ length: count }, (_, i) => [nothing, u64(BigInt(i + 1))] as const)
})

const int: BtfType = {
  _tag: "Int",
  name: "int",
  size: 4,
  bits: 32,
  offset: 0,
  signed: true,
  char: false,
  bool: false
}

/** Debug information of one type, which maps of local storage ask for. */
const btfOf = (side: ResultBench): number => {
  const bytes = Result.getOrThrow(Btf.encode([int]))
  return side.call(bpf_cmd.BPF_BTF_LOAD, bpf_attr_btf_load, { btf: side.place(bytes), btf_size: bytes.length })
}

const storage = (type: string): MapRecipe => ({
  type,
  keySize: 4,
  valueSize: 4,
  maxEntries: 0,
  fields: (side) => ({
    map_flags: NO_PREALLOC,
    btf_fd: side.kept("btf", () => btfOf(side)),
    btf_key_type_id: 1,
    btf_value_type_id: 1
  }),
  entries: none
})

/** Their names. */
export const mapNames = [
  "array",
  "hash",
  "full hash",
  "hash without preallocation",
  "full hash without preallocation",
  "lru_hash",
  "percpu_array",
  "percpu_hash",
  "lru_percpu_hash",
  "lpm_trie",
  "array_of_maps",
  "hash_of_maps",
  "empty queue",
  "queue",
  "full queue",
  "empty stack",
  "stack",
  "full stack",
  "bloom_filter",
  "devmap",
  "devmap of 8",
  "devmap_hash",
  "cpumap",
  "xskmap",
  "prog_array",
  "perf_event_array",
  "cgroup_array",
  "stack_trace",
  "ringbuf",
  "user_ringbuf",
  "task_storage",
  "sk_storage",
  "cgrp_storage"
] as const

export type MapName = typeof mapNames[number]

export const mapRecipes: { readonly [K in MapName]: MapRecipe } = {
  array: { ...table("array", 4), lookupSize: eight },
  hash: table("hash", 4),
  "full hash": table("hash", 2),
  "hash without preallocation": table("hash", 4, { map_flags: NO_PREALLOC }),
  "full hash without preallocation": table("hash", 2, { map_flags: NO_PREALLOC }),
  lru_hash: table("lru_hash", 64),
  percpu_array: perCpuTable("percpu_array"),
  percpu_hash: perCpuTable("percpu_hash"),
  lru_percpu_hash: { ...perCpuTable("lru_percpu_hash"), maxEntries: 64 },
  lpm_trie: {
    ...table("lpm_trie", 4, { map_flags: NO_PREALLOC }),
    keySize: 8,
    entries: () => [
      [Uint8Array.of(8, 0, 0, 0, 10, 0, 0, 0), u64(101n)],
      [Uint8Array.of(24, 0, 0, 0, 10, 1, 2, 0), u64(102n)]
    ]
  },
  array_of_maps: {
    type: "array_of_maps",
    keySize: 4,
    valueSize: 4,
    maxEntries: 3,
    fields: (side) => ({ inner_map_fd: side.prepared("array") }),
    entries: (side) => [[u32(1), u32(side.prepared("array"))]]
  },
  hash_of_maps: {
    type: "hash_of_maps",
    keySize: 4,
    valueSize: 4,
    maxEntries: 3,
    fields: (side) => ({ inner_map_fd: side.prepared("array") }),
    entries: (side) => [[u32(1), u32(side.prepared("array"))]]
  },
  "empty queue": line("queue", 0),
  queue: line("queue", 2),
  "full queue": line("queue", 3),
  "empty stack": line("stack", 0),
  stack: line("stack", 2),
  "full stack": line("stack", 3),
  bloom_filter: line("bloom_filter", 2),
  devmap: {
    type: "devmap",
    keySize: 4,
    valueSize: 4,
    maxEntries: 4,
    entries: () => [[u32(1), u32(1)]],
    lookupSize: () => 4
  },
  "devmap of 8": {
    type: "devmap",
    keySize: 4,
    valueSize: 8,
    maxEntries: 4,
    entries: () => [[u32(1), u64(1n)]],
    lookupSize: eight
  },
  devmap_hash: {
    type: "devmap_hash",
    keySize: 4,
    valueSize: 4,
    maxEntries: 4,
    entries: () => [[u32(1), u32(1)], [u32(1000), u32(1)]],
    lookupSize: () => 4
  },
  cpumap: {
    type: "cpumap",
    keySize: 4,
    valueSize: 4,
    maxEntries: 4,
    entries: () => [[u32(1), u32(64)]],
    lookupSize: () => 4
  },
  xskmap: { type: "xskmap", keySize: 4, valueSize: 4, maxEntries: 4, entries: none },
  prog_array: { type: "prog_array", keySize: 4, valueSize: 4, maxEntries: 4, entries: none },
  perf_event_array: { type: "perf_event_array", keySize: 4, valueSize: 4, maxEntries: 2, entries: none },
  cgroup_array: { type: "cgroup_array", keySize: 4, valueSize: 4, maxEntries: 2, entries: none },
  stack_trace: { type: "stack_trace", keySize: 4, valueSize: 64, maxEntries: 4, entries: none },
  ringbuf: { type: "ringbuf", keySize: 0, valueSize: 0, maxEntries: 4096, entries: none },
  user_ringbuf: { type: "user_ringbuf", keySize: 0, valueSize: 0, maxEntries: 4096, entries: none },
  task_storage: storage("task_storage"),
  sk_storage: storage("sk_storage"),
  cgrp_storage: storage("cgrp_storage")
}
