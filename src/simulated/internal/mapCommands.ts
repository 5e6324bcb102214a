// The commands of bpf(2) on one map and one element, with the results and error numbers of kernel/bpf/syscall.c.
import { errno } from "../../abi/errno.ts"
import { bpf_cmd, bpf_map_update_flags } from "../../abi/generated/enums.ts"
import { bpf_attr_map_elem } from "../../abi/generated/structs.ts"
import type { Attr } from "./attr.ts"
import type { OpenFile } from "./descriptors.ts"
import type { SimulatedMap } from "./maps.ts"
import { hasSpinLock } from "./maps/values.ts"
import { readUser, writeUser } from "./userMemory.ts"
import type { KernelState } from "./kernelState.ts"

const { BPF_F_LOCK } = bpf_map_update_flags

/** A map by a descriptor, with the open file. */
export interface OpenMap {
  readonly map: SimulatedMap
  readonly file: OpenFile
}

/** The map of a descriptor, or `-errno`. */
export const openMap = (state: KernelState, fd: number): OpenMap | number => {
  const file = state.descriptors.file(fd)
  if (file === undefined) return -errno.EBADF
  return file.object._tag === "Map" ? { map: file.object, file } : -errno.EINVAL
}

/** True if what the file and the map allow includes this (`map_get_sys_perms`). */
export const mayWrite = ({ file, map }: OpenMap): boolean => file.writes && !map.frozen
export const mayRead = ({ file }: OpenMap): boolean => file.reads

/** True for flags of a look-up that the map does not take. */
export const isBadLookup = (map: SimulatedMap, flags: number): boolean =>
  flags !== 0 && (flags !== BPF_F_LOCK || !hasSpinLock(map.attributes))

/** True for BPF_F_LOCK on values without a spin lock. Other flags are the families' business. */
export const locksInVain = (map: SimulatedMap, flags: number): boolean =>
  Math.floor(flags / BPF_F_LOCK) % 2 === 1 && !hasSpinLock(map.attributes)

/** A key of the process, or `-errno` for one that is given where there is none. */
const keyOf = (state: KernelState, { attributes: { keySize } }: SimulatedMap, address: bigint): Uint8Array | number => {
  if (keySize === 0 && address !== 0n) return -errno.EINVAL
  return readUser(state.memory, address, keySize)
}

const f = bpf_attr_map_elem.fields

const lookup = (state: KernelState, attr: Attr, open: OpenMap): number => {
  const { map } = open
  if (!mayRead(open)) return -errno.EPERM
  if (isBadLookup(map, attr.number(f.flags))) return -errno.EINVAL
  const key = keyOf(state, map, attr.address(f.key))
  if (typeof key === "number") return key
  const address = attr.address(f.value)
  const value = map.calls.lookup(key, () => readUser(state.memory, address, map.calls.valueBytes))
  if (typeof value === "number") return value
  if (map.attributes.type !== "bloom_filter") writeUser(state.memory, address, value)
  return 0
}

const update = (state: KernelState, attr: Attr, open: OpenMap): number => {
  const { file, map } = open
  const flags = attr.number(f.flags)
  if (!mayWrite(open)) return -errno.EPERM
  if (locksInVain(map, flags)) return -errno.EINVAL
  const key = keyOf(state, map, attr.address(f.key))
  if (typeof key === "number") return key
  return map.calls.update(key, readUser(state.memory, attr.address(f.value), map.calls.valueBytes), flags, file)
}

const remove = (state: KernelState, attr: Attr, open: OpenMap): number => {
  if (!mayWrite(open)) return -errno.EPERM
  const key = keyOf(state, open.map, attr.address(f.key))
  return typeof key === "number" ? key : open.map.calls.delete(key)
}

const next = (state: KernelState, attr: Attr, open: OpenMap): number => {
  const { map } = open
  if (!mayRead(open)) return -errno.EPERM
  const address = attr.address(f.key)
  const key = address === 0n ? undefined : keyOf(state, map, address)
  if (typeof key === "number") return key
  const following = map.calls.next(key)
  if (typeof following === "number") return following
  writeUser(state.memory, attr.address(f.next_key), following)
  return 0
}

const lookupAndDelete = (state: KernelState, attr: Attr, open: OpenMap): number => {
  const { map } = open
  const flags = attr.number(f.flags)
  if (!mayRead(open) || !mayWrite(open)) return -errno.EPERM
  if (isBadLookup(map, flags) || (flags !== 0 && map.queue !== undefined)) return -errno.EINVAL
  const key = keyOf(state, map, attr.address(f.key))
  if (typeof key === "number") return key
  const value = map.calls.lookupAndDelete?.(key) ?? -errno.ENOTSUPP
  if (typeof value === "number") return value
  writeUser(state.memory, attr.address(f.value), value) // if it fails the element is lost, as in the kernel
  return 0
}

const commands: {
  readonly [command: number]: {
    readonly run: (state: KernelState, attr: Attr, open: OpenMap) => number
    readonly last: keyof typeof f
    readonly flags?: number
  }
} = {
  [bpf_cmd.BPF_MAP_LOOKUP_ELEM]: { run: lookup, last: "flags", flags: BPF_F_LOCK },
  [bpf_cmd.BPF_MAP_UPDATE_ELEM]: { run: update, last: "flags" },
  [bpf_cmd.BPF_MAP_DELETE_ELEM]: { run: remove, last: "key" },
  [bpf_cmd.BPF_MAP_GET_NEXT_KEY]: { run: next, last: "next_key" },
  [bpf_cmd.BPF_MAP_LOOKUP_AND_DELETE_ELEM]: { run: lookupAndDelete, last: "flags", flags: BPF_F_LOCK }
}

/** The commands on one element. */
export const element = (state: KernelState, command: number, attr: Attr): number => {
  const { flags, last, run } = commands[command]!
  if (!attr.endsWith(f[last])) return -errno.EINVAL
  // Flags that no map has are refused before the map is looked at.
  if (flags !== undefined && attr.number(f.flags) !== 0 && attr.number(f.flags) !== flags) return -errno.EINVAL
  const open = openMap(state, attr.i32(f.map_fd))
  return typeof open === "number" ? open : run(state, attr, open)
}

/** BPF_MAP_FREEZE */
export const freeze = (state: KernelState, attr: Attr): number => {
  if (!attr.endsWith(f.map_fd)) return -errno.EINVAL
  const open = openMap(state, attr.i32(f.map_fd))
  if (typeof open === "number") return open
  const { map } = open
  if (map.attributes.type === "struct_ops" || map.attributes.hidden.length > 0) return -errno.ENOTSUPP
  if (!mayWrite(open)) return -errno.EPERM
  if (map.writableMappings > 0) return -errno.EBUSY
  map.frozen = true
  return 0
}
