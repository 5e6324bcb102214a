// The current task, and the few kernel types that programs look into. A real kernel's `task_struct` has some 250 members;
// this one has those that tracers read, and its BTF tells where they are, as the real one's does.
import * as Result from "effect/Result"
import * as Btf from "../../btf/Btf.ts"
import type { BtfType } from "../../btf/BtfType.ts"
import * as Layout from "../../layout/Layout.ts"
import { addressOf, type AddressSpace, type Region } from "./memory.ts"

/** The process that an event happens in. */
export interface Task {
  /** The process id, which the kernel calls `tgid`. */
  readonly pid: number
  /** The thread id, which the kernel calls `pid`; the process id unless given. */
  readonly tid?: number
  /** The parent's process id. */
  readonly parent: number
  readonly uid: number
  readonly gid: number
  /** At most 15 bytes. */
  readonly command: string
  readonly cpu: number
  /** The ids of its cgroup and of those above, from the root down. */
  readonly cgroups: ReadonlyArray<bigint>
  /** Return addresses, the innermost first. */
  readonly kernelStack: ReadonlyArray<bigint>
  readonly userStack: ReadonlyArray<bigint>
}

export const defaultTask: Task = {
  pid: 1000,
  parent: 1,
  uid: 0,
  gid: 0,
  command: "simulated",
  cpu: 0,
  cgroups: [1n],
  kernelStack: [0xffffffff81000010n, 0xffffffff81000020n, 0xffffffff81000030n],
  userStack: [0x401010n, 0x401020n]
}

/** Offsets are not those of any real kernel on purpose: a program with fixed ones fails here. */
const TaskStruct = Layout.struct({
  stack: Layout.pointer,
  flags: Layout.u32,
  cpu: Layout.u32,
  pid: Layout.i32,
  tgid: Layout.i32,
  real_parent: Layout.pointer,
  parent: Layout.pointer,
  group_leader: Layout.pointer,
  comm: Layout.cstring(16)
})

const memberTypes = {
  stack: 6,
  flags: 3,
  cpu: 3,
  pid: 2,
  tgid: 2,
  real_parent: 7,
  parent: 7,
  group_leader: 7,
  comm: 5
} as const satisfies Record<keyof Layout.Type<typeof TaskStruct>, number>

const int = (name: string, size: number, signed: boolean): BtfType => ({
  _tag: "Int",
  name,
  size,
  bits: size * 8,
  offset: 0,
  signed,
  char: false,
  bool: false
})

/** The types before the functions: those of `vmlinux` below. */
const TYPES = 8

/** The ids of functions in the kernel's BTF: behind the other types, a prototype and a name for each. */
export const functionIds = (names: ReadonlyArray<string>): ReadonlyMap<string, number> =>
  new Map(names.map((name, index) => [name, TYPES + 2 + index * 2]))

/**
 * The simulated `/sys/kernel/btf/vmlinux`. The functions take no arguments that it tells of. Each tracepoint has the typedef
 * that `tp_btf` programs are made for.
 */
export const vmlinux = (
  { functions, tracepoints }: { readonly functions: ReadonlyArray<string>; readonly tracepoints: ReadonlyArray<string> }
): Uint8Array =>
  Result.getOrThrow(Btf.encode([
    int("int", 4, true), // 1
    { _tag: "Typedef", name: "pid_t", type: 1 }, // 2
    int("unsigned int", 4, false), // 3
    int("char", 1, true), // 4
    { _tag: "Array", type: 4, indexType: 3, length: 16 }, // 5
    { _tag: "Pointer", type: 0 }, // 6
    { _tag: "Pointer", type: 8 }, // 7
    {
      _tag: "Struct",
      name: "task_struct",
      size: TaskStruct.size,
      members: (Object.keys(memberTypes) as Array<keyof typeof memberTypes>).map((name) => ({
        name,
        type: memberTypes[name],
        bitOffset: Layout.field(TaskStruct, name)!.offset * 8,
        bitfieldSize: 0
      }))
    }, // 8
    ...functions.flatMap((name, index): ReadonlyArray<BtfType> => [
      { _tag: "FuncProto", returns: 1, parameters: [] },
      { _tag: "Func", name, type: TYPES + 1 + index * 2, linkage: 0 }
    ]),
    ...tracepoints.map((path): BtfType => ({
      _tag: "Typedef",
      name: `btf_trace_${path.slice(path.indexOf("/") + 1)}`,
      type: 6
    }))
  ]))

/** Puts a task and its parent into kernel memory: the address of its `task_struct`, and what takes it away again. */
export const mapTask = (
  memory: AddressSpace,
  task: Task
): { readonly address: bigint; readonly unmap: () => void } => {
  const put = (value: Layout.Type<typeof TaskStruct>): Region => {
    const bytes = new Uint8Array(TaskStruct.size)
    TaskStruct.write(new DataView(bytes.buffer), bytes, 0, value)
    return memory.map(bytes, { writable: false })
  }
  const base = { stack: 0n, flags: 0, cpu: task.cpu, real_parent: 0n, parent: 0n, group_leader: 0n }
  const parent = put({ ...base, pid: task.parent, tgid: task.parent, comm: "" })
  const parentAddress = addressOf(parent)
  const own = put({
    ...base,
    pid: task.tid ?? task.pid,
    tgid: task.pid,
    real_parent: parentAddress,
    parent: parentAddress,
    comm: task.command.slice(0, 15)
  })
  return {
    address: addressOf(own),
    unmap: () => {
      memory.unmap(own)
      memory.unmap(parent)
    }
  }
}
