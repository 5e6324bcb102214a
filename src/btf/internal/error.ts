import * as Data from "effect/Data"

/**
 * BTF that is malformed, cannot be written, or has not what was asked of it. `field` names the part at fault.
 *
 * Where a name was asked for that is not there, `near` has the names that differ least from it, at most three.
 */
export class BtfError extends Data.TaggedError("BtfError")<{
  readonly field: string
  readonly expected: string
  readonly actual: string
  /** @internal Finds names that are near when they are read: most such errors are only counted as a "no". */
  readonly suggest?: (() => ReadonlyArray<string>) | undefined
}> {
  get near(): ReadonlyArray<string> {
    return this.suggest?.() ?? []
  }

  override get message(): string {
    const near = this.near
    const hint = near.length === 0 ? "" : `; did you mean ${near.join(", ")}?`
    return `BTF ${this.field}: expected ${this.expected}, got ${this.actual}${hint}`
  }
}

export const problem = (
  field: string,
  expected: string,
  actual: string | number,
  suggest?: () => ReadonlyArray<string>
): BtfError => new BtfError({ field, expected, actual: String(actual), suggest })
