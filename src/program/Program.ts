/**
 * A loaded program: the kernel has verified and compiled it. It does nothing until it is attached (`Tracepoint.attach`)
 * or run once by `testRun`, and it is unloaded when its scope has closed and nothing else refers to it.
 *
 * Loading needs CAP_BPF, and CAP_PERFMON or CAP_NET_ADMIN for the types that trace or see packets; before 5.8,
 * CAP_SYS_ADMIN.
 *
 * @example
 * ```ts
 * import { Asm, Program, ProgramSpec } from "effect-ebpf"
 * import * as Effect from "effect/Effect"
 *
 * const pass = ProgramSpec.make({
 *   type: "xdp",
 *   name: "pass",
 *   instructions: [Asm.mov("r0", 2), Asm.exit()] // XDP_PASS
 * })
 *
 * const program = Effect.gen(function*() {
 *   const loaded = yield* Program.load(pass)
 *   const { returnValue } = yield* Program.testRun(loaded, { data: new Uint8Array(64) })
 *   return returnValue // 2
 * })
 * ```
 */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import type { ProgramType } from "../abi/names.ts"
import * as Asm from "../isa/Asm.ts"
import { checkName } from "../kernel/internal/validate.ts"
import { Kernel } from "../kernel/Kernel.ts"
import { InvalidArgument, type SystemCallError } from "../kernel/KernelError.ts"
import type { ProgramSpec } from "../spec/ProgramSpec.ts"
import { loadProgram } from "./internal/load.ts"
import { runTest, type TestRunInput, type TestRunResult } from "./internal/testRun.ts"
import type { VerifierError } from "./VerifierError.ts"

export type { TestRunInput, TestRunResult } from "./internal/testRun.ts"

/** A loaded program of a type. `fd` is -1 once the scope that it was loaded in has closed. */
export interface Program<out T extends ProgramType = ProgramType> {
  readonly fd: number
  readonly type: T
  readonly name: string
}

/** The types whose programs the kernel can run once for a test (`BPF_PROG_TEST_RUN`). */
export type TestRunnable =
  | "socket_filter"
  | "sched_cls"
  | "sched_act"
  | "xdp"
  | "cgroup_skb"
  | "lwt_in"
  | "lwt_out"
  | "lwt_xmit"
  | "flow_dissector"
  | "raw_tracepoint"
  | "sk_lookup"
  | "syscall"

/** What a program needs of a map: any handle of the map modules is one. */
export interface MapReference {
  readonly fd: number
}

const findMaps = (
  assembled: Asm.Assembled,
  maps: { readonly [name: string]: MapReference }
): Result.Result<ReadonlyMap<string, number>, InvalidArgument> => {
  const fds = new Map<string, number>()
  for (const name of assembled.maps.keys()) {
    const map = Object.hasOwn(maps, name) ? maps[name] : undefined
    if (map === undefined) {
      const given = Object.keys(maps).join(", ")
      return Result.fail(
        new InvalidArgument({ field: "maps", expected: `a map named ${name}`, actual: given === "" ? "none" : given })
      )
    }
    if (map.fd < 0) {
      return Result.fail(
        new InvalidArgument({ field: `maps.${name}`, expected: "a map whose scope is open", actual: "a closed one" })
      )
    }
    fds.set(name, map.fd)
  }
  return Result.succeed(fds)
}

/**
 * Assembles and loads a program, which is closed with the scope. `maps` are those that it refers to, by the names it
 * uses.
 *
 * Fails with `AsmError` for a program that cannot be assembled, `InvalidArgument` for a bad name or a missing map,
 * `VerifierError` with the whole log when the verifier rejects it, and `SystemCallError` for any other refusal.
 */
export const load = <T extends ProgramType>(
  spec: ProgramSpec<T>,
  options?: { readonly maps?: { readonly [name: string]: MapReference } }
): Effect.Effect<
  Program<T>,
  Asm.AsmError | InvalidArgument | VerifierError | SystemCallError,
  Kernel | Scope.Scope
> =>
  Effect.gen(function*() {
    const kernel = yield* Kernel
    const invalid = checkName("name", spec.name)
    if (invalid !== undefined) return yield* invalid
    const assembled = yield* Effect.fromResult(Asm.assemble(spec.instructions))
    const mapFds = yield* Effect.fromResult(findMaps(assembled, options?.maps ?? {}))
    const descriptor = yield* loadProgram(kernel, spec, assembled, mapFds)
    return {
      get fd() {
        return descriptor.fd
      },
      type: spec.type,
      name: spec.name
    }
  })

/**
 * Runs a program in the kernel without attaching it, on the given packet or context; kernel 4.12, and 5.10 for raw
 * tracepoints.
 *
 * Packets must have at least 14 bytes, an Ethernet header. `repeat` runs it that often in one system call, which
 * raw tracepoints do not allow.
 *
 * Fails with `InvalidArgument` for a bad `repeat`, and with `SystemCallError` if the kernel refuses.
 */
export const testRun = (
  program: Program<TestRunnable>,
  input?: TestRunInput
): Effect.Effect<TestRunResult, InvalidArgument | SystemCallError, Kernel> =>
  Effect.flatMap(Kernel, (kernel) => runTest(kernel, program, input ?? {}))
