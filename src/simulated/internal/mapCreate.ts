// BPF_MAP_CREATE, with the checks of kernel/bpf/syscall.c that all kinds share; each kind's own are its family's.
import { errno } from "../../abi/errno.ts"
import { bpf_attr_map_create } from "../../abi/generated/structs.ts"
import { type MapType, mapTypes } from "../../abi/names.ts"
import { type Attr, isName } from "./attr.ts"
import { hiddenFields, type SimulatedBtf, sizeOf, typeOf } from "./btfObject.ts"
import type { Access } from "./descriptors.ts"
import * as MapKind from "../../spec/MapKind.ts"
import type { Family, MapAttributes, MapParts, SimulatedMap } from "./maps.ts"
import { families } from "./maps/families.ts"
import {
  BPF_F_NUMA_NODE,
  BPF_F_RDONLY,
  BPF_F_RDONLY_PROG,
  BPF_F_TOKEN_FD,
  BPF_F_WRONLY,
  FILE_FLAGS
} from "./maps/flags.ts"
import { templateOf } from "./maps/inner.ts"
import { AccessFault } from "./memory.ts"
import { readUser } from "./userMemory.ts"
import type { KernelState } from "./kernelState.ts"

const f = bpf_attr_map_create.fields

/** What a file opened with BPF_F_RDONLY or BPF_F_WRONLY may do, or `-errno` (`bpf_get_file_flag`). */
export const accessOf = (flags: number): Access | number => {
  const reads = (flags & BPF_F_WRONLY) === 0
  const writes = (flags & BPF_F_RDONLY) === 0
  return reads || writes ? { reads, writes } : -errno.EINVAL
}

const typeNames = new Map(
  (Object.keys(families) as Array<MapType>).map((name) => [mapTypes[name], name])
)

const isIndex = (btf: SimulatedBtf, id: number): boolean => {
  const type = typeOf(btf, id)
  return type?._tag === "Int" && type.size === 4
}

/** What a kind wants of the key's type beyond its size; 0 or `-errno`. A key of id 0 is `void`. */
const checkKeyType = (
  btf: SimulatedBtf,
  { btfKeyType, btfValueType, keySize, maxEntries, type }: MapAttributes
): number => {
  switch (type) {
    case "array":
    case "percpu_array":
      if (btfKeyType !== 0) return isIndex(btf, btfKeyType) ? 0 : -errno.EINVAL
      // Only a program's variables (.data, .bss) have no key.
      return type === "array" && maxEntries === 1 && typeOf(btf, btfValueType)?._tag === "DataSection"
        ? 0
        : -errno.EINVAL
    case "lpm_trie":
      return typeOf(btf, btfKeyType)?._tag === "Struct" ? 0 : -errno.EINVAL
    case "cgroup_storage":
    case "percpu_cgroup_storage": {
      const key = typeOf(btf, btfKeyType)
      // An id, or the struct bpf_cgroup_storage_key.
      return key?._tag === "Int" || (key?._tag === "Struct" && keySize === 16) ? 0 : -errno.EINVAL
    }
    case "bloom_filter":
      return btfKeyType === 0 ? 0 : -errno.EINVAL
    case "sk_storage":
    case "task_storage":
    case "inode_storage":
    case "cgrp_storage":
      return isIndex(btf, btfKeyType) ? 0 : -errno.EINVAL
    default:
      if (MapKind.of(type)?.btf === "refused") return -errno.ENOTSUPP // map_check_no_btf
      return btfKeyType === 0 ? -errno.EINVAL : 0
  }
}

/** `map_check_btf`: 0 or `-errno`. */
const checkBtf = (btf: SimulatedBtf, attributes: MapAttributes): number => {
  const { btfKeyType, btfValueType, flags, keySize, type, valueSize } = attributes
  if (btfKeyType !== 0 && sizeOf(btf, btfKeyType) !== keySize) return -errno.EINVAL
  if (sizeOf(btf, btfValueType) !== valueSize) return -errno.EINVAL
  const error = checkKeyType(btf, attributes)
  if (error < 0) return error
  const hidden = hiddenFields(btf, btfValueType)
  if (hidden.length === 0) return 0
  if ((flags & BPF_F_RDONLY_PROG) !== 0) return -errno.EACCES
  return hidden.every(({ kind }) => MapKind.of(type)?.holds.includes(kind)) ? 0 : -errno.EOPNOTSUPP
}

/** The attributes with what their BTF says, or `-errno`. */
const withBtf = (state: KernelState, attr: Attr, attributes: MapAttributes): MapAttributes | number => {
  const { btfKeyType, btfValueType, btfVmlinuxValueType } = attributes
  if (btfKeyType === 0 && btfValueType === 0 && btfVmlinuxValueType === 0) return attributes
  const object = state.descriptors.any(attr.i32(f.btf_fd))
  if (object === undefined) return -errno.EBADF
  if (object._tag !== "Btf") return -errno.EINVAL
  const error = btfValueType === 0 ? 0 : checkBtf(object, attributes)
  if (error < 0) return error
  return { ...attributes, btf: object, hidden: btfValueType === 0 ? [] : hiddenFields(object, btfValueType) }
}

const isMapOfMaps = (type: MapType): boolean => type === "array_of_maps" || type === "hash_of_maps"

/** What a kind of map may be asked with, whichever it is; 0 or `-errno`. */
const checkCommon = (
  { btfKeyType, btfValueType, btfVmlinuxValueType, extra, numaNode }: MapAttributes,
  type: number
) => {
  if (btfVmlinuxValueType !== 0) {
    if (type !== mapTypes.struct_ops || btfKeyType !== 0 || btfValueType !== 0) return -errno.EINVAL
  } else if (btfKeyType !== 0 && btfValueType === 0) return -errno.EINVAL
  if (extra !== 0n && type !== mapTypes.bloom_filter && type !== mapTypes.arena) return -errno.EINVAL
  return numaNode > 0 || numaNode < -1 ? -errno.EINVAL : 0 // one node is there
}

const makeObject = (state: KernelState, attributes: MapAttributes, parts: MapParts): SimulatedMap => {
  const { changed, free, ...rest } = parts
  const pointer = state.memory.map(new Uint8Array(0))
  const map: SimulatedMap = {
    ...rest,
    _tag: "Map",
    id: state.newId(),
    attributes: { ...attributes, ...changed },
    pointer,
    elements: parts.elements,
    ring: parts.ring,
    frozen: false,
    writableMappings: 0,
    holds: attributes.btf === undefined ? [] : [attributes.btf],
    end: () => {
      free?.()
      state.removeMap(map)
      state.memory.unmap(pointer)
    }
  }
  return map
}

/** The parts of a map, or `-errno`. */
const makeParts = (state: KernelState, family: Family, attributes: MapAttributes): MapParts | number => {
  try {
    return family.make(state, attributes)
  } catch (error) {
    if (error instanceof RangeError) return -errno.ENOMEM // this process has no more memory to give
    throw error
  }
}

/** SHA256_DIGEST_SIZE */
const DIGEST_SIZE = 32

/** The digest of the program that alone may use the map, `undefined` where any may; or `-errno`. */
const exclusiveOf = (state: KernelState, attr: Attr): Uint8Array | number | undefined => {
  const address = attr.address(f.excl_prog_hash)
  const size = attr.u32(f.excl_prog_hash_size)
  if (address === 0n) return size === 0 ? undefined : -errno.EINVAL
  if (size !== DIGEST_SIZE) return -errno.EINVAL
  try {
    return readUser(state.memory, address, size)
  } catch (error) {
    if (error instanceof AccessFault) return -errno.EFAULT
    throw error
  }
}

/** The attributes with what is read once the map is made: its name, its types, and whose it is; or `-errno`. */
const describe = (state: KernelState, attr: Attr, attributes: MapAttributes): MapAttributes | number => {
  if (!isName(attributes.name)) return -errno.EINVAL
  const typed = withBtf(state, attr, attributes)
  if (typeof typed === "number") return typed
  const exclusive = exclusiveOf(state, attr)
  return typeof exclusive === "number" ? exclusive : { ...typed, exclusive }
}

/** BPF_MAP_CREATE: a descriptor, or `-errno`. */
export const createMap = (state: KernelState, attr: Attr): number => {
  if (!attr.endsWith(f.excl_prog_hash_size)) return -errno.EINVAL
  const flags = attr.u32(f.map_flags)
  const number = attr.u32(f.map_type)
  const access = accessOf(flags)
  const type = typeNames.get(number)
  const attributes: MapAttributes = {
    type: type ?? "hash",
    name: attr.text(f.map_name),
    keySize: attr.u32(f.key_size),
    valueSize: attr.u32(f.value_size),
    maxEntries: attr.u32(f.max_entries),
    flags: flags & ~BPF_F_TOKEN_FD,
    numaNode: (flags & BPF_F_NUMA_NODE) === 0 ? -1 : attr.i32(f.numa_node),
    extra: attr.address(f.map_extra),
    btf: undefined,
    btfKeyType: attr.u32(f.btf_key_type_id),
    btfValueType: attr.u32(f.btf_value_type_id),
    btfVmlinuxValueType: attr.u32(f.btf_vmlinux_value_type_id),
    hidden: [],
    inner: undefined,
    exclusive: undefined
  }
  const wrong = checkCommon(attributes, number)
  if (wrong < 0) return wrong
  if (typeof access === "number") return access
  const family = type === undefined ? undefined : families[type]
  if (family === undefined) return -errno.EINVAL
  const refused = family.check(attributes, state)
  if (refused < 0) return refused
  const device = attr.u32(f.map_ifindex)
  if (device !== 0) {
    // Network cards may take these two kinds; none of this kernel does.
    const offloads = attributes.type === "hash" || attributes.type === "array"
    return offloads && state.hasDevice(device) ? -errno.EOPNOTSUPP : -errno.EINVAL
  }
  // No token is given out: what is open is none.
  if ((flags & BPF_F_TOKEN_FD) !== 0) {
    return state.descriptors.any(attr.i32(f.map_token_fd)) === undefined ? -errno.EBADF : -errno.EINVAL
  }
  const inner = isMapOfMaps(attributes.type) ? templateOf(state, attr.i32(f.inner_map_fd)) : undefined
  if (typeof inner === "number") return inner
  const plain = { ...attributes, inner, flags: attributes.flags & ~FILE_FLAGS }
  const described = describe(state, attr, plain)
  // A map too large is refused before what describes it is looked at.
  const parts = makeParts(state, family, typeof described === "number" ? plain : described)
  if (typeof parts === "number") return parts
  if (typeof described === "number") {
    parts.free?.()
    return described
  }
  const map = makeObject(state, described, parts)
  state.addMap(map)
  return state.descriptors.open(map, access)
}
