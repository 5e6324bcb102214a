// The element commands of maps on memory prepared once: results are numbers, and a call allocates nothing.
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { errno } from "../abi/errno.ts"
import { bpf_cmd } from "../abi/generated/enums.ts"
import { bpf_attr_batch, bpf_attr_map_elem } from "../abi/generated/structs.ts"
import { fill, readNumber } from "../kernel/attribute.ts"
import type { Block, KernelService } from "../kernel/Kernel.ts"
import type { SystemCallError } from "../kernel/KernelError.ts"
import { setPointer } from "../kernel/memory.ts"
import { acquireBlock, retrying } from "../kernel/systemCall.ts"

const { flags, key: keyField, next_key } = bpf_attr_map_elem.fields
/** How much of the attr each command reads: bytes after its last field must be zero, or it answers EINVAL. */
const SIZE_WITH_FLAGS = flags.offset + flags.size
const SIZE_OF_KEY_ONLY = keyField.offset + keyField.size
const SIZE_OF_NEXT = next_key.offset + next_key.size

/** The calls on one map's key and value, which lie in two blocks. Each gives 0 or `-errno`. */
export interface ElementCalls {
  /** BPF_MAP_LOOKUP_ELEM */
  readonly lookup: (flags: number) => number
  /** BPF_MAP_UPDATE_ELEM */
  readonly update: (flags: number) => number
  /** BPF_MAP_DELETE_ELEM */
  readonly delete: () => number
  /** BPF_MAP_LOOKUP_AND_DELETE_ELEM */
  readonly lookupAndDelete: (flags: number) => number
  /** BPF_MAP_GET_NEXT_KEY: replaces the key by the one after it, or by the first one. */
  readonly next: (from: "start" | "key") => number
}

/**
 * Prepares the calls, in memory that `acquire` gives. A map without keys (a queue) has a null pointer for its key. While
 * `isLive` says no they are EBADF: the descriptor's number may be another's by then.
 */
export const acquireElementCalls = <E, R>(
  { bpf }: KernelService,
  fd: number,
  { isKeyed, key, value }: { readonly key: Block; readonly isKeyed: boolean; readonly value: Block },
  acquire: (size: number) => Effect.Effect<Block, E, R>,
  isLive: () => boolean
): Effect.Effect<ElementCalls, E, R> =>
  Effect.gen(function*() {
    const firstAttr = yield* acquire(bpf_attr_map_elem.size)
    const nextAttr = yield* acquire(bpf_attr_map_elem.size)
    const attr = yield* acquire(bpf_attr_map_elem.size)
    const keyPointer = isKeyed ? key : undefined
    fill(attr, bpf_attr_map_elem, { map_fd: fd, key: keyPointer, value })
    fill(firstAttr, bpf_attr_map_elem, { map_fd: fd, next_key: key })
    // The kernel has copied the old key before it writes the new one.
    fill(nextAttr, bpf_attr_map_elem, { map_fd: fd, key: keyPointer, next_key: key })
    const call = (command: number, block: Block, size: number): number => {
      if (!isLive()) return -errno.EBADF
      const result = bpf.call(command, block, size)
      return result === -errno.EINTR ? again(command, block, size) : result
    }
    /** Apart from `call`, which would allocate what this closure captures, called or not. */
    const again = (command: number, block: Block, size: number): number =>
      retrying(() => bpf.call(command, block, size))
    const FLAGS = flags.offset / 4
    const { u32 } = attr
    return {
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
  })

/** The commands on many elements; kernel 5.6. */
export type BatchCommand =
  | "BPF_MAP_LOOKUP_BATCH"
  | "BPF_MAP_LOOKUP_AND_DELETE_BATCH"
  | "BPF_MAP_UPDATE_BATCH"
  | "BPF_MAP_DELETE_BATCH"

/** The fields of one batch. Offsets are in bytes, into their block. */
export interface Batch {
  /** Where the last one ended, for those that read; none at the start. */
  readonly from?: Block | undefined
  /** Where this one ends is written here. */
  readonly to?: Block | undefined
  readonly keys: Block
  readonly keysAt?: number
  readonly values?: Block | undefined
  readonly valuesAt?: number
  readonly count: number
  readonly elementFlags?: number
}

/** The calls of one batch command on one map. */
export interface BatchCalls {
  /** 0 or `-errno`. */
  readonly call: (batch: Batch) => number
  /** How many elements the last call did, as far as it tells. */
  readonly count: () => number
}

/** Prepares calls of a batch command. */
export const acquireBatchCalls = (
  kernel: KernelService,
  command: BatchCommand,
  fd: number
): Effect.Effect<BatchCalls, SystemCallError, Scope.Scope> =>
  Effect.map(acquireBlock(kernel, bpf_attr_batch.size), (attr) => {
    const { keys, values } = bpf_attr_batch.fields
    return {
      call: (batch) =>
        // A call that was interrupted may have changed the count.
        retrying(() => {
          fill(attr, bpf_attr_batch, {
            in_batch: batch.from,
            out_batch: batch.to,
            count: batch.count,
            map_fd: fd,
            elem_flags: batch.elementFlags ?? 0
          })
          setPointer(attr, keys.offset, batch.keys, batch.keysAt)
          if (batch.values !== undefined) setPointer(attr, values.offset, batch.values, batch.valuesAt)
          return kernel.bpf.call(bpf_cmd[command], attr, bpf_attr_batch.size)
        }),
      count: () => readNumber(attr, bpf_attr_batch, "count")
    }
  })
