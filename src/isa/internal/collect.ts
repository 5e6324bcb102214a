// The first half of assembling: from nested items to functions, each a flat list of instructions with its labels.
import * as Result from "effect/Result"
import type { Instruction } from "../Instruction.ts"
import { type Fault, tagOf } from "./check.ts"
import { AsmError, locationOf } from "./error.ts"
import type { FunctionItem, Item, Label } from "./item.ts"

/** Labels by name, with the index in the function of the instruction that follows. */
export class LabelTable {
  readonly labels = new Map<string, number>()
  readonly outer: LabelTable | undefined
  constructor(outer: LabelTable | undefined) {
    this.outer = outer
  }
  find(name: string): number | undefined {
    return this.labels.get(name) ?? this.outer?.find(name)
  }
}

/** A function before its instructions have a place in the program. `item` is undefined for the entry outside of all. */
export interface Body {
  readonly item: FunctionItem | undefined
  readonly instructions: Array<Instruction>
  /** The innermost scope of each instruction. */
  readonly scopes: Array<LabelTable>
}

/** Deeper nesting is a circle, or a mistake. */
const MOST_NESTING = 500

/** Names that BTF takes: C identifiers of less than KSYM_NAME_LEN bytes, which was 128 before 6.1. */
const FUNCTION_NAME = /^[A-Za-z_][A-Za-z0-9_]{0,126}$/

const nameOf = (u: unknown): string => {
  const name = tagOf(u)
  return typeof name === "string" ? name : u === null ? "null" : typeof u
}

/** A Proxy that was revoked throws at this too. */
const isList = (u: unknown): u is ReadonlyArray<Item> => {
  try {
    return Array.isArray(u)
  } catch {
    return false
  }
}

class Collector {
  readonly entry: Body = { item: undefined, instructions: [], scopes: [] }
  readonly functions: Array<Body> = []
  private readonly names = new Set<string>()
  private count = 0

  private fail(expected: string, actual: string, item?: Parameters<typeof locationOf>[0]): AsmError {
    return this.report({ operand: undefined, expected, actual }, item)
  }

  private report({ actual, cure, expected, operand }: Fault, item?: Parameters<typeof locationOf>[0]): AsmError {
    return new AsmError({ index: this.count, operand, expected, actual, cure, location: locationOf(item) })
  }

  /** Puts items into a body; what is wrong with them, if anything. */
  add(items: ReadonlyArray<Item>, body: Body, scope: LabelTable, depth: number): AsmError | undefined {
    if (!isList(items)) return this.fail("an array of items", nameOf(items))
    if (depth > MOST_NESTING) return this.fail(`at most ${MOST_NESTING} nested arrays`, "more, or a circle")
    for (const item of items) {
      const wrong = this.addOne(item, body, scope, depth)
      if (wrong !== undefined) return wrong
    }
    return undefined
  }

  private addOne(item: Item, body: Body, scope: LabelTable, depth: number): AsmError | undefined {
    if (isList(item)) return this.add(item, body, scope, depth + 1)
    const one = item as Exclude<Item, ReadonlyArray<Item>>
    if (tagOf(one) === undefined) {
      return this.fail("instructions, labels and functions, and arrays of them", nameOf(item))
    }
    switch (one._tag) {
      case "Instruction":
        body.instructions.push(one)
        body.scopes.push(scope)
        this.count++
        return undefined
      case "Label":
        return this.addLabel(one, body, scope)
      case "LabelScope":
        return this.add(one.items, body, new LabelTable(scope), depth + 1)
      case "Function":
        return this.addFunction(one, body, depth)
      case "Mistake":
        return this.report({ ...one, operand: one.operand }, one)
      default:
        return this.fail("instructions, labels and functions, and arrays of them", nameOf(item))
    }
  }

  private addLabel(label: Label, body: Body, { labels }: LabelTable): AsmError | undefined {
    if (label.fault !== undefined) return this.report(label.fault, label)
    if (labels.has(label.name)) return this.fail(`one label ${label.name}`, "a second one", label)
    labels.set(label.name, body.instructions.length)
    return undefined
  }

  private addFunction(item: FunctionItem, outer: Body, depth: number): AsmError | undefined {
    if (item.fault !== undefined) return this.report(item.fault, item)
    if (outer.item !== undefined) {
      return this.fail("functions side by side", `${item.name} inside of ${outer.item.name}`, item)
    }
    if (typeof item.name !== "string" || !FUNCTION_NAME.test(item.name)) {
      return this.fail("a C identifier as function name", String(item.name), item)
    }
    if (this.names.has(item.name)) return this.fail(`one function ${item.name}`, "a second one", item)
    if (!(Number.isInteger(item.parameters) && item.parameters >= 0 && item.parameters <= 5)) {
      return this.fail("0 to 5 parameters", String(item.parameters), item)
    }
    this.names.add(item.name)
    const body: Body = { item, instructions: [], scopes: [] }
    this.functions.push(body)
    const wrong = this.add(item.items, body, new LabelTable(undefined), depth + 1)
    if (wrong !== undefined) return wrong
    return body.instructions.length === 0
      ? this.fail(`instructions in function ${item.name}`, "none", item)
      : undefined
  }
}

/** The functions of a program, the entry first. */
export const collect = (items: ReadonlyArray<Item>): Result.Result<ReadonlyArray<Body>, AsmError> => {
  const collector = new Collector()
  const wrong = collector.add(items, collector.entry, new LabelTable(undefined), 0)
  if (wrong !== undefined) return Result.fail(wrong)
  const { entry, functions } = collector
  return Result.succeed(entry.instructions.length === 0 ? functions : [entry, ...functions])
}
