/** Where in the user's TypeScript an instruction was written. */
export interface SourceLocation {
  readonly file: string
  readonly line: number
  readonly column: number
}

/** Any of the functions that make instructions; all have a name. */
export type Builder = (...args: never) => unknown

const FRAME = /^\s+at (?:.*\()?(?:file:\/\/)?(.+?):(\d+):(\d+)\)?$/

/** Formatting a stack costs some µs, so the frame is kept as V8 holds it and read only when someone asks. */
export class LazySource {
  private readonly holder: { stack?: string }
  private readonly made: Builder
  private readonly module: string
  private found: SourceLocation | null | undefined
  constructor(holder: { stack?: string }, made: Builder, module: string) {
    this.holder = holder
    this.made = made
    this.module = module
  }
  /** The function that was called there, such as `"Asm.ldxdw"`. */
  get builder(): string {
    return `${this.module}.${this.made.name}`
  }
  get location(): SourceLocation | undefined {
    if (this.found === undefined) {
      const match = (this.holder.stack ?? "").split("\n").map((frame) => FRAME.exec(frame)).find((m) => m !== null)
      this.found = match === undefined
        ? null
        : { file: match[1]!, line: Number(match[2]), column: Number(match[3]) }
    }
    return this.found ?? undefined
  }
}

/** What stands in for the place of every builder call while a sequence of instructions is made; see `sequence`. */
let outer: LazySource | undefined

/** The place that called the builder function `builder`, which is of the public module `module`. */
export const captureSource = (builder: Builder, module = "Asm"): LazySource => {
  if (outer !== undefined) return outer
  const holder: { stack?: string } = {}
  const limit = Error.stackTraceLimit
  Error.stackTraceLimit = 1
  Error.captureStackTrace(holder, builder)
  Error.stackTraceLimit = limit
  return new LazySource(holder, builder, module)
}

/** Makes instructions whose source is the place that called `builder`, and not the lines of this package that make them. */
export const sequence = <A>(builder: Builder, make: () => A, module?: string): A => {
  const before = outer
  outer = captureSource(builder, module)
  try {
    return make()
  } finally {
    outer = before
  }
}

/** Gives a builder made by a function of this package the name under which users know it. */
export const named = <F extends Builder>(name: string, builder: F): F =>
  Object.defineProperty(builder, "name", { value: name })
