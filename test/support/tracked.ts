// Watches the door: what is acquired through it and not given back, and which kernel objects it made.
import { bpf_cmd } from "../../src/abi/generated/enums.ts"
import { commandName } from "../../src/abi/names.ts"
import { bpf_attr_get_id, bpf_attr_info } from "../../src/abi/generated/structs.ts"
import { type Command, commands } from "../../src/bpf/command.ts"
import { fill, readNumber } from "../../src/kernel/attribute.ts"
import { type DoorCall, wrapCalls } from "../../src/kernel/doorCalls.ts"
import type { Block, KernelService } from "../../src/kernel/Kernel.ts"

export interface Tracked {
  readonly kernel: KernelService
  /** What is open now, in words, with the stack that opened it. Empty when nothing leaked. */
  readonly open: () => ReadonlyArray<string>
  /** Maps and programs that were made and still exist in the kernel. */
  readonly alive: () => ReadonlyArray<string>
}

/** The commands whose result is a new descriptor. */
const givesDescriptor: ReadonlySet<number> = new Set(
  Object.entries(commands).flatMap(([name, facts]) => "gives" in facts ? [bpf_cmd[name as Command]] : [])
)

const idOffset = 4 // bpf_map_info.id and bpf_prog_info.id

/** Wraps a kernel. The wrapper's own look-ups go to the kernel beneath, and are not counted. */
export const track = (kernel: KernelService): Tracked => {
  /** By descriptor number, block, mapping or watch. */
  const open = new Map<unknown, string>()
  const ids: Array<{ readonly command: number; readonly id: number; readonly what: string }> = []

  // Without the frames of this file and of the wrapper.
  const stack = (): string => new Error("opened").stack!.split("\n").slice(6, 13).join("\n")
  const opened = (what: string, resource: unknown): void => {
    open.set(resource, `${what}${typeof resource === "number" ? `, descriptor ${resource}` : ""}\n${stack()}`)
  }

  const withBlocks = <A>(sizes: ReadonlyArray<number>, f: (...blocks: Array<Block>) => A): A => {
    const taken = sizes.map((size) => kernel.allocate(size) as Block)
    try {
      return f(...taken)
    } finally {
      for (const block of taken) kernel.free(block)
    }
  }

  const rememberId = (fd: number, what: string, command: number): void =>
    withBlocks([16, 256], (attr, info) => {
      const size = fill(attr!, bpf_attr_info, { bpf_fd: fd, info_len: 256, info: info! })
      if (kernel.bpf.call(bpf_cmd.BPF_OBJ_GET_INFO_BY_FD, attr!, size) < 0) return
      ids.push({ command, id: info!.view.getUint32(idOffset, true), what })
    })

  /**
   * Asks for the id after the one before: that takes no reference. Opening a prog_array by its id, and closing it again,
   * while the kernel has yet to empty it makes the kernel lose count, and the map stays for good (prog_array_map_clear).
   */
  const exists = (command: number, id: number): boolean =>
    withBlocks([16], (attr) => {
      const size = Math.max(
        fill(attr!, bpf_attr_get_id, { start_id: id - 1 }),
        bpf_attr_get_id.fields.open_flags.offset
      )
      return kernel.bpf.call(command, attr!, size) === 0 && readNumber(attr!, bpf_attr_get_id, "next_id") === id
    })

  const note = (call: DoorCall, result: unknown): void => {
    if (call.releases === true) open.delete(call.args[0])
    else if (typeof result === "number" && result < 0) return
    else if (call.method !== "bpf.call") {
      if (call.gives !== undefined) opened(call.method, result)
    } else {
      const [command, fd] = [call.args[0] as number, result as number]
      if (command === bpf_cmd.BPF_MAP_CREATE) rememberId(fd, "map", bpf_cmd.BPF_MAP_GET_NEXT_ID)
      else if (command === bpf_cmd.BPF_PROG_LOAD) rememberId(fd, "program", bpf_cmd.BPF_PROG_GET_NEXT_ID)
      else if (!givesDescriptor.has(command)) return
      opened(commandName(command), fd)
    }
  }

  return {
    kernel: wrapCalls(kernel, (call, make) => {
      const result = make()
      note(call, result)
      return result
    }),
    open: () => [...open.values()],
    alive: () => ids.filter(({ command, id }) => exists(command, id)).map(({ id, what }) => `${what} ${id}`)
  }
}
