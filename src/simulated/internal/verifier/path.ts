// One path through a program, as far as it has been followed, and what all paths share.
import type { Code } from "../interpreter/code.ts"
import type { SimulatedMap } from "../maps.ts"
import type { State } from "./state.ts"

/** What a program is checked against. */
export interface Subject {
  readonly code: Code
  readonly type: number
  /** `expected_attach_type` */
  readonly attachType: number
  /** The maps of wide loads, by slot; and where a value's address was loaded, its offset. */
  readonly maps: ReadonlyMap<number, { readonly map: SimulatedMap; readonly value: number | undefined }>
  readonly helpers: ReadonlySet<number>
  /** Kernel 6.3 and later let privileged programs read bytes of the stack that they never wrote. */
  readonly allowsUnwrittenStack: boolean
}

/** Thrown where a program is rejected. The lines are the reason in the kernel's words. */
export class Rejected extends Error {
  readonly lines: ReadonlyArray<string>
  readonly errno: "EINVAL" | "EACCES"
  constructor(lines: ReadonlyArray<string>, errno: "EINVAL" | "EACCES") {
    super(lines.at(-1))
    this.lines = lines
    this.errno = errno
  }
}

export interface Path {
  readonly code: Code
  readonly type: number
  readonly attachType: number
  readonly allowsUnwrittenStack: boolean
  state: State
  /** Up to where the context is read. */
  contextSize: number
  readonly newId: () => number
  readonly reject: (...lines: ReadonlyArray<string>) => never
}
