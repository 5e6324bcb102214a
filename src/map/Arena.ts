/**
 * An arena (`BPF_MAP_TYPE_ARENA`, kernel 6.9): memory that programs and this process share, with pointers that mean the
 * same on both sides. Programs allocate its pages (`bpf_arena_alloc_pages`); pages that this process touches first are
 * there from then on, zeroed.
 *
 * @example
 * ```ts
 * import { Arena } from "effect-ebpf"
 * import * as Effect from "effect/Effect"
 *
 * const program = Effect.gen(function*() {
 *   const arena = yield* Arena.make({ name: "shared", maxEntries: 16 }) // pages
 *   const memory = yield* Arena.memory(arena)
 *   memory.view.setUint32(0, 42, true)
 * }).pipe(Effect.scoped)
 * ```
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { errno } from "../abi/errno.ts"
import { bpf_map_create_flags } from "../abi/generated/enums.ts"
import { mman } from "../abi/os.ts"
import { acquireMapping } from "../kernel/systemCall.ts"
import { Kernel } from "../kernel/Kernel.ts"
import { InvalidArgument, SystemCallError } from "../kernel/KernelError.ts"
import { whenRight } from "../kernel/options.ts"
import type { BpfMap, DefineOptions, Definition } from "./BpfMap.ts"
import { assertMap, closedError, describe, extend } from "./internal/handle.ts"
import { createFrom, readDefinition } from "./internal/definition.ts"
import { define as defineMap } from "./internal/open.ts"

/** An arena of this process. */
export interface Arena extends BpfMap<"arena"> {}

/** What an arena is made of. `maxEntries` is its size in pages, at most 4 GiB of them. */
export interface Options extends DefineOptions {}

/** An arena as a value, for `BpfMap.create`, `openPinned` and their sisters. */
export const define = (options: Options): Definition<Arena> => {
  const { common } = readDefinition("arena", options, {})
  return defineMap(
    {
      ...common,
      flags: common.flags | bpf_map_create_flags.BPF_F_MMAPABLE,
      keySize: 0,
      valueSize: 0
    },
    (opened) => Effect.succeed(extend(opened.map, {}))
  )
}

/**
 * Creates an arena, closed with the scope.
 *
 * Fails with `InvalidArgument` for a bad name or size, and with `SystemCallError` if the kernel refuses.
 */
export const make = (
  options: Options
): Effect.Effect<Arena, InvalidArgument | SystemCallError, Kernel | Scope.Scope> => createFrom(() => define(options))

/** An arena's memory in this process. Both views are of length 0 once its scope has closed. */
export interface ArenaMemory {
  readonly bytes: Uint8Array
  readonly view: DataView
}

/** The kernel's answer to a mapping at another address than the arena's own. */
const ELSEWHERE = "An arena has one address wherever it is mapped, and this one was mapped before: keep that view"

/**
 * Maps the arena into this process, until the scope closes. An arena is mapped once: its address stays its own.
 *
 * Fails with `SystemCallError` if the kernel refuses: EINVAL for an arena that was mapped before; and with `InvalidArgument`
 * for one made with `BPF_F_SEGV_ON_FAULT`, of which a page that no program allocated ends the process that reads it.
 */
export const memory = (
  arena: Arena
): Effect.Effect<ArenaMemory, InvalidArgument | SystemCallError, Kernel | Scope.Scope> =>
  whenRight(() => {
    assertMap("arena", arena, "arena")
    return mapped(arena)
  })

const mapped = (arena: Arena): Effect.Effect<ArenaMemory, InvalidArgument | SystemCallError, Kernel | Scope.Scope> =>
  Effect.gen(function*() {
    const kernel = yield* Kernel
    if ((arena.spec.flags & bpf_map_create_flags.BPF_F_SEGV_ON_FAULT) !== 0) {
      return yield* new InvalidArgument({
        field: "arena",
        expected: "an arena whose pages come when they are touched",
        actual:
          `${arena.spec.name}, made with BPF_F_SEGV_ON_FAULT: a touch of a page that is not there ends the process`
      })
    }
    if (arena.fd < 0) return yield* closedError(arena)
    const mapping = yield* Effect.mapError(
      acquireMapping(kernel, describe(arena.spec), {
        fd: arena.fd,
        length: arena.spec.maxEntries * kernel.pageSize,
        protection: mman.PROT_READ | mman.PROT_WRITE,
        offset: 0
      }),
      (error) => error.errno === errno.EINVAL ? new SystemCallError({ ...error, hint: ELSEWHERE }) : error
    )
    return { bytes: new Uint8Array(mapping.buffer), view: new DataView(mapping.buffer) }
  })
