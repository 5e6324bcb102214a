/**
 * BPF instructions as data. An instruction is 8 bytes for the kernel, or 16 for a 64-bit immediate: an opcode, two
 * registers, an offset and an immediate. Here it may also hold a symbolic reference, to a label, a function, a map or a
 * type of the kernel, that is replaced by a number when the program is assembled or loaded.
 *
 * Source of the encoding: RFC 9669, and `struct bpf_insn` in `include/uapi/linux/bpf.h`.
 *
 * @example
 * ```ts
 * import { Instruction } from "effect-ebpf"
 *
 * // r0 = 1; exit
 * const bytes = Instruction.encode([
 *   Instruction.make({ opcode: 0xb7, dst: 0, immediate: 1 }),
 *   Instruction.make({ opcode: 0x95 })
 * ])
 * console.log(Instruction.decode(bytes))
 * ```
 */
import * as Data from "effect/Data"
import * as Result from "effect/Result"
import type { LazySource, SourceLocation } from "./internal/source.ts"
import { describeFault, encodingFault, type Fault } from "./internal/check.ts"
import {
  CALL,
  calls,
  classes,
  CONDITIONAL_JUMP,
  EXIT,
  fields,
  INDIRECT_CALL,
  INDIRECT_JUMP,
  LONG_JUMP,
  pseudo,
  WIDE_LOAD
} from "./opcodes.ts"

export type { SourceLocation } from "./internal/source.ts"

/** What an instruction needs of a map: its name, or a handle of the map modules, whose `fd` is read at load. */
export interface MapHandle {
  /** -1 once the map is closed. */
  readonly fd: number
  readonly spec: { readonly name: string }
}

/**
 * What CO-RE (compile once, run everywhere) asks of the target kernel's types, in the words of the UAPI's
 * `enum bpf_core_relo_kind`. Local type ids are not among them: programs made here have no types of their own, and a
 * `LocalCoreReference` has one kind more.
 */
export type CoreKind =
  | "field_byte_offset"
  | "field_byte_size"
  | "field_exists"
  | "field_signed"
  | "field_lshift_u64"
  | "field_rshift_u64"
  | "type_id_target"
  | "type_exists"
  | "type_size"
  | "type_matches"
  | "enumval_exists"
  | "enumval_value"

/** What a type must be like for `type_matches`: its kind, and the kinds of the members or enumerators that it must have. */
export interface CoreShape {
  readonly kind: "struct" | "union" | "enum" | "int" | "typedef"
  /** Members by name, each with the kind that it must have behind typedefs and qualifiers. */
  readonly members?: { readonly [name: string]: "int" | "float" | "pointer" | "array" | "struct" | "union" | "enum" }
  /** The names that an enum must have. */
  readonly values?: ReadonlyArray<string>
}

/** A number that depends on the target kernel's types. */
export interface CoreReference {
  readonly _tag: "Core"
  readonly kind: CoreKind
  /** A type by name, `"task_struct"`, or with its keyword where the name alone is not enough, `"struct task_struct"`. */
  readonly type: string
  /** A path of members such as `"mm.owner"`, `"a[3]"` or through pointers `"mm->owner"`; or an enumerator. */
  readonly member: string | undefined
  readonly shape: CoreShape | undefined
}

/** The types that a compiled program was made with: a `Btf`. */
export interface LocalTypes {
  readonly firstId: number
  readonly lastId: number
}

/**
 * A number that depends on the target kernel's types, as compilers refer to it: by a type of the program's own BTF, and an
 * access string such as `"0:2:1"`. The first number counts elements as in `pointer[0]`, each further one is the index of a
 * member or an element. For enumerators it is their index, and for types `"0"`.
 */
export interface LocalCoreReference {
  readonly _tag: "LocalCore"
  readonly kind: CoreKind | "type_id_local"
  /** The program's own BTF (`Btf.parse` of the object's). */
  readonly types: LocalTypes
  /** The id of a type in it. */
  readonly type: number
  readonly access: string
}

/** What stands for a number that is not known yet. */
export type Reference =
  /** A jump target in the same function; becomes the offset, or the immediate of a long jump. */
  | { readonly _tag: "Label"; readonly name: string }
  /** A function of the same program; becomes the distance in the immediate of a call or a wide load. */
  | { readonly _tag: "Function"; readonly name: string }
  /**
   * A map, by the name under which it is given to `Program.load` or by its handle; its descriptor becomes the lower half
   * of a wide load's immediate.
   */
  | { readonly _tag: "Map"; readonly name: string; readonly handle?: MapHandle | undefined }
  /** A function of the kernel that programs may call, by name; becomes the BTF id in the immediate of a call. */
  | { readonly _tag: "Kfunc"; readonly name: string }
  /** A variable of the kernel, by name; becomes the BTF id in the immediate of a wide load. */
  | { readonly _tag: "KernelVariable"; readonly name: string }
  /**
   * A number from the target kernel's types: the offset of a load or store, and the immediate of all else. `access` also
   * gives a load the size of the field.
   */
  | CoreReference & { readonly access?: boolean }
  /** As `CoreReference`, of a compiled program. A load or store gets its size too, where that cannot change what it reads. */
  | LocalCoreReference

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
  /** @internal What is wrong with the operands that a builder was given; `assemble` reports it. */
  readonly fault: Fault | undefined
  /** @internal */
  readonly source: LazySource | undefined
}

/** What was expected at an index, and what is there. */
interface Mismatch {
  readonly index: number
  readonly expected: string
  readonly actual: string
}

const sentence = ({ actual, expected, index }: Mismatch): string =>
  `instruction ${index}: expected ${expected}, got ${actual}`

/** Bytes that are no instructions. `index` counts slots of 8 bytes. */
export class DecodeError extends Data.TaggedError("DecodeError")<Mismatch> {
  override get message(): string {
    return sentence(this)
  }
}

/** An instruction that its bytes would not hold as it is. `index` counts instructions. */
export class EncodeError extends Data.TaggedError("EncodeError")<Mismatch> {
  override get message(): string {
    return sentence(this)
  }
}

/** An instruction of its parts; those left out are zero. */
export const make = (parts: {
  readonly opcode: number
  readonly dst?: number
  readonly src?: number
  readonly offset?: number
  readonly immediate?: number | bigint
  readonly reference?: Reference | undefined
  readonly source?: LazySource | undefined
  /** @internal */
  readonly fault?: Fault | undefined
}): Instruction => ({
  _tag: "Instruction",
  opcode: parts.opcode,
  dst: parts.dst ?? 0,
  src: parts.src ?? 0,
  offset: parts.offset ?? 0,
  immediate: parts.immediate ?? 0,
  reference: parts.reference,
  fault: parts.fault,
  source: parts.source
})

/** True for the load of a 64-bit immediate, the one instruction that takes two slots. */
export const isWide = (instruction: Instruction): boolean => instruction.opcode === WIDE_LOAD

/** How many slots of 8 bytes it takes: 1 or 2. */
export const slots = (instruction: Instruction): number => isWide(instruction) ? 2 : 1

/** True for a call of a function in the same program. */
export const isLocalCall = ({ opcode, src }: Instruction): boolean => opcode === CALL && src === calls.BPF_PSEUDO_CALL

/** True for the wide load of a function's address, for helpers that call it back. */
export const isFunctionAddress = ({ opcode, src }: Instruction): boolean =>
  opcode === WIDE_LOAD && src === pseudo.BPF_PSEUDO_FUNC

/** True for a jump of any kind; calls and exits are none. */
export const isJump = ({ opcode }: Instruction): boolean => {
  if (opcode === CALL || opcode === INDIRECT_CALL || opcode === EXIT) return false
  const operation = opcode & fields.OPERATION
  const jumpClass = opcode & fields.CLASS
  return jumpClass === classes.BPF_JMP32 || (jumpClass === classes.BPF_JMP && operation <= CONDITIONAL_JUMP)
}

/** How many slots a jump goes beyond the next one; `undefined` for other instructions, and where a register tells it. */
export const jumpDistance = (instruction: Instruction): number | undefined => {
  if (!isJump(instruction) || instruction.opcode === INDIRECT_JUMP) return undefined
  return instruction.opcode === LONG_JUMP ? Number(instruction.immediate) : instruction.offset
}

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

/**
 * The bytes of instructions, 8 for each slot. Any opcode is taken. Throws `EncodeError` for a number that its field does not
 * hold, or that a 64-bit operation would change by extending its sign.
 */
export const encode = (instructions: ReadonlyArray<Instruction>): Uint8Array => {
  for (let index = 0; index < instructions.length; index++) {
    const wrong = encodingFault(instructions[index]!)
    if (wrong !== undefined) throw new EncodeError({ index, ...describeFault(wrong) })
  }
  return encodeChecked(instructions)
}

/** @internal As `encode`, of instructions that have been checked. */
export const encodeChecked = (instructions: ReadonlyArray<Instruction>): Uint8Array => {
  const bytes = new Uint8Array(instructions.reduce((sum, i) => sum + slots(i) * 8, 0))
  const view = new DataView(bytes.buffer)
  let at = 0
  for (const instruction of instructions) {
    write(view, at, instruction)
    at += slots(instruction) * 8
  }
  return bytes
}

const failure = (index: number, expected: string, actual: string): Result.Result<never, DecodeError> =>
  Result.fail(new DecodeError({ index, expected, actual }))

/**
 * The instructions in bytes. Any opcode is taken; only a length that is no multiple of 8, and a wide load whose second
 * slot is missing or holds more than its immediate, fail.
 */
export const decode = (bytes: Uint8Array): Result.Result<ReadonlyArray<Instruction>, DecodeError> => {
  if (bytes.length % 8 !== 0) {
    return failure(Math.floor(bytes.length / 8), "a multiple of 8 bytes", `${bytes.length} bytes`)
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const out: Array<Instruction> = []
  for (let at = 0; at < bytes.length; at += 8) {
    const opcode = view.getUint8(at)
    const registers = view.getUint8(at + 1)
    const offset = view.getInt16(at + 2, true)
    const low = view.getInt32(at + 4, true)
    let immediate: number | bigint = low
    if (opcode === WIDE_LOAD) {
      if (at + 16 > bytes.length) return failure(at / 8, "a second slot", "the end")
      if (view.getUint32(at + 8, true) !== 0) {
        return failure(at / 8 + 1, "a second slot of nothing but an immediate", "more")
      }
      immediate = (BigInt(view.getUint32(at + 12, true)) << 32n) | BigInt(low >>> 0)
    }
    out.push(make({ opcode, dst: registers & 15, src: registers >> 4, offset, immediate }))
    if (opcode === WIDE_LOAD) at += 8
  }
  return Result.succeed(out)
}
