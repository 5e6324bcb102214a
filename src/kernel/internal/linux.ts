// The door to a real Linux kernel. The only module that imports koffi, and the only one in which an address meets a
// system call. Signatures are all-integer: koffi then takes its fast path (230 ns a call against 350 and more).
import { readFileSync, statfsSync, statSync } from "node:fs"
import { release } from "node:os"
import { isMainThread } from "node:worker_threads"
import { errno } from "../../abi/errno.ts"
import { fcntl, mman, mount, resource } from "../../abi/os.ts"
import { type Architecture, syscalls } from "../../abi/syscalls.ts"
import type { BpfCalls, FileCalls, KernelService, NetCalls, PerfCalls } from "../kernelService.ts"
import type { Block, Mapping } from "../memory.ts"
import { Arena, type Slab } from "../arena.ts"
import { refuseReleased } from "../released.ts"
import { countCpus } from "./cpus.ts"
import { bind, type Koffi } from "./libc.ts"
import { makeMapFile } from "./mappedFile.ts"
import { Reactor } from "./reactor.ts"
import { descriptorCommands, makeThread } from "./thread.ts"
import { parseVersion } from "../version.ts"

/** Memory of this process at a fixed address; `owner` is what it belongs to, where it is a thread's own. */
class LinuxMemory implements Slab, Mapping {
  readonly address: number
  readonly length: number
  buffer: ArrayBuffer
  owner: object | undefined
  constructor(address: number, length: number, buffer: ArrayBuffer, owner: object | undefined) {
    this.address = address
    this.length = length
    this.buffer = buffer
    this.owner = owner
  }
}

/** By command: 1 where the result is a new descriptor. */
const givesDescriptor = new Uint8Array(64)
for (const command of descriptorCommands) givesDescriptor[command] = 1

/** The bits of st_mode that are permissions; the others are the file's type. */
const PERMISSIONS = 0o7777

/** include/uapi/linux/if.h: the longest name of an interface, with its NUL. */
const IF_NAMESIZE = 16

const fileErrno = (error: unknown): number => {
  const number = (error as NodeJS.ErrnoException).errno
  return typeof number === "number" && number < 0 ? number : -errno.EIO
}

/** The service, and what releases it. */
export interface LinuxKernel {
  readonly service: KernelService
  readonly release: () => void
}

const make = (koffi: Koffi, architecture: Architecture): LinuxKernel => {
  const libc = bind(koffi)
  const numbers = syscalls[architecture]
  // errno is per thread; its address is asked for once, and a view of it read (0.4 ns) in place of koffi.errno() (18 ns).
  const errnoView = new Int32Array(koffi.view(libc.errnoLocation(), 4))
  const result = (r: number): number => r < 0 ? -errnoView[0]! : r
  const pageSize = libc.getpagesize()

  const mapMemory = (
    address: number,
    length: number,
    protection: number,
    flags: number,
    fd: number,
    offset: number
  ) => {
    const mapped: number | bigint = libc.mmap(address, length, protection, flags, fd, offset)
    // MAP_FAILED is (void *)-1, which koffi gives as the BigInt 2^64 - 1.
    return typeof mapped === "bigint" ? -errnoView[0]! : mapped
  }

  const { MAP_ANONYMOUS, MAP_FIXED, MAP_FIXED_NOREPLACE, MAP_PRIVATE, MAP_SHARED, PROT_READ, PROT_WRITE } = mman
  const thread = makeThread(koffi, libc, result)

  const acquirePages = (length: number, protection: number, flags: number, fd: number, offset: number) => {
    const reserved = thread.reserve(length)
    if (reserved !== undefined) {
      const mapped = mapMemory(reserved.address, length, protection, flags | MAP_FIXED, fd, offset)
      if (mapped >= 0) return reserved
      // Older kernels take away what was there and then fail: the owner's pages are put back where there are none.
      const anonymous = MAP_FIXED_NOREPLACE | MAP_PRIVATE | MAP_ANONYMOUS
      mapMemory(reserved.address, length, PROT_READ | PROT_WRITE, anonymous, -1, 0)
    }
    // Nor may every address be chosen: an arena lies within 4 GiB.
    const address = mapMemory(0, length, protection, flags, fd, offset)
    return address < 0 ? address : { address, owner: undefined }
  }

  const acquire = (length: number, protection: number, flags: number, fd: number, offset: number) => {
    const pages = acquirePages(length, protection, flags, fd, offset)
    if (typeof pages === "number") return pages
    return new LinuxMemory(pages.address, length, koffi.view(pages.address, length), pages.owner)
  }

  const giveBack = (memory: LinuxMemory): number => {
    const { address, buffer, length } = memory
    // First anonymous memory goes over the mapping: the kernel object is released now, and a view that is being read
    // sees zeros, where unmapped memory would be SIGSEGV. Then the views lose their length, and the range is given back.
    mapMemory(address, length, PROT_READ | PROT_WRITE, MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
    buffer.transfer(0)
    memory.buffer = new ArrayBuffer(0)
    if (memory.owner === undefined) return result(libc.munmap(address, length))
    memory.owner = undefined
    return 0
  }

  const arena = new Arena({
    map: (size) => acquire(size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
    unmap: (slab) => {
      giveBack(slab as LinuxMemory)
    }
  })

  let released = false
  const isReleased = (): boolean => released
  const refused = (): number => released ? -errno.EBADF : -errno.EFAULT
  const guarded = (block: Block, size: number): boolean => block.live && size <= block.size

  const read = (path: string): Uint8Array | number => {
    try {
      return readFileSync(path)
    } catch (error) {
      return fileErrno(error)
    }
  }

  const mapFile = makeMapFile({
    map: (length, fd) => acquirePages(length, PROT_READ, MAP_PRIVATE, fd, 0),
    unmap: ({ address, owner }, length) => {
      if (owner === undefined) libc.munmap(address, length)
      else mapMemory(address, length, PROT_READ | PROT_WRITE, MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
    },
    view: (address, length) => koffi.view(address, length)
  })

  const possible = read("/sys/devices/system/cpu/possible")
  const possibleCpus = typeof possible === "number" ? undefined : countCpus(new TextDecoder().decode(possible))
  if (possibleCpus === undefined) throw new Error("cannot read /sys/devices/system/cpu/possible")

  const allocate = (size: number): Block | number => released ? -errno.EBADF : arena.allocate(size)
  const free = (block: Block): void => arena.free(block)
  const reactor = new Reactor(thread, libc, architecture, result, allocate)

  /** A call that is given bytes, in a block that lives as long as the call. */
  const withBytes = (bytes: Uint8Array, f: (address: number) => number): number => {
    const block = allocate(bytes.length)
    if (typeof block === "number") return block
    block.bytes.set(bytes)
    const r = f(block.address)
    free(block)
    return r
  }
  const text = (value: string): Uint8Array => new TextEncoder().encode(`${value}\0`)

  const call: BpfCalls["call"] = (command, attr, size) =>
    guarded(attr, size) ? result(libc.syscall4(numbers.bpf, command, attr.address, size)) : refused()

  const bpf: BpfCalls = {
    call: isMainThread
      ? call
      : (command, attr, size) =>
        givesDescriptor[command] === 1 ? thread.keep(call(command, attr, size)) : call(command, attr, size),
    raiseMemlock: () => {
      const { RLIMIT_MEMLOCK, RLIM_INFINITY } = resource
      const limits = new Uint8Array(BigUint64Array.of(RLIM_INFINITY, RLIM_INFINITY).buffer) // struct rlimit
      return withBytes(limits, (address) => result(libc.prlimit(0, RLIMIT_MEMLOCK, address, 0)))
    }
  }

  const perf: PerfCalls = {
    open: (attr, pid, cpu, groupFd, flags) =>
      // perf_event_attr says its own size, at offset 4: the kernel reads that many bytes.
      guarded(attr, attr.u32[1]!)
        ? thread.keep(result(libc.syscall6(numbers.perf_event_open, attr.address, pid, cpu, groupFd, flags)))
        : refused(),
    ioctl: (fd, request, argument) => {
      if (typeof argument === "number") return result(libc.ioctl(fd, request, argument))
      return argument.live ? result(libc.ioctl(fd, request, argument.address)) : refused()
    },
    readCount: (fd, into, size) => guarded(into, size) ? result(libc.read(fd, into.address, size)) : refused()
  }

  const net: NetCalls = {
    interfaceIndex: (name) =>
      withBytes(text(name), (address) => {
        const index = libc.if_nametoindex(address)
        return index === 0 ? -errnoView[0]! : index
      }),
    interfaceName: (index) => {
      const block = allocate(IF_NAMESIZE)
      if (typeof block === "number") return block
      const failed = Number(libc.if_indextoname(index, block.address)) === 0
      const name = failed ? -errnoView[0]! : new TextDecoder().decode(block.bytes.slice(0, block.bytes.indexOf(0)))
      free(block)
      return name
    }
  }

  const files: FileCalls = {
    mmap: (fd, length, protection, offset) => acquire(length, protection, MAP_SHARED, fd, offset),
    munmap: (mapping) =>
      mapping instanceof LinuxMemory && mapping.buffer.byteLength > 0 ? giveBack(mapping) : -errno.EINVAL,
    close: (fd) => {
      reactor.end(fd)
      return thread.close(fd)
    },
    dup: (fd) => thread.keep(result(libc.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 0))),
    open: (path) => thread.keep(withBytes(text(path), (address) => result(libc.open(address, fcntl.O_CLOEXEC, 0)))),
    read,
    readConstant: (path) => mapFile(path) ?? read(path),
    fsopen: (type) =>
      thread.keep(
        withBytes(text(type), (address) => result(libc.syscall4(numbers.fsopen, address, mount.FSOPEN_CLOEXEC, 0)))
      ),
    fsconfig: (fd, command) => result(libc.syscall6(numbers.fsconfig, fd, command, 0, 0, 0)),
    fsmount: (fd) => thread.keep(result(libc.syscall4(numbers.fsmount, fd, mount.FSMOUNT_CLOEXEC, 0))),
    mount: (type, target) =>
      withBytes(
        text(type),
        (name) => withBytes(text(target), (path) => result(libc.mount(name, path, name, 0, 0)))
      ),
    unmount: (target) => withBytes(text(target), (path) => result(libc.umount2(path, mount.MNT_DETACH))),
    mkdir: (path) => withBytes(text(path), (address) => result(libc.mkdir(address, 0o700))),
    unlink: (path) => withBytes(text(path), (address) => result(libc.unlink(address))),
    fileSystemType: (path) => {
      try {
        return statfsSync(path).type
      } catch (error) {
        return fileErrno(error)
      }
    },
    status: (path) => {
      try {
        const { gid, mode, uid } = statSync(path)
        return { mode: mode & PERMISSIONS, uid, gid }
      } catch (error) {
        return fileErrno(error)
      }
    },
    pidfdOpen: (pid) => thread.keep(result(libc.syscall4(numbers.pidfd_open, pid, 0, 0))),
    watch: (fd, onReport, isDue, awaits) => reactor.watch(fd, onReport, isDue, awaits)
  }

  const service: KernelService = {
    kind: "linux",
    architecture,
    version: parseVersion(release()),
    pageSize,
    possibleCpus,
    isReleased,
    allocate,
    free,
    bpf: refuseReleased(bpf, isReleased, ["call"]), // whose block is dead by then
    perf: refuseReleased(perf, isReleased, []),
    net: refuseReleased(net, isReleased, []),
    files: refuseReleased(files, isReleased, ["close", "munmap"])
  }

  return {
    service,
    release: () => {
      released = true
      reactor.close()
      arena.close()
    }
  }
}

/** Opens the door. koffi is imported only now, so that a simulated kernel needs no native code. */
export const open = async (architecture: Architecture): Promise<LinuxKernel> =>
  make((await import("koffi")).default, architecture)
