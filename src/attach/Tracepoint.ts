/**
 * Attaches programs to tracepoints: places in the kernel's source that report an event with a record of fixed layout, such
 * as a system call, a scheduling decision or a packet. Kernel 4.7.
 *
 * It goes through a perf event, to which a link holds the program since 5.15 (see `Link`). The tracepoints of a system are the folders
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
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { errno } from "../abi/errno.ts"
import { perf_type_id } from "../abi/generated/enums.ts"
import type { Kernel, KernelService } from "../kernel/Kernel.ts"
import { SystemCallError } from "../kernel/KernelError.ts"
import { type Check, type Checks, readOptions, required } from "../kernel/options.ts"
import { readFile } from "../kernel/systemCall.ts"
import type { Program } from "../program/Program.ts"
import { type AttachError, ReadsBeyondRecord, type Reason, TargetNotFound } from "./AttachError.ts"
import { attaching } from "./internal/attaching.ts"
import { aCookie, attachToPerfEvent } from "./internal/perfEvent.ts"
import { acquireTracefs } from "./internal/tracefs.ts"
import type { Link } from "./Link.ts"

/** A tracepoint by category and name, which are the folders of tracefs: `syscalls` and `sys_enter_execve`. */
export interface Target {
  readonly category: string
  readonly name: string
}

/** The fields of `attach`'s options. */
export interface Options {
  /** What the helper `get_attach_cookie` gives the program, which may be attached at several places; kernel 5.15. */
  readonly cookie?: bigint | undefined
}

const aFolder: Check = {
  expected: "letters, digits, _ and -",
  accepts: (value) => typeof value === "string" && /^[A-Za-z0-9_-]+$/.test(value)
}

const targetChecks: Checks<Target> = { category: required(aFolder), name: required(aFolder) }
const optionChecks: Checks<Options> = { cookie: aCookie }

/** A file of a tracepoint's folder. */
const readFromTracefs = (kernel: KernelService, { category, name }: Target, file: string) =>
  Effect.scoped(Effect.gen(function*() {
    const tracefs = yield* acquireTracefs(kernel)
    const content = yield* readFile(kernel, `${tracefs}/events/${category}/${name}/${file}`)
    return new TextDecoder().decode(content)
  }))

/** The number by which perf knows the tracepoint. */
const readId = (kernel: KernelService, target: Target): Effect.Effect<number, Reason> =>
  Effect.map(readFromTracefs(kernel, target, "id"), Number).pipe(
    Effect.mapError((error) =>
      error instanceof SystemCallError && error.errno === errno.ENOENT
        ? new TargetNotFound({
          target: `tracepoint ${target.category}/${target.name}`,
          lookIn: `events/${target.category} of tracefs`
        })
        : error
    )
  )

/** Where the last field of a record ends, as its format file tells. */
export const recordSize = (format: string): number | undefined => {
  const ends = [...format.matchAll(/offset:(\d+);\s*size:(\d+);/g)].map((match) => Number(match[1]) + Number(match[2]))
  return ends.length === 0 ? undefined : Math.max(...ends)
}

/** The kernel refuses a program that reads beyond the record with a bare EACCES, and not before it is attached. */
const explained = (kernel: KernelService, target: Target) => (error: Reason): Effect.Effect<never, Reason> => {
  const { call, code } = error instanceof SystemCallError ? error : { call: "", code: "" }
  return code !== "EACCES" || (call !== "bpf" && call !== "ioctl")
    ? Effect.fail(error)
    : readFromTracefs(kernel, target, "format").pipe(
      Effect.map(recordSize),
      Effect.orElseSucceed(() => undefined),
      Effect.flatMap((size) => Effect.fail(new ReadsBeyondRecord({ recordSize: size })))
    )
}

/**
 * Attaches a program to a tracepoint until the scope closes.
 *
 * Fails with `AttachError`, for reasons of: `TargetNotFound` for an unknown one, `TracefsUnavailable` if tracefs is not
 * mounted and cannot be, `ReadsBeyondRecord` for a program that expects a longer record, `InvalidArgument` for a name that
 * cannot be one, `NotSupported` for a cookie before 5.15, and `SystemCallError` if the kernel refuses.
 */
export const attach = (
  program: Program<"tracepoint">,
  target: Target,
  options?: Options
): Effect.Effect<Link<"tracepoint">, AttachError, Kernel | Scope.Scope> =>
  attaching(program, "a tracepoint", () => {
    const { category, name } = readOptions("target", target, targetChecks)
    return {
      target: `tracepoint ${category}/${name}`,
      place: { category, name },
      ...readOptions("options of a tracepoint", options, optionChecks)
    }
  }, (attaching, { cookie, place }) =>
    Effect.gen(function*() {
      const { kernel } = attaching
      const config = yield* readId(kernel, place)
      const fields = { type: perf_type_id.PERF_TYPE_TRACEPOINT, config, sample_period: 1, wakeup_events: 1 }
      // On one CPU only: a BPF program belongs to the tracepoint itself and then runs for all CPUs.
      return yield* attachToPerfEvent(attaching, { fields, pid: -1, cpu: 0 }, cookie).pipe(
        Effect.catch(explained(kernel, place))
      )
    }))
