// Parsed BTF as it is kept: its bytes, and where each record begins. Types are read from there when they are asked for.
import type { BtfType } from "../BtfType.ts"
import { tags } from "../BtfType.ts"
import { infoKind, isData, recordWords } from "./format.ts"
import { type Strings, want, type Wanted } from "./strings.ts"

export const TypeId = "~effect-ebpf/Btf"

/**
 * Parsed BTF. Ids run from `firstId` to `lastId`; smaller ids belong to the base that it was parsed with. 0 is `void`.
 * What it holds is asked for by the functions of this module.
 */
export interface Btf {
  readonly [TypeId]: typeof TypeId
  readonly firstId: number
  readonly lastId: number
  /** @internal the size of the strings of this BTF and its bases: where the strings of a split BTF begin */
  readonly stringsEnd: number
  /** @internal the text at an offset in its strings or its bases' */
  readonly string: (offset: number) => string
}

/**
 * A hash table of types by name: `heads` by hash, chained through `links`, two numbers for each name: the next link, and 1
 * more than the index of the type. Link 0 is none.
 */
export interface NameIndex {
  readonly heads: Uint32Array
  readonly links: Uint32Array
}

/** How many records are indexed by name at a time, once parsing is done. */
const INDEXED_AT_ONCE = 8192
/** Words that may be the offset of a name are looked at one by one up to so many, and beyond it the index is finished. */
const MOST_PLACES = 64

/** A name that can be read at more offsets than this is not looked for so: each is a search through all words. */
const MOST_NAMES = 24

/** The names of records that are no data, indexed as far as `next`. */
interface GrowingIndex extends NameIndex {
  /** The last link that is used. */
  last: number
  next: number
}

/** What parsing has found. */
export interface Parts {
  readonly words: Int32Array
  /** Where each record begins, in words. */
  readonly offsets: Uint32Array
  readonly shapes: Int32Array
  readonly strings: Strings
  readonly dataNames: NameIndex
  readonly base: Blob | undefined
}

export class Blob implements Btf {
  readonly [TypeId]: typeof TypeId = TypeId
  readonly firstId: number
  readonly lastId: number
  readonly stringsEnd: number
  /** Where the strings of this BTF begin among all. */
  readonly stringsStart: number
  readonly base: Blob | undefined
  // Private for real: the bytes may be a mapping, which must not outlive this.
  readonly #parts: Parts
  #others: GrowingIndex | undefined
  /** What queries keep for the next time, by what they are. */
  readonly memo = new Map<unknown, unknown>()

  constructor(parts: Parts) {
    const { base, offsets, strings } = parts
    this.#parts = parts
    this.base = base
    this.firstId = base === undefined ? 1 : base.lastId + 1
    this.lastId = this.firstId + offsets.length - 1
    this.stringsStart = base?.stringsEnd ?? 0
    this.stringsEnd = this.stringsStart + strings.bytes.length
  }

  toJSON(): unknown {
    return { _id: "Btf", firstId: this.firstId, lastId: this.lastId }
  }

  /** The BTF that an id belongs to, this one or a base; `undefined` for `void` and ids that do not exist. */
  owner(id: number): Blob | undefined {
    if (id < this.firstId) return this.base?.owner(id)
    return id <= this.lastId && Number.isInteger(id) ? this : undefined
  }

  /** Where the record of an own id begins, in words. */
  at(id: number): number {
    return this.#parts.offsets[id - this.firstId]!
  }

  word(at: number): number {
    return this.#parts.words[at]!
  }

  unsigned(at: number): number {
    return this.#parts.words[at]! >>> 0
  }

  /** The number of an own id's kind. */
  kind(id: number): number {
    return infoKind(this.#parts.words[this.at(id) + 1]!)
  }

  shape(kind: number): number {
    return this.#parts.shapes[kind]!
  }

  /** A record's bytes beyond `struct btf_type`, copied. */
  tail(at: number, shape: number, vlen: number): Uint8Array {
    const { words } = this.#parts
    const from = words.byteOffset + (at + 3) * 4
    return new Uint8Array(words.buffer, from, (recordWords(shape, vlen) - 3) * 4).slice()
  }

  string(offset: number): string {
    if (offset < this.stringsStart) return this.base!.string(offset)
    const own = offset - this.stringsStart
    return own < this.#parts.strings.bytes.length ? this.#parts.strings.at(own) : ""
  }

  isNamed(offset: number, wanted: Wanted): boolean {
    return offset < this.stringsStart
      ? this.base!.isNamed(offset, wanted)
      : this.#parts.strings.equals(offset - this.stringsStart, wanted)
  }

  /** The first entry of three words that has a name, or none, from a word on; `end` where there is no such entry. */
  scan(from: number, end: number, wanted: Wanted): number {
    const { strings, words } = this.#parts
    const { bytes } = strings
    const start = this.stringsStart
    const first = wanted.bytes[0]
    for (let at = from; at < end; at += 3) {
      const name = words[at]! >>> 0
      if (name === 0) return at
      if (name < start) {
        if (this.base!.string(name) === "" || this.base!.isNamed(name, wanted)) return at
        continue
      }
      const byte = bytes[name - start]
      if (byte === 0 || (byte === first && strings.equals(name - start, wanted))) return at
    }
    return end
  }

  hashAt(offset: number): number {
    return offset < this.stringsStart
      ? this.base!.hashAt(offset)
      : this.#parts.strings.hashAt(offset - this.stringsStart)
  }

  /** The own ids of a name and a kind, in ascending order, added to `found`. */
  addOwn(found: Array<number>, wanted: Wanted, kind: number | undefined): void {
    const { dataNames } = this.#parts
    const before = found.length
    if (kind === undefined || isData(kind)) this.#search(found, dataNames, wanted, kind)
    if (kind === undefined || !isData(kind)) this.#searchOthers(found, wanted, kind)
    // Chains run from the last id to the first.
    if (found.length - before > 1) found.splice(before, found.length, ...found.slice(before).toSorted((a, b) => a - b))
  }

  #search(found: Array<number>, { heads, links }: NameIndex, wanted: Wanted, kind: number | undefined): void {
    const { offsets, words } = this.#parts
    let compared = -1
    let isSame = false
    for (let link = heads[wanted.hash & (heads.length - 1)]!; link !== 0; link = links[link * 2]!) {
      const index = links[link * 2 + 1]! - 1
      const at = offsets[index]!
      if (kind !== undefined && infoKind(words[at + 1]!) !== kind) continue
      const name = words[at]! >>> 0
      // Types that share a name are next to each other in the chain, more often than not.
      if (name !== compared) isSame = this.isNamed(name, wanted)
      compared = name
      if (isSame) found.push(this.firstId + index)
    }
  }

  /**
   * The names of functions, variables and the like are most of a kernel's, and indexing them takes longer than a question may.
   * So each question indexes some more of them, and the engine's own search looks through the rest.
   */
  #searchOthers(found: Array<number>, wanted: Wanted, kind: number | undefined): void {
    const { offsets } = this.#parts
    const others = this.#others ??= {
      heads: new Uint32Array(2 ** Math.ceil(Math.log2(Math.max(2, offsets.length)))),
      links: new Uint32Array(2 * (offsets.length + 1)),
      last: 0,
      next: 0
    }
    this.#indexOthers(others, INDEXED_AT_ONCE)
    if (others.next < offsets.length) {
      const rest = this.placesOf(wanted, offsets[others.next]!)
      if (rest === undefined) this.#indexOthers(others, offsets.length)
      else for (const at of rest) this.#addPlace(found, at, kind)
    }
    this.#search(found, others, wanted, kind)
  }

  #indexOthers(others: GrowingIndex, count: number): void {
    const { offsets, words } = this.#parts
    const { heads, links } = others
    const mask = heads.length - 1
    const end = Math.min(offsets.length, others.next + count)
    let { last } = others
    for (let i = others.next; i < end; i++) {
      const at = offsets[i]!
      const name = words[at]!
      if (name === 0 || isData(infoKind(words[at + 1]!))) continue
      const bucket = this.hashAt(name >>> 0) & mask
      links[++last * 2] = heads[bucket]!
      links[last * 2 + 1] = i + 1
      heads[bucket] = last
    }
    others.last = last
    others.next = end
  }

  /** Adds the id of the record that begins at a word, if one does, and is of the kind and no data. */
  #addPlace(found: Array<number>, at: number, kind: number | undefined): void {
    const { offsets, words } = this.#parts
    const index = this.indexOf(at)
    if (offsets[index] !== at) return
    const own = infoKind(words[at + 1]!)
    if (!isData(own) && (kind === undefined || kind === own)) found.push(this.firstId + index)
  }

  /** The index of the record that a word belongs to. */
  indexOf(at: number): number {
    const { offsets } = this.#parts
    let low = 0
    let high = offsets.length - 1
    while (low < high) {
      const middle = (low + high + 1) >> 1
      if (offsets[middle]! <= at) low = middle
      else high = middle - 1
    }
    return low
  }

  /**
   * The words, from one on, that may be the offset of this name, since they have its number. `undefined` where there are too
   * many to look at each.
   */
  placesOf(wanted: Wanted, from: number): ReadonlyArray<number> | undefined {
    const { words } = this.#parts
    const names = this.#offsetsOf(wanted)
    if (names === undefined) return undefined
    const found: Array<number> = []
    for (const name of names) {
      for (let at = words.indexOf(name | 0, from); at >= 0; at = words.indexOf(name | 0, at + 1)) {
        if (found.length === MOST_PLACES) return undefined
        found.push(at)
      }
    }
    return found
  }

  #offsetsOf(wanted: Wanted): ReadonlyArray<number> | undefined {
    const inherited = this.base === undefined ? [] : this.base.#offsetsOf(wanted)
    const own = this.#parts.strings.offsetsOf(wanted, MOST_NAMES)
    return inherited === undefined || own === undefined || inherited.length + own.length > MOST_NAMES
      ? undefined
      : [...inherited, ...own.map((offset) => offset + this.stringsStart)]
  }

  /** Texts in the string section that hold these letters. */
  namesWith(part: string): Iterable<string> {
    return this.#parts.strings.namesWith(part)
  }
}

/** What is public as `Btf` is a `Blob`. */
export const blobOf = (btf: Btf): Blob => btf as Blob

/** The ids of the types with a name, in ascending order, bases first. */
export const namedIds = (btf: Btf, name: string, kind: number | undefined): Array<number> => {
  const found: Array<number> = []
  if (name === "" || name.includes("\0")) return found
  const wanted = want(name)
  addNamed(blobOf(btf), found, wanted, kind)
  return found
}

const addNamed = (blob: Blob, found: Array<number>, wanted: Wanted, kind: number | undefined): void => {
  if (blob.base !== undefined) addNamed(blob.base, found, wanted, kind)
  blob.addOwn(found, wanted, kind)
}

export const tagOf = (kind: number): BtfType["_tag"] => tags[kind] ?? "Opaque"
