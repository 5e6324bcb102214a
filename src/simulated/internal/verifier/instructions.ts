// What an instruction that is no jump and no call does to the state: arithmetic, loads, stores and atomic operations.
import { atomics, classes, fields, modes, pseudo, sizes, WIDE_LOAD } from "../../../isa/opcodes.ts"
import { checkAccess } from "./memoryAccess.ts"
import type { Path } from "./path.ts"
import { arithmetic } from "./pointers.ts"
import { SLOTS } from "./precision.ts"
import * as Scalar from "./scalar.ts"
import {
  anything,
  none,
  number,
  pointer,
  type Register,
  slotIndex,
  spilledSize,
  STACK,
  unknownNumber
} from "./state.ts"

/** How many bytes an instruction loads or stores. */
const bytesOf = (opcode: number): 1 | 2 | 4 | 8 =>
  (opcode & fields.SIZE) === sizes.BPF_B
    ? 1
    : (opcode & fields.SIZE) === sizes.BPF_H
    ? 2
    : (opcode & fields.SIZE) === sizes.BPF_W
    ? 4
    : 8

interface Place {
  readonly offset: number
  readonly size: number
}

const registersOf = ({ state }: Path): Array<Register> => state.frames.at(-1)!.registers

/** The slot that a store of a register or its load goes to, for what decides. */
const noteSlot = ({ state, trail }: Path, pointed: Register, { offset }: Place): void => {
  if (pointed.kind !== "stack" || !Scalar.isConstant(pointed.scalar)) return
  const at = slotIndex(STACK + pointed.offset + offset + Scalar.valueOf(pointed.scalar))
  const slot = state.frames[pointed.frame]!.slots[at]
  if (slot !== undefined && spilledSize(slot) > 0) trail.noteSlot(state.step, pointed.frame * SLOTS + at)
}

const load = (path: Path, pc: number): void => {
  const { code } = path
  const registers = registersOf(path)
  const opcode = code.opcodes[pc]!
  const src = code.src[pc]!
  const from = registers[src]!
  const signed = (opcode & fields.MODE) === modes.BPF_MEMSX
  const place = { offset: code.offsets[pc]!, size: bytesOf(opcode) }
  const loaded = checkAccess(path, from, { ...place, register: src, write: false, signed })
  noteSlot(path, from, place)
  const extends_ = signed && loaded.kind === "scalar"
  registers[code.dst[pc]!] = extends_ ? number(Scalar.signExtended(loaded.scalar, place.size * 8)) : loaded
}

const storeImmediate = (path: Path, pc: number): void => {
  const { code } = path
  const dst = code.dst[pc]!
  const target = registersOf(path)[dst]!
  const place = { offset: code.offsets[pc]!, size: bytesOf(code.opcodes[pc]!) }
  const value = number(Scalar.small(code.immediates[pc]!))
  checkAccess(path, target, { ...place, register: dst, write: true }, value)
  noteSlot(path, target, place)
}

const store = (path: Path, dst: number, src: number, place: Place & { readonly strict?: boolean }): void => {
  const registers = registersOf(path)
  const target = registers[dst]!
  const value = registers[src]!
  // What the register and the slot hold is the same from then on: what is learnt of one is learnt of the other.
  const isSlot = target.kind === "stack" && Scalar.isConstant(target.scalar) && value.kind === "scalar" &&
    value.id === 0
  if (isSlot && !Scalar.isConstant(value.scalar)) registers[src] = { ...value, id: path.newId() }
  checkAccess(path, target, { ...place, register: dst, write: true }, registers[src]!)
  noteSlot(path, target, place)
}

const checkAtomicTarget = (path: Path, does: string, r: number, { kind }: Register): void => {
  if (kind === "ctx" || kind === "packet" || kind === "meta") {
    path.reject(`BPF_ATOMIC ${does} R${r} ${kind === "ctx" ? "ctx" : "pkt"} is not allowed`)
  }
}

const atomic = (path: Path, pc: number): void => {
  const { code } = path
  const registers = registersOf(path)
  const [dst, src, operation] = [code.dst[pc]!, code.src[pc]!, code.immediates[pc]!]
  const access = { offset: code.offsets[pc]!, size: bytesOf(code.opcodes[pc]!), strict: true }
  if (operation === atomics.BPF_LOAD_ACQ) {
    const from = registers[src]!
    checkAtomicTarget(path, "loads from", src, from)
    registers[dst] = checkAccess(path, from, { ...access, register: src, write: false })
    noteSlot(path, from, access)
    return
  }
  const target = registers[dst]!
  checkAtomicTarget(path, "stores into", dst, target)
  if (operation === atomics.BPF_STORE_REL) {
    store(path, dst, src, access)
    return
  }
  const fetches = (operation & atomics.BPF_FETCH) !== 0
  const into = operation === atomics.BPF_CMPXCHG ? 0 : src
  // The register is given up before the memory is looked at, though it may be the one that points there.
  if (fetches) registers[into] = unknownNumber
  const loaded = checkAccess(path, registers[dst]!, { ...access, register: dst, write: false })
  noteSlot(path, target, access)
  if (fetches) registers[into] = loaded
  // The fetched value may have been a pointer's place.
  const at = fetches && into === dst ? target : registers[dst]!
  checkAccess(path, at, { ...access, register: dst, write: true, unknown: true })
}

const wideLoad = (path: Path, pc: number): Register => {
  const { code, subject } = path
  const src = code.src[pc]!
  if (src === 0) return number(Scalar.constant(code.wide.get(pc)!))
  if (src === pseudo.BPF_PSEUDO_FUNC) {
    if (!subject.hasFunctionInfo) path.invalid("missing btf func_info")
    return pointer("function")
  }
  const loaded = subject.maps.get(pc)
  if (loaded === undefined) return anything
  if (loaded.value === undefined) return pointer("map", { map: loaded.map })
  if (loaded.map.arena !== undefined) return anything
  return pointer("value", { map: loaded.map, offset: loaded.value })
}

/** A load from the packet as classic BPF does it. */
const packetLoad = (path: Path, pc: number): void => {
  const { code, state } = path
  const registers = registersOf(path)
  if (registers[6]!.kind === "none") path.reject("R6 !read_ok")
  if (state.references.size > 0) path.invalid("BPF_LD_[ABS|IND] would lead to reference leak")
  if (state.locked) path.invalid("BPF_LD_[ABS|IND] cannot be used inside bpf_spin_lock-ed region")
  if (registers[6]!.kind !== "ctx" && registers[6]!.kind !== "anything") {
    path.invalid("at the time of BPF_LD_ABS|IND R6 != pointer to skb")
  }
  const src = code.src[pc]!
  const isIndexed = (code.opcodes[pc]! & fields.MODE) === modes.BPF_IND
  if (isIndexed && src > 10) path.invalid(`R${src} is invalid`)
  if (isIndexed && registers[src]!.kind === "none") path.reject(`R${src} !read_ok`)
  if (registers[6]!.offset !== 0) {
    path.reject(`dereference of modified ctx ptr R6 off=${registers[6]!.offset} disallowed`)
  }
  for (let r = 1; r <= 5; r++) registers[r] = none
  registers[0] = unknownNumber
}

/** True for the classes of instructions that `execute` follows; the others are for jumps and calls. */
export const isStraight = (opcode: number): boolean => {
  const kind = opcode & fields.CLASS
  return kind !== classes.BPF_JMP && kind !== classes.BPF_JMP32
}

/** Does an instruction that goes on to the next. */
export const execute = (path: Path, pc: number): void => {
  const { code, state } = path
  const opcode = code.opcodes[pc]!
  state.pc = pc + 1
  switch (opcode & fields.CLASS) {
    case classes.BPF_ALU:
    case classes.BPF_ALU64:
      registersOf(path)[code.dst[pc]!] = arithmetic(path, pc)
      return
    case classes.BPF_LD:
      if (opcode === WIDE_LOAD) {
        registersOf(path)[code.dst[pc]!] = wideLoad(path, pc)
        state.pc = pc + 2
      } else packetLoad(path, pc)
      return
    case classes.BPF_LDX:
      return load(path, pc)
    case classes.BPF_ST:
      return storeImmediate(path, pc)
    default:
      if ((opcode & fields.MODE) === modes.BPF_ATOMIC) return atomic(path, pc)
      return store(path, code.dst[pc]!, code.src[pc]!, { offset: code.offsets[pc]!, size: bytesOf(opcode) })
  }
}
