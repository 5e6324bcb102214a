// The operations of maps whose keys are the indices of an array: all elements are there, so nothing is absent.
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { InvalidArgument, SystemCallError } from "../../kernel/KernelError.ts"
import { checkInteger } from "../../kernel/validate.ts"
import { type LayoutError, u32 } from "../../layout/Layout.ts"
import type { Iterate, LookupOptions, SetMany } from "../MapOperations.ts"
import type { Codec } from "./codec.ts"
import type { Opened } from "./handle.ts"
import { inline } from "./inline.ts"
import { acquireKeyed } from "./keyed.ts"

/** The operations of an array. Indices are from 0 to `maxEntries - 1`; others are an `InvalidArgument`. */
export interface Indexed<V> extends Iterate<number, V>, SetMany<number, V> {
  /** The value at an index. */
  readonly lookup: (
    index: number,
    options?: LookupOptions
  ) => Effect.Effect<V, InvalidArgument | LayoutError | SystemCallError>
  /** As `lookup`, at once. Throws what `lookup` fails with. */
  readonly lookupUnsafe: (index: number) => V
  /** Sets the value at an index. */
  readonly update: (
    index: number,
    value: V,
    options?: LookupOptions
  ) => Effect.Effect<void, InvalidArgument | LayoutError | SystemCallError>
  /** As `update`, at once. Throws what `update` fails with. */
  readonly updateUnsafe: (index: number, value: V) => void
  /** The values at these indices, in their order; see `MapOperations.GetMany`. */
  readonly getMany: (
    indices: ReadonlyArray<number>
  ) => Effect.Effect<ReadonlyArray<V>, InvalidArgument | LayoutError | SystemCallError>
}

export const acquireIndexed = <V>(
  opened: Opened,
  value: Codec<V>
): Effect.Effect<Indexed<V>, SystemCallError, Scope.Scope> =>
  Effect.map(acquireKeyed(opened, u32, value), (keyed): Indexed<V> => {
    const { maxEntries } = opened.map.spec
    const wrong = (index: number): InvalidArgument | undefined => checkInteger("index", index, 0, maxEntries - 1)
    const isIn = (index: number): boolean => index >= 0 && index < maxEntries && Number.isInteger(index)
    const assertIn = (index: number): void => {
      if (!isIn(index)) throw wrong(index)!
    }
    return {
      lookupUnsafe: (index) => {
        assertIn(index)
        return keyed.lookupUnsafe(index) as V
      },
      lookup: (index, options) =>
        inline(() => {
          assertIn(index)
          return keyed.lookupUnsafe(index, options) as V
        }),
      updateUnsafe: (index, v) => {
        assertIn(index)
        keyed.updateUnsafe(index, v)
      },
      update: (index, v, options) =>
        inline(() => {
          assertIn(index)
          keyed.updateUnsafe(index, v, options)
        }),
      getMany: (indices) =>
        Effect.suspend((): Effect.Effect<ReadonlyArray<V>, InvalidArgument | LayoutError | SystemCallError> => {
          const outside = indices.find((index) => !isIn(index))
          if (outside !== undefined) return Effect.fail(wrong(outside)!)
          return Effect.map(
            keyed.getMany(indices),
            (found) => found.map((each) => (each as { readonly value: V }).value)
          )
        }),
      setMany: keyed.setMany,
      setColumns: keyed.setColumns,
      entries: keyed.entries,
      keys: keyed.keys,
      values: keyed.values,
      columns: keyed.columns,
      count: keyed.count,
      nextKeyUnsafe: keyed.nextKeyUnsafe
    }
  })
