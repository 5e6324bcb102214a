// What is checked when a program is loaded: a part of what the kernel's verifier does, and with its words, so that the
// commonest mistakes are rejections here too. What it does not see is still caught as the program runs.
import { bpf_func_id } from "../../abi/generated/enums.ts"
import { alu, classes, jumps, modes, sizes, WIDE_LOAD } from "../../isa/opcodes.ts"
import type { Code } from "./interpreter.ts"

/** A rejection: the log that the kernel would write. */
export interface Rejection {
  readonly log: string
}

const reject = (...lines: ReadonlyArray<string>): Rejection => ({ log: `${lines.join("\n")}\n` })

const helperNames = new Map<number, string>(
  Object.entries(bpf_func_id).map(([name, id]) => [id, name.replace("BPF_FUNC_", "bpf_")])
)

const hex = (opcode: number): string => opcode.toString(16).padStart(2, "0")

const isJump = (opcode: number): boolean =>
  (opcode & 7) === classes.BPF_JMP32 ||
  ((opcode & 7) === classes.BPF_JMP && ![jumps.BPF_CALL, jumps.BPF_EXIT].includes((opcode & 0xf0) as never))

const isKnown = (opcode: number): boolean => {
  const operation = opcode & 0xf0
  const size = Object.values(sizes).includes((opcode & 0x18) as never)
  switch (opcode & 7) {
    case classes.BPF_ALU:
    case classes.BPF_ALU64:
      return operation <= alu.BPF_ARSH
    case classes.BPF_JMP:
      return operation <= jumps.BPF_JSLE
    case classes.BPF_JMP32:
      return operation <= jumps.BPF_JSLE && ![jumps.BPF_JA, jumps.BPF_CALL, jumps.BPF_EXIT].includes(operation as never)
    case classes.BPF_LD:
      return opcode === WIDE_LOAD
    default:
      return size && (opcode & 0xe0) === modes.BPF_MEM
  }
}

/** The slots to which control may go from `pc`; -1 for none, after exit. */
const successors = (code: Code, pc: number): ReadonlyArray<number> => {
  const opcode = code.opcodes[pc]!
  if (opcode === (classes.BPF_JMP | jumps.BPF_EXIT)) return []
  if (opcode === WIDE_LOAD) return [pc + 2]
  if (!isJump(opcode)) return [pc + 1]
  const target = pc + 1 + code.offsets[pc]!
  return opcode === (classes.BPF_JMP | jumps.BPF_JA) ? [target] : [pc + 1, target]
}

const bit = (register: number): number => 1 << register

/** The registers that an instruction reads, and those that hold a value after it, as sets of bits. */
const effects = (code: Code, pc: number, known: number): { readonly reads: number; readonly after: number } => {
  const opcode = code.opcodes[pc]!
  const dst = bit(code.dst[pc]!)
  const src = bit(code.src[pc]!)
  const operation = opcode & 0xf0
  const operand = (opcode & 8) !== 0 ? src : 0
  switch (opcode & 7) {
    case classes.BPF_ALU:
    case classes.BPF_ALU64:
      return { reads: operand | (operation === alu.BPF_MOV ? 0 : dst), after: known | dst }
    case classes.BPF_LDX:
      return { reads: src, after: known | dst }
    case classes.BPF_LD:
      return { reads: 0, after: known | dst }
    case classes.BPF_ST:
      return { reads: dst, after: known }
    case classes.BPF_STX:
      return { reads: dst | src, after: known }
    case classes.BPF_JMP32:
      return { reads: dst | operand, after: known }
    default:
      if (operation === jumps.BPF_EXIT) return { reads: bit(0), after: known }
      // A call destroys r1 to r5. How many of them it reads depends on the helper, which is not known here.
      if (operation === jumps.BPF_CALL) return { reads: 0, after: (known & ~0x3e) | bit(0) }
      return { reads: operation === jumps.BPF_JA ? 0 : dst | operand, after: known }
  }
}

const firstBit = (set: number): number => 31 - Math.clz32(set & -set)

const checkStructure = (code: Code, helpers: ReadonlySet<number>): Rejection | undefined => {
  for (let pc = 0; pc < code.length; pc++) {
    const opcode = code.opcodes[pc]!
    if (!isKnown(opcode)) return reject(`${pc}: (${hex(opcode)})`, `unknown opcode ${hex(opcode)}`)
    if (code.dst[pc]! > 10 || code.src[pc]! > 10) return reject(`${pc}: (${hex(opcode)})`, "R11 is invalid")
    if (opcode === (classes.BPF_JMP | jumps.BPF_CALL) && !helpers.has(code.immediates[pc]!)) {
      const id = code.immediates[pc]!
      const name = helperNames.get(id)
      const why = name === undefined ? `invalid func unknown#${id}` : `the simulated kernel has no helper ${name}#${id}`
      return reject(`${pc}: (85) call ${name ?? "unknown"}#${id}`, why)
    }
    for (const target of successors(code, pc)) {
      if (target < 0 || target >= code.length) {
        return isJump(opcode)
          ? reject(`jump out of range from insn ${pc} to ${target}`)
          : reject("last insn is not an exit or jmp")
      }
    }
    const writesFramePointer = code.dst[pc] === 10 &&
      [classes.BPF_ALU, classes.BPF_ALU64, classes.BPF_LDX, classes.BPF_LD]
        .includes((opcode & 7) as never)
    if (writesFramePointer) return reject(`${pc}: (${hex(opcode)})`, "frame pointer is read only")
    if (opcode === WIDE_LOAD) pc++
  }
  return undefined
}

/** Follows all paths, keeping for each slot the registers that hold a value on every path to it. */
const checkRegisters = (code: Code): Rejection | undefined => {
  const known = new Int32Array(code.length).fill(-1) // -1: not reached yet
  known[0] = bit(1) | bit(10)
  const work = [0]
  for (let pc = work.pop(); pc !== undefined; pc = work.pop()) {
    const { after, reads } = effects(code, pc, known[pc]!)
    const missing = reads & ~known[pc]!
    if (missing !== 0) {
      return reject(`${pc}: (${hex(code.opcodes[pc]!)})`, `R${firstBit(missing)} !read_ok`)
    }
    for (const next of successors(code, pc)) {
      const merged = known[next] === -1 ? after : known[next]! & after
      if (merged === known[next]) continue
      known[next] = merged
      work.push(next)
    }
  }
  for (let pc = 0; pc < code.length; pc++) {
    if (known[pc] === -1) return reject(`unreachable insn ${pc}`)
    if (code.opcodes[pc] === WIDE_LOAD) pc++
  }
  return undefined
}

/** What is wrong with a program, if anything. `helpers` are those that this kernel has. */
export const check = (code: Code, helpers: ReadonlySet<number>): Rejection | undefined =>
  checkStructure(code, helpers) ?? checkRegisters(code)
