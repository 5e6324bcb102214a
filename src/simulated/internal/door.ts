// The door to the simulated kernel: the system calls of one process, its memory, mappings and watches.
import { errno } from "../../abi/errno.ts"
import { fsconfig_command } from "../../abi/generated/enums.ts"
import { Arena, type Slab } from "../../kernel/arena.ts"
import type { BpfCalls, FileCalls, KernelService, NetCalls } from "../../kernel/Kernel.ts"
import { refuseReleased } from "../../kernel/released.ts"
import { bpf } from "./bpfCommands.ts"
import { BpfFileTree } from "./bpffs.ts"
import { makeFiles } from "./files.ts"
import type { KernelState } from "./kernelState.ts"
import { Mappings } from "./mappings.ts"
import { addressOf, type AddressSpace } from "./memory.ts"
import { mountable } from "./mounts.ts"
import { perfCalls } from "./perfEvents.ts"
import { Watches } from "./watches.ts"

/** What is acquired and not released. */
export interface Open {
  readonly descriptors: number
  readonly mappings: number
  readonly blocks: number
  readonly watches: number
}

/** Where cgroups are, as folders. */
const CGROUP_MOUNT = "/sys/fs/cgroup"

export interface DoorOptions {
  readonly state: KernelState
  /** The functions that the kernel's BTF names. */
  readonly functions: ReadonlyArray<string>
  /** Ids by `category/name`. */
  readonly tracepoints: ReadonlyMap<string, number>
  /** Indices of network devices by name. */
  readonly devices: ReadonlyMap<string, number>
  /** Ids of cgroups by path. */
  readonly cgroups: ReadonlyMap<string, bigint>
}

/** The process's own memory: slabs with made-up addresses. */
const processMemory = (memory: AddressSpace): Arena => {
  const slabs = new Map<Slab, ReturnType<AddressSpace["map"]>>()
  return new Arena({
    map: (size) => {
      const buffer = new ArrayBuffer(size)
      const region = memory.map(new Uint8Array(buffer), { user: true })
      const slab = { address: Number(addressOf(region)), buffer }
      slabs.set(slab, region)
      return slab
    },
    unmap: (slab) => {
      slab.buffer.transfer(0)
      memory.unmap(slabs.get(slab)!)
      slabs.delete(slab)
    }
  })
}

export class Door {
  readonly service: KernelService
  private readonly state: KernelState
  private readonly arena: Arena
  private readonly mappings: Mappings
  private readonly watches: Watches
  private released = false

  constructor(options: DoorOptions) {
    const { state, tracepoints } = options
    this.state = state
    this.arena = processMemory(state.memory)
    this.mappings = new Mappings(state)
    this.watches = new Watches(state.descriptors)
    const ids = new Set(tracepoints.values())
    const isReleased = () => this.released
    const perf = perfCalls({ ...state, hasTracepointId: (id) => ids.has(id) })
    this.service = {
      kind: "simulated",
      architecture: "x64",
      version: state.version,
      pageSize: state.pageSize,
      possibleCpus: state.possibleCpus,
      isReleased,
      allocate: (size) => this.released ? -errno.EBADF : this.arena.allocate(size),
      free: (block) => this.arena.free(block),
      bpf: refuseReleased(this.bpfCalls(), isReleased, []),
      perf: refuseReleased(perf, isReleased, []),
      net: refuseReleased(this.netCalls(options), isReleased, []),
      files: refuseReleased(this.fileCalls(options), isReleased, ["close", "munmap"])
    }
  }

  get open(): Open {
    return {
      descriptors: this.state.descriptors.size,
      mappings: this.mappings.size,
      blocks: this.arena.liveBlocks,
      watches: this.watches.size
    }
  }

  /** Ends what belongs to this kernel's process: descriptors and mappings that outlive it can still be given back. */
  release(): void {
    this.released = true
    this.watches.endAll()
    this.arena.close()
  }

  private bpfCalls(): BpfCalls {
    return {
      call: (command, attr, size) =>
        attr.live && size <= attr.size ? bpf(this.state, command, attr.bytes, size) : -errno.EFAULT,
      raiseMemlock: () => 0
    }
  }

  private netCalls({ devices }: DoorOptions): NetCalls {
    return {
      interfaceIndex: (name) => devices.get(name) ?? -errno.ENODEV,
      interfaceName: (index) => [...devices].find(([, other]) => other === index)?.[0] ?? -errno.ENXIO
    }
  }

  private fileCalls({ cgroups, functions, state, tracepoints }: DoorOptions): FileCalls {
    const { descriptors, mounts, objects, possibleCpus } = state
    const read = makeFiles({ functions, possibleCpus, tracepoints, mounts, descriptors })
    return {
      mmap: (fd, length, protection, offset) => this.mappings.map(fd, length, protection, offset),
      munmap: (mapping) => this.mappings.unmap(mapping),
      close: (fd) => {
        this.watches.end(fd)
        return descriptors.close(fd)
      },
      dup: (fd) => descriptors.dup(fd),
      open: (path) => {
        const place = mounts.locate(path)
        if (typeof place === "number") return place
        const cgroup = place.type === "cgroup2" ? place.path.slice(CGROUP_MOUNT.length) || "/" : ""
        const id = cgroups.get(cgroup)
        if (id !== undefined) return descriptors.open({ _tag: "Cgroup", id, path: cgroup })
        const type = mounts.typeAt(path)
        return type < 0 ? type : descriptors.open({ _tag: "Stream" })
      },
      read,
      readConstant: read,
      fsopen: (type) =>
        mountable.has(type) ? descriptors.open({ _tag: "FileSystem", type, state: "configuring" }) : -errno.ENODEV,
      fsconfig: (fd, command) => {
        const context = descriptors.get(fd, "FileSystem")
        if (context === undefined) return -errno.EBADF
        if (command !== fsconfig_command.FSCONFIG_CMD_CREATE || context.state !== "configuring") return -errno.EINVAL
        context.state = "created"
        return 0
      },
      fsmount: (fd) => {
        const context = descriptors.get(fd, "FileSystem")
        if (context?.state !== "created") return -errno.EINVAL
        const { type } = context
        const tree = type === "bpf" ? new BpfFileTree(objects) : undefined
        return descriptors.open({ _tag: "FileSystem", type, state: "mounted", tree, end: () => tree?.end() })
      },
      mount: (type, target) => mounts.mount(type, target),
      unmount: (target) => mounts.unmount(target),
      mkdir: (path) => mounts.mkdir(path),
      unlink: (path) => mounts.unlink(path),
      fileSystemType: (path) => mounts.typeAt(path),
      status: (path) => {
        const type = mounts.typeAt(path)
        return type < 0 ? type : { mode: 0o600, uid: 0, gid: 0 } // all is root's, and so is who asks
      },
      pidfdOpen: (pid) => pid > 0 ? descriptors.open({ _tag: "Process", pid }) : -errno.EINVAL,
      watch: (fd, onReport, isDue, awaits) => this.watches.watch(fd, onReport, isDue, awaits)
    }
  }
}
