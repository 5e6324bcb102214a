// How the kernel holds an attachment: by a link (a descriptor of its own, since 5.7 and for most hooks later), by a perf
// event that has the program, or by the target itself, without any descriptor. A `Link` is a handle of either.
import * as Effect from "effect/Effect"
import * as Scope from "effect/Scope"
import type { ProgramType } from "../../abi/names.ts"
import { detachLink, updateLink } from "../../bpf/links.ts"
import { type Handle, type HandleKind, handleOf, subjectOf } from "../../kernel/handle.ts"
import type { KernelService } from "../../kernel/Kernel.ts"
import type { SystemCallError } from "../../kernel/KernelError.ts"
import type { Descriptor } from "../../kernel/systemCall.ts"
import type { Program } from "../../program/Program.ts"
import { NotSupported, type Reason } from "../AttachError.ts"

const TypeId = "~effect-ebpf/Link"

/**
 * What holds an attachment: a link; a perf event, on kernels before 5.15; or the target itself, which has no descriptor
 * for it.
 */
export type Holder = "link" | "perf_event" | "target"

/**
 * A program of a type that is attached. `fd` is -1 once its scope has closed, and always where the target holds it. It
 * prints as `tracepoint program "on_exec" at tracepoint sched/sched_process_exec, id 7, fd 12`.
 */
export interface Link<out T extends ProgramType = ProgramType> extends Handle {
  readonly [TypeId]: typeof TypeId
  readonly holder: Holder
  /** The type of its program; `undefined` for links that were opened, as the kernel tells no more than `Info.programId`. */
  readonly type: T | undefined
  /** The program that was attached, as errors have it: `xdp program "pass"`. */
  readonly program: string
  /** What it is attached to: `tracepoint sched/sched_process_exec`. */
  readonly target: string
}

const expected = "a link, as attaching gives it"
const closed = "The scope that the program was attached in has closed"

/** Handles of attachments by what holds them. */
export const linkHandles: { readonly [H in Holder]: HandleKind } = {
  link: { typeId: TypeId, expected, closed, idLine: "link_id" },
  perf_event: { typeId: TypeId, expected, closed },
  target: { typeId: TypeId, expected, closed }
}

/** What can be done with an attachment, beside what a descriptor alone allows. */
export interface Holding {
  readonly kernel: KernelService
  /** Puts another program in its place, where `old` is still there. */
  readonly update: (program: number, old: number | undefined) => Effect.Effect<void, Reason>
  /** Ends it before its scope closes. */
  readonly detach: Effect.Effect<void, Reason>
}

const holdings = new WeakMap<object, Holding>()

/** What can be done with an attachment; `undefined` for a value that was made elsewhere. */
export const holdingOf = (link: Link): Holding | undefined => holdings.get(link)

/** What is attached, and to what. */
export interface About<T extends ProgramType> {
  readonly program: string
  readonly type: T | undefined
  readonly target: string
}

/** What a program of a handle, attached to a target, is about. */
export const about = <T extends ProgramType>(program: Program<T, any>, target: string): About<T> => ({
  program: subjectOf(program),
  type: program.type,
  target
})

const linkOf = <T extends ProgramType>(
  descriptor: Descriptor,
  holder: Holder,
  { program, target, type }: About<T>,
  holding: Holding
): Link<T> => {
  const subject = `${program} at ${target}`
  const link = handleOf(holding.kernel, descriptor, linkHandles[holder], subject, { holder, type, program, target })
  holdings.set(link, holding)
  return link as unknown as Link<T>
}

/** An attachment that a link's descriptor holds. */
export const fromDescriptor = <T extends ProgramType>(
  kernel: KernelService,
  descriptor: Descriptor,
  what: About<T>
): Link<T> => {
  const purpose = { subject: `${what.program} at ${what.target}` }
  return linkOf(descriptor, "link", what, {
    kernel,
    update: (program, old) => updateLink(kernel, { fd: descriptor.fd, program, old }, purpose),
    detach: Effect.suspend(() => detachLink(kernel, descriptor.fd, purpose))
  })
}

/** An attachment that lives in a perf event, of kernels without links to them: `disable` stops it. */
export const inPerfEvent = <T extends ProgramType>(
  kernel: KernelService,
  event: Descriptor,
  what: About<T>,
  disable: Effect.Effect<void, SystemCallError>
): Link<T> =>
  linkOf(event, "perf_event", what, {
    kernel,
    update: () =>
      Effect.fail(
        new NotSupported({ what: "Putting another program in its place", why: "a perf event keeps its own" })
      ),
    detach: disable
  })

/** An attachment that the target has by itself, until it is taken away. */
export interface TargetCalls {
  readonly attach: Effect.Effect<void, SystemCallError>
  readonly detach: Effect.Effect<void, SystemCallError>
  readonly update?: Holding["update"]
}

/** Attaches to a target that holds the program itself; it is taken away with the scope, unless it was before. */
export const acquireAtTarget = <T extends ProgramType>(
  kernel: KernelService,
  what: About<T>,
  { attach, detach, update }: TargetCalls
): Effect.Effect<Link<T>, SystemCallError, Scope.Scope> => {
  const place = { fd: -1, attached: true }
  const end = Effect.suspend(() => {
    if (!place.attached) return Effect.void
    place.attached = false
    return detach
  })
  const why = "the target keeps its program: attach anew"
  const link = linkOf(place, "target", what, {
    kernel,
    update: update ?? (() => Effect.fail(new NotSupported({ what: "Putting another program in its place", why }))),
    detach: end
  })
  // The target may be gone by then, and the program with it.
  return Effect.as(Effect.acquireRelease(attach, () => Effect.ignore(end)), link)
}
