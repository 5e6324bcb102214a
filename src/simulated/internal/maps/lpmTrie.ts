// lpm_trie, after kernel/bpf/lpm_trie.c: keys are prefixes, and a look-up finds the longest that fits.
import { errno } from "../../../abi/errno.ts"
import type { ElementMap, Family, MapAttributes, MapHost } from "../maps.ts"
import { viewOf } from "../memory.ts"
import { byteOf, placeFromTop } from "./bits.ts"
import { plainCalls } from "./calls.ts"
import { ACCESS_FLAGS, areFlagsOf, BPF_F_NO_PREALLOC, BPF_F_NUMA_NODE, MOST_KMALLOC } from "./flags.ts"
import { checkPresence } from "./hash.ts"
import { copyValue, isBadUpdate, keyText, Values } from "./values.ts"

/** `prefixlen`, before the bits. */
const HEADER = 4
/** LPM_DATA_SIZE_MAX */
const MOST_BITS_BYTES = 256
/** sizeof(struct lpm_trie_node), by which values must be smaller than what is allocated at once. */
const NODE_SIZE = 24

/** A prefix that was put in, its bits beyond the prefix as they were given. */
interface Node {
  readonly length: number
  readonly key: Uint8Array
  readonly slot: number
}

const lengthOf = (key: Uint8Array): number => viewOf(key).getUint32(0, true)

const bitAt = (key: Uint8Array, bit: number): number => key[HEADER + byteOf(bit)]! >>> placeFromTop(bit) & 1

/** The first bit in which two keys differ, or `most`. */
const firstDifference = (a: Uint8Array, b: Uint8Array, most: number): number => {
  for (let byte = 0; byte * 8 < most; byte++) {
    const difference = a[HEADER + byte]! ^ b[HEADER + byte]!
    if (difference !== 0) return Math.min(most, byte * 8 + Math.clz32(difference) - 24)
  }
  return most
}

/** The order in which the kernel walks: lower bits first, and what is in a prefix before the prefix itself. */
const compare = (a: Uint8Array, b: Uint8Array): number => {
  const shorter = Math.min(lengthOf(a), lengthOf(b))
  const bit = firstDifference(a, b, shorter)
  return bit < shorter ? bitAt(a, bit) - bitAt(b, bit) : lengthOf(b) - lengthOf(a)
}

class Trie implements ElementMap {
  readonly values: Values
  private readonly attributes: MapAttributes
  private readonly mostBits: number
  /** In the order of the walk. */
  private readonly nodes: Array<Node> = []
  /** By length and bits. */
  private readonly byPrefix = new Map<string, Node>()
  /** How many prefixes there are of each length. */
  private readonly lengths: Uint32Array

  constructor({ memory }: MapHost, attributes: MapAttributes) {
    this.attributes = attributes
    this.mostBits = (attributes.keySize - HEADER) * 8
    this.lengths = new Uint32Array(this.mostBits + 1)
    this.values = new Values(memory, attributes)
  }

  readonly find = (key: Uint8Array): bigint | undefined => {
    const given = lengthOf(key)
    if (given > this.mostBits) return undefined
    for (let length = given; length >= 0; length--) {
      const node = this.lengths[length] === 0 ? undefined : this.byPrefix.get(this.prefixText(key, length))
      if (node !== undefined) return this.values.address(node.slot)
    }
    return undefined
  }

  readonly update = (key: Uint8Array, value: Uint8Array, flags: number): number => {
    const length = lengthOf(key)
    if (flags > 2 || isBadUpdate(flags, this.attributes) || length > this.mostBits) return -errno.EINVAL
    const text = this.prefixText(key, length)
    const old = this.byPrefix.get(text)
    const error = checkPresence(old !== undefined, flags)
    if (error < 0) return error
    if (old === undefined && this.nodes.length >= this.attributes.maxEntries) return -errno.ENOSPC
    const node = { length, key: key.slice(), slot: this.values.take() }
    copyValue(this.values.bytes(node.slot), value, this.attributes.hidden)
    const at = this.placeOf(key)
    if (old === undefined) this.lengths[length]!++
    else this.values.give(old.slot)
    this.nodes.splice(at, old === undefined ? 0 : 1, node)
    this.byPrefix.set(text, node)
    return 0
  }

  readonly delete = (key: Uint8Array): number => {
    const length = lengthOf(key)
    if (length > this.mostBits) return -errno.EINVAL
    const text = this.prefixText(key, length)
    const node = this.byPrefix.get(text)
    if (node === undefined) return -errno.ENOENT
    this.nodes.splice(this.placeOf(key), 1)
    this.byPrefix.delete(text)
    this.lengths[length]!--
    this.values.give(node.slot)
    return 0
  }

  readonly next = (key: Uint8Array | undefined): Uint8Array | undefined => {
    const known = key !== undefined && lengthOf(key) <= this.mostBits &&
      this.byPrefix.has(this.prefixText(key, lengthOf(key)))
    return this.nodes[known ? this.placeOf(key) + 1 : 0]?.key.slice()
  }

  /** Where a prefix is among the nodes, or would be. */
  private placeOf(key: Uint8Array): number {
    let low = 0
    let high = this.nodes.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (compare(this.nodes[middle]!.key, key) < 0) low = middle + 1
      else high = middle
    }
    return low
  }

  private prefixText(key: Uint8Array, length: number): string {
    const bits = key.slice(HEADER, HEADER + Math.ceil(length / 8))
    if (length % 8 !== 0) bits[bits.length - 1]! &= 0xff << (8 - length % 8)
    return `${length} ${keyText(bits)}`
  }
}

export const lpmTrie: Family = {
  check: ({ flags, keySize, maxEntries, valueSize }) => {
    if (maxEntries === 0 || (flags & BPF_F_NO_PREALLOC) === 0) return -errno.EINVAL
    if (!areFlagsOf(flags, BPF_F_NO_PREALLOC | BPF_F_NUMA_NODE | ACCESS_FLAGS)) return -errno.EINVAL
    if (keySize <= HEADER || keySize > HEADER + MOST_BITS_BYTES) return -errno.EINVAL
    return valueSize < 1 || valueSize > MOST_KMALLOC - MOST_BITS_BYTES - NODE_SIZE ? -errno.EINVAL : 0
  },
  make: (host, attributes) => {
    const trie = new Trie(host, attributes)
    return {
      elements: trie,
      calls: { ...plainCalls(host.memory, trie, attributes), batches: { lookup: "keys", update: true, delete: true } },
      free: () => trie.values.free()
    }
  }
}
