/**
 * Attaches programs to tracepoints: places in the kernel's source that report an event with a record of fixed layout, such
 * as a system call, a scheduling decision or a packet. Kernel 4.7.
 *
 * It goes through a perf event, which is what kernels before 5.15 have. The tracepoints of a system are the folders
 * under `events/` in tracefs, and each one's `format` file says where the fields of its record are. tracefs need not be
 * mounted.
 *
 * A program runs on every occurrence in the whole system: filter in the program, by pid or cgroup, for what is yours.
 *
 * Needs CAP_PERFMON (CAP_SYS_ADMIN before 5.8), and read access to tracefs.
 *
 * @example
 * ```ts
 * import { Asm, Program, ProgramSpec, Tracepoint } from "effect-ebpf"
 * import * as Effect from "effect/Effect"
 *
 * const spec = ProgramSpec.make({
 *   type: "tracepoint",
 *   name: "on_exec",
 *   instructions: [Asm.mov("r0", 0), Asm.exit()]
 * })
 *
 * const program = Effect.gen(function*() {
 *   const onExec = yield* Program.load(spec)
 *   yield* Tracepoint.attach(onExec, { category: "sched", name: "sched_process_exec" })
 *   yield* Effect.sleep("10 seconds") // attached meanwhile
 * }).pipe(Effect.scoped)
 * ```
 */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Scope from "effect/Scope"
import { errno } from "../abi/errno.ts"
import { perf_type_id } from "../abi/generated/enums.ts"
import { perf_event_attr } from "../abi/generated/structs.ts"
import { perf } from "../abi/os.ts"
import { fill } from "../kernel/attribute.ts"
import { acquireBlock, acquireFd, readFile, run, withLocalScope } from "../kernel/systemCall.ts"
import { Kernel, type KernelService } from "../kernel/Kernel.ts"
import { InvalidArgument, type SystemCallError } from "../kernel/KernelError.ts"
import type { Program } from "../program/Program.ts"
import { acquireTracefs, type TracefsUnavailable } from "./internal/tracefs.ts"

export { TracefsUnavailable } from "./internal/tracefs.ts"

/** A tracepoint by category and name, which are the folders of tracefs: `syscalls` and `sys_enter_execve`. */
export interface Target {
  readonly category: string
  readonly name: string
}

/** An attached program: detached when its scope closes. */
export interface Tracepoint extends Target {
  readonly program: Program<"tracepoint">
  /** The descriptor of the perf event. */
  readonly fd: number
}

/** The kernel has no such tracepoint: a misspelt name, or a feature that it was built without. */
export class TracepointNotFound extends Data.TaggedError("TracepointNotFound")<Target> {
  override get message(): string {
    return `no tracepoint ${this.category}/${this.name} in this kernel: look in events/${this.category} of tracefs`
  }
}

const checkTarget = (target: Target): InvalidArgument | undefined => {
  for (const field of ["category", "name"] as const) {
    if (/^[A-Za-z0-9_-]+$/.test(target[field])) continue
    return new InvalidArgument({
      field,
      expected: "letters, digits, _ and -",
      actual: JSON.stringify(target[field])
    })
  }
  return undefined
}

/** The number by which perf knows the tracepoint. */
const readId = (
  kernel: KernelService,
  target: Target
): Effect.Effect<number, TracepointNotFound | TracefsUnavailable | SystemCallError> =>
  Effect.scoped(Effect.gen(function*() {
    const tracefs = yield* acquireTracefs(kernel)
    const id = yield* readFile(kernel, `${tracefs}/events/${target.category}/${target.name}/id`).pipe(
      Effect.catchIf(
        (error) => error.errno === errno.ENOENT,
        () => Effect.fail(new TracepointNotFound({ category: target.category, name: target.name }))
      )
    )
    return Number(new TextDecoder().decode(id))
  }))

/** PERF_ATTR_SIZE_VER5: all that is set here, and known to every kernel since 4.1. */
const ATTR_SIZE = 112

/**
 * Attaches a program to a tracepoint until the scope closes.
 *
 * Fails with `TracepointNotFound` for an unknown one, `TracefsUnavailable` if tracefs is not mounted and cannot be,
 * `InvalidArgument` for a name that cannot be one, and `SystemCallError` if the kernel refuses.
 */
export const attach = (
  program: Program<"tracepoint">,
  target: Target
): Effect.Effect<
  Tracepoint,
  InvalidArgument | TracepointNotFound | TracefsUnavailable | SystemCallError,
  Kernel | Scope.Scope
> =>
  withLocalScope(Effect.fnUntraced(function*(owner) {
    const kernel = yield* Kernel
    const invalid = checkTarget(target)
    if (invalid !== undefined) return yield* invalid
    const id = yield* readId(kernel, target)
    const subject = `tracepoint ${target.category}/${target.name}`
    const attr = yield* acquireBlock(kernel, perf_event_attr.size)
    fill(attr, perf_event_attr, {
      type: perf_type_id.PERF_TYPE_TRACEPOINT,
      size: ATTR_SIZE,
      config: id,
      sample_period: 1,
      wakeup_events: 1
    })
    // On one CPU only: a BPF program belongs to the tracepoint itself and then runs for all CPUs.
    const fd = yield* acquireFd(
      kernel,
      { call: "perf_event_open", subject },
      () => kernel.perf.open(attr, -1, 0, -1, perf.PERF_FLAG_FD_CLOEXEC)
    ).pipe(Scope.provide(owner))
    yield* run(
      kernel,
      { call: "ioctl", command: "PERF_EVENT_IOC_SET_BPF", subject },
      () => kernel.perf.ioctl(fd, perf.PERF_EVENT_IOC_SET_BPF, program.fd)
    )
    yield* run(
      kernel,
      { call: "ioctl", command: "PERF_EVENT_IOC_ENABLE", subject },
      () => kernel.perf.ioctl(fd, perf.PERF_EVENT_IOC_ENABLE, 0)
    )
    return { category: target.category, name: target.name, program, fd }
  }))
