// hash_of_maps, after kernel/bpf/hashtab.c: a descriptor goes in, an id comes out, and programs find the inner map.
import { errno } from "../../../abi/errno.ts"
import type { ElementMap, Family, SimulatedMap } from "../maps.ts"
import { addressOf } from "../memory.ts"
import { nextOf } from "./calls.ts"
import { checkHash, checkPresence, checkSize } from "./hash.ts"
import { innerMapOf } from "./inner.ts"
import { idValue, numberOf, VALUE_SIZE } from "./objectArray.ts"
import { Table } from "./table.ts"
import { isBadUpdate } from "./values.ts"

export const hashOfMaps: Family = {
  check: (attributes) => attributes.valueSize === VALUE_SIZE ? checkHash(attributes) : -errno.EINVAL,
  make: (host, attributes) => {
    const error = checkSize(attributes, VALUE_SIZE)
    if (error < 0) return error
    const table = new Table(attributes.maxEntries)
    const maps = new Map<number, SimulatedMap>()
    let lastSlot = 0
    const at = (key: Uint8Array) => {
      const slot = table.slotOf(key)
      return slot === undefined ? undefined : { slot, map: maps.get(slot)! }
    }
    const remove = (slot: number): void => {
      table.remove(slot)
      host.objects.release(maps.get(slot)!)
      maps.delete(slot)
    }
    const elements: ElementMap = {
      find: (key) => {
        const found = at(key)
        return found === undefined ? undefined : addressOf(found.map.pointer)
      },
      update: () => -errno.EINVAL, // programs may not
      delete: (key) => {
        const found = at(key)
        if (found === undefined) return -errno.ENOENT
        remove(found.slot)
        return 0
      },
      next: (key) => table.next(key)
    }
    const store = (key: Uint8Array, map: SimulatedMap, flags: number): number => {
      const old = at(key)
      if (isBadUpdate(flags, attributes)) return -errno.EINVAL
      const refused = checkPresence(old !== undefined, flags)
      if (refused < 0) return refused
      if (old === undefined && table.size >= attributes.maxEntries) return -errno.E2BIG
      host.objects.retain(map) // before the old one goes: it may be the same
      if (old !== undefined) remove(old.slot)
      table.add(key, ++lastSlot)
      maps.set(lastSlot, map)
      return 0
    }
    return {
      elements,
      calls: {
        valueBytes: VALUE_SIZE,
        lookup: (key) => {
          const found = at(key)
          return found === undefined ? -errno.ENOENT : idValue(found.map.id)
        },
        update: (key, value, flags) => {
          const map = innerMapOf(host, attributes.inner, numberOf(value))
          return typeof map === "number" ? map : store(key, map, flags)
        },
        delete: elements.delete,
        next: nextOf(elements),
        batches: {
          lookup: "buckets",
          bucketCount: table.bucketCount,
          bucket: (index) =>
            table.bucket(index).map((slot) => ({ key: table.keyAt(slot), value: idValue(maps.get(slot)!.id) })),
          lookupAndDelete: true,
          update: true,
          delete: true
        }
      },
      referent: (key) => at(key)?.map,
      free: () => [...maps.keys()].forEach(remove)
    }
  }
}
