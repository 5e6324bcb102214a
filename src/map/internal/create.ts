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
import type { KernelService } from "../../kernel/Kernel.ts"
import { InvalidArgument, SystemCallError } from "../../kernel/KernelError.ts"
import { u32 } from "../../layout/Layout.ts"
import { numberOf } from "../../spec/MapKind.ts"
import type { MapSpec } from "../../spec/MapSpec.ts"
import { describe } from "./handle.ts"
import { checkRingSize } from "./ringSize.ts"
import { featuresOf, whyNoNode, whyRefused } from "./requirements.ts"
import { typeInfo } from "./typeInfo.ts"

const { BPF_F_NUMA_NODE } = bpf_map_create_flags

/** The kernel wants BTF of a struct_ops map too, though the type that counts is its own: any will do. */
const typesOf = ({ types, vmlinuxValueType }: MapSpec): MapSpec["types"] =>
  types ?? (vmlinuxValueType === undefined ? undefined : { key: u32, value: u32 })

/** Loads BTF made from the map's layouts; it belongs to the map once that is created. */
const acquireTypes = (kernel: KernelService, spec: MapSpec) =>
  Effect.gen(function*() {
    const layouts = typesOf(spec)
    if (layouts === undefined) return undefined
    const { bytes, key, value } = "btf" in layouts
      ? { ...layouts, bytes: layouts.btf }
      : yield* Effect.fromResult(
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

/** Creates an empty map of a spec that was read: a descriptor that is closed with the scope, and -1 from then on. */
export const createMap = (
  kernel: KernelService,
  spec: MapSpec
): Effect.Effect<Descriptor, InvalidArgument | SystemCallError, Scope.Scope> =>
  withLocalScope(Effect.fnUntraced(function*(owner): Effect.fn.Return<
    Descriptor,
    InvalidArgument | SystemCallError,
    Scope.Scope
  > {
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
