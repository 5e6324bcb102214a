/**
 * BPF instructions as data. An instruction is 8 bytes for the kernel, or 16 for a 64-bit immediate: an opcode, two
 * registers, an offset and an immediate. Here it may also hold a symbolic reference, to a label or a map, that is
 * replaced by a number when the program is assembled or loaded.
 *
 * Source of the encoding: RFC 9669, and `struct bpf_insn` in `include/uapi/linux/bpf.h`.
 */
import * as Data from "effect/Data"
import * as Result from "effect/Result"
import type { LazySource, SourceLocation } from "./internal/source.ts"
import { WIDE_LOAD } from "./opcodes.ts"

export type { SourceLocation } from "./internal/source.ts"

/** What stands for a number that is not known yet. */
export type Reference =
  /** A jump target in the same program; becomes the offset. */
  | { readonly _tag: "Label"; readonly name: string }
  /** A map by the name under which it is given to `Program.load`; becomes the immediate of a wide load. */
  | { readonly _tag: "Map"; readonly name: string }

/**
 * One instruction. `immediate` is a `bigint` in a wide load only. Registers are 0 to 10, where 10 is the read-only frame
 * pointer.
 */
export interface Instruction {
  readonly _tag: "Instruction"
  readonly opcode: number
  readonly dst: number
  readonly src: number
  readonly offset: number
  readonly immediate: number | bigint
  readonly reference: Reference | undefined
  /** @internal */
  readonly source: LazySource | undefined
}

/** Bytes that are no instructions. `index` counts slots of 8 bytes. */
export class DecodeError extends Data.TaggedError("DecodeError")<{
  readonly index: number
  readonly expected: string
  readonly actual: string
}> {
  override get message(): string {
    return `instruction ${this.index}: expected ${this.expected}, got ${this.actual}`
  }
}

export const make = (parts: {
  readonly opcode: number
  readonly dst?: number
  readonly src?: number
  readonly offset?: number
  readonly immediate?: number | bigint
  readonly reference?: Reference | undefined
  readonly source?: LazySource | undefined
}): Instruction => ({
  _tag: "Instruction",
  opcode: parts.opcode,
  dst: parts.dst ?? 0,
  src: parts.src ?? 0,
  offset: parts.offset ?? 0,
  immediate: parts.immediate ?? 0,
  reference: parts.reference,
  source: parts.source
})

/** True for the load of a 64-bit immediate, the one instruction that takes two slots. */
export const isWide = (instruction: Instruction): boolean => instruction.opcode === WIDE_LOAD

/** How many slots of 8 bytes it takes: 1 or 2. */
export const slots = (instruction: Instruction): number => isWide(instruction) ? 2 : 1

/** Where the instruction was written, if it was made by `Asm`. */
export const sourceOf = (instruction: Instruction): SourceLocation | undefined => instruction.source?.location

/** Writes one instruction at a byte offset. References are written as the numbers that stand beside them. */
export const write = (view: DataView, at: number, instruction: Instruction): void => {
  const { dst, immediate, offset, opcode, src } = instruction
  view.setUint8(at, opcode)
  view.setUint8(at + 1, (src << 4) | dst)
  view.setInt16(at + 2, offset, true)
  if (typeof immediate === "number") view.setInt32(at + 4, immediate, true)
  else {
    view.setUint32(at + 4, Number(immediate & 0xffffffffn), true)
    view.setUint32(at + 12, Number((immediate >> 32n) & 0xffffffffn), true)
  }
}

/** The bytes of instructions, 8 for each slot. */
export const encode = (instructions: ReadonlyArray<Instruction>): Uint8Array => {
  const bytes = new Uint8Array(instructions.reduce((sum, i) => sum + slots(i) * 8, 0))
  const view = new DataView(bytes.buffer)
  let at = 0
  for (const instruction of instructions) {
    write(view, at, instruction)
    at += slots(instruction) * 8
  }
  return bytes
}

/** The instructions in bytes. Any opcode is taken; only a length that is no multiple of 8, and a wide
 * load whose second slot is missing or holds more than its immediate, fail. */
export const decode = (bytes: Uint8Array): Result.Result<ReadonlyArray<Instruction>, DecodeError> => {
  if (bytes.length % 8 !== 0) {
    return Result.fail(
      new DecodeError({
        index: Math.floor(bytes.length / 8),
        expected: "a multiple of 8 bytes",
        actual: `${bytes.length} bytes`
      })
    )
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const out: Array<Instruction> = []
  for (let at = 0; at < bytes.length; at += 8) {
    const opcode = view.getUint8(at)
    const registers = view.getUint8(at + 1)
    const low = view.getInt32(at + 4, true)
    let immediate: number | bigint = low
    if (opcode === WIDE_LOAD) {
      if (at + 16 > bytes.length) {
        return Result.fail(new DecodeError({ index: at / 8, expected: "a second slot", actual: "the end" }))
      }
      if (view.getUint32(at + 8, true) !== 0) {
        return Result.fail(
          new DecodeError({ index: at / 8 + 1, expected: "a second slot of nothing but an immediate", actual: "more" })
        )
      }
      immediate = (BigInt(view.getUint32(at + 12, true)) << 32n) | BigInt(low >>> 0)
    }
    const offset = view.getInt16(at + 2, true)
    out.push(make({ opcode, dst: registers & 15, src: registers >> 4, offset, immediate }))
    if (opcode === WIDE_LOAD) at += 8
  }
  return Result.succeed(out)
}
