// What a conditional jump does to the state: the other way to go, if there are two, and what is known on each.
import { alu, classes, fields, jumps } from "../../../isa/opcodes.ts"
import { targetOf } from "../interpreter/code.ts"
import { release } from "./helperCalls.ts"
import { flipped, outcome, refined } from "./jumps.ts"
import { AT_END, BEYOND_END } from "./memoryAccess.ts"
import type { Path } from "./path.ts"
import * as Scalar from "./scalar.ts"
import { arithmetic } from "./scalarArithmetic.ts"
import { copyState, isPointer, number, type Register, replaceAll, type State, withScalar } from "./state.ts"

const knownZero = number(Scalar.small(0))

const isZero = ({ kind, scalar }: Register): boolean => kind === "scalar" && Scalar.isZero(scalar)

/** Pointers of which the verifier says that they are not NULL (reg_not_null): those to contexts, stacks and packets are not. */
const isNeverNull = ({ kind, nullable }: Register): boolean =>
  !nullable && (kind === "value" || kind === "memory" || kind === "map")

/** A nullable pointer turned out to be NULL, or not. */
const settleNull = (path: Path, state: State, of: Register, isNull: boolean): void => {
  const same = (register: Register) => register.nullable && register.id === of.id
  if (isNull) {
    replaceAll(state, same, () => knownZero)
    if (of.reference !== 0) release({ ...path, state }, of.reference)
  } else replaceAll(state, same, (register) => ({ ...register, nullable: false, id: 0 }))
}

/** MAX_PACKET_OFF */
const MOST_PACKET = 0xffff

/** A packet is at least as long as a pointer into it: so are all pointers with the same variable part. */
const findRange = (state: State, pointer: Register, beyond: boolean): void => {
  const range = pointer.offset + (beyond ? 1 : 0)
  if (pointer.offset < 0 || range === 0 || Scalar.umax(pointer.scalar) + pointer.offset > MOST_PACKET) return
  replaceAll(
    state,
    (register) => register.kind === pointer.kind && register.id === pointer.id && register.range < range,
    (register) => ({ ...register, range })
  )
}

const isPacketEnd = (pointer: Register, end: Register): boolean =>
  (pointer.kind === "packet" && end.kind === "end") ||
  (pointer.kind === "meta" && end.kind === "packet" && end.id === 0 && end.offset === 0)

/** The pointer itself is at the packet's end or beyond it (mark_pkt_end). */
const markEnd = (state: State, register: number, beyond: boolean): void => {
  const frame = state.frames.at(-1)!
  const known = frame.registers[register]!
  if (known.kind === "packet") frame.registers[register] = { ...known, range: beyond ? BEYOND_END : AT_END }
}

/** `pointer operation end`: what is known of the packet where it holds, and where not. */
const comparePacket = (
  operation: number,
  pointer: Register,
  register: number,
  taken: State,
  fallsThrough: State
): void => {
  switch (operation) {
    case jumps.BPF_JGT:
      findRange(fallsThrough, pointer, false)
      return markEnd(taken, register, true)
    case jumps.BPF_JGE:
      findRange(fallsThrough, pointer, true)
      return markEnd(taken, register, false)
    case jumps.BPF_JLT:
      markEnd(fallsThrough, register, false)
      return findRange(taken, pointer, true)
    case jumps.BPF_JLE:
      markEnd(fallsThrough, register, true)
      return findRange(taken, pointer, false)
    default:
  }
}

/** Whether a pointer that is known to be at or beyond the end compares so to it (is_pkt_ptr_branch_taken). */
const packetOutcome = (operation: number, { range }: Register): boolean | undefined => {
  const beyond = range === BEYOND_END
  if (range >= 0) return undefined
  switch (operation) {
    case jumps.BPF_JLE:
      return beyond ? false : undefined
    case jumps.BPF_JGT:
      return beyond ? true : undefined
    case jumps.BPF_JLT:
      return false
    case jumps.BPF_JGE:
      return true
    default:
      return undefined
  }
}

/** Puts a number into a register, and into all that are known to hold the same or a distance from it. */
const learn = (state: State, register: number, scalar: Scalar.Scalar): void => {
  const frame = state.frames.at(-1)!
  const known = frame.registers[register]!
  if (known.id === 0) {
    frame.registers[register] = withScalar(known, scalar)
    return
  }
  replaceAll(state, (other) => other.kind === "scalar" && other.id === known.id, (other) => {
    if (other.offset === known.offset) return withScalar(other, scalar)
    const distance = Scalar.small(other.offset - known.offset)
    return withScalar(other, arithmetic(alu.BPF_ADD, 64, scalar, distance))
  })
}

/** The registers that hold the same number as one. */
const linkedTo = (state: State, { id, kind }: Register): number => {
  if (id === 0 || kind !== "scalar") return 0
  let linked = 0
  for (const [r, register] of state.frames.at(-1)!.registers.entries()) {
    if (register.kind === "scalar" && register.id === id) linked |= 1 << r
  }
  return linked
}

/** What a comparison that holds, or does not, tells of both its sides. */
const learnBoth = (
  { code }: Path,
  pc: number,
  bits: Scalar.Bits,
  state: State,
  a: Scalar.Scalar,
  b: Scalar.Scalar,
  taken: boolean
): void => {
  const opcode = code.opcodes[pc]!
  const operation = opcode & fields.OPERATION
  learn(state, code.dst[pc]!, refined(operation, bits, a, b, taken))
  if ((opcode & fields.SOURCE) !== 0) learn(state, code.src[pc]!, refined(flipped(operation), bits, b, a, taken))
}

const compareNumbers = (path: Path, pc: number, a: Register, b: Register): State | undefined => {
  const { code, state } = path
  const opcode = code.opcodes[pc]!
  const bits = (opcode & fields.CLASS) === classes.BPF_JMP32 ? 32 : 64
  const operation = opcode & fields.OPERATION
  const certain = outcome(operation, bits, a.scalar, b.scalar)
  const fromRegister = (opcode & fields.SOURCE) !== 0
  if (certain !== undefined) {
    path.precise(code.dst[pc]!)
    if (fromRegister) path.precise(code.src[pc]!)
  }
  if (certain === true) {
    state.pc = targetOf(code, pc)
    return undefined
  }
  if (certain === false) return undefined
  const other = copyState(state)
  other.pc = targetOf(code, pc)
  const linked = linkedTo(state, a) | (fromRegister ? linkedTo(state, b) : 0)
  if ((linked & (linked - 1)) !== 0) path.trail.noteLinked(state.step, linked)
  learnBoth(path, pc, bits, other, a.scalar, b.scalar, true)
  learnBoth(path, pc, bits, state, a.scalar, b.scalar, false)
  return other
}

/** Goes one way, and gives the other where both are possible. */
export const branch = (path: Path, pc: number): State | undefined => {
  const { code, state } = path
  const opcode = code.opcodes[pc]!
  const operation = opcode & fields.OPERATION
  const { registers } = state.frames.at(-1)!
  const a = registers[code.dst[pc]!]!
  const b = (opcode & fields.SOURCE) !== 0
    ? registers[code.src[pc]!]!
    : number(Scalar.small(code.immediates[pc]!))
  if (a.kind === "scalar" && b.kind === "scalar") return compareNumbers(path, pc, a, b)
  const equality = operation === jumps.BPF_JEQ || operation === jumps.BPF_JNE
  const isWide = (opcode & fields.CLASS) === classes.BPF_JMP
  if (equality && (isNeverNull(a) && isZero(b) || isNeverNull(b) && isZero(a))) {
    // A pointer that is not NULL: one way only.
    if (operation === jumps.BPF_JNE) state.pc = targetOf(code, pc)
    return undefined
  }
  const certain = !isWide
    ? undefined
    : a.kind === "packet" && b.kind === "end"
    ? packetOutcome(operation, a)
    : b.kind === "packet" && a.kind === "end"
    ? packetOutcome(flipped(operation), b)
    : undefined
  if (certain === true) state.pc = targetOf(code, pc)
  if (certain !== undefined) return undefined
  const other = copyState(state)
  other.pc = targetOf(code, pc)
  const isImmediate = (opcode & fields.SOURCE) === 0
  if (isWide && equality && a.nullable && isImmediate && isZero(b)) {
    settleNull(path, other, a, operation === jumps.BPF_JEQ)
    settleNull(path, state, a, operation === jumps.BPF_JNE)
  } else if (isWide && equality && isPointer(a) && isPointer(b) && a.nullable !== b.nullable) {
    // What is the same as a pointer that is not NULL is not either.
    settleNull(path, operation === jumps.BPF_JEQ ? other : state, a.nullable ? a : b, false)
  } else if (!isImmediate && isWide && isPacketEnd(a, b)) comparePacket(operation, a, code.dst[pc]!, other, state)
  else if (isWide && isPacketEnd(b, a)) comparePacket(flipped(operation), b, code.src[pc]!, other, state)
  return other
}
