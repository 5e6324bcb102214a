import type { Architecture } from "../abi/syscalls.ts"
import type { Block, Mapping } from "./memory.ts"

/** The running kernel's version, as `uname -r` begins. */
export interface KernelVersion {
  readonly major: number
  readonly minor: number
  readonly patch: number
  /** The whole text, such as `"6.12.94+deb12-cloud-amd64"`. */
  readonly release: string
}

/**
 * Reports once, after each `arm`, that a descriptor is readable. If it is readable already, it reports at once (but never
 * inside `arm`).
 */
export interface Watch {
  /** Asks for the next report. Gives 0 or `-errno`. */
  readonly arm: () => number
  /** Ends it; no report comes after. May be called twice. */
  readonly close: () => void
}

/** bpf(2), and what it needs. */
export interface BpfCalls {
  /** `bpf(2)`: `command` is a `bpf_cmd`, `attr` holds the first `size` bytes of a `union bpf_attr`. */
  readonly call: (command: number, attr: Block, size: number) => number
  /** `prlimit(2)`: lifts RLIMIT_MEMLOCK for this process. Needs CAP_SYS_RESOURCE. */
  readonly raiseMemlock: () => number
}

/** Performance events. */
export interface PerfCalls {
  /** `perf_event_open(2)` with a `perf_event_attr` in `attr`. */
  readonly open: (attr: Block, pid: number, cpu: number, groupFd: number, flags: number) => number
  /** `ioctl(2)` with an integer argument, or with the address of a block. */
  readonly ioctl: (fd: number, request: number, argument: number | Block) => number
  /** `read(2)`: what the event has counted, as its `read_format` has it, into the first `size` bytes of a block. */
  readonly readCount: (fd: number, into: Block, size: number) => number
}

/** The network of the calling thread's namespace. */
export interface NetCalls {
  /** `if_nametoindex(3)`: the index of a network interface by its name. */
  readonly interfaceIndex: (name: string) => number
  /** `if_indextoname(3)` */
  readonly interfaceName: (index: number) => string | number
}

/** Who may do what with a file. */
export interface FileStatus {
  /** The permissions, the lower 12 bits of `st_mode`. */
  readonly mode: number
  readonly uid: number
  readonly gid: number
}

/** Descriptors, whatever they are of; files, mounts and what is mapped. */
export interface FileCalls {
  readonly close: (fd: number) => number
  /** `fcntl(F_DUPFD_CLOEXEC)` */
  readonly dup: (fd: number) => number
  /**
   * Watches a descriptor for readability, or gives `-errno` for one that cannot be polled. `onReport` is given 0 when it is
   * readable, and `-EBADF` if it was closed here, or this kernel released, before the watch was: no other report comes then.
   *
   * `isDue` is for a descriptor that forgets that it was readable once it is asked (a perf event): it says whether there is
   * something to report, and must not throw. Arming asks such a descriptor, so look after it.
   *
   * `"room"` is for a descriptor that is written to, of which `isDue` says whether there is enough room: it is asked as the
   * watch is armed, and then whenever the kernel says that some was made.
   */
  readonly watch: (
    fd: number,
    onReport: (result: number) => void,
    isDue?: () => boolean,
    awaits?: "data" | "room"
  ) => Watch | number
  /** `mmap(2)`, shared, at an address of the kernel's choice. */
  readonly mmap: (fd: number, length: number, protection: number, offset: number) => Mapping | number
  readonly munmap: (mapping: Mapping) => number
  /** `open(2)` for reading, of a file or a folder: what a cgroup is attached to by. */
  readonly open: (path: string) => number
  /** The whole content of a file of /proc, /sys or another file system. */
  readonly read: (path: string) => Uint8Array | number
  /**
   * As `read`, for a file of the kernel whose content never changes: mapped where it can be, which takes no time and no
   * memory. The bytes must not be written to (SIGSEGV) or handed on.
   */
  readonly readConstant: (path: string) => Uint8Array | number
  /** `mkdir(2)`, for this user only (mode 0700). */
  readonly mkdir: (path: string) => number
  /** `unlink(2)`: in a BPF file system, what unpins an object. */
  readonly unlink: (path: string) => number
  /** `statfs(2)`: the magic number of the file system that a path lies in, as `include/uapi/linux/magic.h` has it. */
  readonly fileSystemType: (path: string) => number
  /** `stat(2)`, for the words after a refusal. */
  readonly status: (path: string) => FileStatus | number
  /** `fsopen(2)`: a context for a new mount of a file system by its type's name. Kernel 5.2. */
  readonly fsopen: (type: string) => number
  /** `fsconfig(2)` with a `fsconfig_command` that takes no key or value. */
  readonly fsconfig: (fd: number, command: number) => number
  /** `fsmount(2)`: a mount that is in no one's file tree; files in it are reached through `/proc/self/fd`. */
  readonly fsmount: (fd: number) => number
  /** `mount(2)` of a file system that needs no device, by its type's name, at a folder that exists. */
  readonly mount: (type: string, target: string) => number
  /** `umount2(2)`, detaching what is still in use. */
  readonly unmount: (target: string) => number
  /** `pidfd_open(2)`: a descriptor of a process by its id; kernel 5.3. */
  readonly pidfdOpen: (pid: number) => number
}

/**
 * The door to the operating system: raw system calls on raw bytes, in groups. All calls return at once, and answer as the
 * kernel does: a result of 0 or more, or `-errno`. A miss is a number, not an error object, so hot paths allocate nothing.
 *
 * Nothing above this interface knows whether a Linux kernel or a simulated one is behind it.
 */
export interface KernelService {
  readonly kind: "linux" | "simulated"
  readonly architecture: Architecture
  readonly version: KernelVersion
  /** In bytes. */
  readonly pageSize: number
  /** The number of CPUs that the kernel may ever bring up, which is how many values a per-CPU map element has. */
  readonly possibleCpus: number

  /**
   * Whether the layer was released. All calls then answer EBADF, but for those that give back what outlived it: `close`,
   * `munmap` and `free`.
   */
  readonly isReleased: () => boolean

  /** A zeroed block of the arena, or `-errno`. `free` gives it back. */
  readonly allocate: (size: number) => Block | number
  readonly free: (block: Block) => void

  readonly bpf: BpfCalls
  readonly perf: PerfCalls
  readonly net: NetCalls
  readonly files: FileCalls
}
