// Measures subjects in turn, A B C A B C …, within one run: what slows the machine for a while slows all of them, so
// their ratios hold where their times do not.
import * as Effect from "effect/Effect"

/** One way of doing a work. */
export interface Subject {
  readonly name: string
  /** Does the work once and gives its figure, in the unit of the work. */
  readonly round: Effect.Effect<number, unknown>
}

/** A work whose subjects are compared with the first of them, the baseline. */
export interface Comparison {
  readonly work: string
  readonly unit: string
  readonly subjects: readonly [baseline: Subject, ...others: ReadonlyArray<Subject>]
}

export interface Row {
  readonly work: string
  readonly subject: string
  readonly unit: string
  readonly median: number
  /** The baseline's median, in the same unit. */
  readonly baseline: number
  readonly ratio: number
}

/** Rounds that are not counted: in them the JIT compiles, and caches fill. */
export const WARM_UP = 2

const median = (figures: ReadonlyArray<number>): number => {
  const sorted = figures.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}

/** One row for each subject, from the medians of `rounds` rounds. */
export const compare = Effect.fnUntraced(function*({ subjects, unit, work }: Comparison, rounds: number) {
  const figures = subjects.map((): Array<number> => [])
  for (let round = 0; round < WARM_UP + rounds; round++) {
    for (const [i, subject] of subjects.entries()) {
      const figure = yield* subject.round
      if (round >= WARM_UP) figures[i]!.push(figure)
    }
  }
  const medians = figures.map(median)
  const baseline = medians[0]!
  return subjects.map((subject, i): Row => ({
    work,
    subject: subject.name,
    unit,
    median: medians[i]!,
    baseline,
    ratio: medians[i]! / baseline
  }))
})
