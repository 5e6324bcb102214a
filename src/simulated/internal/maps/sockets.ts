// Maps of sockets: sockmap, sockhash and reuseport_sockarray, after net/core/sock_map.c and
// kernel/bpf/reuseport_array.c. A descriptor goes in; what comes out is the socket's cookie, if values have 8 bytes.
import { errno } from "../../../abi/errno.ts"
import { bpf_map_update_flags } from "../../../abi/generated/enums.ts"
import type { ElementMap, Family, MapAttributes, MapHost, MapParts } from "../maps.ts"
import { viewOf } from "../memory.ts"
import type { Lifetime } from "../objects.ts"
import { checkArray } from "./array.ts"
import { indexOf, nextIndex, nextOf } from "./calls.ts"
import { BPF_F_NUMA_NODE, FILE_FLAGS } from "./flags.ts"
import { checkPresence } from "./hash.ts"
import { Slots } from "./slots.ts"
import { Table } from "./table.ts"
import { MOST_MEMORY } from "./values.ts"

const { BPF_EXIST } = bpf_map_update_flags
const FLAGS = BPF_F_NUMA_NODE | FILE_FLAGS
const COOKIE_SIZE = 8
const INT_MAX = 2n ** 31n - 1n
/** MAX_BPF_STACK: programs build keys on their stacks. */
const MOST_KEY = 512
/** What keeps the size of the buckets (16 bytes each, in a power of two) below 2^32. */
const MOST_SOCKHASH = 2 ** 27

interface Socket extends Lifetime {
  readonly kind: string
  readonly cookie: bigint
}

/** The descriptor in a value, or `-errno`. */
const descriptorOf = (value: Uint8Array): number => {
  if (value.length !== COOKIE_SIZE) return viewOf(value).getUint32(0, true)
  const fd = viewOf(value).getBigUint64(0, true)
  return fd > INT_MAX ? -errno.EINVAL : Number(fd)
}

const socketOf = (host: MapHost, value: Uint8Array): Socket | number => {
  const fd = descriptorOf(value)
  if (fd < 0 || fd > Number(INT_MAX)) return -errno.EINVAL
  const object = host.descriptors.any(fd)
  if (object === undefined) return -errno.EBADF
  return object._tag === "Socket" ? object as Socket : -errno.ENOTSOCK
}

/** The socket of a value for a reuseport_sockarray, where descriptors of 32 bits have a sign. */
const signed = (host: MapHost, value: Uint8Array): Socket | number =>
  value.length !== COOKIE_SIZE && viewOf(value).getInt32(0, true) < 0 ? -errno.EBADF : socketOf(host, value)

/** The socket of a value that may be in a sockmap. */
const connected = (host: MapHost, value: Uint8Array): Socket | number => {
  const socket = socketOf(host, value)
  return typeof socket !== "number" && socket.kind === "xdp" ? -errno.EOPNOTSUPP : socket
}

const cookieValue = (socket: Socket): Uint8Array => {
  const value = new Uint8Array(COOKIE_SIZE)
  viewOf(value).setBigUint64(0, socket.cookie, true)
  return value
}

const isValueSize = (size: number): boolean => size === 4 || size === COOKIE_SIZE

/** How keys are numbered, and what a kind answers where they differ. */
interface Places {
  /** The number of a key, or `-errno` for one that there cannot be. */
  readonly find: (key: Uint8Array) => number
  readonly add?: (key: Uint8Array) => number
  readonly remove?: (place: number) => void
  readonly next: ElementMap["next"]
  readonly missing: number
  readonly take: (host: MapHost, value: Uint8Array) => Socket | number
}

const parts = (host: MapHost, attributes: MapAttributes, places: Places): MapParts => {
  const slots = new Slots(host, attributes)
  const socketAt = (key: Uint8Array) => slots.object(places.find(key)) as Socket | undefined
  const elements: ElementMap = {
    find: (key) => slots.find(places.find(key)),
    update: () => -errno.EINVAL, // programs have a helper of their own, and give sockets
    delete: (key) => {
      const place = places.find(key)
      if (place < 0 && place !== -errno.ENOENT) return place
      if (!slots.remove(place)) return -places.missing
      places.remove?.(place)
      return 0
    },
    next: places.next
  }
  return {
    elements,
    calls: {
      valueBytes: attributes.valueSize,
      lookup: (key) => {
        if (attributes.valueSize !== COOKIE_SIZE) return -errno.ENOSPC
        const socket = socketAt(key)
        return socket === undefined ? -errno.ENOENT : cookieValue(socket)
      },
      update: (key, value, flags) => {
        const socket = places.take(host, value)
        if (typeof socket === "number") return socket
        if (flags > BPF_EXIST) return -errno.EINVAL
        let place = places.find(key)
        if (place < 0 && place !== -errno.ENOENT) return -errno.E2BIG
        const refused = checkPresence(slots.has(place), flags)
        if (refused < 0) return refused
        if (place < 0) place = places.add!(key)
        if (place < 0) return place
        slots.set(place, value, socket)
        return 0
      },
      delete: elements.delete,
      next: nextOf(elements)
    },
    referent: socketAt,
    free: () => slots.free()
  }
}

const indices = (maxEntries: number, beyond: number): Pick<Places, "find" | "next"> => ({
  find: (key) => indexOf(key) < maxEntries ? indexOf(key) : -beyond,
  next: nextIndex(maxEntries)
})

export const sockmap: Family = {
  check: ({ flags, keySize, maxEntries, valueSize }) =>
    maxEntries === 0 || keySize !== 4 || !isValueSize(valueSize) || (flags & ~FLAGS) !== 0 ? -errno.EINVAL : 0,
  make: (host, attributes) => {
    if (attributes.maxEntries * 8 > MOST_MEMORY) return -errno.ENOMEM
    return parts(host, attributes, {
      ...indices(attributes.maxEntries, errno.EINVAL),
      missing: errno.EINVAL,
      take: connected
    })
  }
}

export const sockhash: Family = {
  check: ({ flags, keySize, maxEntries, valueSize }) => {
    return maxEntries === 0 || keySize === 0 || !isValueSize(valueSize) || (flags & ~FLAGS) !== 0 ? -errno.EINVAL : 0
  },
  make: (host, attributes) => {
    if (attributes.keySize > MOST_KEY) return -errno.E2BIG
    if (attributes.maxEntries > MOST_SOCKHASH) return -errno.EINVAL
    if (attributes.maxEntries * 8 > MOST_MEMORY) return -errno.ENOMEM
    const table = new Table(attributes.maxEntries)
    let last = 0
    return parts(host, attributes, {
      find: (key) => table.slotOf(key) ?? -errno.ENOENT,
      add: (key) => {
        if (table.size >= attributes.maxEntries) return -errno.E2BIG
        table.add(key, ++last)
        return last
      },
      remove: (place) => table.remove(place),
      next: (key) => table.next(key),
      missing: errno.ENOENT,
      take: connected
    })
  }
}

export const reuseportSockarray: Family = {
  check: (attributes) => isValueSize(attributes.valueSize) ? checkArray(attributes) : -errno.EINVAL,
  make: (host, attributes) => {
    if (attributes.maxEntries * 8 > MOST_MEMORY) return -errno.ENOMEM
    const made = parts(host, attributes, {
      ...indices(attributes.maxEntries, errno.E2BIG),
      missing: errno.ENOENT,
      take: signed
    })
    const { update } = made.calls
    return {
      ...made,
      calls: {
        ...made.calls,
        // Here the flags and the index are looked at before the descriptor.
        update: (key, value, flags, file) => {
          if (flags > BPF_EXIST) return -errno.EINVAL
          return indexOf(key) >= attributes.maxEntries ? -errno.E2BIG : update(key, value, flags, file)
        }
      }
    }
  }
}
