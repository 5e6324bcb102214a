/**
 * Queues and stacks of values without keys (`BPF_MAP_TYPE_QUEUE` and `BPF_MAP_TYPE_STACK`, kernel 4.20): programs push
 * and pop with `bpf_map_push_elem` and `bpf_map_pop_elem`. A queue gives the oldest value first, a stack the newest.
 *
 * @example
 * ```ts
 * import { Layout, QueueMap } from "effect-ebpf"
 * import * as Effect from "effect/Effect"
 *
 * const program = Effect.gen(function*() {
 *   const free = yield* QueueMap.make({ name: "free_ports", value: Layout.u16, maxEntries: 128 })
 *   yield* free.push(4000)
 *   return yield* free.pop // Option.some(4000)
 * })
 * ```
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import { errno } from "../abi/errno.ts"
import { bpf_map_update_flags } from "../abi/generated/enums.ts"
import type { Kernel } from "../kernel/Kernel.ts"
import type { InvalidArgument, SystemCallError } from "../kernel/KernelError.ts"
import { aBoolean, type Checks, readOptions } from "../kernel/options.ts"
import type { Layout, LayoutError } from "../layout/Layout.ts"
import type { BpfMap, DefineOptions, Definition } from "./BpfMap.ts"
import { acquireAccess, assertLive, refused, withValue } from "./internal/access.ts"
import { extend } from "./internal/handle.ts"
import { exactBytes } from "./internal/codec.ts"
import { inline } from "./internal/inline.ts"
import { createFrom, layout, readDefinition } from "./internal/definition.ts"
import { define as defineMap } from "./internal/open.ts"

/**
 * A queue or a stack of this process. After the scope that it was made in has closed, its operations fail with a
 * `SystemCallError` of EBADF.
 */
export interface QueueMap<V, T extends "queue" | "stack" = "queue" | "stack"> extends BpfMap<T> {
  readonly value: Layout<V>
  /**
   * Adds a value. When it is full this fails with E2BIG, unless `evict` is true: then the oldest value makes room.
   */
  readonly push: (
    value: V,
    options?: PushOptions
  ) => Effect.Effect<void, InvalidArgument | LayoutError | SystemCallError>
  /** Takes the next value out: the oldest of a queue, the newest of a stack. `None` if it is empty. */
  readonly pop: Effect.Effect<Option.Option<V>, LayoutError | SystemCallError>
  /** The value that `pop` would give, left in place. */
  readonly peek: Effect.Effect<Option.Option<V>, LayoutError | SystemCallError>
}

/** How a value is added. */
export interface PushOptions {
  /** Whether the oldest value makes room when it is full. */
  readonly evict?: boolean
}

const pushChecks: Checks<PushOptions> = { evict: aBoolean }

/** What a queue or a stack is made of. */
export interface Options<V> extends DefineOptions {
  readonly value: Layout<V>
}

const defineKind = <V, const T extends "queue" | "stack">(type: T, options: Options<V>): Definition<QueueMap<V, T>> => {
  const { common, options: { value } } = readDefinition(type, options, { value: layout })
  return defineMap(
    { ...common, keySize: 0, valueSize: value.size },
    (opened) =>
      Effect.map(acquireAccess(opened, exactBytes(0, "key"), value), (access) => {
        const { elements } = access
        const take = (command: "BPF_MAP_LOOKUP_ELEM" | "BPF_MAP_LOOKUP_AND_DELETE_ELEM", call: () => number) =>
          inline<Option.Option<V>, LayoutError | SystemCallError>(() => {
            assertLive(access)
            return withValue(access, () => {
              const result = call()
              if (result >= 0) return Option.some(value.read(elements.value.view, elements.value.bytes, 0))
              if (result === -errno.ENOENT) return Option.none()
              throw refused(access, command, result)
            })
          })
        return extend(opened.map as BpfMap<T>, {
          value,
          push: (v: V, pushOptions?: PushOptions) =>
            inline<void, InvalidArgument | LayoutError | SystemCallError>(() => {
              assertLive(access)
              const { evict } = readOptions("options of a push", pushOptions, pushChecks)
              const { BPF_ANY, BPF_EXIST } = bpf_map_update_flags
              withValue(access, () => {
                value.write(elements.value.view, elements.value.bytes, 0, v)
                const result = elements.update(evict === true ? BPF_EXIST : BPF_ANY)
                if (result < 0) throw refused(access, "BPF_MAP_UPDATE_ELEM", result)
              })
            }),
          pop: take("BPF_MAP_LOOKUP_AND_DELETE_ELEM", () => elements.lookupAndDelete(0)),
          peek: take("BPF_MAP_LOOKUP_ELEM", () => elements.lookup(0))
        })
      })
  )
}

/** A queue as a value, for `BpfMap.create`, `openPinned` and their sisters. */
export const define = <V>(options: Options<V>): Definition<QueueMap<V, "queue">> => defineKind("queue", options)

/** A stack as a value. */
export const defineStack = <V>(options: Options<V>): Definition<QueueMap<V, "stack">> => defineKind("stack", options)

/**
 * Creates a queue, closed with the scope.
 *
 * Fails with `InvalidArgument` for a bad name or number of entries, and with `SystemCallError` if the kernel refuses.
 */
export const make = <V>(
  options: Options<V>
): Effect.Effect<QueueMap<V, "queue">, InvalidArgument | SystemCallError, Kernel | Scope.Scope> =>
  createFrom(() => define(options))

/** Creates a stack, closed with the scope; as `make` otherwise. */
export const makeStack = <V>(
  options: Options<V>
): Effect.Effect<QueueMap<V, "stack">, InvalidArgument | SystemCallError, Kernel | Scope.Scope> =>
  createFrom(() => defineStack(options))
