/**
 * A hash table (`BPF_MAP_TYPE_HASH`, kernel 3.19): keys and values of fixed size, shared with BPF programs. An update
 * replaces an entry as a whole; there is no order. When it is full, updates of new keys fail: `LruHashMap` evicts instead.
 *
 * Its operations are described in `MapOperations`, with the contract of iteration.
 *
 * @example
 * ```ts
 * import { HashMap, Layout } from "effect-ebpf"
 * import * as Effect from "effect/Effect"
 * import * as Stream from "effect/Stream"
 *
 * const program = Effect.gen(function*() {
 *   const counters = yield* HashMap.make({ name: "counters", key: Layout.u32, value: Layout.u64, maxEntries: 1024 })
 *   yield* counters.update(7, 1n)
 *   yield* counters.setMany([[8, 2n], [9, 3n]])
 *   yield* counters.lookup(7) // Option.some(1n)
 *   return yield* Stream.runCollect(counters.entries) // [[7, 1n], [8, 2n], [9, 3n]], in any order
 * })
 * ```
 */
import type * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Kernel } from "../kernel/Kernel.ts"
import type { InvalidArgument, SystemCallError } from "../kernel/KernelError.ts"
import type { Definition } from "./BpfMap.ts"
import { create } from "./internal/open.ts"
import { defineTable, type Table, type TableOptions } from "./internal/table.ts"

/**
 * A hash map of this process. After the scope that it was made in has closed, its operations fail with a
 * `SystemCallError` of EBADF.
 */
export interface HashMap<K, V> extends Table<K, V, "hash"> {}

/** What a hash map is made of. */
export interface Options<K, V> extends TableOptions<K, V> {}

/** A hash map as a value, for `BpfMap.create`, `openPinned` and their sisters. */
export const define = <K, V>(options: Options<K, V>): Definition<HashMap<K, V>> => defineTable("hash", options)

/**
 * Creates a hash map, closed with the scope. `maxEntries` is a limit that the kernel enforces; its memory is allocated
 * at once, unless the flags have `BPF_F_NO_PREALLOC`.
 *
 * Fails with `InvalidArgument` for a bad name or number of entries, and with `SystemCallError` if the kernel refuses.
 */
export const make = <K, V>(
  options: Options<K, V>
): Effect.Effect<HashMap<K, V>, InvalidArgument | SystemCallError, Kernel | Scope.Scope> => create(define(options))
