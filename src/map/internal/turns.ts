// Work on many entries is done a part at a time, and the event loop has a turn between the parts: timers, sockets and other
// fibers go on meanwhile. A part is a number of entries, not a time: what it costs is known, and asking the clock is not free.
import * as Effect from "effect/Effect"
import { caught } from "./handle.ts"

/** How many entries are encoded or decoded as values in one turn: some 2 ms, and 5 ms at most on the simulated kernel. */
export const ENTRIES = 2048

/** How many, where they are only counted, removed, or read into typed arrays. */
export const PLAIN_ENTRIES = 8192

/** And bytes: as much as is copied in well below a millisecond. */
export const BYTES = 1 << 18

/** How many entries of a size are worked on in one turn, which is at least one. */
export const entriesInTurn = (bytesEach: number, most: number = ENTRIES): number =>
  Math.max(1, Math.min(most, Math.floor(BYTES / Math.max(1, bytesEach))))

/**
 * Does `part` on `length` entries, from `start` to `end`, `most` at a time. What it throws of this library's errors is a
 * failure, and ends it.
 */
export const inTurns = <E>(
  length: number,
  most: number,
  part: (start: number, end: number) => void
): Effect.Effect<void, E> => {
  const from = (start: number): Effect.Effect<void, any> =>
    Effect.suspend(() => {
      const end = Math.min(start + most, length)
      try {
        part(start, end)
      } catch (error) {
        return caught(error)
      }
      return end >= length ? Effect.void : Effect.flatMap(Effect.yieldNow, () => from(end))
    })
  return from(0)
}
