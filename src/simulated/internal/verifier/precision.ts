// Which numbers decided something: those states must have alike to be alike (mark_chain_precision). A number that decides
// is followed back through the instructions that made it, and marked in each state that is kept for comparison.
import { alu, atomics, CALL, calls, classes, EXIT, fields, modes, WIDE_LOAD } from "../../../isa/opcodes.ts"
import { type Code, isGoto, isJump } from "../interpreter/code.ts"
import type { Trail } from "./trail.ts"

/** Registers and slots that decide, by frame. */
export interface Deciding {
  readonly registers: Array<number>
  readonly slots: Set<number>
}

export const SLOTS = 64

export const noneDecides = (): Deciding => ({ registers: [0, 0, 0, 0, 0, 0, 0, 0], slots: new Set() })

export const isNone = ({ registers, slots }: Deciding): boolean =>
  slots.size === 0 && registers.every((set) => set === 0)

const ARGUMENTS = 0b111110
const CALLER_SAVED = 0b111111

/** What decides before a step, given what decides after it. */
export const stepBack = (code: Code, trail: Trail, step: number, deciding: Deciding): void => {
  const pc = trail.pc(step)
  const frame = trail.frame(step)
  const slot = trail.slot(step)
  const { registers, slots } = deciding
  const opcode = code.opcodes[pc]!
  const operation = opcode & fields.OPERATION
  const dst = 1 << code.dst[pc]!
  const src = code.src[pc] === 10 ? 0 : 1 << code.src[pc]!
  const fromRegister = (opcode & fields.SOURCE) !== 0
  const own = registers[frame]!
  const load = (register: number): void => {
    if ((own & register) === 0) return
    registers[frame] = own & ~register
    if (slot >= 0) slots.add(slot)
  }
  switch (opcode & fields.CLASS) {
    case classes.BPF_ALU:
    case classes.BPF_ALU64:
      if ((own & dst) === 0 || operation === alu.BPF_END || operation === alu.BPF_NEG) return
      if (operation === alu.BPF_MOV) registers[frame] = (own & ~dst) | (fromRegister ? src : 0)
      else if (fromRegister) registers[frame] = own | src
      return
    case classes.BPF_LD:
      registers[frame] = own & ~(opcode === WIDE_LOAD ? dst : 1)
      return
    case classes.BPF_LDX:
      return load(dst)
    case classes.BPF_ST:
      slots.delete(slot)
      return
    case classes.BPF_STX: {
      if ((opcode & fields.MODE) === modes.BPF_ATOMIC) {
        const what = code.immediates[pc]!
        if (what === atomics.BPF_LOAD_ACQ) return load(dst)
        if (what !== atomics.BPF_STORE_REL) return load(what === atomics.BPF_CMPXCHG ? 1 : src)
      }
      if (slots.delete(slot)) registers[frame] = own | src
      return
    }
    default:
      if (opcode === CALL) {
        if (code.src[pc] === calls.BPF_PSEUDO_CALL) {
          registers[frame] = (own & ~CALLER_SAVED) | (registers[frame + 1]! & ARGUMENTS)
          registers[frame + 1] = 0
          for (const each of slots) if (Math.floor(each / SLOTS) === frame + 1) slots.delete(each)
        } else registers[frame] = own & ~CALLER_SAVED
        return
      }
      if (opcode === EXIT) {
        if (frame === 0) return
        registers[frame] = registers[frame - 1]! & 1
        registers[frame - 1] = registers[frame - 1]! & ~CALLER_SAVED
        return
      }
      if (!isJump(opcode) || isGoto(opcode)) return
      if (fromRegister && (own & (dst | src)) !== 0) registers[frame] = own | dst | src
      if ((registers[frame]! & trail.linked(step)) !== 0) registers[frame] = registers[frame]! | trail.linked(step)
  }
}
