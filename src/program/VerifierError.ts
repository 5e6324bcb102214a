import * as Data from "effect/Data"
import { errnoDescription, errnoName } from "../abi/errno.ts"
import { lastLines } from "./internal/verifierLog.ts"

/** How many lines of the log a message shows, and how many characters of each. */
const LINES = 16
const CHARACTERS = 200

const cut = (line: string): string => line.length > CHARACTERS ? `${line.slice(0, CHARACTERS)}…` : line

const size = (bytes: number): string =>
  bytes < 10_000
    ? `${bytes} bytes`
    : bytes < 10 * 2 ** 20
    ? `${Math.round(bytes / 1024)} KiB`
    : `${Math.round(bytes / 2 ** 20)} MiB`

/** What a `VerifierError` is made of. */
export interface Fields {
  readonly program: string
  readonly errno: number
  /** The line in which the log says what it complains of; empty where there is none. */
  readonly reason: string
  readonly instruction: number | undefined
  readonly location: string | undefined
  /** What the kernel has not, where the instruction at fault needed a type or function of it that is not there. */
  readonly missing?: string | undefined
  /** Why the helper that it calls is not for this program, where that is what the log complains of. */
  readonly hint?: string | undefined
  /** The log in UTF-8, at most 16 MiB: its end, where it was longer. */
  readonly logBytes: Uint8Array
  /** How many bytes of the log's beginning are not kept, at most. */
  readonly missingBytes: number
  /** True where a kernel before 6.4 kept the beginning of a log that did not fit, and not its end. */
  readonly isCutAtEnd: boolean
}

/**
 * A program that the kernel's verifier rejected. `reason` is the line that says why; `instruction` is the slot at fault
 * (the log counts in slots of 8 bytes), where the log tells it, and `location` the builder call that made it, as
 * `file:line`. The message is a page: these, and the log's last lines.
 *
 * `log` is what the verifier wrote, as text that is decoded when it is read; see `missingBytes` and `isCutAtEnd` for
 * logs of more than 16 MiB. Where a kernel cut its end off, `instruction` need not be the one at fault.
 *
 * Logs are for people, and their format changes between kernels (it did in 7.3): nothing here depends on it but
 * `reason` and `instruction`, which is `undefined` when no known form is found.
 */
export class VerifierError extends Data.TaggedError("VerifierError")<Omit<Fields, "logBytes">> {
  declare readonly logBytes: Uint8Array

  constructor({ logBytes, ...fields }: Fields) {
    super(fields)
    // Not enumerable: an error that no one handles is printed with its fields, and the message has the log's end already.
    Object.defineProperty(this, "logBytes", { value: logBytes, enumerable: false })
  }

  /** The name of the error number that the kernel rejected it with: `"EACCES"`. */
  get code(): string {
    return errnoName(this.errno)
  }

  /** The log as text. */
  get log(): string {
    return new TextDecoder().decode(this.logBytes)
  }

  override get message(): string {
    const at = this.instruction === undefined ? "" : ` at instruction ${this.instruction}`
    const location = this.location === undefined ? "" : ` (${this.location})`
    const missing = this.missing === undefined ? "" : `. This kernel lacks what it needs (${this.missing})`
    const reason = this.reason === "" ? errnoDescription(this.errno) : cut(this.reason)
    const hint = this.hint === undefined ? "" : `. ${this.hint}`
    const verdict = `the verifier rejected program "${this.program}"${at}${location}: ` +
      `${this.code}, ${reason}${missing}${hint}`
    const { isAll, lines } = lastLines(this.logBytes)
    if (lines.length === 0) return verdict
    const kept = size(this.logBytes.length)
    const heading = this.isCutAtEnd
      ? `The log's first ${kept}, which \`log\` has, end with:`
      : this.missingBytes > 0
      ? `The log of ${
        size(this.logBytes.length + this.missingBytes)
      }, of which \`log\` has the last ${kept}, ends with:`
      : isAll && lines.length <= LINES
      ? "The log:"
      : `The log of ${kept}, which \`log\` has, ends with:`
    return [verdict, heading, ...lines.slice(-LINES).map((line) => `  ${cut(line)}`)].join("\n")
  }
}
