/**
 * An assembler in TypeScript: one function for each BPF operation. A program is an array of what they give back;
 * arrays nest, so a function may give back a piece of a program.
 *
 * Arithmetic and jumps take a register (`"r1"`) or an immediate (`1`) as their second operand. Jumps name labels. Nothing
 * is checked until `assemble`, which reports a wrong operand with the file and line of the call that made it.
 *
 * @example
 * ```ts
 * import { Asm } from "effect-ebpf"
 *
 * // return ctx == NULL ? 0 : 1
 * const body = [
 *   Asm.mov("r0", 0),
 *   Asm.jeq("r1", 0, "out"),
 *   Asm.mov("r0", 1),
 *   Asm.label("out"),
 *   Asm.exit()
 * ]
 * console.log(Asm.assemble(body))
 * ```
 */
import * as Data from "effect/Data"
import * as Result from "effect/Result"
import { bpf_func_id } from "../abi/generated/enums.ts"
import * as Instruction from "./Instruction.ts"
import { captureSource, type LazySource } from "./internal/source.ts"
import { alu, classes, jumps, modes, pseudo, sizes, sources, WIDE_LOAD } from "./opcodes.ts"

/** A register: `r0` holds results, `r1` to `r5` arguments, `r6` to `r9` survive calls, `r10` is the frame pointer. */
export type Register = "r0" | "r1" | "r2" | "r3" | "r4" | "r5" | "r6" | "r7" | "r8" | "r9" | "r10"

/** A helper function of the kernel by its name in `bpf-helpers(7)`, without `bpf_`. */
export type Helper = keyof typeof bpf_func_id extends infer K ? K extends `BPF_FUNC_${infer N}` ? N : never : never

/** A named place that jumps can go to. */
export interface Label {
  readonly _tag: "Label"
  readonly name: string
  /** @internal */
  readonly source: LazySource | undefined
}

/** What programs are made of. */
export type Item = Instruction.Instruction | Label | ReadonlyArray<Item>

/** A program that cannot be assembled. `location` is the builder call at fault, as `file:line`, when known. */
export class AsmError extends Data.TaggedError("AsmError")<{
  readonly index: number
  readonly expected: string
  readonly actual: string
  readonly location: string | undefined
}> {
  override get message(): string {
    const where = this.location === undefined ? "" : ` (${this.location})`
    return `instruction ${this.index}${where}: expected ${this.expected}, got ${this.actual}`
  }
}

type Parts = Parameters<typeof Instruction.make>[0]
type Operand = Register | number

/** An unknown name becomes -1, which `assemble` reports with its place. */
const number = (register: Register): number => {
  const n = /^r(\d|10)$/.exec(register)?.[1]
  return n === undefined ? -1 : Number(n)
}

/** An instruction that remembers where `builder` was called. */
const at = (builder: (...args: never) => unknown, parts: Parts): Instruction.Instruction =>
  Instruction.make({ ...parts, source: captureSource(builder) })

const operand = (value: Operand): Pick<Parts, "src" | "immediate"> & { readonly from: number } =>
  typeof value === "number"
    ? { immediate: value, from: sources.BPF_K }
    : { src: number(value), from: sources.BPF_X }

/** A named place that jumps can go to. */
export const label = (name: string): Label => ({ _tag: "Label", name, source: captureSource(label) })

// ---------------------------------------------------------------- arithmetic

/** An operation of `dst` with a register or a sign-extended 32-bit immediate, into `dst`. */
export type Arithmetic = (dst: Register, value: Register | number) => Instruction.Instruction

const arithmetic = (operation: number, bits: 32 | 64): Arithmetic => {
  const base = operation | (bits === 64 ? classes.BPF_ALU64 : classes.BPF_ALU)
  const builder: Arithmetic = (dst, value) => {
    const { from, ...rest } = operand(value)
    return at(builder, { opcode: base | from, dst: number(dst), ...rest })
  }
  return builder
}

/** `dst = value` */
export const mov: Arithmetic = arithmetic(alu.BPF_MOV, 64)
/** `dst += value` */
export const add: Arithmetic = arithmetic(alu.BPF_ADD, 64)
/** `dst -= value` */
export const sub: Arithmetic = arithmetic(alu.BPF_SUB, 64)
/** `dst *= value` */
export const mul: Arithmetic = arithmetic(alu.BPF_MUL, 64)
/** `dst /= value`, unsigned; 0 when dividing by zero */
export const div: Arithmetic = arithmetic(alu.BPF_DIV, 64)
/** `dst %= value`, unsigned; `dst` unchanged when dividing by zero */
export const mod: Arithmetic = arithmetic(alu.BPF_MOD, 64)
/** `dst |= value` */
export const or: Arithmetic = arithmetic(alu.BPF_OR, 64)
/** `dst &= value` */
export const and: Arithmetic = arithmetic(alu.BPF_AND, 64)
/** `dst ^= value` */
export const xor: Arithmetic = arithmetic(alu.BPF_XOR, 64)
/** `dst <<= value` */
export const lsh: Arithmetic = arithmetic(alu.BPF_LSH, 64)
/** `dst >>= value`, filling with zeros */
export const rsh: Arithmetic = arithmetic(alu.BPF_RSH, 64)
/** `dst >>= value`, filling with the sign */
export const arsh: Arithmetic = arithmetic(alu.BPF_ARSH, 64)

/** As `mov`, on the low 32 bits; the high ones become zero, as in all operations that end in 32. */
export const mov32: Arithmetic = arithmetic(alu.BPF_MOV, 32)
/** As `add`, on the low 32 bits. */
export const add32: Arithmetic = arithmetic(alu.BPF_ADD, 32)
/** As `sub`, on the low 32 bits. */
export const sub32: Arithmetic = arithmetic(alu.BPF_SUB, 32)
/** As `mul`, on the low 32 bits. */
export const mul32: Arithmetic = arithmetic(alu.BPF_MUL, 32)
/** As `div`, on the low 32 bits. */
export const div32: Arithmetic = arithmetic(alu.BPF_DIV, 32)
/** As `mod`, on the low 32 bits. */
export const mod32: Arithmetic = arithmetic(alu.BPF_MOD, 32)
/** As `or`, on the low 32 bits. */
export const or32: Arithmetic = arithmetic(alu.BPF_OR, 32)
/** As `and`, on the low 32 bits. */
export const and32: Arithmetic = arithmetic(alu.BPF_AND, 32)
/** As `xor`, on the low 32 bits. */
export const xor32: Arithmetic = arithmetic(alu.BPF_XOR, 32)
/** As `lsh`, on the low 32 bits. */
export const lsh32: Arithmetic = arithmetic(alu.BPF_LSH, 32)
/** As `rsh`, on the low 32 bits. */
export const rsh32: Arithmetic = arithmetic(alu.BPF_RSH, 32)
/** As `arsh`, on the low 32 bits. */
export const arsh32: Arithmetic = arithmetic(alu.BPF_ARSH, 32)

/** `dst = -dst` */
export const neg = (dst: Register): Instruction.Instruction =>
  at(neg, { opcode: classes.BPF_ALU64 | alu.BPF_NEG, dst: number(dst) })

/** As `neg`, on the low 32 bits. */
export const neg32 = (dst: Register): Instruction.Instruction =>
  at(neg32, { opcode: classes.BPF_ALU | alu.BPF_NEG, dst: number(dst) })

/** `dst = value`, a 64-bit immediate. It takes two slots. */
export const lddw = (dst: Register, value: bigint): Instruction.Instruction =>
  at(lddw, { opcode: WIDE_LOAD, dst: number(dst), immediate: value })

/** `dst` = the map named `name`, as helpers take it. The name is that given to `Program.load`. */
export const ldMapFd = (dst: Register, name: string): Instruction.Instruction =>
  at(ldMapFd, {
    opcode: WIDE_LOAD,
    dst: number(dst),
    src: pseudo.BPF_PSEUDO_MAP_FD,
    immediate: 0n,
    reference: { _tag: "Map", name }
  })

// ---------------------------------------------------------------- memory

/** `dst = *(src + offset)`, zero-extended. */
export type Load = (dst: Register, src: Register, offset: number) => Instruction.Instruction

const load = (size: number): Load => {
  const builder: Load = (dst, src, offset) =>
    at(builder, {
      opcode: classes.BPF_LDX | modes.BPF_MEM | size,
      dst: number(dst),
      src: number(src),
      offset
    })
  return builder
}

/** Loads 1 byte. */
export const ldxb: Load = load(sizes.BPF_B)
/** Loads 2 bytes. */
export const ldxh: Load = load(sizes.BPF_H)
/** Loads 4 bytes. */
export const ldxw: Load = load(sizes.BPF_W)
/** Loads 8 bytes. */
export const ldxdw: Load = load(sizes.BPF_DW)

/** `*(dst + offset) = value`: the low bytes of a register, or an immediate. */
export type Store = (dst: Register, offset: number, value: Register | number) => Instruction.Instruction

const store = (size: number): Store => {
  const builder: Store = (dst, offset, value) => {
    const { from: _, ...rest } = operand(value)
    const instructionClass = typeof value === "number" ? classes.BPF_ST : classes.BPF_STX
    return at(builder, { opcode: instructionClass | modes.BPF_MEM | size, dst: number(dst), offset, ...rest })
  }
  return builder
}

/** Stores 1 byte. */
export const stb: Store = store(sizes.BPF_B)
/** Stores 2 bytes. */
export const sth: Store = store(sizes.BPF_H)
/** Stores 4 bytes. */
export const stw: Store = store(sizes.BPF_W)
/** Stores 8 bytes; an immediate is sign-extended. */
export const stdw: Store = store(sizes.BPF_DW)

// ---------------------------------------------------------------- control flow

/** Jumps to a label if `dst` compares so to a register or a sign-extended 32-bit immediate. */
export type Jump = (dst: Register, value: Register | number, target: string) => Instruction.Instruction

const jump = (operation: number, bits: 32 | 64): Jump => {
  const base = operation | (bits === 64 ? classes.BPF_JMP : classes.BPF_JMP32)
  const builder: Jump = (dst, value, target) => {
    const { from, ...rest } = operand(value)
    return at(builder, { opcode: base | from, dst: number(dst), ...rest, reference: { _tag: "Label", name: target } })
  }
  return builder
}

/** Jumps if equal. */
export const jeq: Jump = jump(jumps.BPF_JEQ, 64)
/** Jumps if not equal. */
export const jne: Jump = jump(jumps.BPF_JNE, 64)
/** Jumps if greater, unsigned. */
export const jgt: Jump = jump(jumps.BPF_JGT, 64)
/** Jumps if greater or equal, unsigned. */
export const jge: Jump = jump(jumps.BPF_JGE, 64)
/** Jumps if less, unsigned. */
export const jlt: Jump = jump(jumps.BPF_JLT, 64)
/** Jumps if less or equal, unsigned. */
export const jle: Jump = jump(jumps.BPF_JLE, 64)
/** Jumps if greater, signed. */
export const jsgt: Jump = jump(jumps.BPF_JSGT, 64)
/** Jumps if greater or equal, signed. */
export const jsge: Jump = jump(jumps.BPF_JSGE, 64)
/** Jumps if less, signed. */
export const jslt: Jump = jump(jumps.BPF_JSLT, 64)
/** Jumps if less or equal, signed. */
export const jsle: Jump = jump(jumps.BPF_JSLE, 64)
/** Jumps if any bit is set in both. */
export const jset: Jump = jump(jumps.BPF_JSET, 64)

/** As `jeq`, on the low 32 bits. */
export const jeq32: Jump = jump(jumps.BPF_JEQ, 32)
/** As `jne`, on the low 32 bits. */
export const jne32: Jump = jump(jumps.BPF_JNE, 32)
/** As `jgt`, on the low 32 bits. */
export const jgt32: Jump = jump(jumps.BPF_JGT, 32)
/** As `jge`, on the low 32 bits. */
export const jge32: Jump = jump(jumps.BPF_JGE, 32)
/** As `jlt`, on the low 32 bits. */
export const jlt32: Jump = jump(jumps.BPF_JLT, 32)
/** As `jle`, on the low 32 bits. */
export const jle32: Jump = jump(jumps.BPF_JLE, 32)
/** As `jsgt`, on the low 32 bits. */
export const jsgt32: Jump = jump(jumps.BPF_JSGT, 32)
/** As `jsge`, on the low 32 bits. */
export const jsge32: Jump = jump(jumps.BPF_JSGE, 32)
/** As `jslt`, on the low 32 bits. */
export const jslt32: Jump = jump(jumps.BPF_JSLT, 32)
/** As `jsle`, on the low 32 bits. */
export const jsle32: Jump = jump(jumps.BPF_JSLE, 32)
/** As `jset`, on the low 32 bits. */
export const jset32: Jump = jump(jumps.BPF_JSET, 32)

/** Jumps always. */
export const ja = (target: string): Instruction.Instruction =>
  at(ja, { opcode: classes.BPF_JMP | jumps.BPF_JA, reference: { _tag: "Label", name: target } })

/** Calls a helper: arguments in `r1` to `r5`, which it destroys, and the result in `r0`. */
export const call = (helper: Helper): Instruction.Instruction =>
  at(call, {
    opcode: classes.BPF_JMP | jumps.BPF_CALL,
    immediate: bpf_func_id[`BPF_FUNC_${helper}` as keyof typeof bpf_func_id] ?? Number.NaN
  })

/** Ends the program with the value of `r0`. */
export const exit = (): Instruction.Instruction => at(exit, { opcode: classes.BPF_JMP | jumps.BPF_EXIT })

// ---------------------------------------------------------------- assembling

/** A program whose labels are resolved. Its map references still need the maps: `Program.load` fills them in. */
export interface Assembled {
  readonly instructions: ReadonlyArray<Instruction.Instruction>
  /** The encoded program, 8 bytes for each slot, with zeros in place of maps. */
  readonly bytes: Uint8Array
  /** The slot at which each instruction begins; the kernel counts in slots. */
  readonly slots: ReadonlyArray<number>
  /** The maps that it refers to, with the slots of the wide loads that name them. */
  readonly maps: ReadonlyMap<string, ReadonlyArray<number>>
}

/** The kernel takes at most 1,000,000 instructions (BPF_COMPLEXITY_LIMIT_INSNS, since 5.2). */
const MOST_SLOTS = 1_000_000

const locationOf = (item: { readonly source: LazySource | undefined } | undefined): string | undefined => {
  const location = item?.source?.location
  return location === undefined ? undefined : `${location.file}:${location.line}`
}

const flatten = (items: ReadonlyArray<Item>): ReadonlyArray<Instruction.Instruction | Label> =>
  (items as ReadonlyArray<any>).flat(Infinity) as Array<Instruction.Instruction | Label>

const isBetween = (value: number, minimum: number, maximum: number): boolean =>
  Number.isInteger(value) && value >= minimum && value <= maximum

/** What is wrong with the numbers of an instruction, as expected and actual. */
const checkNumbers = (i: Instruction.Instruction): readonly [expected: string, actual: string] | undefined => {
  if (!isBetween(i.dst, 0, 10) || !isBetween(i.src, 0, 10)) return ["registers r0 to r10", "another name"]
  if (!isBetween(i.offset, -0x8000, 0x7fff)) return ["an offset from -32768 to 32767", String(i.offset)]
  if (Instruction.isWide(i) !== (typeof i.immediate === "bigint")) {
    return [Instruction.isWide(i) ? "a bigint, for lddw" : "a number (lddw takes a bigint)", typeof i.immediate]
  }
  if (typeof i.immediate === "bigint") {
    return i.immediate >= -(2n ** 63n) && i.immediate < 2n ** 64n
      ? undefined
      : ["an immediate of 64 bits", String(i.immediate)]
  }
  // Both readings of 32 bits are common: -1, and 0xffffffff for masks. The kernel sign-extends either.
  if (Number.isNaN(i.immediate)) return ["the name of a helper", "an unknown one"]
  return isBetween(i.immediate, -0x80000000, 0xffffffff)
    ? undefined
    : ["an immediate of 32 bits (lddw takes 64)", String(i.immediate)]
}

/**
 * Resolves labels and encodes. Fails with `AsmError` for an empty or too long program, a label that is unknown or
 * defined twice, a jump beyond 16 bits, an operand out of range, and a last instruction that falls off the end.
 */
export const assemble = (items: ReadonlyArray<Item>): Result.Result<Assembled, AsmError> => {
  const labels = new Map<string, number>()
  const instructions: Array<Instruction.Instruction> = []
  const slots: Array<number> = []
  const maps = new Map<string, Array<number>>()
  const fail = (
    index: number,
    expected: string,
    actual: string,
    item: Instruction.Instruction | Label | undefined = instructions[index]
  ): Result.Result<never, AsmError> =>
    Result.fail(new AsmError({ index, expected, actual, location: locationOf(item) }))

  let slot = 0
  for (const item of flatten(items)) {
    if (item._tag === "Label") {
      if (labels.has(item.name)) return fail(instructions.length, `one label ${item.name}`, "a second one", item)
      labels.set(item.name, slot)
      continue
    }
    instructions.push(item)
    slots.push(slot)
    slot += Instruction.slots(item)
  }
  if (slot === 0 || slot > MOST_SLOTS) return fail(0, `1 to ${MOST_SLOTS} instructions`, String(slot))

  const resolved: Array<Instruction.Instruction> = []
  for (const [index, instruction] of instructions.entries()) {
    const wrong = checkNumbers(instruction)
    if (wrong !== undefined) return fail(index, ...wrong)
    const { reference } = instruction
    if (reference?._tag === "Label") {
      const target = labels.get(reference.name)
      if (target === undefined) return fail(index, `a label ${reference.name}`, "none")
      const offset = target - slots[index]! - 1
      if (!isBetween(offset, -0x8000, 0x7fff)) return fail(index, "a jump of at most 32767 slots", String(offset))
      if (target >= slot) return fail(index, `an instruction after label ${reference.name}`, "the end")
      resolved.push({ ...instruction, offset })
      continue
    }
    if (reference?._tag === "Map") {
      const uses = maps.get(reference.name) ?? []
      uses.push(slots[index]!)
      maps.set(reference.name, uses)
    }
    resolved.push(instruction)
  }

  const last = instructions[instructions.length - 1]!
  const ends = last.opcode === (classes.BPF_JMP | jumps.BPF_EXIT) || last.opcode === (classes.BPF_JMP | jumps.BPF_JA)
  if (!ends) {
    return fail(instructions.length - 1, "exit() or ja() as the last instruction", "one that falls off the end")
  }
  return Result.succeed({ instructions: resolved, bytes: Instruction.encode(resolved), slots, maps })
}
