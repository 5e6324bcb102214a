import * as Data from "effect/Data"

/**
 * A value that a layout cannot hold, or bytes too short for it. `path` names the field (`"address.port"`, `"cpus[3]"`,
 * or `""` for the whole value).
 */
export class LayoutError extends Data.TaggedError("LayoutError")<{
  readonly path: string
  readonly expected: string
  readonly actual: string
  /** What the value was to be, where that is known: `key of hash map "counters"`. */
  readonly subject?: string
}> {
  override get message(): string {
    const place = [this.subject, this.path].filter((part) => part !== undefined && part !== "").join(", ")
    return `${place === "" ? "value" : place}: expected ${this.expected}, got ${this.actual}`
  }
}

/** Text of a value for an error message: short, and never failing. */
export const show = (value: unknown): string => {
  if (typeof value === "bigint") return `${value}n`
  if (typeof value === "string") return JSON.stringify(value.length > 60 ? `${value.slice(0, 57)}...` : value)
  if (typeof value === "object" && value !== null) {
    try {
      if (value instanceof Uint8Array) return `${value.length} bytes`
      return Array.isArray(value) ? `an array of ${value.length}` : "an object"
    } catch {
      return "an object that throws when it is read" // a Proxy
    }
  }
  if (typeof value === "function") return "a function"
  return String(value)
}

export const join = (outer: string, inner: string): string =>
  outer === "" ? inner : inner === "" || inner.startsWith("[") ? outer + inner : `${outer}.${inner}`

/** The error with its path below `outer`; anything else, and an error that says what it is of, as it is. */
export const within = (error: unknown, outer: string): unknown =>
  error instanceof LayoutError && error.subject === undefined
    ? new LayoutError({ ...error, path: join(outer, error.path) })
    : error
