/** The errors of operations on maps that a single system call's error does not tell. */
import * as Data from "effect/Data"
import type { InvalidArgument, SystemCallError } from "../kernel/KernelError.ts"
import type { LayoutError } from "../layout/Layout.ts"

/**
 * An operation on many entries that stopped at one of them. `done` entries before it were done, and stay so; the one at
 * `index` (counted from 0, in the order given) and those after it were not.
 */
export class BatchError extends Data.TaggedError("BatchError")<{
  /** Such as `update`. */
  readonly operation: string
  readonly map: string
  readonly index: number
  readonly done: number
  readonly cause: InvalidArgument | LayoutError | SystemCallError
}> {
  override get message(): string {
    return `${this.operation} of ${this.map} stopped at entry ${this.index}, after ${this.done} were done: ` +
      this.cause.message
  }
}

/**
 * A walk over a map without batches that does not come to an end: the kernel begins again at the first key whenever the
 * key that the walk stands on was deleted. `visited` steps were made in a map of `maxEntries` entries; what was given out
 * by then may hold an entry more than once.
 */
export class IterationAborted extends Data.TaggedError("IterationAborted")<{
  readonly map: string
  readonly visited: number
  readonly maxEntries: number
}> {
  override get message(): string {
    return `the walk over ${this.map} was ended after ${this.visited} steps, where the map has at most ` +
      `${this.maxEntries} entries: others delete entries as it goes. Collect the keys first, or walk a copy`
  }
}

/** A map that is not the one asked for: found under a path, an id or a descriptor, with another type, size or flag. */
export class MapMismatch extends Data.TaggedError("MapMismatch")<{
  /** Where it was found: `pinned at /sys/fs/bpf/counters`. */
  readonly found: string
  readonly differences: ReadonlyArray<{
    readonly field: string
    readonly expected: string
    readonly actual: string
  }>
}> {
  override get message(): string {
    const all = this.differences.map((d) => `${d.field}: expected ${d.expected}, found ${d.actual}`)
    return `the map ${this.found} is another one: ${all.join("; ")}`
  }
}
