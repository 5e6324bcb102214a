// What is checked before any path is followed: that opcodes exist and leave their unused fields zero, that jumps stay in
// their function, and that every instruction can be reached.
import {
  alu,
  atomics,
  CALL,
  calls,
  classes,
  CONDITIONAL_JUMP,
  EXIT,
  jumps,
  LONG_JUMP,
  modes,
  pseudo,
  sizes,
  WIDE_LOAD
} from "../../../isa/opcodes.ts"
import { type Code, endOf, isGoto, isJump, targetOf } from "../interpreter/code.ts"
import { logLine } from "./logLine.ts"

/** A rejection: the log that the kernel would write, whose last line is the reason. */
export interface Rejection {
  readonly log: string
  readonly errno?: "EACCES" | "E2BIG"
}

export const reject = (...lines: ReadonlyArray<string>): Rejection => ({ log: `${lines.join("\n")}\n` })

const isSize = (opcode: number): boolean => Object.values(sizes).includes((opcode & 0x18) as never)

const unsignedAluOperations: ReadonlySet<number> = new Set(Object.values(alu))

/** Why an arithmetic instruction is none, or `undefined`. */
const wrongArithmetic = (code: Code, pc: number): string | undefined => {
  const opcode = code.opcodes[pc]!
  const is64 = (opcode & 7) === classes.BPF_ALU64
  const operation = opcode & 0xf0
  const fromRegister = (opcode & 8) !== 0
  const [src, offset, immediate] = [code.src[pc]!, code.offsets[pc]!, code.immediates[pc]!]
  if (!unsignedAluOperations.has(operation)) return `invalid BPF_ALU opcode ${opcode.toString(16)}`
  if (operation === alu.BPF_END) {
    if (is64 && fromRegister) return `unknown opcode ${opcode.toString(16)}`
    return src !== 0 || offset !== 0 || ![16, 32, 64].includes(immediate) ? "BPF_END uses reserved fields" : undefined
  }
  if (operation === alu.BPF_NEG) {
    return fromRegister || src !== 0 || offset !== 0 || immediate !== 0 ? "BPF_NEG uses reserved fields" : undefined
  }
  if (operation === alu.BPF_MOV) {
    if (!fromRegister) return src !== 0 || offset !== 0 ? "BPF_MOV uses reserved fields" : undefined
    if (is64 && offset === 1) return undefined // a cast between address spaces
    const isExtension = offset === 0 || offset === 8 || offset === 16 || (is64 && offset === 32)
    return !isExtension || immediate !== 0 ? "BPF_MOV uses reserved fields" : undefined
  }
  const signs = operation === alu.BPF_DIV || operation === alu.BPF_MOD
  if (offset !== 0 && !(signs && offset === 1)) return "BPF_ALU uses reserved fields"
  if (fromRegister) return immediate !== 0 ? "BPF_ALU uses reserved fields" : undefined
  if (src !== 0) return "BPF_ALU uses reserved fields"
  if (signs && immediate === 0) return "div by zero"
  const isShift = operation === alu.BPF_LSH || operation === alu.BPF_RSH || operation === alu.BPF_ARSH
  if (isShift && (immediate < 0 || immediate >= (is64 ? 64 : 32))) return `invalid shift ${immediate}`
  return undefined
}

const wrongJump = (code: Code, pc: number): string | undefined => {
  const opcode = code.opcodes[pc]!
  const operation = opcode & 0xf0
  const [dst, src, offset, immediate] = [code.dst[pc]!, code.src[pc]!, code.offsets[pc]!, code.immediates[pc]!]
  if (opcode === CALL) {
    const unused = dst !== 0 || (src !== calls.BPF_PSEUDO_KFUNC_CALL && offset !== 0) ||
      src > calls.BPF_PSEUDO_KFUNC_CALL
    return unused ? "BPF_CALL uses reserved fields" : undefined
  }
  if (opcode === EXIT) return dst !== 0 || src !== 0 || immediate !== 0 ? "BPF_EXIT uses reserved fields" : undefined
  if (opcode === CONDITIONAL_JUMP) {
    return dst !== 0 || src !== 0 || immediate !== 0
      ? "invalid may_goto imm 0"
      : undefined
  }
  if (isGoto(opcode)) {
    const unused = dst !== 0 || src !== 0 || (opcode === LONG_JUMP ? offset !== 0 : immediate !== 0)
    return unused ? "BPF_JA uses reserved fields" : undefined
  }
  if (
    operation === jumps.BPF_JA || operation > jumps.BPF_JSLE ||
    [jumps.BPF_CALL, jumps.BPF_EXIT].includes(operation as never)
  ) {
    return `unknown opcode ${opcode.toString(16)}`
  }
  return ((opcode & 8) !== 0 ? immediate : src) !== 0 ? "BPF_JMP/JMP32 uses reserved fields" : undefined
}

const isAtomic = (operation: number): boolean =>
  (Object.values(atomics) as ReadonlyArray<number>).includes(operation & ~1) &&
    operation !== atomics.BPF_LOAD_ACQ + 1 &&
    operation !== atomics.BPF_STORE_REL + 1 ||
  operation === atomics.BPF_XCHG || operation === atomics.BPF_CMPXCHG

const wrongMemory = (code: Code, pc: number): string | undefined => {
  const opcode = code.opcodes[pc]!
  const mode = opcode & 0xe0
  const size = opcode & 0x18
  const unknown = `unknown opcode ${opcode.toString(16).padStart(2, "0")}`
  if (!isSize(opcode)) return unknown
  switch (opcode & 7) {
    case classes.BPF_LDX:
      if (mode !== modes.BPF_MEM && (mode !== modes.BPF_MEMSX || size === sizes.BPF_DW)) return unknown
      return code.immediates[pc] !== 0 ? "BPF_LDX uses reserved fields" : undefined
    case classes.BPF_ST:
      if (mode !== modes.BPF_MEM) return unknown
      return code.src[pc] !== 0 ? "BPF_ST uses reserved fields" : undefined
    case classes.BPF_STX: {
      if (mode === modes.BPF_MEM) return code.immediates[pc] !== 0 ? "BPF_STX uses reserved fields" : undefined
      if (mode !== modes.BPF_ATOMIC) return unknown
      const operation = code.immediates[pc]!
      const ordered = operation === atomics.BPF_LOAD_ACQ || operation === atomics.BPF_STORE_REL
      if (!isAtomic(operation)) return `BPF_ATOMIC uses invalid atomic opcode ${operation.toString(16)}`
      return size === sizes.BPF_W || size === sizes.BPF_DW || ordered ? undefined : "invalid atomic operand size"
    }
    default:
      if (opcode === WIDE_LOAD) {
        if (pc + 1 >= code.length || code.opcodes[pc + 1] !== 0 || code.dst[pc + 1] !== 0 || code.src[pc + 1] !== 0) {
          return "invalid bpf_ld_imm64 insn"
        }
        return code.src[pc]! > 6 || code.offsets[pc] !== 0 ? "unrecognized bpf_ld_imm64 insn" : undefined
      }
      if ((mode !== modes.BPF_ABS && mode !== modes.BPF_IND) || size === sizes.BPF_DW) return unknown
      return code.dst[pc] !== 0 || code.offsets[pc] !== 0 ? "BPF_LD_[ABS|IND] uses reserved fields" : undefined
  }
}

/** What is wrong with one instruction by itself, or `undefined`. */
export const wrongInstruction = (code: Code, pc: number): string | undefined => {
  const opcode = code.opcodes[pc]!
  const kind = opcode & 7
  const isArithmetic = kind === classes.BPF_ALU || kind === classes.BPF_ALU64
  const isControl = kind === classes.BPF_JMP || kind === classes.BPF_JMP32
  const wrong = isArithmetic
    ? wrongArithmetic(code, pc)
    : isControl
    ? wrongJump(code, pc)
    : wrongMemory(code, pc)
  if (wrong !== undefined) return wrong
  const isWideLoad = opcode === WIDE_LOAD
  if (code.dst[pc]! > 10) return `R${code.dst[pc]} is invalid`
  if (!isWideLoad && code.src[pc]! > 10) return `R${code.src[pc]} is invalid`
  const writes = isArithmetic || kind === classes.BPF_LDX || isWideLoad
  return writes && code.dst[pc] === 10 ? "frame pointer is read only" : undefined
}

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
    if (opcode === WIDE_LOAD) pc++
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
      if (code.src[pc] === pseudo.BPF_PSEUDO_FUNC) work.push(Number(BigInt.asUintN(32, code.wide.get(pc)!)))
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

/** What is wrong with a program before any path is followed, if anything. `followed` where its paths will be. */
export const checkStructure = (code: Code, followed: boolean): Rejection | undefined => {
  for (let pc = 0; pc < code.length; pc++) {
    const wrong = wrongInstruction(code, pc)
    // Other faults count only where a path leads to them: dead code may have them.
    const counts = !followed || /^unknown opcode|ld_imm64 insn|^BPF_LDX/.test(wrong ?? "")
    if (wrong !== undefined && counts) return reject(logLine(code, pc), wrong)
    if (code.opcodes[pc] === CALL && code.src[pc] === calls.BPF_PSEUDO_CALL) {
      const target = pc + 1 + code.immediates[pc]!
      if (target < 0 || target >= code.length) return reject(`call to invalid destination ${target}`)
    }
    if (code.opcodes[pc] === WIDE_LOAD && code.src[pc] === pseudo.BPF_PSEUDO_FUNC) {
      const target = Number(BigInt.asUintN(32, code.wide.get(pc)!))
      if (target >= code.length) return reject(`func_info of insn ${pc} is out of the program`)
    }
    if (code.opcodes[pc] === WIDE_LOAD) pc++
  }
  const middles = middlesOf(code)
  for (const start of code.functions) {
    if (middles[start] === 1) return reject(`call to invalid destination ${start}`)
    const wrong = wrongFlow(code, start)
    if (wrong !== undefined) return wrong
  }
  return wrongReach(code, middles)
}
