// Row "map commands", making maps: each type of map with sizes, flags and further attributes that mostly do not fit it,
// and maps that one program has for itself.
import { createHash } from "node:crypto"
import { bpf_cmd } from "../../../src/abi/generated/enums.ts"
import { bpf_attr_map_create } from "../../../src/abi/generated/structs.ts"
import { type MapType, mapTypes, programTypes } from "../../../src/abi/names.ts"
import { type Fields, joined, returning, wide } from "./bench.ts"
import type { Case } from "./compare.ts"
import { CLOSED, type MapBench, MOST, NO_DEVICE, type Shape, UNREADABLE } from "./mapBench.ts"
import { MMAPABLE, NO_PREALLOC, NUMA_NODE, RDONLY, RDONLY_PROG, WRONLY, WRONLY_PROG } from "./mapBench.ts"

const BIG = 0x7fff_ffff

/** All types of map. */
export const all = Object.keys(mapTypes) as ReadonlyArray<MapType>

const sizes: ReadonlyArray<readonly [key: number, value: number, entries: number]> = [
  [4, 4, 1],
  [4, 8, 4],
  [4, 4, 0],
  [0, 4, 1],
  [0, 4, 0],
  [0, 0, 4096],
  [0, 0, 1],
  [0, 0, 3],
  [0, 0, 0],
  [8, 4, 1],
  [8, 4, 0],
  [16, 8, 0],
  [5, 4, 1],
  [4, 5, 1],
  [12, 16, 3],
  [4, 16, 2],
  [4, 0, 1],
  [4, BIG, 1],
  [4, MOST, 1],
  [BIG, 4, 1],
  [4, 40_000, 1],
  [4, 70_000, 0],
  [600, 4, 1],
  [260, 4, 1],
  [261, 4, 1],
  [4, 4, MOST],
  [0, 4, MOST]
]

const bits = Array.from({ length: 20 }, (_, bit) => 2 ** bit)
const createFlags: ReadonlyArray<number> = [
  0,
  ...bits,
  2 ** 31,
  ...bits.slice(1).map((bit) => bit | NO_PREALLOC),
  ...bits.slice(11).map((bit) => bit | MMAPABLE),
  RDONLY | WRONLY,
  RDONLY_PROG | WRONLY_PROG
]

/** What a machine may have the memory for, and should not spend on this. */
const isTooLarge = (type: MapType, value: number, entries: number): boolean =>
  type === "array"
    ? value === BIG
    : entries === MOST && (type === "bloom_filter" || type === "queue" || type === "stack")

const create = (shape: Shape, more: (side: MapBench) => Fields = () => ({})) => (side: MapBench): number | string => {
  const map = side.make(shape, more(side))
  if (map < 0) return map
  side.reset()
  const told = side.told(map)
  side.close(map)
  return told
}

function* creations(): Generator<Case<MapBench>> {
  for (const type of all) {
    for (const [key, value, entries] of sizes) {
      if (isTooLarge(type, value, entries)) continue
      for (const flags of createFlags) {
        const name = `create ${type} ${key} ${value} ${entries}, flags ${flags}`
        yield { name, run: create({ type, key, value, entries, flags }) }
        if (flags < 4) {
          for (const btf of [[1, 1], [1, 2], [2, 2]] as const) {
            yield { name: `${name}, types ${btf}`, run: create({ type, key, value, entries, flags, btf }) }
          }
        }
      }
    }
  }
  for (const type of [0, ...Array.from({ length: 4 }, (_, i) => Object.keys(mapTypes).length + 1 + i), BIG, MOST]) {
    yield { name: `create type ${type}`, run: create({ ...usual("array"), flags: 0 }, () => ({ map_type: type })) }
  }
}

/** A shape that a type takes. */
export const usual = (type: MapType): Shape => {
  switch (type) {
    case "queue":
    case "stack":
    case "bloom_filter":
      return { type, key: 0, value: 4, entries: 4 }
    case "ringbuf":
    case "user_ringbuf":
      return { type, key: 0, value: 0, entries: 4096 }
    case "arena":
      return { type, key: 0, value: 0, entries: 1, flags: MMAPABLE }
    case "lpm_trie":
      return { type, key: 8, value: 4, entries: 4, flags: NO_PREALLOC }
    case "cgroup_storage":
    case "percpu_cgroup_storage":
      return { type, key: 16, value: 4, entries: 0 }
    case "sk_storage":
    case "task_storage":
    case "inode_storage":
    case "cgrp_storage":
      return { type, key: 4, value: 4, entries: 0, flags: NO_PREALLOC, btf: [1, 1] }
    case "stack_trace":
      return { type, key: 4, value: 16, entries: 4 }
    case "lru_hash":
    case "lru_percpu_hash":
      return { type, key: 4, value: 4, entries: 1024 }
    default:
      return { type, key: 4, value: 4, entries: 4 }
  }
}

const names = ["fine", "a.b_C9", "bad name", "minus-", "x".repeat(15), "x".repeat(16), "é"]

const nameBytes = (name: string): Uint8Array => new TextEncoder().encode(name)

/** Further attributes, each by itself. */
const further: ReadonlyArray<readonly [name: string, more: (side: MapBench) => Fields]> = [
  ...[0, 1, 2, MOST, BIG].map((node) =>
    [
      `node ${node}`,
      () => ({ numa_node: node, map_flags: NUMA_NODE })
    ] as const
  ),
  ...[1n, 3n, 15n, 16n, 4096n, 2n ** 32n, 2n ** 32n - 4096n, 2n ** 63n].map((extra) =>
    [
      `extra ${extra}`,
      () => ({ map_extra: extra })
    ] as const
  ),
  ...[1, NO_DEVICE].map((ifindex) => [`device ${ifindex}`, () => ({ map_ifindex: ifindex })] as const),
  ...[0, 5].map((token) => [`token ${token}`, () => ({ map_token_fd: token })] as const),
  ["token asked for", () => ({ map_token_fd: CLOSED, map_flags: 65_536 })],
  ...(["closed", "negative", "map", "other map", "map of maps", "program", "btf", "cgroup"] as const).map((thing) =>
    [
      `inner ${thing}`,
      (side: MapBench) => ({ inner_map_fd: side.things[thing] })
    ] as const
  ),
  ...(["closed", "negative", "map", "program", "btf"] as const).flatMap((thing) =>
    [[0, 0], [1, 0], [0, 1], [1, 1], [1, 2], [2, 1], [3, 1], [1, 3]].map(([key, value]) =>
      [`types ${key} ${value} of ${thing}`, (side: MapBench) => ({
        btf_fd: side.things[thing],
        btf_key_type_id: key!,
        btf_value_type_id: value!
      })] as const
    )
  ),
  ["type of the kernel's", () => ({ btf_vmlinux_value_type_id: 1 })],
  ["types of both", (side) => ({ btf_fd: side.things.btf, btf_value_type_id: 1, btf_vmlinux_value_type_id: 1 })],
  ["hash of programs", (side) => ({ excl_prog_hash: side.place(32), excl_prog_hash_size: 32 })],
  ["short hash of programs", (side) => ({ excl_prog_hash: side.place(32), excl_prog_hash_size: 31 })],
  ["size of a hash alone", () => ({ excl_prog_hash_size: 32 })],
  ["unreadable hash", () => ({ excl_prog_hash: UNREADABLE, excl_prog_hash_size: 32 })],
  ["BTF of a module", (side) => ({ value_type_btf_obj_fd: side.things.btf })],
  ["BTF of a module, asked for", (side) => ({ value_type_btf_obj_fd: side.things.btf, map_flags: 32_768 })]
]

function* furtherCreations(): Generator<Case<MapBench>> {
  for (const type of all) {
    const shape = usual(type)
    for (const [name, more] of further) yield { name: `create ${type}, ${name}`, run: create(shape, more) }
    for (const name of names) {
      yield {
        name: `create ${type} named ${name}`,
        run: (side) => {
          const f = bpf_attr_map_create.fields
          side.close(side.make(shape))
          side.attr.bytes.set(nameBytes(name).subarray(0, 16), f.map_name.offset)
          const map = side.kernel.bpf.call(bpf_cmd.BPF_MAP_CREATE, side.attr, bpf_attr_map_create.size)
          if (map < 0) return map
          side.reset()
          const told = side.told(map)
          side.close(map)
          return told
        }
      }
    }
  }
}

/** A program that returns a number when it has loaded a map's address, in one of the ways that there are. */
const using = (map: number, source: number, result: number): Uint8Array =>
  joined(wide(1, BigInt(map), source), returning(result))

/** Maps that one program has for itself, by its digest, and programs that would use them. */
function* exclusiveMaps(): Generator<Case<MapBench>> {
  const [BY_DESCRIPTOR, BY_VALUE, BY_INDEX, BY_VALUE_OF_INDEX] = [1, 2, 5, 6]
  for (const [way, source] of Object.entries({ BY_DESCRIPTOR, BY_VALUE, BY_INDEX, BY_VALUE_OF_INDEX })) {
    for (const [owner, digested] of [["itself", using(0, source!, 2)], ["another", using(0, source!, 3)]] as const) {
      for (const count of [0, 1]) {
        yield {
          name: `exclusive map of ${owner}, used ${way}, ${count} descriptors told of`,
          run: (side) => {
            const isIndex = source === BY_INDEX || source === BY_VALUE_OF_INDEX
            const digest = createHash("sha256").update(digested).digest()
            const map = side.make({ ...usual("array"), entries: 1 }, {
              excl_prog_hash: side.place(digest),
              excl_prog_hash_size: digest.length
            })
            const array = new Uint8Array(Int32Array.of(map).buffer)
            const program = side.load({
              type: programTypes.socket_filter,
              code: using(isIndex ? 0 : map, source!, 2),
              fields: { fd_array: isIndex || count > 0 ? side.place(array) : 0n, fd_array_cnt: count }
            })
            side.close(map)
            if (program >= 0) side.close(program)
            return program < 0 ? program : "loaded"
          }
        }
      }
    }
  }
}

export function* mapCreations(): Generator<Case<MapBench>> {
  yield* creations()
  yield* furtherCreations()
  yield* exclusiveMaps()
}
