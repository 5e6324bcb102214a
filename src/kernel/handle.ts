// What handles of kernel objects (maps, programs, links, perf events) have in common: a descriptor that is closed with a
// scope and never used after that, and how they print.
import * as Effect from "effect/Effect"
import { errno } from "../abi/errno.ts"
import { InvalidArgument, SystemCallError } from "./KernelError.ts"
import type { KernelService } from "./kernelService.ts"
import { whenRight } from "./options.ts"
import { releasedHint } from "./released.ts"
import type { Descriptor } from "./systemCall.ts"
import { shown } from "./validate.ts"

/** A handle: what it is of lives as long as its scope, and longer where something else refers to it. */
export interface Handle {
  /** The descriptor's number; -1 once the scope has closed, when the number may be another object's. */
  readonly fd: number
}

/** What there is to say of the handles of a kind. */
export interface HandleKind {
  /** The property that tells such handles from other values: `"~effect-ebpf/Program"`. */
  readonly typeId: string
  /** What it has beside its descriptor, where the types let anything pass that has it: a copy of a handle. */
  readonly parts?: ReadonlyArray<string>
  /** What such a handle is, for an error of something else: `"a program, as Program.load gives it"`. */
  readonly expected: string
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
export const isHandle = (kind: Pick<HandleKind, "typeId">, value: unknown): boolean => {
  try {
    return typeof value === "object" && value !== null && kind.typeId in value
  } catch {
    return false // a Proxy
  }
}

/** True for what has the parts of a handle, as a copy made by `{ ...handle }` has. */
const isLike = ({ parts }: HandleKind, value: any): boolean => {
  try {
    return parts !== undefined && typeof value === "object" && value !== null && typeof value.fd === "number" &&
      parts.every((part) => typeof value[part] === "string" || typeof value[part] === "object" && value[part] !== null)
  } catch {
    return false // a Proxy, or a getter
  }
}

/** Throws `InvalidArgument` for what is no handle of a kind. */
export const assertHandle = (field: string, value: unknown, kind: HandleKind): void => {
  if (!isHandle(kind, value) && !isLike(kind, value)) {
    throw new InvalidArgument({ field, expected: kind.expected, actual: shown(value) })
  }
}

/** What a handle is called in errors. */
export const subjectOf = (handle: Handle): string => {
  try {
    return (handle as { readonly [subjectKey]?: string } | undefined)?.[subjectKey] ?? shown(handle)
  } catch {
    return shown(handle) // a Proxy, given for a handle
  }
}

/** The error of using a handle whose scope has closed. */
export const closedError = (kind: HandleKind, subject: string): SystemCallError =>
  new SystemCallError({ call: "bpf", command: undefined, subject, errno: errno.EBADF, hint: kind.closed })

/**
 * The descriptor of a handle, for the call at hand: it fails with EBADF and a sentence where the scope of the handle has
 * closed, or its kernel was released, and with `InvalidArgument` for what is no such handle. All operations on handles
 * begin so.
 */
export const openFd = (
  field: string,
  handle: Handle,
  expected: HandleKind
): Effect.Effect<number, InvalidArgument | SystemCallError> =>
  whenRight(() => {
    assertHandle(field, handle, expected)
    const { [kernelKey]: kernel, [kindKey]: kind = expected } = handle as Hidden
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
