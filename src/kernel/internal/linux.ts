// The door to a real Linux kernel. The only module that imports koffi, and the only one in which an address meets a
// system call. Signatures are all-integer: koffi then takes its fast path (230 ns a call against 350 and more).
import { readFileSync, statfsSync } from "node:fs"
import { release } from "node:os"
import { errno } from "../../abi/errno.ts"
import { fcntl, mman, mount, resource } from "../../abi/os.ts"
import { type Architecture, syscalls } from "../../abi/syscalls.ts"
import type { BpfCalls, FileCalls, KernelService, PerfCalls } from "../KernelService.ts"
import type { Block, Mapping } from "../Memory.ts"
import { Arena, type Slab } from "../arena.ts"
import { countCpus } from "./cpus.ts"
import { bind, type Koffi } from "./libc.ts"
import { Reactor } from "./reactor.ts"
import { parseVersion } from "../version.ts"

class LinuxMapping implements Mapping {
  readonly address: number
  readonly length: number
  buffer: ArrayBuffer
  constructor(address: number, length: number, buffer: ArrayBuffer) {
    this.address = address
    this.length = length
    this.buffer = buffer
  }
}

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

  const { MAP_ANONYMOUS, MAP_FIXED, MAP_PRIVATE, MAP_SHARED, PROT_READ, PROT_WRITE } = mman
  const arena = new Arena({
    map: (size) => {
      const address = mapMemory(0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
      return address < 0 ? address : { address, buffer: koffi.view(address, size) }
    },
    unmap: (slab: Slab) => {
      const { byteLength } = slab.buffer
      slab.buffer.transfer(0) // stale views get length 0 before the memory goes
      libc.munmap(slab.address, byteLength)
    }
  })

  const guarded = (block: Block, size: number): boolean => block.live && size <= block.size

  const read = (path: string): Uint8Array | number => {
    try {
      return readFileSync(path)
    } catch (error) {
      return fileErrno(error)
    }
  }

  const possible = read("/sys/devices/system/cpu/possible")
  const possibleCpus = typeof possible === "number" ? undefined : countCpus(new TextDecoder().decode(possible))
  if (possibleCpus === undefined) throw new Error("cannot read /sys/devices/system/cpu/possible")

  const allocate = (size: number): Block | number => arena.allocate(size)
  const free = (block: Block): void => arena.free(block)
  const reactor = new Reactor(koffi, libc, architecture, result, allocate)

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

  const bpf: BpfCalls = {
    call: (command, attr, size) =>
      guarded(attr, size) ? result(libc.syscall4(numbers.bpf, command, attr.address, size)) : -errno.EFAULT,
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
        ? result(libc.syscall6(numbers.perf_event_open, attr.address, pid, cpu, groupFd, flags))
        : -errno.EFAULT,
    ioctl: (fd, request, argument) => {
      if (typeof argument === "number") return result(libc.ioctl(fd, request, argument))
      return argument.live ? result(libc.ioctl(fd, request, argument.address)) : -errno.EFAULT
    }
  }

  const files: FileCalls = {
    mmap: (fd, length, protection, offset) => {
      const address = mapMemory(0, length, protection, MAP_SHARED, fd, offset)
      return address < 0 ? address : new LinuxMapping(address, length, koffi.view(address, length))
    },
    munmap: (mapping) => {
      if (!(mapping instanceof LinuxMapping) || mapping.buffer.byteLength === 0) return -errno.EINVAL
      const { address, buffer, length } = mapping
      // First anonymous memory goes over the mapping: the kernel object is released now, and a view that is being read
      // sees zeros, where unmapped memory would be SIGSEGV. Then the views lose their length, and the range is given back.
      mapMemory(address, length, PROT_READ | PROT_WRITE, MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
      buffer.transfer(0)
      mapping.buffer = new ArrayBuffer(0)
      return result(libc.munmap(address, length))
    },
    close: (fd) => result(libc.close(fd)),
    dup: (fd) => result(libc.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 0)),
    read,
    fsopen: (type) =>
      withBytes(text(type), (address) => result(libc.syscall4(numbers.fsopen, address, mount.FSOPEN_CLOEXEC, 0))),
    fsconfig: (fd, command) => result(libc.syscall6(numbers.fsconfig, fd, command, 0, 0, 0)),
    fsmount: (fd) => result(libc.syscall4(numbers.fsmount, fd, mount.FSMOUNT_CLOEXEC, 0)),
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
    pidfdOpen: (pid) => result(libc.syscall4(numbers.pidfd_open, pid, 0, 0)),
    watch: (fd, onReadable) => reactor.watch(fd, onReadable)
  }

  const service: KernelService = {
    kind: "linux",
    architecture,
    version: parseVersion(release()),
    pageSize,
    possibleCpus,
    allocate,
    free,
    bpf,
    perf,
    files
  }

  return {
    service,
    release: () => {
      reactor.close()
      arena.close()
    }
  }
}

/** Opens the door. koffi is imported only now, so that a simulated kernel needs no native code. */
export const open = async (architecture: Architecture): Promise<LinuxKernel> =>
  make((await import("koffi")).default, architecture)
