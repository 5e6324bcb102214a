// Arrays of descriptors: prog_array, perf_event_array, cgroup_array and array_of_maps, after kernel/bpf/arraymap.c. A
// descriptor goes in; what it refers to is kept; where a look-up gives anything, it is an id.
import { errno } from "../../../abi/errno.ts"
import type { ElementMap, Family, MapAttributes, MapHost, MapParts, SimulatedMap } from "../maps.ts"
import { addressOf, viewOf } from "../memory.ts"
import type { Lifetime } from "../objects.ts"
import { checkArray } from "./array.ts"
import { indexOf, nextIndex, nextOf } from "./calls.ts"
import { BPF_F_PRESERVE_ELEMS, BPF_F_RDONLY_PROG, BPF_F_WRONLY_PROG } from "./flags.ts"
import { innerMapOf } from "./inner.ts"
import { MOST_MEMORY } from "./values.ts"

/** A descriptor or an id as a value. */
export const VALUE_SIZE = 4

export const numberOf = (value: Uint8Array): number => viewOf(value).getInt32(0, true)

export const idValue = (id: number): Uint8Array => {
  const value = new Uint8Array(VALUE_SIZE)
  viewOf(value).setUint32(0, id, true)
  return value
}

/** What an array remembers of the first program that it was given, for as long as it lives. */
interface Owner {
  type?: number
}

/** What a kind of array keeps. */
interface Kind {
  /** The object of a descriptor, or `-errno`. */
  readonly take: (host: MapHost, attributes: MapAttributes, fd: number, owner: Owner) => Lifetime | number
  /** True if look-ups by system calls give the object's id. */
  readonly shown: boolean
  /** What programs find, where they may look at all. */
  readonly found?: (object: Lifetime) => bigint
  readonly batches?: boolean
}

interface Entry {
  readonly object: Lifetime
  /** The open file of the map by which it was put in. */
  readonly file: object
}

const family = (kind: Kind): Family => ({
  check: (attributes) => {
    if (attributes.valueSize !== VALUE_SIZE) return -errno.EINVAL
    if ((attributes.flags & (BPF_F_RDONLY_PROG | BPF_F_WRONLY_PROG)) !== 0) return -errno.EINVAL
    return checkArray(attributes)
  },
  make: (host, attributes): MapParts | number => {
    const { flags, maxEntries, type } = attributes
    if (maxEntries * 8 > MOST_MEMORY) return -errno.ENOMEM
    const entries = new Map<number, Entry>()
    const owner: Owner = {}
    const remove = (index: number): boolean => {
      const entry = entries.get(index)
      entries.delete(index)
      if (entry !== undefined) host.objects.release(entry.object)
      return entry !== undefined
    }
    const clear = () => [...entries.keys()].forEach(remove)
    const elements: ElementMap = {
      find: (key) => {
        const object = entries.get(indexOf(key))?.object
        return object === undefined ? undefined : kind.found?.(object)
      },
      update: () => -errno.EINVAL, // programs may not
      delete: (key) => {
        const index = indexOf(key)
        if (index >= maxEntries) return -errno.E2BIG
        return remove(index) ? 0 : -errno.ENOENT
      },
      next: nextIndex(maxEntries)
    }
    return {
      elements,
      calls: {
        valueBytes: VALUE_SIZE,
        lookup: (key) => {
          if (!kind.shown) return -errno.ENOTSUPP
          const object = entries.get(indexOf(key))?.object
          return object === undefined ? -errno.ENOENT : idValue(Number(object.id))
        },
        update: (key, value, updateFlags, file) => {
          const index = indexOf(key)
          if (updateFlags !== 0) return -errno.EINVAL
          if (index >= maxEntries) return -errno.E2BIG
          const object = kind.take(host, attributes, numberOf(value), owner)
          if (typeof object === "number") return object
          host.objects.retain(object) // before the old one goes: it may be the same
          remove(index)
          entries.set(index, { object, file })
          return 0
        },
        delete: elements.delete,
        next: nextOf(elements),
        ...kind.batches === true ? { batches: { lookup: "keys", update: true } as const } : {}
      },
      claim: type === "prog_array" ? (programType) => (owner.type ??= programType) === programType : undefined,
      referent: (key) => entries.get(indexOf(key))?.object,
      // A program that is in its own map would keep both for ever: the array forgets when no process can reach it.
      unused: type === "prog_array" ? clear : undefined,
      closeFile: type === "perf_event_array" && (flags & BPF_F_PRESERVE_ELEMS) === 0
        ? (file) => {
          for (const [index, entry] of [...entries]) if (entry.file === file) remove(index)
        }
        : undefined,
      free: clear
    }
  }
})

/** Programs to call. All are of one type: that of the first that was put in, or that calls through it. */
export const progArray: Family = family({
  take: (host, _, fd, owner) => {
    const program = host.descriptors.any(fd)
    if (program === undefined) return -errno.EBADF
    if (program._tag !== "Program") return -errno.EINVAL
    const { type } = program as Lifetime & { readonly type: number }
    owner.type ??= type
    return owner.type === type ? program : -errno.EINVAL
  },
  shown: true
})

/** Perf events to write to. Those put in by a file go when it is closed. */
export const perfEventArray: Family = family({
  take: (host, _, fd) => {
    const event = host.descriptors.any(fd)
    return event?._tag === "PerfEvent" ? event : -errno.EBADF
  },
  shown: false
})

/** Cgroups to ask about the current task. */
export const cgroupArray: Family = family({
  take: (host, _, fd) => {
    const cgroup = host.descriptors.any(fd)
    return cgroup?._tag === "Cgroup" ? cgroup : -errno.EBADF
  },
  shown: false
})

/** Maps like the one that it was created with. */
export const arrayOfMaps: Family = family({
  take: (host, { inner }, fd) => innerMapOf(host, inner, fd),
  shown: true,
  found: (map) => addressOf((map as SimulatedMap).pointer),
  batches: true
})
