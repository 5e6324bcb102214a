/**
 * The one error of attaching, whatever is attached and where: which program, to what, and the reason. Reasons have tags of
 * their own, so one of them is caught with `Effect.catchReason`.
 *
 * @example
 * ```ts
 * import { Kernel, type Program, Tracepoint } from "effect-ebpf"
 * import * as Effect from "effect/Effect"
 *
 * const attached = (program: Program.Program<"tracepoint">) =>
 *   Tracepoint.attach(program, { category: "sched", name: "sched_no_such_event" }).pipe(
 *     Effect.asVoid,
 *     Effect.catchReason("AttachError", "TargetNotFound", (reason) => Effect.log(reason.message))
 *   )
 * ```
 */
import * as Data from "effect/Data"
import type { InvalidArgument, SystemCallError } from "../kernel/KernelError.ts"
import type { TracefsUnavailable } from "./internal/tracefs.ts"

export { TracefsUnavailable } from "./internal/tracefs.ts"

/** The kernel has nothing by that name: it is misspelt, or belongs to a part that this kernel was built without. */
export class TargetNotFound extends Data.TaggedError("TargetNotFound")<{
  /** What was looked for: `tracepoint syscalls/sys_enter_nonesuch`. */
  readonly target: string
  /** Where the ones that there are can be seen. */
  readonly lookIn: string
}> {
  override get message(): string {
    return `this kernel has no ${this.target}: look in ${this.lookIn}`
  }
}

/** The program reads its context beyond the record that it would be given there. */
export class ReadsBeyondRecord extends Data.TaggedError("ReadsBeyondRecord")<{
  /** The size in bytes of the record; `undefined` where it could not be found out. */
  readonly recordSize: number | undefined
}> {
  override get message(): string {
    const size = this.recordSize === undefined ? "the record" : `the record's ${this.recordSize} bytes`
    return `the program reads beyond ${size}: the offsets of its fields are in the format file of the tracepoint`
  }
}

/** Another program is there already, and the place has room for one. */
export class AlreadyAttached extends Data.TaggedError("AlreadyAttached")<{ readonly cause: SystemCallError }> {
  override get message(): string {
    return `another program is attached there already: ${this.cause.message}`
  }
}

/** It cannot be done with what was attached so, or on this kernel. */
export class NotSupported extends Data.TaggedError("NotSupported")<{
  /** What cannot be done, as the subject of the sentence. */
  readonly what: string
  /** Why, and what would do. */
  readonly why: string
}> {
  override get message(): string {
    return `${this.what} is not possible here: ${this.why}`
  }
}

/** Why a program could not be attached. `InvalidArgument` is for a target that cannot be one. */
export type Reason =
  | TargetNotFound
  | TracefsUnavailable
  | ReadsBeyondRecord
  | AlreadyAttached
  | NotSupported
  | InvalidArgument
  | SystemCallError

/** A program could not be attached, or an attachment not be changed. */
export class AttachError extends Data.TaggedError("AttachError")<{
  /** `tracepoint program "on_exec"` */
  readonly program: string
  /** `tracepoint sched/sched_process_exec` */
  readonly target: string
  readonly reason: Reason
}> {
  override get message(): string {
    return `${this.program} at ${this.target}: ${this.reason.message}`
  }
}
