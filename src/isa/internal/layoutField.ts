// Loads and stores of a layout's fields: by name, with the size, byte order and sign that the layout tells.
import { isLayout, type Layout } from "../../layout/Layout.ts"
import { arsh, be, lsh, mov, rsh } from "./arithmetic.ts"
import { type Fault, show } from "./check.ts"
import type { Item } from "./item.ts"
import { ldxb, ldxdw, ldxh, ldxw, type Load, stb, stdw, sth, type Store, stw } from "./memory.ts"
import { isRegister, type Register } from "./operand.ts"
import { captureSource } from "./source.ts"

type Node = Layout<unknown>["node"]

/** A scalar at an offset, and the bits that it has where it is a bit-field. */
interface Scalar {
  readonly offset: number
  readonly size: 1 | 2 | 4 | 8
  readonly signed: boolean
  readonly bigEndian: boolean
  /** True where nothing but 0 and 1 is a value. */
  readonly bool: boolean
  readonly bits: { readonly shift: number; readonly width: number } | undefined
}

/** What no program can hold; `assemble` reports it at the place of the sequence that is being made. */
export const mistake = (expected: string, actual: string, cure?: string): Item =>
  faulty({ operand: undefined, expected, actual, cure })

/** A wrong operand as an item. */
export const faulty = (fault: Fault): Item => ({ _tag: "Mistake", ...fault, source: captureSource(faulty) })

const childOf = (node: Node, name: string): { node: Node; offset: number; bits: Scalar["bits"] } | undefined => {
  if (node._tag === "Struct") return node.fields.find((field) => field.name === name)
  if (node._tag !== "Union") return undefined
  const member = node.members.find((one) => one.name === name)
  return member && { node: member.node, offset: 0, bits: undefined }
}

const scalarOf = (node: Node, offset: number, bits: Scalar["bits"]): Scalar | undefined => {
  switch (node._tag) {
    case "Int":
      return { offset, size: node.size, signed: node.signed, bigEndian: node.bigEndian, bool: false, bits }
    case "Bool":
      return { offset, size: 1, signed: false, bigEndian: false, bool: true, bits }
    case "Enum":
    case "Mapped":
      return scalarOf(node.base, offset, bits)
    default:
      return undefined
  }
}

/** The scalar at a path of fields, `"header.length"`; the whole layout for `""`. */
const find = (layout: Layout<any>, path: string): Scalar | string => {
  if (!isLayout(layout)) return `${show(layout)} in place of a layout`
  if (typeof path !== "string") return `${show(path)} in place of a path`
  let node = layout.node as Node
  let offset = 0
  let bits: Scalar["bits"]
  for (const name of path === "" ? [] : path.split(".")) {
    const child = childOf(node, name)
    if (child === undefined) return `no field ${name}`
    node = child.node
    offset += child.offset
    bits = child.bits
  }
  return scalarOf(node, offset, bits) ?? `a ${node._tag}`
}

const loads: { readonly [S in Scalar["size"]]: Load } = { 1: ldxb, 2: ldxh, 4: ldxw, 8: ldxdw }
const stores: { readonly [S in Scalar["size"]]: Store } = { 1: stb, 2: sth, 4: stw, 8: stdw }

/** Cuts `width` bits at `shift` out of a register, with their sign or with zeros. */
const extract = (dst: Register, shift: number, width: number, signed: boolean): ReadonlyArray<Item> => [
  lsh(dst, 64 - shift - width),
  signed ? arsh(dst, 64 - width) : rsh(dst, 64 - width)
]

/** `dst` = the field of the layout's value at `base + at`, in 64 bits with its sign. */
export const read = (dst: Register, base: Register, at: number, layout: Layout<any>, path: string): Item => {
  const field = find(layout, path)
  if (typeof field === "string") return mistake(`an integer field ${show(path)} of the layout`, field)
  const { bigEndian, bits, offset, signed, size } = field
  const load = loads[size](dst, base, at + offset)
  if (bits !== undefined) return [load, extract(dst, bits.shift, bits.width, signed)]
  const swap = bigEndian && size > 1 ? [be(dst, (size * 8) as 16 | 32 | 64)] : []
  const extend = signed && size < 8 ? extract(dst, 0, size * 8, true) : []
  return [load, swap, extend]
}

const swapped = (value: number | bigint, size: number): bigint => {
  let rest = BigInt.asUintN(size * 8, BigInt(value))
  let out = 0n
  for (let i = 0; i < size; i++) {
    out = (out << 8n) | (rest & 0xffn)
    rest >>= 8n
  }
  return out
}

/** The least and the greatest value of a field, as the layout's own encoder has them. */
const limits = ({ bool, signed, size }: Scalar): readonly [minimum: bigint, maximum: bigint] => {
  if (bool) return [0n, 1n]
  const width = BigInt(size * 8)
  return signed ? [-(1n << (width - 1n)), (1n << (width - 1n)) - 1n] : [0n, (1n << width) - 1n]
}

/** A number as the immediate of a store of `size` bytes, or `undefined` where 32 bits do not hold it. */
const immediateOf = (wide: bigint, { bigEndian, size }: Scalar): number | undefined => {
  const bits = bigEndian ? swapped(wide, size) : BigInt.asUintN(size * 8, wide)
  const signed = BigInt.asIntN(size === 8 ? 64 : 32, bits)
  return signed >= -(2n ** 31n) && signed < 2n ** 31n ? Number(signed) : undefined
}

/** The field of the layout's value at `base + at` = a register, or a number. A big-endian one of a register destroys r0. */
export const write = (
  base: Register,
  at: number,
  layout: Layout<any>,
  path: string,
  value: Register | number | bigint
): Item => {
  const field = find(layout, path)
  if (typeof field === "string") return mistake(`an integer field ${show(path)} of the layout`, field)
  if (field.bits !== undefined) return mistake(`a field ${show(path)} of whole bytes`, "a bit-field")
  const { bigEndian, offset, size } = field
  const store = stores[size]
  if (!isRegister(value)) {
    const [minimum, maximum] = limits(field)
    const isWhole = typeof value === "bigint" || Number.isSafeInteger(value)
    const wide = isWhole ? BigInt(value) : undefined
    if (wide === undefined || wide < minimum || wide > maximum) {
      return mistake(
        `field ${show(path)} to be a register, or an integer from ${minimum} to ${maximum}`,
        show(value)
      )
    }
    const immediate = immediateOf(wide, field)
    return immediate === undefined
      ? mistake(
        `a number that 32 bits hold for field ${show(path)}, or a register`,
        show(value),
        "load it into a register with lddw"
      )
      : store(base, at + offset, immediate)
  }
  if (!bigEndian || size === 1) return store(base, at + offset, value)
  return [mov("r0", value), be("r0", (size * 8) as 16 | 32 | 64), store(base, at + offset, "r0")]
}
