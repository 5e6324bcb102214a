// The element operations of maps, as single system calls on memory prepared once: attr blocks, one key and one value
// per map. Results are numbers; a miss costs no error object.
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { errno } from "../../abi/errno.ts"
import { bpf_cmd } from "../../abi/generated/enums.ts"
import { bpf_attr_map_elem } from "../../abi/generated/structs.ts"
import type { FeatureName } from "../../kernel/Features.ts"
import { fill } from "../../kernel/attribute.ts"
import { acquireBlockUntil, type Call, retrying } from "../../kernel/systemCall.ts"
import type { Block, KernelService } from "../../kernel/Kernel.ts"
import type { SystemCallError } from "../../kernel/KernelError.ts"
import type { MapSpec } from "../../spec/MapSpec.ts"
import { strideOf } from "./codec.ts"
import { describe, type Opened } from "./handle.ts"
import { kindOf } from "./info.ts"

const { flags, key: keyField, next_key } = bpf_attr_map_elem.fields
/** How much of the attr each command reads: bytes after its last field must be zero, or it answers EINVAL. */
const SIZE_WITH_FLAGS = flags.offset + flags.size
const SIZE_OF_KEY_ONLY = keyField.offset + keyField.size
const SIZE_OF_NEXT = next_key.offset + next_key.size

/**
 * The blocks of one map, and its calls. The caller fills `key` and `value` first, and makes sure that nobody else does
 * meanwhile: an operation is `busy` from its first byte to its last, and another one that finds it so (by way of a user's
 * codec or getter) runs `insideAnother`.
 */
export interface Elements {
  /** False from the moment that the scope begins to release any of this. */
  readonly isLive: () => boolean
  busy: boolean
  /** How many operations wait for the one that runs inside them. */
  outer: number
  /** Frees what had to wait for the end of the operation. */
  readonly settle: () => void
  readonly key: Block
  readonly value: Block
  readonly lookup: (flags: number) => number
  readonly update: (flags: number) => number
  readonly delete: () => number
  readonly lookupAndDelete: (flags: number) => number
  /** Replaces the key by the one after it, or by the first one. */
  readonly next: (from: "start" | "key") => number
}

/** Of a kind that is not known here the kernel may copy a value for each CPU: there is room for that. */
const valueBytes = ({ possibleCpus }: KernelService, { type, valueSize }: MapSpec, size: number): number =>
  typeof kindOf(type) === "number" ? Math.max(size, strideOf(valueSize) * possibleCpus) : size

/**
 * Prepares a map's memory, which is freed with the scope. A map without keys (a queue) has a null key pointer. Sizes
 * are those of what the calls copy: for per-CPU values all of them.
 */
export const acquireElements = (
  { kernel, map }: Opened,
  sizes: { readonly key: number; readonly value: number }
): Effect.Effect<Elements, SystemCallError, Scope.Scope> =>
  Effect.gen(function*() {
    let live = true
    const pending: Array<() => void> = []
    let inUse = (): boolean => false
    const acquire = (size: number) =>
      acquireBlockUntil(kernel, size, (free) => {
        live = false
        // The user's code amid an operation closed the scope: the operation still writes to its blocks before it ends.
        if (inUse()) pending.push(free)
        else free()
      })
    const key = yield* acquire(sizes.key)
    const value = yield* acquire(valueBytes(kernel, map.spec, sizes.value))
    const firstAttr = yield* acquire(bpf_attr_map_elem.size)
    const nextAttr = yield* acquire(bpf_attr_map_elem.size)
    const attr = yield* acquire(bpf_attr_map_elem.size)
    const keyPointer = sizes.key === 0 ? undefined : key
    fill(attr, bpf_attr_map_elem, { map_fd: map.fd, key: keyPointer, value })
    fill(firstAttr, bpf_attr_map_elem, { map_fd: map.fd, next_key: key })
    // The kernel has copied the old key before it writes the new one.
    fill(nextAttr, bpf_attr_map_elem, { map_fd: map.fd, key: keyPointer, next_key: key })
    const call = (command: number, block: Block, size: number): number => {
      if (!live) return -errno.EBADF // closed since the operation began; the descriptor's number may be another's
      const result = kernel.bpf.call(command, block, size)
      return result === -errno.EINTR ? again(command, block, size) : result
    }
    /** Apart from `call`, which would allocate what this closure captures, called or not. */
    const again = (command: number, block: Block, size: number): number =>
      retrying(() => kernel.bpf.call(command, block, size))
    const FLAGS = flags.offset / 4
    const { u32 } = attr
    const elements: Elements = {
      isLive: () => live,
      busy: false,
      outer: 0,
      settle: () => {
        while (elements.outer === 0 && pending.length > 0) pending.pop()!()
      },
      key,
      value,
      lookup: (f) => {
        u32[FLAGS] = f
        return call(bpf_cmd.BPF_MAP_LOOKUP_ELEM, attr, SIZE_WITH_FLAGS)
      },
      update: (f) => {
        u32[FLAGS] = f
        return call(bpf_cmd.BPF_MAP_UPDATE_ELEM, attr, SIZE_WITH_FLAGS)
      },
      delete: () => call(bpf_cmd.BPF_MAP_DELETE_ELEM, attr, SIZE_OF_KEY_ONLY),
      lookupAndDelete: (f) => {
        u32[FLAGS] = f
        return call(bpf_cmd.BPF_MAP_LOOKUP_AND_DELETE_ELEM, attr, SIZE_WITH_FLAGS)
      },
      next: (from) => call(bpf_cmd.BPF_MAP_GET_NEXT_KEY, from === "start" ? firstAttr : nextAttr, SIZE_OF_NEXT)
    }
    inUse = () => elements.busy || elements.outer > 0
    return elements
  })

/** An operation that a codec or a getter runs amid another one of the same map, which finds its memory as it was. */
export const insideAnother = <A>(elements: Elements, operation: () => A): A => {
  const { key, value } = elements
  const before = [key.bytes.slice(), value.bytes.slice()] as const
  elements.busy = false
  elements.outer++
  try {
    return operation()
  } finally {
    elements.outer--
    elements.busy = true
    key.bytes.set(before[0])
    value.bytes.set(before[1])
  }
}

/** Runs an operation that uses the blocks of a map. On hot paths this is written out. */
export const exclusively = <A>(elements: Elements, operation: () => A): A => {
  if (elements.busy) return insideAnother(elements, operation)
  elements.busy = true
  try {
    return operation()
  } finally {
    finish(elements)
  }
}

/** The end of an operation. */
export const finish = (elements: Elements): void => {
  elements.busy = false
  if (!elements.isLive()) elements.settle()
}

/** What a failed element operation was, for its error. */
export const elementCall = (
  { map }: Opened,
  command: keyof typeof bpf_cmd,
  features?: ReadonlyArray<FeatureName>
): Call => ({ call: "bpf", command, subject: describe(map.spec), ...(features === undefined ? {} : { features }) })
