// Writing and removing many entries: BPF_MAP_UPDATE_BATCH and BPF_MAP_DELETE_BATCH, or one call per key.
import * as Effect from "effect/Effect"
import { errno } from "../../abi/errno.ts"
import { bpf_map_update_flags } from "../../abi/generated/enums.ts"
import { acquireBatchCalls } from "../../bpf/elements.ts"
import { acquireBlock } from "../../kernel/systemCall.ts"
import type { Block } from "../../kernel/Kernel.ts"
import { shown } from "../../kernel/validate.ts"
import { InvalidArgument, type SystemCallError } from "../../kernel/KernelError.ts"
import * as Layout from "../../layout/Layout.ts"
import { BatchError } from "../MapError.ts"
import type { DeleteMany, SetMany, UpdateOptions } from "../MapOperations.ts"
import { type Access, lacksBatches, named, refused, updateFlags } from "./access.ts"
import type { Codec } from "./codec.ts"
import { exclusively } from "./elements.ts"
import { closedError, describe, isExpected } from "./handle.ts"
import { entriesInTurn, inTurns } from "./turns.ts"

/** Rows to be written: how many, and what writes those from `from` to `to` at the start of a block. */
interface Rows {
  readonly length: number
  readonly write: (block: Block, from: number, to: number) => void
}

/** Where writing rows failed: everything before was written. */
class RowError {
  readonly row: number
  readonly cause: BatchError["cause"]
  constructor(row: number, cause: BatchError["cause"]) {
    this.row = row
    this.cause = cause
  }
}

const rowsOfValues = <A>(codec: Codec<A>, length: number, valueAt: (row: number) => A): Rows => ({
  length,
  write: ({ bytes, view }, from, to) => {
    for (let row = from; row < to; row++) {
      try {
        codec.write(view, bytes, (row - from) * codec.size, valueAt(row))
      } catch (error) {
        throw isExpected(error) ? new RowError(row, error) : error
      }
    }
  }
})

const rowsOfColumns = <A>(codec: Codec<A>, columns: Layout.Columns<A>, length: number): Rows => {
  if (!Layout.isLayout(codec)) return rowsOfValues(codec, length, (row) => (columns as ReadonlyArray<A>)[row]!)
  const layout = codec as Layout.Layout<A>
  return {
    length,
    write: ({ bytes, view }, from, to) => {
      try {
        Layout.writeColumns(layout, columns, { view, data: bytes, stride: codec.size }, from, to)
      } catch (error) {
        if (!isExpected(error)) throw error
        const row = error instanceof Layout.LayoutError ? /^\[(\d+)\]\.?/.exec(error.path) : null
        throw row === null || !(error instanceof Layout.LayoutError)
          ? new RowError(from, error)
          : new RowError(Number(row[1]), new Layout.LayoutError({ ...error, path: error.path.slice(row[0].length) }))
      }
    }
  }
}

/** What is done to each row. */
interface Operation {
  readonly name: "update" | "delete"
  readonly batch: "BPF_MAP_UPDATE_BATCH" | "BPF_MAP_DELETE_BATCH"
  readonly flags: number
  /** Zero or `-errno` of the single call, on the key and value in the map's own blocks. */
  readonly single: () => number
  readonly command: "BPF_MAP_UPDATE_ELEM" | "BPF_MAP_DELETE_ELEM"
  /** Results that are no failure: the row was not done, and the next one follows. */
  readonly skips: (result: number) => boolean
}

/** Batches are for any key, absent or present: other modes are EINVAL. */
const takesFlags = ({ flags }: Operation): boolean => (flags & ~bpf_map_update_flags.BPF_F_LOCK) === 0

const failedAt = (
  access: Access<any, any>,
  operation: Operation,
  index: number,
  done: number,
  cause: BatchError["cause"]
): BatchError => new BatchError({ operation: operation.name, map: describe(access.map.spec), index, done, cause })

/** The copied row of a block, as the key or value of a single call. */
const copyRow = (from: Block, to: Block, row: number, size: number): void => {
  to.bytes.set(from.bytes.subarray(row * size, (row + 1) * size))
}

/** Does `operation` to all rows, a chunk in each turn: how many were done. */
const runAll = (
  access: Access<any, any>,
  operation: Operation,
  keys: Rows,
  values: Rows | undefined
): Effect.Effect<number, BatchError | SystemCallError> =>
  Effect.scoped(Effect.gen(function*() {
    const { elements, kernel, map } = access
    const valueSize = values === undefined ? 0 : access.value.size
    const chunk = Math.max(1, Math.min(keys.length, entriesInTurn(access.key.size + valueSize)))
    const keyBlock = yield* acquireBlock(kernel, chunk * access.key.size)
    const valueBlock: Block | undefined = values === undefined
      ? undefined
      : yield* acquireBlock(kernel, chunk * valueSize)
    const calls = yield* acquireBatchCalls(kernel, operation.batch, map.fd)

    const one = (row: number): number =>
      exclusively(elements, () => {
        copyRow(keyBlock, elements.key, row, access.key.size)
        if (valueBlock !== undefined) copyRow(valueBlock, elements.value, row, valueSize)
        return operation.single()
      })
    /** Sends rows `from` to `count` of the chunk: how many were done, and the result that ended it. */
    const batch = (from: number, count: number): readonly [done: number, result: number] => {
      const rows = count - from
      const result = calls.call({
        keys: keyBlock,
        keysAt: from * access.key.size,
        values: valueBlock,
        valuesAt: from * valueSize,
        count: rows,
        elementFlags: operation.flags
      })
      if (result >= 0) return [rows, result]
      // Where a row fails, its number is written; where all is refused at once, the number stays what it was.
      const told = calls.count()
      return [told >= rows ? 0 : told, result]
    }

    let done = 0
    const failed = (row: number, result: number): BatchError =>
      failedAt(access, operation, row, done, refused(access, operation.command, result, operation))
    const singly = (start: number, from: number, count: number): void => {
      for (let row = from; row < count; row++) {
        const result = one(row)
        if (result >= 0) done++
        else if (!operation.skips(result)) throw failed(start + row, result)
      }
    }
    const inBatches = (start: number, count: number): void => {
      for (let row = 0; row < count; row++) {
        const [written, result] = batch(row, count)
        // A first refusal may mean that there are no batches at all: what a single call says then decides.
        if (written === 0 && access.batches !== true && lacksBatches(result)) {
          if (operation.flags === 0) access.batches = false
          return singly(start, row, count)
        }
        if (result >= 0 || written > 0) access.batches = true
        done += written
        row += written
        if (result >= 0) return
        if (!operation.skips(result)) throw failed(start + row, result)
      }
    }

    yield* inTurns<BatchError | SystemCallError>(keys.length, chunk, (start, to) => {
      let end = to
      let bad: RowError | undefined
      /** Writes the rows up to the first bad one: those before it are still done. */
      const prepare = (part: "key" | "value", rows: Rows, block: Block): void => {
        try {
          rows.write(block, start, end)
        } catch (error) {
          if (!(error instanceof RowError)) throw error
          bad = new RowError(error.row, named(part, access, error.cause) as BatchError["cause"])
          end = error.row
        }
      }
      if (!elements.isLive()) throw closedError(map)
      prepare("key", keys, keyBlock)
      if (valueBlock !== undefined) prepare("value", values!, valueBlock)
      const count = end - start
      // Codecs are the user's code, and may have closed the map: its descriptor's number is another object's then.
      if (!elements.isLive()) throw closedError(map)
      if (access.batches !== false && takesFlags(operation)) inBatches(start, count)
      else singly(start, 0, count)
      if (bad !== undefined) throw failedAt(access, operation, bad.row, done, bad.cause)
    })
    return done
  }))

const updating = (access: Access<any, any>, flags: number): Operation => ({
  name: "update",
  batch: "BPF_MAP_UPDATE_BATCH",
  flags,
  single: () => access.elements.update(flags),
  command: "BPF_MAP_UPDATE_ELEM",
  skips: () => false
})

const deleting = (access: Access<any, any>): Operation => ({
  name: "delete",
  batch: "BPF_MAP_DELETE_BATCH",
  flags: 0,
  single: () => access.elements.delete(),
  command: "BPF_MAP_DELETE_ELEM",
  skips: (result) => result === -errno.ENOENT
})

const lengthOf = <A>(codec: Codec<A>, columns: Layout.Columns<A>): number | undefined =>
  Layout.isLayout(codec)
    ? Layout.rowsOf(codec as Layout.Layout<A>, columns)
    : Array.isArray(columns)
    ? columns.length
    : undefined

const uneven = (field: string): InvalidArgument =>
  new InvalidArgument({ field, expected: "columns of one length, as the map's layouts have them", actual: "others" })

/** The error of a list that is none. */
export const noList = (field: string, given: unknown): InvalidArgument =>
  new InvalidArgument({ field, expected: "an array", actual: shown(given) })

/** One half of an entry; what is no pair has neither. */
export const half =
  <K, V, const I extends 0 | 1>(entries: ReadonlyArray<readonly [K, V]>, i: I) => (row: number): [K, V][I] => {
    const entry = entries[row]
    if (!Array.isArray(entry) || entry.length !== 2) {
      throw new InvalidArgument({ field: "entries", expected: "pairs of a key and a value", actual: shown(entry) })
    }
    return entry[i]
  }

export const setMany = <K, V>(
  access: Access<K, V>,
  entries: ReadonlyArray<readonly [K, V]>,
  flags: number
): Effect.Effect<void, BatchError | SystemCallError> =>
  Effect.asVoid(runAll(
    access,
    updating(access, flags),
    rowsOfValues(access.key, entries.length, half(entries, 0)),
    rowsOfValues(access.value, entries.length, half(entries, 1))
  ))

export const setsColumns = <K, V>(access: Access<K, V>): Pick<SetMany<K, V>, "setColumns"> => ({
  setColumns: (keys, values, options) =>
    checkedFlags(options, (flags): Effect.Effect<void, BatchError | InvalidArgument | SystemCallError> => {
      const length = lengthOf(access.key, keys)
      if (length === undefined) return Effect.fail(uneven("keys"))
      if (lengthOf(access.value, values) !== length) return Effect.fail(uneven("values"))
      return Effect.asVoid(runAll(
        access,
        updating(access, flags),
        rowsOfColumns(access.key, keys, length),
        rowsOfColumns(access.value, values, length)
      ))
    })
})

/** Continues with the flags of an update's options, or fails with what is wrong with them. */
export const checkedFlags = <A, E>(
  options: UpdateOptions | undefined,
  use: (flags: number) => Effect.Effect<A, E>
): Effect.Effect<A, E | InvalidArgument> =>
  Effect.suspend((): Effect.Effect<A, E | InvalidArgument> => {
    try {
      return use(options === undefined ? 0 : updateFlags(options))
    } catch (error) {
      if (error instanceof InvalidArgument) return Effect.fail(error)
      throw error
    }
  })

export const deletesMany = <K>(access: Access<K, any>): DeleteMany<K> => ({
  deleteMany: (keys) =>
    Effect.suspend((): Effect.Effect<number, BatchError | InvalidArgument | SystemCallError> =>
      Array.isArray(keys)
        ? runAll(access, deleting(access), rowsOfValues(access.key, keys.length, (row) => keys[row]!), undefined)
        : Effect.fail(noList("keys", keys))
    ),
  deleteColumns: (keys) =>
    Effect.suspend((): Effect.Effect<number, BatchError | InvalidArgument | SystemCallError> => {
      const length = lengthOf(access.key, keys)
      return length === undefined
        ? Effect.fail(uneven("keys"))
        : runAll(access, deleting(access), rowsOfColumns(access.key, keys, length), undefined)
    })
})
