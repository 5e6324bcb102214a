/**
 * What all maps have in common. A map is the memory that BPF programs and processes share; it lives as long as something
 * refers to it, and here that is the scope it was made in, the programs that use it, and the paths it is pinned at.
 *
 * Each family has its own module with the operations that the kernel allows: `HashMap`, `ArrayMap`, `RingBufferMap` …
 * Their `make` creates a map; their `define` gives a `Definition`, a value from which this module creates maps
 * (`create`), or opens ones that exist: pinned (`openPinned`, `pinned`), by id (`fromId`) or by descriptor (`fromFd`).
 *
 * @example
 * ```ts
 * import { BpfMap, HashMap, Layout } from "effect-ebpf"
 * import * as Effect from "effect/Effect"
 *
 * const counters = HashMap.define({ name: "counters", key: Layout.u32, value: Layout.u64, maxEntries: 1024 })
 *
 * // Opened if it is pinned there already, and else created and pinned.
 * const program = Effect.gen(function*() {
 *   const map = yield* BpfMap.pinned(counters, "/sys/fs/bpf/counters")
 *   return yield* map.lookup(7)
 * })
 * ```
 */
import * as Effect from "effect/Effect"
import * as Formatter from "effect/Formatter"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import { deferredStream, streamModule } from "../effect/onDemand.ts"
import { errno } from "../abi/errno.ts"
import { freezeMap } from "../bpf/maps.ts"
import { listById } from "../bpf/objectIds.ts"
import { pinObject } from "../bpf/pins.ts"
import { Kernel, type KernelService } from "../kernel/Kernel.ts"
import { anInteger, type Checks, readingOptions, whenRight } from "../kernel/options.ts"
import { type InvalidArgument, SystemCallError } from "../kernel/KernelError.ts"
import type { MapKind, MapSpec } from "../spec/MapSpec.ts"
import { isFrozen, whyNotAllowed } from "./internal/fileState.ts"
import {
  assertMap,
  type BpfMap,
  closedError,
  describe as describeSpec,
  isBpfMap as isHandleOfMap
} from "./internal/handle.ts"
import { type Info, readInfo } from "./internal/info.ts"
import * as Open from "./internal/open.ts"
import type { CreateOptions } from "./internal/open.ts"
import type { Definition } from "./MapDefinition.ts"
import type { MapMismatch } from "./MapError.ts"
import type { Iterate, IterationError } from "./MapOperations.ts"

export type { BpfMap } from "./internal/handle.ts"
export type { Info } from "./internal/info.ts"
export type { CreateOptions } from "./internal/open.ts"
export type { DefineOptions, Definition } from "./MapDefinition.ts"

/** True for handles of maps, of any family. They print as `hash map "counters", id 7, fd 12`. */
export const isBpfMap: (value: unknown) => value is BpfMap = isHandleOfMap

/** `hash map "counters"`, as errors name a map. */
export const describe: (spec: MapSpec) => string = describeSpec

// ---------------------------------------------------------------- making and opening

/**
 * Creates a map of any kind, to be given to programs; it is closed with the scope. For typed reads and writes use the
 * module of its family, or `BytesMap` for a kind that has none. Its contents, freezing and pinning are as for `create`.
 *
 * Fails with `InvalidArgument` for a bad name, size or number of entries, and with `SystemCallError` if the kernel
 * refuses; for a map that is pinned by name as `openPinned` does. Needs CAP_BPF (or CAP_SYS_ADMIN before 5.8).
 */
export const make = <const T extends MapKind>(
  spec: MapSpec<T>,
  options?: CreateOptions
): Effect.Effect<BpfMap<T>, InvalidArgument | MapMismatch | SystemCallError, Kernel | Scope.Scope> =>
  create(Open.define<T, BpfMap<T>>(spec, ({ map }) => Effect.succeed(map)), options)

/**
 * Creates the map that is defined, closed with the scope: the same as the `make` of its family.
 *
 * A spec's `contents` are written, and it is frozen where it says so, before anyone else sees it. With `pinning: "by name"`
 * the map that is pinned under its name in `pinFolder` (dots become `_`, as the file system takes none) is opened, and it
 * is created and pinned where there is none: two processes that do so at once get the same map. One that was found is not
 * written to.
 *
 * Fails as its family's `make` does, and for a map that is pinned by name as `openPinned` does: with `MapMismatch`, which
 * names the differences, where another map has the name.
 *
 * @example
 * ```ts
 * import { BpfMap, BytesMap } from "effect-ebpf"
 * import * as Effect from "effect/Effect"
 *
 * // An object's constants: one value, which no process can change.
 * const constants = BytesMap.define({
 *   type: "array",
 *   name: ".rodata",
 *   keySize: 4,
 *   valueSize: 8,
 *   maxEntries: 1,
 *   flags: 0x80, // BPF_F_RDONLY_PROG
 *   contents: [[new Uint8Array(4), new Uint8Array(8).fill(1)]],
 *   frozen: true,
 *   pinning: "by name"
 * })
 *
 * const program = Effect.scoped(BpfMap.create(constants, { pinFolder: "/sys/fs/bpf/app" })) // at /sys/fs/bpf/app/_rodata
 * ```
 */
export const create: <M extends BpfMap>(
  definition: Definition<M>,
  options?: CreateOptions
) => Effect.Effect<M, InvalidArgument | MapMismatch | SystemCallError, Kernel | Scope.Scope> = Open.createOrShare

/**
 * Opens the map pinned at a path, by this process or another; its descriptor is closed with the scope.
 *
 * Fails with `SystemCallError` ENOENT if nothing is pinned there, and with `MapMismatch` if it is another kind of map or
 * one of other sizes or flags than defined.
 */
export const openPinned: <M extends BpfMap>(
  definition: Definition<M>,
  path: string
) => Effect.Effect<M, InvalidArgument | MapMismatch | SystemCallError, Kernel | Scope.Scope> = Open.openPinned

/**
 * Opens the map pinned at a path, or creates it and pins it there. Two processes that do so at once get the same map.
 *
 * Fails as `openPinned` and `create` do.
 */
export const pinned = <M extends BpfMap>(
  definition: Definition<M>,
  path: string
): Effect.Effect<M, InvalidArgument | MapMismatch | SystemCallError, Kernel | Scope.Scope> =>
  Open.openOrPin(definition, path)

/**
 * Opens a map by the id that `Info` and bpftool show; its descriptor is closed with the scope. Needs CAP_SYS_ADMIN.
 *
 * Fails with `SystemCallError` ENOENT if there is none, and with `MapMismatch` if it is not as defined.
 */
export const fromId: <M extends BpfMap>(
  definition: Definition<M>,
  id: number
) => Effect.Effect<M, InvalidArgument | MapMismatch | SystemCallError, Kernel | Scope.Scope> = Open.fromId

/**
 * Opens the map that a descriptor of this process refers to, such as one inherited or received. The descriptor stays the
 * caller's: a duplicate is made, and closed with the scope.
 *
 * Fails with `SystemCallError` EBADF for a closed one and EINVAL for that of no map, and with `MapMismatch` if it is not
 * as defined.
 */
export const fromFd: <M extends BpfMap>(
  definition: Definition<M>,
  fd: number
) => Effect.Effect<M, InvalidArgument | MapMismatch | SystemCallError, Kernel | Scope.Scope> = Open.fromFd

// ---------------------------------------------------------------- looking at maps

const whenOpen = <A, E>(
  map: BpfMap,
  f: (kernel: KernelService) => Effect.Effect<A, E>
): Effect.Effect<A, E | InvalidArgument | SystemCallError, Kernel> =>
  whenRight(() => {
    assertMap("map", map)
    return Effect.flatMap(
      Kernel,
      (kernel): Effect.Effect<A, E | SystemCallError> => map.fd < 0 ? Effect.fail(closedError(map)) : f(kernel)
    )
  })

/** What the kernel says of the map. Fails with `SystemCallError`, EBADF after its scope has closed. */
export const info = (map: BpfMap): Effect.Effect<Info, InvalidArgument | SystemCallError, Kernel> =>
  whenOpen(map, (kernel) => readInfo(kernel, map.fd, describe(map.spec)))

/**
 * All maps of the system, by ascending id. Maps that come and go meanwhile may be missing. Needs CAP_SYS_ADMIN.
 */
export const list: Stream.Stream<Info, SystemCallError, Kernel> = deferredStream((stream) =>
  stream.unwrap(
    Effect.map(Kernel, (kernel) => listById(kernel, "map", (fd, subject) => readInfo(kernel, fd, subject)))
  )
)

/** How much is shown. */
export interface DumpOptions {
  /** The most entries; all unless given. */
  readonly most?: number
}

const dumpChecks: Checks<DumpOptions> = { most: anInteger(0, Number.MAX_SAFE_INTEGER - 1) }

/**
 * The whole map as text for people: one line that says what it is, and one for each entry, `key → value`. `most` entries
 * are shown, all unless given; that there are more is said.
 *
 * Fails as walks do (`MapOperations.IterationError`), and with `SystemCallError` EBADF after its scope has closed.
 */
export const dump = <K, V>(
  map: BpfMap & Pick<Iterate<K, V>, "entries">,
  options?: DumpOptions
): Effect.Effect<string, InvalidArgument | IterationError, Kernel> =>
  Effect.gen(function*() {
    const { most = Number.MAX_SAFE_INTEGER } = yield* readingOptions("options of a dump", options, dumpChecks)
    const { id, keySize, maxEntries, valueSize } = yield* info(map)
    let text = ""
    let shown = 0
    let more = false
    const { runForEachArray, take } = streamModule()
    // Each page becomes text before the next is fetched: the event loop has its turns between them.
    yield* runForEachArray(take(map.entries, most + 1), (entries) =>
      Effect.sync(() => {
        const page = entries.slice(0, most - shown)
        shown += page.length
        more = page.length < entries.length
        for (const [key, value] of page) text += `\n  ${Formatter.format(key)} → ${Formatter.format(value)}`
      }))
    return `${describe(map.spec)}, id ${id}: keys of ${keySize} bytes, values of ${valueSize}, ` +
      `${more ? `more than ${shown}` : shown} of ${maxEntries} entries${text}${more ? "\n  …" : ""}`
  })

// ---------------------------------------------------------------- pinning and freezing

/**
 * Pins the map at a path in a BPF file system: it then lives until it is unpinned (`BpfFs.unpin`) or the system
 * restarts, whatever becomes of this process.
 *
 * Fails with `SystemCallError`: EEXIST where something is pinned already, ENOENT for a missing folder, EPERM outside a BPF
 * file system.
 */
export const pin = (map: BpfMap, path: string): Effect.Effect<void, InvalidArgument | SystemCallError, Kernel> =>
  whenOpen(map, (kernel) =>
    Effect.withSpan(pinObject(kernel, map.fd, describe(map.spec), path), "BpfMap.pin", {
      attributes: { "bpf.map.name": map.spec.name, "bpf.pin.path": path }
    }))

/**
 * Makes the map read-only for all processes, for good; programs may still write to it. Programs loaded after it may take
 * its values for constants. Kernel 5.2.
 *
 * Fails with `SystemCallError`: EBUSY while it is mapped for writing or being written, EBUSY or EPERM where it is frozen
 * already, and ENOTSUPP or EPERM for kinds that cannot be frozen.
 */
export const freeze = (map: BpfMap): Effect.Effect<void, InvalidArgument | SystemCallError, Kernel> =>
  whenOpen(map, (kernel) =>
    Effect.mapError(freezeMap(kernel, map.fd, { subject: describe(map.spec) }), (error) => {
      const hint = isFrozen(kernel, map.fd)
        ? "It is frozen already"
        : error.errno === errno.EBUSY
        ? "It is mapped for writing, or being written: close writable views first"
        : error.errno === errno.EPERM
        ? whyNotAllowed(kernel, map.fd, "write")
        : undefined
      return hint === undefined ? error : new SystemCallError({ ...error, hint })
    }))
