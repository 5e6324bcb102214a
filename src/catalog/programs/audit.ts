// Programs that write down what processes execute and open.
import * as Asm from "../../isa/Asm.ts"
import * as Snippets from "../../isa/Snippets.ts"
import * as Layout from "../../layout/Layout.ts"
import * as RingBufferMap from "../../map/RingBufferMap.ts"
import * as ProgramSpec from "../../spec/ProgramSpec.ts"
import { lsm } from "../../spec/ReturnCode.ts"
import { checked, configured, recipe } from "../internal/entry.ts"
import { offsetOf } from "../internal/headers.ts"
import { verdict } from "../internal/parse.ts"
import { commandInto, MOST_PID, type OneProcessOptions, onlyProcess, processId } from "../internal/process.ts"
import type { RingOptions } from "./events.ts"

/** The record of `syscalls:sys_enter_*`: 8 bytes common to all tracepoints, the call's number, its arguments. */
const SysEnter = Layout.struct({ common: Layout.u64, number: Layout.i64, first: Layout.u64 })

/** The first argument of an LSM hook. */
const LsmFile = Layout.struct({ file: Layout.u64 })

/** An execve(2), as `execve-tracer` tells it. */
export const Execution = Layout.struct({
  time: Layout.u64,
  pid: Layout.u32,
  uid: Layout.u32,
  /** What the process was before. */
  command: Layout.cstring(16),
  /** The path that it asked for. */
  file: Layout.cstring(256)
})

/** The options of `execve-tracer`. */
export interface ExecveTracerOptions extends RingOptions {
  /** The only process whose children to watch, from 1 to 4194304; 0, for all processes, unless given. */
  readonly parent?: number
}

/** Where `coreRead` puts what it reads meanwhile. */
const scratch = Snippets.stack({ word: Layout.u64 }).word.offset

const onlyChildrenOf = (parent: number): Asm.Item => [
  checked("parent", parent, 0, MOST_PID),
  parent === 0 ? [] : [
    Asm.call("get_current_task"),
    Asm.mov("r7", "r0"),
    Asm.coreRead("r8", "r7", "task_struct", "real_parent->tgid", scratch),
    Asm.jne("r8", parent, "out")
  ]
]

/**
 * Writes a record of each execve(2) into the ring buffer `executions`. It is for the tracepoint
 * `syscalls:sys_enter_execve`, and so tells of attempts that fail too. Kernel 5.8; with `parent` it needs the kernel's BTF.
 */
export const execveTracer = configured(
  ["parent", "ringBytes"],
  ({ parent = 0, ringBytes = 262_144 }: ExecveTracerOptions = {}) =>
    recipe({
      description: "Writes a record of each execve(2) into a ring buffer.",
      since: [5, 8],
      maps: { executions: RingBufferMap.define({ name: "executions", record: Execution, maxEntries: ringBytes }) },
      program: ProgramSpec.make({
        type: "tracepoint",
        name: "execve",
        instructions: [
          Asm.mov("r6", "r1"),
          onlyChildrenOf(parent),
          Snippets.ringbufReserve("executions", Execution, "out"),
          Asm.mov("r7", "r0"),
          Asm.call("ktime_get_ns"),
          Snippets.writeField("r7", Execution, "time", "r0"),
          processId,
          Snippets.writeField("r7", Execution, "pid", "r0"),
          Asm.call("get_current_uid_gid"), // the lower half is the user id
          Snippets.writeField("r7", Execution, "uid", "r0"),
          commandInto(Execution),
          Asm.mov("r1", "r7"),
          Asm.add("r1", offsetOf(Execution, "file")),
          Asm.mov("r2", Layout.field(Execution, "file")!.size),
          Snippets.readField("r3", "r6", SysEnter, "first"),
          Asm.call("probe_read_user_str"),
          Snippets.ringbufSubmit("r7"),
          verdict("out", 0)
        ]
      })
    })
)

/** A file that was opened, as `lsm-file-open` tells it. */
export const OpenedFile = Layout.struct({
  time: Layout.u64,
  pid: Layout.u32,
  uid: Layout.u32,
  command: Layout.cstring(16),
  /** The last part of its path. */
  name: Layout.cstring(64)
})

/**
 * Writes a record of each file that is opened into the ring buffer `opened`, and allows it: an audit at the LSM hook
 * `file_open`. It needs a kernel with CONFIG_BPF_LSM, and `bpf` among its LSMs (`/sys/kernel/security/lsm`) for the hook
 * to be called. Kernel 5.8.
 */
export const lsmFileOpen = configured(
  ["pid", "ringBytes"],
  ({ pid = 0, ringBytes = 262_144 }: RingOptions & OneProcessOptions = {}) =>
    recipe({
      description: "Writes a record of each file that is opened into a ring buffer, at the LSM hook file_open.",
      since: [5, 8],
      maps: { opened: RingBufferMap.define({ name: "opened", record: OpenedFile, maxEntries: ringBytes }) },
      program: ProgramSpec.make({
        type: "lsm",
        name: "file_open",
        attachTo: "file_open",
        instructions: [
          Snippets.readField("r6", "r1", LsmFile, "file"),
          onlyProcess(pid),
          Asm.coreRead("r8", "r6", "file", "f_path.dentry->d_name.name", scratch),
          Snippets.ringbufReserve("opened", OpenedFile, "out"),
          Asm.mov("r7", "r0"),
          Asm.call("ktime_get_ns"),
          Snippets.writeField("r7", OpenedFile, "time", "r0"),
          processId,
          Snippets.writeField("r7", OpenedFile, "pid", "r0"),
          Asm.call("get_current_uid_gid"),
          Snippets.writeField("r7", OpenedFile, "uid", "r0"),
          commandInto(OpenedFile),
          Asm.mov("r1", "r7"),
          Asm.add("r1", offsetOf(OpenedFile, "name")),
          Asm.mov("r2", Layout.field(OpenedFile, "name")!.size),
          Asm.mov("r3", "r8"),
          Asm.call("probe_read_kernel_str"),
          Snippets.ringbufSubmit("r7"),
          verdict("out", lsm.ALLOW)
        ]
      })
    })
)
