// Every call at the door, by group: one row each, which is all that wrappers of a kernel (`Faults`, and the tests' own) know
// of it. A new call is a line of an interface, a row here, and its code in either kernel.
import type { BpfCalls, FileCalls, KernelService, NetCalls, PerfCalls, Watch } from "./kernelService.ts"

/** What a call is. */
export interface CallFacts {
  /** The system call behind it. */
  readonly name: string
  /** What it hands out, to be given back. Of `bpf(2)` the command decides: see `bpf/commands.ts`. */
  readonly gives?: "block" | "descriptor" | "mapping" | "watch"
  /** True for one that gives back its first argument. */
  readonly releases?: true
}

type Rows<Calls> = { readonly [Method in keyof Calls]: CallFacts }

/** The calls that belong to no group. */
type MemoryCalls = Pick<KernelService, "allocate" | "free">

const memory: Rows<MemoryCalls> = {
  allocate: { name: "mmap", gives: "block" },
  free: { name: "munmap", releases: true }
}

const bpf: Rows<BpfCalls> = {
  call: { name: "bpf" },
  raiseMemlock: { name: "prlimit" }
}

const perf: Rows<PerfCalls> = {
  open: { name: "perf_event_open", gives: "descriptor" },
  ioctl: { name: "ioctl" },
  readCount: { name: "read" }
}

const net: Rows<NetCalls> = {
  interfaceIndex: { name: "if_nametoindex" },
  interfaceName: { name: "if_indextoname" }
}

const files: Rows<FileCalls> = {
  close: { name: "close", releases: true },
  dup: { name: "fcntl", gives: "descriptor" },
  watch: { name: "epoll_ctl", gives: "watch" },
  mmap: { name: "mmap", gives: "mapping" },
  munmap: { name: "munmap", releases: true },
  open: { name: "open", gives: "descriptor" },
  read: { name: "read" },
  readConstant: { name: "read" },
  mkdir: { name: "mkdir" },
  unlink: { name: "unlink", releases: true },
  fileSystemType: { name: "statfs" },
  status: { name: "stat" },
  fsopen: { name: "fsopen", gives: "descriptor" },
  fsconfig: { name: "fsconfig" },
  fsmount: { name: "fsmount", gives: "descriptor" },
  mount: { name: "mount" },
  unmount: { name: "umount2", releases: true },
  pidfdOpen: { name: "pidfd_open", gives: "descriptor" }
}

const watch: Rows<Watch> = {
  arm: { name: "epoll_ctl" },
  close: { name: "epoll_ctl", releases: true }
}

/** One call at the door, as it is made. */
export interface DoorCall extends CallFacts {
  /** Its place, such as `"files.close"`. */
  readonly method: string
  readonly args: ReadonlyArray<unknown>
}

/** What is done about each call: it makes it, or answers in its place. */
export type Around = <A>(call: DoorCall, make: () => A) => A | number

const wrapGroup = <Calls extends object>(rows: Rows<Calls>, calls: Calls, place: string, around: Around): Calls => {
  const wrapped: Record<string, unknown> = {}
  for (const [method, facts] of Object.entries<CallFacts>(rows)) {
    const make = calls[method as keyof Calls] as (...args: ReadonlyArray<unknown>) => unknown
    wrapped[method] = (...args: ReadonlyArray<unknown>) =>
      around({ ...facts, method: `${place}${method}`, args }, () => make(...args))
  }
  return wrapped as Calls
}

/** A watch of which the end is a call with the watch beneath as its argument, as a descriptor is closed by its number. */
const wrapWatch = (inner: Watch, around: Around): Watch =>
  wrapGroup(
    watch,
    { arm: inner.arm, close: () => inner.close() },
    "watch.",
    (call, make) => around(call.releases === true ? { ...call, args: [inner] } : call, make)
  )

/** The kernel with something done about each of its calls, those of its watches included. */
export const wrapCalls = (kernel: KernelService, around: Around): KernelService => {
  const wrappedFiles = wrapGroup(files, kernel.files, "files.", around)
  return {
    ...kernel,
    ...wrapGroup<MemoryCalls>(memory, kernel, "", around),
    bpf: wrapGroup(bpf, kernel.bpf, "bpf.", around),
    perf: wrapGroup(perf, kernel.perf, "perf.", around),
    net: wrapGroup(net, kernel.net, "net.", around),
    files: {
      ...wrappedFiles,
      watch: (fd, onReport, isDue, awaits) => {
        const inner = wrappedFiles.watch(fd, onReport, isDue, awaits)
        return typeof inner === "number" ? inner : wrapWatch(inner, around)
      }
    }
  }
}
