// The element operations of maps, as single system calls on memory prepared once: one attr block, one key and one value
// per map. Results are numbers; a miss costs no error object.
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { errno } from "../../abi/errno.ts"
import { bpf_cmd } from "../../abi/generated/enums.ts"
import { bpf_attr_map_elem } from "../../abi/generated/structs.ts"
import { fill } from "../../kernel/internal/attr.ts"
import { acquireBlock, retrying } from "../../kernel/internal/syscall.ts"
import type { Block, KernelService } from "../../kernel/Kernel.ts"
import { SystemCallError } from "../../kernel/KernelError.ts"
import { type BpfMap, describe } from "../BpfMap.ts"

const { flags } = bpf_attr_map_elem.fields
/** How much of the attr each command reads: DELETE must not see the value pointer, or it answers EINVAL. */
const SIZE_WITH_FLAGS = flags.offset + flags.size
const SIZE_OF_KEY_ONLY = bpf_attr_map_elem.fields.key.offset + bpf_attr_map_elem.fields.key.size

/** The blocks of one map, and its calls. The caller fills `key` and `value` first. */
export interface Elements {
  /** False from the moment that the scope begins to release any of this. */
  readonly isLive: () => boolean
  readonly key: Block
  readonly value: Block
  readonly lookup: () => number
  readonly update: (mode: number) => number
  readonly delete: () => number
}

/** Prepares a map's memory, which is freed with the scope. */
export const acquireElements = (
  kernel: KernelService,
  map: BpfMap
): Effect.Effect<Elements, SystemCallError, Scope.Scope> =>
  Effect.gen(function*() {
    const key = yield* acquireBlock(kernel, map.spec.keySize)
    const value = yield* acquireBlock(kernel, map.spec.valueSize)
    const attr = yield* acquireBlock(kernel, bpf_attr_map_elem.size)
    fill(attr, bpf_attr_map_elem, { map_fd: map.fd, key, value })
    /** A closure for each call would cost 70 ns: `retrying` is only reached when a signal came between. */
    const call = (command: number, size: number): number => {
      const result = kernel.bpf(command, attr, size)
      return result === -errno.EINTR ? retrying(() => kernel.bpf(command, attr, size)) : result
    }
    const setFlags = (value: number): void => attr.view.setUint32(flags.offset, value, true)
    return {
      isLive: () => attr.live, // acquired last, so released first
      key,
      value,
      lookup: () => {
        setFlags(0)
        return call(bpf_cmd.BPF_MAP_LOOKUP_ELEM, SIZE_WITH_FLAGS)
      },
      update: (mode) => {
        setFlags(mode)
        return call(bpf_cmd.BPF_MAP_UPDATE_ELEM, SIZE_WITH_FLAGS)
      },
      delete: () => call(bpf_cmd.BPF_MAP_DELETE_ELEM, SIZE_OF_KEY_ONLY)
    }
  })

/** What a failed element operation was, for its error. */
export const elementCall = (map: BpfMap, command: keyof typeof bpf_cmd) => ({
  call: "bpf",
  command,
  subject: describe(map.spec)
})

/** The error of an update that found no room. */
export const full = (map: BpfMap): SystemCallError =>
  new SystemCallError({
    ...elementCall(map, "BPF_MAP_UPDATE_ELEM"),
    errno: errno.E2BIG,
    hint: `The map is full: ${map.spec.maxEntries} of ${map.spec.maxEntries} entries`
  })
