// Walking over a map a page at a time: by BPF_MAP_LOOKUP_BATCH, or key by key where there is no such thing, or no good
// one. A page lies in memory that the next one overwrites: it is decoded before the walk goes on.
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { errno } from "../../abi/errno.ts"
import { acquireBatchCalls } from "../../bpf/elements.ts"
import { acquireBlock } from "../../kernel/systemCall.ts"
import type { Block } from "../../kernel/Kernel.ts"
import { SystemCallError } from "../../kernel/KernelError.ts"
import * as MapKind from "../../spec/MapKind.ts"
import type { MapSpec } from "../../spec/MapSpec.ts"
import { IterationAborted } from "../MapError.ts"
import { type Access, assertLive, lacksBatches, refused } from "./access.ts"
import { exclusively } from "./elements.ts"
import { describe } from "./handle.ts"
import { entriesInTurn } from "./turns.ts"

/** Entries of a map, in the memory of its walk. There may be none, and more to come. */
export interface Page {
  readonly count: number
  readonly keys: Block
  readonly values: Block
}

/** What a walk does. */
export interface WalkOptions {
  /** Whether what it gives is removed. */
  readonly drains: boolean
  /** The most entries of a page. */
  readonly most: number
}

/** A walk: each call gives the next page, or `undefined` at the end. */
export type Walk = Effect.Effect<Page | undefined, IterationAborted | SystemCallError, Scope.Scope>

/** A hash bucket that has more entries than fit is answered by ENOSPC: nearly never with as many as this. */
const FEWEST = 16

/** Kinds whose entries belong to other objects (cgroup storage) say 0, and have as many as those are. */
const mostEntries = ({ maxEntries }: MapSpec): number => maxEntries === 0 ? Number.POSITIVE_INFINITY : maxEntries

/** A page is what is decoded in one turn of the event loop; its memory is held while a consumer is slow. */
const capacityOf = ({ key, map, value }: Access<any, any>, most: number): number =>
  Math.max(1, Math.min(mostEntries(map.spec), Math.max(FEWEST, entriesInTurn(key.size + value.size, most))))

interface Buffers {
  readonly capacity: number
  readonly keys: Block
  readonly values: Block
}

const acquireBuffers = (access: Access<any, any>, capacity: number) =>
  Effect.gen(function*() {
    const keys = yield* acquireBlock(access.kernel, capacity * access.key.size)
    const values = yield* acquireBlock(access.kernel, capacity * access.value.size)
    return { capacity, keys, values }
  })

/** The errors that a step throws, as failures. */
const step = <A>(f: () => A): Effect.Effect<A, IterationAborted | SystemCallError> =>
  Effect.suspend(() => {
    try {
      return Effect.succeed(f())
    } catch (error) {
      if (error instanceof SystemCallError || error instanceof IterationAborted) return Effect.fail(error)
      throw error
    }
  })

/** By batches, which remove what they give if it `drains`. */
const byBatches = (access: Access<any, any>, { drains, most }: WalkOptions) =>
  Effect.gen(function*() {
    const { kernel, map } = access
    const command = drains ? "BPF_MAP_LOOKUP_AND_DELETE_BATCH" : "BPF_MAP_LOOKUP_BATCH"
    // The cursor is a bucket's number in a hash table, and a key in other kinds.
    const cursor = yield* acquireBlock(kernel, Math.max(8, access.key.size))
    const calls = yield* acquireBatchCalls(kernel, command, map.fd)
    let buffers: Buffers = yield* acquireBuffers(access, capacityOf(access, most))
    let place: "start" | "middle" | "end" = "start"

    const call = (): number => {
      const { capacity, keys, values } = buffers
      return calls.call({ from: place === "start" ? undefined : cursor, to: cursor, keys, values, count: capacity })
    }
    const next: Walk = Effect.suspend((): Walk => {
      if (place === "end") return Effect.undefined
      if (!access.elements.isLive()) return step(() => assertLive(access) as never)
      const result = call()
      if (result === -errno.ENOSPC) {
        return Effect.flatMap(acquireBuffers(access, buffers.capacity * 4), (larger) => {
          buffers = larger
          return next
        })
      }
      if (result < 0 && result !== -errno.ENOENT) {
        return Effect.fail(refused(access, command, result, { features: ["batch"] }))
      }
      place = result < 0 ? "end" : "middle"
      const count = calls.count()
      if (count === 0) return place === "end" ? Effect.undefined : next
      return Effect.succeed({ count, keys: buffers.keys, values: buffers.values })
    })
    return next
  })

/** Even a map of few entries may change a little while it is walked. */
const SOME_STEPS = 64

/** How many steps a walk by keys makes in a map of so many entries before it is taken to go in circles. */
const mostSteps = (spec: MapSpec): number => 2 * mostEntries(spec) + SOME_STEPS

/**
 * Key by key. The key after the last one of a page is fetched with it, so that a consumer may delete what it was given
 * without sending the walk back to the start.
 */
const byKeys = (access: Access<any, any>, { drains, most }: WalkOptions) =>
  Effect.gen(function*() {
    const { elements, map } = access
    const { capacity, keys, values } = yield* acquireBuffers(access, capacityOf(access, most))
    const pending = yield* acquireBlock(access.kernel, access.key.size)
    const keySize = access.key.size
    const valueSize = access.value.size
    let steps = 0
    let at: "start" | "pending" | "end" = "start"
    /** Keys that are gone when they are looked up make no entry, but cost as much. */
    const mostInPage = 2 * capacity

    /** Goes to the next key: false at the end. */
    const advance = (from: "start" | "key"): boolean => {
      const result = elements.next(from)
      if (result < 0 && result !== -errno.ENOENT) throw refused(access, "BPF_MAP_GET_NEXT_KEY", result)
      at = result < 0 ? "end" : "pending"
      if (++steps > mostSteps(map.spec) && at !== "end") {
        throw new IterationAborted({ map: describe(map.spec), visited: steps, maxEntries: map.spec.maxEntries })
      }
      return at === "pending"
    }
    /** Copies the entry of the current key into the page, unless it is gone. */
    const take = (row: number): boolean => {
      const result = elements.lookup(0)
      if (result === -errno.ENOENT) return false
      if (result < 0) throw refused(access, "BPF_MAP_LOOKUP_ELEM", result)
      keys.bytes.set(elements.key.bytes.subarray(0, keySize), row * keySize)
      values.bytes.set(elements.value.bytes.subarray(0, valueSize), row * valueSize)
      return true
    }
    const remove = (): void => {
      const result = elements.delete()
      if (result < 0 && result !== -errno.ENOENT) throw refused(access, "BPF_MAP_DELETE_ELEM", result)
    }
    return step(() =>
      exclusively(elements, () => {
        if (at === "end") return undefined
        assertLive(access)
        const resumes = at === "pending"
        if (resumes) elements.key.bytes.set(pending.bytes.subarray(0, keySize))
        let more = resumes || advance("start")
        let count = 0
        for (let i = 0; more && count < capacity && i < mostInPage; i++) {
          if (take(count)) count++
          if (drains) remove()
          more = advance(drains ? "start" : "key")
        }
        pending.bytes.set(elements.key.bytes.subarray(0, keySize))
        return count === 0 && !more ? undefined : { count, keys, values }
      })
    )
  })

/**
 * Starts a walk over all entries. `drains` removes what it gives. Whether the map has batches is found out by the first
 * walk, and remembered.
 */
export const walk = (
  access: Access<any, any>,
  options: WalkOptions
): Effect.Effect<Walk, IterationAborted | SystemCallError, Scope.Scope> =>
  Effect.gen(function*() {
    if (!access.elements.isLive()) return yield* step(() => assertLive(access) as never)
    if (access.batches === false || MapKind.of(access.map.spec.type)?.walkedByBatches !== true) {
      return yield* byKeys(access, options)
    }
    const batches = yield* byBatches(access, options)
    if (access.batches === true) return batches
    // The first page tells. It is kept for the first who asks.
    const first = yield* Effect.catchIf(
      batches,
      (error) => error._tag === "SystemCallError" && lacksBatches(-error.errno),
      () => Effect.succeed("none" as const)
    )
    access.batches = first !== "none"
    if (first === "none") return yield* byKeys(access, options)
    let given = false
    return Effect.suspend((): Walk => {
      if (given) return batches
      given = true
      return Effect.succeed(first)
    })
  })
