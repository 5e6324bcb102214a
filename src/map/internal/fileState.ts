// What the descriptor of a map may do, and whether the map is frozen: asked after a refusal, as EPERM alone says nothing.
import type { KernelService } from "../../kernel/kernelService.ts"

const decoder = new TextDecoder()

/** The bits of an open file's flags that say whether it is for reading (0), for writing (1) or both (2): O_ACCMODE. */
const ACCESS_MODE = 3
const WRITE_ONLY = 1
const READ_ONLY = 0

/** The lines of /proc/self/fdinfo, of which those of maps are `bpf_map_show_fdinfo`'s. */
const fdinfoOf = (kernel: KernelService, fd: number): string => {
  const content = kernel.files.read(`/proc/self/fdinfo/${fd}`)
  return typeof content === "number" ? "" : decoder.decode(content)
}

/** True if no process may write to the map any more; kernels before 5.2 know no such thing. */
export const isFrozen = (kernel: KernelService, fd: number): boolean => /^frozen:\s*1$/m.test(fdinfoOf(kernel, fd))

/** Why this descriptor may not read its map, or not write to it; `undefined` where it may. */
export const whyNotAllowed = (kernel: KernelService, fd: number, to: "read" | "write"): string | undefined => {
  const lines = fdinfoOf(kernel, fd)
  const flags = /^flags:\s*([0-7]+)$/m.exec(lines)?.[1]
  const mode = flags === undefined ? undefined : Number.parseInt(flags, 8) & ACCESS_MODE
  if (to === "read") {
    return mode === WRITE_ONLY ? "The map was opened for writing only: its flags have BPF_F_WRONLY" : undefined
  }
  if (mode === READ_ONLY) return "The map was opened for reading only: its flags have BPF_F_RDONLY"
  return isFrozen(kernel, fd)
    ? "The map is frozen (BpfMap.freeze): no process may write to it any more, and programs still may"
    : undefined
}
