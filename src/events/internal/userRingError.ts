import * as Data from "effect/Data"

/**
 * A user ring buffer that cannot be written to.
 *
 * - `Moved`: somebody else wrote to the ring: a program that does not use this library, since ours ask whether there is a
 *   producer.
 * - `Nonsense`: positions that cannot be, such as a consumer's beyond the producer's. Shared memory is checked, never
 *   believed.
 *
 * After it each `send` of this producer fails.
 */
export class UserRingBufferError extends Data.TaggedError("UserRingBufferError")<{
  /** Which ring: `user_ringbuf map "commands"`. */
  readonly ring: string
  readonly reason: "Moved" | "Nonsense"
  readonly expected: string
  readonly actual: string
}> {
  override get message(): string {
    return `${this.ring}: expected ${this.expected}, got ${this.actual}`
  }
}

/** There is no room for a record until a program drains some, and the producer was to fail then (`onFull: "fail"`). */
export class RingBufferFull extends Data.TaggedError("RingBufferFull")<{
  /** Which ring: `user_ringbuf map "commands"`. */
  readonly ring: string
  /** How many bytes the record takes, its header of 8 bytes included, and how many are free. */
  readonly needed: number
  readonly free: number
  /** How many records of the same call were sent before it. */
  readonly sent: number
}> {
  override get message(): string {
    return `${this.ring} is full: a record of ${this.needed} bytes finds ${this.free} bytes free, ` +
      `after ${this.sent} records of the same call; a program makes room with bpf_user_ringbuf_drain`
  }
}
