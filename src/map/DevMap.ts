/**
 * Network devices by index (`BPF_MAP_TYPE_DEVMAP`, kernel 4.14) or by any number (`BPF_MAP_TYPE_DEVMAP_HASH`, 5.4): where
 * XDP programs send packets with `bpf_redirect_map`. A device may have a program of its own that runs as packets leave
 * through it (kernel 5.8, expected attach type `BPF_XDP_DEVMAP`).
 *
 * @example
 * ```ts
 * import { DevMap } from "effect-ebpf"
 * import * as Effect from "effect/Effect"
 *
 * const program = (ifindex: number) =>
 *   Effect.gen(function*() {
 *     const ports = yield* DevMap.make({ name: "ports", maxEntries: 16 })
 *     yield* ports.update(0, { ifindex })
 *     return yield* ports.lookup(0) // Option.some({ ifindex, program: 0 })
 *   })
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

/** A device to send packets to, and the program to run as they leave. */
export interface Device {
  /** The device's number, as `ip link` shows it. */
  readonly ifindex: number
  readonly program?: ProgramReference<"xdp">
}

/** A device as it is read back: its program by id, 0 for none. */
export interface DeviceEntry {
  readonly ifindex: number
  readonly program: number
}

/** A device map of this process. */
export interface DevMap<T extends "devmap" | "devmap_hash" = "devmap" | "devmap_hash">
  extends
    BpfMap<T>,
    ObjectEntries<number, Device>,
    Pick<Lookup<number, DeviceEntry>, "lookup">,
    Pick<Iterate<number, DeviceEntry>, "entries" | "count">
{}

/** `struct bpf_devmap_val`: a descriptor is written, an id read. */
const Value = struct({ ifindex: u32, program: i32 })

const valueOf = ({ ifindex, program }: Device): DeviceEntry | InvalidArgument => {
  // The kernel takes a descriptor above 0 only; 0 and less is no program.
  const fd = program === undefined ? -1 : fdOf(program)
  return fd instanceof InvalidArgument ? fd : { ifindex, program: fd }
}

const defineKind = <const T extends "devmap" | "devmap_hash">(
  type: T,
  options: DefineOptions
): Definition<DevMap<T>> =>
  defineMap<T, DevMap<T>>(
    { ...readDefinition(type, options, {}).common, keySize: 4, valueSize: Value.size },
    (opened) =>
      Effect.map(
        acquireObjectEntries(opened, u32, Value, valueOf),
        ({ keyed, objects }) =>
          extend(opened.map, { ...objects, lookup: keyed.lookup, entries: keyed.entries, count: keyed.count })
      )
  )

/** A device map as a value, for `BpfMap.create`, `openPinned` and their sisters. Its keys are indices. */
export const define = (options: DefineOptions): Definition<DevMap<"devmap">> => defineKind("devmap", options)

/** A hash table of devices as a value: its keys are any 32-bit numbers. */
export const defineHash = (options: DefineOptions): Definition<DevMap<"devmap_hash">> =>
  defineKind("devmap_hash", options)

/**
 * Creates a device map, closed with the scope.
 *
 * Fails with `InvalidArgument` for a bad name or number of entries, and with `SystemCallError` if the kernel refuses: it
 * needs CAP_NET_ADMIN.
 */
export const make = (
  options: DefineOptions
): Effect.Effect<DevMap<"devmap">, InvalidArgument | SystemCallError, Kernel | Scope.Scope> =>
  createFrom(() => define(options))

/** Creates a hash table of devices, closed with the scope; as `make` otherwise. Kernel 5.4. */
export const makeHash = (
  options: DefineOptions
): Effect.Effect<DevMap<"devmap_hash">, InvalidArgument | SystemCallError, Kernel | Scope.Scope> =>
  createFrom(() => defineHash(options))
