// hash, lru_hash and their per-CPU forms, after kernel/bpf/hashtab.c.
import { errno } from "../../../abi/errno.ts"
import { bpf_map_update_flags } from "../../../abi/generated/enums.ts"
import * as MapKind from "../../../spec/MapKind.ts"
import type { ElementMap, Family, MapAttributes, MapHost, MapParts, SystemCallMap } from "../maps.ts"
import { nextOf } from "./calls.ts"
import {
  ACCESS_FLAGS,
  areFlagsOf,
  BPF_F_NO_COMMON_LRU,
  BPF_F_NO_PREALLOC,
  BPF_F_NUMA_NODE,
  BPF_F_ZERO_SEED,
  MOST_KMALLOC,
  MOST_PER_CPU,
  powerOfTwo
} from "./flags.ts"
import { Lru } from "./lru.ts"
import { Table } from "./table.ts"
import { align8, copyValue, isBadUpdate, MOST_MEMORY, shownValue, Values } from "./values.ts"

const FLAGS = BPF_F_NO_PREALLOC | BPF_F_NO_COMMON_LRU | BPF_F_NUMA_NODE | ACCESS_FLAGS | BPF_F_ZERO_SEED
/** sizeof(struct htab_elem) and sizeof(struct bucket) */
const ELEMENT_SIZE = 48
const BUCKET_SIZE = 16

const isPerCpu = ({ type }: MapAttributes): boolean => MapKind.of(type)?.perCpu === true
const isLru = ({ type }: MapAttributes): boolean => MapKind.of(type)?.evicts === true

/** `htab_map_alloc_check` */
export const checkHash = (attributes: MapAttributes): number => {
  const { flags, keySize, maxEntries, numaNode, valueSize } = attributes
  const separate = (flags & BPF_F_NO_COMMON_LRU) !== 0
  if (!areFlagsOf(flags, FLAGS) || (separate && !isLru(attributes))) return -errno.EINVAL
  if (isLru(attributes) && (flags & BPF_F_NO_PREALLOC) !== 0) return -errno.ENOTSUPP
  if (numaNode !== -1 && (isPerCpu(attributes) || separate)) return -errno.EINVAL
  if (maxEntries === 0 || keySize === 0 || valueSize === 0) return -errno.EINVAL
  if (keySize + valueSize >= MOST_KMALLOC - ELEMENT_SIZE) return -errno.E2BIG
  return isPerCpu(attributes) && align8(valueSize) > MOST_PER_CPU ? -errno.E2BIG : 0
}

/** The error of a table that is too large, or 0. */
export const checkSize = (attributes: MapAttributes, valueBytes: number): number => {
  if (attributes.maxEntries > 2 ** 31) return -errno.E2BIG
  const element = ELEMENT_SIZE + align8(attributes.keySize) + valueBytes
  const elements = (attributes.flags & BPF_F_NO_PREALLOC) === 0 ? attributes.maxEntries * element : 0
  return powerOfTwo(attributes.maxEntries) * BUCKET_SIZE + elements > MOST_MEMORY ? -errno.ENOMEM : 0
}

const { BPF_EXIST, BPF_NOEXIST } = bpf_map_update_flags

/** What an update may not do, given whether its key is there; or 0. */
export const checkPresence = (present: boolean, flags: number): number => {
  if (present && (flags & BPF_NOEXIST) !== 0) return -errno.EEXIST
  return !present && (flags & BPF_EXIST) !== 0 ? -errno.ENOENT : 0
}

/** The entries of a map that forgets: each CPU has a list of its own with BPF_F_NO_COMMON_LRU, of the same length. */
const capacityOf = ({ flags, maxEntries }: MapAttributes, cpus: number): number => {
  if ((flags & BPF_F_NO_COMMON_LRU) === 0) return maxEntries
  const rounded = Math.ceil(maxEntries / cpus) * cpus
  return rounded > 0xffffffff ? rounded - cpus : rounded
}

/** All four kinds. Values are those of one CPU after the other where there is one for each. */
class HashElements implements ElementMap {
  readonly table: Table
  readonly values: Values
  private readonly attributes: MapAttributes
  private readonly one: number
  private readonly perCpu: boolean
  /** Which to forget; none is forgotten without it. */
  private readonly lru: Lru | undefined

  constructor(host: MapHost, attributes: MapAttributes) {
    this.attributes = attributes
    this.perCpu = isPerCpu(attributes)
    this.one = align8(attributes.valueSize)
    this.table = new Table(attributes.maxEntries)
    this.values = new Values(host.memory, attributes, this.perCpu ? host.possibleCpus : 1)
    this.lru = isLru(attributes)
      ? new Lru(
        attributes.maxEntries,
        host.possibleCpus,
        (attributes.flags & BPF_F_NO_COMMON_LRU) === 0,
        (slot) => this.forget(slot)
      )
      : undefined
  }

  readonly find = (key: Uint8Array, cpu = 0): bigint | undefined => {
    const slot = this.table.slotOf(key)
    if (slot === undefined) return undefined
    this.lru?.use(slot)
    return this.values.address(slot, this.perCpu ? cpu : 0)
  }

  readonly update = (key: Uint8Array, value: Uint8Array, flags: number, cpu = 0): number =>
    this.store(key, flags, cpu, (slot, present) => {
      const bytes = this.values.bytes(slot)
      if (!present) bytes.fill(0)
      if (this.perCpu) bytes.set(value, cpu * this.one)
      else copyValue(bytes, value, this.attributes.hidden)
    })

  /** As `update`, with the values of all CPUs. */
  readonly updateAll = (key: Uint8Array, value: Uint8Array, flags: number): number =>
    this.store(key, flags, 0, (slot) => this.values.bytes(slot).set(value))

  readonly delete = (key: Uint8Array): number => {
    const slot = this.table.slotOf(key)
    if (slot === undefined) return -errno.ENOENT
    this.remove(slot)
    return 0
  }

  readonly next = (key: Uint8Array | undefined): Uint8Array | undefined => this.table.next(key)

  /** A value as system calls see it. */
  shown(slot: number): Uint8Array {
    const { hidden, valueSize } = this.attributes
    const bytes = this.values.bytes(slot)
    return shownValue(this.perCpu ? bytes : bytes.subarray(0, valueSize), hidden)
  }

  /** Looks up as system calls do, which does not count as use. */
  lookup(key: Uint8Array): Uint8Array | number {
    const slot = this.table.slotOf(key)
    return slot === undefined ? -errno.ENOENT : this.shown(slot)
  }

  remove(slot: number): void {
    this.lru?.remove(slot)
    this.forget(slot)
  }

  private forget(slot: number): void {
    this.table.remove(slot)
    this.values.give(slot)
  }

  private store(
    key: Uint8Array,
    flags: number,
    cpu: number,
    write: (slot: number, present: boolean) => void
  ): number {
    const { attributes, lru, table } = this
    if (isBadUpdate(flags, attributes) || ((this.perCpu || lru !== undefined) && flags > BPF_EXIST)) {
      return -errno.EINVAL
    }
    if (lru !== undefined) return this.storeLru(lru, key, flags, cpu, write)
    const present = table.slotOf(key)
    const error = checkPresence(present !== undefined, flags)
    if (error < 0) return error
    if (present !== undefined) {
      write(this.perCpu ? present : this.replace(key, present), true)
      return 0
    }
    if (table.size >= attributes.maxEntries) return -errno.E2BIG
    const slot = this.values.take()
    table.add(key, slot)
    write(slot, false)
    return 0
  }

  /**
   * `htab_lru_map_update_elem`, `__htab_lru_percpu_map_update_elem`: a free element is taken first, also to replace one
   * that is there, for which others may be forgotten, itself among them. Values of each CPU are written in place.
   */
  private storeLru(
    lru: Lru,
    key: Uint8Array,
    flags: number,
    cpu: number,
    write: (slot: number, present: boolean) => void
  ): number {
    const takes = !this.perCpu || flags !== BPF_EXIST
    if (takes && !lru.pop(cpu)) return -errno.ENOMEM
    const present = this.table.slotOf(key)
    const error = checkPresence(present !== undefined, flags)
    if (error < 0) {
      if (takes) lru.giveBack(cpu)
      return error
    }
    if (present !== undefined && this.perCpu) {
      write(present, true)
      lru.use(present)
      if (takes) lru.giveBack(cpu)
      return 0
    }
    if (present !== undefined) this.remove(present)
    const slot = this.values.take()
    this.table.add(key, slot)
    lru.add(slot, cpu)
    if (present !== undefined) lru.use(slot)
    write(slot, false)
    return 0
  }

  /** An updated element is a new one in the old one's place: who still looks at the old one sees the old value. */
  private replace(key: Uint8Array, old: number): number {
    if (this.attributes.hidden.length > 0) return old
    const slot = this.values.take()
    this.table.remove(old)
    this.table.add(key, slot)
    this.values.give(old)
    return slot
  }
}

const callsOf = (elements: HashElements, valueBytes: number, perCpu: boolean): SystemCallMap => ({
  valueBytes,
  lookup: (key) => elements.lookup(key),
  update: perCpu ? elements.updateAll : (key, value, flags) => elements.update(key, value, flags),
  delete: elements.delete,
  next: nextOf(elements),
  lookupAndDelete: (key) => {
    const value = elements.lookup(key)
    if (typeof value !== "number") elements.delete(key)
    return value
  },
  batches: {
    lookup: "buckets",
    bucketCount: elements.table.bucketCount,
    bucket: (index) =>
      elements.table.bucket(index).map((slot) => ({ key: elements.table.keyAt(slot), value: elements.shown(slot) })),
    lookupAndDelete: true,
    update: true,
    delete: true
  }
})

/** All hash maps of values. A map that forgets (LRU) is never full: `Lru` says which elements go, and how many at once. */
export const hash: Family = {
  check: checkHash,
  make: (host, given): MapParts | number => {
    const maxEntries = capacityOf(given, host.possibleCpus)
    const attributes = { ...given, maxEntries }
    const perCpu = isPerCpu(attributes)
    const valueBytes = perCpu ? align8(given.valueSize) * host.possibleCpus : given.valueSize
    const error = checkSize(attributes, valueBytes)
    if (error < 0) return error
    const elements = new HashElements(host, attributes)
    return {
      elements,
      calls: callsOf(elements, valueBytes, perCpu),
      changed: { maxEntries },
      free: () => elements.values.free()
    }
  }
}
