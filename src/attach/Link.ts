/**
 * Attachments: what all have in common, whatever program is attached, and where. Each attach module (`Tracepoint` and its
 * sisters) gives a `Link`; the program is detached when its scope closes.
 *
 * Where the kernel has a link for the place, the attachment is an object like a map: it has an id, can be pinned so that
 * it outlives the process, and may get another program in one step. Older ways of attaching have less (`holder`).
 *
 * Links need kernel 5.7, and for most places a later one; opening by id needs CAP_SYS_ADMIN.
 *
 * @example
 * ```ts
 * import { Link, type Program, Tracepoint } from "effect-ebpf"
 * import * as Effect from "effect/Effect"
 *
 * const program = (onExec: Program.Program<"tracepoint">) =>
 *   Effect.gen(function*() {
 *     const link = yield* Tracepoint.attach(onExec, { category: "sched", name: "sched_process_exec" })
 *     yield* Link.pin(link, "/sys/fs/bpf/on_exec") // stays attached when this scope has closed
 *     return yield* Link.info(link) // { type: "perf_event", programId: 7, … }
 *   }).pipe(Effect.scoped)
 * ```
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import { deferredStream } from "../effect/onDemand.ts"
import type { ProgramType } from "../abi/names.ts"
import { acquireById, listById } from "../bpf/objectIds.ts"
import { acquirePinned, pinObject } from "../bpf/pins.ts"
import { isHandle, openFd, subjectOf } from "../kernel/handle.ts"
import { Kernel, type KernelService } from "../kernel/Kernel.ts"
import { InvalidArgument, type SystemCallError } from "../kernel/KernelError.ts"
import { acquireDescriptor, allOrNothing, type Descriptor } from "../kernel/systemCall.ts"
import { type Checks, readingOptions, whenRight } from "../kernel/options.ts"
import { checkFd, checkId, shown } from "../kernel/validate.ts"
import { programHandles } from "../program/handles.ts"
import { isProgram, type Program } from "../program/Program.ts"
import { AttachError, NotSupported, type Reason } from "./AttachError.ts"
import { toAttachError } from "./internal/attaching.ts"
import { fromDescriptor, type Holding, holdingOf, type Link, linkHandles } from "./internal/holding.ts"
import { checkIsLink, type Info, readInfo } from "./internal/linkInfo.ts"

export type { Holder, Link } from "./internal/holding.ts"
export type { Info, LinkType } from "./internal/linkInfo.ts"

/** True for attachments. */
export const isLink = (value: unknown): value is Link => isHandle(linkHandles.link, value)

/** What is done with a link; `InvalidArgument` is the reason where it is none. */
const onLink = <A, R>(
  link: Link,
  f: (holding: Holding) => Effect.Effect<A, Reason, R>
): Effect.Effect<A, AttachError, R> =>
  Effect.suspend(() => {
    const holding = isLink(link) ? holdingOf(link) : undefined
    if (holding !== undefined) return Effect.mapError(whenRight(() => f(holding)), toAttachError(link))
    const { expected } = linkHandles.link
    const reason = new InvalidArgument({ field: "link", expected, actual: shown(link) })
    return Effect.fail(new AttachError({ program: "no program", target: "no target", reason }))
  })

/** The descriptor of a link, for what only links can do. */
const linkFd = (link: Link, what: string): Effect.Effect<number, AttachError> =>
  onLink(link, () => {
    if (link.holder === "link") return openFd("link", link, linkHandles.link)
    const why = link.holder === "perf_event"
      ? "this kernel has no links to perf events, which came in Linux 5.15"
      : "the target holds the program by itself, and there is no link"
    return Effect.fail(new NotSupported({ what, why }))
  })

/**
 * What the kernel says of an attachment. Fails with `AttachError`: `NotSupported` where no link holds it, `SystemCallError`
 * of EBADF after its scope has closed.
 */
export const info = (link: Link): Effect.Effect<Info, AttachError, Kernel> =>
  Effect.flatMap(
    Kernel,
    (kernel) =>
      Effect.flatMap(linkFd(link, "Asking about it"), (fd) =>
        Effect.mapError(readInfo(kernel, fd, subjectOf(link)), toAttachError(link)))
  )

/** How a program is put in the place of another. */
export interface UpdateOptions<T extends ProgramType = ProgramType> {
  /** The program that must be there now. */
  readonly expected?: Program<T, any> | undefined
}

const updateChecks: Checks<UpdateOptions<any>> = {
  expected: { expected: programHandles.expected, accepts: isProgram }
}

/**
 * Puts another program of the same type in the place of an attachment's, in one step: no event is missed. With `expected`,
 * only if that is the program there now.
 *
 * Links to XDP, tcx, netkit, cgroups and network namespaces can be updated; others answer EINVAL. Fails with
 * `AttachError`, of `SystemCallError` EPERM where another than `expected` is there.
 */
export const update = <T extends ProgramType>(
  link: Link<T>,
  program: Program<T, any>,
  options?: UpdateOptions<T>
): Effect.Effect<void, AttachError, Kernel> =>
  onLink(link, (holding) =>
    Effect.gen(function*() {
      const { expected } = yield* readingOptions("options of an update", options, updateChecks)
      const fd = yield* openFd("program", program, programHandles)
      const old = expected === undefined ? undefined : yield* openFd("expected", expected, programHandles)
      if (link.holder !== "target") yield* openFd("link", link, linkHandles.link)
      return yield* holding.update(fd, old)
    }).pipe(Effect.withSpan("Link.update", { attributes: { "bpf.target": link.target } })))

/**
 * Detaches before the scope closes, for all that hold the link: other processes, and its pin. The handle stays, with
 * nothing behind it.
 *
 * Links to XDP, tcx, netkit, cgroups and network namespaces can be detached so, since 5.9; for others the answer is
 * EOPNOTSUPP, and they end with the last that holds them. Fails with `AttachError`.
 */
export const detach = (link: Link): Effect.Effect<void, AttachError, Kernel> =>
  onLink(link, (holding) =>
    Effect.gen(function*() {
      if (link.holder !== "target") yield* openFd("link", link, linkHandles.link)
      return yield* holding.detach
    }).pipe(Effect.withSpan("Link.detach", { attributes: { "bpf.target": link.target } })))

/**
 * Gives an attachment a name in a BPF file system: it stays when no process holds it. `BpfFs.unpin` takes the name away, and
 * ends the attachment if no one else holds it.
 *
 * Fails with `AttachError`: `NotSupported` where no link holds it, `SystemCallError` of EEXIST where something is pinned
 * there already, and EPERM in another file system.
 */
export const pin = (link: Link, path: string): Effect.Effect<void, AttachError, Kernel> =>
  Effect.flatMap(
    Kernel,
    (kernel) =>
      Effect.flatMap(linkFd(link, "Pinning it"), (fd) =>
        Effect.mapError(pinObject(kernel, fd, subjectOf(link), path), toAttachError(link)))
  )

type Opened = Effect.Effect<Link, InvalidArgument | SystemCallError, Kernel | Scope.Scope>

/** A handle of a link that something else attached. */
const opened = (
  acquire: (kernel: KernelService) => Effect.Effect<Descriptor, InvalidArgument | SystemCallError, Scope.Scope>
): Opened =>
  allOrNothing(Effect.gen(function*() {
    const kernel = yield* Kernel
    const descriptor = yield* acquire(kernel)
    yield* checkIsLink(kernel, descriptor.fd)
    const { programId, type } = yield* readInfo(kernel, descriptor.fd, "a link")
    const target = typeof type === "number" ? `a link of type ${type}` : `a ${type} link`
    return fromDescriptor(kernel, descriptor, { program: `the program of id ${programId}`, type: undefined, target })
  }))

/**
 * Opens the link that is pinned at a path; it is closed with the scope, and stays attached by its pin.
 *
 * Fails with `SystemCallError`, ENOENT where nothing is pinned, and with `InvalidArgument` for an object of another kind.
 */
export const openPinned = (path: string): Opened => opened((kernel) => acquirePinned(kernel, path))

/**
 * Opens a link of the system by its id; it is closed with the scope, and stays attached as long as something else holds
 * it. Needs CAP_SYS_ADMIN.
 *
 * Fails with `SystemCallError`, ENOENT for an unknown id.
 */
export const fromId = (id: number): Opened =>
  opened((kernel) => {
    const invalid = checkId(id)
    return invalid === undefined ? acquireById(kernel, "link", id) : Effect.fail(invalid)
  })

/**
 * Opens the link that a descriptor of this process refers to, such as one inherited or received. The descriptor stays the
 * caller's: a duplicate is made, and closed with the scope.
 *
 * Fails with `SystemCallError` EBADF for a closed one, and with `InvalidArgument` for that of another object.
 */
export const fromFd = (fd: number): Opened =>
  opened((kernel) => {
    const invalid = checkFd(fd)
    if (invalid !== undefined) return Effect.fail(invalid)
    const what = { call: "fcntl", command: "F_DUPFD_CLOEXEC", subject: `descriptor ${fd}` }
    return acquireDescriptor(kernel, what, () => kernel.files.dup(fd))
  })

/** All links of the system, by ascending id. Those that come and go meanwhile may be missing. Needs CAP_SYS_ADMIN. */
export const list: Stream.Stream<Info, SystemCallError, Kernel> = deferredStream((stream) =>
  stream.unwrap(
    Effect.map(Kernel, (kernel) => listById(kernel, "link", (fd, subject) => readInfo(kernel, fd, subject)))
  )
)
