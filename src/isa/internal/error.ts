import * as Data from "effect/Data"
import type { LazySource } from "./source.ts"

/**
 * A program that cannot be assembled. `location` is the builder call at fault, as `file:line`, when known; `operand` what is
 * wrong there, such as `value of mov`; `cure` what to write instead, where there is an answer.
 */
export class AsmError extends Data.TaggedError("AsmError")<{
  readonly index: number
  readonly operand: string | undefined
  readonly expected: string
  readonly actual: string
  readonly cure: string | undefined
  readonly location: string | undefined
}> {
  override get message(): string {
    const where = this.location === undefined ? "" : ` (${this.location})`
    const operand = this.operand === undefined ? "" : `${this.operand} to be `
    const cure = this.cure === undefined ? "" : `; ${this.cure}`
    return `instruction ${this.index}${where}: expected ${operand}${this.expected}, got ${this.actual}${cure}`
  }
}

/** The place where an item was made, as `file:line`. */
export const locationOf = (item: { readonly source: LazySource | undefined } | undefined): string | undefined => {
  const location = item?.source?.location
  return location === undefined ? undefined : `${location.file}:${location.line}`
}
