// Arithmetic on registers: classes ALU (32 bits) and ALU64.
import type { Instruction } from "../Instruction.ts"
import { alu, BPF_ADDR_SPACE_CAST, classes, SIGNED, sources } from "../opcodes.ts"
import { immediateRange } from "../immediates.ts"
import { at, type Immediate, isCore, Operands, type Register } from "./operand.ts"
import { named } from "./source.ts"

/**
 * An operation of `dst` with a register or an immediate, into `dst`. An immediate has 32 bits, and its sign is extended to
 * 64: it is from -2^31 to 2^31 - 1, and what is larger goes through a register (`lddw`). Operations that end in 32 also take
 * what is below 2^32.
 */
export type Arithmetic = (dst: Register, value: Register | Immediate) => Instruction

const arithmetic = (name: string, operation: number, offset = 0): Arithmetic => {
  const base = operation | (name.endsWith("32") ? classes.BPF_ALU : classes.BPF_ALU64)
  const bounds = { range: immediateRange(base), short: name.endsWith("32") ? undefined : `${name}32` }
  const builder: Arithmetic = named(name, (dst, value) => {
    const operands = new Operands(builder)
    const number = operands.register("dst", dst)
    if (isCore(value)) {
      return at(builder, operands, { opcode: base, dst: number, offset, reference: operands.core("value", value) })
    }
    const { from, ...rest } = operands.operand(value, bounds)
    return at(builder, operands, { opcode: base | from, dst: number, offset, ...rest })
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

/** An operation on one register. */
export type Negation = (dst: Register) => Instruction

const negation = (name: string, instructionClass: number): Negation => {
  const opcode = instructionClass | alu.BPF_NEG
  const builder: Negation = named(name, (dst) => {
    const operands = new Operands(builder)
    return at(builder, operands, { opcode, dst: operands.register("dst", dst) })
  })
  return builder
}

/** `dst = -dst` */
export const neg: Negation = negation("neg", classes.BPF_ALU64)

/** As `neg`, on the low 32 bits. */
export const neg32: Negation = negation("neg32", classes.BPF_ALU)

const extension = <Bits extends number>(name: string, instructionClass: number, widths: ReadonlyArray<Bits>) => {
  const opcode = instructionClass | alu.BPF_MOV | sources.BPF_X
  const builder: (dst: Register, src: Register, bits: Bits) => Instruction = named(name, (dst, src, bits) => {
    const operands = new Operands(builder)
    return at(builder, operands, {
      opcode,
      dst: operands.register("dst", dst),
      src: operands.register("src", src),
      offset: operands.oneOf("bits", bits, widths)
    })
  })
  return builder
}

/** `dst` = the low `bits` of `src`, sign-extended to 64. Kernel 6.6. */
export const movsx: (dst: Register, src: Register, bits: 8 | 16 | 32) => Instruction = extension(
  "movsx",
  classes.BPF_ALU64,
  [8, 16, 32]
)

/** As `movsx`, to 32 bits; the high ones become zero. Kernel 6.6. */
export const movsx32: (dst: Register, src: Register, bits: 8 | 16) => Instruction = extension(
  "movsx32",
  classes.BPF_ALU,
  [8, 16]
)

/** An operation on the order of bytes. */
export type ByteSwap = (dst: Register, bits: 16 | 32 | 64) => Instruction

const byteSwap = (name: string, opcode: number): ByteSwap => {
  const builder: ByteSwap = named(name, (dst, bits) => {
    const operands = new Operands(builder)
    return at(builder, operands, {
      opcode,
      dst: operands.register("dst", dst),
      immediate: operands.oneOf("bits", bits, [16, 32, 64])
    })
  })
  return builder
}

/** The low `bits` of `dst` from or to little-endian, which only cuts off the rest on these machines. */
export const le: ByteSwap = byteSwap("le", classes.BPF_ALU | alu.BPF_END | sources.BPF_K)

/** The low `bits` of `dst` from or to big-endian, which is network byte order; the rest becomes zero. */
export const be: ByteSwap = byteSwap("be", classes.BPF_ALU | alu.BPF_END | sources.BPF_X)

/** The low `bits` of `dst` with their bytes in reverse; the rest becomes zero. Kernel 6.6. */
export const bswap: ByteSwap = byteSwap("bswap", classes.BPF_ALU64 | alu.BPF_END)

/**
 * `dst = src`, a pointer of address space `from` made one of `to`. Space 1 is an arena, as user space sees its addresses,
 * and 0 the kernel's: `addrSpaceCast(dst, src, 0, 1)` before a program uses a pointer that it read from an arena. Kernel
 * 6.9.
 */
export const addrSpaceCast = (dst: Register, src: Register, to: 0 | 1, from: 0 | 1): Instruction => {
  const operands = new Operands(addrSpaceCast)
  const spaces = [operands.oneOf("to", to, [0, 1]), operands.oneOf("from", from, [0, 1])] as const
  return at(addrSpaceCast, operands, {
    opcode: classes.BPF_ALU64 | alu.BPF_MOV | sources.BPF_X,
    dst: operands.register("dst", dst),
    src: operands.register("src", src),
    offset: BPF_ADDR_SPACE_CAST,
    immediate: (spaces[0] << 16) | spaces[1]
  })
}
