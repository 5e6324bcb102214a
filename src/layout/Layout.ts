/**
 * A `Layout<A>` is a C data layout: how a TypeScript value of type `A` lies in memory that the kernel or a BPF program
 * reads and writes. It has a size and an alignment, an encoder and a decoder that are compiled once, and the Effect
 * Schema of its values.
 *
 * Layouts follow the C ABI of x86-64 and arm64 (System V, little-endian): scalars are aligned to their own size, a
 * struct to its widest member, and padding is always written as zeros. Unzeroed padding in a hash key is the classic
 * eBPF bug: two equal keys that the kernel takes for different ones.
 *
 * It has no variable-length layouts: a flexible array member is read separately, with `bytes` of the right length.
 * Decoders are generated with `new Function`, so they cannot run under `--disallow-code-generation-from-strings`.
 *
 * @example
 * ```ts
 * import { Layout } from "effect-ebpf"
 *
 * const Event = Layout.struct({ pid: Layout.u32, comm: Layout.cstring(16) })
 * type Event = Layout.Type<typeof Event> // { readonly pid: number; readonly comm: string }
 *
 * console.log(Event.size) // 20
 * console.log(Layout.encode(Event, { pid: 1, comm: "init" }))
 * ```
 */
import { dual } from "effect/Function"
import * as Result from "effect/Result"
import type * as Schema from "effect/Schema"
import { decode as decodeRows, emptyColumns, encode as encodeRows, lengthOf } from "./internal/columns.ts"
import { compileRead, compileWrite } from "./internal/compile.ts"
import {
  compileReadMany,
  compileReadScattered,
  type Progress,
  type ReadMany,
  type ReadScattered
} from "./internal/compileRows.ts"
import { LayoutError, show } from "./internal/error.ts"
import { depthOf, type IntNode, type Node, placeStruct, range, runsForeignCode } from "./internal/node.ts"
import { schemaOf } from "./internal/schema.ts"

export {
  /** A value that a layout cannot hold, or bytes too short for it; names the field and the limit. */
  LayoutError
} from "./internal/error.ts"

const TypeId = "~effect-ebpf/Layout"
const BitsTypeId = "~effect-ebpf/Layout/Bits"

/**
 * A C data layout for values of type `A`. Make one with the constructors of this module.
 *
 * `size` and `align` are in bytes. `read` and `write` are for hot paths: they take a `DataView` and a `Uint8Array` over
 * the same memory and check no bounds of their own beyond those of the views; `write` throws `LayoutError`. Everywhere
 * else use `encode` and `decode`.
 */
export interface Layout<in out A> {
  readonly [TypeId]: typeof TypeId
  readonly size: number
  readonly align: number
  /** The Schema of the layout's values; its checks are the limits that `encode` enforces. */
  readonly schema: Schema.Codec<A>
  readonly read: (view: DataView, bytes: Uint8Array, offset: number) => A
  readonly write: (view: DataView, bytes: Uint8Array, offset: number, value: A) => void
  /** @internal */
  readonly node: Node
}

/** The type of a layout's values. */
export type Type<L> = L extends Layout<infer A> ? A : L extends Bits<infer A> ? A : never

/** A bit-field: `width` bits of an integer. It has no size of its own; it is only good as a field of `struct`. */
export interface Bits<in out A> {
  readonly [BitsTypeId]: (_: A) => A
  readonly width: number
  /** @internal */
  readonly node: IntNode
}

/** True if the value is a `Layout`. */
export const isLayout = (u: unknown): u is Layout<unknown> => has(TypeId, u)

/** A Proxy may throw at any look at it; then it is none of ours. */
const has = (typeId: symbol | string, u: unknown): boolean => {
  try {
    return typeof u === "object" && u !== null && typeId in u
  } catch {
    return false
  }
}

const isBits = (u: unknown): u is Bits<any> => has(BitsTypeId, u)

/** The node of a layout that this module made, and of no other object that looks like one. */
let ownNode: (layout: Layout<any>) => Node | undefined

/** Compiles on first use: a program has many more layouts (all of `abi/`, all generated types) than it reads with. */
class LayoutImpl<A> implements Layout<A> {
  readonly [TypeId]: typeof TypeId = TypeId
  readonly node: Node
  readonly size: number
  readonly align: number
  read: (view: DataView, bytes: Uint8Array, offset: number) => A
  write: (view: DataView, bytes: Uint8Array, offset: number, value: A) => void
  private cachedSchema: Schema.Codec<A> | undefined
  /** What `directReads` trusts: no code of a user's can set it, as it can every other property. */
  readonly #own: Node
  static {
    ownNode = (layout) => #own in layout ? layout.#own : undefined
  }
  constructor(node: Node) {
    this.node = node
    this.#own = node
    this.size = node.size
    this.align = node.align
    this.read = (view, bytes, offset) => {
      this.read = compileRead(node) as typeof this.read
      return this.read(view, bytes, offset)
    }
    this.write = (view, bytes, offset, value) => {
      this.write = compileWrite(node) as typeof this.write
      this.write(view, bytes, offset, value)
    }
  }
  get schema(): Schema.Codec<A> {
    return this.cachedSchema ??= schemaOf(this.node)
  }
}

/** C compilers take 256 levels; kernels have some 15. What is compiled from a layout calls itself once for each. */
const MOST_NESTING = 256

const MOST_BYTES = 0x7fffffff

const refuse = (expected: string, actual: string, path = ""): never => {
  throw new LayoutError({ path, expected, actual })
}

const make = <A>(node: Node): Layout<A> => {
  if (node.size > MOST_BYTES) return refuse(`at most ${MOST_BYTES} bytes`, String(node.size))
  if (depthOf(node) > MOST_NESTING) return refuse(`at most ${MOST_NESTING} levels of nesting`, "more")
  return new LayoutImpl<A>(node)
}

const nodeOf = (layout: unknown, path = ""): Node =>
  isLayout(layout) ? layout.node : refuse("a layout", isBits(layout) ? "a bit-field" : show(layout), path)

// ---------------------------------------------------------------- integers

const int = (size: IntNode["size"], signed: boolean, options?: { bigEndian?: boolean; number?: boolean }): IntNode => {
  const bigEndian = options?.bigEndian ?? false
  return {
    _tag: "Int",
    size,
    align: size,
    signed,
    bigEndian,
    bigint: size === 8 && options?.number !== true,
    label: `${signed ? "i" : "u"}${size * 8}${bigEndian ? "be" : ""}`
  }
}

/** An unsigned integer of 1 byte. */
export const u8: Layout<number> = make(int(1, false))
/** An unsigned integer of 2 bytes, little-endian. */
export const u16: Layout<number> = make(int(2, false))
/** An unsigned integer of 4 bytes, little-endian. */
export const u32: Layout<number> = make(int(4, false))
/** An unsigned integer of 8 bytes, little-endian, as a `bigint`. */
export const u64: Layout<bigint> = make(int(8, false))
/** A signed integer of 1 byte. */
export const i8: Layout<number> = make(int(1, true))
/** A signed integer of 2 bytes, little-endian. */
export const i16: Layout<number> = make(int(2, true))
/** A signed integer of 4 bytes, little-endian. */
export const i32: Layout<number> = make(int(4, true))
/** A signed integer of 8 bytes, little-endian, as a `bigint`. */
export const i64: Layout<bigint> = make(int(8, true))
/** An unsigned integer of 8 bytes as a `number`: faster than `u64`, and a `LayoutError` beyond 2^53 - 1. */
export const u64Number: Layout<number> = make(int(8, false, { number: true }))
/** A signed integer of 8 bytes as a `number`: faster than `i64`, and a `LayoutError` beyond ±(2^53 - 1). */
export const i64Number: Layout<number> = make(int(8, true, { number: true }))
/** An unsigned integer of 2 bytes in network byte order, as ports are. */
export const u16be: Layout<number> = make(int(2, false, { bigEndian: true }))
/** An unsigned integer of 4 bytes in network byte order, as IPv4 addresses are. */
export const u32be: Layout<number> = make(int(4, false, { bigEndian: true }))
/** An unsigned integer of 8 bytes in network byte order, as a `bigint`. */
export const u64be: Layout<bigint> = make(int(8, false, { bigEndian: true }))
/** A signed integer of 2 bytes in network byte order. */
export const i16be: Layout<number> = make(int(2, true, { bigEndian: true }))
/** A signed integer of 4 bytes in network byte order. */
export const i32be: Layout<number> = make(int(4, true, { bigEndian: true }))
/** A signed integer of 8 bytes in network byte order, as a `bigint`. */
export const i64be: Layout<bigint> = make(int(8, true, { bigEndian: true }))
/** A C `_Bool`: 1 byte; any value but 0 reads as `true`. */
export const bool: Layout<boolean> = make({ _tag: "Bool", size: 1, align: 1 })
/** An address of 8 bytes, as a `bigint`. It is a value to show or compare; nothing here follows it. */
export const pointer: Layout<bigint> = make({ ...int(8, false), label: "pointer" })

// ---------------------------------------------------------------- composites

const positive = (n: number, what: string): number => {
  if (Number.isSafeInteger(n) && n > 0 && n <= MOST_BYTES) return n
  return refuse(`${what} from 1 to ${MOST_BYTES}`, show(n))
}

/**
 * A `char[size]` as a string: read up to the first NUL, or all of it where there is none, and always written with one. So a
 * text that fills its array decodes, and does not encode. Bytes that are no UTF-8 read as U+FFFD. Use `bytes` where they
 * matter.
 */
export const cstring = (size: number): Layout<string> =>
  make({ _tag: "CString", size: positive(size, "a size in bytes"), align: 1 })

/** `size` bytes as they are; decoding copies them. */
export const bytes = (size: number): Layout<Uint8Array> =>
  make({ _tag: "Bytes", size: positive(size, "a size in bytes"), align: 1 })

/** A C array of `length` elements. */
export const array = <A>(element: Layout<A>, length: number): Layout<ReadonlyArray<A>> => {
  const node = nodeOf(element)
  const size = positive(node.size * positive(length, "an array length"), "an array size in bytes")
  return make({ _tag: "Array", size, align: node.align, element: node, length })
}

/** `width` bits of an integer layout, as in C's `unsigned int flags : 3`. Placed by `struct`. */
export const bits = <A extends number | bigint>(base: Layout<A>, width: number): Bits<A> => {
  const node = nodeOf(base)
  if (node._tag !== "Int" || node.bigEndian) return refuse("a little-endian integer layout", node._tag)
  if (!Number.isInteger(width) || width < 1 || width > node.size * 8) {
    return refuse(`a width from 1 to ${node.size * 8} bits`, show(width))
  }
  return { [BitsTypeId]: (a) => a, width, node }
}

/**
 * What an object of fields, members or values names, in order. JavaScript puts integer-like names first, whatever order they
 * were written in, so such fields would be misplaced; and `{ __proto__: … }` sets what an object inherits from, so that
 * field would be lost.
 */
const ordered = <F extends object>(fields: F): ReadonlyArray<[string, F[keyof F]]> => {
  try {
    return entriesOf(fields)
  } catch (error) {
    return error instanceof LayoutError
      ? refuse(error.expected, error.actual)
      : refuse("a plain object with names", "one that throws when it is read")
  }
}

const entriesOf = <F extends object>(fields: F): ReadonlyArray<[string, F[keyof F]]> => {
  const isObject = typeof fields === "object" && fields !== null
  const prototype: unknown = isObject ? Object.getPrototypeOf(fields) : undefined
  if (prototype !== null && (prototype === undefined || Object.getPrototypeOf(prototype) !== null)) {
    return refuse("a plain object with names", show(fields))
  }
  const entries = Object.entries(fields) as Array<[string, F[keyof F]]>
  for (const [name] of entries) {
    if (/^(0|[1-9]\d*)$/.test(name)) return refuse("field names that are no integers", show(name))
  }
  return entries
}

/** The fields of a struct or union, by name. */
export interface Fields {
  readonly [name: string]: Layout<any>
}

/** A C struct: fields in order, each aligned, with zeroed padding between and after them. */
export const struct = <const F extends { readonly [name: string]: Layout<any> | Bits<any> }>(
  fields: F
): Layout<{ readonly [K in keyof F]: Type<F[K]> }> =>
  make(placeStruct(
    ordered(fields).map(([name, field]) =>
      isBits(field)
        ? { name, node: field.node, width: field.width }
        : { name, node: nodeOf(field, name), width: undefined }
    ),
    false
  ))

/** A C struct with `__attribute__((packed))`: no padding, and an alignment of 1. */
export const packed = <const F extends Fields>(fields: F): Layout<{ readonly [K in keyof F]: Type<F[K]> }> =>
  make(
    placeStruct(ordered(fields).map(([name, field]) => ({ name, node: nodeOf(field, name), width: undefined })), true)
  )

/**
 * A C union. Decoding gives every member's reading of the same bytes. Encoding takes any of them, at least one; where
 * several are given they must agree, so a decoded value encodes to the bytes it came from.
 */
export const union = <const F extends Fields>(members: F): Layout<{ readonly [K in keyof F]?: Type<F[K]> }> => {
  const nodes = ordered(members).map(([name, member]) => ({ name, node: nodeOf(member, name) }))
  if (nodes.length === 0) return refuse("a union of at least one member", "none")
  const align = nodes.reduce((most, m) => Math.max(most, m.node.align), 1)
  const widest = nodes.reduce((most, m) => Math.max(most, m.node.size), 0)
  return make({ _tag: "Union", size: Math.ceil(widest / align) * align, align, members: nodes })
}

/** The integer that a C compiler takes for an enum: 4 bytes where they hold all values, signed where one is negative. */
const enumBase = (values: ReadonlyArray<number>): Layout<number> => {
  const least = values.reduce((a, b) => Math.min(a, b))
  const greatest = values.reduce((a, b) => Math.max(a, b))
  if (least >= 0) return greatest <= 0xffffffff ? u32 : u64Number
  return least >= -0x80000000 && greatest <= 0x7fffffff ? i32 : i64Number
}

/**
 * A C enum: its values by name. They are stored in `base`, which must hold them all; unless given it is what a C compiler
 * takes: 4 bytes, signed if a value is negative, and 8 bytes where 4 do not hold them. A number without a name reads as that
 * number, and a number may be written: kernels add values.
 */
export const enumeration = <const V extends { readonly [name: string]: number }>(
  values: V,
  base?: Layout<number>
): Layout<(keyof V & string) | number> => {
  const entries = ordered(values)
  if (entries.length === 0) return refuse("an enumeration of at least one value", "none")
  for (const [name, value] of entries) {
    if (!Number.isSafeInteger(value)) return refuse("an integer within ±(2^53 - 1)", show(value), name)
  }
  const node = nodeOf(base === undefined ? enumBase(entries.map(([, value]) => value)) : base)
  if (node._tag !== "Int" || node.bigint) {
    return refuse("an integer layout whose values are numbers", node._tag === "Int" ? node.label : node._tag)
  }
  const [minimum, maximum] = range(node)
  for (const [name, value] of entries) {
    if (value < minimum || value > maximum) {
      return refuse(`a value of ${node.label} (from ${minimum} to ${maximum})`, String(value), name)
    }
  }
  return make({ _tag: "Enum", size: node.size, align: node.align, base: node, values: new Map(entries) })
}

/** How values are read from, and written to, those of another layout. */
export interface Codec<in out A, in out B> {
  readonly decode: (value: A) => B
  readonly encode: (value: B) => A
  readonly schema: Schema.Codec<B> | (() => Schema.Codec<B>)
}

/** The functions of a codec, whatever is given for one. */
const codecOf = <A, B>(codec: Codec<A, B>): Codec<A, B> => {
  try {
    const { decode, encode, schema } = Object(codec) as Codec<A, B>
    return { decode, encode, schema }
  } catch {
    return refuse("an object of decode, encode and schema", "one that throws when it is read")
  }
}

/**
 * A layout whose values are read from, and written to, those of another one: a codec of your own. `encode` may throw a
 * `LayoutError` for a value that it does not take; `schema` is that of the new values, or a function that gives it, which is
 * called when the schema is first asked for.
 *
 * @example
 * ```ts
 * import { Layout } from "effect-ebpf"
 * import * as Schema from "effect/Schema"
 *
 * const milliseconds = Layout.transform(Layout.u64Number, {
 *   decode: (ns) => ns / 1e6,
 *   encode: (ms) => Math.round(ms * 1e6),
 *   schema: Schema.Finite
 * })
 * ```
 */
export const transform = <A, B>(base: Layout<A>, codec: Codec<A, B>): Layout<B> => mapped(base, codec, false)

/**
 * `transform` for codecs of this package, which may run on memory that users must not reach.
 *
 * @internal
 */
export const ownTransform = <A, B>(base: Layout<A>, codec: Codec<A, B>): Layout<B> => mapped(base, codec, true)

const mapped = <A, B>(base: Layout<A>, codec: Codec<A, B>, ours: boolean): Layout<B> => {
  const node = nodeOf(base)
  const { decode, encode, schema } = codecOf(codec)
  if (typeof decode !== "function") return refuse("a function", show(decode), "decode")
  if (typeof encode !== "function") return refuse("a function", show(encode), "encode")
  if (schema === undefined || schema === null) {
    return refuse("a Schema, or a function that gives one", show(schema), "schema")
  }
  // A Schema may be a function too: a class.
  const given = typeof schema === "function" && !("ast" in schema) ? schema : () => schema
  return make({ _tag: "Mapped", size: node.size, align: node.align, base: node, decode, encode, schema: given, ours })
}

/**
 * A `struct bpf_spin_lock`, for values that programs change under a lock, and that `lock: true` reads and writes so. It
 * is the kernel's: it always reads as 0, and what is written is ignored, so write 0. Kernel 5.1.
 */
export const spinLock: Layout<number> = make({ ...int(4, false), label: "bpf_spin_lock" })

// ---------------------------------------------------------------- operations

const attempt = <A>(f: () => A): Result.Result<A, LayoutError> => {
  try {
    return Result.succeed(f())
  } catch (error) {
    if (error instanceof LayoutError) return Result.fail(error)
    throw error
  }
}

const viewOf = (data: Uint8Array): DataView => new DataView(data.buffer, data.byteOffset, data.byteLength)

const tooShort = (layout: Layout<any>, data: Uint8Array): LayoutError =>
  new LayoutError({ path: "", expected: `at least ${layout.size} bytes`, actual: `${data.length} bytes` })

/** The bytes of a value, or a `LayoutError` that names the field which does not fit. */
export const encode: {
  <A>(value: A): (layout: Layout<A>) => Result.Result<Uint8Array, LayoutError>
  <A>(layout: Layout<A>, value: A): Result.Result<Uint8Array, LayoutError>
} = dual(2, <A>(layout: Layout<A>, value: A) =>
  attempt(() => {
    const data = new Uint8Array(layout.size)
    layout.write(viewOf(data), data, 0, value)
    return data
  }))

/** The value at the start of `data`, or a `LayoutError` if there are fewer than `layout.size` bytes. */
export const decode: {
  (data: Uint8Array): <A>(layout: Layout<A>) => Result.Result<A, LayoutError>
  <A>(layout: Layout<A>, data: Uint8Array): Result.Result<A, LayoutError>
} = dual(
  2,
  <A>(layout: Layout<A>, data: Uint8Array): Result.Result<A, LayoutError> =>
    data.length < layout.size
      ? Result.fail(tooShort(layout, data))
      : attempt(() => layout.read(viewOf(data), data, 0))
)

/**
 * The columns of many records: one typed array per integer field (64-bit integers as `BigUint64Array`, or
 * `Float64Array` for the `Number` variants; `bool` as 0 or 1), nested structs as nested columns, plain arrays for the rest.
 */
export type Columns<A> = A extends number ? ColumnOfNumbers
  : A extends bigint ? BigUint64Array | BigInt64Array
  : A extends boolean ? Uint8Array
  : A extends string | Uint8Array | ReadonlyArray<unknown> ? ReadonlyArray<A>
  : A extends object ? { readonly [K in keyof A]: Columns<A[K]> }
  : ReadonlyArray<A>

/** The typed arrays that a column of numbers can be. */
export type ColumnOfNumbers =
  | Uint8Array
  | Uint16Array
  | Uint32Array
  | Int8Array
  | Int16Array
  | Int32Array
  | Float64Array

/** How records lie in memory. */
export interface ColumnOptions {
  /** The distance between records in bytes; the layout's size unless given. */
  readonly stride?: number
}

/** The stride that is given, or what is wrong with the options: this floor has no other options, and reads them itself. */
const strideOf = (options: ColumnOptions | undefined, layout: Layout<any>): number | LayoutError => {
  if (options === undefined) return layout.size
  const expected = "an object with a stride, or nothing"
  try {
    if (typeof options === "object" && options !== null && !Array.isArray(options)) {
      const unknown = Object.keys(options).find((name) => name !== "stride")
      if (unknown === undefined) {
        const stride: unknown = Object.hasOwn(options, "stride") ? options.stride : undefined
        if (stride === undefined) return layout.size
        return typeof stride === "number"
          ? stride
          : new LayoutError({ path: "stride", expected: "a number", actual: show(stride) })
      }
      return new LayoutError({ path: "options", expected, actual: `an option ${show(unknown)}` })
    }
    return new LayoutError({ path: "options", expected, actual: show(options) })
  } catch {
    return new LayoutError({ path: "options", expected, actual: "one that throws when it is read" })
  }
}

/**
 * Decodes all whole records in `data` into columns. `stride` is the distance between records in bytes; it is the
 * layout's size unless given.
 */
export const decodeColumns = <A>(
  layout: Layout<A>,
  data: Uint8Array,
  options?: ColumnOptions
): Result.Result<{ readonly rows: number; readonly columns: Columns<A> }, LayoutError> => {
  const stride = strideOf(options, layout)
  if (typeof stride !== "number") return Result.fail(stride)
  if (!Number.isSafeInteger(stride) || stride < layout.size || stride === 0) {
    return Result.fail(
      new LayoutError({ path: "stride", expected: `an integer of at least ${layout.size}`, actual: show(stride) })
    )
  }
  const rows = data.length < layout.size ? 0 : Math.floor((data.length - layout.size) / stride) + 1
  return attempt(() => {
    const columns = decodeRows(layout.node, viewOf(data), data, stride, rows) as Columns<A>
    return { rows, columns }
  })
}

/**
 * Writes rows of columns as records into `data`, the inverse of `decodeColumns`: rows `from` to `to`, the first at the
 * start of `data`, `stride` bytes apart. Plain arrays of values are taken for any column. Throws `LayoutError` for a value
 * that does not fit; the rows before it are written then. For hot paths: `view` and `data` are over the same memory.
 *
 * @internal
 */
export const writeColumns = <A>(
  layout: Layout<A>,
  columns: Columns<A> | ReadonlyArray<A>,
  target: { readonly view: DataView; readonly data: Uint8Array; readonly stride: number },
  from: number,
  to: number
): void => encodeRows(layout.node, columns, target, from, to)

/**
 * How values are read straight from memory that users must not reach, such as mapped pages: by code of this package alone,
 * compiled on first use. Its callers have checked that each record is there.
 *
 * @internal
 */
export interface DirectReads<A> {
  /** The layout's size, which nobody has changed. */
  readonly size: number
  readonly read: (view: DataView, bytes: Uint8Array, offset: number) => A
  /** Adds the values at the first `count` of the offsets. What throws leaves in `progress` how many were read. */
  readonly many: (
    view: DataView,
    bytes: Uint8Array,
    offsets: Int32Array,
    count: number,
    values: Array<A>,
    progress: Progress
  ) => void
  /** The same into rows of columns, from row `first` on: `flat` is of `columnsFor`. */
  readonly scattered: ReadScattered
}

const directs = new WeakMap<Node, DirectReads<any>>()

const direct = <A>(node: Node): DirectReads<A> => {
  const known = directs.get(node)
  if (known !== undefined) return known
  let read: DirectReads<A>["read"] | undefined
  let many: ReadMany | undefined
  let scattered: ReadScattered | undefined
  const made: DirectReads<A> = {
    size: node.size,
    get read() {
      return read ??= compileRead(node) as DirectReads<A>["read"]
    },
    get many() {
      return (many ??= compileReadMany(node)) as DirectReads<A>["many"]
    },
    get scattered() {
      return scattered ??= compileReadScattered(node)
    }
  }
  directs.set(node, made)
  return made
}

/**
 * The direct reads of a layout, or `undefined` where reading it may run somebody else's code: a `transform`, or an object
 * that is no layout of this module. Such a layout is to be given a copy.
 *
 * @internal
 */
export const directReads = <A>(layout: Layout<A>): DirectReads<A> | undefined => {
  const node = ownNode(layout)
  return node === undefined || runsForeignCode(node) ? undefined : direct(node)
}

/**
 * Columns of a layout for so many rows, to be filled by `scattered` or `readColumnsOf`.
 *
 * @internal
 */
export const columnsFor = <A>(
  layout: Layout<A>,
  rows: number
): { readonly columns: Columns<A>; readonly flat: ReadonlyArray<unknown> } =>
  emptyColumns(layout.node, rows) as { readonly columns: Columns<A>; readonly flat: ReadonlyArray<unknown> }

/**
 * As `DirectReads.scattered`, of any layout, from memory that its code may see.
 *
 * @internal
 */
export const scatteredReads = <A>(layout: Layout<A>): ReadScattered => direct<A>(layout.node).scattered

/** The number of rows in columns, or `undefined` where they differ. */
export const rowsOf = <A>(layout: Layout<A>, columns: Columns<A> | ReadonlyArray<A>): number | undefined =>
  lengthOf(layout.node, columns)

/** Where a field lies in a struct: its offset and size in bytes. `undefined` for an unknown name or a bit-field. */
export const field = <A>(
  layout: Layout<A>,
  name: keyof A & string
): { readonly offset: number; readonly size: number } | undefined => {
  if (layout.node._tag !== "Struct") return undefined
  const found = layout.node.fields.find((f) => f.name === name)
  return found === undefined || found.bits !== undefined ? undefined : { offset: found.offset, size: found.node.size }
}
