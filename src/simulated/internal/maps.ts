// What the commands of bpf(2), the helpers and the door see of a map. Each family is a file under `maps/`.
import type { MapType } from "../../abi/names.ts"
import type { HiddenField, SimulatedBtf } from "./btfObject.ts"
import type { AddressSpace, Region } from "./memory.ts"
import type { Lifetime, Objects } from "./objects.ts"
import type { SimulatedRingBuffer } from "./ringBuffer.ts"
import type { SimulatedUserRingBuffer } from "./userRingBuffer.ts"

/**
 * What programs see of a map with keys: keys are bytes, values are addresses. Errors are `-errno`.
 *
 * `cpu` chooses one of the values of a per-CPU map, and means nothing to others; 0 unless given.
 */
export interface ElementMap {
  /**
   * The address of a key's value, or `undefined`. In a map of maps, the inner map's pointer. Marks the element as used,
   * where the map forgets what is not (LRU).
   */
  readonly find: (key: Uint8Array, cpu?: number) => bigint | undefined
  /** `value` has `valueSize` bytes. A new element of a per-CPU map is zero on the other CPUs. */
  readonly update: (key: Uint8Array, value: Uint8Array, flags: number, cpu?: number) => number
  readonly delete: (key: Uint8Array) => number
  /** The key after `key`, or the first; costs the same however many there are. An unknown key starts over. */
  readonly next: (key: Uint8Array | undefined) => Uint8Array | undefined
}

/** What queues, stacks and Bloom filters have in place of keys. Errors are `-errno`. */
export interface QueueMap {
  readonly push: (value: Uint8Array, flags: number) => number
  /** The next value, which is taken out, or `-errno`. */
  readonly pop: () => Uint8Array | number
  /** The next value, which stays. For a Bloom filter: `value` itself if it may have been pushed. */
  readonly peek: (value: Uint8Array) => Uint8Array | number
}

/** One bucket of a hash table, as batches see it: keys and values as system calls pass them. */
export type Bucket = ReadonlyArray<{ readonly key: Uint8Array; readonly value: Uint8Array }>

/** Which batch commands a map has. */
export interface Batches {
  /** By key after key, or by whole buckets. */
  readonly lookup?: "keys" | "buckets"
  /** For those by buckets. */
  readonly bucketCount?: number
  readonly bucket?: (index: number) => Bucket
  readonly lookupAndDelete?: boolean
  readonly update?: boolean
  readonly delete?: boolean
}

/**
 * What system calls see of a map: values are bytes as user space passes them (`valueBytes` of them), and errors
 * `-errno`. A command that a family has not answers as the kernel does, which is not always the same error.
 */
export interface SystemCallMap {
  /** The bytes of one value: all CPUs' for a per-CPU map, a descriptor's 4 for a map of objects. */
  readonly valueBytes: number
  /** `given` are the bytes where the value goes: what a Bloom filter is asked about. */
  readonly lookup: (key: Uint8Array, given: () => Uint8Array) => Uint8Array | number
  readonly update: (key: Uint8Array, value: Uint8Array, flags: number, file: object) => number
  readonly delete: (key: Uint8Array) => number
  readonly next: (key: Uint8Array | undefined) => Uint8Array | number
  readonly lookupAndDelete?: (key: Uint8Array) => Uint8Array | number
  readonly batches?: Batches
}

/** Stacks, as bpf_get_stackid() keeps them. */
export interface StackTraces {
  /** Keeps a stack of up to `valueSize / 8` frames. Its id, or `-errno`; `flags` are those of the helper. */
  readonly store: (frames: ReadonlyArray<bigint>, flags: number) => number
}

/** Values that belong to other objects: a process by its id, a cgroup by its id, a socket, an inode. */
export interface LocalStorage {
  /** The address of the owner's value, or `undefined`. */
  readonly find: (owner: unknown) => bigint | undefined
  readonly update: (owner: unknown, value: Uint8Array, flags: number) => number
  /** 0, or -ENOENT. To be called too when the owner ends. */
  readonly delete: (owner: unknown) => number
}

/** Values of cgroups that programs are attached to; they come with the attachment and go with it. */
export interface CgroupStorage {
  readonly attach: (cgroup: bigint, attachType: number) => void
  readonly detach: (cgroup: bigint, attachType: number) => void
  /** The address of the value, or `undefined` if nothing is attached. */
  readonly find: (cgroup: bigint, attachType: number, cpu?: number) => bigint | undefined
}

/** Memory that programs and a process share at the same addresses. */
export interface SimulatedArena {
  /** All of it; 2^32-aligned, so the lower half of an address is the offset. */
  readonly region: Region
  /** The offset of so many free pages, from `page` if that is given, or `undefined`. */
  readonly allocate: (pages: number, page?: number) => number | undefined
  readonly release: (offset: number, pages: number) => void
}

/** What a map was created with. */
export interface MapAttributes {
  readonly type: MapType
  readonly name: string
  readonly keySize: number
  readonly valueSize: number
  readonly maxEntries: number
  readonly flags: number
  /** -1 unless BPF_F_NUMA_NODE is given. */
  readonly numaNode: number
  readonly extra: bigint
  readonly btf: SimulatedBtf | undefined
  readonly btfKeyType: number
  readonly btfValueType: number
  readonly btfVmlinuxValueType: number
  /** Found by its BTF in the map's values. */
  readonly hidden: ReadonlyArray<HiddenField>
  /** What the maps in a map of maps must be like. */
  readonly inner: MapAttributes | undefined
  /** The digest of the program that alone may use it. */
  readonly exclusive: Uint8Array | undefined
}

/** What a family gives to a map. What is `undefined` it has not. */
export interface MapParts {
  readonly calls: SystemCallMap
  readonly elements?: ElementMap | undefined
  readonly queue?: QueueMap | undefined
  readonly ring?: SimulatedRingBuffer | undefined
  readonly userRing?: SimulatedUserRingBuffer | undefined
  readonly stacks?: StackTraces | undefined
  readonly storage?: LocalStorage | undefined
  readonly cgroupStorage?: CgroupStorage | undefined
  readonly arena?: SimulatedArena | undefined
  /** What an entry refers to: the program of a prog_array, the event of a perf_event_array, a socket, a cgroup, a map. */
  readonly referent?: ((key: Uint8Array) => Lifetime | undefined) | undefined
  /** Told of a program that uses the map to call others; false if those there are of another type. */
  readonly claim?: ((programType: number) => boolean) | undefined
  /** Where the values of a map begin that programs may address without a look-up (BPF_PSEUDO_MAP_VALUE). */
  readonly directValue?: bigint | undefined
  /** Whether there is a place in a process's memory for a mapping: 0, or `-errno`, whatever the file allows (`map_get_unmapped_area`). */
  readonly place?: ((request: MappingRequest) => number) | undefined
  /** The memory that a mapping at an offset shows, or `-errno`. */
  readonly mapping?: ((request: MappingRequest) => ArrayBuffer | number) | undefined
  /** Told of the buffer that the memory which `mapping` gave has moved to. */
  readonly moved?: ((buffer: ArrayBuffer) => void) | undefined
  /** The attributes, where the kernel changes what it was given. */
  readonly changed?: Partial<Pick<MapAttributes, "maxEntries" | "flags">> | undefined
  /** Called when the last descriptor of an open file is closed; `update` was given the same file. */
  readonly closeFile?: ((file: object) => void) | undefined
  readonly unused?: (() => void) | undefined
  /** Gives back the family's memory and what it refers to. */
  readonly free?: (() => void) | undefined
}

/** What maps need of the kernel that they are in. */
export interface MapHost {
  readonly memory: AddressSpace
  readonly possibleCpus: number
  readonly pageSize: number
  readonly objects: Objects
  /** What descriptors in values refer to. */
  readonly descriptors: { readonly any: (fd: number) => Lifetime | undefined }
  /** True for the index of a network device that exists. */
  readonly hasDevice: (ifindex: number) => boolean
}

/** A family of maps: what it takes, and how it is made. */
export interface Family {
  /** 0, or the `-errno` of attributes that are refused (`map_alloc_check`). */
  readonly check: (attributes: MapAttributes, host: MapHost) => number
  /** The map's parts, or `-errno`. */
  readonly make: (host: MapHost, attributes: MapAttributes) => MapParts | number
}

/** What mmap(2) is asked for. */
export interface MappingRequest {
  readonly offset: number
  readonly length: number
  readonly writes: boolean
}

/** A map object of the simulated kernel. */
export interface SimulatedMap extends Omit<MapParts, "changed" | "free">, Lifetime {
  readonly _tag: "Map"
  readonly id: number
  readonly attributes: MapAttributes
  /** How programs name it: no memory is there. */
  readonly pointer: Region
  readonly elements: ElementMap | undefined
  readonly ring: SimulatedRingBuffer | undefined
  /** True once BPF_MAP_FREEZE has ended all writes by system calls. */
  frozen: boolean
  /** Mappings that may write it. */
  writableMappings: number
}
