// A live tracer of process executions: one line for each execve(2), with the file that is about to run.
//
//   scripts/demo [--seconds N] [--parent PID]
//
// The program is written below with the library's assembler, filters inside the kernel, and sends its records through a
// ring buffer; the rest is an Effect Stream. Without the privilege to do that, the same code runs on a simulated kernel.
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import {
  Asm,
  Btf,
  Kernel,
  KernelBtf,
  Layout,
  Program,
  ProgramSpec,
  RingBuffer,
  RingBufferMap,
  Tracepoint
} from "effect-ebpf"
import { Command, Flag } from "effect/cli"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { simulatedExecutions } from "./simulatedExecutions.ts"

/** One record, as the program writes it and the stream reads it. */
const Execution = Layout.struct({
  pid: Layout.u32,
  parent: Layout.u32,
  uid: Layout.u32,
  command: Layout.cstring(16),
  file: Layout.cstring(256)
})
type Execution = Layout.Type<typeof Execution>

const at = (name: keyof Execution) => Layout.field(Execution, name)!.offset

/** Where the kernel keeps a task's parent, and a task's process id, in bytes: different in every kernel build. */
const taskOffsets = Effect.gen(function*() {
  const btf = yield* KernelBtf.load
  const parent = yield* Effect.fromResult(Btf.member(btf, "task_struct", "real_parent"))
  const tgid = yield* Effect.fromResult(Btf.member(btf, "task_struct", "tgid"))
  return { parent: parent.bitOffset / 8, tgid: tgid.bitOffset / 8 }
})

/** `struct trace_event_raw_sys_enter`: 8 common bytes, the system call's number, then its arguments; execve's first is the path. */
const PATH_ARGUMENT = 16

/** Reads `size` bytes of kernel memory at `r3` to the stack at `slot`. */
const readKernel = (slot: number, size: number) => [
  Asm.mov("r1", "r10"),
  Asm.add("r1", slot),
  Asm.mov("r2", size),
  Asm.call("probe_read_kernel")
]

const traceExecve = (offsets: { parent: number; tgid: number }, onlyParent: Option.Option<number>) =>
  ProgramSpec.make({
    type: "tracepoint",
    name: "trace_execve",
    instructions: [
      Asm.mov("r6", "r1"), // the context; r6 to r9 survive calls

      // r8 = current->real_parent->tgid
      Asm.call("get_current_task"),
      Asm.mov("r3", "r0"),
      Asm.add("r3", offsets.parent),
      readKernel(-8, 8),
      Asm.ldxdw("r3", "r10", -8),
      Asm.add("r3", offsets.tgid),
      readKernel(-16, 4),
      Asm.ldxw("r8", "r10", -16),
      Option.match(onlyParent, {
        onNone: () => [],
        onSome: (pid) => Asm.jne32("r8", pid, "out")
      }),

      // r7 = a record in the ring; none when it is full
      Asm.ldMapFd("r1", "events"),
      Asm.mov("r2", Execution.size),
      Asm.mov("r3", 0),
      Asm.call("ringbuf_reserve"),
      Asm.jeq("r0", 0, "out"),
      Asm.mov("r7", "r0"),

      Asm.stw("r7", at("parent"), "r8"),
      Asm.call("get_current_pid_tgid"), // the upper half is the process id
      Asm.rsh("r0", 32),
      Asm.stw("r7", at("pid"), "r0"),
      Asm.call("get_current_uid_gid"), // the lower half is the user id
      Asm.stw("r7", at("uid"), "r0"),
      Asm.mov("r1", "r7"),
      Asm.add("r1", at("command")),
      Asm.mov("r2", 16),
      Asm.call("get_current_comm"),
      Asm.mov("r1", "r7"),
      Asm.add("r1", at("file")),
      Asm.mov("r2", 256),
      Asm.ldxdw("r3", "r6", PATH_ARGUMENT),
      Asm.call("probe_read_user_str"),

      Asm.mov("r1", "r7"),
      Asm.mov("r2", 0),
      Asm.call("ringbuf_submit"),
      Asm.label("out"),
      Asm.mov("r0", 0),
      Asm.exit()
    ]
  })

/** Every execution from now on, or only those of one process's children. */
const executions = (parent: Option.Option<number>) =>
  Stream.unwrap(Effect.gen(function*() {
    const events = yield* RingBufferMap.make({ name: "events", record: Execution, maxEntries: 256 * 1024 })
    const spec = traceExecve(yield* taskOffsets, parent)
    const program = yield* Program.load(spec, { maps: { events } })
    yield* Tracepoint.attach(program, { category: "syscalls", name: "sys_enter_execve" })
    return RingBuffer.stream(events)
  }))

const line = (pid: string, parent: string, uid: string, command: string, file: string) =>
  [pid.padStart(8), parent.padStart(8), uid.padStart(6), command.padEnd(15), file].join("  ")

const print = (stream: Stream.Stream<Execution, unknown, Kernel.Kernel>) =>
  Effect.andThen(
    Console.log(line("PID", "PARENT", "UID", "COMMAND", "FILE")),
    Stream.runForEach(
      stream,
      (e) => Console.log(line(String(e.pid), String(e.parent), String(e.uid), e.command, e.file))
    )
  )

/** What a user without privilege meets: not Linux, or a kernel that says no. */
const isUnprivileged = (error: { readonly _tag: string }) =>
  error._tag === "KernelUnavailable" || error._tag === "TracefsUnavailable" ||
  (error._tag === "SystemCallError" && ["EPERM", "EACCES", "ENOSYS"].includes((error as { code?: string }).code ?? ""))

const command = Command.make("execve", {
  seconds: Flag.Int("seconds").pipe(Flag.withDescription("Stop after this many seconds"), Flag.optional),
  parent: Flag.Int("parent").pipe(Flag.withDescription("Trace only the children of this process"), Flag.optional)
}, ({ parent, seconds }) => {
  const trace = print(executions(parent))
  const real = Effect.provide(trace, Kernel.layer)
  const simulated = (reason: string) =>
    Effect.andThen(
      Console.log(`simulated kernel, with made-up executions: ${reason}`),
      Effect.provide(trace, simulatedExecutions(parent))
    )
  const run = Effect.catchIf(
    real,
    isUnprivileged,
    (error) => simulated((error as { readonly message: string }).message)
  )
  return Option.match(seconds, {
    onNone: () => run,
    onSome: (n) => Effect.asVoid(Effect.timeoutOption(run, `${n} seconds`))
  })
})

Command.run(command, { version: "0.1.0" }).pipe(Effect.provide(NodeServices.layer), NodeRuntime.runMain)
