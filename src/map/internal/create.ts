// BPF_MAP_CREATE, and what has to be there for it: BTF of its types, and a map as the template of inner ones.
import * as Result from "effect/Result"
import * as Effect from "effect/Effect"
import * as Scope from "effect/Scope"
import { errno } from "../../abi/errno.ts"
import { bpf_map_create_flags } from "../../abi/generated/enums.ts"
import { loadBtf } from "../../bpf/btf.ts"
import * as bpf from "../../bpf/maps.ts"
import type { FeatureName } from "../../kernel/Features.ts"
import { type Descriptor, withLocalScope } from "../../kernel/systemCall.ts"
import { ownOf } from "../../kernel/options.ts"
import { checkInteger, checkName, shown, UINT_MAX } from "../../kernel/validate.ts"
import type { KernelService } from "../../kernel/Kernel.ts"
import { InvalidArgument, SystemCallError } from "../../kernel/KernelError.ts"
import { u32 } from "../../layout/Layout.ts"
import { numberOf } from "../../spec/MapKind.ts"
import type { MapKind, MapSpec } from "../../spec/MapSpec.ts"
import { describe } from "./handle.ts"
import { checkRingSize } from "./ringSize.ts"
import { featuresOf, hasMaxEntries, whyNoNode, whyRefused } from "./requirements.ts"
import { typeInfo } from "./typeInfo.ts"

/** The largest key or value that fits in what the kernel allocates at once (KMALLOC_MAX_SIZE, 4 MiB). */
const MOST_BYTES = 4 << 20
const { BPF_F_NUMA_NODE } = bpf_map_create_flags

const checkType = (type: MapKind): InvalidArgument | undefined => {
  const number = numberOf(type)
  return number !== undefined && Number.isInteger(number) && number >= 1 && number <= UINT_MAX
    ? undefined
    : new InvalidArgument({ field: "type", expected: "a kind of map, by name or number", actual: shown(type) })
}

const check = (spec: MapSpec): InvalidArgument | undefined =>
  checkName("name", spec.name) ??
    checkType(spec.type) ??
    checkInteger("keySize", spec.keySize, 0, MOST_BYTES) ??
    checkInteger("valueSize", spec.valueSize, 0, MOST_BYTES) ??
    checkInteger("maxEntries", spec.maxEntries, hasMaxEntries(spec) ? 1 : 0, UINT_MAX) ??
    checkInteger("flags", spec.flags, 0, UINT_MAX) ??
    checkInteger("mapExtra", spec.mapExtra === undefined ? 0 : spec.mapExtra, 0, Number.MAX_SAFE_INTEGER) ??
    checkInteger("numaNode", spec.numaNode === undefined ? 0 : spec.numaNode, 0, UINT_MAX) ??
    (spec.inner === undefined ? undefined : check(spec.inner))

/** The kernel wants BTF of a struct_ops map too, though the type that counts is its own: any will do. */
const typesOf = ({ types, vmlinuxValueType }: MapSpec): MapSpec["types"] =>
  types ?? (vmlinuxValueType === undefined ? undefined : { key: u32, value: u32 })

/** Loads BTF made from the map's layouts; it belongs to the map once that is created. */
const acquireTypes = (kernel: KernelService, spec: MapSpec) =>
  Effect.gen(function*() {
    const layouts = typesOf(spec)
    if (layouts === undefined) return undefined
    const { bytes, key, value } = yield* Effect.fromResult(
      Result.mapError(
        typeInfo(spec.name, layouts),
        ({ actual, expected, field }) => new InvalidArgument({ field: `types, ${field}`, expected, actual })
      )
    )
    const { fd } = yield* loadBtf(kernel, bytes, `the types of ${describe(spec)}`)
    return spec.vmlinuxValueType === undefined
      ? { btf_fd: fd, btf_key_type_id: key, btf_value_type_id: value }
      : { btf_fd: fd, btf_vmlinux_value_type_id: spec.vmlinuxValueType }
  })

/** Answers of which the spec tells more than the kernel: a bare number says nothing. */
const explainable: ReadonlySet<number> = new Set([errno.EINVAL, errno.E2BIG, errno.ENOMEM, errno.ENOTSUPP])

/** What the kernel did not like, where that can be told. */
const explained = (kernel: KernelService, spec: MapSpec, error: SystemCallError): SystemCallError => {
  if (!explainable.has(error.errno)) return error
  const why = error.hint ?? whyRefused(spec, error.errno) ??
    (error.errno === errno.EINVAL ? whyNoNode(kernel, spec) : undefined)
  return why === undefined ? error : new SystemCallError({ ...error, hint: why })
}

/** Creates a map: a descriptor that is closed with the scope, and -1 from then on. */
export const createMap = (
  kernel: KernelService,
  given: MapSpec
): Effect.Effect<Descriptor, InvalidArgument | SystemCallError, Scope.Scope> =>
  withLocalScope(Effect.fnUntraced(function*(owner): Effect.fn.Return<
    Descriptor,
    InvalidArgument | SystemCallError,
    Scope.Scope
  > {
    const spec = ownOf(given)
    const invalid = check(spec)
    if (invalid !== undefined) return yield* invalid
    if (spec.type === "ringbuf" || spec.type === "user_ringbuf") yield* checkRingSize(spec.maxEntries, kernel.pageSize)
    const features: ReadonlyArray<FeatureName> = featuresOf(spec)
    const types = yield* acquireTypes(kernel, spec)
    // The kernel copies what it needs of the template: it may go as soon as the map is made.
    const inner = spec.inner === undefined ? undefined : yield* createMap(kernel, spec.inner)
    const created = bpf.createMap(kernel, {
      map_type: numberOf(spec.type)!,
      key_size: spec.keySize,
      value_size: spec.valueSize,
      max_entries: spec.maxEntries,
      map_flags: spec.numaNode === undefined ? spec.flags : spec.flags | BPF_F_NUMA_NODE,
      numa_node: spec.numaNode,
      map_name: new TextEncoder().encode(spec.name),
      inner_map_fd: inner?.fd,
      map_extra: spec.mapExtra === 0 ? undefined : spec.mapExtra,
      ...types
    }, { subject: describe(spec), features })
    return yield* Effect.mapError(Scope.provide(created, owner), (error) => explained(kernel, spec, error))
  }))
