// One path through a program, as far as it has been followed, and what all paths share.
import type { Code } from "../interpreter/code.ts"
import type { SimulatedMap } from "../maps.ts"
import type { Callees } from "./callees.ts"
import type { State } from "./state.ts"
import type { Trail } from "./trail.ts"

/** A rejection: the log that the kernel would write, whose last line is the reason. */
export interface Rejection {
  readonly log: string
  readonly errno: Errno
}

/** What differs from one kernel to another. */
export interface Rules {
  /** Kernel 6.3 and later let privileged programs read bytes of the stack that they never wrote. */
  readonly allowsUnwrittenStack: boolean
  /** Kernel 7.0 and later know the bounds of what is divided. */
  readonly tracksDivision: boolean
  /** Kernel 6.13 and later give some functions a stack of their own. */
  readonly hasPrivateStacks: boolean
}

/** What a program is checked against. */
export interface Subject {
  readonly code: Code
  readonly type: number
  /** `expected_attach_type` */
  readonly attachType: number
  /** The maps of wide loads, by slot; and where a value's address was loaded, its offset. */
  readonly maps: ReadonlyMap<number, { readonly map: SimulatedMap; readonly value: number | undefined }>
  /** Wide loads of what is not there, by slot. */
  readonly wrongLoads: ReadonlyMap<number, Rejection>
  readonly callees: Callees
  /** What there is against its kind: said once its structure is known to be right. */
  readonly kindRefusal: Rejection | undefined
  /** Whether it comes with BTF of its functions, without which there are no callbacks. */
  readonly hasFunctionInfo: boolean
  readonly rules: Rules
}

/**
 * What the kernel answers to a rejected program: EACCES for what is not allowed, EINVAL for what makes no sense, E2BIG for
 * what is too much. Each check of the kernel has its own, so each place here that rejects says which.
 */
export type Errno = "EACCES" | "EINVAL" | "E2BIG" | "EFAULT" | "EPERM" | "EPROTO" | "EBADF" | "ENOENT" | "ENOTSUPP"

/** Thrown where a program is rejected. The lines are the reason in the kernel's words. */
export class Rejected extends Error {
  readonly lines: ReadonlyArray<string>
  readonly errno: Errno
  constructor(lines: ReadonlyArray<string>, errno: Errno) {
    super(lines.at(-1))
    this.lines = lines
    this.errno = errno
  }
}

export interface Path {
  readonly code: Code
  readonly subject: Subject
  readonly type: number
  readonly attachType: number
  readonly rules: Rules
  readonly callees: Callees
  readonly mayReadPacket: () => boolean
  /** The number in a register of the running function decided: states that differ in it are not alike. */
  readonly precise: (register: number) => void
  state: State
  readonly trail: Trail
  /** Up to where the context is read. */
  contextSize: number
  readonly newId: () => number
  /** Notes how deep the stack of a function reaches: its lowest byte that is used, from the bottom of 512. */
  readonly touch: (start: number, from: number) => void
  /** Rejects the program with EACCES: it does what it may not. */
  readonly reject: (...lines: ReadonlyArray<string>) => never
  /** Rejects it with EINVAL: it makes no sense. */
  readonly invalid: (...lines: ReadonlyArray<string>) => never
  readonly refuse: (errno: Errno, lines: ReadonlyArray<string>) => never
}
