/**
 * CPUs to move packets to (`BPF_MAP_TYPE_CPUMAP`, kernel 4.15): an XDP program hands a packet over with
 * `bpf_redirect_map`, and the kernel goes on with it on that CPU, after a queue of the length set here. A CPU may have a
 * program of its own that sees each packet there (kernel 5.9, expected attach type `BPF_XDP_CPUMAP`).
 *
 * @example
 * ```ts
 * import { CpuMap } from "effect-ebpf"
 * import * as Effect from "effect/Effect"
 *
 * const program = Effect.gen(function*() {
 *   const cpus = yield* CpuMap.make({ name: "cpus", maxEntries: 2 })
 *   yield* cpus.update(1, { queueSize: 192 })
 *   return yield* cpus.lookup(1) // Option.some({ queueSize: 192, program: 0 })
 * })
 * ```
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Kernel } from "../kernel/Kernel.ts"
import { InvalidArgument, type SystemCallError } from "../kernel/KernelError.ts"
import { i32, struct, u32 } from "../layout/Layout.ts"
import type { BpfMap, DefineOptions, Definition } from "./BpfMap.ts"
import { extend } from "./internal/handle.ts"
import { createFrom, readDefinition } from "./internal/definition.ts"
import { define as defineMap } from "./internal/open.ts"
import { acquireObjectEntries, fdOf } from "./internal/objectEntries.ts"
import type { Iterate, Lookup, ObjectEntries } from "./MapOperations.ts"
import type { ProgramReference } from "./ProgArray.ts"

/** How packets are taken on a CPU. */
export interface CpuQueue {
  /** How many packets may wait, from 1 to 16384. */
  readonly queueSize: number
  readonly program?: ProgramReference<"xdp">
}

/** A queue as it is read back: its program by id, 0 for none. */
export interface CpuQueueEntry {
  readonly queueSize: number
  readonly program: number
}

/** A CPU map of this process: keys are numbers of CPUs. */
export interface CpuMap
  extends
    BpfMap<"cpumap">,
    ObjectEntries<number, CpuQueue>,
    Pick<Lookup<number, CpuQueueEntry>, "lookup">,
    Pick<Iterate<number, CpuQueueEntry>, "entries" | "count">
{}

/** `struct bpf_cpumap_val`: a descriptor is written, an id read. */
const Value = struct({ queueSize: u32, program: i32 })

const valueOf = ({ program, queueSize }: CpuQueue): CpuQueueEntry | InvalidArgument => {
  // The kernel takes a descriptor above 0 only.
  const fd = program === undefined ? 0 : fdOf(program)
  return fd instanceof InvalidArgument ? fd : { queueSize, program: fd }
}

/** A CPU map as a value, for `BpfMap.create`, `openPinned` and their sisters. */
export const define = (options: DefineOptions): Definition<CpuMap> =>
  defineMap(
    { ...readDefinition("cpumap", options, {}).common, keySize: 4, valueSize: Value.size },
    (opened) =>
      Effect.map(acquireObjectEntries(opened, u32, Value, valueOf), ({ keyed, objects }) =>
        extend(opened.map, { ...objects, lookup: keyed.lookup, entries: keyed.entries, count: keyed.count }))
  )

/**
 * Creates a CPU map, closed with the scope. `maxEntries` is at most the number of CPUs the kernel was built for.
 *
 * Fails with `InvalidArgument` for a bad name or number of entries, and with `SystemCallError` if the kernel refuses.
 */
export const make = (
  options: DefineOptions
): Effect.Effect<CpuMap, InvalidArgument | SystemCallError, Kernel | Scope.Scope> => createFrom(() => define(options))
