// cgroup_storage and percpu_cgroup_storage, after kernel/bpf/local_storage.c: one value for each cgroup that a program
// with the map is attached to. It comes and goes with the attachment; processes may read and change it.
import { errno } from "../../../abi/errno.ts"
import { bpf_map_update_flags } from "../../../abi/generated/enums.ts"
import type { CgroupStorage, ElementMap, Family, MapAttributes } from "../maps.ts"
import { viewOf } from "../memory.ts"
import { nextOf } from "./calls.ts"
import { ACCESS_FLAGS, areFlagsOf, BPF_F_NUMA_NODE, MOST_PER_CPU, MOST_STORAGE } from "./flags.ts"
import { align8, copyValue, hasSpinLock, keyText, shownValue, Values } from "./values.ts"

/** struct bpf_cgroup_storage_key: the cgroup's id, the attach type. With the id alone, all types share a value. */
const LONG_KEY = 16
const SHORT_KEY = 8

const { BPF_EXIST, BPF_F_LOCK } = bpf_map_update_flags

const isPerCpu = ({ type }: MapAttributes): boolean => type === "percpu_cgroup_storage"

interface Entry {
  readonly key: Uint8Array
  readonly slot: number
  attachments: number
}

export const cgroupStorage: Family = {
  check: (attributes) => {
    const { flags, keySize, maxEntries, valueSize } = attributes
    if ((keySize !== LONG_KEY && keySize !== SHORT_KEY) || valueSize === 0) return -errno.EINVAL
    if (valueSize > (isPerCpu(attributes) ? MOST_PER_CPU : MOST_STORAGE)) return -errno.E2BIG
    return !areFlagsOf(flags, BPF_F_NUMA_NODE | ACCESS_FLAGS) || maxEntries !== 0 ? -errno.EINVAL : 0
  },
  make: ({ memory, possibleCpus }, attributes) => {
    const { hidden, keySize, valueSize } = attributes
    const perCpu = isPerCpu(attributes)
    const valueBytes = perCpu ? align8(valueSize) * possibleCpus : valueSize
    const values = new Values(memory, attributes, perCpu ? possibleCpus : 1)
    const entries = new Map<string, Entry>()

    const keyOf = (cgroup: bigint, attachType: number): Uint8Array => {
      const key = new Uint8Array(keySize)
      viewOf(key).setBigUint64(0, cgroup, true)
      if (keySize === LONG_KEY) viewOf(key).setUint32(8, attachType, true)
      return key
    }
    /** The bytes after the attach type are padding. */
    const textOf = (key: Uint8Array) => keyText(key.subarray(0, Math.min(keySize, 12)))

    const storage: CgroupStorage = {
      attach: (cgroup, attachType) => {
        const key = keyOf(cgroup, attachType)
        const entry = entries.get(textOf(key)) ?? { key, slot: values.take(), attachments: 0 }
        if (entry.attachments++ > 0) return
        values.bytes(entry.slot).fill(0)
        entries.set(textOf(key), entry)
      },
      detach: (cgroup, attachType) => {
        const text = textOf(keyOf(cgroup, attachType))
        const entry = entries.get(text)
        if (entry === undefined || --entry.attachments > 0) return
        entries.delete(text)
        values.give(entry.slot)
      },
      find: (cgroup, attachType, cpu = 0) => {
        const entry = entries.get(textOf(keyOf(cgroup, attachType)))
        return entry === undefined ? undefined : values.address(entry.slot, perCpu ? cpu : 0)
      }
    }
    const keys = (): ReadonlyArray<Entry> => [...entries.values()]
    const elements: ElementMap = {
      find: (key, cpu = 0) => {
        const entry = entries.get(textOf(key))
        return entry === undefined ? undefined : values.address(entry.slot, perCpu ? cpu : 0)
      },
      update: () => -errno.EINVAL, // programs have what bpf_get_local_storage() gives
      delete: () => -errno.EINVAL,
      next: (key) => {
        if (key === undefined) return keys()[0]?.key.slice()
        const at = keys().findIndex((entry) => textOf(entry.key) === textOf(key))
        return at < 0 ? undefined : keys()[at + 1]?.key.slice()
      }
    }
    return {
      elements,
      cgroupStorage: storage,
      calls: {
        valueBytes,
        lookup: (key) => {
          const entry = entries.get(textOf(key))
          if (entry === undefined) return -errno.ENOENT
          return shownValue(values.bytes(entry.slot).subarray(0, valueBytes), hidden)
        },
        update: (key, value, flags) => {
          const known = perCpu ? [0, BPF_EXIST] : [0, BPF_EXIST, BPF_F_LOCK, BPF_F_LOCK | BPF_EXIST]
          if (!known.includes(flags)) return -errno.EINVAL
          if ((flags & BPF_F_LOCK) !== 0 && !hasSpinLock(attributes)) return -errno.EINVAL
          const entry = entries.get(textOf(key))
          if (entry === undefined) return -errno.ENOENT
          copyValue(values.bytes(entry.slot), value, hidden)
          return 0
        },
        delete: elements.delete,
        next: nextOf(elements)
      },
      free: () => values.free()
    }
  }
}
