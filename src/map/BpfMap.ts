/**
 * What all maps have in common. A map is the memory that BPF programs and processes share; it lives as long as something
 * refers to it, and here that is the scope it was made in, and the programs that use it.
 *
 * Each family has its own module with the operations that the kernel allows: `HashMap`, `ArrayMap`, `RingBufferMap`.
 */
import * as Effect from "effect/Effect"
import * as Scope from "effect/Scope"
import { errno } from "../abi/errno.ts"
import { bpf_cmd } from "../abi/generated/enums.ts"
import { bpf_attr_info, bpf_attr_map_create, bpf_map_info } from "../abi/generated/structs.ts"
import { type MapType, mapTypes } from "../abi/names.ts"
import { fill, readNumber, readText } from "../kernel/internal/attr.ts"
import type { FeatureName } from "../kernel/Features.ts"
import { acquireBlock, acquireDescriptor, charged, run, withLocalScope } from "../kernel/internal/syscall.ts"
import { checkInteger, checkName } from "../kernel/internal/validate.ts"
import { Kernel, type KernelService } from "../kernel/Kernel.ts"
import { type InvalidArgument, SystemCallError } from "../kernel/KernelError.ts"
import type { MapSpec } from "../spec/MapSpec.ts"

/** A map of this process. `fd` is -1 once the scope that it was made in has closed. */
export interface BpfMap<T extends MapType = MapType> {
  readonly fd: number
  readonly spec: MapSpec<T>
}

/** What the kernel says of a map. */
export interface Info {
  /** Unique among all maps of the system; never used again soon. */
  readonly id: number
  readonly type: number
  readonly name: string
  readonly keySize: number
  readonly valueSize: number
  readonly maxEntries: number
  readonly flags: number
}

/** `hash map "counters"`, as errors name a map. */
export const describe = (spec: MapSpec): string => `${spec.type} map "${spec.name}"`

/** @internal The error of an operation on a map whose scope has closed. */
export const closedError = (spec: MapSpec): SystemCallError =>
  new SystemCallError({
    call: "bpf",
    command: undefined,
    subject: describe(spec),
    errno: errno.EBADF,
    hint: "The scope that the map was made in has closed"
  })

/** The features that families need beyond what every supported kernel has; for hints after a failure. */
const needs: { readonly [K in MapType]?: FeatureName } = {
  ringbuf: "ringbuf",
  bloom_filter: "bloomFilter",
  user_ringbuf: "userRingbuf",
  arena: "arena"
}

const featuresOf = (type: MapType): ReadonlyArray<FeatureName> => {
  const needed = needs[type]
  return needed === undefined ? [] : [needed]
}

const UINT32_MAX = 0xffffffff
/** The largest key or value that fits in what the kernel allocates at once (KMALLOC_MAX_SIZE, 4 MiB). */
const MOST_BYTES = 4 << 20

const check = (spec: MapSpec): InvalidArgument | undefined =>
  checkName("name", spec.name) ??
    checkInteger("keySize", spec.keySize, 0, MOST_BYTES) ??
    checkInteger("valueSize", spec.valueSize, 0, MOST_BYTES) ??
    checkInteger("maxEntries", spec.maxEntries, 1, UINT32_MAX) ??
    checkInteger("flags", spec.flags, 0, UINT32_MAX)

const encodeName = (name: string): Uint8Array => new TextEncoder().encode(name)

/**
 * Creates a map of any kind, to be given to programs; it is closed with the scope. For typed reads and writes use the
 * module of its family.
 *
 * Fails with `InvalidArgument` for a bad name, size or number of entries, and with `SystemCallError` if the kernel
 * refuses. Needs CAP_BPF (or CAP_SYS_ADMIN before 5.8).
 */
export const make = <const T extends MapType>(
  spec: MapSpec<T>
): Effect.Effect<BpfMap<T>, InvalidArgument | SystemCallError, Kernel | Scope.Scope> =>
  withLocalScope(Effect.fnUntraced(function*(owner) {
    const kernel = yield* Kernel
    const invalid = check(spec)
    if (invalid !== undefined) return yield* invalid
    const what = {
      call: "bpf",
      command: "BPF_MAP_CREATE",
      subject: describe(spec),
      features: featuresOf(spec.type)
    }
    const attr = yield* acquireBlock(kernel, bpf_attr_map_create.size)
    const size = fill(attr, bpf_attr_map_create, {
      map_type: mapTypes[spec.type],
      key_size: spec.keySize,
      value_size: spec.valueSize,
      max_entries: spec.maxEntries,
      map_flags: spec.flags,
      map_name: encodeName(spec.name)
    })
    const create = charged(kernel, () => kernel.bpf(bpf_cmd.BPF_MAP_CREATE, attr, size))
    const descriptor = yield* Scope.provide(acquireDescriptor(kernel, what, create), owner)
    return {
      get fd() {
        return descriptor.fd
      },
      spec
    }
  }))

const readInfo = (kernel: KernelService, map: BpfMap): Effect.Effect<Info, SystemCallError> =>
  Effect.scoped(Effect.gen(function*() {
    const attr = yield* acquireBlock(kernel, bpf_attr_info.size)
    const info = yield* acquireBlock(kernel, bpf_map_info.size)
    const size = fill(attr, bpf_attr_info, {
      bpf_fd: map.fd,
      info_len: bpf_map_info.size,
      info
    })
    const what = { call: "bpf", command: "BPF_OBJ_GET_INFO_BY_FD", subject: describe(map.spec) }
    yield* run(kernel, what, () => kernel.bpf(bpf_cmd.BPF_OBJ_GET_INFO_BY_FD, attr, size))
    return {
      id: readNumber(info, bpf_map_info, "id"),
      type: readNumber(info, bpf_map_info, "type"),
      name: readText(info, bpf_map_info, "name"),
      keySize: readNumber(info, bpf_map_info, "key_size"),
      valueSize: readNumber(info, bpf_map_info, "value_size"),
      maxEntries: readNumber(info, bpf_map_info, "max_entries"),
      flags: readNumber(info, bpf_map_info, "map_flags")
    }
  }))

/** What the kernel says of the map. Fails with `SystemCallError`, EBADF after its scope has closed. */
export const info = (map: BpfMap): Effect.Effect<Info, SystemCallError, Kernel> =>
  Effect.flatMap(Kernel, (kernel) => map.fd < 0 ? Effect.fail(closedError(map.spec)) : readInfo(kernel, map))
