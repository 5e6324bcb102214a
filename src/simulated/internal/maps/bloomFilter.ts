// bloom_filter, after kernel/bpf/bloom_filter.c.
import { errno } from "../../../abi/errno.ts"
import type { Family, QueueMap, SystemCallMap } from "../maps.ts"
import { byteOf, placeIn } from "./bits.ts"
import { refusing } from "./calls.ts"
import { ACCESS_FLAGS, areFlagsOf, BPF_F_NUMA_NODE, BPF_F_ZERO_SEED, MOST_KMALLOC, powerOfTwo } from "./flags.ts"

const DEFAULT_HASHES = 5n
/** The hash functions' number is in the lower four bits of `map_extra`. */
const HASHES_MASK = 0xfn

/** A hash for each seed; the kernel's are others, so which values are taken for others differs. */
const hashOf = (value: Uint8Array, seed: number): number => {
  let hash = Math.imul(seed + 1, 0x9e3779b1)
  for (const byte of value) hash = Math.imul(hash ^ byte, 0x01000193)
  hash = Math.imul(hash ^ hash >>> 16, 0x85ebca6b)
  return (hash ^ hash >>> 13) >>> 0
}

/** The bits for a number of entries: 7/5 for each and hash function, about ln 2 of them set when full. */
const bitsFor = (entries: number, hashes: number): number =>
  Math.min(2 ** 32, Math.max(64, powerOfTwo(Math.floor(entries * hashes * 7 / 5))))

/** 512 MiB, all that 32-bit hashes can tell apart; more than this machine has for one map. */
const MOST_BITS = 2 ** 32

export const bloomFilter: Family = {
  check: ({ extra, flags, keySize, maxEntries, valueSize }) => {
    if (valueSize > MOST_KMALLOC) return -errno.E2BIG
    if (keySize !== 0 || valueSize === 0 || maxEntries === 0) return -errno.EINVAL
    if (!areFlagsOf(flags, BPF_F_NUMA_NODE | BPF_F_ZERO_SEED | ACCESS_FLAGS)) return -errno.EINVAL
    return (extra & ~HASHES_MASK) === 0n ? 0 : -errno.EINVAL
  },
  make: (_, { extra, maxEntries, valueSize }) => {
    const hashes = Number(extra === 0n ? DEFAULT_HASHES : extra)
    const bits = bitsFor(maxEntries, hashes)
    if (bits >= MOST_BITS) return -errno.ENOMEM
    const set = new Uint8Array(bits / 8)
    const places = (value: Uint8Array) =>
      Array.from({ length: hashes }, (_, seed) => hashOf(value, seed) & (bits - 1)).map((bit) => bit >>> 0)
    const queue: QueueMap = {
      push: (value, flags) => {
        if (flags !== 0) return -errno.EINVAL
        for (const bit of places(value)) set[byteOf(bit)]! |= 1 << placeIn(bit)
        return 0
      },
      pop: () => -errno.EOPNOTSUPP,
      peek: (value) =>
        places(value).every((bit) => (set[byteOf(bit)]! & 1 << placeIn(bit)) !== 0) ? value : -errno.ENOENT
    }
    const calls: SystemCallMap = {
      ...refusing(errno.EOPNOTSUPP),
      valueBytes: valueSize,
      lookup: (_key, given) => queue.peek(given()),
      update: (_key, value, flags) => queue.push(value, flags)
    }
    return { queue, calls }
  }
}
