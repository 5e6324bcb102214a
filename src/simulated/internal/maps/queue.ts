// queue and stack, after kernel/bpf/queue_stack_maps.c.
import { errno } from "../../../abi/errno.ts"
import { bpf_map_update_flags } from "../../../abi/generated/enums.ts"
import type { Family, MapAttributes, QueueMap, SystemCallMap } from "../maps.ts"
import { refusing } from "./calls.ts"
import { ACCESS_FLAGS, areFlagsOf, BPF_F_NUMA_NODE, MOST_KMALLOC } from "./flags.ts"
import { MOST_MEMORY } from "./values.ts"

const { BPF_EXIST } = bpf_map_update_flags

/** A ring of values with a free place more than there may be values. */
class Ring implements QueueMap {
  private readonly attributes: MapAttributes
  private readonly bytes: Uint8Array
  private readonly places: number
  private head = 0
  private tail = 0

  constructor(attributes: MapAttributes) {
    this.attributes = attributes
    this.places = attributes.maxEntries + 1
    this.bytes = new Uint8Array(this.places * attributes.valueSize)
  }

  readonly push = (value: Uint8Array, flags: number): number => {
    if (flags !== 0 && flags !== BPF_EXIST) return -errno.EINVAL
    const next = (this.head + 1) % this.places
    if (next === this.tail) {
      if (flags !== BPF_EXIST) return -errno.E2BIG
      this.tail = (this.tail + 1) % this.places // the oldest makes room, of a stack as of a queue
    }
    this.bytes.set(value, this.head * this.attributes.valueSize)
    this.head = next
    return 0
  }

  readonly peek = (): Uint8Array | number => {
    if (this.head === this.tail) return -errno.ENOENT
    const { valueSize } = this.attributes
    const at = this.isStack ? (this.head + this.places - 1) % this.places : this.tail
    return this.bytes.slice(at * valueSize, (at + 1) * valueSize)
  }

  readonly pop = (): Uint8Array | number => {
    const value = this.peek()
    if (typeof value === "number") return value
    if (this.isStack) this.head = (this.head + this.places - 1) % this.places
    else this.tail = (this.tail + 1) % this.places
    return value
  }

  private get isStack(): boolean {
    return this.attributes.type === "stack"
  }
}

export const queue: Family = {
  check: ({ flags, keySize, maxEntries, valueSize }) => {
    if (maxEntries === 0 || keySize !== 0 || valueSize === 0) return -errno.EINVAL
    if (!areFlagsOf(flags, BPF_F_NUMA_NODE | ACCESS_FLAGS)) return -errno.EINVAL
    return valueSize > MOST_KMALLOC ? -errno.E2BIG : 0
  },
  make: (_, attributes) => {
    if ((attributes.maxEntries + 1) * attributes.valueSize > MOST_MEMORY) return -errno.ENOMEM
    const ring = new Ring(attributes)
    const calls: SystemCallMap = {
      ...refusing(errno.EINVAL),
      valueBytes: attributes.valueSize,
      lookup: ring.peek,
      update: (_key, value, flags) => ring.push(value, flags),
      lookupAndDelete: ring.pop
    }
    return { queue: ring, calls }
  }
}
