// What the maps in a map of maps must be like, after kernel/bpf/map_in_map.c.
import { errno } from "../../../abi/errno.ts"
import * as MapKind from "../../../spec/MapKind.ts"
import type { MapAttributes, MapHost, SimulatedMap } from "../maps.ts"
import { BPF_F_INNER_MAP } from "./flags.ts"

/** The map of a descriptor, or `-errno`. */
export const mapOf = (host: MapHost, fd: number): SimulatedMap | number => {
  const object = host.descriptors.any(fd)
  if (object === undefined) return -errno.EBADF
  return object._tag === "Map" ? object as SimulatedMap : -errno.EINVAL
}

/** The template of a map of maps, by the descriptor of `inner_map_fd`; or `-errno` (`bpf_map_meta_alloc`). */
export const templateOf = (host: MapHost, fd: number): MapAttributes | number => {
  const map = mapOf(host, fd)
  if (typeof map === "number") return map
  if (map.attributes.inner !== undefined) return -errno.EINVAL // one level only
  return MapKind.of(map.attributes.type)?.inner === "never" ? -errno.ENOTSUPP : map.attributes
}

/** True if a map is as the template says (`bpf_map_meta_equal`, `array_map_meta_equal`, `xsk_map_meta_equal`). */
const isLike = (template: MapAttributes, map: MapAttributes): boolean =>
  map.type === template.type &&
  map.keySize === template.keySize &&
  map.valueSize === template.valueSize &&
  map.flags === template.flags &&
  (MapKind.of(map.type)?.inner !== "as long" || (template.flags & BPF_F_INNER_MAP) !== 0 ||
    map.maxEntries === template.maxEntries) &&
  JSON.stringify(map.hidden) === JSON.stringify(template.hidden)

/** The map of a descriptor that may be put into a map of maps, or `-errno`. */
export const innerMapOf = (host: MapHost, template: MapAttributes | undefined, fd: number): SimulatedMap | number => {
  const map = mapOf(host, fd)
  if (typeof map === "number") return map
  return template !== undefined && isLike(template, map.attributes) ? map : -errno.EINVAL
}
