import type { Instruction } from "../Instruction.ts"
import type { Fault } from "./check.ts"
import type { LazySource } from "./source.ts"

/** A named place that jumps can go to. */
export interface Label {
  readonly _tag: "Label"
  readonly name: string
  /** @internal What is wrong with it. */
  readonly fault?: Fault | undefined
  /** @internal */
  readonly source: LazySource | undefined
}

/** Items whose labels are their own. */
export interface LabelScope {
  readonly _tag: "LabelScope"
  readonly items: ReadonlyArray<Item>
}

/** A function of the program. */
export interface FunctionItem {
  readonly _tag: "Function"
  readonly name: string
  readonly items: ReadonlyArray<Item>
  readonly global: boolean
  readonly parameters: number
  /** @internal What is wrong with it. */
  readonly fault?: Fault | undefined
  /** @internal */
  readonly source: LazySource | undefined
}

/** What a builder was given that no program can hold: `assemble` reports it. */
export interface Mistake {
  readonly _tag: "Mistake"
  readonly operand?: string | undefined
  readonly expected: string
  readonly actual: string
  readonly cure?: string | undefined
  /** @internal */
  readonly source: LazySource | undefined
}

/** What programs are made of. */
export type Item = Instruction | Label | LabelScope | FunctionItem | Mistake | ReadonlyArray<Item>
