// What the kernel tells of a map, by its descriptor or its id.
import type * as Effect from "effect/Effect"
import { readObjectInfo } from "../../bpf/objectInfo.ts"
import type { KernelService } from "../../kernel/Kernel.ts"
import type { SystemCallError } from "../../kernel/KernelError.ts"
import { nameOf } from "../../spec/MapKind.ts"
import type { MapKind, MapSpec } from "../../spec/MapSpec.ts"

/** What the kernel says of a map. */
export interface Info {
  /** Unique among all maps of the system; never used again soon. */
  readonly id: number
  /** The number of its kind in `enum bpf_map_type`; `kind` has its name. */
  readonly type: number
  readonly kind: MapKind
  /** Empty for maps made without one. */
  readonly name: string
  /** In bytes. */
  readonly keySize: number
  /** In bytes, of one CPU's value for per-CPU kinds. */
  readonly valueSize: number
  readonly maxEntries: number
  readonly flags: number
  /** `map_extra`; 0 on kernels before 5.16. */
  readonly mapExtra: number
  /** The id of the BTF that it carries, and in it those of the types of its keys and values; 0 without. */
  readonly btfId: number
  readonly keyTypeId: number
  readonly valueTypeId: number
}

/** Reads the info of a descriptor that is known to be a map's. */
export const readInfo = (kernel: KernelService, fd: number, subject: string): Effect.Effect<Info, SystemCallError> =>
  readObjectInfo(kernel, "map", { fd, subject }, ({ number, text }) => ({
    id: number("id"),
    type: number("type"),
    kind: nameOf(number("type")),
    name: text("name"),
    keySize: number("key_size"),
    valueSize: number("value_size"),
    maxEntries: number("max_entries"),
    flags: number("map_flags"),
    mapExtra: number("map_extra"),
    btfId: number("btf_id"),
    keyTypeId: number("btf_key_type_id"),
    valueTypeId: number("btf_value_type_id")
  }))

/** The spec that such a map was made from, as far as the kernel tells. */
export const specOf = (info: Info): MapSpec => ({
  type: info.kind,
  name: info.name,
  keySize: info.keySize,
  valueSize: info.valueSize,
  maxEntries: info.maxEntries,
  flags: info.flags,
  mapExtra: info.mapExtra
})
