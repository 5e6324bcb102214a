// The cursor that visitors are given: one object for each reader, aimed at one record after the other. The pages of a ring are
// read-only, and kept readers may have closed, so neither they nor a view of them leave this file: a visitor reads through
// methods that check their bounds, and gets numbers and copies.
import { type DirectReads, directReads, type Layout, LayoutError } from "../../layout/Layout.ts"
import { RingBufferError } from "./ringError.ts"

const decoder = new TextDecoder("utf-8", { ignoreBOM: true })
const NO_MEMORY = new Uint8Array(0)

/** What a record's length is when there is none to read. */
const ENDED = -1

/** 2097151 is the upper half of 2^53 - 1. */
const HIGHEST_SAFE = 2097151

/** Sets the memory that a reader's records lie in. */
let showMemory: (record: RingRecord<any>, bytes: Uint8Array) => void
let aimAt: (record: RingRecord<any>, offset: number, length: number) => void

/**
 * A record of a ring buffer, as a visitor sees it: its bytes through typed reads at offsets, little-endian unless the name
 * says otherwise, of any alignment. The object is the reader's own and is aimed at one record after the other: it is valid
 * during its visit, and what a visitor wants to keep it reads or copies. No read allocates but those of `bigint`s and copies.
 *
 * All throw a `RingBufferError`: `Ended` after the visit, or once the reader has closed; `OutOfBounds` for what is not wholly
 * within the record.
 */
export class RingRecord<out A> {
  #view: DataView = new DataView(NO_MEMORY.buffer)
  #bytes: Uint8Array = NO_MEMORY
  #offset = 0
  #length = ENDED
  readonly #subject: string
  readonly #layout: Layout<any>
  readonly #direct: DirectReads<any> | undefined
  readonly #least: number

  static {
    showMemory = (record, bytes) => {
      record.#bytes = bytes
      record.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    }
    aimAt = (record, offset, length) => {
      record.#offset = offset
      record.#length = length
    }
  }

  /** @internal */
  constructor(subject: string, layout: Layout<A>) {
    this.#subject = subject
    this.#layout = layout
    this.#direct = directReads(layout)
    this.#least = this.#direct?.size ?? layout.size
  }

  /** How many bytes the record has, as its program reserved them. */
  get length(): number {
    if (this.#length < 0) refuse(this.#subject, this.#length, 0, 0)
    return this.#length
  }

  // Each read checks its own bounds, since V8 does not always inline a method that they would share. `>>> 0` leaves integers
  // from 0 on as they are, and nothing else.

  u8(at: number): number {
    if (at >>> 0 !== at || at > this.#length - 1) refuse(this.#subject, this.#length, at, 1)
    return this.#view.getUint8(this.#offset + at)
  }
  u16(at: number): number {
    if (at >>> 0 !== at || at > this.#length - 2) refuse(this.#subject, this.#length, at, 2)
    return this.#view.getUint16(this.#offset + at, true)
  }
  u32(at: number): number {
    if (at >>> 0 !== at || at > this.#length - 4) refuse(this.#subject, this.#length, at, 4)
    return this.#view.getUint32(this.#offset + at, true)
  }
  u64(at: number): bigint {
    if (at >>> 0 !== at || at > this.#length - 8) refuse(this.#subject, this.#length, at, 8)
    return this.#view.getBigUint64(this.#offset + at, true)
  }
  i8(at: number): number {
    if (at >>> 0 !== at || at > this.#length - 1) refuse(this.#subject, this.#length, at, 1)
    return this.#view.getInt8(this.#offset + at)
  }
  i16(at: number): number {
    if (at >>> 0 !== at || at > this.#length - 2) refuse(this.#subject, this.#length, at, 2)
    return this.#view.getInt16(this.#offset + at, true)
  }
  i32(at: number): number {
    if (at >>> 0 !== at || at > this.#length - 4) refuse(this.#subject, this.#length, at, 4)
    return this.#view.getInt32(this.#offset + at, true)
  }
  i64(at: number): bigint {
    if (at >>> 0 !== at || at > this.#length - 8) refuse(this.#subject, this.#length, at, 8)
    return this.#view.getBigInt64(this.#offset + at, true)
  }
  /** In network byte order, as ports are. */
  u16be(at: number): number {
    if (at >>> 0 !== at || at > this.#length - 2) refuse(this.#subject, this.#length, at, 2)
    return this.#view.getUint16(this.#offset + at, false)
  }
  /** In network byte order, as IPv4 addresses are. */
  u32be(at: number): number {
    if (at >>> 0 !== at || at > this.#length - 4) refuse(this.#subject, this.#length, at, 4)
    return this.#view.getUint32(this.#offset + at, false)
  }
  u64be(at: number): bigint {
    if (at >>> 0 !== at || at > this.#length - 8) refuse(this.#subject, this.#length, at, 8)
    return this.#view.getBigUint64(this.#offset + at, false)
  }
  f32(at: number): number {
    if (at >>> 0 !== at || at > this.#length - 4) refuse(this.#subject, this.#length, at, 4)
    return this.#view.getFloat32(this.#offset + at, true)
  }
  f64(at: number): number {
    if (at >>> 0 !== at || at > this.#length - 8) refuse(this.#subject, this.#length, at, 8)
    return this.#view.getFloat64(this.#offset + at, true)
  }

  /** An unsigned integer of 8 bytes as a `number`. Throws a `LayoutError` beyond 2^53 - 1. */
  u64Number(at: number): number {
    if (at >>> 0 !== at || at > this.#length - 8) refuse(this.#subject, this.#length, at, 8)
    const place = this.#offset + at
    const view = this.#view
    const high = view.getUint32(place + 4, true)
    const value = high * 0x1_0000_0000 + view.getUint32(place, true)
    return high > HIGHEST_SAFE ? unsafe("u64", at, value) : value
  }

  /** A signed integer of 8 bytes as a `number`. Throws a `LayoutError` beyond ±(2^53 - 1). */
  i64Number(at: number): number {
    if (at >>> 0 !== at || at > this.#length - 8) refuse(this.#subject, this.#length, at, 8)
    const place = this.#offset + at
    const view = this.#view
    const high = view.getInt32(place + 4, true)
    const value = high * 0x1_0000_0000 + view.getUint32(place, true)
    return (high > HIGHEST_SAFE || high < -HIGHEST_SAFE) && !Number.isSafeInteger(value)
      ? unsafe("i64", at, value)
      : value
  }

  /** Where bytes of any number lie. */
  #placeOf(at: number, size: number): number {
    if (at >>> 0 !== at || size >>> 0 !== size || at > this.#length - size) {
      refuse(this.#subject, this.#length, at, size)
    }
    return this.#offset + at
  }

  /** A copy of `length` bytes at `at`: of all of them unless told. */
  bytes(at = 0, length = this.length - at): Uint8Array<ArrayBuffer> {
    const place = this.#placeOf(at, length)
    const copy = new Uint8Array(length)
    copy.set(this.#bytes.subarray(place, place + length))
    return copy
  }

  /**
   * The text in `size` bytes at `at`, up to the first NUL, or all of them where there is none: of all bytes unless told.
   * Bytes that are no UTF-8 read as U+FFFD.
   */
  text(at = 0, size = this.length - at): string {
    const place = this.#placeOf(at, size)
    const bytes = this.#bytes
    let text = ""
    // A TextDecoder costs 220 ns; most texts are short and ASCII.
    for (let i = place; i < place + size; i++) {
      const byte = bytes[i]!
      if (byte === 0) return text
      if (byte > 127 || i - place === 64) {
        const copy = this.bytes(at, size)
        const end = copy.indexOf(0)
        return decoder.decode(end < 0 ? copy : copy.subarray(0, end))
      }
      text += String.fromCharCode(byte)
    }
    return text
  }

  /** The record decoded by its map's layout. What it has beyond the layout is ignored; `LayoutError` if it has less. */
  decode(): A {
    if (!(this.#length >= this.#least)) this.#tooShort()
    return this.#direct === undefined
      ? this.#copied(this.#layout, 0)
      : this.#direct.read(this.#view, this.#bytes, this.#offset)
  }

  /** What lies at `at`, decoded by any layout. */
  read<B>(layout: Layout<B>, at = 0): B {
    const direct = directReads(layout)
    const size = direct?.size ?? layout.size
    const place = this.#placeOf(at, size)
    return direct === undefined ? this.#copied(layout, at) : direct.read(this.#view, this.#bytes, place)
  }

  #copied<B>(layout: Layout<B>, at: number): B {
    const copy = this.bytes(at, layout.size)
    return layout.read(new DataView(copy.buffer), copy, 0)
  }

  #tooShort(): never {
    if (this.#length < 0) refuse(this.#subject, this.#length, 0, 0)
    throw tooShort(this.#least, this.#length)
  }

  toString(): string {
    return this.#length < 0
      ? `record of ${this.#subject}, its visit ended`
      : `record of ${this.#subject}, ${this.#length} bytes`
  }
  toJSON(): unknown {
    return this.toString()
  }
  [Symbol.for("nodejs.util.inspect.custom")](): string {
    return this.toString()
  }
}

const refuse = (ring: string, length: number, at: number, size: number): never => {
  throw length < 0
    ? new RingBufferError({
      ring,
      reason: "Ended",
      expected: "a record that is being visited",
      actual: "one whose visit has ended, or whose reader has closed"
    })
    : new RingBufferError({
      ring,
      reason: "OutOfBounds",
      expected: `a place within the record's ${length} bytes`,
      actual: `${shown(size)} bytes at ${shown(at)}`
    })
}

const shown = (value: unknown): string => typeof value === "number" ? String(value) : typeof value

const unsafe = (label: string, at: number, value: number): never => {
  throw new LayoutError({ path: `record[${at}]`, expected: `a ${label} within ±(2^53 - 1)`, actual: String(value) })
}

/** The error of a record with fewer bytes than its layout. */
export const tooShort = (size: number, length: number): LayoutError =>
  new LayoutError({ path: "record", expected: `at least ${size} bytes`, actual: `${length} bytes` })

/** Sets the memory that the offsets of `aim` are of. */
export const setMemory = showMemory!
/** Aims a reader's record at `length` bytes at an offset of its memory. */
export const aim = aimAt!
/** Ends the record's visit: what reads it then is told so. */
export const endVisit = (record: RingRecord<any>): void => aim(record, 0, ENDED)
