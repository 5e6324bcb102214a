// The commands of bpf(2) on maps, with the results and error numbers of kernel/bpf/syscall.c.
import { errno } from "../../abi/errno.ts"
import { bpf_cmd } from "../../abi/generated/enums.ts"
import { bpf_attr_map_create, bpf_attr_map_elem } from "../../abi/generated/structs.ts"
import { type MapType, mapTypes } from "../../abi/names.ts"
import { type Attr, isName, nameOf } from "./attr.ts"
import { type ElementMap, makeArray, makeHash, type MapAttributes, type SimulatedMap } from "./maps.ts"
import { SimulatedRingBuffer } from "./ringBuffer.ts"
import type { World } from "./world.ts"

/** BPF_MAP_CREATE */
export const createMap = (world: World, attr: Attr): number => {
  const f = bpf_attr_map_create.fields
  const type = nameOf<MapType>(mapTypes, attr.u32(f.map_type))
  if (type === undefined) return -errno.EINVAL
  const attributes: MapAttributes = {
    type,
    name: attr.text(f.map_name),
    keySize: attr.u32(f.key_size),
    valueSize: attr.u32(f.value_size),
    maxEntries: attr.u32(f.max_entries),
    flags: attr.u32(f.map_flags)
  }
  if (!isName(attributes.name) || attributes.maxEntries === 0) return -errno.EINVAL
  let elements: ElementMap | undefined
  let ring: SimulatedRingBuffer | undefined
  switch (type) {
    case "hash":
      if (attributes.keySize === 0 || attributes.valueSize === 0) return -errno.EINVAL
      elements = makeHash(world.memory, attributes)
      break
    case "array":
      if (attributes.keySize !== 4 || attributes.valueSize === 0) return -errno.EINVAL
      elements = makeArray(world.memory, attributes)
      break
    case "ringbuf": {
      const { keySize, maxEntries, valueSize } = attributes
      const isPower = (maxEntries & (maxEntries - 1)) === 0
      if (keySize !== 0 || valueSize !== 0 || !isPower || maxEntries % world.pageSize !== 0) return -errno.EINVAL
      ring = new SimulatedRingBuffer(world.memory, maxEntries, world.pageSize)
      break
    }
    default:
      return -errno.EINVAL
  }
  const pointer = world.memory.map(new Uint8Array(0))
  const map: SimulatedMap = { _tag: "Map", id: world.newId(), attributes, pointer, elements, ring }
  const fd = world.descriptors.open(map)
  if (fd >= 0) world.addMap(map)
  return fd
}

/** The commands on one element. */
export const element = (world: World, command: number, attr: Attr): number => {
  const { flags, key, map_fd, next_key, value } = bpf_attr_map_elem.fields
  const map = world.descriptors.get(attr.u32(map_fd), "Map")
  if (map === undefined) return -errno.EBADF
  if (map.elements === undefined) return -errno.EOPNOTSUPP
  const { memory } = world
  const { keySize, valueSize } = map.attributes
  const keyAddress = attr.address(key)
  switch (command) {
    case bpf_cmd.BPF_MAP_LOOKUP_ELEM: {
      const found = map.elements.find(memory.read(keyAddress, keySize))
      if (found === undefined) return -errno.ENOENT
      memory.write(attr.address(value), memory.read(found, valueSize))
      return 0
    }
    case bpf_cmd.BPF_MAP_UPDATE_ELEM:
      return map.elements.update(
        memory.read(keyAddress, keySize),
        memory.read(attr.address(value), valueSize),
        attr.u32(flags)
      )
    case bpf_cmd.BPF_MAP_DELETE_ELEM:
      // Bytes after the key must be zero: the attr is checked as one that ends there.
      if (attr.address(value) !== 0n || attr.address(flags) !== 0n) return -errno.EINVAL
      return map.elements.delete(memory.read(keyAddress, keySize))
    default: {
      const next = map.elements.next(keyAddress === 0n ? undefined : memory.read(keyAddress, keySize))
      if (next === undefined) return -errno.ENOENT
      memory.write(attr.address(next_key), next)
      return 0
    }
  }
}
