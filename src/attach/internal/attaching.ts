// The frame of every attach function: the program must be open, what fails says which program and where, and what was
// acquired before is given back.
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { errno } from "../../abi/errno.ts"
import type { ProgramType } from "../../abi/names.ts"
import { openFd, subjectOf } from "../../kernel/handle.ts"
import { Kernel, type KernelService } from "../../kernel/Kernel.ts"
import { SystemCallError } from "../../kernel/KernelError.ts"
import { whenRight } from "../../kernel/options.ts"
import { withLocalScope } from "../../kernel/systemCall.ts"
import { programHandles } from "../../program/handles.ts"
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

/** What an attach function was given, as it is in errors, and read once. */
export interface Given {
  /** `tracepoint sched/sched_process_exec` */
  readonly target: string
}

/**
 * Attaches a program to a target by the `steps` given. `read` reads what the user passed, and may throw `InvalidArgument`:
 * then the target is a `kind` of target that is not known further.
 */
export const attaching = <T extends ProgramType, G extends Given, R>(
  program: Program<T, any>,
  kind: string,
  read: () => G,
  steps: (attaching: Attaching<T>, given: G) => Effect.Effect<Link<T>, Reason, R>
): Effect.Effect<Link<T>, AttachError, Exclude<R, Scope.Scope> | Kernel | Scope.Scope> =>
  Effect.suspend(() => {
    let target = kind
    return withLocalScope((owner) =>
      Effect.flatMap(Kernel, (kernel) =>
        Effect.flatMap(openFd("program", program, programHandles), (fd) =>
          whenRight(() => {
            const given = read()
            target = given.target
            return Effect.withSpan(
              steps({ kernel, owner, program: fd, about: about(program, target) }, given),
              "attach",
              {
                attributes: { "bpf.program.name": program.name, "bpf.target": target }
              }
            )
          })))
    ).pipe(Effect.mapError((error) =>
      toAttachError({ program: subjectOf(program), target })(whileAttaching(error))
    ))
  }) as Effect.Effect<Link<T>, AttachError, Exclude<R, Scope.Scope> | Kernel | Scope.Scope>
