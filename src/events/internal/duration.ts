// Durations as options.
import * as Duration from "effect/Duration"
import * as Option from "effect/Option"
import type { Check } from "../../kernel/options.ts"

/** The longest that a timer of JavaScript waits; a longer one would fire at once. */
const LONGEST = 0x7fffffff

/** In milliseconds; `undefined` for what is no duration. */
const millisecondsOf = (value: unknown): number | undefined => {
  try {
    const duration = Option.getOrUndefined(Duration.fromInput(value as Duration.Input))
    return duration === undefined ? undefined : Duration.toMillis(duration)
  } catch {
    return undefined
  }
}

/** From `least` milliseconds on; 2^31 ms and more are as good as for ever. */
export const aDuration = (least: number): Check => ({
  expected: least === 0 ? "a duration" : `a duration of ${least} ms or more`,
  accepts: (value) => (millisecondsOf(value) ?? -1) >= least
})

/** The milliseconds of a checked option. */
export const toMilliseconds = (value: Duration.Input | undefined): number | undefined =>
  value === undefined ? undefined : Math.min(millisecondsOf(value)!, LONGEST)
