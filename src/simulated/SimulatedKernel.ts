/**
 * A kernel in memory, for unit tests and for machines without privilege or without Linux. It takes the same bytes through
 * the same door as the real one, keeps maps, checks and loads programs, runs them, and lets a test fire the events that
 * they are attached to.
 *
 * **Programs.** All instructions up to cpu v4, may_goto and load-acquire run, with the kernel's results; a test that runs
 * thousands of generated programs on both kernels holds it to that. They are compiled to JavaScript when they run for
 * the first time. Loading follows all paths as the verifier does and rejects what it rejects, in its words: registers and
 * values that were never checked, packets and map values out of bounds, records that are never submitted, loops without
 * end. Where it is in doubt it accepts, and the program fails with a `ProgramTrap` when it does what it may not: no
 * access is ever made to what is not there.
 *
 * **Maps.** All kinds of 6.18, with batches, walks, freezing, mapping, pinning in a BPF file system of its own, and lives
 * counted as the kernel does; a test that makes random sequences of calls on both kernels holds it to that.
 *
 * **Helpers.** Those for maps, ring buffers and perf output, dynptrs of memory and ring buffers, time, chance, the current
 * task and its cgroups, memory reads, stacks, strings and printing, packets and checksums, redirects, tail calls, loops,
 * callbacks, timers, spin locks, local storage, sysctls and socket options. What programs did with no other trace
 * (`printed`, `perfOutputs`, `signals`, redirects) can be asked for. Time is that of Effect's `Clock`: `TestClock` makes
 * timers run.
 *
 * **Hooks.** `fire` lets a tracepoint report an event; `happen` does so for raw tracepoints, functions, probes, XDP, tcx,
 * socket filters and cgroups, and gives what the hook answers. Programs attach through links, perf events and
 * BPF_PROG_ATTACH, in the order that its flags ask for, and BPF_PROG_QUERY tells it; programs of a cgroup run before those
 * of the cgroups above it. For probes and socket filters, whose descriptors have no simulation, `happen` takes the program.
 * Test runs are there for all types that Linux runs, but for struct_ops: for packet programs, live frames of XDP among
 * them, flow dissectors, raw tracepoints, `syscall`, `sk_lookup` and netfilter programs.
 *
 * What it lacks fails when it is asked for, and never silently: kernel functions (kfuncs), struct_ops, iterators over
 * kernel objects, other helpers, netlink. Programs are checked as those of root are: pointers may leak into maps. Stacks,
 * cgroups and devices are those that the test makes up.
 *
 * @example
 * ```ts
 * import { Asm, Program, ProgramSpec } from "effect-ebpf"
 * import * as SimulatedKernel from "effect-ebpf/SimulatedKernel"
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
 * Effect.runPromise(test).then((result) => console.log(result.returnValue)) // 46: it begins behind the Ethernet header
 * ```
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Random from "effect/Random"
import type * as Scope from "effect/Scope"
import { anInteger, aText, type Checks, listOf, oneOf, readOptions } from "../kernel/options.ts"
import { Kernel } from "../kernel/Kernel.ts"
import { InvalidArgument } from "../kernel/KernelError.ts"
import * as Layout from "../layout/Layout.ts"
import type { Event, Fired } from "./internal/hooks/events.ts"
import type { Open } from "./internal/door.ts"
import type { PerfOutput, Signal } from "./internal/records.ts"
import { Simulation } from "./internal/simulation.ts"
import { defaultTask, type Task } from "./internal/tasks.ts"
import { ProgramTrap } from "./ProgramTrap.ts"

export type { Open } from "./internal/door.ts"
export type { CgroupOperation, Event, Fired, Registers } from "./internal/hooks/events.ts"
export type { Redirect } from "./internal/packets.ts"
export type { PerfOutput, Signal } from "./internal/records.ts"
export type { Task } from "./internal/tasks.ts"

/** What a simulated kernel is like. */
export interface Options {
  /** What `uname -r` would print; `"6.18.0-simulated"` unless given. */
  readonly release?: string
  /** 4 unless given. */
  readonly possibleCpus?: number
  /** Whether tracefs is mounted, or has to be mounted by who needs it; `"mounted"` unless given. */
  readonly tracefs?: "mounted" | "unmounted"
  /** Whether a BPF file system is mounted at `/sys/fs/bpf`, or has to be (`BpfFs.ensure`); `"mounted"` unless given. */
  readonly bpffs?: "mounted" | "unmounted"
  /**
   * Whether programs are checked as they are loaded, as a real kernel's are; `"on"` unless given. With `"off"` a program
   * that would be rejected loads, and traps when it does what it may not.
   */
  readonly verifier?: "on" | "off"
  /** Network devices beside `lo`, by name. Their indices begin at 2. */
  readonly devices?: ReadonlyArray<string>
  /** Functions that the kernel's BTF names, for fentry, fexit and LSM programs (`bpf_lsm_file_open`). */
  readonly functions?: ReadonlyArray<string>
  /** Further tracepoints, as `category/name`, beside those of `defaultTracepoints`. */
  readonly tracepoints?: ReadonlyArray<string>
}

/** CONFIG_NR_CPUS is 8192 at most. */
const MOST_CPUS = 8192

const names = listOf({ expected: "a name", accepts: (name) => typeof name === "string" && name !== "" }, "names")

const optionChecks: Checks<Options> = {
  release: aText,
  possibleCpus: anInteger(1, MOST_CPUS),
  tracefs: oneOf(["mounted", "unmounted"]),
  bpffs: oneOf(["mounted", "unmounted"]),
  verifier: oneOf(["on", "off"]),
  devices: names,
  functions: names,
  tracepoints: listOf(
    { expected: "as category/name", accepts: (name) => typeof name === "string" && /^[^/]+\/[^/]+$/.test(name) },
    "tracepoints"
  )
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
   * Lets something happen at a hook, and runs what is attached there (or the one program given): a raw tracepoint, a
   * probe, a function of the kernel, a packet at a device, a socket or a cgroup, something else that a process in a cgroup
   * does. Gives what the hook answers. Fails as `fire`, and for a device, cgroup or function that does not exist.
   */
  readonly happen: (event: Event) => Effect.Effect<Fired, InvalidArgument | ProgramTrap>
  /** A cgroup by a path of the test's choice, as a descriptor to attach to. It exists from then on. */
  readonly cgroup: (path: string) => Effect.Effect<{ readonly fd: number }, never, Scope.Scope>
  /** The index of a network device. */
  readonly deviceIndex: (name: string) => Effect.Effect<number, InvalidArgument>
  /** What programs printed with bpf_trace_printk, in order. */
  readonly printed: Effect.Effect<ReadonlyArray<string>>
  /** What programs sent to perf rings, in order. */
  readonly perfOutputs: Effect.Effect<ReadonlyArray<PerfOutput>>
  /** The signals that programs sent, in order. */
  readonly signals: Effect.Effect<ReadonlyArray<Signal>>
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

const control = (simulation: Simulation): SimulatedKernel["Service"] => {
  const fire: SimulatedKernel["Service"]["fire"] = ({ record, task, tracepoint }) =>
    simulation.hasTracepoint(tracepoint)
      ? attempt(() => simulation.fire(tracepoint, record, { ...defaultTask, ...task }))
      : Effect.fail(
        new InvalidArgument({ field: "tracepoint", expected: "one of this simulated kernel", actual: tracepoint })
      )
  return {
    fire,
    happen: (event) =>
      Effect.flatMap(attempt(() => simulation.fireEvent(event)), (result) =>
        "missing" in result
          ? Effect.fail(
            new InvalidArgument({
              field: event.hook,
              expected: "a device, cgroup or function of this simulated kernel",
              actual: result.missing
            })
          )
          : Effect.succeed(result)),
    cgroup: (path) =>
      Effect.acquireRelease(
        Effect.sync(() => ({ fd: simulation.openCgroup(path) })),
        ({ fd }) => Effect.sync(() => simulation.door.service.files.close(fd))
      ),
    deviceIndex: (name) => {
      const index = simulation.deviceIndex(name)
      return index === undefined
        ? Effect.fail(
          new InvalidArgument({ field: "name", expected: "a device of this simulated kernel", actual: name })
        )
        : Effect.succeed(index)
    },
    printed: Effect.sync(() => [...simulation.runner.records.printed]),
    perfOutputs: Effect.sync(() => [...simulation.runner.records.perfOutputs]),
    signals: Effect.sync(() => [...simulation.runner.records.signals]),
    enterSyscall: (event) => {
      const tracepoint = `syscalls/sys_enter_${event.name}`
      const given = event.arguments
      if (given.length > 6) {
        return Effect.fail(
          new InvalidArgument({ field: "arguments", expected: "at most 6", actual: String(given.length) })
        )
      }
      if (!simulation.hasTracepoint(tracepoint)) return fire({ tracepoint, record: new Uint8Array(0) })
      return attempt(() =>
        simulation.withUserStrings(given.filter((argument) => typeof argument === "string"), (addresses) => {
          const next = addresses[Symbol.iterator]()
          const args = Array.from({ length: 6 }, (_, i) => {
            const argument = given[i] ?? 0n
            return typeof argument === "string" ? next.next().value ?? 0n : BigInt.asUintN(64, argument)
          })
          const record = new Uint8Array(SysEnter.size)
          SysEnter.write(new DataView(record.buffer), record, 0, { common: 0n, id: 0n, args })
          return simulation.fire(tracepoint, record, { ...defaultTask, ...event.task })
        })
      )
    },
    open: Effect.sync(() => simulation.door.open),
    lastTrap: Effect.sync(() => simulation.lastTrap)
  }
}

/**
 * A simulated kernel as the `Kernel`, and its other side as the `SimulatedKernel`. Its time and randomness are those of
 * Effect's `Clock` and `Random` where the layer is built, so `TestClock` rules them.
 *
 * Throws `InvalidArgument` for an option that is none, or is not what its type says.
 */
export const layer = (options?: Options): Layer.Layer<Kernel | SimulatedKernel> => {
  const given = readOptions("options of a simulated kernel", options, optionChecks)
  return Layer.effectContext(Effect.gen(function*() {
    const clock = yield* Clock.Clock
    const random = yield* Random.Random
    const runFork = Effect.runForkWith(yield* Effect.context<never>())
    const timers = new Set<Fiber.Fiber<void>>()
    const simulation: Simulation = new Simulation({
      release: given.release ?? "6.18.0-simulated",
      possibleCpus: given.possibleCpus ?? 4,
      pageSize: 4096,
      tracefs: given.tracefs ?? "mounted",
      bpffs: given.bpffs ?? "mounted",
      verifier: given.verifier ?? "on",
      devices: given.devices ?? [],
      functions: given.functions ?? [],
      tracepoints: [...new Set([...defaultTracepoints, ...given.tracepoints ?? []])],
      now: () => clock.monotonicTimeNanosUnsafe(),
      random: () => random.nextDoubleUnsafe(),
      schedule: (delay, run) => {
        // A timer that traps has no caller to tell: `lastTrap` does.
        const expire = Effect.catch(attempt(run), (trap) => Effect.sync(() => simulation.trapped(trap)))
        const fiber = runFork(Effect.delay(expire, Duration.nanos(delay)))
        timers.add(fiber)
        fiber.addObserver(() => timers.delete(fiber))
        return () => fiber.interruptUnsafe()
      }
    })
    yield* Effect.addFinalizer(() =>
      Effect.sync(() => {
        for (const timer of timers) timer.interruptUnsafe()
        simulation.door.release()
      })
    )
    return Context.make(Kernel, simulation.door.service).pipe(Context.add(SimulatedKernel, control(simulation)))
  }))
}
