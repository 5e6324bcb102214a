// Arithmetic on registers, whether they hold numbers or pointers.
import { alu, classes } from "../../../isa/opcodes.ts"
import type { Path } from "./path.ts"
import * as Scalar from "./scalar.ts"
import { anything, isPointer, nameOf, number, type Register, unknownNumber } from "./state.ts"

const symbols: { readonly [operation: number]: string } = {
  [alu.BPF_MUL]: "*=",
  [alu.BPF_DIV]: "/=",
  [alu.BPF_OR]: "|=",
  [alu.BPF_AND]: "&=",
  [alu.BPF_LSH]: "<<=",
  [alu.BPF_RSH]: ">>=",
  [alu.BPF_MOD]: "%=",
  [alu.BPF_XOR]: "^=",
  [alu.BPF_ARSH]: "s>>="
}

/** BPF_MAX_VAR_OFF */
const MOST_OFFSET = 2n ** 29n

/** Pointers that stay what they are. */
const FIXED: ReadonlySet<string> = new Set(["map", "end", "function"])

/** pointer + number, or pointer - number */
const moved = (path: Path, r: number, pointer: Register, by: Register, subtract: boolean): Register => {
  if (pointer.nullable) {
    path.reject(`R${r} pointer arithmetic on ${nameOf(pointer)} prohibited, null-check it first`)
  }
  if (FIXED.has(pointer.kind)) path.reject(`R${r} pointer arithmetic on ${nameOf(pointer)} prohibited`)
  const { smin } = by.scalar.wide
  if (Scalar.isConstant(by.scalar)) {
    const constant = Number(BigInt.asIntN(64, by.scalar.tnum.value))
    if (Math.abs(constant) >= 2 ** 29) {
      path.invalid(`math between ${nameOf(pointer)} pointer and ${constant} is not allowed`)
    }
    return { ...pointer, offset: pointer.offset + (subtract ? -constant : constant) }
  }
  // check_reg_sane_offset()
  if (smin === -(2n ** 63n)) {
    path.invalid(`math between ${nameOf(pointer)} pointer and register with unbounded min value is not allowed`)
  }
  if (smin >= MOST_OFFSET || smin <= -MOST_OFFSET) {
    path.invalid(`value ${smin} makes ${nameOf(pointer)} pointer be out of bounds`)
  }
  const scalar = Scalar.arithmetic(subtract ? alu.BPF_SUB : alu.BPF_ADD, 64, pointer.scalar, by.scalar)
  // What was known of the packet from here on is known no more.
  const isPacket = pointer.kind === "packet" || pointer.kind === "meta"
  return { ...pointer, scalar, ...(isPacket ? { id: path.newId(), range: 0 } : {}) }
}

const onPointers = (path: Path, pc: number, a: Register, b: Register): Register => {
  const { code } = path
  const opcode = code.opcodes[pc]!
  const operation = opcode & 0xf0
  const r = code.dst[pc]!
  const wide = (opcode & 7) === classes.BPF_ALU64
  if (isPointer(a) && isPointer(b)) {
    if (operation === alu.BPF_SUB) return wide ? unknownNumber : number(Scalar.ofBits(32))
    return path.reject(`R${r} pointer ${operation === alu.BPF_ADD ? "+=" : symbols[operation]} pointer prohibited`)
  }
  if (a.kind === "anything" || b.kind === "anything") return anything
  if (!wide) {
    if (operation === alu.BPF_SUB) return number(Scalar.ofBits(32))
    return path.reject(`R${r} 32-bit pointer arithmetic prohibited`)
  }
  if (operation === alu.BPF_ADD) {
    return isPointer(a) ? moved(path, r, a, b, false) : moved(path, r, b, a, false)
  }
  if (operation === alu.BPF_SUB) {
    if (!isPointer(a)) path.reject(`R${r} tried to subtract pointer from scalar`)
    return moved(path, r, a, b, true)
  }
  const bitwise = operation === alu.BPF_AND || operation === alu.BPF_OR || operation === alu.BPF_XOR
  return path.reject(
    bitwise
      ? `R${r} bitwise operator ${symbols[operation]} on pointer prohibited`
      : `R${r} pointer arithmetic with ${symbols[operation]} operator prohibited`
  )
}

const moving = (path: Path, pc: number, value: Register): Register => {
  const { code } = path
  const opcode = code.opcodes[pc]!
  const wide = (opcode & 7) === classes.BPF_ALU64
  const offset = code.offsets[pc]!
  if ((opcode & 8) === 0) {
    const constant = BigInt(code.immediates[pc]!)
    return number(Scalar.constant(wide ? constant : BigInt.asUintN(32, constant)))
  }
  if (offset === 1) return anything // between address spaces
  if (value.kind === "anything") return anything
  if (offset > 1) {
    if (value.kind !== "scalar") return wide ? unknownNumber : number(Scalar.ofBits(32))
    const extended = Scalar.signExtended(value.scalar, offset)
    return number(wide ? extended : Scalar.zeroExtended(extended))
  }
  if (wide) {
    if (value.kind !== "scalar" || value.id !== 0 || Scalar.isConstant(value.scalar)) return value
    // Both registers hold the same number from now on: what is learnt of one is learnt of the other.
    const shared = { ...value, id: path.newId() }
    path.state.frames.at(-1)!.registers[code.src[pc]!] = shared
    return shared
  }
  return value.kind === "scalar" ? number(Scalar.zeroExtended(value.scalar)) : number(Scalar.ofBits(32))
}

/** What an arithmetic instruction leaves in its destination. */
export const arithmetic = (path: Path, pc: number): Register => {
  const { code } = path
  const opcode = code.opcodes[pc]!
  const operation = opcode & 0xf0
  const bits = (opcode & 7) === classes.BPF_ALU64 ? 64 : 32
  const { registers } = path.state.frames.at(-1)!
  const a = registers[code.dst[pc]!]!
  const b = (opcode & 8) !== 0
    ? registers[code.src[pc]!]!
    : number(Scalar.constant(BigInt(code.immediates[pc]!)))
  if (operation === alu.BPF_MOV) return moving(path, pc, b)
  if (operation === alu.BPF_END) {
    return a.kind === "anything"
      ? a
      : number(swapped(a, code.immediates[pc]!, bits === 64 || (opcode & 8) !== 0))
  }
  if (operation === alu.BPF_NEG) {
    if (a.kind === "anything") return a
    if (a.kind !== "scalar") return unknownNumber
    return number(Scalar.arithmetic(alu.BPF_SUB, bits, Scalar.constant(0n), a.scalar))
  }
  if (a.kind !== "scalar" || b.kind !== "scalar") return onPointers(path, pc, a, b)
  const signed = code.offsets[pc] === 1 && (operation === alu.BPF_DIV || operation === alu.BPF_MOD)
  if (signed) return bits === 64 ? unknownNumber : number(Scalar.ofBits(32))
  return number(Scalar.arithmetic(operation, bits, a.scalar, b.scalar))
}

const swapped = (a: Register, width: number, swaps: boolean): Scalar.Scalar => {
  if (a.kind !== "scalar" || (swaps && !Scalar.isConstant(a.scalar))) return Scalar.ofBits(width)
  if (!swaps) {
    if (width === 64) return a.scalar
    return Scalar.arithmetic(alu.BPF_AND, 64, a.scalar, Scalar.constant((1n << BigInt(width)) - 1n))
  }
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64LE(BigInt.asUintN(width, a.scalar.tnum.value))
  return Scalar.constant(BigInt(`0x${bytes.subarray(0, width / 8).toString("hex")}`))
}
