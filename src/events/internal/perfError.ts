import * as Data from "effect/Data"

/**
 * A perf buffer that cannot be read on.
 *
 * - `InUse`: `drain` was called by a visitor of the same reader's `drain`. The outer one goes on.
 * - `Moved`: somebody else who maps the same ring moved its position.
 * - `Nonsense`: positions or the length of a record that cannot be. Shared memory is checked, never believed.
 *
 * After `Moved` and `Nonsense` every `drain` of this reader fails. A new reader begins with new, empty rings.
 */
export class PerfBufferError extends Data.TaggedError("PerfBufferError")<{
  /** Which one: `perf_event_array map "events"`. */
  readonly buffer: string
  /** Whose ring; `undefined` for `InUse`. */
  readonly cpu: number | undefined
  readonly reason: "InUse" | "Moved" | "Nonsense"
  readonly expected: string
  readonly actual: string
}> {
  override get message(): string {
    const ring = this.cpu === undefined ? "" : `, ring of CPU ${this.cpu}`
    return `${this.buffer}${ring}: expected ${this.expected}, got ${this.actual}`
  }
}
