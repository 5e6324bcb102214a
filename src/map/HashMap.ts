/**
 * A hash table (`BPF_MAP_TYPE_HASH`, kernel 3.19): keys and values of fixed size, shared with BPF programs. An update
 * replaces an entry as a whole; there is no order. When it is full, updates of new keys fail.
 *
 * `makeLru` makes a table that evicts instead (`BPF_MAP_TYPE_LRU_HASH`, kernel 4.10): updates of new keys never fail, as
 * entries that were not used lately make room. `maxEntries` is the most that there can be, and not what can be relied on:
 *
 * - By default all CPUs share one list, of which each takes free entries for itself, up to 128 at once (from 6.17 on at most
 *   half of `maxEntries` divided by the number of possible CPUs). A CPU that needs more when none is free evicts as many at
 *   once, also while other CPUs have free ones: a map of 200 on 2 CPUs has 150 entries after that.
 * - With `BPF_F_NO_COMMON_LRU` each CPU has its own part of `maxEntries`, and evicts when that part is full, 4 at once.
 * - An update of a key that is there takes a new entry too, and may evict others for it.
 *
 * So make it larger than what must be kept: by 128 entries for each possible CPU, and some.
 *
 * Lookups by programs count as use; those by system calls do not.
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
import { createFrom } from "./internal/definition.ts"
import { defineTable, type Table, type TableOptions } from "./internal/table.ts"

/**
 * A hash map of this process. After the scope that it was made in has closed, its operations fail with a
 * `SystemCallError` of EBADF.
 */
export interface HashMap<K, V> extends Table<K, V, "hash"> {}

/** A hash map of this process that evicts when it is full; `HashMap` otherwise. */
export interface LruHashMap<K, V> extends Table<K, V, "lru_hash"> {}

/** What a hash map is made of. */
export interface Options<K, V> extends TableOptions<K, V> {}

/** A hash map as a value, for `BpfMap.create`, `openPinned` and their sisters. */
export const define = <K, V>(options: Options<K, V>): Definition<HashMap<K, V>> => defineTable("hash", options)

/** A hash map that evicts when it is full, as a value. */
export const defineLru = <K, V>(options: Options<K, V>): Definition<LruHashMap<K, V>> =>
  defineTable("lru_hash", options)

/**
 * Creates a hash map, closed with the scope. `maxEntries` is a limit that the kernel enforces; its memory is allocated
 * at once, unless the flags have `BPF_F_NO_PREALLOC`.
 *
 * Fails with `InvalidArgument` for a bad name or number of entries, and with `SystemCallError` if the kernel refuses.
 */
export const make = <K, V>(
  options: Options<K, V>
): Effect.Effect<HashMap<K, V>, InvalidArgument | SystemCallError, Kernel | Scope.Scope> =>
  createFrom(() => define(options))

/**
 * Creates a hash map that evicts when it is full, closed with the scope; as `make` otherwise. Its memory is allocated at
 * once. Kernel 4.10.
 *
 * @example
 * ```ts
 * import { HashMap, Layout } from "effect-ebpf"
 * import * as Effect from "effect/Effect"
 *
 * const program = Effect.gen(function*() {
 *   const recent = yield* HashMap.makeLru({ name: "recent", key: Layout.u32, value: Layout.u64, maxEntries: 1024 })
 *   for (let flow = 0; flow < 5000; flow++) yield* recent.update(flow, 1n) // never full
 *   return yield* recent.count // at most 1024, and some hundred fewer
 * })
 * ```
 */
export const makeLru = <K, V>(
  options: Options<K, V>
): Effect.Effect<LruHashMap<K, V>, InvalidArgument | SystemCallError, Kernel | Scope.Scope> =>
  createFrom(() => defineLru(options))
