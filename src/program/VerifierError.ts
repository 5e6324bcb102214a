import * as Data from "effect/Data"
import { errnoName } from "../abi/errno.ts"

/**
 * A program that the kernel's verifier rejected. `log` is everything it wrote; `instruction` is the slot at fault (the
 * log counts in slots of 8 bytes), where the log tells it, and `location` the builder call that made it, as `file:line`.
 *
 * Logs are for people, and their format changes between kernels (it did in 7.3): nothing here depends on it but
 * `instruction`, which is `undefined` when no known form is found.
 */
export class VerifierError extends Data.TaggedError("VerifierError")<{
  readonly program: string
  readonly errno: number
  readonly log: string
  readonly instruction: number | undefined
  readonly location: string | undefined
  /** What the kernel has not, where the instruction at fault needed a type or function of it that is not there. */
  readonly missing?: string | undefined
}> {
  override get message(): string {
    const at = this.instruction === undefined ? "" : ` at instruction ${this.instruction}`
    const location = this.location === undefined ? "" : ` (${this.location})`
    const missing = this.missing === undefined ? "" : `: this kernel lacks what it needs (${this.missing})`
    const why = `${errnoName(this.errno)}${missing}`
    return `the verifier rejected program "${this.program}"${at}${location}: ${why}\n${this.log}`
  }
}

/**
 * The slot that a verifier log complains of. Analysis prints each instruction as `12: (79) r1 = …` before it fails, so
 * the last one is at fault; the earlier passes say `insn 12` in the complaint itself.
 */
export const failingInstruction = (log: string): number | undefined => {
  let last: number | undefined
  for (const line of log.split("\n")) {
    if (line.startsWith(";")) continue // a line of the program's source
    const analysed = /^(\d+): \([0-9a-f]{2}\)/.exec(line)
    const named = /\binsn (\d+)\b/.exec(line)
    if (analysed !== null) last = Number(analysed[1])
    else if (named !== null && !line.startsWith("processed ")) last = Number(named[1])
  }
  return last
}
