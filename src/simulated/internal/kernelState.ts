// What the commands of bpf(2) work on.
import type { Btf } from "../../btf/Btf.ts"
import type { KernelVersion } from "../../kernel/Kernel.ts"
import type { ProgramTrap } from "../ProgramTrap.ts"
import type { DescriptorTable, KernelObject } from "./descriptors.ts"
import type { Hooks } from "./hooks/registry.ts"
import type { Processor } from "./interpreter/processor.ts"
import type { MapHost, SimulatedMap } from "./maps.ts"
import type { AddressSpace } from "./memory.ts"
import type { Mounts } from "./mounts.ts"
import type { Objects } from "./objects.ts"
import type { Packet } from "./packets.ts"

/** What the commands work on. */
export interface KernelState extends MapHost {
  readonly memory: AddressSpace
  readonly descriptors: DescriptorTable
  readonly objects: Objects<KernelObject>
  readonly mounts: Mounts
  readonly processor: Processor
  /** Runs something on a CPU. */
  readonly onCpu: <A>(cpu: number, run: () => A) => A
  readonly hooks: Hooks
  /** True for the name of a raw tracepoint, which has no category. */
  readonly hasRawTracepoint: (name: string) => boolean
  /** The name of a tracepoint by its number, without category. */
  readonly tracepointName: (id: number) => string
  /** A cgroup and those above it, the innermost first. */
  readonly lineage: (cgroup: bigint) => ReadonlyArray<bigint>
  /** The packets that programs are looking at, by the upper half of their context's address. */
  readonly packets: Map<number, Packet>
  /** The helpers that this kernel has. */
  readonly helperIds: ReadonlySet<number>
  readonly verifier: {
    /** Whether all paths of a program are followed before it is loaded. */
    readonly followsPaths: boolean
    readonly allowsUnwrittenStack: boolean
    /** Whether a log that does not fit keeps its end, and its size is told. */
    readonly keepsEndOfLog: boolean
    readonly tracksDivision: boolean
    readonly hasPrivateStacks: boolean
  }
  /** What its version is, such as 6.18. */
  readonly version: KernelVersion
  /** The kernel's types. */
  readonly kernelBtf: () => Btf
  readonly possibleCpus: number
  readonly pageSize: number
  readonly newId: () => number
  /** Lets programs find the map by its pointer. */
  readonly addMap: (map: SimulatedMap) => void
  readonly removeMap: (map: SimulatedMap) => void
  readonly trapped: (trap: ProgramTrap) => void
}
