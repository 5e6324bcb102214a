// One opened map with its codecs and the memory of its calls: what the groups of operations work on.
import * as Effect from "effect/Effect"
import * as Scope from "effect/Scope"
import { bpf_map_update_flags } from "../../abi/generated/enums.ts"
import { errno } from "../../abi/errno.ts"
import type { FeatureName } from "../../kernel/Features.ts"
import { aBoolean, type Checks, oneOf, readOptions } from "../../kernel/options.ts"
import { toError } from "../../kernel/systemCall.ts"
import { SystemCallError } from "../../kernel/KernelError.ts"
import { LayoutError } from "../../layout/Layout.ts"
import * as MapKind from "../../spec/MapKind.ts"
import type { LookupOptions, UpdateMode, UpdateOptions } from "../MapOperations.ts"
import type { Codec } from "./codec.ts"
import { acquireElements, elementCall, type Elements, exclusively } from "./elements.ts"
import { whyNotAllowed } from "./fileState.ts"
import { closedError, describe, type Opened } from "./handle.ts"

/** An opened map, ready for calls. */
export interface Access<K, V> extends Opened {
  readonly key: Codec<K>
  readonly value: Codec<V>
  readonly elements: Elements
  /** That of the handle: what is acquired later, on first use, is released with it. */
  readonly scope: Scope.Scope
  /** Whether the kernel has batches for this map; `undefined` until it was tried. */
  batches: boolean | undefined
}

export const acquireAccess = <K, V>(
  opened: Opened,
  key: Codec<K>,
  value: Codec<V>
): Effect.Effect<Access<K, V>, SystemCallError, Scope.Scope> =>
  Effect.gen(function*() {
    const scope = yield* Effect.scope
    const elements = yield* acquireElements(opened, { key: key.size, value: value.size })
    return { ...opened, key, value, elements, scope, batches: undefined }
  })

const modes: { readonly [M in UpdateMode]: number } = {
  any: bpf_map_update_flags.BPF_ANY,
  noexist: bpf_map_update_flags.BPF_NOEXIST,
  exist: bpf_map_update_flags.BPF_EXIST
}

const lookupChecks: Checks<LookupOptions> = { lock: aBoolean }
const updateChecks: Checks<UpdateOptions> = { ...lookupChecks, mode: oneOf(Object.keys(modes)) }

/** The flags of a look-up. Throws `InvalidArgument`. */
export const lookupFlags = (options: LookupOptions | undefined): number =>
  readOptions("options of a lookup", options, lookupChecks).lock === true ? bpf_map_update_flags.BPF_F_LOCK : 0

/** The flags of an update. Throws `InvalidArgument`. */
export const updateFlags = (options: UpdateOptions | undefined): number => {
  const { lock, mode } = readOptions("options of an update", options, updateChecks)
  return (mode === undefined ? 0 : modes[mode]) | (lock === true ? bpf_map_update_flags.BPF_F_LOCK : 0)
}

/** The error of a refused operation on elements. */
export const refused = (
  access: Opened,
  command:
    | "BPF_MAP_LOOKUP_ELEM"
    | "BPF_MAP_UPDATE_ELEM"
    | "BPF_MAP_DELETE_ELEM"
    | "BPF_MAP_LOOKUP_AND_DELETE_ELEM"
    | "BPF_MAP_GET_NEXT_KEY"
    | "BPF_MAP_LOOKUP_BATCH"
    | "BPF_MAP_LOOKUP_AND_DELETE_BATCH",
  result: number,
  options?: { readonly flags?: number; readonly features?: ReadonlyArray<FeatureName> }
): SystemCallError => {
  if (access.map.fd < 0) return closedError(access.map) // by the user's code amid the operation
  const error = toError(access.kernel, elementCall(access, command, options?.features), result)
  const hint = hintOf(access, command, error.errno, options?.flags ?? 0)
  return hint === undefined ? error : new SystemCallError({ ...error, hint })
}

const writing: ReadonlySet<string> = new Set([
  "BPF_MAP_UPDATE_ELEM",
  "BPF_MAP_DELETE_ELEM",
  "BPF_MAP_LOOKUP_AND_DELETE_ELEM",
  "BPF_MAP_LOOKUP_AND_DELETE_BATCH"
])

/** What a refusal means, where more can be told than by its number. */
const hintOf = (access: Opened, command: string, number: number, flags: number): string | undefined => {
  const { kernel, map } = access
  if (number === errno.EPERM) {
    const why = writing.has(command) ? whyNotAllowed(kernel, map.fd, "write") : undefined
    return why ?? (command === "BPF_MAP_DELETE_ELEM" || command === "BPF_MAP_UPDATE_ELEM"
      ? undefined
      : whyNotAllowed(kernel, map.fd, "read"))
  }
  if (number === errno.EINVAL && (flags & bpf_map_update_flags.BPF_F_LOCK) !== 0) {
    return MapKind.of(map.spec.type)?.holds.includes("spin_lock") === false
      ? `lock: values of a ${map.spec.type} map hold no spin lock`
      : "lock: the map's values have no spin lock that the kernel knows of. Put a Layout.spinLock into their struct, and " +
        "make the map with btf: true"
  }
  return command === "BPF_MAP_UPDATE_ELEM" ? updateHint(access, number, flags) : undefined
}

/** What a refused update means: E2BIG is an index beyond an array's end, or a full map, as ENOSPC is for a trie. */
const updateHint = ({ map: { spec } }: Opened, number: number, flags: number): string | undefined => {
  const { maxEntries, type } = spec
  if (number === errno.E2BIG || (number === errno.ENOSPC && MapKind.nameOf(type) === "lpm_trie")) {
    return MapKind.of(type)?.keys === "index"
      ? `Indices of this map are below ${maxEntries}`
      : `The map is full: ${maxEntries} of ${maxEntries} entries`
  }
  if (number === errno.EEXIST && (flags & modes.noexist) !== 0) return "The key is present, and the mode is noexist"
  if (number === errno.ENOENT && (flags & modes.exist) !== 0) return "The key is absent, and the mode is exist"
  return undefined
}

/** The error of a key or value that its layout does not hold, with the map's name; anything else as it is. */
export const named = (part: "key" | "value", { map }: Opened, error: unknown): unknown =>
  error instanceof LayoutError && error.subject === undefined
    ? new LayoutError({ ...error, subject: `${part} of ${describe(map.spec)}` })
    : error

/** Runs an operation on a map without keys, whose value the user's code reads or writes. */
export const withValue = <A>(access: Access<any, any>, operation: () => A): A =>
  exclusively(access.elements, () => {
    try {
      return operation()
    } catch (error) {
      throw named("value", access, error)
    }
  })

/** Throws for a handle whose scope has closed: its memory may be another's by now. */
export const assertLive = (access: { readonly elements: Elements } & Opened): void => {
  if (!access.elements.isLive()) throw closedError(access.map)
}

/** What kernels and kinds without batches answer: EINVAL for an unknown command, ENOTSUPP for a kind. */
export const lacksBatches = (result: number): boolean =>
  result === -errno.EINVAL || result === -errno.ENOTSUPP || result === -errno.EOPNOTSUPP
