// Pieces of programs that watch processes.
import * as Asm from "../../isa/Asm.ts"
import * as Layout from "../../layout/Layout.ts"
import { checked } from "./entry.ts"
import { offsetOf } from "./headers.ts"

/** PID_MAX_LIMIT of include/linux/threads.h. */
export const MOST_PID = 4_194_304

/** r0 = the process id. */
export const processId: Asm.Item = [Asm.call("get_current_pid_tgid"), Asm.rsh("r0", 32)]

/** Copies the name of the current task into a member of the record at r7. */
export const commandInto = <A extends { readonly command: string }>(record: Layout.Layout<A>): Asm.Item => [
  Asm.mov("r1", "r7"),
  Asm.add("r1", offsetOf(record, "command")),
  Asm.mov("r2", Layout.field(record, "command")!.size),
  Asm.call("get_current_comm")
]

/** The options of programs that watch one process, or all. */
export interface OneProcessOptions {
  /** The only process to watch, from 1 to 4194304; 0, for all, unless given. */
  readonly pid?: number
}

/** Goes to `out` in any process but the wanted one. */
export const onlyProcess = (pid: number): Asm.Item => [
  checked("pid", pid, 0, MOST_PID),
  pid === 0 ? [] : [processId, Asm.jne("r0", pid, "out")]
]
