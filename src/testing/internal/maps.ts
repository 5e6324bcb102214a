// Hash and array maps of the simulated kernel. Answers are those of kernel/bpf/hashtab.c and arraymap.c.
import { bpf_map_update_flags } from "../../abi/generated/enums.ts"
import { errno } from "../../abi/errno.ts"
import type { MapType } from "../../abi/names.ts"
import { addressOf, type AddressSpace, type Region, viewOf } from "./memory.ts"
import type { SimulatedRingBuffer } from "./ringBuffer.ts"

/** What the system calls and helpers see of a map: keys are bytes, values are addresses. Errors are `-errno`. */
export interface ElementMap {
  /** The address of a key's value, or `undefined`. */
  readonly find: (key: Uint8Array) => bigint | undefined
  readonly update: (key: Uint8Array, value: Uint8Array, flags: number) => number
  readonly delete: (key: Uint8Array) => number
  /** The key after `key`, or the first. */
  readonly next: (key: Uint8Array | undefined) => Uint8Array | undefined
}

/** What a map was created with. */
export interface MapAttributes {
  readonly type: MapType
  readonly name: string
  readonly keySize: number
  readonly valueSize: number
  readonly maxEntries: number
  readonly flags: number
}

/** A map object of the simulated kernel. */
export interface SimulatedMap {
  readonly _tag: "Map"
  readonly id: number
  readonly attributes: MapAttributes
  /** How programs name it: no memory is there. */
  readonly pointer: Region
  readonly elements: ElementMap | undefined
  readonly ring: SimulatedRingBuffer | undefined
}

const { BPF_EXIST, BPF_F_LOCK, BPF_NOEXIST } = bpf_map_update_flags

/** Values begin at multiples of 8, as in the kernel. */
const strideOf = (valueSize: number): number => Math.ceil(valueSize / 8) * 8

export const makeArray = (memory: AddressSpace, attributes: MapAttributes): ElementMap => {
  const stride = strideOf(attributes.valueSize)
  const region = memory.map(new Uint8Array(stride * attributes.maxEntries), {
    elements: { stride, size: attributes.valueSize }
  })
  const indexOf = (key: Uint8Array): number => viewOf(key).getUint32(0, true)
  return {
    find: (key) => {
      const index = indexOf(key)
      return index < attributes.maxEntries ? addressOf(region, index * stride) : undefined
    },
    update: (key, value, flags) => {
      const index = indexOf(key)
      if ((flags & ~BPF_F_LOCK) > BPF_EXIST) return -errno.EINVAL
      if (index >= attributes.maxEntries) return -errno.E2BIG
      if ((flags & BPF_NOEXIST) !== 0) return -errno.EEXIST // all elements are there from the start
      region.bytes.set(value, index * stride)
      return 0
    },
    delete: () => -errno.EINVAL,
    next: (key) => {
      const index = key === undefined ? 0 : indexOf(key) + 1
      const at = index > attributes.maxEntries ? 0 : index
      if (at === attributes.maxEntries) return undefined
      const next = new Uint8Array(4)
      viewOf(next).setUint32(0, at, true)
      return next
    }
  }
}

/** Keys as strings of one character per byte: a `Map` cannot look up arrays by content. */
const keyText = (key: Uint8Array): string => Buffer.from(key).toString("latin1")
const keyBytes = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, "latin1"))

export const makeHash = (memory: AddressSpace, attributes: MapAttributes): ElementMap => {
  const stride = strideOf(attributes.valueSize)
  const region = memory.map(new Uint8Array(stride * Math.min(attributes.maxEntries, 64)), {
    elements: { stride, size: attributes.valueSize }
  })
  const slots = new Map<string, number>()
  const free: Array<number> = []
  const newSlot = (): number => {
    const reused = free.pop()
    if (reused !== undefined) return reused
    const slot = slots.size
    if ((slot + 1) * stride > region.bytes.length) {
      const grown = new Uint8Array(region.bytes.length * 2)
      grown.set(region.bytes)
      region.bytes = grown
      region.view = viewOf(grown)
    }
    return slot
  }
  return {
    find: (key) => {
      const slot = slots.get(keyText(key))
      return slot === undefined ? undefined : addressOf(region, slot * stride)
    },
    update: (key, value, flags) => {
      if ((flags & ~BPF_F_LOCK) > BPF_EXIST) return -errno.EINVAL
      const text = keyText(key)
      const present = slots.get(text)
      if (present !== undefined && (flags & BPF_NOEXIST) !== 0) return -errno.EEXIST
      if (present === undefined && (flags & BPF_EXIST) !== 0) return -errno.ENOENT
      if (present === undefined && slots.size >= attributes.maxEntries) return -errno.E2BIG
      const slot = present ?? newSlot()
      slots.set(text, slot)
      region.bytes.set(value, slot * stride)
      return 0
    },
    delete: (key) => {
      const text = keyText(key)
      const slot = slots.get(text)
      if (slot === undefined) return -errno.ENOENT
      slots.delete(text)
      free.push(slot)
      return 0
    },
    next: (key) => {
      const keys = [...slots.keys()]
      // An unknown key starts over, as in the kernel.
      const index = key === undefined ? 0 : keys.indexOf(keyText(key)) + 1
      const next = keys[index]
      return next === undefined ? undefined : keyBytes(next)
    }
  }
}
