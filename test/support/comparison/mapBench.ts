// One kernel of the two, with what commands on maps are given: descriptors of all kinds, and maps of all types.
import * as Result from "effect/Result"
import { bpf_cmd, bpf_map_create_flags } from "../../../src/abi/generated/enums.ts"
import {
  bpf_attr_btf_load,
  bpf_attr_info,
  bpf_attr_map_create,
  bpf_attr_map_elem,
  bpf_map_info
} from "../../../src/abi/generated/structs.ts"
import { type MapType, mapTypes } from "../../../src/abi/names.ts"
import { Btf } from "../../../src/index.ts"
import type { KernelService } from "../../../src/kernel/Kernel.ts"
import type { Extras } from "./attachments.ts"
import { Bench, type Fields } from "./bench.ts"

/** A type of 32-bit numbers, and a struct of one of them: ids 1 and 2. */
const types: Uint8Array = Result.getOrThrow(Btf.encode(
  [
    {
      _tag: "Int",
      name: "unsigned int",
      size: 4,
      bits: 32,
      offset: 0,
      signed: false,
      char: false,
      bool: false
    },
    {
      _tag: "Struct",
      name: "pair",
      size: 8,
      members: [{ name: "a", type: 1, bitOffset: 0, bitfieldSize: 0 }, {
        name: "b",
        type: 1,
        bitOffset: 32,
        bitfieldSize: 0
      }]
    }
  ] as const
))

export const {
  BPF_F_MMAPABLE: MMAPABLE,
  BPF_F_NO_PREALLOC: NO_PREALLOC,
  BPF_F_NUMA_NODE: NUMA_NODE,
  BPF_F_RDONLY: RDONLY,
  BPF_F_RDONLY_PROG: RDONLY_PROG,
  BPF_F_WRONLY: WRONLY,
  BPF_F_WRONLY_PROG: WRONLY_PROG
} = bpf_map_create_flags
export const MOST = 0xffff_ffff

export const CLOSED = 999
/** No process has memory there. */
export const UNREADABLE = 16n
export const NO_DEVICE = 123_456

/** What a map is made with. */
export interface Shape {
  readonly type: MapType
  readonly key: number
  readonly value: number
  readonly entries: number
  readonly flags?: number
  /** With BTF: the types of key and value. */
  readonly btf?: readonly [key: number, value: number]
}

const word = (value: number, size = 4): Uint8Array => {
  const bytes = new Uint8Array(size)
  new DataView(bytes.buffer).setUint32(0, value, true)
  return bytes
}

export type Thing = keyof MapBench["things"]

export class MapBench extends Bench {
  readonly things: {
    readonly closed: number
    readonly negative: number
    readonly map: number
    readonly "other map": number
    readonly "larger map": number
    readonly "map of maps": number
    readonly program: number
    readonly "xdp program": number
    readonly btf: number
    readonly cgroup: number
    readonly "perf event": number
    readonly process: number
  }
  private readonly owned: ReadonlyArray<number>
  private readonly names = new Map<number, string>()

  constructor(kernel: KernelService, extras: Extras) {
    super(kernel)
    const map = this.map("array", 4, 4, 2)
    this.things = {
      closed: CLOSED,
      negative: -1,
      map,
      "other map": this.map("hash", 4, 4, 2),
      "larger map": this.map("array", 4, 4, 3),
      "map of maps": this.map("array_of_maps", 4, 4, 1, { inner_map_fd: map }),
      program: this.program("socket_filter"),
      "xdp program": this.program("xdp"),
      btf: this.call(bpf_cmd.BPF_BTF_LOAD, bpf_attr_btf_load, { btf: this.place(types), btf_size: types.length }),
      cgroup: extras.cgroup,
      "perf event": extras.perfEvent,
      process: kernel.files.pidfdOpen(process.pid)
    }
    // An owner of no other values loses its list of them when a map is freed, which happens later: EAGAIN for who comes then.
    this.owned = ([["task_storage", this.things.process], ["cgrp_storage", this.things.cgroup]] as const).map(
      ([type, owner]) => {
        const storage = this.make({ type, key: 4, value: 4, entries: 0, flags: 1, btf: [1, 1] })
        const updated = this.update(storage, word(owner), word(0))
        if (updated < 0) throw new Error(`${type} on ${kernel.kind}: ${updated}`)
        return storage
      }
    )
    for (const name of ["map", "other map", "larger map", "program", "xdp program"] as const) {
      this.reset()
      this.names.set(this.id(this.things[name]), name)
    }
  }

  override free(): void {
    for (const fd of this.owned) this.close(fd)
    for (const fd of Object.values(this.things)) if (fd !== CLOSED) this.close(fd)
    super.free()
  }

  /** A map, or `-errno`. */
  make({ btf, entries, flags = 0, key, type, value }: Shape, more: Fields = {}): number {
    return this.call(bpf_cmd.BPF_MAP_CREATE, bpf_attr_map_create, {
      map_type: mapTypes[type],
      key_size: key,
      value_size: value,
      max_entries: entries,
      map_flags: flags,
      ...type === "array_of_maps" || type === "hash_of_maps" ? { inner_map_fd: this.things.map } : {},
      ...btf === undefined
        ? {}
        : { btf_fd: this.things.btf, btf_key_type_id: btf[0], btf_value_type_id: btf[1] },
      ...more
    })
  }

  element(command: number, map: number, key: bigint, value: bigint, flags = 0n): number {
    return this.call(command, bpf_attr_map_elem, { map_fd: map, key, value, flags })
  }

  /** What info says of a map, as far as it does not differ between kernels. */
  told(map: number): string {
    const f = bpf_map_info.fields
    const info = this.place(bpf_map_info.size)
    const answer = this.call(bpf_cmd.BPF_OBJ_GET_INFO_BY_FD, bpf_attr_info, {
      bpf_fd: map,
      info_len: bpf_map_info.size,
      info
    })
    const bytes = this.bytes(info, bpf_map_info.size)
    const view = new DataView(bytes.buffer)
    const numbers = [f.type, f.key_size, f.value_size, f.max_entries, f.map_flags, f.map_extra, f.btf_key_type_id]
    const name = new TextDecoder().decode(bytes.subarray(f.name.offset, f.name.offset + 16)).replace(/\0.*$/, "")
    return [
      answer,
      ...numbers.map(({ offset }) => view.getUint32(offset, true)),
      view.getUint32(f.btf_value_type_id.offset, true),
      view.getUint32(f.btf_id.offset, true) !== 0,
      name
    ].join(" ")
  }

  /** The bytes that a command wrote over a filler, objects by what they are called here. */
  written(address: bigint, size: number, filler: number, holdsObjects = false): string {
    const bytes = this.bytes(address, size)
    const end = bytes.findLastIndex((byte) => byte !== filler) + 1
    if (end === 4 && holdsObjects) {
      const name = this.names.get(new DataView(bytes.buffer).getUint32(0, true))
      if (name !== undefined) return name
    }
    const sum = bytes.subarray(0, end).reduce((before, byte) => (before * 31 + byte) >>> 0, 7)
    return `${Buffer.from(bytes.subarray(0, Math.min(end, 16))).toString("hex")}+${end}:${sum.toString(16)}`
  }

  wordOf(thing: Thing, size = 4): Uint8Array {
    return word(this.things[thing], size)
  }
}
