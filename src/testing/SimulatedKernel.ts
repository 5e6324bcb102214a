/**
 * A kernel in memory, for unit tests and for machines without privilege or without Linux. It takes the same bytes through
 * the same door as the real one, keeps maps, checks and loads programs, runs them in an interpreter, and lets a test fire
 * the events that they are attached to.
 *
 * What it has now: hash and array maps and ring buffers; programs of the operations that `Asm` has; tracepoints; test
 * runs of packet programs, raw tracepoints and `syscall` programs; the helpers for maps, time, the current task, memory
 * reads and ring buffers. What it lacks fails when it is asked for (EINVAL, or a `VerifierError` that names the helper),
 * and never silently. Its load-time check is a part of the verifier's: what it misses traps as the program runs.
 *
 * @example
 * ```ts
 * import { Asm, Program, ProgramSpec, SimulatedKernel } from "effect-ebpf"
 * import * as Effect from "effect/Effect"
 *
 * const spec = ProgramSpec.make({
 *   type: "socket_filter",
 *   name: "length",
 *   instructions: [Asm.ldxw("r0", "r1", 0), Asm.exit()] // __sk_buff.len
 * })
 *
 * const test = Effect.gen(function*() {
 *   const program = yield* Program.load(spec)
 *   return yield* Program.testRun(program, { data: new Uint8Array(60) })
 * }).pipe(Effect.scoped, Effect.provide(SimulatedKernel.layer()))
 *
 * Effect.runPromise(test).then((result) => console.log(result.returnValue)) // 60
 * ```
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Random from "effect/Random"
import { Kernel } from "../kernel/Kernel.ts"
import { InvalidArgument } from "../kernel/KernelError.ts"
import * as Layout from "../layout/Layout.ts"
import { Machine, type Open } from "./internal/machine.ts"
import { defaultTask, type Task } from "./internal/tasks.ts"
import { ProgramTrap } from "./ProgramTrap.ts"

export type { Open } from "./internal/machine.ts"
export type { Task } from "./internal/tasks.ts"

/** What a simulated kernel is like. */
export interface Options {
  /** What `uname -r` would print; `"6.18.0-simulated"` unless given. */
  readonly release?: string
  /** 4 unless given. */
  readonly possibleCpus?: number
  /** Whether tracefs is mounted, or has to be mounted by who needs it; `"mounted"` unless given. */
  readonly tracefs?: "mounted" | "unmounted"
  /** Further tracepoints, as `category/name`, beside those of `defaultTracepoints`. */
  readonly tracepoints?: ReadonlyArray<string>
}

/** The tracepoints that every simulated kernel has. */
export const defaultTracepoints: ReadonlyArray<string> = [
  "syscalls/sys_enter_execve",
  "syscalls/sys_exit_execve",
  "syscalls/sys_enter_openat",
  "sched/sched_process_exec",
  "sched/sched_process_exit",
  "sched/sched_switch"
]

/** The other side of a simulated kernel: what happens in it, and what is left in it. */
export class SimulatedKernel extends Context.Service<SimulatedKernel, {
  /**
   * Lets a tracepoint report an event with this record, in the task given (or parts of it): runs the programs attached
   * to it, and gives their number. Fails with `ProgramTrap` if one does what a verifier would have rejected, and with
   * `InvalidArgument` for an unknown tracepoint.
   */
  readonly fire: (event: {
    readonly tracepoint: string
    readonly record: Uint8Array
    readonly task?: Partial<Task>
  }) => Effect.Effect<number, InvalidArgument | ProgramTrap>
  /**
   * As `fire`, for a task that enters a system call: builds the record of `syscalls/sys_enter_<name>` with up to 6
   * arguments. A string is put into the task's memory, and its address is the argument.
   */
  readonly enterSyscall: (event: {
    readonly name: string
    readonly arguments: ReadonlyArray<bigint | string>
    readonly task?: Partial<Task>
  }) => Effect.Effect<number, InvalidArgument | ProgramTrap>
  /** What is acquired from this kernel and not yet released: all zeros when nothing leaked. */
  readonly open: Effect.Effect<Open>
  /** What the last program to trap under `Program.testRun` did: there the caller only sees EFAULT. */
  readonly lastTrap: Effect.Effect<ProgramTrap | undefined>
}>()("effect-ebpf/SimulatedKernel") {}

/** `struct trace_event_raw_sys_enter`: 8 bytes common to all tracepoints, the call's number, its arguments. */
const SysEnter = Layout.struct({ common: Layout.u64, id: Layout.i64, args: Layout.array(Layout.u64, 6) })

const attempt = <A>(f: () => A): Effect.Effect<A, ProgramTrap> =>
  Effect.suspend(() => {
    try {
      return Effect.succeed(f())
    } catch (error) {
      if (error instanceof ProgramTrap) return Effect.fail(error)
      throw error
    }
  })

const control = (machine: Machine): SimulatedKernel["Service"] => {
  const fire: SimulatedKernel["Service"]["fire"] = ({ record, task, tracepoint }) =>
    machine.hasTracepoint(tracepoint)
      ? attempt(() => machine.fire(tracepoint, record, { ...defaultTask, ...task }))
      : Effect.fail(
        new InvalidArgument({ field: "tracepoint", expected: "one of this simulated kernel", actual: tracepoint })
      )
  return {
    fire,
    enterSyscall: (event) => {
      const tracepoint = `syscalls/sys_enter_${event.name}`
      const given = event.arguments
      if (given.length > 6) {
        return Effect.fail(
          new InvalidArgument({ field: "arguments", expected: "at most 6", actual: String(given.length) })
        )
      }
      if (!machine.hasTracepoint(tracepoint)) return fire({ tracepoint, record: new Uint8Array(0) })
      return attempt(() =>
        machine.withUserStrings(given.filter((argument) => typeof argument === "string"), (addresses) => {
          const next = addresses[Symbol.iterator]()
          const args = Array.from({ length: 6 }, (_, i) => {
            const argument = given[i] ?? 0n
            return typeof argument === "string" ? next.next().value ?? 0n : BigInt.asUintN(64, argument)
          })
          const record = new Uint8Array(SysEnter.size)
          SysEnter.write(new DataView(record.buffer), record, 0, { common: 0n, id: 0n, args })
          return machine.fire(tracepoint, record, { ...defaultTask, ...event.task })
        })
      )
    },
    open: Effect.sync(() => machine.open),
    lastTrap: Effect.sync(() => machine.lastTrap)
  }
}

/**
 * A simulated kernel as the `Kernel`, and its other side as the `SimulatedKernel`. Its time and randomness are those of
 * Effect's `Clock` and `Random` where the layer is built, so `TestClock` rules them.
 */
export const layer = (options?: Options): Layer.Layer<Kernel | SimulatedKernel> =>
  Layer.effectContext(Effect.gen(function*() {
    const clock = yield* Clock.Clock
    const random = yield* Random.Random
    const machine = new Machine({
      release: options?.release ?? "6.18.0-simulated",
      possibleCpus: options?.possibleCpus ?? 4,
      pageSize: 4096,
      tracefs: options?.tracefs ?? "mounted",
      tracepoints: [...new Set([...defaultTracepoints, ...options?.tracepoints ?? []])],
      now: () => clock.monotonicTimeNanosUnsafe(),
      random: () => random.nextDoubleUnsafe()
    })
    return Context.make(Kernel, machine.service).pipe(Context.add(SimulatedKernel, control(machine)))
  }))
