import * as Data from "effect/Data"

/**
 * A ring buffer, or a record of it, that cannot be read.
 *
 * - `InUse`: `drain` was called by a visitor of the same reader's `drain`. The outer one goes on.
 * - `Moved`: somebody else read from the ring and moved its position: a program that does not use this library, since ours
 *   ask whether there is a reader.
 * - `Nonsense`: positions or the length of a record that cannot be. Shared memory is checked, never believed.
 *
 * - `Ended`: a record was used after its visit, or after its reader had closed.
 * - `OutOfBounds`: what was to be read of a record is not wholly within it.
 *
 * After `Moved` and `Nonsense` every `drain` of this reader fails; a new reader begins where the ring's position is then.
 */
export class RingBufferError extends Data.TaggedError("RingBufferError")<{
  /** Which ring: `ring buffer "events"`. */
  readonly ring: string
  readonly reason: "InUse" | "Moved" | "Nonsense" | "Ended" | "OutOfBounds"
  readonly expected: string
  readonly actual: string
}> {
  override get message(): string {
    return `${this.ring}: expected ${this.expected}, got ${this.actual}`
  }
}
