// JavaScript has one thread: who loops over what a kernel holds gives timers, sockets and other fibers a turn of the event
// loop now and then. The clock is the process's own and not a loop's: ten fibers that take turns with each other take no
// longer than one of them.
import * as Effect from "effect/Effect"

/** How long effects may keep the event loop, in milliseconds, beside the step that is under way when the time is up. */
const LONGEST = 5
/** For so long nobody asks whether the event loop has turned meanwhile: what waits often then costs only the look. */
const UNWATCHED = 1

let began = 0
/** Whether `turned` will say when the event loop has turned. */
let armed = false

const turned = (): void => {
  armed = false
  began = performance.now()
}

/**
 * Whether a loop should wait for `turn` before its next step: some 5 ms went by since the event loop last turned. Costs
 * some 40 ns; ask it between steps of up to a few milliseconds (a page, a batch), not for each entry.
 */
export const isTurnDue = (): boolean => {
  const now = performance.now()
  if (armed) return now - began > LONGEST
  if (now - began > UNWATCHED) {
    began = now
    armed = true
    setImmediate(turned)
  }
  return false
}

/**
 * Lets the event loop turn if that is due, and else goes on at once. What waits is a macrotask (timers and sockets come
 * before it goes on); under `Effect.runSync`, where nothing can be waited for, it goes on too.
 *
 * @example
 * ```ts
 * import * as Effect from "effect/Effect"
 *
 * declare const turn: Effect.Effect<void>
 * declare const readPage: () => boolean
 *
 * const all: Effect.Effect<void> = Effect.suspend(() => readPage() ? Effect.flatMap(turn, () => all) : Effect.void)
 * ```
 */
export const turn: Effect.Effect<void> = Effect.suspend(() => isTurnDue() ? Effect.yieldNow : Effect.void)
