import * as Data from "effect/Data"

/** A file that is no ELF64, is cut or malformed, or has not what was asked of it. `field` names the part at fault. */
export class ElfError extends Data.TaggedError("ElfError")<{
  readonly field: string
  readonly expected: string
  readonly actual: string
}> {
  override get message(): string {
    return `ELF ${this.field}: expected ${this.expected}, got ${this.actual}`
  }
}

export const problem = (field: string, expected: string, actual: string | number | bigint): ElfError =>
  new ElfError({ field, expected, actual: String(actual) })
