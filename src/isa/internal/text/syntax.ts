// The words of the text form, for the printer and the parser alike.
import { alu, atomics, jumps, sizes } from "../../opcodes.ts"

/** `r1 += r2`: the operator of each operation that takes an operand. */
export const arithmeticOperators: ReadonlyArray<readonly [operator: string, operation: number]> = [
  ["+=", alu.BPF_ADD],
  ["-=", alu.BPF_SUB],
  ["*=", alu.BPF_MUL],
  ["/=", alu.BPF_DIV],
  ["|=", alu.BPF_OR],
  ["&=", alu.BPF_AND],
  ["<<=", alu.BPF_LSH],
  [">>=", alu.BPF_RSH],
  ["%=", alu.BPF_MOD],
  ["^=", alu.BPF_XOR],
  ["s>>=", alu.BPF_ARSH]
]

/** Division has a signed form, told by the offset. */
export const signedOperators: ReadonlyArray<readonly [operator: string, operation: number]> = [
  ["s/=", alu.BPF_DIV],
  ["s%=", alu.BPF_MOD]
]

/** `if r1 == r2 goto`: the comparison of each conditional jump. */
export const comparisons: ReadonlyArray<readonly [operator: string, operation: number]> = [
  ["==", jumps.BPF_JEQ],
  [">", jumps.BPF_JGT],
  [">=", jumps.BPF_JGE],
  ["&", jumps.BPF_JSET],
  ["!=", jumps.BPF_JNE],
  ["s>", jumps.BPF_JSGT],
  ["s>=", jumps.BPF_JSGE],
  ["<", jumps.BPF_JLT],
  ["<=", jumps.BPF_JLE],
  ["s<", jumps.BPF_JSLT],
  ["s<=", jumps.BPF_JSLE]
]

/** `*(u64 *)`: sizes of memory by the number of bits. */
export const widths: ReadonlyArray<readonly [bits: number, size: number]> = [
  [8, sizes.BPF_B],
  [16, sizes.BPF_H],
  [32, sizes.BPF_W],
  [64, sizes.BPF_DW]
]

/** `lock *(u64 *)(r1 + 0) += r2`: atomics that give nothing back. */
export const lockedOperators: ReadonlyArray<readonly [operator: string, code: number]> = [
  ["+=", atomics.BPF_ADD],
  ["|=", atomics.BPF_OR],
  ["&=", atomics.BPF_AND],
  ["^=", atomics.BPF_XOR]
]

/** `r2 = atomic64_fetch_add((u64 *)(r1 + 0), r2)`: atomics that give the old value back. */
export const fetchingAtomics: ReadonlyArray<readonly [name: string, code: number]> = [
  ["fetch_add", atomics.BPF_ADD | atomics.BPF_FETCH],
  ["fetch_or", atomics.BPF_OR | atomics.BPF_FETCH],
  ["fetch_and", atomics.BPF_AND | atomics.BPF_FETCH],
  ["fetch_xor", atomics.BPF_XOR | atomics.BPF_FETCH],
  ["xchg", atomics.BPF_XCHG]
]

/** A name as the text form has it: bare if it is a plain word, else in quotes as JSON has it. */
export const quoted = (name: string): string => /^[A-Za-z_.$][\w.$]*$/.test(name) ? name : JSON.stringify(name)
