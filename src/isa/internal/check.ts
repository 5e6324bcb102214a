// What is wrong with one instruction, as far as it can be seen without the kernel.
import { shown } from "../../abi/given.ts"
import { cureOf, immediateRange, INT16, INT32, type Range } from "../immediates.ts"
import { atomics, classes, fields, modes, pseudo, WIDE_LOAD } from "../opcodes.ts"

/** What was expected, what is there, and what to do, if it is known. */
export interface Fault {
  /** What is wrong, `value of mov`; `undefined` where the expectation says it. */
  readonly operand: string | undefined
  readonly expected: string
  readonly actual: string
  readonly cure?: string | undefined
}

export const fault = (expected: string, actual: string, cure?: string): Fault => ({
  operand: undefined,
  expected,
  actual,
  cure
})

/** What is looked at of an instruction. */
interface Parts {
  readonly opcode: number
  readonly dst: number
  readonly src: number
  readonly offset: number
  readonly immediate: number | bigint
  readonly fault?: Fault | undefined
}

/** A fault as the two parts of an error. */
export const describeFault = ({ actual, cure, expected, operand }: Fault) => ({
  expected: operand === undefined ? expected : `${operand} to be ${expected}`,
  actual: cure === undefined ? actual : `${actual}; ${cure}`
})

export { shown as show }

/** The tag of an object; `undefined` for what has none, or throws when it is read. */
export const tagOf = (value: unknown): unknown => {
  try {
    return (value as { readonly _tag?: unknown } | null | undefined)?._tag
  } catch {
    return undefined
  }
}

export const isBetween = (value: unknown, [minimum, maximum]: Range): value is number =>
  Number.isInteger(value) && (value as number) >= minimum && (value as number) <= maximum

const wideFault = (i: Parts): Fault | undefined => {
  if (typeof i.immediate !== "bigint") return fault("a bigint, for lddw", typeof i.immediate)
  if (i.immediate >= -(2n ** 63n) && i.immediate < 2n ** 64n) return undefined
  return i.src === pseudo.BPF_PSEUDO_MAP_VALUE
    ? fault("an offset of 32 bits into the map's value", "another")
    : fault("an immediate of 64 bits", String(i.immediate))
}

const immediateFault = (i: Parts): Fault | undefined => {
  if (i.opcode === WIDE_LOAD) return wideFault(i)
  if (typeof i.immediate !== "number") return fault("a number (lddw takes a bigint)", shown(i.immediate))
  const range = immediateRange(i.opcode)
  if (isBetween(i.immediate, range)) return undefined
  const cure = range === INT32 ? cureOf(i.immediate, "the 32-bit form of the operation") : undefined
  return fault(`an immediate from ${range[0]} to ${range[1]}`, shown(i.immediate), cure)
}

/** What 4 bits hold; that there are fewer registers is for `check` to say. */
const MOST_REGISTER = 15

const isUpTo = (value: number, most: number): boolean => Number.isInteger(value) && value >= 0 && value <= most

/** What an instruction's bytes would not hold as it was given. */
export const encodingFault = (i: Parts): Fault | undefined => {
  if (i.fault !== undefined) return i.fault
  if (!isUpTo(i.opcode, 0xff)) return fault("an opcode from 0 to 255", shown(i.opcode))
  if (!isUpTo(i.dst, MOST_REGISTER)) return fault("registers r0 to r10", shown(i.dst))
  if (!isUpTo(i.src, MOST_REGISTER)) return fault("registers r0 to r10", shown(i.src))
  if (!isBetween(i.offset, INT16)) return fault(`an offset from ${INT16[0]} to ${INT16[1]}`, shown(i.offset))
  return immediateFault(i)
}

const atomicWrites = ({ dst, immediate, src }: Parts): number | undefined => {
  if (immediate === atomics.BPF_LOAD_ACQ) return dst
  if (immediate === atomics.BPF_CMPXCHG) return 0
  return (Number(immediate) & atomics.BPF_FETCH) !== 0 ? src : undefined
}

/** The register that an instruction writes, other than by a call. */
const written = (i: Parts): number | undefined => {
  switch (i.opcode & fields.CLASS) {
    case classes.BPF_ALU:
    case classes.BPF_ALU64:
    case classes.BPF_LDX:
      return i.dst
    case classes.BPF_LD:
      return i.opcode === WIDE_LOAD ? i.dst : 0
    case classes.BPF_STX:
      return (i.opcode & fields.MODE) === modes.BPF_ATOMIC ? atomicWrites(i) : undefined
    default:
      return undefined
  }
}

const FRAME_POINTER = 10

/** What is wrong with an instruction: with its numbers, or with what it does. */
export const check = (i: Parts): Fault | undefined => {
  const found = encodingFault(i)
  if (found !== undefined) return found
  const register = Math.max(i.dst, i.src)
  if (register > FRAME_POINTER) return fault("registers r0 to r10", `r${register}`)
  return written(i) === FRAME_POINTER
    ? fault("a register that can be written", "r10, the read-only frame pointer")
    : undefined
}
