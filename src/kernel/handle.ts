// What handles of kernel objects (maps, programs, links, perf events) have in common: a descriptor that is closed with a
// scope and never used after that, and how they print.
import * as Effect from "effect/Effect"
import { errno } from "../abi/errno.ts"
import { SystemCallError } from "./KernelError.ts"
import type { KernelService } from "./kernelService.ts"
import { releasedHint } from "./released.ts"
import type { Descriptor } from "./systemCall.ts"

/** A handle: what it is of lives as long as its scope, and longer where something else refers to it. */
export interface Handle {
  /** The descriptor's number; -1 once the scope has closed, when the number may be another object's. */
  readonly fd: number
}

/** What there is to say of the handles of a kind. */
export interface HandleKind {
  /** The property that tells such handles from other values: `"~effect-ebpf/Program"`. */
  readonly typeId: string
  /** As errors have it: `"The scope that the program was loaded in has closed"`. */
  readonly closed: string
  /** The line of /proc/self/fdinfo that has the object's id; none for objects without ids. */
  readonly idLine?: string
}

/** What errors of a handle, and its text, begin with: `xdp program "pass"`. */
const subjectKey = Symbol.for("~effect-ebpf/Handle/subject")
const kindKey = Symbol.for("~effect-ebpf/Handle/kind")
const kernelKey = Symbol.for("~effect-ebpf/Handle/kernel")
const inspectKey = Symbol.for("nodejs.util.inspect.custom")

const decoder = new TextDecoder()

/** The id of a descriptor's object as /proc tells it, or nothing. Makes one read, so it is for printing alone. */
const idOf = (kernel: KernelService, fd: number, line: string | undefined): string => {
  if (line === undefined) return ""
  const info = kernel.files.read(`/proc/self/fdinfo/${fd}`)
  const found = typeof info === "number" ? null : new RegExp(`^${line}:\\s*(\\d+)$`, "m").exec(decoder.decode(info))
  return found === null ? "" : `, id ${found[1]}`
}

/**
 * A handle of a descriptor with the fields given. It prints as what it is, `xdp program "pass", id 7, fd 12`, and has the
 * `typeId` of its kind. What has no descriptor says by `attached` whether it is still there.
 */
export const handleOf = <Fields extends object>(
  kernel: KernelService,
  descriptor: Descriptor & { readonly attached?: boolean },
  kind: HandleKind,
  subject: string,
  fields: Fields
): Fields & Handle => {
  const print = (): string => {
    const { fd } = descriptor
    if (descriptor.attached !== undefined) return `${subject}, ${descriptor.attached ? "attached" : "detached"}`
    return fd < 0 ? `${subject}, closed` : `${subject}${idOf(kernel, fd, kind.idLine)}, fd ${fd}`
  }
  const hidden = (value: unknown): PropertyDescriptor => ({ value, enumerable: false })
  return Object.defineProperties({ ...fields }, {
    fd: { get: () => descriptor.fd, enumerable: true },
    [kind.typeId]: hidden(kind.typeId),
    [kindKey]: hidden(kind),
    [subjectKey]: hidden(subject),
    [kernelKey]: hidden(kernel),
    [inspectKey]: hidden(print),
    toString: hidden(print),
    toJSON: hidden(print)
  }) as Fields & Handle
}

/** True for handles of a kind. */
export const isHandle = (kind: HandleKind, value: unknown): boolean =>
  typeof value === "object" && value !== null && kind.typeId in value

/** What a handle is called in errors. */
export const subjectOf = (handle: Handle): string =>
  (handle as { readonly [subjectKey]?: string })[subjectKey] ?? `descriptor ${handle.fd}`

/** The error of using a handle whose scope has closed. */
export const closedError = (kind: HandleKind, subject: string): SystemCallError =>
  new SystemCallError({ call: "bpf", command: undefined, subject, errno: errno.EBADF, hint: kind.closed })

/**
 * The descriptor of a handle, for the call at hand: it fails with EBADF and a sentence where the scope of the handle has
 * closed, or its kernel was released. All operations on handles begin so.
 */
export const openFd = (handle: Handle): Effect.Effect<number, SystemCallError> =>
  Effect.suspend(() => {
    const { [kernelKey]: kernel, [kindKey]: kind = unknownKind } = handle as Hidden
    if (kernel?.isReleased() === true) {
      return Effect.fail(closedError({ ...kind, closed: releasedHint }, subjectOf(handle)))
    }
    return handle.fd >= 0 ? Effect.succeed(handle.fd) : Effect.fail(closedError(kind, subjectOf(handle)))
  })

/** What handles have beside what is seen of them. */
interface Hidden {
  readonly [kindKey]?: HandleKind
  readonly [kernelKey]?: KernelService
}

const unknownKind: HandleKind = { typeId: "", closed: "The scope that it was acquired in has closed" }
