// The second half of assembling: functions get their places, labels and function names become distances.
import * as Result from "effect/Result"
import * as Instruction from "../Instruction.ts"
import { EXIT, INDIRECT_JUMP, JUMP, LONG_JUMP, WIDE_LOAD } from "../opcodes.ts"
import { INT16 } from "../immediates.ts"
import { check, type Fault, fault, isBetween } from "./check.ts"
import { type Body, collect } from "./collect.ts"
import { AsmError, locationOf } from "./error.ts"
import type { Item } from "./item.ts"
import type { LazySource } from "./source.ts"

/** A function of an assembled program. */
export interface AssembledFunction {
  /** `undefined` for an entry that stands outside of all functions. */
  readonly name: string | undefined
  /** The slot of its first instruction. */
  readonly slot: number
  readonly global: boolean
  readonly parameters: number
}

/** A number that only the kernel's types tell, and the instruction that needs it. */
export interface Unresolved {
  readonly index: number
  readonly slot: number
  readonly reference: Extract<
    Instruction.Reference,
    { readonly _tag: "Core" | "LocalCore" | "Kfunc" | "KernelVariable" }
  >
}

/** A program whose labels are resolved. What else it refers to is filled in by `Program.load`. */
export interface Assembled {
  readonly instructions: ReadonlyArray<Instruction.Instruction>
  /** The encoded program, 8 bytes for each slot, with zeros in place of maps and of what is unresolved. */
  readonly bytes: Uint8Array
  /** The slot at which each instruction begins; the kernel counts in slots. */
  readonly slots: ReadonlyArray<number>
  /** The maps that it refers to by name, with the slots of the wide loads that name them. */
  readonly maps: ReadonlyMap<string, ReadonlyArray<number>>
  /** The maps that it refers to by handle, with the slots of the wide loads. */
  readonly handles: ReadonlyMap<Instruction.MapHandle, ReadonlyArray<number>>
  /** Its functions, in the order of their slots; the first is where it begins. */
  readonly functions: ReadonlyArray<AssembledFunction>
  /** What refers to types, functions and variables of the kernel. */
  readonly unresolved: ReadonlyArray<Unresolved>
}

/** The kernel takes at most 1,000,000 instructions (BPF_COMPLEXITY_LIMIT_INSNS, since 5.2). */
const MOST_SLOTS = 1_000_000

type Located = { readonly source: LazySource | undefined }

const error = (index: number, { actual, cure, expected, operand }: Fault, item: Located | undefined): AsmError =>
  new AsmError({ index, operand, expected, actual, cure, location: locationOf(item) })

const push = <K>(uses: Map<K, Array<number>>, key: K, slot: number): void => {
  const known = uses.get(key)
  if (known === undefined) uses.set(key, [slot])
  else known.push(slot)
}

/** A function whose instructions begin at `first`, and whose slots follow. */
interface Placed {
  readonly body: Body
  readonly first: number
}

class Assembler {
  readonly instructions: Array<Instruction.Instruction> = []
  readonly slots: Array<number> = []
  readonly maps = new Map<string, Array<number>>()
  readonly handles = new Map<Instruction.MapHandle, Array<number>>()
  readonly unresolved: Array<Unresolved> = []
  private readonly placed: Array<Placed> = []
  private readonly functions = new Map<string, Placed>()
  /** The names of functions by the slots where they begin. */
  private readonly starts = new Map<number, string>()
  private readonly called = new Set<string>()
  private size = 0

  place(bodies: ReadonlyArray<Body>): AsmError | undefined {
    let first = 0
    for (const body of bodies) {
      const placed = { body, first }
      this.placed.push(placed)
      if (body.item !== undefined) {
        this.functions.set(body.item.name, placed)
        this.starts.set(this.size, body.item.name)
      }
      for (const instruction of body.instructions) {
        this.slots.push(this.size)
        this.size += Instruction.slots(instruction)
      }
      first += body.instructions.length
    }
    return this.size === 0 || this.size > MOST_SLOTS
      ? error(0, fault(`1 to ${MOST_SLOTS} instructions`, String(this.size)), bodies[0]?.instructions[0])
      : undefined
  }

  resolve(): AsmError | undefined {
    for (const { body, first } of this.placed) {
      for (let i = 0; i < body.instructions.length; i++) {
        const instruction = body.instructions[i]!
        const wrong = check(instruction) ?? this.resolveOne(instruction, first + i, body, first)
        if (wrong !== undefined) return error(first + i, wrong, instruction)
      }
      const last = body.instructions.length - 1
      const wrong = this.checkEnd(body.instructions[last]!)
      if (wrong !== undefined) return error(first + last, wrong, body.instructions[last])
    }
    return this.checkCalled()
  }

  private resolveOne(i: Instruction.Instruction, index: number, body: Body, first: number): Fault | undefined {
    const { reference } = i
    switch (reference?._tag) {
      case "Label":
        return this.resolveLabel(i, reference.name, index, body, first)
      case "Function":
        return this.resolveFunction(i, reference.name, index)
      case "Map":
        if (reference.handle === undefined) push(this.maps, reference.name, this.slots[index]!)
        else push(this.handles, reference.handle, this.slots[index]!)
        break
      case "Core":
      case "LocalCore":
      case "Kfunc":
      case "KernelVariable":
        this.unresolved.push({ index, slot: this.slots[index]!, reference })
        break
      default:
        this.markCalled(i, index)
    }
    this.instructions.push(i)
    return undefined
  }

  /** A call by distance uses the function that begins there. */
  private markCalled(i: Instruction.Instruction, index: number): void {
    if (!Instruction.isLocalCall(i) && !Instruction.isFunctionAddress(i)) return
    const target = this.slots[index]! + 1 + Number(BigInt.asIntN(32, BigInt(i.immediate)))
    const name = this.starts.get(target)
    if (name !== undefined) this.called.add(name)
  }

  private resolveLabel(
    i: Instruction.Instruction,
    name: string,
    index: number,
    body: Body,
    first: number
  ): Fault | undefined {
    const target = body.scopes[index - first]!.find(name)
    if (target === undefined) return fault(`a label ${name}`, "none")
    if (target >= body.instructions.length) return fault(`an instruction after label ${name}`, "the end")
    const distance = this.slots[first + target]! - this.slots[index]! - 1
    if (i.opcode === LONG_JUMP) {
      this.instructions.push({ ...i, immediate: distance })
      return undefined
    }
    if (!isBetween(distance, INT16)) {
      return fault(`a jump of at most ${INT16[1]} slots`, String(distance), "gotol goes further, from kernel 6.6 on")
    }
    this.instructions.push({ ...i, offset: distance })
    return undefined
  }

  private resolveFunction(i: Instruction.Instruction, name: string, index: number): Fault | undefined {
    const target = this.functions.get(name)
    if (target === undefined) return fault(`a function ${name}`, "none")
    this.called.add(name)
    const distance = this.slots[target.first]! - this.slots[index]! - 1
    const immediate = i.opcode === WIDE_LOAD ? BigInt.asUintN(32, BigInt(distance)) : distance
    this.instructions.push({ ...i, immediate })
    return undefined
  }

  /** The kernel takes no function from which control falls into the next (check_subprogs). */
  private checkEnd({ opcode }: Instruction.Instruction): Fault | undefined {
    const ends = opcode === EXIT || opcode === JUMP || opcode === LONG_JUMP || opcode === INDIRECT_JUMP
    return ends ? undefined : fault("exit() or ja() as the last instruction", "one that falls off the end")
  }

  /** Functions that nothing reaches are unreachable instructions for the kernel. */
  private checkCalled(): AsmError | undefined {
    const unused = this.placed.find(({ body, first }) =>
      first > 0 && body.item !== undefined && !this.called.has(body.item.name)
    )
    return unused && error(unused.first, fault(`a use of function ${unused.body.item!.name}`, "none"), unused.body.item)
  }

  finish(): Assembled {
    const { handles, instructions, maps, slots, unresolved } = this
    return {
      instructions,
      bytes: Instruction.encodeChecked(instructions),
      slots,
      maps,
      handles,
      functions: this.placed.map(({ body: { item }, first }) => ({
        name: item?.name,
        slot: slots[first]!,
        global: item?.global ?? false,
        parameters: item?.parameters ?? 0
      })),
      unresolved
    }
  }
}

/**
 * Resolves labels and functions, and encodes. It never throws.
 *
 * Fails with `AsmError` for an empty or too long program, a label or function that is unknown or defined twice, a function
 * that nothing uses, a jump beyond 16 bits, an operand out of range, a write to `r10`, and a last instruction of a
 * function that falls off its end.
 */
export const assemble = (items: ReadonlyArray<Item>): Result.Result<Assembled, AsmError> =>
  Result.flatMap(collect(items), (bodies) => {
    const assembler = new Assembler()
    const wrong = assembler.place(bodies) ?? assembler.resolve()
    return wrong === undefined ? Result.succeed(assembler.finish()) : Result.fail(wrong)
  })
