import * as Data from "effect/Data"
import type { LazySource } from "./source.ts"

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

/** The place where an item was made, as `file:line`. */
export const locationOf = (item: { readonly source: LazySource | undefined } | undefined): string | undefined => {
  const location = item?.source?.location
  return location === undefined ? undefined : `${location.file}:${location.line}`
}
