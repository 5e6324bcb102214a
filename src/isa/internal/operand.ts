// What the builders have in common: registers, operands, and the instruction that remembers where it was made.
import * as Instruction from "../Instruction.ts"
import { sources } from "../opcodes.ts"
import { type Builder, captureSource } from "./source.ts"

/** A register: `r0` holds results, `r1` to `r5` arguments, `r6` to `r9` survive calls, `r10` is the frame pointer. */
export type Register = "r0" | "r1" | "r2" | "r3" | "r4" | "r5" | "r6" | "r7" | "r8" | "r9" | "r10"

/** A number, or one that the target kernel's types tell at load, made by the `core…` functions. */
export type Immediate = number | Instruction.CoreReference

export type Parts = Parameters<typeof Instruction.make>[0]

const numbers: ReadonlyMap<string, number> = new Map(Array.from({ length: 11 }, (_, n) => [`r${n}`, n]))

/** An unknown name becomes -1, which `assemble` reports with its place. */
export const number = (register: Register): number => numbers.get(register) ?? -1

/** An instruction that remembers where `builder` was called. */
export const at = (builder: Builder, parts: Parts): Instruction.Instruction =>
  Instruction.make({ ...parts, source: captureSource(builder) })

/** The second operand of arithmetic, jumps and stores. */
export const operand = (
  value: Register | Immediate
): Pick<Parts, "src" | "immediate" | "reference"> & { readonly from: number } => {
  if (typeof value === "string") return { src: number(value), from: sources.BPF_X }
  if (typeof value === "number") return { immediate: value, from: sources.BPF_K }
  return isCore(value)
    ? { immediate: 0, reference: value, from: sources.BPF_K }
    : { immediate: value, from: sources.BPF_K } // a bigint, say: `assemble` reports it
}

/** The offset of loads and stores. */
export const offsetOf = (offset: Immediate): Pick<Parts, "offset" | "reference"> =>
  isCore(offset) ? { offset: 0, reference: offset } : { offset }

export const isCore = (value: unknown): value is Instruction.CoreReference =>
  typeof value === "object" && value !== null && (value as Instruction.CoreReference)._tag === "Core"
