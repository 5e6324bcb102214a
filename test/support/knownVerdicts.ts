// Where the simulated kernel's verdict on a changed program is known to differ from Linux. The list may only shrink: a
// difference that is not here fails the test, and so does a line that is not needed any more.

/** A kind of difference: what Linux says last, or that it accepts; the same of the simulated kernel; and how many there are. */
export interface KnownVerdict {
  readonly linux: RegExp
  readonly simulated: RegExp
  /** Why, and what would mend it. */
  readonly because: string
}

/** Stands for a program that was accepted. */
export const ACCEPTED = "accepted"

export const knownVerdicts: ReadonlyArray<KnownVerdict> = []
