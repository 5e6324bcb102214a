// What numbers the fields of an instruction hold without changing them.
import { classes, fields, sizes } from "./opcodes.ts"

/** The least and the greatest of some integers. */
export type Range = readonly [minimum: number, maximum: number]

export const INT16: Range = [-0x8000, 0x7fff]
export const INT32: Range = [-0x80000000, 0x7fffffff]
export const UINT32: Range = [0, 0xffffffff]
/** Both readings of 32 bits. */
export const WORD32: Range = [-0x80000000, 0xffffffff]

/**
 * What the immediate of an opcode may be. Operations on 64 bits sign-extend theirs, so that 0xffffffff would become 64 bits
 * of ones: they take what stays itself. Those on 32 bits take either reading.
 */
export const immediateRange = (opcode: number): Range => {
  switch (opcode & fields.CLASS) {
    case classes.BPF_ALU64:
    case classes.BPF_JMP:
      return INT32
    case classes.BPF_ST:
      return (opcode & fields.SIZE) === sizes.BPF_DW ? INT32 : WORD32
    default:
      return WORD32
  }
}

/**
 * What to do instead of an immediate that 64 bits would change. `short` is the form of the operation on 32 bits, which takes
 * what 32 bits hold.
 */
export const cureOf = (value: unknown, short: string | undefined): string | undefined => {
  if (typeof value !== "bigint" && !Number.isInteger(value)) return undefined
  const wide = "lddw loads 64 bits into a register"
  const isShort = short !== undefined && (value as number) >= WORD32[0] && (value as number) <= WORD32[1]
  return isShort ? `${short} takes it, for the low 32 bits; ${wide}` : wide
}
