// What a conditional jump does to the state: the other way to go, if there are two, and what is known on each.
import { classes, jumps } from "../../../isa/opcodes.ts"
import { targetOf } from "../interpreter/code.ts"
import { release } from "./helperCalls.ts"
import { flipped, outcome, refined } from "./jumps.ts"
import type { Path } from "./path.ts"
import * as Scalar from "./scalar.ts"
import { copyState, isPointer, number, type Register, replaceAll, type State } from "./state.ts"

const isZero = ({ kind, scalar }: Register): boolean =>
  kind === "scalar" && Scalar.isConstant(scalar) && scalar.tnum.value === 0n

/** A nullable pointer turned out to be NULL, or not. */
const settleNull = (path: Path, state: State, of: Register, isNull: boolean): void => {
  const same = (register: Register) => register.nullable && register.id === of.id
  if (isNull) {
    replaceAll(state, same, () => number(Scalar.constant(0n)))
    if (of.reference !== 0) release({ ...path, state }, of.reference)
  } else replaceAll(state, same, (register) => ({ ...register, nullable: false, id: 0 }))
}

/** MAX_PACKET_OFF */
const MOST_PACKET = 0xffffn

/** A packet is at least as long as a pointer into it: so are all pointers with the same variable part. */
const findRange = (state: State, pointer: Register, beyond: boolean): void => {
  const range = pointer.offset + (beyond ? 1 : 0)
  if (pointer.offset < 0 || range === 0 || pointer.scalar.wide.umax + BigInt(pointer.offset) > MOST_PACKET) return
  replaceAll(
    state,
    (register) => register.kind === pointer.kind && register.id === pointer.id && register.range < range,
    (register) => ({ ...register, range })
  )
}

const isPacketEnd = (pointer: Register, end: Register): boolean =>
  (pointer.kind === "packet" && end.kind === "end") ||
  (pointer.kind === "meta" && end.kind === "packet" && end.id === 0 && end.offset === 0)

/** `pointer operation end`: what is known of the packet where it holds, and where not. */
const comparePacket = (operation: number, pointer: Register, taken: State, fallsThrough: State): void => {
  switch (operation) {
    case jumps.BPF_JGT:
      return findRange(fallsThrough, pointer, false)
    case jumps.BPF_JGE:
      return findRange(fallsThrough, pointer, true)
    case jumps.BPF_JLT:
      return findRange(taken, pointer, true)
    case jumps.BPF_JLE:
      return findRange(taken, pointer, false)
    default:
  }
}

/** Puts a number into a register, and into all that are known to hold the same. */
const learn = (state: State, register: number, scalar: Scalar.Scalar): void => {
  const frame = state.frames.at(-1)!
  const known = frame.registers[register]!
  if (known.id === 0) frame.registers[register] = { ...known, scalar }
  else replaceAll(state, (other) => other.kind === "scalar" && other.id === known.id, (other) => ({ ...other, scalar }))
}

const compareNumbers = (path: Path, pc: number, a: Register, b: Register): State | undefined => {
  const { code, state } = path
  const opcode = code.opcodes[pc]!
  const bits = (opcode & 7) === classes.BPF_JMP32 ? 32 : 64
  const operation = opcode & 0xf0
  const certain = outcome(operation, bits, a.scalar, b.scalar)
  if (certain === true) {
    state.pc = targetOf(code, pc)
    return undefined
  }
  if (certain === false) return undefined
  const other = copyState(state)
  other.pc = targetOf(code, pc)
  const fromRegister = (opcode & 8) !== 0
  for (const [where, taken] of [[other, true], [state, false]] as const) {
    const [left, right] = refined(operation, bits, a.scalar, b.scalar, taken)
    learn(where, code.dst[pc]!, left)
    if (fromRegister) learn(where, code.src[pc]!, right)
  }
  return other
}

/** Goes one way, and gives the other where both are possible. */
export const branch = (path: Path, pc: number): State | undefined => {
  const { code, state } = path
  const opcode = code.opcodes[pc]!
  const operation = opcode & 0xf0
  const { registers } = state.frames.at(-1)!
  const a = registers[code.dst[pc]!]!
  const b = (opcode & 8) !== 0
    ? registers[code.src[pc]!]!
    : number(Scalar.constant(BigInt(code.immediates[pc]!)))
  if (a.kind === "scalar" && b.kind === "scalar") return compareNumbers(path, pc, a, b)
  const equality = operation === jumps.BPF_JEQ || operation === jumps.BPF_JNE
  const isWide = (opcode & 7) === classes.BPF_JMP
  if (isWide && equality && isPointer(a) && !a.nullable && isZero(b)) {
    // A pointer that is not NULL: one way only.
    if (operation === jumps.BPF_JNE) state.pc = targetOf(code, pc)
    return undefined
  }
  const other = copyState(state)
  other.pc = targetOf(code, pc)
  if (isWide && equality && a.nullable && isZero(b)) {
    settleNull(path, other, a, operation === jumps.BPF_JEQ)
    settleNull(path, state, a, operation === jumps.BPF_JNE)
  } else if (isPacketEnd(a, b)) comparePacket(operation, a, other, state)
  else if (isPacketEnd(b, a)) comparePacket(flipped(operation), b, other, state)
  return other
}
