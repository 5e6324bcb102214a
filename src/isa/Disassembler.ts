/**
 * BPF programs as text, and text as programs. The text is that of LLVM's disassembler, `r1 = *(u64 *)(r10 - 8)`, with
 * the kernel's words where they say more: `call bpf_map_lookup_elem#1`, `map[fd:5]`, `atomic64_fetch_add(…)`.
 *
 * `disassemble` takes any bytes: a slot that is no instruction, or that holds numbers which its text would not keep, becomes
 * a line `.8byte 0x…`. `parse` reads all that `disassemble` writes, back to the same bytes. It also reads what llvm-objdump
 * writes of one section, the verifier's log and bpftool's dumps of what was loaded: to the same bytes, or it refuses the
 * line with the reason. Bytes or opcodes on a line count; its words must agree with them. Where neither tells what the
 * instruction was, it is refused: a number that is called without its bytes (of a helper, or of a function?), an address
 * of the kernel that a log shows in place of a map, a call that the kernel has put in place of another. Source lines are
 * lost, and a CO-RE reference is only the number that stands beside it.
 *
 * Both are pure: they ask no kernel.
 *
 * @example
 * ```ts
 * import { Asm, Disassembler } from "effect-ebpf"
 * import * as Result from "effect/Result"
 *
 * const program = Result.getOrThrow(Asm.assemble([
 *   Asm.mov("r0", 0),
 *   Asm.jeq("r1", 0, "out"),
 *   Asm.call("ktime_get_ns"),
 *   Asm.label("out"),
 *   Asm.exit()
 * ]))
 * console.log(Disassembler.disassemble(program, { source: false }))
 * //   r0 = 0
 * //   if r1 == 0 goto +1 <out>
 * //   call bpf_ktime_get_ns#5
 * // out:
 * //   exit
 *
 * const { items } = Result.getOrThrow(Disassembler.parse("r0 = 0\nexit"))
 * console.log(Asm.assemble(items))
 * ```
 */
import type * as Result from "effect/Result"
import type { Assembled } from "./internal/assemble.ts"
import { type Check, checkGiven, type Checks, readGiven, type Wrong } from "../abi/given.ts"
import * as Instruction from "./Instruction.ts"
import { AsmError } from "./internal/error.ts"
import { type Code, type KnownFunction, list } from "./internal/text/listing.ts"
import { type Listing, parse as parseText } from "./internal/text/parse.ts"
import type { ParseError } from "./internal/text/scan.ts"

export type { Listing } from "./internal/text/parse.ts"
export {
  /** Text that is no program; names the line and the column, what was expected there and what stands there. */
  ParseError
} from "./internal/text/scan.ts"

/** What a listing shows, and the names that instructions themselves do not tell. */
export interface Options {
  /** The functions of the program, by the slots where they begin. Others that are called are named after their slot. */
  readonly functions?: ReadonlyArray<{ readonly name: string; readonly slot: number }>
  /** The name of the map that has a descriptor or id. `parse` reads it as a reference to the map by name. */
  readonly mapName?: (fd: number) => string | undefined
  /** The name of the kernel function that has a BTF id, in a module if `module` is not 0. */
  readonly kfuncName?: (btfId: number, module: number) => string | undefined
  /** Where the instruction of a slot comes from, such as `"tracer.c:42"`; from its BTF line info, for instance. */
  readonly line?: (slot: number) => string | undefined
  /** Whether `Asm`'s calls are shown as `; tracer.ts:42`; true unless given. */
  readonly source?: boolean
  /** Whether each instruction's slot is shown before it; false unless given. */
  readonly slots?: boolean
  /** Whether each instruction's bytes are shown before it; false unless given. */
  readonly bytes?: boolean
}

const isText = (value: unknown): boolean => typeof value === "string"
const aFunction: Check = { expected: "a function", accepts: (value) => typeof value === "function" }
const aBoolean: Check = { expected: "true or false", accepts: (value) => typeof value === "boolean" }

const checks: Checks<Options> = {
  functions: {
    expected: "an array of names and slots",
    accepts: (value) => Array.isArray(value) && value.every((f) => isText(f.name) && Number.isInteger(f.slot))
  },
  mapName: aFunction,
  kfuncName: aFunction,
  line: aFunction,
  source: aBoolean,
  slots: aBoolean,
  bytes: aBoolean
}

const unfit = ({ actual, expected, field }: Wrong): AsmError =>
  new AsmError({ index: 0, operand: field, expected, actual, cure: undefined, location: undefined })

const aProgram: Check = {
  expected: "bytes, instructions, or what Asm.assemble gives",
  accepts: (value) =>
    value instanceof Uint8Array ||
    (Array.isArray(value) ? value : value.instructions).every((i: any) => i?._tag === "Instruction")
}

interface Known {
  readonly bytes: Uint8Array
  readonly references: ReadonlyMap<number, Instruction.Reference>
  readonly functions: ReadonlyArray<KnownFunction>
  readonly line: ((slot: number) => string | undefined) | undefined
}

const noReferences: ReadonlyMap<number, Instruction.Reference> = new Map()

const lineOf = (instruction: Instruction.Instruction | undefined): string | undefined => {
  const source = instruction === undefined ? undefined : Instruction.sourceOf(instruction)
  return source === undefined ? undefined : `${source.file.slice(source.file.lastIndexOf("/") + 1)}:${source.line}`
}

/** What instructions tell beside their bytes. */
const known = (instructions: ReadonlyArray<Instruction.Instruction>, functions: Known["functions"]): Known => {
  const references = new Map<number, Instruction.Reference>()
  const bySlot = new Map<number, Instruction.Instruction>()
  let slot = 0
  for (const instruction of instructions) {
    if (instruction.reference !== undefined) references.set(slot, instruction.reference)
    if (instruction.source !== undefined) bySlot.set(slot, instruction)
    slot += Instruction.slots(instruction)
  }
  const line = bySlot.size === 0 ? undefined : (at: number) => lineOf(bySlot.get(at))
  return { bytes: Instruction.encode(instructions), references, functions, line }
}

const knownOf = (program: Uint8Array | ReadonlyArray<Instruction.Instruction> | Assembled): Known => {
  checkGiven("program", program, aProgram, unfit)
  if (program instanceof Uint8Array) {
    return { bytes: program, references: noReferences, functions: [], line: undefined }
  }
  return "instructions" in program
    ? known(program.instructions, program.functions)
    : known(program as ReadonlyArray<Instruction.Instruction>, [])
}

/**
 * The text of a program: a line for each instruction, labels before what jumps lead to, and a header before each
 * function. What `Asm.assemble` gives has names for these; from bytes they are named after their slots.
 *
 * Any bytes will do. Bytes after the last whole slot are shown as a comment. Throws `AsmError` for an option that is none,
 * or is not what its type says, and for what is no program.
 */
export const disassemble = (
  program: Uint8Array | ReadonlyArray<Instruction.Instruction> | Assembled,
  options?: Options
): string => {
  const { bytes, functions, line, references } = knownOf(program)
  const chosen = readGiven("options of disassemble", options, checks, unfit)
  const given = chosen.functions?.map((f) => ({ ...f, global: false, parameters: 0 })) ?? []
  const code: Code = {
    bytes,
    references,
    functions: [...functions, ...given],
    line: chosen.line ?? (chosen.source === false ? undefined : line),
    mapName: chosen.mapName,
    kfuncName: chosen.kfuncName,
    showSlots: chosen.slots ?? false,
    showBytes: chosen.bytes ?? false
  }
  return list(code)
}

/**
 * The program in a text: items for `Asm.assemble`, and its bytes. A jump may give its distance, `goto +5`, or a label,
 * `goto out`; where both stand, and the label is in the text, the label counts. `<name>:` begins a function, and
 * `global <name>(2):` a global one with two parameters. Lines that begin with `;`, `#` or `//` are comments.
 *
 * Lines may have up to 10,000 letters. A number before a line is its slot, and must count on from that of the line before. A
 * verifier's log is put in the order of its slots, and must show each that control can reach. `call 5` on a line that has
 * neither slot nor bytes is read as a helper.
 *
 * Fails with `ParseError`, and never throws.
 */
export const parse = (text: string): Result.Result<Listing, ParseError> => parseText(text)
