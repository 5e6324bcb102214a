// From a definition to a handle: of a new map, of a pinned one, of one by its id or another's descriptor.
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { acquireById } from "../../bpf/objectIds.ts"
import { errno } from "../../abi/errno.ts"
import { bpf_map_create_flags } from "../../abi/generated/enums.ts"
import { acquireDescriptor, allOrNothing, type Descriptor, readFile } from "../../kernel/systemCall.ts"
import { aPath, assertArgument, type Check, type Checks, readOptions, whenRight } from "../../kernel/options.ts"
import { defaultPath } from "../../kernel/BpfFs.ts"
import { checkFd, checkId } from "../../kernel/validate.ts"
import { Kernel, type KernelService } from "../../kernel/Kernel.ts"
import { InvalidArgument, SystemCallError } from "../../kernel/KernelError.ts"
import * as MapKinds from "../../spec/MapKind.ts"
import type { MapKind, MapSpec } from "../../spec/MapSpec.ts"
import type { Definition } from "../MapDefinition.ts"
import { MapMismatch } from "../MapError.ts"
import { createFilled } from "./contents.ts"
import { isFrozen } from "./fileState.ts"
import { type BpfMap, describe, handleOf, type Opened } from "./handle.ts"
import { type Info, readInfo, specOf } from "./info.ts"
import { readSpec } from "./spec.ts"
import { acquirePinned, pinObject } from "../../bpf/pins.ts"

/** A definition from its parts; the opened map has the spec's kind. */
export const define = <T extends MapKind, M extends BpfMap<T>>(
  spec: MapSpec<T>,
  handle: (opened: Opened<T>) => Effect.Effect<M, InvalidArgument | SystemCallError, Scope.Scope>
): Definition<M> => ({ spec, handle: handle as Definition<M>["handle"] })

const withDescriptor = <M extends BpfMap>(
  kernel: KernelService,
  definition: Definition<M>,
  descriptor: Descriptor,
  spec: MapSpec
): Effect.Effect<M, InvalidArgument | SystemCallError, Scope.Scope> =>
  definition.handle({ kernel, map: handleOf(kernel, descriptor, { ...spec }) })

/** What definitions are, for who is given something else. */
export const aDefinition: Check = {
  expected: "a definition of a map, as HashMap.define gives one",
  accepts: (value) =>
    typeof value === "object" && value !== null && typeof value.handle === "function" &&
    typeof value.spec === "object" && value.spec !== null
}

/** A definition with its spec as it was when it was read. Throws `InvalidArgument`. */
const readDefinition = <M extends BpfMap>(definition: Definition<M>): Definition<M> => {
  assertArgument("definition", definition, aDefinition)
  return { spec: readSpec(definition.spec), handle: definition.handle }
}

/** Creates the map that is defined, closed with the scope. */
export const create = <M extends BpfMap>(
  given: Definition<M>
): Effect.Effect<M, InvalidArgument | SystemCallError, Kernel | Scope.Scope> =>
  whenRight(() => {
    const definition = readDefinition(given)
    const { name, type } = definition.spec
    return allOrNothing(Effect.flatMap(
      Kernel,
      (kernel) =>
        Effect.flatMap(
          createFilled(kernel, definition.spec),
          (descriptor) => withDescriptor(kernel, definition, descriptor, definition.spec)
        )
    )).pipe(Effect.withSpan("BpfMap.create", { attributes: { "bpf.map.name": name, "bpf.map.type": type } }))
  })

const { BPF_F_INNER_MAP, BPF_F_NO_COMMON_LRU, BPF_F_NUMA_NODE, BPF_F_RDONLY, BPF_F_RDONLY_PROG, BPF_F_WRONLY } =
  bpf_map_create_flags
/** Flags that say nothing of what a map is: where its memory lies, and what the descriptor that made it might do. */
const PASSING = BPF_F_NUMA_NODE | BPF_F_RDONLY | BPF_F_WRONLY

/** What a descriptor is opened for: reading alone, writing alone, or `undefined` for both. */
export const fileFlags = ({ flags }: Pick<MapSpec, "flags">): number | undefined =>
  (flags & (BPF_F_RDONLY | BPF_F_WRONLY)) || undefined

/** The flags that the kernel gives back of a map made with some. */
const keptFlags = ({ flags, type }: MapSpec): number => {
  const set = type === "devmap" || type === "devmap_hash" ? flags | BPF_F_RDONLY_PROG : flags // dev_map_init_map()
  return set & ~PASSING
}

/** With a list for each CPU, an LRU map's entries are rounded up so that all have as many (htab_map_alloc()). */
const keptEntries = ({ possibleCpus }: KernelService, { flags, maxEntries }: MapSpec): number =>
  (flags & BPF_F_NO_COMMON_LRU) === 0 ? maxEntries : Math.ceil(maxEntries / possibleCpus) * possibleCpus

/** How strictly a map is held to its definition. */
type Strictness = "all" | "as the kernel holds inner maps"

const differences = (
  kernel: KernelService,
  spec: MapSpec,
  info: Info,
  strictness: Strictness
): MapMismatch["differences"] => {
  const kind = MapKinds.nameOf(spec.type)
  const isInner = strictness !== "all"
  const isFree = isInner && (MapKinds.of(kind)?.inner !== "as long" || (spec.flags & BPF_F_INNER_MAP) !== 0)
  const fields: ReadonlyArray<readonly [field: string, expected: number | string, actual: number | string]> = [
    ["type", String(kind), String(info.kind)],
    ["keySize", spec.keySize, info.keySize],
    ["valueSize", spec.valueSize, info.valueSize],
    ["maxEntries", isFree ? info.maxEntries : keptEntries(kernel, spec), info.maxEntries],
    ["flags", keptFlags(spec), info.flags & ~PASSING],
    ["mapExtra", isInner ? info.mapExtra : spec.mapExtra ?? info.mapExtra, info.mapExtra]
  ]
  return fields.filter(([, expected, actual]) => expected !== actual).map(([field, expected, actual]) => ({
    field,
    expected: field === "flags" ? `0x${expected.toString(16)}` : String(expected),
    actual: field === "flags" ? `0x${actual.toString(16)}` : String(actual)
  }))
}

/** Why the kernel does not take a map as the inner one of a map of maps, found after it refused. */
export const whyUnlike = (
  kernel: KernelService,
  inner: MapSpec,
  fd: number
): Effect.Effect<string | undefined> =>
  readInfo(kernel, fd, "the inner map").pipe(
    Effect.map((info) => {
      const wrong = differences(kernel, inner, info, "as the kernel holds inner maps")
      return wrong.length === 0 ? undefined : `The inner maps are to be as the definition's \`inner\`: ` +
        wrong.map(({ actual, expected, field }) => `${field} ${expected}, and this one has ${actual}`).join("; ")
    }),
    Effect.orElseSucceed(() => undefined)
  )

/** The error where something else than a map was found. */
const noMap = (found: string): SystemCallError =>
  new SystemCallError({
    call: "bpf",
    command: "BPF_OBJ_GET_INFO_BY_FD",
    subject: `the map ${found}`,
    errno: errno.EINVAL,
    hint: "It is no map, but another kind of object"
  })

/** A descriptor may be any object's; only a map's has such a line in its fdinfo. */
const checkMap = (kernel: KernelService, fd: number, found: string): Effect.Effect<void, SystemCallError> =>
  Effect.flatMap(
    readFile(kernel, `/proc/self/fdinfo/${fd}`),
    (text) => /^map_type:/m.test(new TextDecoder().decode(text)) ? Effect.void : Effect.fail(noMap(found))
  )

/** How an existing map is opened: a definition demands that it is as defined. */
const adopt = <M extends BpfMap>(
  kernel: KernelService,
  definition: Definition<M>,
  descriptor: Descriptor,
  found: string,
  strictness: Strictness = "all"
): Effect.Effect<M, InvalidArgument | MapMismatch | SystemCallError, Scope.Scope> =>
  Effect.gen(function*() {
    yield* checkMap(kernel, descriptor.fd, found)
    const info = yield* readInfo(kernel, descriptor.fd, `the map ${found}`)
    const wrong = [...differences(kernel, definition.spec, info, strictness)]
    if (strictness === "all" && definition.spec.frozen === true && !isFrozen(kernel, descriptor.fd)) {
      wrong.push({ field: "frozen", expected: "true", actual: "false" })
    }
    if (wrong.length > 0) return yield* new MapMismatch({ found, differences: wrong })
    return yield* withDescriptor(kernel, definition, descriptor, { ...definition.spec, ...specOf(info) })
  })

type OpenError = InvalidArgument | MapMismatch | SystemCallError

/** The frame of opening: what was passed is read, and a map that is not as defined is closed at once. */
const opening = <M extends BpfMap>(
  given: Definition<M>,
  step: (definition: Definition<M>, kernel: KernelService) => Effect.Effect<M, OpenError, Scope.Scope>
): Effect.Effect<M, OpenError, Kernel | Scope.Scope> =>
  whenRight(() => {
    const definition = readDefinition(given)
    return allOrNothing(Effect.flatMap(Kernel, (kernel) => step(definition, kernel)))
  })

/** Opens the map pinned at a path. */
export const openPinned = <M extends BpfMap>(
  given: Definition<M>,
  path: string
): Effect.Effect<M, OpenError, Kernel | Scope.Scope> =>
  opening(given, (definition, kernel) =>
    Effect.flatMap(
      acquirePinned(kernel, path, fileFlags(definition.spec)),
      (descriptor) => adopt(kernel, definition, descriptor, `pinned at ${path}`)
    ))

/** How often two who share a name may get in each other's way, by pinning and unpinning, before one gives up. */
const MOST_TRIES = 8

const refusedBy = (command: string, number: number) => (error: unknown): error is SystemCallError =>
  error instanceof SystemCallError && error.command === command && error.errno === number

/** Opens the map that is pinned at a path, or creates it with its contents and pins it there. */
export const openOrPin = <M extends BpfMap>(
  definition: Definition<M>,
  path: string,
  tries = MOST_TRIES
): Effect.Effect<M, OpenError, Kernel | Scope.Scope> => {
  const createAndPin = allOrNothing(
    Effect.tap(
      create(definition),
      (map) => Effect.flatMap(Kernel, (kernel) => pinObject(kernel, map.fd, describe(map.spec), path))
    )
  )
  return openPinned(definition, path).pipe(
    Effect.catchIf(refusedBy("BPF_OBJ_GET", errno.ENOENT), () => createAndPin),
    // Another was faster; and its pin may be gone again by the next look.
    Effect.catchIf(
      (error): error is SystemCallError => tries > 1 && refusedBy("BPF_OBJ_PIN", errno.EEXIST)(error),
      () => openOrPin(definition, path, tries - 1)
    )
  )
}

/** How a map is made that may be shared. */
export interface CreateOptions {
  /** The folder in a BPF file system for maps that are pinned by name; `BpfFs.defaultPath` unless given. */
  readonly pinFolder?: string
}

const createChecks: Checks<CreateOptions> = { pinFolder: aPath }

/** Creates a map, or opens the one that is pinned under its name, where its spec says so. */
export const createOrShare = <M extends BpfMap>(
  given: Definition<M>,
  options?: CreateOptions
): Effect.Effect<M, OpenError, Kernel | Scope.Scope> =>
  whenRight((): Effect.Effect<M, OpenError, Kernel | Scope.Scope> => {
    const { pinFolder = defaultPath } = readOptions("options of a new map", options, createChecks)
    const definition = readDefinition(given)
    const { name, pinning } = definition.spec
    // The BPF file system keeps names with dots for itself.
    return pinning === undefined
      ? create(definition)
      : openOrPin(definition, `${pinFolder}/${name.replaceAll(".", "_")}`)
  })

/** Opens a map by its id. */
export const fromId = <M extends BpfMap>(
  given: Definition<M>,
  id: number,
  strictness: Strictness = "all"
): Effect.Effect<M, OpenError, Kernel | Scope.Scope> =>
  opening(given, (definition, kernel) => {
    const invalid = checkId(id)
    if (invalid !== undefined) return Effect.fail(invalid)
    return Effect.flatMap(
      acquireById(kernel, "map", id, fileFlags(definition.spec)),
      (descriptor) => adopt(kernel, definition, descriptor, `of id ${id}`, strictness)
    )
  })

/** Opens a map by a descriptor, of which a duplicate is made. */
export const fromFd = <M extends BpfMap>(
  given: Definition<M>,
  fd: number
): Effect.Effect<M, OpenError, Kernel | Scope.Scope> =>
  opening(given, (definition, kernel) => {
    const invalid = checkFd(fd)
    if (invalid !== undefined) return Effect.fail(invalid)
    const what = { call: "fcntl", command: "F_DUPFD_CLOEXEC", subject: `descriptor ${fd}` }
    return Effect.flatMap(
      acquireDescriptor(kernel, what, () => kernel.files.dup(fd)),
      (own) => adopt(kernel, definition, own, `of descriptor ${fd}`)
    ).pipe(Effect.withSpan("BpfMap.fromFd", { attributes: { "bpf.map.fd": fd } }))
  })

/** The kind, sizes and flags of a map found by id, path or descriptor, with no definition to hold it to. */
export const specOfFound = (
  kernel: KernelService,
  descriptor: Descriptor,
  found: string
): Effect.Effect<MapSpec, SystemCallError> =>
  Effect.flatMap(
    checkMap(kernel, descriptor.fd, found),
    () => Effect.map(readInfo(kernel, descriptor.fd, `the map ${found}`), specOf)
  )
