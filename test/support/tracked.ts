// Watches the door: what is acquired through it and not given back, and which kernel objects it made.
import { bpf_cmd } from "../../src/abi/generated/enums.ts"
import { commandName } from "../../src/abi/names.ts"
import { bpf_attr_get_id, bpf_attr_info } from "../../src/abi/generated/structs.ts"
import { fill, readNumber } from "../../src/kernel/attribute.ts"
import type { Block, KernelService, Mapping, Watch } from "../../src/kernel/Kernel.ts"

export interface Tracked {
  readonly kernel: KernelService
  /** What is open now, in words, with the stack that opened it. Empty when nothing leaked. */
  readonly open: () => ReadonlyArray<string>
  /** Maps and programs that were made and still exist in the kernel. */
  readonly alive: () => ReadonlyArray<string>
}

/** The commands beside BPF_MAP_CREATE and BPF_PROG_LOAD whose result is a new descriptor. */
const givesDescriptor: ReadonlySet<number> = new Set([
  bpf_cmd.BPF_OBJ_GET,
  bpf_cmd.BPF_BTF_LOAD,
  bpf_cmd.BPF_MAP_GET_FD_BY_ID,
  bpf_cmd.BPF_PROG_GET_FD_BY_ID,
  bpf_cmd.BPF_BTF_GET_FD_BY_ID,
  bpf_cmd.BPF_LINK_GET_FD_BY_ID,
  bpf_cmd.BPF_LINK_CREATE,
  bpf_cmd.BPF_RAW_TRACEPOINT_OPEN
])

const idOffset = 4 // bpf_map_info.id and bpf_prog_info.id

/** Wraps a kernel. The wrapper's own look-ups go to the kernel beneath, and are not counted. */
export const track = (kernel: KernelService): Tracked => {
  const fds = new Map<number, string>()
  const blocks = new Map<Block, string>()
  const mappings = new Map<Mapping, string>()
  const watches = new Map<Watch, string>()
  const ids: Array<{ readonly command: number; readonly id: number; readonly what: string }> = []

  const stack = (): string => new Error("opened").stack!.split("\n").slice(3, 10).join("\n")
  const opened = (what: string, fd: number): number => {
    if (fd >= 0) fds.set(fd, `${what}, descriptor ${fd}\n${stack()}`)
    return fd
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
      if (kernel.bpf(bpf_cmd.BPF_OBJ_GET_INFO_BY_FD, attr!, size) < 0) return
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
      return kernel.bpf(command, attr!, size) === 0 && readNumber(attr!, bpf_attr_get_id, "next_id") === id
    })

  return {
    kernel: {
      ...kernel,
      allocate: (size) => {
        const block = kernel.allocate(size)
        if (typeof block !== "number") blocks.set(block, `block of ${size} bytes\n${stack()}`)
        return block
      },
      free: (block) => {
        blocks.delete(block)
        kernel.free(block)
      },
      bpf: (command, attr, size) => {
        const result = kernel.bpf(command, attr, size)
        if (result < 0) return result
        if (command === bpf_cmd.BPF_MAP_CREATE) rememberId(result, "map", bpf_cmd.BPF_MAP_GET_NEXT_ID)
        else if (command === bpf_cmd.BPF_PROG_LOAD) rememberId(result, "program", bpf_cmd.BPF_PROG_GET_NEXT_ID)
        else if (!givesDescriptor.has(command)) return result
        return opened(commandName(command), result)
      },
      perfEventOpen: (...args) => opened("perf event", kernel.perfEventOpen(...args)),
      dup: (fd) => opened("duplicate", kernel.dup(fd)),
      fsopen: (type) => opened("fsopen", kernel.fsopen(type)),
      fsmount: (fd) => opened("fsmount", kernel.fsmount(fd)),
      pidfdOpen: (pid) => opened("pidfd", kernel.pidfdOpen(pid)),
      close: (fd) => {
        fds.delete(fd)
        return kernel.close(fd)
      },
      mmap: (...args) => {
        const mapping = kernel.mmap(...args)
        if (typeof mapping !== "number") mappings.set(mapping, `mapping\n${stack()}`)
        return mapping
      },
      munmap: (mapping) => {
        mappings.delete(mapping)
        return kernel.munmap(mapping)
      },
      watch: (fd, onReadable) => {
        const inner = kernel.watch(fd, onReadable)
        if (typeof inner === "number") return inner
        const watch: Watch = {
          arm: inner.arm,
          close: () => {
            watches.delete(watch)
            inner.close()
          }
        }
        watches.set(watch, `watch of descriptor ${fd}\n${stack()}`)
        return watch
      }
    },
    open: () => [...fds.values(), ...blocks.values(), ...mappings.values(), ...watches.values()],
    alive: () => ids.filter(({ command, id }) => exists(command, id)).map(({ id, what }) => `${what} ${id}`)
  }
}
