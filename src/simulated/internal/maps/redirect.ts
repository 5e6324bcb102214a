// Where XDP programs redirect packets to: devmap, devmap_hash, cpumap and xskmap, after kernel/bpf/devmap.c, cpumap.c and
// net/xdp/xskmap.c.
import { errno } from "../../../abi/errno.ts"
import { bpf_attach_type, bpf_map_update_flags } from "../../../abi/generated/enums.ts"
import { programTypes } from "../../../abi/names.ts"
import type { ElementMap, Family, MapAttributes, MapHost } from "../maps.ts"
import { viewOf } from "../memory.ts"
import type { Lifetime } from "../objects.ts"
import { indexOf, nextIndex, nextOf, plainCalls } from "./calls.ts"
import { BPF_F_NUMA_NODE, BPF_F_RDONLY_PROG, FILE_FLAGS } from "./flags.ts"
import { checkPresence } from "./hash.ts"
import { Slots } from "./slots.ts"
import { Table } from "./table.ts"
import { MOST_MEMORY } from "./values.ts"

const { BPF_EXIST, BPF_NOEXIST } = bpf_map_update_flags
const FLAGS = BPF_F_NUMA_NODE | FILE_FLAGS

/** NR_CPUS of most distributions' kernels. */
const MOST_CPUS = 8192
/** The longest queue of a cpumap's entry. */
const MOST_QUEUE = 16384

type XdpProgram = Lifetime & { readonly type: number; readonly attachType: number }

/** What is kept of an entry: its value, and the program that it names. */
interface Entry {
  readonly value: Uint8Array
  readonly object: Lifetime | undefined
}

/**
 * An entry of a value whose second half is a program's descriptor, which must be made for such maps; what comes out there
 * is its id. `undefined` for a program that may not be there.
 */
const entryOf = (host: MapHost, value: Uint8Array, attachType: number): Entry | undefined => {
  const fd = value.length < 8 ? 0 : viewOf(value).getInt32(4, true)
  const program = fd <= 0 ? undefined : host.descriptors.any(fd) as XdpProgram | undefined
  const fits = program?._tag === "Program" && program.type === programTypes.xdp && program.attachType === attachType
  if (fd > 0 && !fits) return undefined
  const kept = value.slice()
  if (kept.length >= 8) viewOf(kept).setUint32(4, Number(program?.id ?? 0), true)
  return { value: kept, object: program }
}

const checkDevmap = ({ flags, keySize, maxEntries, valueSize }: MapAttributes): number =>
  maxEntries === 0 || keySize !== 4 || (valueSize !== 4 && valueSize !== 8) || (flags & ~FLAGS) !== 0
    ? -errno.EINVAL
    : 0

/** An entry for a device, or `-errno`. */
const deviceEntry = (host: MapHost, value: Uint8Array): Entry | number =>
  host.hasDevice(viewOf(value).getUint32(0, true))
    ? entryOf(host, value, bpf_attach_type.BPF_XDP_DEVMAP) ?? -errno.EINVAL
    : -errno.EINVAL

/** Programs may only read what they find: the interface and its program. */
const readOnly = (attributes: MapAttributes): MapAttributes => ({
  ...attributes,
  flags: attributes.flags | BPF_F_RDONLY_PROG
})

/** What an array of slots does with keys, whatever is in them. */
const indexedSlots = (slots: Slots, maxEntries: number, { update }: Pick<ElementMap, "update">): ElementMap => ({
  find: (key) => slots.find(indexOf(key)),
  update,
  delete: (key) => {
    if (indexOf(key) >= maxEntries) return -errno.EINVAL
    slots.remove(indexOf(key))
    return 0
  },
  next: nextIndex(maxEntries)
})

export const devmap: Family = {
  check: checkDevmap,
  make: (host, given) => {
    if (given.maxEntries * 8 > MOST_MEMORY) return -errno.ENOMEM
    const attributes = readOnly(given)
    const slots = new Slots(host, attributes)
    const elements = indexedSlots(slots, attributes.maxEntries, {
      update: (key, value, flags) => {
        const index = indexOf(key)
        if (flags > BPF_EXIST) return -errno.EINVAL
        if (index >= attributes.maxEntries) return -errno.E2BIG
        if (flags === BPF_NOEXIST) return -errno.EEXIST
        if (viewOf(value).getUint32(0, true) === 0) {
          if (value.length >= 8 && viewOf(value).getInt32(4, true) > 0) return -errno.EINVAL
          slots.remove(index)
          return 0
        }
        const entry = deviceEntry(host, value)
        if (typeof entry === "number") return entry
        slots.set(index, entry.value, entry.object)
        return 0
      }
    })
    return {
      elements,
      calls: plainCalls(host.memory, elements, attributes),
      changed: { flags: attributes.flags },
      free: () => slots.free()
    }
  }
}

export const devmapHash: Family = {
  check: checkDevmap,
  make: (host, given) => {
    if (given.maxEntries > 2 ** 31) return -errno.EINVAL
    if (given.maxEntries * 8 > MOST_MEMORY) return -errno.ENOMEM
    const attributes = readOnly(given)
    const table = new Table(attributes.maxEntries)
    let lastSlot = 0
    const slots = new Slots(host, attributes)
    const elements: ElementMap = {
      find: (key) => {
        const slot = table.slotOf(key)
        return slot === undefined ? undefined : slots.find(slot)
      },
      update: (key, value, flags) => {
        if (flags > BPF_EXIST || viewOf(value).getUint32(0, true) === 0) return -errno.EINVAL
        const old = table.slotOf(key)
        if (old !== undefined && flags === BPF_NOEXIST) return -errno.EEXIST
        const entry = deviceEntry(host, value)
        if (typeof entry === "number") return entry
        if (old === undefined && table.size >= attributes.maxEntries) return -errno.E2BIG
        const slot = old ?? ++lastSlot
        if (old === undefined) table.add(key, slot)
        slots.set(slot, entry.value, entry.object)
        return 0
      },
      delete: (key) => {
        const slot = table.slotOf(key)
        if (slot === undefined) return -errno.ENOENT
        table.remove(slot)
        slots.remove(slot)
        return 0
      },
      next: (key) => table.next(key)
    }
    return {
      elements,
      calls: plainCalls(host.memory, elements, attributes),
      changed: { flags: attributes.flags },
      free: () => slots.free()
    }
  }
}

export const cpumap: Family = {
  check: ({ flags, keySize, maxEntries, valueSize }) => {
    if (maxEntries === 0 || keySize !== 4 || (valueSize !== 4 && valueSize !== 8)) return -errno.EINVAL
    return (flags & ~BPF_F_NUMA_NODE) !== 0 ? -errno.EINVAL : 0
  },
  make: (host, attributes) => {
    if (attributes.maxEntries > MOST_CPUS) return -errno.E2BIG
    const slots = new Slots(host, attributes)
    const elements = indexedSlots(slots, attributes.maxEntries, {
      update: (key, value, flags) => {
        const cpu = indexOf(key)
        if (flags > BPF_EXIST) return -errno.EINVAL
        if (cpu >= attributes.maxEntries) return -errno.E2BIG
        if (flags === BPF_NOEXIST) return -errno.EEXIST
        const queue = viewOf(value).getUint32(0, true)
        if (queue > MOST_QUEUE) return -errno.EOVERFLOW
        if (cpu >= host.possibleCpus) return -errno.ENODEV
        if (queue === 0) {
          slots.remove(cpu)
          return 0
        }
        const entry = entryOf(host, value, bpf_attach_type.BPF_XDP_CPUMAP)
        if (entry === undefined) return -errno.ENOMEM // whatever is wrong: __cpu_map_entry_alloc() gives NULL
        slots.set(cpu, entry.value, entry.object)
        return 0
      }
    })
    return { elements, calls: plainCalls(host.memory, elements, attributes), free: () => slots.free() }
  }
}

export const xskmap: Family = {
  check: ({ flags, keySize, maxEntries, valueSize }) =>
    maxEntries === 0 || keySize !== 4 || valueSize !== 4 || (flags & ~FLAGS) !== 0 ? -errno.EINVAL : 0,
  make: (host, attributes) => {
    if (attributes.maxEntries * 8 > MOST_MEMORY) return -errno.ENOMEM
    const slots = new Slots(host, attributes)
    const elements = indexedSlots(slots, attributes.maxEntries, {
      update: (key, value, flags) => {
        const index = indexOf(key)
        if (flags > BPF_EXIST) return -errno.EINVAL
        if (index >= attributes.maxEntries) return -errno.E2BIG
        const socket = host.descriptors.any(viewOf(value).getInt32(0, true))
        if (socket === undefined) return -errno.EBADF
        if (socket._tag !== "Socket") return -errno.ENOTSOCK
        if ((socket as Lifetime & { readonly kind: string }).kind !== "xdp") return -errno.EOPNOTSUPP
        const refused = checkPresence(slots.has(index), flags)
        if (refused < 0) return refused
        slots.set(index, value, socket)
        return 0
      }
    })
    return {
      elements,
      calls: {
        valueBytes: attributes.valueSize,
        lookup: () => -errno.EOPNOTSUPP,
        update: (key, value, flags) => elements.update(key, value, flags),
        delete: elements.delete,
        next: nextOf(elements)
      },
      referent: (key) => slots.object(indexOf(key)),
      free: () => slots.free()
    }
  }
}
