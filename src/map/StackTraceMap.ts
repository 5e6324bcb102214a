/**
 * Call stacks (`BPF_MAP_TYPE_STACK_TRACE`, kernel 4.6): `bpf_get_stackid` stores the stack of the running task and gives
 * the id under which it is found here. Addresses of the kernel are named by `KernelSymbols`.
 *
 * Ids are hashes: different stacks may fall on one id, and then the later one is dropped unless the program asks for
 * `BPF_F_REUSE_STACKID`.
 *
 * @example
 * ```ts
 * import { KernelSymbols, StackTraceMap } from "effect-ebpf"
 * import * as Effect from "effect/Effect"
 * import * as Option from "effect/Option"
 *
 * const print = (stacks: StackTraceMap.StackTraceMap, id: number) =>
 *   Effect.gen(function*() {
 *     const symbols = yield* KernelSymbols.load
 *     const stack = Option.getOrElse(yield* stacks.lookup(id), () => [])
 *     for (const address of stack) console.log(KernelSymbols.format(symbols, address))
 *   })
 * ```
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import type { Kernel } from "../kernel/Kernel.ts"
import type { InvalidArgument, SystemCallError } from "../kernel/KernelError.ts"
import { anInteger } from "../kernel/options.ts"
import { array, u32, u64 } from "../layout/Layout.ts"
import type { BpfMap, DefineOptions, Definition } from "./BpfMap.ts"
import { extend } from "./internal/handle.ts"
import { acquireKeyed } from "./internal/keyed.ts"
import { createFrom, readDefinition } from "./internal/definition.ts"
import { define as defineMap } from "./internal/open.ts"
import type { Delete, Iterate, Lookup } from "./MapOperations.ts"

/** A stack: return addresses, the innermost first. */
export type Stack = ReadonlyArray<bigint>

/** A stack trace map of this process, by stack id. */
export interface StackTraceMap
  extends
    BpfMap<"stack_trace">,
    Pick<Lookup<number, Stack>, "lookup">,
    Pick<Delete<number, Stack>, "delete">,
    Pick<Iterate<number, Stack>, "keys" | "count">
{}

/** What a stack trace map is made of. */
export interface Options extends DefineOptions {
  /** The most addresses of a stack: up to `kernel.perf_event_max_stack`, which is 127 unless set otherwise. */
  readonly maxDepth?: number
}

/** What is beyond a stack's end is zero. */
const trim = (stack: Stack): Stack => {
  const end = stack.indexOf(0n)
  return end < 0 ? stack : stack.slice(0, end)
}

/** What fits in a value of a map (4 MiB); how many the kernel takes is a setting of its own. */
const MOST_DEPTH = 1 << 19

/** A stack trace map as a value, for `BpfMap.create`, `openPinned` and their sisters. */
export const define = (options: Options): Definition<StackTraceMap> => {
  const { common, options: { maxDepth = 127 } } = readDefinition("stack_trace", options, {
    maxDepth: anInteger(1, MOST_DEPTH)
  })
  const value = array(u64, maxDepth)
  return defineMap(
    { ...common, keySize: 4, valueSize: value.size },
    (opened) =>
      Effect.map(acquireKeyed(opened, u32, value), (keyed) =>
        extend(opened.map, {
          lookup: (id: number) => Effect.map(keyed.lookup(id), Option.map(trim)),
          delete: keyed.delete,
          keys: keyed.keys,
          count: keyed.count
        }))
  )
}

/**
 * Creates a stack trace map, closed with the scope.
 *
 * Fails with `InvalidArgument` for a bad name or number of entries, and with `SystemCallError` if the kernel refuses:
 * EINVAL for more depth than the kernel allows.
 */
export const make = (
  options: Options
): Effect.Effect<StackTraceMap, InvalidArgument | SystemCallError, Kernel | Scope.Scope> =>
  createFrom(() => define(options))
