// Reading and writing chosen keys: by a program in the kernel where it allows one, else by batches and single calls.
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import { errno } from "../../abi/errno.ts"
import { allOrNothing } from "../../kernel/systemCall.ts"
import type { InvalidArgument, SystemCallError } from "../../kernel/KernelError.ts"
import type { LayoutError } from "../../layout/Layout.ts"
import { BatchError } from "../MapError.ts"
import type { GetMany, SetMany, Together } from "../MapOperations.ts"
import { type Access, named, refused } from "./access.ts"
import { checkedFlags, half, noList, setMany, setsColumns } from "./batches.ts"
import { closedError, describe, isExpected } from "./handle.ts"
import { acquireManyProgram, type ManyProgram } from "./manyProgram.ts"
import type { Gather, Gatherer } from "./gather.ts"
import { absent, finds, optionOf, writes } from "./single.ts"
import { looksUpTogether } from "./together.ts"
import { entriesInTurn, inTurns } from "./turns.ts"

/** From this many keys on the program is used: fewer are not worth loading it. */
const FEWEST = 64

/** The program for a map, loaded on first use and kept as long as the handle; `undefined` where there can be none. */
type Program = Effect.Effect<ManyProgram | undefined>

/** Want of something that may be there the next time. */
const passing: ReadonlySet<number> = new Set([errno.EAGAIN, errno.EINTR, errno.EMFILE, errno.ENFILE, errno.ENOMEM])

const isPassing = (error: InvalidArgument | SystemCallError): boolean => "errno" in error && passing.has(error.errno)

/**
 * Acquired uninterruptibly, as others may be waiting for it. A refusal is remembered: the kernel will not change its mind.
 * Where something was wanting, the next who asks tries again. Per-CPU values have none: a program sees those of its own CPU.
 */
const lazily = (access: Access<any, any>, does: "lookup" | "update"): Effect.Effect<Program> => {
  if (access.value.size !== access.map.spec.valueSize) return Effect.succeed(Effect.undefined)
  const load = allOrNothing(acquireManyProgram(access, does)).pipe(
    Scope.provide(access.scope),
    Effect.catch((error) => Effect.succeed(isPassing(error) ? ("passing" as const) : undefined)),
    Effect.uninterruptible
  )
  return Effect.map(
    Effect.cachedInvalidateWithTTL(load, Duration.infinity),
    ([cached, forget]) =>
      Effect.flatMap(
        cached,
        (program) => program === "passing" ? Effect.as(forget, undefined) : Effect.succeed(program)
      )
  )
}

/** Runs what encodes and decodes in the program's memory: a codec may close the map, and the memory with it. */
const inMemory = <A>(access: Access<any, any>, program: ManyProgram, operation: () => A): A => {
  program.busy = true
  try {
    return operation()
  } catch (error) {
    throw program.isLive() || isExpected(error) ? error : closedError(access.map)
  } finally {
    program.busy = false
  }
}

/** Reads keys from `start` to `end` by the program, a run at a time. */
const byProgram = <K, V, A>(
  access: Access<K, V>,
  program: ManyProgram,
  keys: ReadonlyArray<K>,
  [from, end]: readonly [number, number],
  { absent: ofAbsent, check, found: ofFound }: Gather<K, V, A>,
  into: Array<A>
): void => {
  const { key, value } = access
  const { bytes, capacity, keys: keysAt, keyStride, results, values: valuesAt, valueStride, view } = program
  let part: "key" | "value" = "key"
  try {
    for (let start = from; start < end; start += capacity) {
      const count = Math.min(capacity, end - start)
      part = "key"
      for (let i = 0; i < count; i++) {
        check?.(keys[start + i]!)
        key.write(view, bytes, keysAt + i * keyStride, keys[start + i]!)
      }
      const result = program.run(count, 0)
      if (result < 0) throw refused(access, "BPF_MAP_LOOKUP_ELEM", result)
      part = "value"
      for (let i = 0; i < count; i++) {
        into[start + i] = view.getUint32(results + i * 4, true) === 0
          ? ofAbsent(keys[start + i]!)
          : ofFound(value.read(view, bytes, valuesAt + i * valueStride))
      }
    }
  } catch (error) {
    throw named(part, access, error)
  }
}

/** Reading many keys; the program is loaded on first use. */
export const gathers = <K, V>(
  access: Access<K, V>
): Effect.Effect<Gatherer<K, V>> =>
  Effect.map(lazily(access, "lookup"), (program) => {
    const find = finds(access)
    const most = entriesInTurn(access.key.size + access.value.size)
    const get = <A>(keys: ReadonlyArray<K>, gather: Gather<K, V, A>, loaded: ManyProgram | undefined) =>
      Effect.suspend((): Effect.Effect<ReadonlyArray<A>, InvalidArgument | LayoutError | SystemCallError> => {
        const into: Array<A> = new Array(keys.length)
        const byCalls = (start: number, end: number): void => {
          for (let row = start; row < end; row++) {
            gather.check?.(keys[row]!)
            const found = find(keys[row]!, 0)
            into[row] = found === absent ? gather.absent(keys[row]!) : gather.found(found)
          }
        }
        return Effect.as(
          inTurns<InvalidArgument | LayoutError | SystemCallError>(keys.length, most, (start, end) => {
            // Busy is the program amid whose run a codec asks for more.
            if (loaded === undefined || !loaded.isLive() || loaded.busy) return byCalls(start, end)
            // A program may read what this descriptor may not: the first key is asked for by the descriptor.
            if (start === 0) byCalls(0, 1)
            const range = [start === 0 ? 1 : start, end] as const
            inMemory(access, loaded, () => byProgram(access, loaded, keys, range, gather, into))
          }),
          into
        )
      })
    return (keys, gather) =>
      Effect.suspend(() => {
        if (!Array.isArray(keys)) return Effect.fail(noList("keys", keys))
        return keys.length < FEWEST || !access.elements.isLive()
          ? get(keys, gather, undefined)
          : Effect.flatMap(program, (loaded) => get(keys, gather, loaded))
      })
  })

const none: Option.Option<never> = Option.none()

export const getsMany = <K, V>(
  access: Access<K, V>
): Effect.Effect<GetMany<K, V> & Together<K, Option.Option<V>>> =>
  Effect.map(gathers(access), (gather) => {
    const options: Gather<K, V, Option.Option<V>> = { absent: () => none, found: (value) => Option.some(value) }
    const find = finds(access)
    return {
      getMany: (keys) => gather(keys, options),
      ...looksUpTogether(gather, options, (key) => optionOf(find(key, 0)))
    }
  })

/** Writes entries from `from` to `end` by the program. Throws a `BatchError` where one cannot be written. */
const writeByProgram = <K, V>(
  access: Access<K, V>,
  program: ManyProgram,
  entries: ReadonlyArray<readonly [K, V]>,
  [from, end]: readonly [number, number],
  flags: number
): void => {
  const { key, value } = access
  const { bytes, capacity, keys: keysAt, keyStride, results, values: valuesAt, valueStride, view } = program
  for (let start = from; start < end; start += capacity) {
    let count = Math.min(capacity, end - start)
    let bad: BatchError | undefined
    for (let i = 0; i < count; i++) {
      let part: "key" | "value" = "key"
      try {
        const k = half(entries, 0)(start + i)
        key.write(view, bytes, keysAt + i * keyStride, k)
        part = "value"
        value.write(view, bytes, valuesAt + i * valueStride, half(entries, 1)(start + i))
      } catch (error) {
        if (!isExpected(error)) throw error
        bad = stopped(access, start + i, named(part, access, error) as BatchError["cause"])
        count = i
      }
    }
    const result = program.run(count, flags)
    if (result < 0) throw stopped(access, start, refused(access, "BPF_MAP_UPDATE_ELEM", result))
    for (let i = 0; i < count; i++) {
      const answer = view.getInt32(results + i * 4, true)
      if (answer < 0) throw stopped(access, start + i, refused(access, "BPF_MAP_UPDATE_ELEM", answer, { flags }))
    }
    if (bad !== undefined) throw bad
  }
}

const stopped = ({ map }: Access<any, any>, index: number, cause: BatchError["cause"]): BatchError =>
  new BatchError({ operation: "update", map: describe(map.spec), index, done: index, cause })

/** Writing many entries; the program is loaded on first use. */
export const setsMany = <K, V>(access: Access<K, V>): Effect.Effect<SetMany<K, V>> =>
  Effect.map(lazily(access, "update"), (program) => {
    const update = writes(access)
    const most = entriesInTurn(access.key.size + access.value.size)
    const set = (
      entries: ReadonlyArray<readonly [K, V]>,
      flags: number,
      loaded: ManyProgram | undefined
    ): Effect.Effect<void, BatchError | SystemCallError> =>
      loaded === undefined || loaded.busy
        ? setMany(access, entries, flags)
        : inTurns<BatchError | SystemCallError>(entries.length, most, (start, end) => {
          if (!loaded.isLive()) throw closedError(access.map)
          if (start === 0) {
            try {
              // A program may write where this descriptor may not (a frozen map): the first entry is written by it.
              update(half(entries, 0)(0), half(entries, 1)(0), flags)
            } catch (error) {
              throw isExpected(error) ? stopped(access, 0, error) : error
            }
          }
          const range = [start === 0 ? 1 : start, end] as const
          inMemory(access, loaded, () => writeByProgram(access, loaded, entries, range, flags))
        })
    return {
      setMany: (entries, options) =>
        checkedFlags(options, (flags): Effect.Effect<void, BatchError | InvalidArgument | SystemCallError> => {
          if (!Array.isArray(entries)) return Effect.fail(noList("entries", entries))
          // A program takes no lock.
          return entries.length < FEWEST || options?.lock === true || !access.elements.isLive()
            ? setMany(access, entries, flags)
            : Effect.flatMap(program, (loaded) => set(entries, flags, loaded))
        }),
      ...setsColumns(access)
    }
  })
