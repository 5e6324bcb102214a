// Reading and writing chosen keys: by a program in the kernel where it allows one, else by batches and single calls.
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import { allOrNothing } from "../../kernel/systemCall.ts"
import type { SystemCallError } from "../../kernel/KernelError.ts"
import { LayoutError } from "../../layout/Layout.ts"
import { BatchError } from "../MapError.ts"
import type { GetMany, SetMany, UpdateOptions } from "../MapOperations.ts"
import { type Access, flagsOf, refused } from "./access.ts"
import { setMany, setsColumns } from "./batches.ts"
import { caught, closedError, describe } from "./handle.ts"
import { acquireManyProgram, type ManyProgram } from "./manyProgram.ts"
import { lookups, updates } from "./single.ts"

/** From this many keys on the program is used: fewer are not worth loading it. */
const FEWEST = 64

/** The program for a map, loaded on first use and kept as long as the handle; `undefined` where there can be none. */
type Program = Effect.Effect<ManyProgram | undefined>

/**
 * Acquired uninterruptibly, as others may be waiting for it; a failure is remembered: the kernel will not change its
 * mind. Per-CPU values have none: a program sees those of its own CPU.
 */
const lazily = (access: Access<any, any>, does: "lookup" | "update"): Effect.Effect<Program> =>
  access.value.size === access.map.spec.valueSize
    ? Effect.cached(
      allOrNothing(acquireManyProgram(access, does)).pipe(
        Scope.provide(access.scope),
        Effect.catch(() => Effect.undefined),
        Effect.uninterruptible
      )
    )
    : Effect.succeed(Effect.undefined)

const byCalls = <K, V>(access: Access<K, V>, keys: ReadonlyArray<K>) => {
  const { lookupUnsafe } = lookups(access)
  return keys.map((key) => Option.fromUndefinedOr(lookupUnsafe(key)))
}

/** All in one turn: the program's memory is this map's alone, but not this fiber's. */
const byProgram = <K, V>(
  access: Access<K, V>,
  program: ManyProgram,
  keys: ReadonlyArray<K>
): Array<Option.Option<V>> => {
  const { key, value } = access
  const { bytes, capacity, keys: keysAt, keyStride, results, values: valuesAt, valueStride, view } = program
  const found: Array<Option.Option<V>> = new Array(keys.length)
  // A program may read what this descriptor may not: the first key is asked for by the descriptor.
  found[0] = Option.fromUndefinedOr(lookups(access).lookupUnsafe(keys[0]!))
  for (let start = 1; start < keys.length; start += capacity) {
    const count = Math.min(capacity, keys.length - start)
    for (let i = 0; i < count; i++) key.write(view, bytes, keysAt + i * keyStride, keys[start + i]!)
    const result = program.run(count, 0)
    if (result < 0) throw refused(access, "BPF_MAP_LOOKUP_ELEM", result)
    for (let i = 0; i < count; i++) {
      found[start + i] = view.getUint32(results + i * 4, true) === 0
        ? Option.none()
        : Option.some(value.read(view, bytes, valuesAt + i * valueStride))
    }
  }
  return found
}

/** Reading many keys; the program is loaded on first use. */
export const getsMany = <K, V>(access: Access<K, V>): Effect.Effect<GetMany<K, V>> =>
  Effect.map(lazily(access, "lookup"), (program) => {
    const get = (keys: ReadonlyArray<K>, loaded: ManyProgram | undefined) =>
      Effect.suspend((): Effect.Effect<Array<Option.Option<V>>, LayoutError | SystemCallError> => {
        try {
          return Effect.succeed(
            loaded === undefined || !loaded.isLive() ? byCalls(access, keys) : byProgram(access, loaded, keys)
          )
        } catch (error) {
          return caught(error) as never
        }
      })
    return {
      getMany: (keys) =>
        Effect.suspend(() =>
          keys.length < FEWEST || !access.elements.isLive()
            ? get(keys, undefined)
            : Effect.flatMap(program, (loaded) => get(keys, loaded))
        )
    }
  })

/** Writes entries from `start` on by the program: how many were written, and why it ended, if at a failure. */
const writeByProgram = <K, V>(
  access: Access<K, V>,
  program: ManyProgram,
  entries: ReadonlyArray<readonly [K, V]>,
  flags: number
): BatchError | undefined => {
  const { key, map, value } = access
  const { bytes, capacity, keys: keysAt, keyStride, results, values: valuesAt, valueStride, view } = program
  const failed = (index: number, cause: LayoutError | SystemCallError) =>
    new BatchError({ operation: "update", map: describe(map.spec), index, done: index, cause })
  for (let start = 1; start < entries.length; start += capacity) {
    let count = Math.min(capacity, entries.length - start)
    let bad: BatchError | undefined
    for (let i = 0; i < count; i++) {
      const [k, v] = entries[start + i]!
      try {
        key.write(view, bytes, keysAt + i * keyStride, k)
        value.write(view, bytes, valuesAt + i * valueStride, v)
      } catch (error) {
        if (!(error instanceof LayoutError)) throw error
        bad = failed(start + i, error)
        count = i
      }
    }
    const result = program.run(count, flags)
    if (result < 0) return failed(start, refused(access, "BPF_MAP_UPDATE_ELEM", result))
    for (let i = 0; i < count; i++) {
      const answer = view.getInt32(results + i * 4, true)
      if (answer < 0) return failed(start + i, refused(access, "BPF_MAP_UPDATE_ELEM", answer, { flags }))
    }
    if (bad !== undefined) return bad
  }
  return undefined
}

/** Writing many entries; the program is loaded on first use. */
export const setsMany = <K, V>(access: Access<K, V>): Effect.Effect<SetMany<K, V>> =>
  Effect.map(lazily(access, "update"), (program) => {
    const { updateUnsafe } = updates(access)
    const set = (
      entries: ReadonlyArray<readonly [K, V]>,
      options: UpdateOptions | undefined,
      loaded: ManyProgram | undefined
    ): Effect.Effect<void, BatchError | SystemCallError> => {
      if (loaded === undefined) return setMany(access, entries, options)
      return Effect.suspend((): Effect.Effect<void, BatchError | SystemCallError> => {
        if (!loaded.isLive()) return Effect.fail(closedError(access.map.spec))
        try {
          // A program may write where this descriptor may not (a frozen map): the first entry is written by it.
          updateUnsafe(entries[0]![0], entries[0]![1], options)
        } catch (error) {
          return Effect.mapError(
            caught(error),
            (cause) =>
              new BatchError({
                operation: "update",
                map: describe(access.map.spec),
                index: 0,
                done: 0,
                cause: cause as never
              })
          )
        }
        const failed = writeByProgram(access, loaded, entries, flagsOf(options))
        return failed === undefined ? Effect.void : Effect.fail(failed)
      })
    }
    return {
      setMany: (entries, options) =>
        Effect.suspend(() =>
          // A program takes no lock.
          entries.length < FEWEST || options?.lock === true || !access.elements.isLive()
            ? setMany(access, entries, options)
            : Effect.flatMap(program, (loaded) => set(entries, options, loaded))
        ),
      ...setsColumns(access)
    }
  })
