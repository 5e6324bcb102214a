// A hash table as system calls walk it: bucket after bucket, and in a bucket the newest first. Finding a key costs one
// look-up, and so does the step to the next.
import { powerOfTwo } from "./flags.ts"
import { keyText } from "./values.ts"

/** FNV-1a. The kernel's is another (jhash with a random seed): nobody can rely on the order of buckets. */
const hashOf = (key: Uint8Array): number => {
  let hash = 0x811c9dc5
  for (const byte of key) hash = Math.imul(hash ^ byte, 0x01000193)
  return (hash ^ hash >>> 15) >>> 0
}

const PAGE = 1024
const NONE = -1

/** The first slots of some buckets. */
interface Page {
  readonly heads: Int32Array
  count: number
}

interface Entry {
  readonly key: Uint8Array
  readonly text: string
  readonly bucket: number
  previous: number
  next: number
}

/** Keys in buckets, each with the slot that its owner gave it. */
export class Table {
  readonly bucketCount: number
  private readonly slots = new Map<string, number>()
  private readonly entries = new Map<number, Entry>()
  /** Pages without an entry may be missing: large tables are mostly empty. */
  private readonly pages: Array<Page | undefined>

  constructor(maxEntries: number) {
    this.bucketCount = powerOfTwo(maxEntries)
    this.pages = Array.from({ length: Math.ceil(this.bucketCount / PAGE) }, () => undefined)
  }

  get size(): number {
    return this.slots.size
  }

  slotOf(key: Uint8Array): number | undefined {
    return this.slots.get(keyText(key))
  }

  keyAt(slot: number): Uint8Array {
    return this.entries.get(slot)!.key
  }

  /** Adds a key that is not there. */
  add(key: Uint8Array, slot: number): void {
    const text = keyText(key)
    const bucket = hashOf(key) & (this.bucketCount - 1)
    const page = this.pages[Math.floor(bucket / PAGE)] ??= { heads: new Int32Array(PAGE).fill(NONE), count: 0 }
    const next = page.heads[bucket % PAGE]!
    if (next !== NONE) this.entries.get(next)!.previous = slot
    page.heads[bucket % PAGE] = slot
    page.count++
    this.slots.set(text, slot)
    this.entries.set(slot, { key: key.slice(), text, bucket, previous: NONE, next })
  }

  /** Takes out the key with a slot. */
  remove(slot: number): void {
    const { bucket, next, previous, text } = this.entries.get(slot)!
    const page = this.pages[Math.floor(bucket / PAGE)]!
    if (previous === NONE) page.heads[bucket % PAGE] = next
    else this.entries.get(previous)!.next = next
    if (next !== NONE) this.entries.get(next)!.previous = previous
    page.count--
    this.slots.delete(text)
    this.entries.delete(slot)
  }

  /** The key after another; the first one, if there is no such key. */
  next(key: Uint8Array | undefined): Uint8Array | undefined {
    const slot = key === undefined ? undefined : this.slotOf(key)
    const entry = slot === undefined ? undefined : this.entries.get(slot)!
    const next = entry === undefined
      ? this.firstFrom(0)
      : entry.next !== NONE
      ? entry.next
      : this.firstFrom(entry.bucket + 1)
    return next === NONE ? undefined : this.entries.get(next)!.key.slice()
  }

  /** The slots in a bucket. */
  bucket(index: number): ReadonlyArray<number> {
    const slots: Array<number> = []
    let slot = this.pages[Math.floor(index / PAGE)]?.heads[index % PAGE] ?? NONE
    while (slot !== NONE) {
      slots.push(slot)
      slot = this.entries.get(slot)!.next
    }
    return slots
  }

  private firstFrom(start: number): number {
    for (let bucket = start; bucket < this.bucketCount; bucket++) {
      const page = this.pages[Math.floor(bucket / PAGE)]
      if (page === undefined || page.count === 0) bucket += PAGE - 1 - bucket % PAGE
      else if (page.heads[bucket % PAGE] !== NONE) return page.heads[bucket % PAGE]!
    }
    return NONE
  }
}
