// Turns a Node into two JavaScript functions, once. Interpreting the description per record costs 10 times as much as
// the generated code (85 ns against 5-10 ns for three integers), and records come by the million.
//
// Everything that is spliced into the source is a number computed here or a JSON string literal; names chosen by a
// user or read from a file never become code.
import { join, LayoutError, show } from "./error.ts"
import { hasGaps, type IntNode, type Node, range } from "./node.ts"

export type Read = (view: DataView, bytes: Uint8Array, offset: number) => unknown
export type Write = (view: DataView, bytes: Uint8Array, offset: number, value: unknown) => void

const fail = (path: string, expected: string, actual: unknown): never => {
  throw new LayoutError({ path, expected, actual: show(actual) })
}

const decoder = new TextDecoder()
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

const writeCString = (bytes: Uint8Array, start: number, size: number, value: unknown, path: string): void => {
  if (typeof value !== "string") return fail(path, `a string of at most ${size - 1} bytes`, value)
  const encoded = encoder.encode(value)
  if (encoded.length >= size) {
    return fail(path, `a string of at most ${size - 1} bytes in UTF-8`, `${show(value)} (${encoded.length} bytes)`)
  }
  if (encoded.includes(0)) return fail(path, "a string without NUL", value)
  bytes.set(encoded, start)
}

const writeBytes = (bytes: Uint8Array, start: number, size: number, value: unknown, path: string): void => {
  if (!(value instanceof Uint8Array) || value.length !== size) return fail(path, `a Uint8Array of ${size} bytes`, value)
  bytes.set(value, start)
}

const within = (error: unknown, outer: string): unknown =>
  error instanceof LayoutError
    ? new LayoutError({ path: join(outer, error.path), expected: error.expected, actual: error.actual })
    : error

const enumNumber = (values: ReadonlyMap<string, number>, value: unknown, path: string): unknown => {
  if (typeof value !== "string") return value
  return values.get(value) ?? fail(path, `one of ${[...values.keys()].join(", ")}, or a number`, value)
}

/** Two decoded values are the same if their layouts wrote the same bytes; used only where a union has several members set. */
const same = (a: unknown, b: unknown): boolean => {
  if (Object.is(a, b) || (a === 0 && b === 0)) return true
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return false
  const keys = Object.keys(a)
  return keys.length === Object.keys(b).length &&
    keys.every((key) => same((a as Record<string, unknown>)[key], (b as Record<string, unknown>)[key]))
}

const expectObject = (value: unknown, path: string, expected: string): unknown =>
  typeof value === "object" && value !== null ? value : fail(path, expected, value)

const helpers = { fail, readCString, writeCString, writeBytes, within, enumNumber, same, expectObject }

const literal = (value: string): string => JSON.stringify(value)
const property = (name: string): string => `[${literal(name)}]`

/** Collects generated statements and the constants that they refer to. */
class Source {
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
  const value = source.name()
  source.emit(
    `const ${value} = v.get${node.signed ? "Int" : "Uint"}32(${at(high)}, ${!node.bigEndian}) * 4294967296 + ` +
      `v.getUint32(${at(low)}, ${!node.bigEndian});`
  )
  source.emit(
    `if (!Number.isSafeInteger(${value})) h.fail(${literal(path)}, "a ${node.label} within ±(2^53 - 1)", ${value});`
  )
  return value
}

const read = (source: Source, node: Node, offset: number, path: string): string => {
  switch (node._tag) {
    case "Int":
      return node.size === 8 && !node.bigint ? readSafeInt64(source, node, offset, path) : getInt(node, offset)
    case "Bool":
      return `u[${at(offset)}] !== 0`
    case "CString":
      return `h.readCString(u, ${at(offset)}, ${node.size})`
    case "Bytes":
      return `u.slice(${at(offset)}, ${at(offset + node.size)})`
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
      source.emit(
        `for (let i = 0; i < ${node.length}; i++) ${result}[i] = ${element}(v, u, ${
          at(offset)
        } + i * ${node.element.size});`
      )
      return result
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
          return [field.name, readBits(field.node as IntNode, offset + field.offset, field.bits)]
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

const readBits = (node: IntNode, offset: number, bits: { shift: number; width: number }): string => {
  const unit = node.size * 8
  if (node.size === 8) {
    const raw = `(v.getBigUint64(${at(offset)}, true) >> ${bits.shift}n)`
    const value = `BigInt.as${node.signed ? "Int" : "Uint"}N(${bits.width}, ${raw})`
    return node.bigint ? value : `Number(${value})`
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

const write = (source: Source, node: Node, offset: number, value: string, path: string): void => {
  switch (node._tag) {
    case "Int": {
      checkInt(source, node, node.size * 8, value, path, node.label)
      source.emit(setInt(node, offset, node.size === 8 && !node.bigint ? `BigInt(${value})` : value))
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
    case "Union":
      return writeUnion(source, node, offset, value, path)
    case "Struct": {
      source.emit(`h.expectObject(${value}, ${literal(path)}, "an object");`)
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

/**
 * A union has no tag. Writing takes whichever members are given: the widest is written, and every other one must read
 * back as given, so that a decoded union can be encoded again and a contradiction is an error instead of a lost value.
 */
const writeUnion = (
  source: Source,
  node: Extract<Node, { _tag: "Union" }>,
  offset: number,
  value: string,
  path: string
): void => {
  const byWidth = node.members.toSorted((a, b) => b.node.size - a.node.size)
  const names = node.members.map((m) => m.name).join(", ")
  const done = source.name()
  source.emit(`h.expectObject(${value}, ${literal(path)}, ${literal(`an object with at least one of ${names}`)});`)
  source.emit(`let ${done} = false;`)
  for (const member of byWidth) {
    const inner = join(path, member.name)
    const local = source.name()
    source.emit(`const ${local} = ${value}${property(member.name)};`)
    source.emit(`if (${local} !== undefined) { if (!${done}) { ${done} = true;`)
    write(source, member.node, offset, local, inner)
    source.emit(
      `} else if (!h.same(${source.constant(compileRead(member.node))}(v, u, ${at(offset)}), ${local})) ` +
        `h.fail(${literal(inner)}, "the same bytes as the union's other members", ${local}); }`
    )
  }
  source.emit(
    `if (!${done}) h.fail(${literal(path)}, ${literal(`an object with at least one of ${names}`)}, ${value});`
  )
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
