// sk_storage, task_storage, inode_storage and cgrp_storage, after kernel/bpf/bpf_local_storage.c: values that belong to
// other objects. System calls name the owner by a descriptor.
import { errno } from "../../../abi/errno.ts"
import type { Family, LocalStorage, MapHost } from "../maps.ts"
import type { Lifetime } from "../objects.ts"
import { indexOf } from "./calls.ts"
import { BPF_F_CLONE, BPF_F_NO_PREALLOC, MOST_STORAGE } from "./flags.ts"
import { checkPresence } from "./hash.ts"
import { copyValue, isBadUpdate, shownValue, Values } from "./values.ts"

/** The owner behind a descriptor; the error number where there is none. */
interface Owner {
  readonly error: number
  readonly owner?: unknown
}
type OwnerOf = (object: Lifetime | undefined) => Owner

/** Processes and cgroups are the same by their ids, whatever descriptor it is; sockets and files are themselves. */
const owners = {
  socket: (object) => ({
    owner: object,
    error: object === undefined ? errno.EBADF : object._tag === "Socket" ? 0 : errno.ENOTSOCK
  }),
  task: (object) => {
    const { pid } = (object ?? {}) as { readonly pid?: number }
    return { owner: pid, error: object?._tag === "Process" ? 0 : errno.EBADF }
  },
  inode: (object) => ({ owner: object, error: object === undefined ? errno.EBADF : 0 }),
  cgroup: (object) => ({ owner: object?.id, error: object?._tag === "Cgroup" ? 0 : errno.EBADF })
} satisfies { readonly [kind: string]: OwnerOf }

const family = (ownerOf: OwnerOf): Family => ({
  check: ({ btfKeyType, btfValueType, flags, keySize, maxEntries, valueSize }) => {
    if ((flags & ~(BPF_F_NO_PREALLOC | BPF_F_CLONE)) !== 0 || (flags & BPF_F_NO_PREALLOC) === 0) return -errno.EINVAL
    if (maxEntries !== 0 || keySize !== 4 || valueSize === 0) return -errno.EINVAL
    if (btfKeyType === 0 || btfValueType === 0) return -errno.EINVAL
    return valueSize > MOST_STORAGE ? -errno.E2BIG : 0
  },
  make: (host: MapHost, attributes) => {
    const { hidden, valueSize } = attributes
    // Without a number of entries to go by, memory is taken value by value.
    const values = new Values(host.memory, attributes)
    const slots = new Map<unknown, number>()
    const storage: LocalStorage = {
      find: (owner) => {
        const slot = slots.get(owner)
        return slot === undefined ? undefined : values.address(slot)
      },
      update: (owner, value, flags) => {
        if (isBadUpdate(flags, attributes)) return -errno.EINVAL
        const old = slots.get(owner)
        const refused = checkPresence(old !== undefined, flags)
        if (refused < 0) return refused
        const slot = old ?? values.take()
        const bytes = values.bytes(slot)
        if (old === undefined) bytes.fill(0)
        copyValue(bytes, value, hidden)
        slots.set(owner, slot)
        return 0
      },
      delete: (owner) => {
        const slot = slots.get(owner)
        if (slot === undefined) return -errno.ENOENT
        slots.delete(owner)
        values.give(slot)
        return 0
      }
    }
    const withOwner = <A>(key: Uint8Array, use: (owner: unknown) => A): A | number => {
      const { error, owner } = ownerOf(host.descriptors.any(indexOf(key)))
      return error === 0 ? use(owner) : -error
    }
    return {
      storage,
      calls: {
        valueBytes: valueSize,
        lookup: (key) =>
          withOwner(key, (owner) => {
            const slot = slots.get(owner)
            return slot === undefined ? -errno.ENOENT : shownValue(values.bytes(slot).subarray(0, valueSize), hidden)
          }),
        update: (key, value, flags) => withOwner(key, (owner) => storage.update(owner, value, flags)),
        delete: (key) => withOwner(key, storage.delete),
        next: () => -errno.ENOTSUPP
      },
      free: () => values.free()
    }
  }
})

export const skStorage: Family = family(owners.socket)
export const taskStorage: Family = family(owners.task)
export const inodeStorage: Family = family(owners.inode)
export const cgrpStorage: Family = family(owners.cgroup)
