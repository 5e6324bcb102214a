// What an instruction reads and writes, as sets of bits: bit n is register n.
import {
  alu,
  atomics,
  CALL,
  classes,
  CONDITIONAL_JUMP,
  EXIT,
  fields,
  jumps,
  modes,
  WIDE_LOAD
} from "../../../isa/opcodes.ts"
import { type Code, isGoto } from "../interpreter/code.ts"
import { argumentBits } from "./prototypes.ts"

const bit = (register: number): number => 1 << register
const ARGUMENTS = 0b111110
/** The bit of r10. */
export const FRAME_POINTER = 1 << 10

/** The registers that an instruction reads and writes, as sets of bits. */
export const effects = (code: Code, pc: number): { readonly reads: number; readonly writes: number } => {
  const opcode = code.opcodes[pc]!
  const dst = bit(code.dst[pc]!)
  const src = bit(code.src[pc]!)
  const operation = opcode & fields.OPERATION
  const operand = (opcode & fields.SOURCE) !== 0 ? src : 0
  switch (opcode & fields.CLASS) {
    case classes.BPF_ALU:
    case classes.BPF_ALU64:
      if (operation === alu.BPF_MOV) return { reads: operand, writes: dst }
      return { reads: dst | (operation === alu.BPF_END ? 0 : operand), writes: dst }
    case classes.BPF_LDX:
      return { reads: src, writes: dst }
    case classes.BPF_LD:
      if (opcode === WIDE_LOAD) return { reads: 0, writes: dst }
      return { reads: bit(6) | ((opcode & fields.MODE) === modes.BPF_IND ? src : 0), writes: bit(0) | ARGUMENTS }
    case classes.BPF_ST:
      return { reads: dst, writes: 0 }
    case classes.BPF_STX: {
      if ((opcode & fields.MODE) !== modes.BPF_ATOMIC) return { reads: dst | src, writes: 0 }
      const what = code.immediates[pc]!
      if (what === atomics.BPF_LOAD_ACQ) return { reads: src, writes: dst }
      if (what === atomics.BPF_CMPXCHG) return { reads: dst | src | bit(0), writes: bit(0) }
      return { reads: dst | src, writes: (what & atomics.BPF_FETCH) !== 0 && what < 0x100 ? src : 0 }
    }
    case classes.BPF_JMP32:
      return { reads: isGoto(opcode) ? 0 : dst | operand, writes: 0 }
    default:
      if (opcode === EXIT) return { reads: bit(0), writes: 0 }
      if (opcode === CALL) {
        const helper = code.src[pc] === 0
        return { reads: helper ? argumentBits(code.immediates[pc]!) : ARGUMENTS, writes: bit(0) | ARGUMENTS }
      }
      return { reads: operation === jumps.BPF_JA || opcode === CONDITIONAL_JUMP ? 0 : dst | operand, writes: 0 }
  }
}

/** The registers that an instruction writes, calls left aside. */
export const writtenBy = (code: Code, pc: number): number => effects(code, pc).writes
