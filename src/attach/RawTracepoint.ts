/**
 * Attaches programs to raw tracepoints: the same places as `Tracepoint`'s, where the program gets the arguments that the
 * kernel passes there, as 64-bit words, in place of a record made of them. It costs less, and needs no tracefs. Kernel 4.17.
 *
 * Which arguments there are is in the kernel's source (`TP_PROTO` in `include/trace/events`) and in its BTF, as the function
 * type `btf_trace_` and the name. A program runs on every occurrence in the whole system: filter in the program.
 *
 * Needs CAP_PERFMON and CAP_BPF (CAP_SYS_ADMIN before 5.8).
 *
 * @example
 * ```ts
 * import { Asm, Program, ProgramSpec, RawTracepoint } from "effect-ebpf"
 * import * as Effect from "effect/Effect"
 *
 * const spec = ProgramSpec.make({
 *   type: "raw_tracepoint",
 *   name: "on_exec",
 *   instructions: [Asm.mov("r0", 0), Asm.exit()]
 * })
 *
 * const program = Effect.gen(function*() {
 *   yield* RawTracepoint.attach(yield* Program.load(spec), "sched_process_exec")
 *   yield* Effect.sleep("10 seconds") // attached meanwhile
 * }).pipe(Effect.scoped)
 * ```
 */
import * as Effect from "effect/Effect"
import * as Scope from "effect/Scope"
import { errno } from "../abi/errno.ts"
import { openRawTracepoint } from "../bpf/links.ts"
import { isExpected } from "../kernel/Features.ts"
import type { Kernel } from "../kernel/Kernel.ts"
import { SystemCallError } from "../kernel/KernelError.ts"
import { assertArgument, type Check, type Checks, readOptions } from "../kernel/options.ts"
import type { Program } from "../program/Program.ts"
import { type AttachError, NotSupported, type Reason, TargetNotFound } from "./AttachError.ts"
import { attaching } from "./internal/attaching.ts"
import { fromDescriptor } from "./internal/holding.ts"
import { aCookie } from "./internal/perfEvent.ts"
import type { Link } from "./Link.ts"

/** The types of program that go to raw tracepoints; writable ones may change what the tracepoint offers for that. */
export type RawTracepointType = "raw_tracepoint" | "raw_tracepoint_writable"

/** The fields of `attach`'s options. */
export interface Options {
  /** What the helper `get_attach_cookie` gives the program, which may be attached at several places; kernel 6.10. */
  readonly cookie?: bigint | undefined
}

const checks: Checks<Options> = { cookie: aCookie }

/** The kernel cuts names at 128 bytes; none is near that. */
const aTracepoint: Check = {
  expected: "letters, digits and _",
  accepts: (name) => typeof name === "string" && /^[A-Za-z0-9_]{1,127}$/.test(name)
}

const whyNot = (name: string) => (error: Reason): Reason =>
  error instanceof SystemCallError && error.errno === errno.ENOENT
    ? new TargetNotFound({ target: `raw tracepoint ${name}`, lookIn: "events/ of tracefs, without the category" })
    : error

/**
 * Attaches a program to a raw tracepoint, by its name without category, until the scope closes.
 *
 * Fails with `AttachError`, for reasons of: `TargetNotFound` for an unknown one, `InvalidArgument` for a name that cannot be
 * one, and for options that are none, `NotSupported` for a cookie before 6.10, and `SystemCallError` if the kernel refuses,
 * as it does with EINVAL a program that reads more arguments than there are.
 */
export const attach = <T extends RawTracepointType>(
  program: Program<T, any>,
  name: string,
  options?: Options
): Effect.Effect<Link<T>, AttachError, Kernel | Scope.Scope> =>
  attaching(program, "a raw tracepoint", () => {
    assertArgument("name", name, aTracepoint)
    return { target: `raw tracepoint ${name}`, ...readOptions("options of a raw tracepoint", options, checks) }
  }, ({ about, kernel, owner, program }, { cookie }) =>
    Effect.gen(function*() {
      if (cookie !== undefined && !isExpected(kernel.version, "rawTracepointCookie")) {
        return yield* new NotSupported({ what: "A cookie", why: "raw tracepoints have them since Linux 6.10" })
      }
      const opened = openRawTracepoint(kernel, { program, name, cookie }, { subject: about.target })
      return fromDescriptor(kernel, yield* Scope.provide(opened, owner), about)
    }).pipe(Effect.mapError(whyNot(name))))
