// Row "map commands": beside making maps, each command on a map of each type, with each kind of key, value and flags, in
// several states.
import { bpf_cmd } from "../../../src/abi/generated/enums.ts"
import { bpf_attr_batch, bpf_attr_map_elem, bpf_attr_obj } from "../../../src/abi/generated/structs.ts"
import type { MapType } from "../../../src/abi/names.ts"
import { mman } from "../../../src/abi/os.ts"
import type { Case } from "./compare.ts"
import { type MapBench, MMAPABLE, MOST, NO_DEVICE, NO_PREALLOC, RDONLY, RDONLY_PROG, WRONLY } from "./mapBench.ts"
import { type Shape, type Thing, UNREADABLE } from "./mapBench.ts"
import { all, mapCreations, usual } from "./mapCreations.ts"

interface Variant {
  readonly name: string
  readonly shape: Shape
  /** The bytes of keys and values by what they are called; objects are known by their side. */
  readonly keys: { readonly [name: string]: (side: MapBench) => Uint8Array }
  readonly values: { readonly [name: string]: (side: MapBench) => Uint8Array }
}

const number = (value: number, size: number) => () => {
  const bytes = new Uint8Array(Math.max(size, 4))
  new DataView(bytes.buffer).setUint32(0, value, true)
  return bytes.subarray(0, size)
}

const prefix = (length: number, address: number) => () => {
  const bytes = Uint8Array.of(0, 0, 0, 0, address, 1, 2, 3)
  new DataView(bytes.buffer).setUint32(0, length, true)
  return bytes
}

const things = (names: ReadonlyArray<Thing>, size = 4): Variant["values"] =>
  Object.fromEntries(names.map((name) => [name, (side: MapBench) => side.wordOf(name, size)]))

const objects = things([
  "map",
  "other map",
  "larger map",
  "map of maps",
  "program",
  "xdp program",
  "btf",
  "cgroup",
  "perf event",
  "closed",
  "negative"
])

const keysOf = (type: MapType, size: number): Variant["keys"] => {
  switch (type) {
    case "lpm_trie":
      return { first: prefix(8, 9), second: prefix(32, 9), absent: prefix(8, 1), long: prefix(33, 1) }
    case "task_storage":
      return things(["process", "map", "closed", "negative"])
    case "cgrp_storage":
      return things(["cgroup", "map", "closed", "negative"])
    case "sk_storage":
    case "inode_storage":
      return things(["closed", "negative"])
    default:
      return {
        first: number(0, size),
        second: number(1, size),
        last: number(3, size),
        beyond: number(4, size),
        most: number(MOST, size)
      }
  }
}

/** More than there are CPUs for per-CPU values here. */
const MOST_BYTES = 128

const valuesOf = (type: MapType, size: number): Variant["values"] => {
  switch (type) {
    case "array_of_maps":
    case "hash_of_maps":
    case "prog_array":
    case "perf_event_array":
    case "cgroup_array":
    case "sockmap":
    case "sockhash":
    case "reuseport_sockarray":
    case "xskmap":
      return objects
    case "devmap":
    case "devmap_hash":
      return size === 4
        ? { lo: number(1, 4), none: number(0, 4), absent: number(NO_DEVICE, 4) }
        : {
          lo: number(1, 8),
          "a program": (side) => {
            const bytes = number(1, 8)()
            new DataView(bytes.buffer, bytes.byteOffset).setInt32(4, side.things["xdp program"], true)
            return bytes
          },
          "closed program": () => Uint8Array.of(1, 0, 0, 0, 0xe7, 3, 0, 0)
        }
    case "cpumap":
      return { some: number(192, size), none: number(0, size), "too many": number(16_385, size) }
    default:
      return { bytes: () => new Uint8Array(MOST_BYTES).fill(0x5a) }
  }
}

const variantOf = (shape: Shape, name: string = shape.type): Variant => ({
  name,
  shape,
  keys: keysOf(shape.type, shape.key),
  values: valuesOf(shape.type, shape.value)
})

const variants: ReadonlyArray<Variant> = [
  ...all.filter((type) => type !== "struct_ops").map((type) => variantOf(usual(type))),
  ...([
    ["hash without preallocation", { ...usual("hash"), flags: NO_PREALLOC }],
    ["hash that is read by programs only", { ...usual("hash"), flags: RDONLY_PROG }],
    ["array that is mapped", { ...usual("array"), flags: MMAPABLE }],
    ["one variable", { ...usual("array"), entries: 1, flags: MMAPABLE }],
    ["devmap with programs", { ...usual("devmap"), value: 8 }],
    ["devmap_hash with programs", { ...usual("devmap_hash"), value: 8 }],
    ["sockmap with cookies", { ...usual("sockmap"), value: 8 }],
    ["lru_hash with lists for CPUs", { ...usual("lru_hash"), flags: 2 }],
    ["cgroup_storage for all", { ...usual("cgroup_storage"), key: 8 }]
  ] as const).map(([name, shape]) => variantOf(shape, name))
]

/** What was done before: what is in it, and what may be done with it. */
const states = {
  empty: { flags: 0, filled: false, frozen: false },
  filled: { flags: 0, filled: true, frozen: false },
  frozen: { flags: 0, filled: true, frozen: true },
  "for reading": { flags: RDONLY, filled: false, frozen: false },
  "for writing": { flags: WRONLY, filled: false, frozen: false }
} as const

const FILLER = 0xa5
const ROOM = 512

interface Open {
  readonly side: MapBench
  readonly map: number
  readonly variant: Variant
}

const bytesOf = (side: MapBench, from: Variant["keys"], name: string): bigint => {
  if (name === "null") return 0n
  if (name === "unreadable") return UNREADABLE
  return side.place(from[name]!(side))
}

/** The map's first and second elements, or those that there can be. */
const fill = ({ map, side, variant }: Open): void => {
  const [value] = Object.keys(variant.values)
  for (const key of Object.keys(variant.keys).slice(0, 1)) {
    const at = variant.shape.key === 0 ? 0n : bytesOf(side, variant.keys, key)
    side.element(bpf_cmd.BPF_MAP_UPDATE_ELEM, map, at, bytesOf(side, variant.values, value!))
  }
  side.reset()
}

/** What the map holds in the end, as far as a look-up tells. */
const after = ({ map, side, variant }: Open): string => {
  const keys = variant.shape.key === 0 ? ["null"] : Object.keys(variant.keys).slice(0, 3)
  return keys.map((key) => {
    side.reset()
    const value = side.place(new Uint8Array(ROOM).fill(FILLER))
    const answer = side.element(bpf_cmd.BPF_MAP_LOOKUP_ELEM, map, bytesOf(side, variant.keys, key), value)
    return `${answer} ${side.written(value, ROOM, FILLER, variant.values === objects)}`
  }).join(", ")
}

const withMap =
  (variant: Variant, state: keyof typeof states, act: (open: Open) => number | string) =>
  (side: MapBench): number | string => {
    const { filled, flags, frozen } = states[state]
    const map = side.make({ ...variant.shape, flags: (variant.shape.flags ?? 0) | flags })
    if (map < 0) return `made ${map}`
    const open = { side, map, variant }
    try {
      side.reset()
      if (filled) fill(open)
      if (frozen) side.call(bpf_cmd.BPF_MAP_FREEZE, bpf_attr_map_elem, { map_fd: map })
      return `${act(open)}; ${after(open)}`
    } finally {
      side.close(map)
    }
  }

const flagsOfElements: ReadonlyArray<bigint> = [0n, 1n, 2n, 3n, 4n, 5n, 6n, 7n, 8n, 2n ** 32n, 2n ** 63n]

interface Given {
  readonly key: string
  readonly value: string
  readonly flags: bigint
}

const onElement = (command: number, { flags, key, value }: Given) => ({ map, side, variant }: Open): string => {
  const at = bytesOf(side, variant.keys, key)
  const isUpdate = command === bpf_cmd.BPF_MAP_UPDATE_ELEM
  const to = value === "room"
    ? side.place(new Uint8Array(ROOM).fill(FILLER))
    : bytesOf(side, variant.values, value)
  const answer = side.element(command, map, at, to, flags)
  if (isUpdate || value !== "room") return String(answer)
  // A next key is an index, never an object.
  const holdsObjects = variant.values === objects && command !== bpf_cmd.BPF_MAP_GET_NEXT_KEY
  return `${answer} ${side.written(to, ROOM, FILLER, holdsObjects)}`
}

function* elementCases(variant: Variant, state: keyof typeof states): Generator<Case<MapBench>> {
  const keys = [...Object.keys(variant.keys), "null", "unreadable"]
  const values = [...Object.keys(variant.values), "null", "unreadable"]
  for (
    const [name, command, given] of [
      ["look up", bpf_cmd.BPF_MAP_LOOKUP_ELEM, ["room", "null"]],
      ["update", bpf_cmd.BPF_MAP_UPDATE_ELEM, values],
      ["take", bpf_cmd.BPF_MAP_LOOKUP_AND_DELETE_ELEM, ["room", "null"]]
    ] as const
  ) {
    for (const key of keys) {
      for (const value of given) {
        for (const flags of flagsOfElements) {
          yield {
            name: `${variant.name} ${state}: ${name} ${key}, ${value}, flags ${flags}`,
            run: withMap(variant, state, onElement(command, { key, value, flags }))
          }
        }
      }
    }
  }
  for (const key of keys) {
    for (const value of ["room", "null"]) {
      for (const flags of [0n, 1n]) {
        yield {
          name: `${variant.name} ${state}: next ${key}, ${value}, flags ${flags}`,
          run: withMap(variant, state, onElement(bpf_cmd.BPF_MAP_GET_NEXT_KEY, { key, value, flags }))
        }
      }
    }
    for (const flags of [0n, 1n]) {
      yield {
        name: `${variant.name} ${state}: delete ${key}, flags ${flags}`,
        run: withMap(variant, state, onElement(bpf_cmd.BPF_MAP_DELETE_ELEM, { key, value: "null", flags }))
      }
    }
  }
}

interface Batch {
  readonly count: number
  readonly elementFlags: bigint
  readonly flags: bigint
  readonly missing: string
}

const onBatch = (command: number, { count, elementFlags, flags, missing }: Batch) => (open: Open): string => {
  const { map, side, variant } = open
  const copies = (from: Variant["keys"], names: ReadonlyArray<string>) => {
    const parts = names.map((name) => from[name]!(side))
    return Uint8Array.from(parts.flatMap((part) => [...part]))
  }
  const keyNames = Object.keys(variant.keys).slice(0, 3)
  const [value] = Object.keys(variant.values)
  const gives = command === bpf_cmd.BPF_MAP_UPDATE_BATCH || command === bpf_cmd.BPF_MAP_DELETE_BATCH
  const room = () => new Uint8Array(ROOM).fill(FILLER)
  const keys = missing === "keys" ? 0n : side.place(gives ? copies(variant.keys, keyNames) : room())
  const values = missing === "values"
    ? 0n
    : side.place(gives ? copies(variant.values, keyNames.map(() => value!)) : room())
  const cursor = missing === "in" ? side.place(new Uint8Array(64)) : missing === "unreadable in" ? UNREADABLE : 0n
  const next = missing === "out" ? 0n : side.place(64)
  const f = bpf_attr_batch.fields
  const answer = side.call(command, bpf_attr_batch, {
    in_batch: cursor,
    out_batch: next,
    keys,
    values,
    count,
    map_fd: map,
    elem_flags: elementFlags,
    flags
  })
  const done = side.answered(f.count)
  const told = gives || keys === 0n || values === 0n
    ? ""
    : `${side.written(keys, ROOM, FILLER)} ${side.written(values, ROOM, FILLER, variant.values === objects)}`
  return `${answer} ${done} ${told}`
}

function* batchCases(variant: Variant, state: keyof typeof states): Generator<Case<MapBench>> {
  for (
    const [name, command] of [
      ["look up many", bpf_cmd.BPF_MAP_LOOKUP_BATCH],
      ["take many", bpf_cmd.BPF_MAP_LOOKUP_AND_DELETE_BATCH],
      ["update many", bpf_cmd.BPF_MAP_UPDATE_BATCH],
      ["delete many", bpf_cmd.BPF_MAP_DELETE_BATCH]
    ] as const
  ) {
    for (const missing of ["nothing", "keys", "values", "in", "unreadable in", "out"]) {
      for (const count of [0, 1, 3]) {
        for (const elementFlags of [0n, 1n, 4n, 8n, 2n ** 32n]) {
          for (const flags of [0n, 1n]) {
            yield {
              name: `${variant.name} ${state}: ${name} ${count}, ${missing}, flags ${elementFlags} ${flags}`,
              run: withMap(variant, state, onBatch(command, { count, elementFlags, flags, missing }))
            }
          }
        }
      }
    }
  }
}

const [READ, WRITE] = [mman.PROT_READ, mman.PROT_WRITE]

const mapped = (protection: number, length: number, offset: number) => ({ map, side }: Open): string => {
  const mapping = side.kernel.files.mmap(map, length, protection, offset)
  if (typeof mapping === "number") return String(mapping)
  const frozen = side.call(bpf_cmd.BPF_MAP_FREEZE, bpf_attr_map_elem, { map_fd: map })
  return `mapped, frozen ${frozen}, unmapped ${side.kernel.files.munmap(mapping)}`
}

const freeze = (flags: bigint, twice: boolean) => ({ map, side }: Open): string => {
  const once = () => side.call(bpf_cmd.BPF_MAP_FREEZE, bpf_attr_map_elem, { map_fd: map, flags })
  return twice ? `${once()} ${once()}` : String(once())
}

/** By name and by id, with flags: what the new descriptor may do shows when it is used. */
const opened = (flags: number) => ({ map, side }: Open): string => {
  const path = side.text("/sys/fs/bpf/none-of-this-name")
  return String(side.call(bpf_cmd.BPF_OBJ_GET, bpf_attr_obj, { pathname: path, file_flags: flags, bpf_fd: map - map }))
}

function* otherCases(variant: Variant, state: keyof typeof states): Generator<Case<MapBench>> {
  const title = `${variant.name} ${state}`
  for (const protection of [0, READ, WRITE, READ | WRITE]) {
    for (const length of [0, 1, 4096, 8192, 12_288, 16_384, 65_536]) {
      for (const offset of [0, 1, 4096]) {
        // What can be mapped from there, this door's buffers cannot show.
        if (offset === 4096 && (variant.shape.type === "ringbuf" || variant.shape.type === "user_ringbuf")) continue
        yield {
          name: `${title}: map ${length} at ${offset}, ${protection}`,
          run: withMap(variant, state, mapped(protection, length, offset))
        }
      }
    }
  }
  for (const flags of [0n, 1n]) {
    for (const twice of [false, true]) {
      yield {
        name: `${title}: freeze, flags ${flags}${twice ? ", twice" : ""}`,
        run: withMap(variant, state, freeze(flags, twice))
      }
    }
  }
  yield { name: `${title}: info`, run: withMap(variant, state, ({ map, side }) => side.told(map)) }
  for (const flags of [0, 1, RDONLY, WRONLY, RDONLY | WRONLY, 2 ** 14]) {
    yield { name: `${title}: open, flags ${flags}`, run: withMap(variant, state, opened(flags)) }
  }
}

export function* mapCommands(): Generator<Case<MapBench>> {
  yield* mapCreations()
  for (const variant of variants) {
    for (const state of Object.keys(states) as Array<keyof typeof states>) {
      yield* elementCases(variant, state)
      yield* batchCases(variant, state)
      yield* otherCases(variant, state)
    }
  }
}
