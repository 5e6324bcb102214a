// Where control goes: labels, jumps, functions, calls and the end.
import { bpf_func_id } from "../../abi/generated/enums.ts"
import type { Instruction } from "../Instruction.ts"
import {
  CALL,
  calls,
  classes,
  CONDITIONAL_JUMP,
  conditions,
  EXIT,
  INDIRECT_JUMP,
  JUMP,
  jumps,
  LONG_JUMP,
  pseudo,
  WIDE_LOAD
} from "../opcodes.ts"
import type { FunctionItem, Item, Label, Scope } from "./item.ts"
import { at, number, operand, type Register } from "./operand.ts"
import { captureSource, named } from "./source.ts"

/** A helper function of the kernel by its name in `bpf-helpers(7)`, without `bpf_`. */
export type Helper = keyof typeof bpf_func_id extends infer K ? K extends `BPF_FUNC_${infer N}` ? N : never : never

/** A named place that jumps of the same function can go to. */
export const label = (name: string): Label => ({ _tag: "Label", name, source: captureSource(label) })

/**
 * Items whose labels are their own: they hide outer ones of the same name, and are not seen from outside. For pieces of a
 * program that are used several times.
 */
export const scope = (items: ReadonlyArray<Item>): Scope => ({ _tag: "Scope", items })

/**
 * A function of the program, to be called by `callLocal` or given to a helper that calls it back (`ldFunc`). It gets its
 * arguments in `r1` to `r5`, has a stack frame of its own and gives its result in `r0`. Labels are its own too.
 *
 * What stands outside of all functions is the program's entry; without that the first function is. A `global` function is
 * verified by itself, for any values of its `parameters`, which then are plain numbers; kernel 5.6.
 */
export const func = (
  name: string,
  items: ReadonlyArray<Item>,
  options?: { readonly global?: boolean; readonly parameters?: number }
): FunctionItem => ({
  _tag: "Function",
  name,
  items,
  global: options?.global ?? false,
  parameters: options?.parameters ?? 0,
  source: captureSource(func)
})

/** Jumps to a label if `dst` compares so to a register or a sign-extended 32-bit immediate. */
export type Jump = (dst: Register, value: Register | number, target: string) => Instruction

const jump = (name: string, operation: number): Jump => {
  const base = operation | (name.endsWith("32") ? classes.BPF_JMP32 : classes.BPF_JMP)
  const builder: Jump = named(name, (dst, value, target) => {
    const { from, ...rest } = operand(value)
    return at(builder, { opcode: base | from, dst: number(dst), ...rest, reference: { _tag: "Label", name: target } })
  })
  return builder
}

/** Jumps if equal. */
export const jeq: Jump = jump("jeq", jumps.BPF_JEQ)
/** Jumps if not equal. */
export const jne: Jump = jump("jne", jumps.BPF_JNE)
/** Jumps if greater, unsigned. */
export const jgt: Jump = jump("jgt", jumps.BPF_JGT)
/** Jumps if greater or equal, unsigned. */
export const jge: Jump = jump("jge", jumps.BPF_JGE)
/** Jumps if less, unsigned. */
export const jlt: Jump = jump("jlt", jumps.BPF_JLT)
/** Jumps if less or equal, unsigned. */
export const jle: Jump = jump("jle", jumps.BPF_JLE)
/** Jumps if greater, signed. */
export const jsgt: Jump = jump("jsgt", jumps.BPF_JSGT)
/** Jumps if greater or equal, signed. */
export const jsge: Jump = jump("jsge", jumps.BPF_JSGE)
/** Jumps if less, signed. */
export const jslt: Jump = jump("jslt", jumps.BPF_JSLT)
/** Jumps if less or equal, signed. */
export const jsle: Jump = jump("jsle", jumps.BPF_JSLE)
/** Jumps if any bit is set in both. */
export const jset: Jump = jump("jset", jumps.BPF_JSET)

/** As `jeq`, on the low 32 bits. */
export const jeq32: Jump = jump("jeq32", jumps.BPF_JEQ)
/** As `jne`, on the low 32 bits. */
export const jne32: Jump = jump("jne32", jumps.BPF_JNE)
/** As `jgt`, on the low 32 bits. */
export const jgt32: Jump = jump("jgt32", jumps.BPF_JGT)
/** As `jge`, on the low 32 bits. */
export const jge32: Jump = jump("jge32", jumps.BPF_JGE)
/** As `jlt`, on the low 32 bits. */
export const jlt32: Jump = jump("jlt32", jumps.BPF_JLT)
/** As `jle`, on the low 32 bits. */
export const jle32: Jump = jump("jle32", jumps.BPF_JLE)
/** As `jsgt`, on the low 32 bits. */
export const jsgt32: Jump = jump("jsgt32", jumps.BPF_JSGT)
/** As `jsge`, on the low 32 bits. */
export const jsge32: Jump = jump("jsge32", jumps.BPF_JSGE)
/** As `jslt`, on the low 32 bits. */
export const jslt32: Jump = jump("jslt32", jumps.BPF_JSLT)
/** As `jsle`, on the low 32 bits. */
export const jsle32: Jump = jump("jsle32", jumps.BPF_JSLE)
/** As `jset`, on the low 32 bits. */
export const jset32: Jump = jump("jset32", jumps.BPF_JSET)

/** Jumps always. */
export const ja = (target: string): Instruction => at(ja, { opcode: JUMP, reference: { _tag: "Label", name: target } })

/** Jumps always, and as far as a program can be long. Kernel 6.6. */
export const gotol = (target: string): Instruction =>
  at(gotol, { opcode: LONG_JUMP, reference: { _tag: "Label", name: target } })

/** Jumps to the address in a register, which must come from an `insn_array` map. Kernel 6.19. */
export const gotox = (dst: Register): Instruction => at(gotox, { opcode: INDIRECT_JUMP, dst: number(dst) })

/**
 * Jumps when the kernel decides that a loop has run long enough (some 8 million times in a program, or a quarter of a
 * second): a loop with it in its body needs no other bound. Kernel 6.9.
 */
export const mayGoto = (target: string): Instruction =>
  at(mayGoto, {
    opcode: CONDITIONAL_JUMP,
    src: conditions.BPF_MAY_GOTO,
    reference: { _tag: "Label", name: target }
  })

/** Calls a helper: arguments in `r1` to `r5`, which it destroys, and the result in `r0`. */
export const call = (helper: Helper): Instruction =>
  at(call, {
    opcode: CALL,
    immediate: bpf_func_id[`BPF_FUNC_${helper}` as keyof typeof bpf_func_id] ?? Number.NaN
  })

/** Calls a function of this program, made by `func`. */
export const callLocal = (name: string): Instruction =>
  at(callLocal, { opcode: CALL, src: calls.BPF_PSEUDO_CALL, reference: { _tag: "Function", name } })

/** Calls a function of the kernel that programs of this type may call (a kfunc), by name. Kernel 5.13. */
export const callKfunc = (name: string): Instruction =>
  at(callKfunc, { opcode: CALL, src: calls.BPF_PSEUDO_KFUNC_CALL, reference: { _tag: "Kfunc", name } })

/** `dst` = the address of a function of this program, for helpers that call it back, such as `loop`. Kernel 5.13. */
export const ldFunc = (dst: Register, name: string): Instruction =>
  at(ldFunc, {
    opcode: WIDE_LOAD,
    dst: number(dst),
    src: pseudo.BPF_PSEUDO_FUNC,
    immediate: 0n,
    reference: { _tag: "Function", name }
  })

/** Ends the program, or returns from a function, with the value of `r0`. */
export const exit = (): Instruction => at(exit, { opcode: EXIT })
