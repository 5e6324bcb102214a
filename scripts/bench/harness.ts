// Measures subjects in turn, A B C A B C …, within one run: what slows the machine for a while slows all of them, so
// their ratios hold where their times do not.
import * as Effect from "effect/Effect"

/** One way of doing a work. */
export interface Subject {
  readonly name: string
  /** Does the work once and gives its figure, in the unit of the work. */
  readonly round: Effect.Effect<number, unknown>
}

/** A way of doing it that cannot be measured here, and why. */
export interface Absent {
  readonly name: string
  readonly why: string
}

/** A work whose subjects are compared with the first of them, the baseline. */
export interface Comparison {
  readonly work: string
  readonly unit: string
  readonly subjects: readonly [baseline: Subject, ...others: ReadonlyArray<Subject | Absent>]
}

export interface Row {
  readonly work: string
  readonly subject: string
  readonly unit: string
  /** `undefined` for a subject that was left out, as `ratio` is. */
  readonly median: number | undefined
  /** The baseline's median, in the same unit. */
  readonly baseline: number
  readonly ratio: number | undefined
  /** Why there is no figure. */
  readonly leftOut?: string
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
  const figures = new Map<Subject, Array<number>>()
  for (const subject of subjects) if ("round" in subject) figures.set(subject, [])
  for (let round = 0; round < WARM_UP + rounds; round++) {
    for (const [subject, found] of figures) {
      const figure = yield* subject.round
      if (round >= WARM_UP) found.push(figure)
    }
  }
  const baseline = median(figures.get(subjects[0])!)
  return subjects.map((subject): Row => {
    const common = { work, subject: subject.name, unit, baseline }
    if ("why" in subject) return { ...common, median: undefined, ratio: undefined, leftOut: subject.why }
    const own = median(figures.get(subject)!)
    return { ...common, median: own, ratio: own / baseline }
  })
})
