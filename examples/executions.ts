// The tracer itself: a BPF program for execve(2), written with the assembler, and the stream of its records.
import { Asm, Layout, Program, ProgramSpec, RingBuffer, RingBufferMap, Tracepoint } from "effect-ebpf"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"

/** One record, as the program writes it and the stream reads it. */
export const Execution = Layout.struct({
  pid: Layout.u32,
  parent: Layout.u32,
  uid: Layout.u32,
  command: Layout.cstring(16),
  file: Layout.cstring(256)
})
export type Execution = Layout.Type<typeof Execution>

const at = (name: keyof Execution) => Layout.field(Execution, name)!.offset

/** `struct trace_event_raw_sys_enter`: 8 common bytes, the system call's number, then its arguments; execve's first is the path. */
const PATH_ARGUMENT = 16

const traceExecve = (onlyParent: Option.Option<number>) =>
  ProgramSpec.make({
    type: "tracepoint",
    name: "trace_execve",
    instructions: [
      Asm.mov("r6", "r1"), // the context; r6 to r9 survive calls

      // The offsets of these members differ in every kernel build: they are put in when the program is loaded (CO-RE).
      Asm.call("get_current_task"),
      Asm.mov("r1", "r0"),
      Asm.coreRead("r8", "r1", "task_struct", "real_parent->tgid", -8), // with 8 bytes of stack at r10 - 8
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

/**
 * Attaches the tracer until the scope closes: the stream of every execution from now on, or of those by one process's
 * children.
 */
export const executions = Effect.fnUntraced(function*(parent: Option.Option<number>) {
  const events = yield* RingBufferMap.make({ name: "events", record: Execution, maxEntries: 256 * 1024 })
  const program = yield* Program.load(traceExecve(parent), { maps: { events } })
  yield* Tracepoint.attach(program, { category: "syscalls", name: "sys_enter_execve" })
  return RingBuffer.stream(events)
})
