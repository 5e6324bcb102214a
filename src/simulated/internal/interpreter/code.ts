// A program as the simulated kernel keeps it: its slots decoded, and its wide loads holding the addresses of its maps.
import { CALL, calls, classes, fields, jumps, LONG_JUMP, pseudo, WIDE_LOAD } from "../../../isa/opcodes.ts"
import { viewOf } from "../memory.ts"

export interface Code {
  readonly name: string
  readonly length: number
  readonly opcodes: Uint8Array
  readonly dst: Uint8Array
  readonly src: Uint8Array
  readonly offsets: Int16Array
  readonly immediates: Int32Array
  /** The values of wide loads, by slot. */
  readonly wide: ReadonlyMap<number, bigint>
  /** The slots where functions begin: 0, the targets of calls, and callbacks; ascending. */
  readonly functions: ReadonlyArray<number>
}

/** The upper half of a function's address; the lower one is its slot. No memory is there. */
export const FUNCTION_HIGH = 0xffffc000

const functionsOf = (code: Omit<Code, "functions">): ReadonlyArray<number> => {
  const found = new Set([0])
  for (let pc = 0; pc < code.length; pc++) {
    const opcode = code.opcodes[pc]!
    if (opcode === CALL && code.src[pc] === calls.BPF_PSEUDO_CALL) found.add(pc + 1 + code.immediates[pc]!)
    if (opcode === WIDE_LOAD) {
      if (code.src[pc] === pseudo.BPF_PSEUDO_FUNC) found.add(pc + 1 + code.immediates[pc]!)
      pc++
    }
  }
  return [...found].filter((pc) => pc >= 0 && pc < code.length).toSorted((a, b) => a - b)
}

/** Decodes instruction bytes. `wideValue` gives what a wide load with a pseudo source register loads. */
export const decode = (
  name: string,
  bytes: Uint8Array,
  wideValue: (src: number, immediate: bigint, slot: number) => bigint
): Code => {
  const length = bytes.length / 8
  const view = viewOf(bytes)
  const slots = Array.from({ length }, (_, i) => i)
  const opcodes = Uint8Array.from(slots, (i) => bytes[i * 8]!)
  const wide = new Map<number, bigint>()
  for (let i = 0; i < length; i++) {
    if (opcodes[i] !== WIDE_LOAD || i + 1 >= length) continue
    const immediate = (BigInt(view.getUint32(i * 8 + 12, true)) << 32n) | BigInt(view.getUint32(i * 8 + 4, true))
    const src = bytes[i * 8 + 1]! >> 4
    const value = src === pseudo.BPF_PSEUDO_FUNC
      ? (BigInt(FUNCTION_HIGH) << 32n) | BigInt.asUintN(32, BigInt(i + 1) + immediate)
      : wideValue(src, immediate, i)
    wide.set(i, value)
    i++
  }
  const code = {
    name,
    length,
    opcodes,
    dst: Uint8Array.from(slots, (i) => bytes[i * 8 + 1]! & 15),
    src: Uint8Array.from(slots, (i) => bytes[i * 8 + 1]! >> 4),
    offsets: Int16Array.from(slots, (i) => view.getInt16(i * 8 + 2, true)),
    immediates: Int32Array.from(slots, (i) => view.getInt32(i * 8 + 4, true)),
    wide
  }
  return { ...code, functions: functionsOf(code) }
}

/** The slot after the last of the function that begins at `start`. */
export const endOf = (code: Code, start: number): number =>
  code.functions[code.functions.indexOf(start) + 1] ?? code.length

/** True for jumps within a function: conditional or not, but no call and no exit. */
export const isJump = (opcode: number): boolean => {
  const operation = opcode & fields.OPERATION
  return (opcode & fields.CLASS) === classes.BPF_JMP32 ||
    ((opcode & fields.CLASS) === classes.BPF_JMP && operation !== jumps.BPF_CALL && operation !== jumps.BPF_EXIT)
}

/** Jumps that are always taken. */
export const isGoto = (opcode: number): boolean => opcode === (classes.BPF_JMP | jumps.BPF_JA) || opcode === LONG_JUMP

/** Where a jump goes. */
export const targetOf = (code: Code, pc: number): number =>
  pc + 1 + (code.opcodes[pc] === LONG_JUMP ? code.immediates[pc]! : code.offsets[pc]!)
