// Where control goes: labels, jumps, functions, calls and the end.
import { type Checks, readGiven } from "../../abi/given.ts"
import { bpf_func_id } from "../../abi/generated/enums.ts"
import type { Instruction } from "../Instruction.ts"
import {
  CALL,
  calls,
  classes,
  CONDITIONAL_JUMP,
  conditions,
  EXIT,
  INDIRECT_CALL,
  INDIRECT_JUMP,
  JUMP,
  jumps,
  LONG_JUMP,
  pseudo,
  WIDE_LOAD
} from "../opcodes.ts"
import { suggestion } from "../../abi/nearest.ts"
import { immediateRange, INT32 } from "../immediates.ts"
import type { Fault } from "./check.ts"
import type { FunctionItem, Item, Label, LabelScope } from "./item.ts"
import { at, Operands, type Register } from "./operand.ts"
import { captureSource, named } from "./source.ts"

/** A helper function of the kernel by its name in `bpf-helpers(7)`, without `bpf_`. */
export type Helper = keyof typeof bpf_func_id extends infer K ? K extends `BPF_FUNC_${infer N}` ? N : never : never

/** A named place that jumps of the same function can go to. */
export const label = (name: string): Label => {
  const operands = new Operands(label)
  return { _tag: "Label", name: operands.name("name", name), fault: operands.fault, source: captureSource(label) }
}

/**
 * Items whose labels are their own: they hide outer ones of the same name, and are not seen from outside. For pieces of a
 * program that are used several times.
 */
export const scope = (items: ReadonlyArray<Item>): LabelScope => ({ _tag: "LabelScope", items })

/** What a function is beside its name and items. */
export interface FunctionOptions {
  /** Whether it is verified by itself; kernel 5.6. */
  readonly global?: boolean
  /** How many arguments it has, from 0 to 5; 0 unless given. */
  readonly parameters?: number
}

const functionChecks: Checks<FunctionOptions> = {
  global: { expected: "true or false", accepts: (value) => typeof value === "boolean" },
  parameters: { expected: "a number from 0 to 5", accepts: (value) => typeof value === "number" }
}

class Unfit extends Error {
  readonly fault: Fault
  constructor(fault: Fault) {
    super()
    this.fault = fault
  }
}

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
  options?: FunctionOptions
): FunctionItem => {
  const { fault, global = false, parameters = 0 } = functionOptions(options)
  return { _tag: "Function", name, items, global, parameters, fault, source: captureSource(func) }
}

/** What is wrong with the options is reported by `assemble`, as with all operands. */
const functionOptions = (options: FunctionOptions | undefined): FunctionOptions & { readonly fault?: Fault } => {
  try {
    return readGiven(
      "options of func",
      options,
      functionChecks,
      ({ actual, expected, field }) => new Unfit({ operand: field, expected, actual })
    )
  } catch (error) {
    if (error instanceof Unfit) return { fault: error.fault }
    throw error
  }
}

/**
 * Jumps to a label if `dst` compares so to a register or an immediate, which is from -2^31 to 2^31 - 1 (comparisons that end
 * in 32 also take what is below 2^32). In place of a label, a number says how many slots beyond the next instruction it
 * goes: 0 is the next one, and -1 the jump itself.
 */
export type Jump = (dst: Register, value: Register | number, target: string | number) => Instruction

const jump = (name: string, operation: number): Jump => {
  const base = operation | (name.endsWith("32") ? classes.BPF_JMP32 : classes.BPF_JMP)
  const bounds = { range: immediateRange(base), short: name.endsWith("32") ? undefined : `${name}32` }
  const builder: Jump = named(name, (dst, value, target) => {
    const operands = new Operands(builder)
    const number = operands.register("dst", dst)
    const { from, ...rest } = operands.operand(value, bounds)
    return at(builder, operands, { opcode: base | from, dst: number, ...rest, ...operands.target(target, "offset") })
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

/** Jumps always: to a label, or by a number of slots beyond the next instruction. */
export const ja = (target: string | number): Instruction => {
  const operands = new Operands(ja)
  return at(ja, operands, { opcode: JUMP, ...operands.target(target, "offset") })
}

/** As `ja`, and as far as a program can be long. Kernel 6.6. */
export const gotol = (target: string | number): Instruction => {
  const operands = new Operands(gotol)
  return at(gotol, operands, { opcode: LONG_JUMP, ...operands.target(target, "immediate") })
}

/** Jumps to the address in a register, which must come from an `insn_array` map. Kernel 6.19. */
export const gotox = (dst: Register): Instruction => {
  const operands = new Operands(gotox)
  return at(gotox, operands, { opcode: INDIRECT_JUMP, dst: operands.register("dst", dst) })
}

/**
 * Jumps when the kernel decides that a loop has run long enough (some 8 million times in a program, or a quarter of a
 * second): a loop with it in its body needs no other bound. Kernel 6.9.
 */
export const mayGoto = (target: string | number): Instruction => {
  const operands = new Operands(mayGoto)
  return at(mayGoto, operands, {
    opcode: CONDITIONAL_JUMP,
    src: conditions.BPF_MAY_GOTO,
    ...operands.target(target, "offset")
  })
}

const PREFIX = "BPF_FUNC_"

/** The number of a helper, by its name or as it is. */
const helperId = (operands: Operands, helper: unknown): number => {
  if (typeof helper === "number") return operands.integer("helper", helper, [0, INT32[1]])
  const ids = bpf_func_id as { readonly [name: string]: number }
  const id = typeof helper === "string" && Object.hasOwn(ids, PREFIX + helper) ? ids[PREFIX + helper] : undefined
  if (id !== undefined) return id
  const names = Object.keys(ids).filter((name) => name.startsWith(PREFIX)).map((name) => name.slice(PREFIX.length))
  const near = typeof helper === "string" ? suggestion(helper.replace(/^bpf_/i, ""), names) : undefined
  return operands.wrong(
    "helper",
    "the name of a helper without bpf_, or its id",
    helper,
    near === undefined ? undefined : `did you mean ${near}?`
  )
}

/**
 * Calls a helper by its name, or by its id where it is newer than this package: arguments in `r1` to `r5`, which it
 * destroys, and the result in `r0`.
 */
export const call = (helper: Helper | number): Instruction => {
  const operands = new Operands(call)
  return at(call, operands, { opcode: CALL, immediate: helperId(operands, helper) })
}

/** Calls a function of this program, made by `func`; or what is a number of slots beyond the next instruction. */
export const callLocal = (name: string | number): Instruction => {
  const operands = new Operands(callLocal)
  return at(callLocal, operands, { opcode: CALL, src: calls.BPF_PSEUDO_CALL, ...operands.function(name) })
}

/** Calls a function of the kernel that programs of this type may call (a kfunc), by name. Kernel 5.13. */
export const callKfunc = (name: string): Instruction => {
  const operands = new Operands(callKfunc)
  const reference = { _tag: "Kfunc", name: operands.name("name", name) } as const
  return at(callKfunc, operands, { opcode: CALL, src: calls.BPF_PSEUDO_KFUNC_CALL, reference })
}

/**
 * Calls the address in a register, as RFC 9669 has it. No version of Linux takes it; other machines for BPF do, and
 * compilers write it for calls through pointers.
 */
export const callx = (dst: Register): Instruction => {
  const operands = new Operands(callx)
  return at(callx, operands, { opcode: INDIRECT_CALL, dst: operands.register("dst", dst) })
}

/**
 * `dst` = the address of a function of this program, for helpers that call it back, such as `loop`; or of what is a number
 * of slots beyond the first of this instruction. Kernel 5.13.
 */
export const ldFunc = (dst: Register, name: string | number): Instruction => {
  const operands = new Operands(ldFunc)
  const { immediate, reference } = operands.function(name)
  return at(ldFunc, operands, {
    opcode: WIDE_LOAD,
    dst: operands.register("dst", dst),
    src: pseudo.BPF_PSEUDO_FUNC,
    immediate: BigInt.asUintN(32, BigInt(immediate ?? 0)),
    reference
  })
}

/** Ends the program, or returns from a function, with the value of `r0`. */
export const exit = (): Instruction => at(exit, undefined, { opcode: EXIT })
