// A simulated kernel: what is in it, and what a test lets happen in it. Its process reaches it through the door.
import * as Result from "effect/Result"
import * as Btf from "../../btf/Btf.ts"
import { isExpected } from "../../kernel/Features.ts"
import { parseVersion } from "../../kernel/version.ts"
import type { ProgramTrap } from "../ProgramTrap.ts"
import { DescriptorTable, type KernelObject } from "./descriptors.ts"
import { Door } from "./door.ts"
import { noEvent } from "./helpers/environment.ts"
import type { Event, Fired } from "./hooks/events.ts"
import { fireEvent } from "./hooks/fire.ts"
import { hookOf, Hooks } from "./hooks/registry.ts"
import type { KernelState } from "./kernelState.ts"
import type { SimulatedMap } from "./maps.ts"
import { addressOf, AddressSpace } from "./memory.ts"
import { Mounts } from "./mounts.ts"
import { Objects } from "./objects.ts"
import { ProgramRunner } from "./programRunner.ts"
import { functionIds, type Task, vmlinux } from "./tasks.ts"

export interface SimulationOptions {
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

/** The id of the cgroup that all others are in. */
const ROOT_CGROUP = 1n

/** The index of `lo`; other devices follow. */
const LOOPBACK = 1

/** The longest string of a system call's argument, PATH_MAX. */
const PATH_MAX = 4096

export class Simulation {
  readonly door: Door
  readonly runner: ProgramRunner
  /** What the last program that trapped under a test run did; `fire` throws its own. */
  lastTrap: ProgramTrap | undefined
  private readonly memory = new AddressSpace()
  private readonly objects = new Objects<KernelObject>()
  private readonly descriptors = new DescriptorTable(this.objects)
  private readonly mapsByPointer = new Map<bigint, SimulatedMap>()
  private readonly tracepoints: ReadonlyMap<string, number>
  private readonly state: KernelState
  private readonly hooks = new Hooks()
  /** Indices by name. */
  private readonly devices: ReadonlyMap<string, number>
  /** Ids in the kernel's BTF by name. */
  private readonly functions: ReadonlyMap<string, number>
  private readonly cgroups = new Map<string, bigint>([["/", ROOT_CGROUP]])

  constructor(options: SimulationOptions) {
    const { descriptors, memory, objects } = this
    this.devices = new Map(["lo", ...options.devices].map((name, index) => [name, LOOPBACK + index]))
    this.functions = functionIds(options.functions)
    this.tracepoints = new Map(options.tracepoints.map((name, index) => [name, 100 + index]))
    this.runner = new ProgramRunner({
      memory,
      map: (pointer) => this.mapsByPointer.get(pointer),
      possibleCpus: options.possibleCpus,
      hasDevice: (ifindex) => [...this.devices.values()].includes(ifindex),
      now: options.now,
      random: options.random,
      schedule: options.schedule
    })
    const version = parseVersion(options.release)
    let kernelBtf: Btf.Btf | undefined
    this.state = {
      memory,
      descriptors,
      processor: this.runner.processor,
      onCpu: (cpu, run) => this.runner.onCpu(cpu, run),
      packets: this.runner.packets,
      helperIds: this.runner.helperIds,
      verifier: {
        followsPaths: options.verifier === "on",
        allowsUnwrittenStack: isExpected(version, "unwrittenStack"),
        keepsEndOfLog: isExpected(version, "logTrueSize"),
        tracksDivision: isExpected(version, "boundsOfDivision"),
        hasPrivateStacks: isExpected(version, "privateStacks")
      },
      version,
      kernelBtf: () => kernelBtf ??= Result.getOrThrow(Btf.parse(vmlinux(options))),
      possibleCpus: options.possibleCpus,
      pageSize: options.pageSize,
      objects,
      mounts: new Mounts({ tracefs: options.tracefs, bpffs: options.bpffs ?? "mounted", objects, descriptors }),
      hooks: this.hooks,
      hasRawTracepoint: (name) => options.tracepoints.some((tracepoint) => tracepoint.endsWith(`/${name}`)),
      tracepointName: (id) => {
        const name = [...this.tracepoints].find(([, number]) => number === id)?.[0] ?? ""
        return name.slice(name.indexOf("/") + 1)
      },
      hasDevice: (ifindex) => [...this.devices.values()].includes(ifindex),
      lineage: (cgroup) => this.lineage(cgroup),
      newId: () => objects.newId(),
      addMap: (map) => this.mapsByPointer.set(addressOf(map.pointer), map),
      removeMap: (map) => this.mapsByPointer.delete(addressOf(map.pointer)),
      trapped: (trap) => this.trapped(trap)
    }
    this.door = new Door({
      state: this.state,
      functions: options.functions,
      tracepoints: this.tracepoints,
      devices: this.devices,
      cgroups: this.cgroups
    })
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
    const id = this.cgroups.get(path) ?? ROOT_CGROUP + BigInt(this.cgroups.size)
    this.cgroups.set(path, id)
    return this.descriptors.open({ _tag: "Cgroup", id, path })
  }

  /** A cgroup and those of the test's that are above it, the innermost first. */
  private lineage(cgroup: bigint): ReadonlyArray<bigint> {
    const path = [...this.cgroups].find(([, id]) => id === cgroup)?.[0] ?? ""
    const isAbove = (other: string) => path.startsWith(other.endsWith("/") ? other : `${other}/`) && other !== path
    const above = [...this.cgroups].filter(([other]) => isAbove(other)).toSorted(([a], [b]) => b.length - a.length)
    return [cgroup, ...above.map(([, id]) => id)]
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
}
