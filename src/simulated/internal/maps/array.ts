// array and percpu_array, after kernel/bpf/arraymap.c.
import { errno } from "../../../abi/errno.ts"
import { bpf_map_update_flags } from "../../../abi/generated/enums.ts"
import type { ElementMap, Family, MapAttributes, SystemCallMap } from "../maps.ts"
import { addressOf, viewOf } from "../memory.ts"
import { indexOf, nextIndex, nextOf, plainCalls } from "./calls.ts"
import {
  ACCESS_FLAGS,
  areFlagsOf,
  BPF_F_INNER_MAP,
  BPF_F_MMAPABLE,
  BPF_F_NUMA_NODE,
  BPF_F_PRESERVE_ELEMS,
  MOST_PER_CPU
} from "./flags.ts"
import { align8, copyValue, isBadUpdate, isWritable, MOST_MEMORY, shownValue } from "./values.ts"

const FLAGS = BPF_F_NUMA_NODE | BPF_F_MMAPABLE | ACCESS_FLAGS | BPF_F_PRESERVE_ELEMS | BPF_F_INNER_MAP
const INT_MAX = 2 ** 31 - 1

/** `array_map_alloc_check`, which all kinds of array share. */
export const checkArray = ({ flags, keySize, maxEntries, numaNode, type, valueSize }: MapAttributes): number => {
  const perCpu = type === "percpu_array"
  if (maxEntries === 0 || keySize !== 4 || valueSize === 0 || !areFlagsOf(flags, FLAGS)) return -errno.EINVAL
  if (perCpu && numaNode !== -1) return -errno.EINVAL
  if (type !== "array" && (flags & (BPF_F_MMAPABLE | BPF_F_INNER_MAP)) !== 0) return -errno.EINVAL
  if (type !== "perf_event_array" && (flags & BPF_F_PRESERVE_ELEMS) !== 0) return -errno.EINVAL
  if (valueSize > INT_MAX || (perCpu && align8(valueSize) > MOST_PER_CPU)) return -errno.E2BIG
  return 0
}

const { BPF_EXIST, BPF_F_LOCK, BPF_NOEXIST } = bpf_map_update_flags

/** What an update of an index may not be, or 0: all elements are there from the start. */
export const checkIndexUpdate = (index: number, flags: number, attributes: MapAttributes): number => {
  if (flags > BPF_EXIST + BPF_F_LOCK || (flags & ~BPF_F_LOCK) > BPF_EXIST) return -errno.EINVAL
  if (index >= attributes.maxEntries) return -errno.E2BIG
  if ((flags & BPF_NOEXIST) !== 0) return -errno.EEXIST
  return isBadUpdate(flags, attributes) ? -errno.EINVAL : 0 // a lock that the values have not
}

export const array: Family = {
  check: checkArray,
  make: ({ memory, pageSize }, attributes) => {
    const { flags, hidden, maxEntries, valueSize } = attributes
    const stride = align8(valueSize)
    const size = stride * maxEntries
    if (size > MOST_MEMORY) return -errno.ENOMEM
    const mappable = (flags & BPF_F_MMAPABLE) !== 0
    let buffer = new ArrayBuffer(mappable ? Math.ceil(size / pageSize) * pageSize : size)
    // One element of a size without padding needs no further checks, and is faster without.
    const elements = maxEntries === 1 ? undefined : { stride, size: valueSize }
    const bytesOf = () => new Uint8Array(buffer, 0, maxEntries === 1 ? valueSize : size)
    const region = memory.map(bytesOf(), { writable: isWritable(attributes), elements })
    const element = (index: number) => region.bytes.subarray(index * stride, index * stride + valueSize)
    const map: ElementMap = {
      find: (key) => {
        const index = indexOf(key)
        return index < maxEntries ? addressOf(region, index * stride) : undefined
      },
      update: (key, value, updateFlags) => {
        const index = indexOf(key)
        const error = checkIndexUpdate(index, updateFlags, attributes)
        if (error === 0) copyValue(element(index), value, hidden)
        return error
      },
      delete: () => -errno.EINVAL,
      next: nextIndex(maxEntries)
    }
    return {
      elements: map,
      calls: { ...plainCalls(memory, map, attributes), batches: { lookup: "keys", update: true } },
      directValue: maxEntries === 1 ? addressOf(region) : undefined,
      mapping: ({ length, offset }) => {
        if (!mappable || offset + length > buffer.byteLength) return -errno.EINVAL
        // A part of an ArrayBuffer cannot be another one's memory: only mappings from the start can be had here.
        return offset === 0 ? buffer : -errno.ENOMEM
      },
      moved: (moved) => {
        buffer = moved
        region.bytes = bytesOf()
        region.view = viewOf(region.bytes)
      },
      free: () => memory.unmap(region)
    }
  }
}

export const percpuArray: Family = {
  check: checkArray,
  make: ({ memory, possibleCpus }, attributes) => {
    const { hidden, maxEntries, valueSize } = attributes
    const one = align8(valueSize)
    const all = one * possibleCpus
    if (all * maxEntries > MOST_MEMORY) return -errno.ENOMEM
    const bytes = new Uint8Array(all * maxEntries)
    const region = memory.map(bytes, {
      writable: isWritable(attributes),
      elements: { stride: one, size: valueSize }
    })
    const map: ElementMap = {
      find: (key, cpu = 0) => {
        const index = indexOf(key)
        return index < maxEntries ? addressOf(region, index * all + cpu * one) : undefined
      },
      update: (key, value, flags, cpu = 0) => {
        const index = indexOf(key)
        const error = checkIndexUpdate(index, flags, attributes)
        if (error === 0) bytes.set(value, index * all + cpu * one)
        return error
      },
      delete: () => -errno.EINVAL,
      next: nextIndex(maxEntries)
    }
    const calls: SystemCallMap = {
      valueBytes: all,
      lookup: (key) => {
        const index = indexOf(key)
        return index < maxEntries ? shownValue(bytes.subarray(index * all, (index + 1) * all), hidden) : -errno.ENOENT
      },
      update: (key, value, flags) => {
        const index = indexOf(key)
        const error = flags > 2 ? -errno.EINVAL : checkIndexUpdate(index, flags, attributes)
        if (error === 0) bytes.set(value, index * all)
        return error
      },
      delete: map.delete,
      next: nextOf(map),
      batches: { lookup: "keys", update: true }
    }
    return { elements: map, calls, free: () => memory.unmap(region) }
  }
}
