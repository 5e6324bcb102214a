// The system calls' side of maps whose values are plain bytes, and of those that take no such calls.
import { errno } from "../../../abi/errno.ts"
import type { ElementMap, MapAttributes, SystemCallMap } from "../maps.ts"
import type { AddressSpace } from "../memory.ts"
import { shownValue } from "./values.ts"

/** Calls on a map that has no elements for them: all the same error. */
export const refusing = (error: number): SystemCallMap => ({
  valueBytes: 0,
  lookup: () => -error,
  update: () => -error,
  delete: () => -error,
  next: () => -error
})

/** `next` as a system call has it. */
export const nextOf = ({ next }: Pick<ElementMap, "next">): SystemCallMap["next"] => (key) => next(key) ?? -errno.ENOENT

/** Calls that do what the helpers do. */
export const plainCalls = (memory: AddressSpace, elements: ElementMap, attributes: MapAttributes): SystemCallMap => ({
  valueBytes: attributes.valueSize,
  lookup: (key) => {
    const found = elements.find(key)
    return found === undefined ? -errno.ENOENT : shownValue(memory.read(found, attributes.valueSize), attributes.hidden)
  },
  update: (key, value, flags) => elements.update(key, value, flags),
  delete: elements.delete,
  next: nextOf(elements)
})

/** The key of an array: its index. */
export const indexOf = (key: Uint8Array): number => (key[0]! | key[1]! << 8 | key[2]! << 16 | key[3]! << 24) >>> 0

/** The index as a key. */
export const indexKey = (index: number): Uint8Array => Uint8Array.of(index, index >>> 8, index >>> 16, index >>> 24)

/** The walk through an array: all indices in order; one that is too large starts over. */
export const nextIndex = (maxEntries: number): ElementMap["next"] => (key) => {
  const index = key === undefined ? maxEntries : indexOf(key)
  if (index >= maxEntries) return indexKey(0)
  return index === maxEntries - 1 ? undefined : indexKey(index + 1)
}
