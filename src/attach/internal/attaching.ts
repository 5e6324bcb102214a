// The frame of every attach function: the program must be open, what fails says which program and where, and what was
// acquired before is given back.
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { errno } from "../../abi/errno.ts"
import type { ProgramType } from "../../abi/names.ts"
import { openFd, subjectOf } from "../../kernel/handle.ts"
import { Kernel, type KernelService } from "../../kernel/Kernel.ts"
import { SystemCallError } from "../../kernel/KernelError.ts"
import { withLocalScope } from "../../kernel/systemCall.ts"
import type { Program } from "../../program/Program.ts"
import { AlreadyAttached, AttachError, type Reason } from "../AttachError.ts"
import { type About, about, type Link } from "./holding.ts"

/** What an attach function works with. */
export interface Attaching<T extends ProgramType> {
  readonly kernel: KernelService
  /** The scope of what is to stay; the one around is closed at the end. */
  readonly owner: Scope.Scope
  /** The program's descriptor. */
  readonly program: number
  readonly about: About<T>
}

const taken: ReadonlySet<number> = new Set([errno.EBUSY, errno.EEXIST])

/** What an error of a call means for who attaches. */
const whileAttaching = (error: Reason): Reason =>
  error instanceof SystemCallError && taken.has(error.errno) ? new AlreadyAttached({ cause: error }) : error

/** The error of attaching, or of changing an attachment. */
export const toAttachError = ({ program, target }: Omit<About<ProgramType>, "type">) => (reason: Reason): AttachError =>
  new AttachError({ program, target, reason })

/** Attaches a program to a target by the `steps` given. */
export const attaching = <T extends ProgramType, R>(
  program: Program<T, any>,
  target: string,
  steps: (attaching: Attaching<T>) => Effect.Effect<Link<T>, Reason, R>
): Effect.Effect<Link<T>, AttachError, Exclude<R, Scope.Scope> | Kernel | Scope.Scope> =>
  withLocalScope((owner) =>
    Effect.flatMap(
      Kernel,
      (kernel) =>
        Effect.flatMap(openFd(program), (fd) => steps({ kernel, owner, program: fd, about: about(program, target) }))
    )
  ).pipe(
    Effect.mapError((error) => toAttachError({ program: subjectOf(program), target })(whileAttaching(error))),
    Effect.withSpan("attach", { attributes: { "bpf.program.name": program.name, "bpf.target": target } })
  ) as Effect.Effect<Link<T>, AttachError, Exclude<R, Scope.Scope> | Kernel | Scope.Scope>
