// stack_trace, after kernel/bpf/stackmap.c: programs put stacks in (bpf_get_stackid), and processes read them by id.
import { errno } from "../../../abi/errno.ts"
import { bpf_stack_flags } from "../../../abi/generated/enums.ts"
import type { ElementMap, Family, MapAttributes, StackTraces } from "../maps.ts"
import { addressOf, type Region, viewOf } from "../memory.ts"
import { indexKey, indexOf, nextOf } from "./calls.ts"
import { BPF_F_NUMA_NODE, BPF_F_STACK_BUILD_ID, FILE_FLAGS, powerOfTwo } from "./flags.ts"
import { MOST_MEMORY } from "./values.ts"

/** sysctl kernel.perf_event_max_stack */
const MOST_FRAMES = 127
/** sizeof(struct bpf_stack_build_id) */
const BUILD_ID_SIZE = 32
const FRAME_SIZE = 8

const frameSize = ({ flags }: MapAttributes): number =>
  (flags & BPF_F_STACK_BUILD_ID) === 0 ? FRAME_SIZE : BUILD_ID_SIZE

const { BPF_F_FAST_STACK_CMP, BPF_F_REUSE_STACKID } = bpf_stack_flags

const hashOf = (frames: ReadonlyArray<bigint>): number => {
  let hash = 0x811c9dc5
  for (const frame of frames) {
    hash = Math.imul(hash ^ Number(frame & 0xffffffffn), 0x01000193)
    hash = Math.imul(hash ^ Number(frame >> 32n), 0x01000193)
  }
  return (hash ^ hash >>> 15) >>> 0
}

/** The smallest of ascending numbers above another. */
const firstAbove = (numbers: ReadonlyArray<number>, than: number): number | undefined => {
  let low = 0
  let high = numbers.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (numbers[middle]! <= than) low = middle + 1
    else high = middle
  }
  return numbers[low]
}

interface Stack {
  readonly hash: number
  readonly bytes: Uint8Array
}

export const stackTrace: Family = {
  check: (attributes) => {
    const { flags, keySize, maxEntries, valueSize } = attributes
    if ((flags & ~(BPF_F_NUMA_NODE | FILE_FLAGS | BPF_F_STACK_BUILD_ID)) !== 0) return -errno.EINVAL
    if (maxEntries === 0 || keySize !== 4 || valueSize < FRAME_SIZE || valueSize % FRAME_SIZE !== 0) {
      return -errno.EINVAL
    }
    const frame = frameSize(attributes)
    return valueSize % frame !== 0 || valueSize / frame > MOST_FRAMES ? -errno.EINVAL : 0
  },
  make: ({ memory }, attributes) => {
    const { maxEntries, valueSize } = attributes
    if (maxEntries > 2 ** 31) return -errno.E2BIG
    const buckets = powerOfTwo(maxEntries)
    if (buckets * FRAME_SIZE + maxEntries * valueSize > MOST_MEMORY) return -errno.ENOMEM
    const stacks = new Map<number, Stack>()
    const regions: Array<Region> = []
    /** The ids with stacks, in ascending order; made anew after a change. */
    let ids: ReadonlyArray<number> | undefined
    const elements: ElementMap = {
      // Programs cannot look up; what is made here is for those who look at the simulation.
      find: (key) => {
        const stack = stacks.get(indexOf(key))
        if (stack === undefined) return undefined
        const region = memory.map(stack.bytes, { writable: false })
        regions.push(region)
        return addressOf(region)
      },
      update: () => -errno.EINVAL,
      delete: (key) => {
        if (indexOf(key) >= buckets) return -errno.E2BIG
        ids = undefined
        return stacks.delete(indexOf(key)) ? 0 : -errno.ENOENT
      },
      next: (key) => {
        ids ??= [...stacks.keys()].toSorted((a, b) => a - b)
        const id = key === undefined || !stacks.has(indexOf(key)) ? -1 : indexOf(key)
        const next = firstAbove(ids, id)
        return next === undefined ? undefined : indexKey(next)
      }
    }
    const store: StackTraces["store"] = (frames, flags) => {
      const kept = frames.slice(0, valueSize / frameSize(attributes))
      const hash = hashOf(kept)
      const id = hash & (buckets - 1)
      const bytes = new Uint8Array(valueSize)
      kept.forEach((frame, i) => viewOf(bytes).setBigUint64(i * frameSize(attributes), frame, true))
      const old = stacks.get(id)
      if (old !== undefined) {
        const same = old.hash === hash &&
          ((flags & BPF_F_FAST_STACK_CMP) !== 0 || Buffer.compare(old.bytes, bytes) === 0)
        if (same) return id
        if ((flags & BPF_F_REUSE_STACKID) === 0) return -errno.EEXIST
      }
      ids = undefined
      stacks.set(id, { hash, bytes })
      return id
    }
    const lookup = (key: Uint8Array) => stacks.get(indexOf(key))?.bytes.slice() ?? -errno.ENOENT
    return {
      elements,
      stacks: { store },
      calls: {
        valueBytes: valueSize,
        lookup,
        update: () => -errno.EINVAL,
        delete: elements.delete,
        next: nextOf(elements),
        lookupAndDelete: (key) => {
          const value = lookup(key)
          elements.delete(key)
          return value
        }
      },
      free: () => regions.forEach((region) => memory.unmap(region))
    }
  }
}
