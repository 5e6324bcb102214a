// The simulated kernel itself: an implementation of the door, and what stands behind it.
import * as Result from "effect/Result"
import { errno } from "../../abi/errno.ts"
import { fsconfig_command, perf_type_id } from "../../abi/generated/enums.ts"
import { perf_event_attr } from "../../abi/generated/structs.ts"
import { programTypes } from "../../abi/names.ts"
import { mman, perf } from "../../abi/os.ts"
import * as Btf from "../../btf/Btf.ts"
import { Arena, type Slab } from "../../kernel/arena.ts"
import { isExpected } from "../../kernel/Features.ts"
import { refuseReleased } from "../../kernel/released.ts"
import { parseVersion } from "../../kernel/version.ts"
import type { BpfCalls, FileCalls, KernelService, Mapping, PerfCalls, Watch } from "../../kernel/Kernel.ts"
import type { ProgramTrap } from "../ProgramTrap.ts"
import { bpf } from "./bpfCommands.ts"
import { BpfFileTree } from "./bpffs.ts"
import { DescriptorTable, type KernelObject, type PerfEvent } from "./descriptors.ts"
import { makeFiles } from "./files.ts"
import { ProgramRunner } from "./programRunner.ts"
import { noEvent } from "./helpers/environment.ts"
import type { Event, Fired } from "./hooks/events.ts"
import { fireEvent } from "./hooks/fire.ts"
import { hookOf, Hooks } from "./hooks/registry.ts"
import type { SimulatedMap } from "./maps.ts"
import { BPF_F_RDONLY_PROG } from "./maps/flags.ts"
import { addressOf, AddressSpace } from "./memory.ts"
import { mountable, Mounts } from "./mounts.ts"
import { Objects } from "./objects.ts"
import { functionIds, type Task, vmlinux } from "./tasks.ts"
import type { KernelState } from "./kernelState.ts"

export interface DoorOptions {
  readonly release: string
  readonly possibleCpus: number
  readonly pageSize: number
  readonly tracefs: "mounted" | "unmounted"
  /** Whether a BPF file system is at /sys/fs/bpf; it is unless told otherwise. */
  readonly bpffs?: "mounted" | "unmounted"
  readonly tracepoints: ReadonlyArray<string>
  readonly verifier: "on" | "off"
  readonly devices: ReadonlyArray<string>
  readonly functions: ReadonlyArray<string>
  readonly now: () => bigint
  readonly random: () => number
  readonly schedule: (delay: bigint, run: () => void) => () => void
}

/** What is acquired and not released. */
export interface Open {
  readonly descriptors: number
  readonly mappings: number
  readonly blocks: number
  readonly watches: number
}

class SimulatedMapping implements Mapping {
  readonly length: number
  readonly map: SimulatedMap
  readonly writes: boolean
  buffer: ArrayBuffer
  constructor(buffer: ArrayBuffer, length: number, map: SimulatedMap, writes: boolean) {
    this.buffer = buffer
    this.length = length
    this.map = map
    this.writes = writes
  }
}

/** The index of `lo`; other devices follow. */
const LOOPBACK = 1

/** The longest string of a system call's argument, PATH_MAX. */
const PATH_MAX = 4096

export class Door {
  readonly service: KernelService
  /** What the last program that trapped under a test run did; `fire` throws its own. */
  lastTrap: ProgramTrap | undefined
  private readonly memory = new AddressSpace()
  private readonly objects = new Objects<KernelObject>()
  private readonly descriptors = new DescriptorTable(this.objects)
  private readonly mounts: Mounts
  private readonly mappings = new Set<SimulatedMapping>()
  private readonly watches = new Set<Watch>()
  private readonly watched = new Map<number, { readonly watch: Watch; readonly onReport: (result: number) => void }>()
  private released = false
  private readonly mapsByPointer = new Map<bigint, SimulatedMap>()
  private readonly tracepoints: ReadonlyMap<string, number>
  private readonly slabs = new Map<Slab, ReturnType<AddressSpace["map"]>>()
  private readonly arena: Arena
  private readonly state: KernelState
  readonly runner: ProgramRunner
  private readonly hooks = new Hooks()
  /** Indices by name. */
  private readonly devices: ReadonlyMap<string, number>
  /** Ids in the kernel's BTF by name. */
  private readonly functions: ReadonlyMap<string, number>
  private readonly cgroups = new Map<string, bigint>()
  private kernelBtf: Btf.Btf | undefined

  constructor(options: DoorOptions) {
    const { descriptors, memory, objects } = this
    this.devices = new Map(["lo", ...options.devices].map((name, index) => [name, LOOPBACK + index]))
    this.functions = functionIds(options.functions)
    this.mounts = new Mounts({ tracefs: options.tracefs, bpffs: options.bpffs ?? "mounted", objects, descriptors })
    this.tracepoints = new Map(options.tracepoints.map((name, index) => [name, 100 + index]))
    this.arena = new Arena({
      map: (size) => {
        const buffer = new ArrayBuffer(size)
        const region = memory.map(new Uint8Array(buffer), { user: true })
        const slab = { address: Number(addressOf(region)), buffer }
        this.slabs.set(slab, region)
        return slab
      },
      unmap: (slab) => {
        slab.buffer.transfer(0)
        memory.unmap(this.slabs.get(slab)!)
        this.slabs.delete(slab)
      }
    })
    this.runner = new ProgramRunner({
      memory,
      map: (pointer) => this.mapsByPointer.get(pointer),
      now: options.now,
      random: options.random,
      schedule: options.schedule
    })
    const version = parseVersion(options.release)
    this.state = {
      memory,
      descriptors: this.descriptors,
      processor: this.runner.processor,
      packets: this.runner.packets,
      helperIds: this.runner.helperIds,
      verifier: {
        followsPaths: options.verifier === "on",
        allowsUnwrittenStack: isExpected(version, "unwrittenStack"),
        keepsEndOfLog: isExpected(version, "logTrueSize"),
        tracksDivision: isExpected(version, "boundsOfDivision"),
        hasPrivateStacks: isExpected(version, "privateStacks")
      },
      version: parseVersion(options.release),
      kernelBtf: () => this.kernelBtf ??= Result.getOrThrow(Btf.parse(vmlinux(options))),
      possibleCpus: options.possibleCpus,
      pageSize: options.pageSize,
      objects: this.objects,
      mounts: this.mounts,
      hooks: this.hooks,
      hasRawTracepoint: (name) => options.tracepoints.some((tracepoint) => tracepoint.endsWith(`/${name}`)),
      tracepointName: (id) => {
        const name = [...this.tracepoints].find(([, number]) => number === id)?.[0] ?? ""
        return name.slice(name.indexOf("/") + 1)
      },
      hasDevice: (ifindex) => [...this.devices.values()].includes(ifindex),
      newId: () => this.objects.newId(),
      addMap: (map) => this.mapsByPointer.set(addressOf(map.pointer), map),
      removeMap: (map) => this.mapsByPointer.delete(addressOf(map.pointer)),
      trapped: (trap) => this.trapped(trap)
    }
    this.service = this.makeService(options)
  }

  get open(): Open {
    return {
      descriptors: this.descriptors.size,
      mappings: this.mappings.size,
      blocks: this.arena.liveBlocks,
      watches: this.watches.size
    }
  }

  get hasTracepoint(): (name: string) => boolean {
    return (name) => this.tracepoints.has(name)
  }

  /** Runs the programs attached to a tracepoint on a record; gives their number. Throws `ProgramTrap`. */
  fire(tracepoint: string, record: Uint8Array, task: Task): number {
    const id = this.tracepoints.get(tracepoint)
    const programs = [...this.objects.all()].flatMap((object) =>
      object._tag === "PerfEvent" && object.enabled && object.tracepoint === id
        ? [
          ...(object.program === undefined ? [] : [{ program: object.program, cookie: 0n }]),
          ...this.hooks.at(hookOf.perfEvent(object))
        ]
        : []
    )
    const context = this.memory.map(record.slice(), { writable: false })
    try {
      const event = noEvent()
      this.runner.during(task, event, () => {
        for (const { cookie, program } of programs) {
          event.cookie = cookie
          this.runner.processor.run(program, addressOf(context))
        }
      })
      return programs.length
    } finally {
      this.memory.unmap(context)
    }
  }

  /** Keeps what a program did whose caller cannot be told. */
  trapped(trap: ProgramTrap): void {
    this.lastTrap = trap
  }

  /** Lets something happen at any other hook. */
  fireEvent(event: Event): Fired | { readonly missing: string } {
    return fireEvent(this.state, this.runner, {
      device: (name) => this.devices.get(name),
      cgroup: (path) => this.cgroups.get(path),
      function: (name) => this.functions.get(name)
    }, event)
  }

  /** The descriptor of a cgroup, which there is from now on. */
  openCgroup(path: string): number {
    const id = this.cgroups.get(path) ?? BigInt(this.cgroups.size + 2)
    this.cgroups.set(path, id)
    return this.descriptors.open({ _tag: "Cgroup", id, path })
  }

  deviceIndex(name: string): number | undefined {
    return this.devices.get(name)
  }

  /** Puts strings into the simulated process's memory meanwhile, and hands over their addresses. */
  withUserStrings<A>(strings: ReadonlyArray<string>, use: (addresses: ReadonlyArray<bigint>) => A): A {
    const regions = strings.map((text) =>
      this.memory.map(new TextEncoder().encode(`${text}\0`).slice(0, PATH_MAX), { user: true })
    )
    try {
      return use(regions.map((region) => addressOf(region)))
    } finally {
      for (const region of regions) this.memory.unmap(region)
    }
  }

  /** Ends what belongs to this kernel's process: descriptors and mappings that outlive it can still be given back. */
  release(): void {
    this.released = true
    for (const fd of [...this.watched.keys()]) this.endWatch(fd)
    this.arena.close()
  }

  private makeService(options: DoorOptions): KernelService {
    const isReleased = () => this.released
    return {
      kind: "simulated",
      architecture: "x64",
      version: parseVersion(options.release),
      pageSize: options.pageSize,
      possibleCpus: options.possibleCpus,
      isReleased,
      allocate: (size) => this.released ? -errno.EBADF : this.arena.allocate(size),
      free: (block) => this.arena.free(block),
      bpf: refuseReleased(this.bpfCalls(), isReleased, []),
      perf: refuseReleased(this.perfCalls(), isReleased, []),
      files: refuseReleased(this.fileCalls(options), isReleased, ["close", "munmap"])
    }
  }

  private bpfCalls(): BpfCalls {
    return {
      call: (command, attr, size) =>
        attr.live && size <= attr.size ? bpf(this.state, command, attr.bytes, size) : -errno.EFAULT,
      raiseMemlock: () => 0
    }
  }

  private perfCalls(): PerfCalls {
    return {
      open: (attr) => {
        if (!attr.live) return -errno.EFAULT
        const { config, type } = perf_event_attr.fields
        if (attr.view.getUint32(type.offset, true) !== perf_type_id.PERF_TYPE_TRACEPOINT) return -errno.ENOENT
        const tracepoint = Number(attr.view.getBigUint64(config.offset, true))
        if (![...this.tracepoints.values()].includes(tracepoint)) return -errno.ENOENT
        return this.openPerfEvent(tracepoint)
      },
      ioctl: (fd, request, argument) => this.ioctl(fd, request, typeof argument === "number" ? argument : -1)
    }
  }

  private fileCalls(options: DoorOptions): FileCalls {
    const { descriptors } = this
    const read = makeFiles({ ...options, tracepoints: this.tracepoints, mounts: this.mounts, descriptors })
    return {
      mmap: (fd, length, protection, offset) => this.mmap(fd, length, protection, offset, options.pageSize),
      munmap: (mapping) => {
        if (!(mapping instanceof SimulatedMapping) || !this.mappings.delete(mapping)) return -errno.EINVAL
        this.detach(mapping)
        // An arena's writers are counted for ever.
        if (mapping.writes && mapping.map.arena === undefined) mapping.map.writableMappings--
        this.objects.release(mapping.map, true)
        return 0
      },
      close: (fd) => {
        this.endWatch(fd)
        return descriptors.close(fd)
      },
      dup: (fd) => descriptors.dup(fd),
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
        const tree = type === "bpf" ? new BpfFileTree(this.objects) : undefined
        return descriptors.open({ _tag: "FileSystem", type, state: "mounted", tree, end: () => tree?.end() })
      },
      mount: (type, target) => this.mounts.mount(type, target),
      unmount: (target) => this.mounts.unmount(target),
      mkdir: (path) => this.mounts.mkdir(path),
      unlink: (path) => this.mounts.unlink(path),
      fileSystemType: (path) => this.mounts.typeAt(path),
      status: (path) => {
        const type = this.mounts.typeAt(path)
        return type < 0 ? type : { mode: 0o600, uid: 0, gid: 0 } // all is root's, and so is who asks
      },
      pidfdOpen: (pid) => pid > 0 ? descriptors.open({ _tag: "Process", pid }) : -errno.EINVAL,
      watch: (fd, onReport) => this.watch(fd, onReport)
    }
  }

  private ioctl(fd: number, request: number, argument: number): number {
    const event = this.descriptors.get(fd, "PerfEvent")
    if (event === undefined) return this.descriptors.any(fd) === undefined ? -errno.EBADF : -errno.ENOTTY
    switch (request) {
      case perf.PERF_EVENT_IOC_SET_BPF: {
        const program = this.descriptors.get(argument, "Program")
        if (program === undefined) return -errno.EBADF
        if (program.type !== programTypes.tracepoint) return -errno.EINVAL
        if (event.program !== undefined) return -errno.EEXIST
        event.program = program
        this.objects.retain(program)
        return 0
      }
      case perf.PERF_EVENT_IOC_ENABLE:
      case perf.PERF_EVENT_IOC_DISABLE:
        event.enabled = request === perf.PERF_EVENT_IOC_ENABLE
        return 0
      default:
        return -errno.ENOTTY
    }
  }

  private mmap(fd: number, length: number, protection: number, offset: number, pageSize: number): Mapping | number {
    const file = this.descriptors.file(fd)
    if (file === undefined) return -errno.EBADF
    const map = file.object
    const writes = (protection & mman.PROT_WRITE) !== 0
    if (!file.reads || (writes && !file.writes)) return -errno.EACCES
    if (map._tag !== "Map") return -errno.ENODEV
    if (length <= 0 || offset % pageSize !== 0) return -errno.EINVAL
    if (map.mapping === undefined || map.attributes.hidden.length > 0) return -errno.ENOTSUPP
    if (writes && map.frozen) return -errno.EPERM
    // Programs may only read it: a process with a writable page could change it after it is frozen.
    if (writes && (map.attributes.flags & BPF_F_RDONLY_PROG) !== 0) return -errno.EACCES
    const buffer = map.mapping({ offset, length: Math.ceil(length / pageSize) * pageSize, writes })
    if (typeof buffer === "number") return buffer
    const mapping = new SimulatedMapping(buffer, length, map, writes)
    this.mappings.add(mapping)
    this.objects.retain(map, true)
    if (writes) map.writableMappings++
    return mapping
  }

  /**
   * Views of an unmapped mapping have length 0: the kernel's own memory moves to another buffer. Where a map is mapped more
   * than once, all have the same buffer here, and keep it until the last is unmapped.
   */
  private detach(mapping: SimulatedMapping): void {
    const { buffer, map } = mapping
    mapping.buffer = new ArrayBuffer(0)
    const isShared = [...this.mappings].some((other) => other.buffer === buffer)
    if (map.moved !== undefined && !isShared) map.moved(buffer.transfer())
  }

  private openPerfEvent(tracepoint: number): number {
    const event: PerfEvent = {
      _tag: "PerfEvent",
      tracepoint,
      program: undefined,
      enabled: false,
      end: () => {
        if (event.program !== undefined) this.objects.release(event.program)
      }
    }
    return this.descriptors.open(event)
  }

  /** Ends the watch of a descriptor that is about to be closed, if there is one, and says so. */
  private endWatch(fd: number): void {
    const entry = this.watched.get(fd)
    if (entry === undefined) return
    entry.watch.close()
    entry.onReport(-errno.EBADF)
  }

  private watch(fd: number, onReport: (result: number) => void): Watch | number {
    const object = this.descriptors.any(fd)
    if (object === undefined) return -errno.EBADF
    if (object._tag !== "Map") return -errno.EPERM
    if (this.watched.has(fd)) return -errno.EEXIST
    const { ring, userRing } = object
    // A map that cannot be waited for is reported with EPOLLERR, at once; a user ring is never readable.
    const isReady = () => ring === undefined ? userRing === undefined : ring.available > 0
    let armed = false
    // A report comes in a later turn of the event loop, as epoll's does.
    const report = () =>
      setImmediate(() => {
        if (!armed || !this.watches.has(watch)) return
        armed = false
        onReport(0)
      })
    const watch: Watch = {
      arm: () => {
        if (!this.watches.has(watch)) return -errno.EBADF
        armed = true
        if (isReady()) report()
        return 0
      },
      close: () => {
        if (!this.watches.delete(watch)) return
        this.watched.delete(fd)
        ring?.wakers.delete(report)
      }
    }
    this.watches.add(watch)
    this.watched.set(fd, { watch, onReport })
    ring?.wakers.add(report)
    return watch
  }
}
