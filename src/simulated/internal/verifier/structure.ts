// What is checked before any path is followed: that opcodes exist and leave their unused fields zero, that jumps stay in
// their function, and that every instruction can be reached.
import {
  alu,
  atomics,
  BPF_ADDR_SPACE_CAST,
  CALL,
  calls,
  classes,
  CONDITIONAL_JUMP,
  EXIT,
  fields,
  jumps,
  LONG_JUMP,
  modes,
  pseudo,
  sizes,
  WIDE_LOAD
} from "../../../isa/opcodes.ts"
import { FRAME_POINTER, writtenBy } from "./effects.ts"
import type { Errno, Rejection, Subject } from "./path.ts"

export type { Rejection } from "./path.ts"
import { type Code, endOf, isGoto, isJump, targetOf } from "../interpreter/code.ts"
import { logLine } from "./logLine.ts"

export const reject = (...lines: ReadonlyArray<string>): Rejection => ({
  log: `${lines.join("\n")}\n`,
  errno: "EINVAL"
})

const aluOperations: ReadonlySet<number> = new Set(Object.values(alu))
const comparisons: ReadonlySet<number> = new Set(
  Object.values(jumps).filter((operation) =>
    ![jumps.BPF_JA, jumps.BPF_CALL, jumps.BPF_EXIT, CONDITIONAL_JUMP & 0xf0].includes(operation as never)
  )
)

/** True for opcodes that exist (bpf_opcode_in_insntable): all others are refused wherever they stand. */
const isKnown = (opcode: number): boolean => {
  const operation = opcode & fields.OPERATION
  const mode = opcode & fields.MODE
  const isDouble = (opcode & fields.SIZE) === sizes.BPF_DW
  switch (opcode & fields.CLASS) {
    case classes.BPF_ALU:
    case classes.BPF_ALU64:
      if (operation === alu.BPF_NEG) return (opcode & fields.SOURCE) === 0
      if (operation === alu.BPF_END) {
        return (opcode & fields.CLASS) === classes.BPF_ALU || (opcode & fields.SOURCE) === 0
      }
      return aluOperations.has(operation)
    case classes.BPF_JMP:
      return comparisons.has(operation) || isGoto(opcode) || opcode === CALL || opcode === EXIT ||
        opcode === CONDITIONAL_JUMP
    case classes.BPF_JMP32:
      return comparisons.has(operation) || isGoto(opcode)
    case classes.BPF_LDX:
      return mode === modes.BPF_MEM || (mode === modes.BPF_MEMSX && !isDouble)
    case classes.BPF_ST:
      return mode === modes.BPF_MEM
    case classes.BPF_STX:
      return mode === modes.BPF_MEM || mode === modes.BPF_ATOMIC
    default:
      return opcode === WIDE_LOAD || ((mode === modes.BPF_ABS || mode === modes.BPF_IND) && !isDouble)
  }
}

/** What is refused before any path is followed, so in dead code too (resolve_pseudo_ldimm64). */
const wrongAnywhere = (code: Code, pc: number): string | undefined => {
  const opcode = code.opcodes[pc]!
  const mode = opcode & fields.MODE
  if ((opcode & fields.CLASS) === classes.BPF_LDX) {
    const isLoad = mode === modes.BPF_MEM || mode === modes.BPF_MEMSX
    if (!isLoad || code.immediates[pc] !== 0) return "BPF_LDX uses reserved fields"
  }
  if (opcode === WIDE_LOAD) {
    const second = pc + 1
    const isWhole = second < code.length && code.opcodes[second] === 0 && code.dst[second] === 0 &&
      code.src[second] === 0 && code.offsets[second] === 0
    if (!isWhole) return "invalid bpf_ld_imm64 insn"
    const src = code.src[pc]!
    const isMap = src === pseudo.BPF_PSEUDO_MAP_FD || src === pseudo.BPF_PSEUDO_MAP_IDX
    return src > 6 || (isMap && code.immediates[second] !== 0) ? "unrecognized bpf_ld_imm64 insn" : undefined
  }
  return isKnown(opcode) ? undefined : `unknown opcode ${opcode.toString(16).padStart(2, "0")}`
}

/** Why an arithmetic instruction is none, or `undefined`. */
const wrongArithmetic = (code: Code, pc: number): string | undefined => {
  const opcode = code.opcodes[pc]!
  const is64 = (opcode & fields.CLASS) === classes.BPF_ALU64
  const operation = opcode & fields.OPERATION
  const fromRegister = (opcode & fields.SOURCE) !== 0
  const [src, offset, immediate] = [code.src[pc]!, code.offsets[pc]!, code.immediates[pc]!]
  if (operation === alu.BPF_END) {
    return src !== 0 || offset !== 0 || ![16, 32, 64].includes(immediate) ? "BPF_END uses reserved fields" : undefined
  }
  if (operation === alu.BPF_NEG) {
    return src !== 0 || offset !== 0 || immediate !== 0 ? "BPF_NEG uses reserved fields" : undefined
  }
  if (operation === alu.BPF_MOV) {
    if (!fromRegister) return src !== 0 || offset !== 0 ? "BPF_MOV uses reserved fields" : undefined
    if (is64 && offset === BPF_ADDR_SPACE_CAST) {
      if (immediate === 1 || immediate === 0x10000) return undefined
      return "addr_space_cast insn can only convert between address space 1 and 0"
    }
    const isExtension = offset === 0 || offset === 8 || offset === 16 || (is64 && offset === 32)
    return !isExtension || immediate !== 0 ? "BPF_MOV uses reserved fields" : undefined
  }
  const signs = operation === alu.BPF_DIV || operation === alu.BPF_MOD
  if (offset !== 0 && !(signs && offset === 1)) return "BPF_ALU uses reserved fields"
  return (fromRegister ? immediate : src) !== 0 ? "BPF_ALU uses reserved fields" : undefined
}

/** An operand that cannot be, which the kernel finds after it has looked at the registers. */
const wrongConstant = (code: Code, pc: number): string | undefined => {
  const opcode = code.opcodes[pc]!
  const operation = opcode & fields.OPERATION
  const immediate = code.immediates[pc]!
  if ((opcode & fields.SOURCE) !== 0) return undefined
  if ((operation === alu.BPF_DIV || operation === alu.BPF_MOD) && immediate === 0) return "div by zero"
  const isShift = operation === alu.BPF_LSH || operation === alu.BPF_RSH || operation === alu.BPF_ARSH
  const bits = (opcode & fields.CLASS) === classes.BPF_ALU64 ? 64 : 32
  return isShift && (immediate < 0 || immediate >= bits) ? `invalid shift ${immediate}` : undefined
}

const wrongJump = (code: Code, pc: number): string | undefined => {
  const opcode = code.opcodes[pc]!
  const [dst, src, offset, immediate] = [code.dst[pc]!, code.src[pc]!, code.offsets[pc]!, code.immediates[pc]!]
  if (opcode === CALL) {
    const unused = dst !== 0 || (src !== calls.BPF_PSEUDO_KFUNC_CALL && offset !== 0) ||
      src > calls.BPF_PSEUDO_KFUNC_CALL
    return unused ? "BPF_CALL uses reserved fields" : undefined
  }
  if (opcode === EXIT) return dst !== 0 || src !== 0 || immediate !== 0 ? "BPF_EXIT uses reserved fields" : undefined
  if (opcode === CONDITIONAL_JUMP) {
    return dst !== 0 || src !== 0 || immediate !== 0
      ? `invalid may_goto imm ${immediate}`
      : undefined
  }
  if (isGoto(opcode)) {
    const unused = dst !== 0 || src !== 0 || (opcode === LONG_JUMP ? offset !== 0 : immediate !== 0)
    return unused ? "BPF_JA uses reserved fields" : undefined
  }
  return ((opcode & fields.SOURCE) !== 0 ? immediate : src) !== 0 ? "BPF_JMP/JMP32 uses reserved fields" : undefined
}

const isAtomic = (operation: number): boolean =>
  (Object.values(atomics) as ReadonlyArray<number>).includes(operation & ~1) &&
    operation !== atomics.BPF_LOAD_ACQ + 1 &&
    operation !== atomics.BPF_STORE_REL + 1 ||
  operation === atomics.BPF_XCHG || operation === atomics.BPF_CMPXCHG

const wrongMemory = (code: Code, pc: number): string | undefined => {
  const opcode = code.opcodes[pc]!
  const mode = opcode & fields.MODE
  const size = opcode & fields.SIZE
  switch (opcode & fields.CLASS) {
    case classes.BPF_LDX:
      return undefined
    case classes.BPF_ST:
      return code.src[pc] !== 0 ? "BPF_ST uses reserved fields" : undefined
    case classes.BPF_STX: {
      if (mode === modes.BPF_MEM) return code.immediates[pc] !== 0 ? "BPF_STX uses reserved fields" : undefined
      const operation = code.immediates[pc]!
      const ordered = operation === atomics.BPF_LOAD_ACQ || operation === atomics.BPF_STORE_REL
      if (!isAtomic(operation)) {
        return `BPF_ATOMIC uses invalid atomic opcode ${(operation >>> 0).toString(16).padStart(2, "0")}`
      }
      return size === sizes.BPF_W || size === sizes.BPF_DW || ordered ? undefined : "invalid atomic operand size"
    }
    default:
      if (opcode === WIDE_LOAD) return code.offsets[pc] !== 0 ? "BPF_LD_IMM64 uses reserved fields" : undefined
      return code.dst[pc] !== 0 || code.offsets[pc] !== 0 || (mode === modes.BPF_ABS && code.src[pc] !== 0)
        ? "BPF_LD_[ABS|IND] uses reserved fields"
        : undefined
  }
}

const kindOf = (opcode: number): "arithmetic" | "control" | "memory" => {
  const kind = opcode & fields.CLASS
  if (kind === classes.BPF_ALU || kind === classes.BPF_ALU64) return "arithmetic"
  return kind === classes.BPF_JMP || kind === classes.BPF_JMP32 ? "control" : "memory"
}

/** What is wrong with the fields of an instruction that a path leads to, or `undefined`. */
export const malformed = (code: Code, pc: number): string | undefined => {
  const kind = kindOf(code.opcodes[pc]!)
  return kind === "arithmetic"
    ? wrongArithmetic(code, pc)
    : kind === "control"
    ? wrongJump(code, pc)
    : wrongMemory(code, pc)
}

/** What is wrong with its registers and constants, of which the kernel looks at the registers first. */
export const wrongOperand = (code: Code, pc: number): { readonly why: string; readonly errno: Errno } | undefined => {
  const opcode = code.opcodes[pc]!
  const dst = code.dst[pc]!
  const isWideLoad = opcode === WIDE_LOAD
  if (dst > 10) return { why: `R${dst} is invalid`, errno: "EINVAL" }
  if (!isWideLoad && code.src[pc]! > 10) return { why: `R${code.src[pc]} is invalid`, errno: "EINVAL" }
  const kind = kindOf(opcode)
  const constant = kind === "arithmetic" ? wrongConstant(code, pc) : undefined
  if (constant !== undefined) return { why: constant, errno: "EINVAL" }
  return (writtenBy(code, pc) & FRAME_POINTER) === 0
    ? undefined
    : { why: "frame pointer is read only", errno: "EACCES" }
}

/** What makes an instruction none at all, wherever it stands. For code that is run without having been checked. */
export const wrongInstruction = (code: Code, pc: number): string | undefined =>
  wrongAnywhere(code, pc) ?? malformed(code, pc) ?? wrongOperand(code, pc)?.why

/** The slots to which control may go from `pc` within its function. */
export const successors = (code: Code, pc: number): ReadonlyArray<number> => {
  const opcode = code.opcodes[pc]!
  if (opcode === EXIT) return []
  if (opcode === WIDE_LOAD) return [pc + 2]
  if (!isJump(opcode)) return [pc + 1]
  const target = targetOf(code, pc)
  return isGoto(opcode) ? [target] : [pc + 1, target]
}

const wrongFlow = (code: Code, start: number): Rejection | undefined => {
  const end = endOf(code, start)
  let last = start
  for (let pc = start; pc < end; pc++) {
    const opcode = code.opcodes[pc]!
    last = pc
    if (isJump(opcode)) {
      const target = targetOf(code, pc)
      if (target < start || target >= end) return reject(`jump out of range from insn ${pc} to ${target}`)
    }
  }
  const ends = code.opcodes[last] === EXIT || isGoto(code.opcodes[last]!)
  return ends ? undefined : reject("last insn is not an exit or jmp")
}

/** Every instruction must be reachable from the beginning of a function that is called. */
const wrongReach = (code: Code, middles: Uint8Array): Rejection | undefined => {
  const reached = new Uint8Array(code.length)
  const work: Array<number> = [0]
  for (let pc = work.pop(); pc !== undefined; pc = work.pop()) {
    if (reached[pc] === 1) continue
    reached[pc] = 1
    const opcode = code.opcodes[pc]!
    if (opcode === WIDE_LOAD) {
      if (code.opcodes[pc + 1] === 0) reached[pc + 1] = 1
      if (code.src[pc] === pseudo.BPF_PSEUDO_FUNC) work.push(pc + 1 + code.immediates[pc]!)
    }
    if (opcode === CALL && code.src[pc] === calls.BPF_PSEUDO_CALL) work.push(pc + 1 + code.immediates[pc]!)
    for (const next of successors(code, pc)) {
      if (middles[next] === 1) return reject(`jump into the middle of ldimm64 insn ${next - 1}`)
      work.push(next)
    }
  }
  const dead = reached.indexOf(0)
  return dead < 0 ? undefined : reject(`unreachable insn ${dead}`)
}

/** 1 for the second slots of wide loads. */
const middlesOf = (code: Code): Uint8Array => {
  const middles = new Uint8Array(code.length)
  for (let pc = 0; pc < code.length; pc++) if (code.opcodes[pc] === WIDE_LOAD) middles[++pc] = 1
  return middles
}

/** Calls and callbacks lead into the program. */
const wrongCalls = (code: Code): Rejection | undefined => {
  for (let pc = 0; pc < code.length; pc++) {
    const isCall = code.opcodes[pc] === CALL && code.src[pc] === calls.BPF_PSEUDO_CALL
    const isCallback = code.opcodes[pc] === WIDE_LOAD && code.src[pc] === pseudo.BPF_PSEUDO_FUNC
    if (!isCall && !isCallback) continue
    const target = pc + 1 + code.immediates[pc]!
    if (target < 0 || target >= code.length) return reject(`call to invalid destination ${target}`)
  }
  return undefined
}

/** What is wrong with a program before any path is followed, if anything: first what hinders translating it. */
export const checkStructure = (code: Code): Rejection | undefined => {
  const wrong = wrongCalls(code)
  if (wrong !== undefined) return wrong
  for (const start of code.functions) {
    const flow = wrongFlow(code, start)
    if (flow !== undefined) return flow
  }
  return undefined
}

/** As `checkStructure`, for what stands in the instructions (resolve_pseudo_ldimm64). */
export const checkInstructions = ({ code, wrongLoads }: Subject): Rejection | undefined => {
  for (let pc = 0; pc < code.length; pc++) {
    const wrong = wrongAnywhere(code, pc)
    if (wrong !== undefined) return reject(logLine(code, pc), wrong)
    const wrongLoad = wrongLoads.get(pc)
    if (wrongLoad !== undefined) return wrongLoad
    if (code.opcodes[pc] === WIDE_LOAD) pc++
  }
  return undefined
}

/** As `checkStructure`: every instruction can be reached (check_cfg). */
export const checkReach = (code: Code): Rejection | undefined => wrongReach(code, middlesOf(code))
