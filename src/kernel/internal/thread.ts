// What a thread holds of the operating system, which knows processes only. The main thread's goes with the process. A worker
// may end at any instruction (`terminate()`, an error, `process.exit`), and nothing of ours runs then; what it held would
// stay until the process ends. So in a worker each thing belongs to something that Node itself gives up with the thread:
//
//   - a descriptor takes over a number that `node:fs` opened: those are closed with their worker (`trackUnmanagedFds`, which
//     is on unless the worker was made without);
//   - memory, a kernel object's pages included, lies where a `WebAssembly.Memory` has its pages: the engine unmaps them with
//     the heap that they belong to, and never moves them.
//
// Where Node refuses (no number left, no address space), the thing is ours alone, as in the main thread.
import { closeSync, openSync } from "node:fs"
import { isMainThread } from "node:worker_threads"
import { bpf_cmd } from "../../abi/generated/enums.ts"
import { fcntl } from "../../abi/os.ts"
import type { Koffi, Libc } from "./libc.ts"
import { type MakeWait, pollWait, timerWait } from "./wait.ts"

/** Pages that the thread owns. They stay as long as `owner` is held. */
export interface Reserved {
  readonly address: number
  readonly owner: object
}

export interface Thread {
  /** Makes a new descriptor the thread's; gives its number from then on. Takes `-errno` as it is. */
  readonly keep: (fd: number) => number
  /** close(2) */
  readonly close: (fd: number) => number
  /** Zeroed pages of the thread's, or `undefined` where memory is the process's. */
  readonly reserve: (length: number) => Reserved | undefined
  readonly wait: MakeWait
}

/** The commands of bpf(2) whose result is a new descriptor, as the table of `bpf/` has them; a test holds both together. */
export const descriptorCommands: ReadonlyArray<number> = [
  bpf_cmd.BPF_MAP_CREATE,
  bpf_cmd.BPF_PROG_LOAD,
  bpf_cmd.BPF_OBJ_GET,
  bpf_cmd.BPF_PROG_GET_FD_BY_ID,
  bpf_cmd.BPF_MAP_GET_FD_BY_ID,
  bpf_cmd.BPF_RAW_TRACEPOINT_OPEN,
  bpf_cmd.BPF_BTF_LOAD,
  bpf_cmd.BPF_BTF_GET_FD_BY_ID,
  bpf_cmd.BPF_LINK_CREATE,
  bpf_cmd.BPF_LINK_GET_FD_BY_ID,
  bpf_cmd.BPF_ENABLE_STATS,
  bpf_cmd.BPF_ITER_CREATE,
  bpf_cmd.BPF_TOKEN_CREATE
]

const mainThread = (koffi: Koffi, libc: Libc, result: (r: number) => number): Thread => ({
  keep: (fd) => fd,
  close: (fd) => result(libc.close(fd)),
  reserve: () => undefined,
  wait: pollWait(koffi)
})

/** What is used of it; TypeScript has its types in the DOM's only. */
declare const WebAssembly: {
  readonly Memory: new(size: { readonly initial: number; readonly maximum: number }) => { readonly buffer: ArrayBuffer }
}

const WASM_PAGE = 65536
const WASM_MOST_PAGES = 65536

const workerThread = (koffi: Koffi, libc: Libc, result: (r: number) => number): Thread => {
  const numbers = new Set<number>()
  return {
    keep: (fd) => {
      if (fd < 0) return fd
      let number: number
      try {
        number = openSync("/dev/null", "r")
      } catch {
        return fd
      }
      if (libc.dup3(fd, number, fcntl.O_CLOEXEC) < 0) {
        closeSync(number)
        return fd
      }
      libc.close(fd)
      numbers.add(number)
      return number
    },
    close: (fd) => {
      if (!numbers.delete(fd)) return result(libc.close(fd))
      try {
        closeSync(fd)
        return 0
      } catch (error) {
        return (error as NodeJS.ErrnoException).errno ?? 0
      }
    },
    reserve: (length) => {
      const pages = Math.ceil(length / WASM_PAGE)
      if (!(pages >= 1 && pages <= WASM_MOST_PAGES)) return undefined
      try {
        const owner = new WebAssembly.Memory({ initial: pages, maximum: pages })
        return { address: Number(koffi.address(owner.buffer)), owner }
      } catch {
        return undefined
      }
    },
    wait: timerWait
  }
}

export const makeThread = (koffi: Koffi, libc: Libc, result: (r: number) => number): Thread =>
  isMainThread ? mainThread(koffi, libc, result) : workerThread(koffi, libc, result)
