// What is wrong with one instruction, as far as it can be seen without the kernel.
import { type Instruction, isWide } from "../Instruction.ts"
import { atomics, classes, modes, pseudo } from "../opcodes.ts"

/** What was expected, and what is there. */
export type Wrong = readonly [expected: string, actual: string]

export const isBetween = (value: number, minimum: number, maximum: number): boolean =>
  Number.isInteger(value) && value >= minimum && value <= maximum

const checkWide = (i: Instruction): Wrong | undefined => {
  if (typeof i.immediate !== "bigint") return ["a bigint, for lddw", typeof i.immediate]
  if (i.immediate >= -(2n ** 63n) && i.immediate < 2n ** 64n) return undefined
  return i.src === pseudo.BPF_PSEUDO_MAP_VALUE
    ? ["an offset of 32 bits into the map's value", "another"]
    : ["an immediate of 64 bits", String(i.immediate)]
}

const checkImmediate = (i: Instruction): Wrong | undefined => {
  if (isWide(i)) return checkWide(i)
  if (typeof i.immediate !== "number") return ["a number (lddw takes a bigint)", typeof i.immediate]
  if (Number.isNaN(i.immediate)) return ["the name of a helper", "an unknown one"]
  // Both readings of 32 bits are common: -1, and 0xffffffff for masks. The kernel sign-extends either.
  return isBetween(i.immediate, -0x80000000, 0xffffffff)
    ? undefined
    : ["an immediate of 32 bits (lddw takes 64)", String(i.immediate)]
}

const atomicWrites = ({ dst, immediate, src }: Instruction): number | undefined => {
  if (immediate === atomics.BPF_LOAD_ACQ) return dst
  if (immediate === atomics.BPF_CMPXCHG) return 0
  return (Number(immediate) & atomics.BPF_FETCH) !== 0 ? src : undefined
}

/** The register that an instruction writes, other than by a call. */
const written = (i: Instruction): number | undefined => {
  switch (i.opcode & 7) {
    case classes.BPF_ALU:
    case classes.BPF_ALU64:
    case classes.BPF_LDX:
      return i.dst
    case classes.BPF_LD:
      return isWide(i) ? i.dst : 0
    case classes.BPF_STX:
      return (i.opcode & 0xe0) === modes.BPF_ATOMIC ? atomicWrites(i) : undefined
    default:
      return undefined
  }
}

/** What is wrong with the numbers of an instruction. */
export const check = (i: Instruction): Wrong | undefined => {
  if (!isBetween(i.opcode, 0, 0xff)) return ["an opcode from 0 to 255", String(i.opcode)]
  if (!isBetween(i.dst, 0, 10) || !isBetween(i.src, 0, 10)) return ["registers r0 to r10", "another name"]
  if (!isBetween(i.offset, -0x8000, 0x7fff)) return ["an offset from -32768 to 32767", String(i.offset)]
  if (written(i) === 10) return ["a register that can be written", "r10, the read-only frame pointer"]
  return checkImmediate(i)
}
