// Arithmetic as JavaScript source. A register is two locals of 32-bit integers: `l1` and `h1` are the low and high half
// of r1. That is several times faster than BigInt, which V8 puts on the heap.
import { alu, classes, fields } from "../../../isa/opcodes.ts"

/** The halves of an operand, as source. */
export interface Operand {
  readonly low: string
  readonly high: string
  /** The number, where it is an immediate. */
  readonly constant?: number
}

export const register = (number: number): Operand =>
  number === 10 ? { low: "512", high: "h10" } : { low: `l${number}`, high: `h${number}` }

export const immediate = (value: number): Operand => ({
  low: `${value < 0 ? `(${value})` : value}`,
  high: value < 0 ? "(-1)" : "0",
  constant: value
})

/** Sign extension of the low `bits` of an operand, which a 32-bit register keeps in its low half only. */
const signExtended = (low: string, bits: number): string => bits === 32 ? low : `${low}<<${32 - bits}>>${32 - bits}`

const shift64 = (operation: number, l: string, h: string, by: Operand): string => {
  const left = operation === alu.BPF_LSH
  const right = operation === alu.BPF_ARSH ? ">>" : ">>>"
  const fill = operation === alu.BPF_ARSH ? `${h}>>31` : "0"
  const far = (n: string) => left ? `${h}=${l}<<${n};${l}=0;` : `${l}=${h}${right}${n}|0;${h}=${fill};`
  const near = (n: string, rest: string) =>
    left
      ? `${h}=${h}<<${n}|${l}>>>${rest};${l}=${l}<<${n};`
      : `${l}=${l}>>>${n}|${h}<<${rest};${h}=${h}${right}${n}|0;`
  if (by.constant !== undefined) {
    const n = by.constant & 63
    if (n === 0) return ""
    return n > 31 ? far(`${n - 32}`) : near(`${n}`, `${32 - n}`)
  }
  // JavaScript masks 32-bit shifts with 31, which is what is left of 32 to 63 too.
  return `t=${by.low}&63;if(t>31){${far("t")}}else if(t!==0){${near("t", "(32-t)")}}`
}

const swapped = (l: string, h: string, bits: number, swap: boolean): string => {
  if (bits === 64) return swap ? `t=swap32(${h});${h}=swap32(${l});${l}=t;` : ""
  if (bits === 32) return swap ? `${l}=swap32(${l});${h}=0;` : `${h}=0;`
  return swap ? `${l}=(${l}&255)<<8|${l}>>>8&255;${h}=0;` : `${l}=${l}&65535;${h}=0;`
}

const alu64 = (operation: number, dst: number, b: Operand, offset: number): string => {
  const { high: h, low: l } = register(dst)
  switch (operation) {
    case alu.BPF_ADD:
      return `t=${l};${h}=${h}+${b.high}|0;${l}=${l}+${b.low}|0;if((${l}>>>0)<(t>>>0))${h}=${h}+1|0;`
    case alu.BPF_SUB:
      return `t=(${l}>>>0)<(${b.low}>>>0)?1:0;${h}=${h}-${b.high}-t|0;${l}=${l}-${b.low}|0;`
    case alu.BPF_MUL:
      return `${h}=multiplyHigh(${l},${b.low})+Math.imul(${l},${b.high})+Math.imul(${h},${b.low})|0;` +
        `${l}=Math.imul(${l},${b.low});`
    case alu.BPF_DIV:
    case alu.BPF_MOD: {
      const name = `${offset === 1 ? "signed" : "unsigned"}${operation === alu.BPF_DIV ? "Divide" : "Modulo"}`
      return `${name}(X,${l},${h},${b.low},${b.high});${l}=X[22];${h}=X[23];`
    }
    case alu.BPF_OR:
      return `${l}=${l}|${b.low};${h}=${h}|${b.high};`
    case alu.BPF_AND:
      return `${l}=${l}&${b.low};${h}=${h}&${b.high};`
    case alu.BPF_XOR:
      return `${l}=${l}^${b.low};${h}=${h}^${b.high};`
    case alu.BPF_LSH:
    case alu.BPF_RSH:
    case alu.BPF_ARSH:
      return shift64(operation, l, h, b)
    case alu.BPF_NEG:
      return `${l}=-${l}|0;${h}=~${h}+(${l}===0?1:0)|0;`
    case alu.BPF_MOV:
      // An offset of 8, 16 or 32 sign-extends. An offset of 1 casts between address spaces, which are one here.
      return offset < 8 ? `${l}=${b.low};${h}=${b.high};` : `${l}=${signExtended(b.low, offset)};${h}=${l}>>31;`
    default:
      return swapped(l, h, b.constant ?? 64, true)
  }
}

const alu32 = (operation: number, dst: number, b: Operand, offset: number): string => {
  const { high: h, low: l } = register(dst)
  const result = (value: string) => `${l}=${value};${h}=0;`
  switch (operation) {
    case alu.BPF_ADD:
      return result(`${l}+${b.low}|0`)
    case alu.BPF_SUB:
      return result(`${l}-${b.low}|0`)
    case alu.BPF_MUL:
      return result(`Math.imul(${l},${b.low})`)
    case alu.BPF_DIV:
      return result(
        offset === 1 ? `${b.low}===0?0:${l}/${b.low}|0` : `${b.low}===0?0:(${l}>>>0)/(${b.low}>>>0)|0`
      )
    case alu.BPF_MOD:
      return result(
        offset === 1 ? `${b.low}===0?${l}:${l}%${b.low}|0` : `${b.low}===0?${l}:(${l}>>>0)%(${b.low}>>>0)|0`
      )
    case alu.BPF_OR:
      return result(`${l}|${b.low}`)
    case alu.BPF_AND:
      return result(`${l}&${b.low}`)
    case alu.BPF_XOR:
      return result(`${l}^${b.low}`)
    case alu.BPF_LSH:
      return result(`${l}<<${b.low}`)
    case alu.BPF_RSH:
      return result(`${l}>>>${b.low}|0`)
    case alu.BPF_ARSH:
      return result(`${l}>>${b.low}`)
    case alu.BPF_NEG:
      return result(`-${l}|0`)
    default:
      return result(offset === 0 ? b.low : signExtended(b.low, offset))
  }
}

/** The source of an ALU or ALU64 instruction. */
export const arithmetic = (opcode: number, dst: number, src: number, offset: number, constant: number): string => {
  const operation = opcode & fields.OPERATION
  const fromRegister = (opcode & fields.SOURCE) !== 0
  if (operation === alu.BPF_END && (opcode & fields.CLASS) === classes.BPF_ALU) {
    // The bit of the source chooses the byte order here: to little endian, which is the machine's, or to big endian.
    return swapped(`l${dst}`, `h${dst}`, constant, fromRegister)
  }
  const operand = fromRegister ? register(src) : immediate(constant)
  return (opcode & fields.CLASS) === classes.BPF_ALU64
    ? alu64(operation, dst, operand, offset)
    : alu32(operation, dst, operand, offset)
}

// ---------------------------------------------------------------- what the source calls

export const swap32 = (value: number): number =>
  value << 24 | (value & 0xff00) << 8 | value >>> 8 & 0xff00 | value >>> 24

/** The high 32 bits of the product of two unsigned 32-bit numbers. */
export const multiplyHigh = (a: number, b: number): number => {
  const a0 = a & 0xffff
  const a1 = a >>> 16
  const b0 = b & 0xffff
  const b1 = b >>> 16
  const middle = a1 * b0 + ((a0 * b0) >>> 16)
  const low = (middle & 0xffff) + a0 * b1
  return (a1 * b1 + Math.floor(middle / 0x10000) + Math.floor(low / 0x10000)) | 0
}

const join = (low: number, high: number): bigint => (BigInt(high) << 32n) | BigInt(low >>> 0)

const give = (out: Int32Array, value: bigint): void => {
  out[22] = Number(BigInt.asIntN(32, value))
  out[23] = Number(BigInt.asIntN(32, value >> 32n))
}

const give32 = (out: Int32Array, value: number): void => {
  out[22] = value
  out[23] = 0
}

/** The four divisions give their result in `out[22]` and `out[23]`. Dividing by zero gives 0, modulo zero the dividend. */
export const unsignedDivide = (out: Int32Array, al: number, ah: number, bl: number, bh: number): void => {
  if ((bl | bh) === 0) give32(out, 0)
  else if ((ah | bh) === 0) give32(out, (al >>> 0) / (bl >>> 0))
  else give(out, BigInt.asUintN(64, join(al, ah)) / BigInt.asUintN(64, join(bl, bh)))
}

export const unsignedModulo = (out: Int32Array, al: number, ah: number, bl: number, bh: number): void => {
  if ((bl | bh) === 0) give(out, join(al, ah))
  else if ((ah | bh) === 0) give32(out, (al >>> 0) % (bl >>> 0))
  else give(out, BigInt.asUintN(64, join(al, ah)) % BigInt.asUintN(64, join(bl, bh)))
}

export const signedDivide = (out: Int32Array, al: number, ah: number, bl: number, bh: number): void => {
  if ((bl | bh) === 0) give32(out, 0)
  else give(out, join(al, ah) / join(bl, bh))
}

export const signedModulo = (out: Int32Array, al: number, ah: number, bl: number, bh: number): void => {
  if ((bl | bh) === 0) give(out, join(al, ah))
  else give(out, join(al, ah) % join(bl, bh))
}
