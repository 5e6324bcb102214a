// Arithmetic on registers: classes ALU (32 bits) and ALU64.
import type { Instruction } from "../Instruction.ts"
import { alu, BPF_ADDR_SPACE_CAST, classes, SIGNED, sources } from "../opcodes.ts"
import { at, type Immediate, number, operand, type Register } from "./operand.ts"
import { named } from "./source.ts"

/** An operation of `dst` with a register or a sign-extended 32-bit immediate, into `dst`. */
export type Arithmetic = (dst: Register, value: Register | Immediate) => Instruction

const arithmetic = (name: string, operation: number, offset = 0): Arithmetic => {
  const base = operation | (name.endsWith("32") ? classes.BPF_ALU : classes.BPF_ALU64)
  const builder: Arithmetic = named(name, (dst, value) => {
    const { from, ...rest } = operand(value)
    return at(builder, { opcode: base | from, dst: number(dst), offset, ...rest })
  })
  return builder
}

/** `dst = value` */
export const mov: Arithmetic = arithmetic("mov", alu.BPF_MOV)
/** `dst += value` */
export const add: Arithmetic = arithmetic("add", alu.BPF_ADD)
/** `dst -= value` */
export const sub: Arithmetic = arithmetic("sub", alu.BPF_SUB)
/** `dst *= value` */
export const mul: Arithmetic = arithmetic("mul", alu.BPF_MUL)
/** `dst /= value`, unsigned; 0 when dividing by zero */
export const div: Arithmetic = arithmetic("div", alu.BPF_DIV)
/** `dst %= value`, unsigned; `dst` unchanged when dividing by zero */
export const mod: Arithmetic = arithmetic("mod", alu.BPF_MOD)
/** `dst /= value`, signed; 0 when dividing by zero. Kernel 6.6. */
export const sdiv: Arithmetic = arithmetic("sdiv", alu.BPF_DIV, SIGNED)
/** `dst %= value`, signed, with the sign of `dst`; `dst` unchanged when dividing by zero. Kernel 6.6. */
export const smod: Arithmetic = arithmetic("smod", alu.BPF_MOD, SIGNED)
/** `dst |= value` */
export const or: Arithmetic = arithmetic("or", alu.BPF_OR)
/** `dst &= value` */
export const and: Arithmetic = arithmetic("and", alu.BPF_AND)
/** `dst ^= value` */
export const xor: Arithmetic = arithmetic("xor", alu.BPF_XOR)
/** `dst <<= value` */
export const lsh: Arithmetic = arithmetic("lsh", alu.BPF_LSH)
/** `dst >>= value`, filling with zeros */
export const rsh: Arithmetic = arithmetic("rsh", alu.BPF_RSH)
/** `dst >>= value`, filling with the sign */
export const arsh: Arithmetic = arithmetic("arsh", alu.BPF_ARSH)

/** As `mov`, on the low 32 bits; the high ones become zero, as in all operations that end in 32. */
export const mov32: Arithmetic = arithmetic("mov32", alu.BPF_MOV)
/** As `add`, on the low 32 bits. */
export const add32: Arithmetic = arithmetic("add32", alu.BPF_ADD)
/** As `sub`, on the low 32 bits. */
export const sub32: Arithmetic = arithmetic("sub32", alu.BPF_SUB)
/** As `mul`, on the low 32 bits. */
export const mul32: Arithmetic = arithmetic("mul32", alu.BPF_MUL)
/** As `div`, on the low 32 bits. */
export const div32: Arithmetic = arithmetic("div32", alu.BPF_DIV)
/** As `mod`, on the low 32 bits. */
export const mod32: Arithmetic = arithmetic("mod32", alu.BPF_MOD)
/** As `sdiv`, on the low 32 bits. */
export const sdiv32: Arithmetic = arithmetic("sdiv32", alu.BPF_DIV, SIGNED)
/** As `smod`, on the low 32 bits. */
export const smod32: Arithmetic = arithmetic("smod32", alu.BPF_MOD, SIGNED)
/** As `or`, on the low 32 bits. */
export const or32: Arithmetic = arithmetic("or32", alu.BPF_OR)
/** As `and`, on the low 32 bits. */
export const and32: Arithmetic = arithmetic("and32", alu.BPF_AND)
/** As `xor`, on the low 32 bits. */
export const xor32: Arithmetic = arithmetic("xor32", alu.BPF_XOR)
/** As `lsh`, on the low 32 bits. */
export const lsh32: Arithmetic = arithmetic("lsh32", alu.BPF_LSH)
/** As `rsh`, on the low 32 bits. */
export const rsh32: Arithmetic = arithmetic("rsh32", alu.BPF_RSH)
/** As `arsh`, on the low 32 bits. */
export const arsh32: Arithmetic = arithmetic("arsh32", alu.BPF_ARSH)

/** `dst = -dst` */
export const neg = (dst: Register): Instruction =>
  at(neg, { opcode: classes.BPF_ALU64 | alu.BPF_NEG, dst: number(dst) })

/** As `neg`, on the low 32 bits. */
export const neg32 = (dst: Register): Instruction =>
  at(neg32, { opcode: classes.BPF_ALU | alu.BPF_NEG, dst: number(dst) })

/** `dst` = the low `bits` of `src`, sign-extended to 64. Kernel 6.6. */
export const movsx = (dst: Register, src: Register, bits: 8 | 16 | 32): Instruction =>
  at(movsx, {
    opcode: classes.BPF_ALU64 | alu.BPF_MOV | sources.BPF_X,
    dst: number(dst),
    src: number(src),
    offset: bits
  })

/** As `movsx`, to 32 bits; the high ones become zero. Kernel 6.6. */
export const movsx32 = (dst: Register, src: Register, bits: 8 | 16): Instruction =>
  at(movsx32, {
    opcode: classes.BPF_ALU | alu.BPF_MOV | sources.BPF_X,
    dst: number(dst),
    src: number(src),
    offset: bits
  })

/** The low `bits` of `dst` from or to little-endian, which only cuts off the rest on these machines. */
export const le = (dst: Register, bits: 16 | 32 | 64): Instruction =>
  at(le, { opcode: classes.BPF_ALU | alu.BPF_END | sources.BPF_K, dst: number(dst), immediate: bits })

/** The low `bits` of `dst` from or to big-endian, which is network byte order; the rest becomes zero. */
export const be = (dst: Register, bits: 16 | 32 | 64): Instruction =>
  at(be, { opcode: classes.BPF_ALU | alu.BPF_END | sources.BPF_X, dst: number(dst), immediate: bits })

/** The low `bits` of `dst` with their bytes in reverse; the rest becomes zero. Kernel 6.6. */
export const bswap = (dst: Register, bits: 16 | 32 | 64): Instruction =>
  at(bswap, { opcode: classes.BPF_ALU64 | alu.BPF_END, dst: number(dst), immediate: bits })

/**
 * `dst = src`, a pointer of address space `from` made one of `to`. Space 1 is an arena, as user space sees its addresses,
 * and 0 the kernel's: `addrSpaceCast(dst, src, 0, 1)` before a program uses a pointer that it read from an arena. Kernel
 * 6.9.
 */
export const addrSpaceCast = (dst: Register, src: Register, to: 0 | 1, from: 0 | 1): Instruction =>
  at(addrSpaceCast, {
    opcode: classes.BPF_ALU64 | alu.BPF_MOV | sources.BPF_X,
    dst: number(dst),
    src: number(src),
    offset: BPF_ADDR_SPACE_CAST,
    immediate: (to << 16) | from
  })
