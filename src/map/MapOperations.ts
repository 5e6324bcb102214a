/**
 * The operations that map handles have, in groups: a family's handle is made of the groups that the kernel allows it.
 *
 * **Effects and their unsafe twins.** Each operation is an effect of one system call. `lookupUnsafe`, `updateUnsafe`,
 * `deleteUnsafe` and `nextKeyUnsafe` do the same at once, for loops where 200 ns count: they throw the errors that the
 * effects fail with, and block the event loop as long as they take. With `u64Number` or smaller integers as keys and values they allocate nothing.
 *
 * **Iteration.** `entries`, `keys`, `values` and `columns` walk the map by batches (kernel 5.6). While others write to it:
 *
 * - an entry that is there from start to end is given once;
 * - one that is inserted or deleted meanwhile is given once or not at all; one that is deleted and inserted again may be
 *   given twice; of one that is changed, some value that it had meanwhile is given;
 * - in an LRU map an eviction is a deletion.
 *
 * Older kernels, and kinds without batches, are walked key by key. There, a deletion of the key that the walk stands on
 * makes the kernel begin again at the first: entries may be given twice, and after twice as many steps as the map has room
 * for, the walk fails with `IterationAborted`. It never ends early in silence.
 *
 * **Many at once.** `setMany`, `getMany` and `deleteMany` make few system calls for many keys, and `setColumns`,
 * `columns` and `drainColumns` do so on typed arrays. On kernels that lack what they need they make one call per key,
 * with the same result.
 */
import type * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import type * as Request from "effect/Request"
import type * as RequestResolver from "effect/RequestResolver"
import type * as Stream from "effect/Stream"
import type { InvalidArgument, SystemCallError } from "../kernel/KernelError.ts"
import type { Columns, LayoutError } from "../layout/Layout.ts"
import type { BatchError, IterationAborted } from "./MapError.ts"

/** Whether an update may create an entry, replace one, or both (the default). */
export type UpdateMode = "any" | "noexist" | "exist"

/** How a value is read. */
export interface LookupOptions {
  /** Under the spin lock in the value (`Layout.spinLock`), so that no program's change is seen half done. Kernel 5.1. */
  readonly lock?: boolean
}

/** How a value is written. */
export interface UpdateOptions extends LookupOptions {
  readonly mode?: UpdateMode
}

/** Reading by key. */
export interface Lookup<in K, out V> {
  /** The value of a key; `None` if there is no such entry. */
  readonly lookup: (
    key: K,
    options?: LookupOptions
  ) => Effect.Effect<Option.Option<V>, InvalidArgument | LayoutError | SystemCallError>
  /**
   * As `lookup`, at once: `undefined` if there is no such entry, and where the layout's own decoder gives `undefined`.
   * Throws what `lookup` fails with.
   */
  readonly lookupUnsafe: (key: K, options?: LookupOptions) => V | undefined
}

/** Writing by key. */
export interface Update<in K, in V> {
  /**
   * Sets the value of a key. Fails with EEXIST for `noexist` on a present key, ENOENT for `exist` on an absent one, and
   * E2BIG when the map is full.
   */
  readonly update: (
    key: K,
    value: V,
    options?: UpdateOptions
  ) => Effect.Effect<void, InvalidArgument | LayoutError | SystemCallError>
  /** As `update`, at once. Throws what `update` fails with. */
  readonly updateUnsafe: (key: K, value: V, options?: UpdateOptions) => void
}

/** Removing by key. */
export interface Delete<in K, out V> {
  /** Removes an entry: true if there was one. */
  readonly delete: (key: K) => Effect.Effect<boolean, LayoutError | SystemCallError>
  /** As `delete`, at once. Throws `LayoutError` and `SystemCallError`. */
  readonly deleteUnsafe: (key: K) => boolean
  /** Removes an entry and gives its value, as one step; kernel 5.14 for hash tables. */
  readonly lookupAndDelete: (
    key: K,
    options?: LookupOptions
  ) => Effect.Effect<Option.Option<V>, InvalidArgument | LayoutError | SystemCallError>
}

/** The errors of a walk over a map. */
export type IterationError = IterationAborted | LayoutError | SystemCallError

/** A part of a map as typed arrays; see `Layout.Columns`. */
export interface ColumnBatch<K, V> {
  /** How many entries these are. */
  readonly rows: number
  readonly keys: Columns<K>
  readonly values: Columns<V>
}

/** Walking over all entries; the contract is above. */
export interface Iterate<K, V> {
  readonly entries: Stream.Stream<readonly [K, V], IterationError>
  readonly keys: Stream.Stream<K, IterationError>
  readonly values: Stream.Stream<V, IterationError>
  /** All entries as typed arrays, a batch at a time, with no object per entry. */
  readonly columns: Stream.Stream<ColumnBatch<K, V>, IterationError>
  /** How many entries there are, by a walk over them. */
  readonly count: Effect.Effect<number, IterationError>
  /**
   * The key after one, or the first, at once: `undefined` at the end. The kernel begins again at the first one for a key
   * that is not there (any more).
   */
  readonly nextKeyUnsafe: (key: K | undefined) => K | undefined
}

/** Removing all entries. */
export interface Clear<K, V> {
  /** Removes all entries, and gives how many those were. Entries inserted meanwhile may stay. */
  readonly clear: Effect.Effect<number, IterationError>
  /** Walks over all entries and removes them, each batch in one step. */
  readonly drain: Stream.Stream<readonly [K, V], IterationError>
  /** As `drain`, as typed arrays. */
  readonly drainColumns: Stream.Stream<ColumnBatch<K, V>, IterationError>
}

/** Reading chosen keys together. */
export interface GetMany<in K, out V> {
  /**
   * The values of these keys, in their order; `None` for absent ones. From 5.14 on by a program in the kernel, some 10
   * times faster than one call for each; the first use loads it.
   */
  readonly getMany: (
    keys: ReadonlyArray<K>
  ) => Effect.Effect<ReadonlyArray<Option.Option<V>>, InvalidArgument | LayoutError | SystemCallError>
}

/** The request of one key's value, for a map's `resolver`. */
export interface LookupRequest<out K, out A>
  extends Request.Request<A, InvalidArgument | LayoutError | SystemCallError>
{
  readonly key: K
}

/**
 * Looking up single keys from many fibers, answered together. Lookups that fibers make before the next of their microtasks
 * are read as by `getMany`: from 64 keys on by one run of a program in the kernel, on 5.14 or later. Each has the value,
 * or the error, that `lookup` would give for its key alone.
 *
 * @example
 * ```ts
 * import { HashMap, Layout } from "effect-ebpf"
 * import * as Effect from "effect/Effect"
 *
 * const program = Effect.gen(function*() {
 *   const names = yield* HashMap.make({ name: "names", key: Layout.u32, value: Layout.u64, maxEntries: 4096 })
 *   const uids = Array.from({ length: 1000 }, (_, uid) => uid)
 *   yield* Effect.forEach(uids, names.lookupTogether, { concurrency: "unbounded" }) // two runs of a program, 512 keys each
 *   // The same by requests, which Effect can cache and trace:
 *   const lookup = (uid: number) => Effect.request(names.lookupRequest(uid), names.resolver)
 *   return yield* Effect.forEach(uids, lookup, { concurrency: "unbounded" })
 * })
 * ```
 */
export interface Together<in out K, in out A> {
  /** As `lookup`, and worth it where many fibers look up at once: for one alone it costs some microseconds more. */
  readonly lookupTogether: (key: K) => Effect.Effect<A, InvalidArgument | LayoutError | SystemCallError>
  /** The request of a key, for `resolver`. */
  readonly lookupRequest: (key: K) => LookupRequest<K, A>
  /** Answers requests, for `Effect.request` and the combinators of `RequestResolver`. */
  readonly resolver: RequestResolver.RequestResolver<LookupRequest<K, A>>
}

/** Writing many entries. */
export interface SetMany<K, V> {
  /** Sets entries, in order. Fails with `BatchError`, which says at which one, and how many were written. */
  readonly setMany: (
    entries: ReadonlyArray<readonly [K, V]>,
    options?: UpdateOptions
  ) => Effect.Effect<void, BatchError | InvalidArgument | SystemCallError>
  /**
   * Sets entries given as columns: typed arrays or plain arrays, all of one length. Fails with `InvalidArgument` where
   * the lengths differ, and with `BatchError` as `setMany` does.
   */
  readonly setColumns: (
    keys: Columns<K>,
    values: Columns<V>,
    options?: UpdateOptions
  ) => Effect.Effect<void, BatchError | InvalidArgument | SystemCallError>
}

/** Removing chosen keys together. */
export interface DeleteMany<K> {
  /** Removes entries, and gives how many of the keys were there. Fails with `BatchError`. */
  readonly deleteMany: (
    keys: ReadonlyArray<K>
  ) => Effect.Effect<number, BatchError | InvalidArgument | SystemCallError>
  /** As `deleteMany`, of keys given as a column. */
  readonly deleteColumns: (keys: Columns<K>) => Effect.Effect<number, BatchError | InvalidArgument | SystemCallError>
}

/** What a hash table can do; other kinds can do less. */
export interface Keyed<K, V>
  extends
    Lookup<K, V>,
    Update<K, V>,
    Delete<K, V>,
    Iterate<K, V>,
    Clear<K, V>,
    GetMany<K, V>,
    Together<K, Option.Option<V>>,
    SetMany<K, V>,
    DeleteMany<K>
{}

/** An object by its descriptor: a handle of this library, or the number of a descriptor from elsewhere. */
export type ObjectReference = number | { readonly fd: number }

/** Putting objects of the kernel into entries: maps, programs, sockets, devices. */
export interface ObjectEntries<in K, in O> {
  /**
   * Puts an object into an entry, or replaces the one there. Fails with `InvalidArgument` for an object whose scope has
   * closed, and with `SystemCallError` for a descriptor of another kind.
   */
  readonly update: (
    key: K,
    object: O,
    options?: UpdateOptions
  ) => Effect.Effect<void, InvalidArgument | LayoutError | SystemCallError>
  /** Empties an entry: true if something was there. */
  readonly delete: (key: K) => Effect.Effect<boolean, LayoutError | SystemCallError>
}

/** Which object an entry holds, for kinds that tell. */
export interface ObjectIds<in K, out A> {
  /** `None` for an empty entry. */
  readonly lookupId: (key: K) => Effect.Effect<Option.Option<A>, InvalidArgument | LayoutError | SystemCallError>
}
