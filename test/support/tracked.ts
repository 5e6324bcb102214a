// Watches the door: what is acquired through it and not given back, and which kernel objects it made.
import { bpf_cmd } from "../../src/abi/generated/enums.ts"
import { bpf_attr_get_id, bpf_attr_info } from "../../src/abi/generated/structs.ts"
import { fill } from "../../src/kernel/internal/attr.ts"
import type { Block, KernelService, Mapping, Watch } from "../../src/kernel/Kernel.ts"

export interface Tracked {
  readonly kernel: KernelService
  /** What is open now, in words, with the stack that opened it. Empty when nothing leaked. */
  readonly open: () => ReadonlyArray<string>
  /** Maps and programs that were made and still exist in the kernel. */
  readonly alive: () => ReadonlyArray<string>
}

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

  const exists = (command: number, id: number): boolean =>
    withBlocks([16], (attr) => {
      const fd = kernel.bpf(command, attr!, fill(attr!, bpf_attr_get_id, { map_id: id }))
      if (fd >= 0) kernel.close(fd)
      return fd >= 0
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
        if (command === bpf_cmd.BPF_MAP_CREATE) rememberId(result, "map", bpf_cmd.BPF_MAP_GET_FD_BY_ID)
        else if (command === bpf_cmd.BPF_PROG_LOAD) rememberId(result, "program", bpf_cmd.BPF_PROG_GET_FD_BY_ID)
        else return result
        return opened("bpf object", result)
      },
      perfEventOpen: (...args) => opened("perf event", kernel.perfEventOpen(...args)),
      dup: (fd) => opened("duplicate", kernel.dup(fd)),
      fsopen: (type) => opened("fsopen", kernel.fsopen(type)),
      fsmount: (fd) => opened("fsmount", kernel.fsmount(fd)),
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
