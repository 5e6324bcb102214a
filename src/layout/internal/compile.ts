// Turns a Node into two JavaScript functions, once. Interpreting the description per record costs 10 times as much as
// the generated code (85 ns against 5-10 ns for three integers), and records come by the million.
//
// Everything that is spliced into the source is a number computed here or a JSON string literal; names chosen by a
// user or read from a file never become code.
import { join, LayoutError, show, within } from "./error.ts"
import { hasGaps, type IntNode, type Node, range } from "./node.ts"

export type Read = (view: DataView, bytes: Uint8Array, offset: number) => unknown
export type Write = (view: DataView, bytes: Uint8Array, offset: number, value: unknown) => void

const fail = (path: string, expected: string, actual: unknown): never => {
  throw new LayoutError({ path, expected, actual: show(actual) })
}

const decoder = new TextDecoder("utf-8", { ignoreBOM: true })
const encoder = new TextEncoder()

/** A `TextDecoder` call costs 220 ns; names in kernel records are short and ASCII, which a loop reads in 30. */
const readCString = (bytes: Uint8Array, start: number, size: number): string => {
  let text = ""
  for (let i = start; i < start + size; i++) {
    const byte = bytes[i]!
    if (byte === 0) return text
    if (byte > 127) {
      const end = bytes.indexOf(0, i)
      return decoder.decode(bytes.slice(start, end < 0 || end > start + size ? start + size : end))
    }
    text += String.fromCharCode(byte)
  }
  return text
}

/** `slice` of a Buffer, which is a Uint8Array too, would be a view. */
const copyBytes = (bytes: Uint8Array, start: number, size: number): Uint8Array =>
  new Uint8Array(bytes.subarray(start, start + size))

const writeCString = (bytes: Uint8Array, start: number, size: number, value: unknown, path: string): void => {
  if (typeof value !== "string") return fail(path, `a string of at most ${size - 1} bytes`, value)
  const encoded = encoder.encode(value)
  if (encoded.length >= size) {
    throw new LayoutError({
      path,
      expected: `a string of at most ${size - 1} bytes in UTF-8`,
      actual: `${show(value)} (${encoded.length} bytes)`
    })
  }
  if (encoded.includes(0)) return fail(path, "a string without NUL", value)
  if (!value.isWellFormed()) return fail(path, "well-formed Unicode", value)
  bytes.set(encoded, start)
}

const writeBytes = (bytes: Uint8Array, start: number, size: number, value: unknown, path: string): void => {
  if (!(value instanceof Uint8Array) || value.length !== size) return fail(path, `a Uint8Array of ${size} bytes`, value)
  bytes.set(value, start)
}

const enumNumber = (values: ReadonlyMap<string, number>, value: unknown, path: string): unknown => {
  if (typeof value !== "string") return value
  return values.get(value) ?? fail(path, `one of ${[...values.keys()].join(", ")}, or a number`, value)
}

/** True for equal decoded values. */
const same = (a: unknown, b: unknown): boolean => {
  if (Object.is(a, b) || (a === 0 && b === 0)) return true
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return false
  const keys = Object.keys(a)
  return keys.length === Object.keys(b).length &&
    keys.every((key) => same((a as Record<string, unknown>)[key], (b as Record<string, unknown>)[key]))
}

/**
 * True if what lies at an offset reads as the value given would, once written: an enumeration's number is as good as its
 * name.
 */
const agrees = (member: Member, view: DataView, bytes: Uint8Array, offset: number, value: unknown): boolean => {
  const scratch = new Uint8Array(member.size)
  const scratchView = new DataView(scratch.buffer)
  member.write(scratchView, scratch, 0, value)
  return same(member.read(view, bytes, offset), member.read(scratchView, scratch, 0))
}

/** A value's own property: a member that is named as one of `Object.prototype` may be absent. */
const own = (value: object, name: string): unknown =>
  Object.hasOwn(value, name) ? (value as Record<string, unknown>)[name] : undefined

const safe = (value: number, path: string, label: string): number =>
  Number.isSafeInteger(value) ? value : fail(path, `a ${label} within ±(2^53 - 1)`, value)

const helpers = {
  fail,
  readCString,
  copyBytes,
  writeCString,
  writeBytes,
  within,
  enumNumber,
  agrees,
  own,
  safe
}

export const literal = (value: string): string => JSON.stringify(value)
const property = (name: string): string => `[${literal(name)}]`

/** Collects generated statements and the constants that they refer to. */
export class Source {
  readonly lines: Array<string> = []
  readonly constants: Array<unknown> = []
  private names = 0
  name(): string {
    return `t${this.names++}`
  }
  constant(value: unknown): string {
    return `c[${this.constants.push(value) - 1}]`
  }
  emit(line: string): void {
    this.lines.push(line)
  }
  build<F>(parameters: string): F {
    return new Function("c", "h", `"use strict"; return (${parameters}) => {\n${this.lines.join("\n")}\n}`)(
      this.constants,
      helpers
    ) as F
  }
}

const at = (offset: number): string => offset === 0 ? "o" : `o + ${offset}`

const accessor = (node: IntNode): string =>
  node.size === 8 ? (node.signed ? "BigInt64" : "BigUint64") : `${node.signed ? "Int" : "Uint"}${node.size * 8}`

const getInt = (node: IntNode, offset: number): string =>
  node.size === 1
    ? `v.get${accessor(node)}(${at(offset)})`
    : `v.get${accessor(node)}(${at(offset)}, ${!node.bigEndian})`

const setInt = (node: IntNode, offset: number, value: string): string =>
  node.size === 1
    ? `v.set${accessor(node)}(${at(offset)}, ${value});`
    : `v.set${accessor(node)}(${at(offset)}, ${value}, ${!node.bigEndian});`

/** A 64-bit integer as a `number`: two halves, since a BigInt costs an allocation; outside ±2^53 it is an error. */
const readSafeInt64 = (source: Source, node: IntNode, offset: number, path: string): string => {
  const [low, high] = node.bigEndian ? [offset + 4, offset] : [offset, offset + 4]
  const upper = source.name()
  const value = source.name()
  source.emit(`const ${upper} = v.get${node.signed ? "Int" : "Uint"}32(${at(high)}, ${!node.bigEndian});`)
  source.emit(`const ${value} = ${upper} * 4294967296 + v.getUint32(${at(low)}, ${!node.bigEndian});`)
  // 2097151 is the upper half of 2^53 - 1: an integer's comparison, where that of the sum would be a double's.
  const mayBeUnsafe = node.signed ? `${upper} > 2097151 || ${upper} < -2097151` : `${upper} > 2097151`
  source.emit(
    `if ((${mayBeUnsafe}) && !Number.isSafeInteger(${value})) ` +
      `h.fail(${literal(path)}, "a ${node.label} within ±(2^53 - 1)", ${value});`
  )
  return value
}

/** Emits what reads the value at `o + offset`, and gives the expression of it. */
export const read = (source: Source, node: Node, offset: number, path: string): string => {
  switch (node._tag) {
    case "Int":
      return node.size === 8 && !node.bigint ? readSafeInt64(source, node, offset, path) : getInt(node, offset)
    case "Bool":
      return `u[${at(offset)}] !== 0`
    case "CString":
      return `h.readCString(u, ${at(offset)}, ${node.size})`
    case "Bytes":
      return `h.copyBytes(u, ${at(offset)}, ${node.size})`
    case "Enum": {
      const names = new Map<number, string>()
      // Several names may share a number (UAPI keeps old spellings as aliases): the first one declared is read back.
      for (const [name, value] of node.values) if (!names.has(value)) names.set(value, name)
      const value = source.name()
      source.emit(`const ${value} = ${read(source, node.base, offset, path)};`)
      return `${source.constant(names)}.get(${value}) ?? ${value}`
    }
    case "Array": {
      const result = source.name()
      const element = source.constant(compileRead(node.element))
      source.emit(`const ${result} = new Array(${node.length});`)
      const place = `${at(offset)} + i * ${node.element.size}`
      source.emit(
        `for (let i = 0; i < ${node.length}; i++) try { ${result}[i] = ${element}(v, u, ${place}); } ` +
          `catch (error) { throw h.within(error, ${literal(path)} + "[" + i + "]"); }`
      )
      return result
    }
    case "Mapped": {
      const base = source.name()
      source.emit(`const ${base} = ${read(source, node.base, offset, path)};`)
      return `${source.constant(node.decode)}(${base})`
    }
    case "Union":
      return objectOf(
        source,
        node.members.map((m) => [m.name, read(source, m.node, offset, join(path, m.name))])
      )
    case "Struct":
      return objectOf(
        source,
        node.fields.map((field) => {
          const inner = join(path, field.name)
          if (field.bits === undefined) return [field.name, read(source, field.node, offset + field.offset, inner)]
          return [field.name, readBits(field.node as IntNode, offset + field.offset, field.bits, inner)]
        })
      )
  }
}

const objectOf = (source: Source, entries: ReadonlyArray<readonly [string, string]>): string => {
  // Each value is fixed in declaration order first: an entry's own checks must not run out of turn.
  const fixed = entries.map(([name, expression]) => {
    const local = source.name()
    source.emit(`const ${local} = ${expression};`)
    return [name, local] as const
  })
  return `({ ${fixed.map(([name, local]) => `${property(name)}: ${local}`).join(", ")} })`
}

export const readBits = (
  node: IntNode,
  offset: number,
  bits: { shift: number; width: number },
  path: string
): string => {
  const unit = node.size * 8
  if (node.size === 8) {
    const raw = `(v.getBigUint64(${at(offset)}, true) >> ${bits.shift}n)`
    const value = `BigInt.as${node.signed ? "Int" : "Uint"}N(${bits.width}, ${raw})`
    return node.bigint ? value : `h.safe(Number(${value}), ${literal(path)}, ${literal(node.label)})`
  }
  const raw = `v.getUint${unit}(${at(offset)}${node.size === 1 ? "" : ", true"})`
  const top = 32 - bits.width
  return `(${raw} << ${top - bits.shift} ${node.signed ? ">>" : ">>>"} ${top})`
}

const checkInt = (source: Source, node: IntNode, width: number, value: string, path: string, label: string): void => {
  const [minimum, maximum] = range(node, width)
  const test = node.bigint
    ? `typeof ${value} !== "bigint" || ${value} < ${minimum}n || ${value} > ${maximum}n`
    : node.size === 8
    ? `!Number.isSafeInteger(${value}) || ${value} < ${minimum} || ${value} > ${maximum}`
    : `typeof ${value} !== "number" || !(${value} >= ${minimum} && ${value} <= ${maximum}) || ${value} % 1 !== 0`
  const expected = `${label} (${node.bigint ? "a bigint" : "an integer"} from ${minimum} to ${maximum})`
  source.emit(`if (${test}) h.fail(${literal(path)}, ${literal(expected)}, ${value});`)
}

/** Emits what checks `value` and writes it at `o + offset`, with no zeroing of gaps. */
export const write = (source: Source, node: Node, offset: number, value: string, path: string): void => {
  switch (node._tag) {
    case "Int": {
      if (node.size === 8 && !node.bigint) return writeSafeInt64(source, node, offset, value, path)
      checkInt(source, node, node.size * 8, value, path, node.label)
      source.emit(setInt(node, offset, value))
      return
    }
    case "Bool":
      source.emit(`if (typeof ${value} !== "boolean") h.fail(${literal(path)}, "a boolean", ${value});`)
      source.emit(`u[${at(offset)}] = ${value} ? 1 : 0;`)
      return
    case "CString":
      source.emit(`h.writeCString(u, ${at(offset)}, ${node.size}, ${value}, ${literal(path)});`)
      return
    case "Bytes":
      source.emit(`h.writeBytes(u, ${at(offset)}, ${node.size}, ${value}, ${literal(path)});`)
      return
    case "Enum": {
      const number = source.name()
      source.emit(`const ${number} = h.enumNumber(${source.constant(node.values)}, ${value}, ${literal(path)});`)
      write(source, node.base, offset, number, path)
      return
    }
    case "Array": {
      const element = source.constant(compileWriteInto(node.element))
      source.emit(
        `if (!Array.isArray(${value}) || ${value}.length !== ${node.length}) ` +
          `h.fail(${literal(path)}, "an array of ${node.length}", ${value});`
      )
      source.emit(
        `for (let i = 0; i < ${node.length}; i++) try { ${element}(v, u, ${at(offset)} + i * ${node.element.size}, ` +
          `${value}[i]); } catch (error) { throw h.within(error, ${literal(path)} + "[" + i + "]"); }`
      )
      return
    }
    case "Mapped": {
      const encoded = source.name()
      source.emit(`let ${encoded};`)
      source.emit(
        `try { ${encoded} = ${source.constant(node.encode)}(${value}); } ` +
          `catch (error) { throw h.within(error, ${literal(path)}); }`
      )
      write(source, node.base, offset, encoded, path)
      return
    }
    case "Union":
      return writeUnion(source, node, offset, value, path)
    case "Struct": {
      expectObject(source, value, path, "an object")
      for (const field of node.fields) {
        const inner = join(path, field.name)
        const local = source.name()
        source.emit(`const ${local} = ${value}${property(field.name)};`)
        if (field.bits === undefined) write(source, field.node, offset + field.offset, local, inner)
        else writeBits(source, field.node as IntNode, offset + field.offset, field.bits, local, inner)
      }
      return
    }
  }
}

const expectObject = (source: Source, value: string, path: string, expected: string): void => {
  const test = `typeof ${value} !== "object" || ${value} === null`
  source.emit(`if (${test}) h.fail(${literal(path)}, ${literal(expected)}, ${value});`)
}

/**
 * The halves of a number within ±2^53, in two's complement: `setUint32` takes each modulo 2^32, and needs no BigInt. Most
 * are below 2^32, which is seen by one comparison.
 */
const writeSafeInt64 = (source: Source, node: IntNode, offset: number, value: string, path: string): void => {
  const [low, high] = node.bigEndian ? [offset + 4, offset] : [offset, offset + 4]
  const set = (place: number, half: string): void =>
    source.emit(`v.setUint32(${at(place)}, ${half}, ${!node.bigEndian});`)
  source.emit(`if (typeof ${value} === "number" && ${value} >>> 0 === ${value}) {`)
  set(low, value)
  set(high, "0")
  source.emit("} else {")
  checkInt(source, node, 64, value, path, node.label)
  set(low, value)
  set(high, `Math.floor(${value} / 4294967296)`)
  source.emit("}")
}

const writeBits = (
  source: Source,
  node: IntNode,
  offset: number,
  bits: { shift: number; width: number },
  value: string,
  path: string
): void => {
  checkInt(source, node, bits.width, value, path, `a bit-field of ${bits.width} bits`)
  if (node.size === 8) {
    const field = `BigInt.asUintN(${bits.width}, BigInt(${value})) << ${bits.shift}n`
    source.emit(`v.setBigUint64(${at(offset)}, v.getBigUint64(${at(offset)}, true) | ${field}, true);`)
    return
  }
  const order = node.size === 1 ? "" : ", true"
  const unit = node.size * 8
  const mask = bits.width === 32 ? -1 : 2 ** bits.width - 1
  source.emit(
    `v.setUint${unit}(${at(offset)}, v.getUint${unit}(${
      at(offset)
    }${order}) | (${value} & ${mask}) << ${bits.shift}${order});`
  )
}

/** True for a layout whose value holds all of its bytes, so that writing it back restores them. */
const isExact = (node: Node): boolean => {
  switch (node._tag) {
    case "Int":
    case "Bytes":
    case "Enum":
      return true
    case "Bool":
    case "CString":
    case "Mapped":
    case "Union":
      return false
    case "Array":
      return isExact(node.element)
    case "Struct":
      return !hasGaps(node) && node.fields.every((field) => isExact(field.node))
  }
}

/** What `agrees` needs of a member. */
interface Member {
  readonly size: number
  readonly read: Read
  readonly write: Write
}

/**
 * A union has no tag. Writing takes whichever members are given, the least exact first (`char name[8]` loses what follows
 * its NUL, and `uint64_t raw` nothing), so that a decoded union encodes to the bytes it came from. Then every member
 * given must read back as given: a contradiction is an error, and no lost value.
 */
const writeUnion = (
  source: Source,
  node: Extract<Node, { _tag: "Union" }>,
  offset: number,
  value: string,
  path: string
): void => {
  const exactLast = node.members.toSorted((a, b) =>
    Number(isExact(a.node)) - Number(isExact(b.node)) || a.node.size - b.node.size
  )
  const expected = `an object with at least one of ${node.members.map((m) => m.name).join(", ")}`
  expectObject(source, value, path, expected)
  const given = exactLast.map((member) => {
    const local = source.name()
    source.emit(`const ${local} = h.own(${value}, ${literal(member.name)});`)
    source.emit(`if (${local} !== undefined) {`)
    write(source, member.node, offset, local, join(path, member.name))
    source.emit("}")
    return { local, member }
  })
  source.emit(`if (${given.map(({ local }) => `${local} === undefined`).join(" && ") || "true"}) `)
  source.emit(`h.fail(${literal(path)}, ${literal(expected)}, ${value});`)
  for (const { local, member } of given) {
    const { node: inner } = member
    const tools: Member = { size: inner.size, read: compileRead(inner), write: compileWriteInto(inner) }
    source.emit(
      `if (${local} !== undefined && !h.agrees(${source.constant(tools)}, v, u, ${at(offset)}, ${local})) ` +
        `h.fail(${literal(join(path, member.name))}, "the same bytes as the union's other members", ${local});`
    )
  }
}

/** Reads one value at an offset. The caller has checked that `node.size` bytes are there. */
export const compileRead = (node: Node): Read => {
  const source = new Source()
  source.emit(`return ${read(source, node, 0, "")};`)
  return source.build<Read>("v, u, o")
}

const compileWriteInto = (node: Node): Write => {
  const source = new Source()
  write(source, node, 0, "x", "")
  return source.build<Write>("v, u, o, x")
}

/** Writes one value at an offset, with zeroed padding. Throws `LayoutError` for a value that does not fit. */
export const compileWrite = (node: Node): Write => {
  const source = new Source()
  if (hasGaps(node)) source.emit(`u.fill(0, o, o + ${node.size});`)
  write(source, node, 0, "x", "")
  return source.build<Write>("v, u, o, x")
}
