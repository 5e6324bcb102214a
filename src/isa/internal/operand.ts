// What the builders have in common: operands, each checked where it was given, and the instruction that remembers where it
// was made. A wrong operand stays in the instruction as a `Fault`, which `assemble` reports with the builder's line.
import * as Instruction from "../Instruction.ts"
import { sources } from "../opcodes.ts"
import { cureOf, INT16, INT32, type Range, WORD32 } from "../immediates.ts"
import { type Fault, show, tagOf } from "./check.ts"
import { type Builder, captureSource } from "./source.ts"

/** A register: `r0` holds results, `r1` to `r5` arguments, `r6` to `r9` survive calls, `r10` is the frame pointer. */
export type Register = "r0" | "r1" | "r2" | "r3" | "r4" | "r5" | "r6" | "r7" | "r8" | "r9" | "r10"

/** A number, or one that the target kernel's types tell at load, made by the `core…` functions. */
export type Immediate = number | Instruction.CoreReference

export type Parts = Parameters<typeof Instruction.make>[0]

const numbers: ReadonlyMap<unknown, number> = new Map(Array.from({ length: 11 }, (_, n) => [`r${n}`, n]))

export const isRegister = (value: unknown): value is Register => numbers.has(value)

export const isCore = (value: unknown): value is Instruction.CoreReference => tagOf(value) === "Core"

/** What the second operand of arithmetic, jumps and stores may be where it is a number. */
export interface Bounds {
  readonly range: Range
  /** The builder that takes 32 bits, if there is one. */
  readonly short?: string | undefined
}

/** The operands of one call of a builder. They read as numbers whatever was given; the first wrong one is `fault`. */
export class Operands {
  fault: Fault | undefined
  private readonly builder: string
  constructor(builder: Builder) {
    this.builder = builder.name
  }

  /** Says that an operand is wrong. */
  wrong(operand: string, expected: string, actual: unknown, cure?: string): 0 {
    this.fault ??= { operand: `${operand} of ${this.builder}`, expected, actual: show(actual), cure }
    return 0
  }

  register(operand: string, value: unknown): number {
    return numbers.get(value) ?? this.wrong(operand, "a register r0 to r10", value)
  }

  integer(operand: string, value: unknown, [minimum, maximum]: Range, cure?: string): number {
    return Number.isInteger(value) && (value as number) >= minimum && (value as number) <= maximum
      ? value as number
      : this.wrong(operand, `an integer from ${minimum} to ${maximum}`, value, cure)
  }

  oneOf(operand: string, value: unknown, allowed: ReadonlyArray<number>): number {
    return allowed.includes(value as number) ? value as number : this.wrong(operand, allowed.join(" or "), value)
  }

  name(operand: string, value: unknown): string {
    if (typeof value === "string" && value !== "") return value
    this.wrong(operand, "a name", value)
    return "?"
  }

  /** A number of the kernel's types, whose names must be names. */
  core(operand: string, value: unknown): Instruction.CoreReference | undefined {
    if (!isCore(value)) {
      this.wrong(operand, "a number of the kernel's types, made by a core… function", value)
      return undefined
    }
    this.name(`kind of the ${operand}`, value.kind)
    this.name(`type of the ${operand}`, value.type)
    if (value.member !== undefined || !String(value.kind).startsWith("type_")) {
      this.name(`member of the ${operand}`, value.member)
    }
    return value
  }

  /** The offset of loads and stores. */
  offset(value: unknown): Pick<Parts, "offset" | "reference"> {
    return isCore(value)
      ? { offset: 0, reference: this.core("offset", value) }
      : { offset: this.integer("offset", value, INT16, "add the rest to the register") }
  }

  /** The second operand of arithmetic, jumps and stores: a register or a number. */
  operand(value: unknown, { range, short }: Bounds): Pick<Parts, "src" | "immediate"> & { readonly from: number } {
    if (isRegister(value)) return { src: numbers.get(value)!, from: sources.BPF_X }
    const [minimum, maximum] = range
    if (Number.isInteger(value) && (value as number) >= minimum && (value as number) <= maximum) {
      return { immediate: value as number, from: sources.BPF_K }
    }
    const expected = `a register r0 to r10, or an integer from ${minimum} to ${maximum}`
    this.wrong("value", expected, value, cureOf(value, short))
    return { immediate: 0, from: sources.BPF_K }
  }

  /** Where a jump goes: a label, or a number of slots beyond the next instruction. */
  target(value: unknown, field: "offset" | "immediate"): Pick<Parts, "offset" | "immediate" | "reference"> {
    if (typeof value === "string" && value !== "") return { reference: { _tag: "Label", name: value } }
    const range = field === "offset" ? INT16 : INT32
    if (typeof value === "number") return { [field]: this.integer("target", value, range) }
    this.wrong("target", `the name of a label, or a distance in slots from ${range[0]} to ${range[1]}`, value)
    return {}
  }

  /** A function of the program: its name, or its distance in slots. */
  function(value: unknown): Pick<Parts, "immediate" | "reference"> {
    if (typeof value === "string" && value !== "") return { reference: { _tag: "Function", name: value } }
    if (typeof value === "number") return { immediate: this.integer("name", value, INT32) }
    this.wrong("name", `the name of a function, or its distance in slots from ${INT32[0]} to ${INT32[1]}`, value)
    return {}
  }
}

/** What a 32-bit field holds where an operation works on 32 bits: a number of either sign. */
export const word: Range = WORD32

/** An instruction that remembers where `builder` was called, and what is wrong with its operands. */
export const at = (builder: Builder, operands: Operands | undefined, parts: Parts): Instruction.Instruction =>
  Instruction.make({ ...parts, fault: operands?.fault, source: captureSource(builder) })
