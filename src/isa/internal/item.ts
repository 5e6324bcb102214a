import type { Instruction } from "../Instruction.ts"
import type { LazySource } from "./source.ts"

/** A named place that jumps can go to. */
export interface Label {
  readonly _tag: "Label"
  readonly name: string
  /** @internal */
  readonly source: LazySource | undefined
}

/** Items whose labels are their own. */
export interface Scope {
  readonly _tag: "Scope"
  readonly items: ReadonlyArray<Item>
}

/** A function of the program. */
export interface FunctionItem {
  readonly _tag: "Function"
  readonly name: string
  readonly items: ReadonlyArray<Item>
  readonly global: boolean
  readonly parameters: number
  /** @internal */
  readonly source: LazySource | undefined
}

/** What a builder was given that no program can hold: `assemble` reports it. */
export interface Mistake {
  readonly _tag: "Mistake"
  readonly expected: string
  readonly actual: string
  /** @internal */
  readonly source: LazySource | undefined
}

/** What programs are made of. */
export type Item = Instruction | Label | Scope | FunctionItem | Mistake | ReadonlyArray<Item>
