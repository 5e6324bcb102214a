// Words that several kinds of instruction have: registers, numbers, addresses and targets.
import type { Reference } from "../../Instruction.ts"
import { INT16, INT32, type Range, WORD32 } from "../../immediates.ts"
import type { Scanner } from "./scan.ts"
import { widths } from "./syntax.ts"

/** The numbers of an instruction, and the name of the label or function that its distance leads to. */
export interface Parsed {
  readonly opcode: number
  readonly dst?: number
  readonly src?: number
  readonly offset?: number
  readonly immediate?: number | bigint
  readonly reference?: Reference
  readonly target?: string | undefined
  /** True where the distance itself was given too. */
  readonly numbered?: boolean
  /** A place that the distance must lead to: so many bytes beyond where a function begins. */
  readonly place?: { readonly name: string; readonly bytes: number } | undefined
}

/** `r1` or `w1`. */
export interface RegisterWord {
  readonly number: number
  readonly bits: 32 | 64
}

export const registerWords = new Map<string, RegisterWord>()
for (let number = 0; number <= 10; number++) {
  registerWords.set(`r${number}`, { number, bits: 64 })
  registerWords.set(`w${number}`, { number, bits: 32 })
}

export const register = (s: Scanner, bits?: 32 | 64): number => {
  const wanted = bits === undefined ? "a register" : bits === 64 ? "a register r0 to r10" : "a register w0 to w10"
  const found = registerWords.get(s.peek())
  if (found === undefined || (bits !== undefined && found.bits !== bits)) return s.fail(wanted)
  s.take()
  return found.number
}

/** Both readings of 32 bits are common, where an operation is on 32 bits; the bytes are the same. */
export const immediate32 = (s: Scanner): number => s.number(...WORD32) | 0

/** An immediate of an operation on 64 bits, which extends its sign: what has more bits would become another number. */
export const immediate64 = (s: Scanner, range: Range = INT32): number => {
  const column = s.column
  const value = s.big()
  const signed = BigInt.asIntN(64, value)
  if (signed >= BigInt(range[0]) && signed <= BigInt(range[1])) return Number(signed) | 0
  return s.fail(
    `a number from ${INT32[0]} to ${
      INT32[1]
    }, since the operation extends its sign to 64 bits; what has more goes through a register`,
    String(signed),
    column
  )
}

/** `+5`, `-5`, `pc+5`. */
export const distance = (s: Scanner, minimum: number, maximum: number): number => {
  s.skip("pc")
  if (!s.skip("+") && !s.is("-")) s.fail("a distance such as +5")
  return s.number(minimum, maximum)
}

export const offset16 = (s: Scanner): number => s.number(...INT16)

/** `+ 8` or `- 8`, or nothing. */
export const addend = (s: Scanner, read: (s: Scanner) => number): number => {
  if (s.skip("+")) return read(s)
  return s.is("-") ? read(s) : 0
}

/** `(r10 - 8)` */
export const address = (s: Scanner): { readonly register: number; readonly offset: number } => {
  s.expect("(")
  const base = register(s, 64)
  const offset = addend(s, offset16)
  s.expect(")")
  return { register: base, offset }
}

/** `u8` to `u64`, or `s8` to `s32`. */
export interface Width {
  readonly size: number
  readonly bits: number
  readonly signed: boolean
}

export const widthWords = new Map<string, Width>()
for (const [bits, size] of widths) {
  widthWords.set(`u${bits}`, { size, bits, signed: false })
  widthWords.set(`s${bits}`, { size, bits, signed: true })
}

/** `u64 *)` */
export const pointer = (s: Scanner): Width => {
  const width = s.from(widthWords) ?? s.fail("u8, u16, u32, u64, s8, s16 or s32")
  s.expect("*")
  s.expect(")")
  return width
}

/** Where a jump or a call goes. */
export interface Target {
  readonly distance: number
  readonly target: string | undefined
  readonly numbered: boolean
  readonly place?: Parsed["place"]
}

/** llvm-objdump names a target by the function that it is in: `<parse+0x30>`. */
const PLACE = /^(.+)\+0x([0-9a-f]{1,8})$/

/** `+5 <name>`, or a name alone, in brackets or not. */
export const target = (s: Scanner, bits: 16 | 32): Target => {
  if (s.is("<")) return { distance: 0, target: s.optionalName(), numbered: false }
  if (!s.is("+") && !s.is("-") && !s.is("pc")) return { distance: 0, target: s.name(), numbered: false }
  const far = bits === 32 ? distance(s, ...INT32) : distance(s, ...INT16)
  const name = s.optionalName()
  const place = name === undefined ? null : PLACE.exec(name)
  if (place === null) return { distance: far, target: name, numbered: true }
  return {
    distance: far,
    target: undefined,
    numbered: true,
    place: { name: place[1]!, bytes: Number.parseInt(place[2]!, 16) }
  }
}
