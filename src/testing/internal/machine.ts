// The simulated kernel itself: an implementation of the door, and what stands behind it.
import { errno } from "../../abi/errno.ts"
import { fsconfig_command, perf_type_id } from "../../abi/generated/enums.ts"
import { perf_event_attr } from "../../abi/generated/structs.ts"
import { programTypes } from "../../abi/names.ts"
import { mman, perf } from "../../abi/os.ts"
import { Arena, type Slab } from "../../kernel/internal/arena.ts"
import { parseVersion } from "../../kernel/internal/version.ts"
import type { KernelService, Mapping, Watch } from "../../kernel/Kernel.ts"
import type { ProgramTrap } from "../ProgramTrap.ts"
import { bpf } from "./bpfCommands.ts"
import { Descriptors } from "./descriptors.ts"
import { makeFiles } from "./files.ts"
import { makeHelpers } from "./helpers.ts"
import { run } from "./interpreter.ts"
import type { SimulatedMap } from "./maps.ts"
import { addressOf, AddressSpace } from "./memory.ts"
import { defaultTask, mapTask, type Task } from "./tasks.ts"
import type { World } from "./world.ts"

export interface MachineOptions {
  readonly release: string
  readonly possibleCpus: number
  readonly pageSize: number
  readonly tracefs: "mounted" | "unmounted"
  readonly tracepoints: ReadonlyArray<string>
  readonly now: () => bigint
  readonly random: () => number
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
  buffer: ArrayBuffer
  constructor(buffer: ArrayBuffer) {
    this.length = buffer.byteLength
    this.buffer = buffer
  }
}

/** The longest string of a system call's argument, PATH_MAX. */
const PATH_MAX = 4096

export class Machine {
  readonly service: KernelService
  /** What the last program that trapped under a test run did; `fire` throws its own. */
  lastTrap: ProgramTrap | undefined
  private readonly memory = new AddressSpace()
  private readonly descriptors = new Descriptors()
  private readonly mappings = new Set<SimulatedMapping>()
  private readonly watches = new Set<Watch>()
  private readonly watchedFds = new Set<number>()
  private readonly mapsByPointer = new Map<bigint, WeakRef<SimulatedMap>>()
  private readonly tracepoints: ReadonlyMap<string, number>
  private readonly slabs = new Map<Slab, ReturnType<AddressSpace["map"]>>()
  private readonly arena: Arena
  private readonly world: World
  private task: { readonly task: Task; readonly address: bigint } | undefined
  private ids = 0

  constructor(options: MachineOptions) {
    const { memory } = this
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
        memory.unmap(this.slabs.get(slab)!)
        this.slabs.delete(slab)
      }
    })
    const helpers = makeHelpers({
      memory,
      task: () => this.task ??= { task: defaultTask, address: mapTask(memory, defaultTask).address },
      map: (pointer) => this.mapsByPointer.get(pointer)?.deref(),
      now: options.now,
      random: options.random
    })
    this.world = {
      memory,
      descriptors: this.descriptors,
      helpers,
      pageSize: options.pageSize,
      newId: () => ++this.ids,
      addMap: (map) => this.mapsByPointer.set(addressOf(map.pointer), new WeakRef(map)),
      trapped: (trap) => {
        this.lastTrap = trap
      }
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
    const programs = [...this.descriptors.objects()].flatMap((object) =>
      object._tag === "PerfEvent" && object.enabled && object.tracepoint === id && object.program !== undefined
        ? [object.program]
        : []
    )
    const mapped = mapTask(this.memory, task)
    const context = this.memory.map(record.slice(), { writable: false })
    const outer = this.task
    this.task = { task, address: mapped.address }
    try {
      for (const program of programs) run(program.code, this.memory, this.world.helpers, addressOf(context))
      return programs.length
    } finally {
      this.task = outer
      this.memory.unmap(context)
      mapped.unmap()
    }
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

  private makeService(options: MachineOptions): KernelService {
    const { descriptors } = this
    return {
      kind: "simulated",
      architecture: "x64",
      version: parseVersion(options.release),
      pageSize: options.pageSize,
      possibleCpus: options.possibleCpus,
      allocate: (size) => this.arena.allocate(size),
      free: (block) => this.arena.free(block),
      bpf: (command, attr, size) =>
        attr.live && size <= attr.size ? bpf(this.world, command, attr.bytes.subarray(0, size)) : -errno.EFAULT,
      perfEventOpen: (attr) => {
        if (!attr.live) return -errno.EFAULT
        const { config, type } = perf_event_attr.fields
        if (attr.view.getUint32(type.offset, true) !== perf_type_id.PERF_TYPE_TRACEPOINT) return -errno.ENOENT
        const tracepoint = Number(attr.view.getBigUint64(config.offset, true))
        if (![...this.tracepoints.values()].includes(tracepoint)) return -errno.ENOENT
        return descriptors.open({ _tag: "PerfEvent", tracepoint, program: undefined, enabled: false })
      },
      ioctl: (fd, request, argument) => this.ioctl(fd, request, typeof argument === "number" ? argument : -1),
      mmap: (fd, length, protection, offset) => this.mmap(fd, length, protection, offset, options.pageSize),
      munmap: (mapping) => {
        if (!(mapping instanceof SimulatedMapping) || !this.mappings.delete(mapping)) return -errno.EINVAL
        mapping.buffer = new ArrayBuffer(0)
        return 0
      },
      close: (fd) => descriptors.close(fd),
      dup: (fd) => {
        const object = descriptors.any(fd)
        return object === undefined ? -errno.EBADF : descriptors.open(object)
      },
      raiseMemlock: () => 0,
      readFile: makeFiles({ ...options, tracepoints: this.tracepoints, descriptors }),
      fsopen: (type) =>
        type === "tracefs" ? descriptors.open({ _tag: "FileSystem", type, state: "configuring" }) : -errno.ENODEV,
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
        return descriptors.open({ _tag: "FileSystem", type: context.type, state: "mounted" })
      },
      watch: (fd, onReadable) => this.watch(fd, onReadable)
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
    const object = this.descriptors.any(fd)
    if (object === undefined) return -errno.EBADF
    if (object._tag !== "Map" || object.ring === undefined) return -errno.ENODEV
    const writes = (protection & mman.PROT_WRITE) !== 0
    // Only the consumer's page may be written: ringbuf_map_mmap_kern().
    if (writes && (offset !== 0 || length !== pageSize)) return -errno.EPERM
    const buffer = offset === 0 ? object.ring.consumerPage : object.ring.producerPages
    if ((offset !== 0 && offset !== pageSize) || length > buffer.byteLength) return -errno.EINVAL
    const mapping = new SimulatedMapping(buffer)
    this.mappings.add(mapping)
    return mapping
  }

  private watch(fd: number, onReadable: () => void): Watch | number {
    const object = this.descriptors.any(fd)
    if (object === undefined) return -errno.EBADF
    if (object._tag !== "Map" || object.ring === undefined) return -errno.EPERM
    if (this.watchedFds.has(fd)) return -errno.EEXIST
    const { ring } = object
    let armed = false
    // A report comes in a later turn of the event loop, as epoll's does.
    const report = () =>
      setImmediate(() => {
        if (!armed || !this.watches.has(watch)) return
        armed = false
        onReadable()
      })
    const watch: Watch = {
      arm: () => {
        if (!this.watches.has(watch)) return -errno.EBADF
        armed = true
        if (ring.available > 0) report()
        return 0
      },
      close: () => {
        this.watches.delete(watch)
        this.watchedFds.delete(fd)
        ring.wakers.delete(report)
      }
    }
    this.watches.add(watch)
    this.watchedFds.add(fd)
    ring.wakers.add(report)
    return watch
  }
}
