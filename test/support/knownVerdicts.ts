// Where the simulated kernel's verdict on a changed program is known to differ from Linux. The list may only shrink: a
// difference that is not here fails the test, and so does a line here that no program of the plain run needs.

/** A kind of difference: what Linux says last, or that it accepts; and the same of the simulated kernel. */
export interface KnownVerdict {
  readonly linux: RegExp
  readonly simulated: RegExp
  /** Why, and what would mend it. */
  readonly because: string
}

/** Stands for a program that was accepted. */
export const ACCEPTED = "accepted"

export const knownVerdicts: ReadonlyArray<KnownVerdict> = [
  {
    linux: /infinite loop|^-22 old state/,
    simulated: /too large/,
    because: "which rounds of a loop are kept to compare with depends on how many steps and jumps came before"
  },
  {
    linux: /too large/,
    simulated: /infinite loop/,
    because: "the same the other way round"
  }
]
