// Arithmetic on registers, whether they hold numbers or pointers.
import { alu, classes, fields } from "../../../isa/opcodes.ts"
import type { Path } from "./path.ts"
import * as Scalar from "./scalar.ts"
import * as Arithmetic from "./scalarArithmetic.ts"
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
const MOST_OFFSET = 2 ** 29

/** What makes an offset, or a pointer with it, too far (check_reg_sane_offset). */
const checkOffset = (path: Path, pointer: Register, scalar: Scalar.Scalar, offset: number): void => {
  const smin = Scalar.smin(scalar)
  if (Scalar.isConstant(scalar) && (smin >= MOST_OFFSET || smin <= -MOST_OFFSET)) {
    path.invalid(`math between ${nameOf(pointer)} pointer and ${Scalar.exact(scalar).smin} is not allowed`)
  }
  if (offset >= MOST_OFFSET || offset <= -MOST_OFFSET) {
    path.invalid(`${nameOf(pointer)} pointer offset ${offset} is not allowed`)
  }
  if (smin === -(2 ** 63)) {
    path.invalid(`math between ${nameOf(pointer)} pointer and register with unbounded min value is not allowed`)
  }
  if (smin >= MOST_OFFSET || smin <= -MOST_OFFSET) {
    path.invalid(`value ${Scalar.exact(scalar).smin} makes ${nameOf(pointer)} pointer be out of bounds`)
  }
}

/** `pointer operation number` (adjust_ptr_min_max_vals). `reversed` for `number operation pointer`. */
const moved = (path: Path, pc: number, pointer: Register, by: Register, reversed: boolean): Register => {
  const { code } = path
  const opcode = code.opcodes[pc]!
  const operation = opcode & fields.OPERATION
  const r = code.dst[pc]!
  if ((opcode & fields.CLASS) !== classes.BPF_ALU64) {
    if (operation === alu.BPF_SUB) return unknownNumber
    path.reject(`R${r} 32-bit pointer arithmetic prohibited`)
  }
  if (pointer.nullable) {
    path.reject(`R${r} pointer arithmetic on ${nameOf(pointer)} prohibited, null-check it first`)
  }
  const known = Scalar.isConstant(by.scalar)
  const constant = Scalar.valueOf(by.scalar)
  const isNothing = known && constant === 0 && operation === alu.BPF_ADD
  if (pointer.kind === "end" || (pointer.kind === "map" && !isNothing)) {
    path.reject(`R${r} pointer arithmetic on ${nameOf(pointer)} prohibited`)
  }
  checkOffset(path, pointer, by.scalar, 0)
  checkOffset(path, pointer, pointer.scalar, pointer.offset)
  const subtracts = operation === alu.BPF_SUB
  if (!subtracts && operation !== alu.BPF_ADD) {
    const bitwise = operation === alu.BPF_AND || operation === alu.BPF_OR || operation === alu.BPF_XOR
    path.reject(
      bitwise
        ? `R${r} bitwise operator ${symbols[operation]} on pointer prohibited`
        : `R${r} pointer arithmetic with ${symbols[operation]} operator prohibited`
    )
  }
  if (subtracts && reversed) path.reject(`R${r} tried to subtract pointer from scalar`)
  if (subtracts && pointer.kind === "stack") path.reject(`R${r} subtraction from stack pointer prohibited`)
  if (known) {
    const offset = pointer.offset + (subtracts ? -constant : constant)
    checkOffset(path, pointer, pointer.scalar, offset)
    return { ...pointer, offset }
  }
  const scalar = Arithmetic.arithmetic(operation, 64, pointer.scalar, by.scalar)
  const isPacket = pointer.kind === "packet" || pointer.kind === "meta"
  // What was known of the packet from here on is known no more, but by going back.
  const keepsRange = subtracts && Scalar.smin(by.scalar) >= 0
  const out = { ...pointer, scalar, ...(isPacket ? { id: path.newId(), range: keepsRange ? pointer.range : 0 } : {}) }
  checkOffset(path, out, scalar, out.offset)
  return out
}

const onPointers = (path: Path, pc: number, a: Register, b: Register): Register => {
  const { code } = path
  const opcode = code.opcodes[pc]!
  const operation = opcode & fields.OPERATION
  const r = code.dst[pc]!
  if (isPointer(a) && isPointer(b)) {
    if (operation === alu.BPF_SUB) return unknownNumber
    return path.reject(`R${r} pointer ${symbols[operation] ?? "+="} pointer prohibited`)
  }
  if (a.kind === "anything" || b.kind === "anything") return anything
  if (isPointer(a)) {
    if ((opcode & fields.SOURCE) !== 0) path.precise(code.src[pc]!)
    return moved(path, pc, a, b, false)
  }
  path.precise(r)
  return moved(path, pc, b, a, true)
}

const moving = (path: Path, pc: number, value: Register): Register => {
  const { code } = path
  const opcode = code.opcodes[pc]!
  const wide = (opcode & fields.CLASS) === classes.BPF_ALU64
  const offset = code.offsets[pc]!
  if ((opcode & fields.SOURCE) === 0) {
    const immediate = code.immediates[pc]!
    return number(wide ? Scalar.small(immediate) : Scalar.constantOf(0, immediate))
  }
  if (offset === 1) return anything // between address spaces
  if (value.kind === "anything") return anything
  if (offset > 1) {
    if (value.kind !== "scalar") return wide ? unknownNumber : number(Scalar.ofBits(32))
    const keeps = Scalar.umax(value.scalar) < 2 ** (offset - 1)
    if (keeps && wide) return shared(path, code.src[pc]!, value)
    const extended = Scalar.signExtended(value.scalar, offset)
    return number(wide ? extended : Scalar.zeroExtended(extended))
  }
  if (wide) {
    return value.kind === "scalar" ? shared(path, code.src[pc]!, value) : value
  }
  if (value.kind !== "scalar") return number(Scalar.ofBits(32))
  return Scalar.umax(value.scalar) <= 0xffffffff
    ? shared(path, code.src[pc]!, value)
    : number(Scalar.zeroExtended(value.scalar))
}

/** Both registers hold the same number from now on: what is learnt of one is learnt of the other. */
const shared = (path: Path, from: number, value: Register): Register => {
  if (Scalar.isConstant(value.scalar)) return value
  if (value.id !== 0 && !value.shifted) return value
  const same = { ...value, id: path.newId(), shifted: false, offset: 0 }
  path.state.frames.at(-1)!.registers[from] = same
  return same
}

/** What an arithmetic instruction leaves in its destination. */
export const arithmetic = (path: Path, pc: number): Register => {
  const { code } = path
  const opcode = code.opcodes[pc]!
  const operation = opcode & fields.OPERATION
  const bits = (opcode & fields.CLASS) === classes.BPF_ALU64 ? 64 : 32
  const { registers } = path.state.frames.at(-1)!
  const a = registers[code.dst[pc]!]!
  const b = (opcode & fields.SOURCE) !== 0
    ? registers[code.src[pc]!]!
    : number(Scalar.small(code.immediates[pc]!))
  if (operation === alu.BPF_MOV) return moving(path, pc, b)
  if (operation === alu.BPF_END) {
    return number(swapped(a, code.immediates[pc]!, bits === 64 || (opcode & fields.SOURCE) !== 0))
  }
  if (operation === alu.BPF_NEG) {
    if (a.kind === "anything") return a
    if (a.kind !== "scalar") return unknownNumber
    return number(Arithmetic.arithmetic(alu.BPF_SUB, bits, Scalar.small(0), a.scalar))
  }
  if (a.kind !== "scalar" || b.kind !== "scalar") return onPointers(path, pc, a, b)
  if (operation === alu.BPF_DIV || operation === alu.BPF_MOD) {
    return divided(path, code.offsets[pc] === 1, operation, bits, a, b)
  }
  const out = Arithmetic.arithmetic(operation, bits, a.scalar, b.scalar)
  return operation === alu.BPF_ADD && bits === 64 ? added(a, b, out) : number(out)
}

/** Kernels before 7.0 forget all of what is divided. */
const divided = (path: Path, signed: boolean, operation: number, bits: 32 | 64, a: Register, b: Register): Register => {
  if (!path.rules.tracksDivision) return unknownNumber
  if (signed) return bits === 64 ? unknownNumber : number(Scalar.ofBits(32))
  return number(Arithmetic.arithmetic(operation, bits, a.scalar, b.scalar))
}

/** A number that has a known distance from others of its id keeps it, once. */
const added = (a: Register, b: Register, out: Scalar.Scalar): Register => {
  const by = Scalar.umax(b.scalar)
  if (a.id === 0 || a.shifted || a === b || !Scalar.isConstant(b.scalar) || by > 0x7fffffff) return number(out)
  return { ...number(out, a.id), shifted: true, offset: by }
}

/** The bytes of 32 bits the other way round. */
const swap32 = (bits: number): number =>
  (bits >>> 24) | ((bits >>> 8) & 0xff00) | ((bits << 8) & 0xff0000) | (bits << 24)

/** What is known of each bit goes with it, the bounds do not (scalar_byte_swap). */
const swapped = (a: Register, width: number, swaps: boolean): Scalar.Scalar => {
  if (a.kind !== "scalar") return Scalar.ofBits(width)
  const { maskHigh, maskLow, valueHigh, valueLow } = a.scalar
  if (!swaps) {
    if (width === 64) return a.scalar
    return Arithmetic.arithmetic(alu.BPF_AND, 64, a.scalar, Scalar.constant((1n << BigInt(width)) - 1n))
  }
  if (width === 64) return Scalar.ofBitPattern(swap32(valueLow), swap32(valueHigh), swap32(maskLow), swap32(maskHigh))
  const past = 32 - width
  return Scalar.ofBitPattern(0, (swap32(valueLow) >>> past) | 0, 0, (swap32(maskLow) >>> past) | 0)
}
