// What a map asks of its attributes, by the table of kinds, for the words after an EINVAL or E2BIG: the kernel gives none.
// Nothing here runs before the kernel has refused.
import { bpf_map_create_flags } from "../../abi/generated/enums.ts"
import { errno } from "../../abi/errno.ts"
import type { FeatureName } from "../../kernel/Features.ts"
import type { KernelService } from "../../kernel/kernelService.ts"
import * as MapKind from "../../spec/MapKind.ts"
import type { MapSpec } from "../../spec/MapSpec.ts"

/** The features that a map needs beyond what every supported kernel has; for hints after a failure. */
export const featuresOf = ({ type }: MapSpec): ReadonlyArray<FeatureName> => {
  const since = MapKind.of(type)?.since
  return since === undefined ? [] : [since]
}

/** Flags that most kinds take. */
const ACCESS: ReadonlyArray<keyof typeof bpf_map_create_flags> = [
  "BPF_F_RDONLY",
  "BPF_F_WRONLY",
  "BPF_F_RDONLY_PROG",
  "BPF_F_WRONLY_PROG"
]

const wrongSize = (
  field: string,
  size: number,
  wanted: MapKind.Sizes
): string | undefined => {
  if ("least" in wanted) {
    return size >= wanted.least
      ? undefined
      : `${field} must be at least ${wanted.least}, not ${size}`
  }
  return wanted.includes(size) ? undefined : `${field} must be ${wanted.join(" or ")}, not ${size}`
}

const flagNames = (flags: number): ReadonlyArray<string> =>
  Array.from({ length: 32 }, (_, bit) => 2 ** bit)
    .filter((flag) => Math.floor(flags / flag) % 2 === 1)
    .map((flag) =>
      Object.entries(bpf_map_create_flags).find(([, value]) => value === flag)?.[0] ?? `0x${flag.toString(16)}`
    )

/** False for the kinds whose `maxEntries` must be 0, as their entries belong to other objects. */
export const hasMaxEntries = ({ type }: MapSpec): boolean =>
  typeof type === "string" && (MapKind.of(type)?.hasMaxEntries ?? true)

/** sizeof(struct htab_elem), which an entry of a hash table has beside its key and value. */
const HASH_ENTRY = 48
/** KMALLOC_MAX_SIZE: what the kernel allocates in one piece. */
const MOST_AT_ONCE = 4 << 20
/** PCPU_MIN_UNIT_SIZE: what per-CPU memory gives at once. */
const MOST_PER_CPU = 32 << 10

/** What E2BIG and ENOMEM mean: an entry that is too large, or too many of them. */
const whyTooLarge = ({ keySize, maxEntries, type, valueSize }: MapSpec, facts: MapKind.Facts): string => {
  if (facts.perCpu && valueSize > MOST_PER_CPU) {
    return `A per-CPU value has at most ${MOST_PER_CPU} bytes, and this one has ${valueSize}`
  }
  if (facts.keys === "key" && keySize + valueSize >= MOST_AT_ONCE - HASH_ENTRY) {
    return `Key and value together must be below ${MOST_AT_ONCE - HASH_ENTRY} bytes, and these are ` +
      `${keySize} and ${valueSize}`
  }
  if (facts.keys === "object" || facts.keys === "none" && valueSize > MOST_AT_ONCE / 2) {
    return `Its value of ${valueSize} bytes is larger than a ${type} map takes`
  }
  const bytes = maxEntries * (keySize + valueSize)
  return `maxEntries ${maxEntries}, of ${
    keySize + valueSize
  } bytes each, are more than the kernel takes or has memory ` +
    `for: ${(bytes / 2 ** 30).toFixed(1)} GiB in all`
}

const isTooLarge = (number: number): boolean => number === errno.E2BIG || number === errno.ENOMEM

/** Which attribute of a map its kind does not take, in words; `undefined` where none is seen. */
export const whyRefused = (spec: MapSpec, number: number): string | undefined => {
  const facts = typeof spec.type === "number" ? undefined : MapKind.of(spec.type)
  if (facts === undefined) return undefined
  if (isTooLarge(number)) return whyTooLarge(spec, facts)
  const size = wrongSize("keySize", spec.keySize, facts.keySize) ??
    wrongSize("valueSize", spec.valueSize, facts.valueSize)
  if (size !== undefined) return `For a ${spec.type} map ${size}`
  if (!facts.hasMaxEntries) {
    if (spec.maxEntries !== 0) return `For a ${spec.type} map maxEntries must be 0, not ${spec.maxEntries}`
  } else if (spec.maxEntries === 0) return `For a ${spec.type} map maxEntries must be at least 1, not 0`
  const taken: ReadonlyArray<string> = [...facts.flags, ...ACCESS]
  const foreign = flagNames(spec.flags).filter((name) => !taken.includes(name))
  if (foreign.length > 0) {
    return `A ${spec.type} map does not take ${foreign.join(" and ")} (flags are 0x${spec.flags.toString(16)}); ` +
      `it takes ${taken.join(", ")}`
  }
  return spec.numaNode !== undefined && !taken.includes("BPF_F_NUMA_NODE")
    ? `A ${spec.type} map has no NUMA node of its own, and numaNode is ${spec.numaNode}`
    : undefined
}

/** Why a NUMA node is refused: there is none of this number. */
export const whyNoNode = (kernel: KernelService, { numaNode }: MapSpec): string | undefined => {
  if (numaNode === undefined) return undefined
  const online = kernel.files.read("/sys/devices/system/node/online")
  const nodes = typeof online === "number" ? undefined : new TextDecoder().decode(online).trim()
  return `numaNode ${numaNode} is none of this machine's nodes that have memory${
    nodes === undefined ? "" : `: ${nodes}`
  }`
}
