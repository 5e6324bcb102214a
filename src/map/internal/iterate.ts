// Streams over a map's entries.
import * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import type * as Pull from "effect/Pull"
import * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import { errno } from "../../abi/errno.ts"
import { deferredStream, streamModule } from "../../effect/onDemand.ts"
import * as Layout from "../../layout/Layout.ts"
import type { LayoutError } from "../../layout/Layout.ts"
import type { Clear, ColumnBatch, Iterate, IterationError } from "../MapOperations.ts"
import { type Access, assertLive, named, refused } from "./access.ts"
import type { Codec } from "./codec.ts"
import { finish, insideAnother } from "./elements.ts"
import { caught } from "./handle.ts"
import { type Page, walk, type WalkOptions } from "./pages.ts"
import { ENTRIES, PLAIN_ENTRIES } from "./turns.ts"

/** A stream of what `decode` makes of each page. Between pages the event loop has a turn. */
const paged = <A>(
  access: Access<any, any>,
  options: WalkOptions,
  decode: (page: Page) => Array<A>
): Stream.Stream<A, IterationError> =>
  deferredStream((stream) =>
    stream.scoped(stream.fromPull(Effect.gen(function*() {
      const scope: Scope.Scope = yield* Effect.scope
      const next = Scope.provide(yield* walk(access, options), scope)
      const pull: Pull.Pull<Arr.NonEmptyReadonlyArray<A>, IterationError> = Effect.flatMap(
        next,
        (page): Pull.Pull<Arr.NonEmptyReadonlyArray<A>, IterationError> => {
          if (page === undefined) return Cause.done()
          if (page.count === 0) return nextTurn
          try {
            return Effect.succeed(decode(page) as never)
          } catch (error) {
            return caught(error) as Effect.Effect<never, LayoutError>
          }
        }
      )
      const nextTurn = Effect.flatMap(Effect.yieldNow, () => pull)
      let isFirst = true
      return Effect.suspend(() => {
        if (!isFirst) return nextTurn
        isFirst = false
        return pull
      })
    })))
  )

const readAll = <A>(codec: Codec<A>, block: Page["keys"], count: number): Array<A> => {
  const { bytes, view } = block
  const { size } = codec
  const values: Array<A> = new Array(count)
  for (let i = 0, offset = 0; i < count; i++, offset += size) values[i] = codec.read(view, bytes, offset)
  return values
}

/** Layouts decode to typed arrays; what is no Layout (per-CPU values) to an array of values. */
const columnsOf = (codec: Codec<any>, block: Page["keys"], count: number): any => {
  if (!Layout.isLayout(codec)) return readAll(codec, block, count)
  const decoded = Layout.decodeColumns(codec, block.bytes.subarray(0, count * codec.size))
  if (decoded._tag === "Failure") throw decoded.failure
  return decoded.success.columns
}

const entriesOf = <K, V>({ key, value }: Access<K, V>) => (page: Page): Array<readonly [K, V]> => {
  const { count, keys, values } = page
  const entries: Array<readonly [K, V]> = new Array(count)
  for (let i = 0; i < count; i++) {
    entries[i] = [
      key.read(keys.view, keys.bytes, i * key.size),
      value.read(values.view, values.bytes, i * value.size)
    ]
  }
  return entries
}

const batchOf = <K, V>({ key, value }: Access<K, V>) => (page: Page): Array<ColumnBatch<K, V>> => [{
  rows: page.count,
  keys: columnsOf(key, page.keys, page.count),
  values: columnsOf(value, page.values, page.count)
}]

const total = (access: Access<any, any>, drains: boolean) =>
  Effect.suspend(() =>
    streamModule().runFold(
      paged(access, { drains, most: PLAIN_ENTRIES }, (page) => [page.count]),
      () => 0,
      (sum, count) => sum + count
    )
  )

const reading: WalkOptions = { drains: false, most: ENTRIES }

/** The key after another, or the first one; `undefined` at the end. A hot path: `exclusively`, written out. */
const nextKeys = <K>(access: Access<K, any>): (key?: K) => K | undefined => {
  const { elements, key } = access
  const { bytes, view } = elements.key
  const nested = (k: K | undefined) => insideAnother(elements, () => nextKey(k))
  const nextKey = (k?: K): K | undefined => {
    if (!elements.isLive()) assertLive(access)
    if (elements.busy) return nested(k)
    elements.busy = true
    try {
      if (k !== undefined) key.write(view, bytes, 0, k)
      const result = elements.next(k === undefined ? "start" : "key")
      if (result >= 0) return key.read(view, bytes, 0)
      if (result === -errno.ENOENT) return undefined
      throw refused(access, "BPF_MAP_GET_NEXT_KEY", result)
    } catch (error) {
      throw named("key", access, error)
    } finally {
      finish(elements)
    }
  }
  return nextKey
}

export const iterates = <K, V>(access: Access<K, V>): Iterate<K, V> => ({
  entries: paged(access, reading, entriesOf(access)),
  keys: paged(access, reading, ({ count, keys }) => readAll(access.key, keys, count)),
  values: paged(access, reading, ({ count, values }) => readAll(access.value, values, count)),
  columns: paged(access, { drains: false, most: PLAIN_ENTRIES }, batchOf(access)),
  count: total(access, false),
  nextKeyUnsafe: nextKeys(access)
})

export const clears = <K, V>(access: Access<K, V>): Clear<K, V> => ({
  clear: total(access, true),
  drain: paged(access, { drains: true, most: ENTRIES }, entriesOf(access)),
  drainColumns: paged(access, { drains: true, most: PLAIN_ENTRIES }, batchOf(access))
})
