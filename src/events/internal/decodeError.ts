import * as Data from "effect/Data"

/**
 * An event that its layout, or the codec of a user's own in it, could not decode. It is counted as a decode error and as
 * read; the next read goes on after it.
 */
export class EventDecodeError extends Data.TaggedError("EventDecodeError")<{
  /** What it was read from, in words: `ring buffer "events"`. */
  readonly source: string
  /** A copy of the event's bytes. */
  readonly bytes: Uint8Array
  /** A `LayoutError` that says what was expected where, or what a codec threw. */
  readonly cause: unknown
}> {
  override get message(): string {
    return `an event of ${this.source}, ${this.bytes.length} bytes: ${
      this.cause instanceof Error ? this.cause.message : String(this.cause)
    }`
  }
}
