/** Where in the user's TypeScript an instruction was written. */
export interface SourceLocation {
  readonly file: string
  readonly line: number
}

const FRAME = /^\s+at (?:.*\()?(?:file:\/\/)?(.+?):(\d+):\d+\)?$/

/** Formatting a stack costs tens of µs, so the frame is kept as V8 holds it and read only when someone asks. */
export class LazySource {
  private readonly holder: { stack?: string }
  private found: SourceLocation | null | undefined
  constructor(holder: { stack?: string }) {
    this.holder = holder
  }
  get location(): SourceLocation | undefined {
    if (this.found === undefined) {
      const match = (this.holder.stack ?? "").split("\n").map((frame) => FRAME.exec(frame)).find((m) => m !== null)
      this.found = match === undefined ? null : { file: match[1]!, line: Number(match[2]) }
    }
    return this.found ?? undefined
  }
}

/** The place that called the builder function `builder`. */
export const captureSource = (builder: (...args: never) => unknown): LazySource => {
  const holder: { stack?: string } = {}
  const limit = Error.stackTraceLimit
  Error.stackTraceLimit = 1
  Error.captureStackTrace(holder, builder)
  Error.stackTraceLimit = limit
  return new LazySource(holder)
}
