// The operations of maps whose keys are the indices of an array: all elements are there, so nothing is absent.
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { InvalidArgument, type SystemCallError } from "../../kernel/KernelError.ts"
import { shown } from "../../kernel/validate.ts"
import { type LayoutError, u32 } from "../../layout/Layout.ts"
import type { Iterate, LookupOptions, SetMany, Together } from "../MapOperations.ts"
import { acquireAccess, lookupFlags, updateFlags } from "./access.ts"
import type { Codec } from "./codec.ts"
import { describe, type Opened } from "./handle.ts"
import { inline } from "./inline.ts"
import { iterates } from "./iterate.ts"
import { gathers, setsMany } from "./many.ts"
import { absent, finds, writes } from "./single.ts"
import { looksUpTogether } from "./together.ts"

/** The operations of an array. Indices are from 0 to `maxEntries - 1`; others are an `InvalidArgument`. */
export interface Indexed<V> extends Iterate<number, V>, SetMany<number, V>, Together<number, V> {
  /** The value at an index. */
  readonly lookup: (
    index: number,
    options?: LookupOptions
  ) => Effect.Effect<V, InvalidArgument | LayoutError | SystemCallError>
  /** As `lookup`, at once. Throws what `lookup` fails with. */
  readonly lookupUnsafe: (index: number, options?: LookupOptions) => V
  /** Sets the value at an index. */
  readonly update: (
    index: number,
    value: V,
    options?: LookupOptions
  ) => Effect.Effect<void, InvalidArgument | LayoutError | SystemCallError>
  /** As `update`, at once. Throws what `update` fails with. */
  readonly updateUnsafe: (index: number, value: V, options?: LookupOptions) => void
  /** The values at these indices, in their order; see `MapOperations.GetMany`. */
  readonly getMany: (
    indices: ReadonlyArray<number>
  ) => Effect.Effect<ReadonlyArray<V>, InvalidArgument | LayoutError | SystemCallError>
}

export const acquireIndexed = <V>(
  opened: Opened,
  value: Codec<V>
): Effect.Effect<Indexed<V>, SystemCallError, Scope.Scope> =>
  Effect.gen(function*() {
    const access = yield* acquireAccess(opened, u32, value)
    const find = finds(access)
    const write = writes(access)
    const gather = yield* gathers(access)
    const { maxEntries } = opened.map.spec
    const wrong = (index: number): InvalidArgument =>
      new InvalidArgument({
        field: "index",
        expected: `an index of ${describe(opened.map.spec)}, an integer from 0 to ${maxEntries - 1}`,
        actual: shown(index)
      })
    const assertIn = (index: number): void => {
      if (!(index >= 0 && index < maxEntries && Number.isInteger(index))) throw wrong(index)
    }
    const lookup = (index: number, options?: LookupOptions): V => {
      assertIn(index)
      const found = find(index, options === undefined ? 0 : lookupFlags(options))
      if (found === absent) throw wrong(index) // the kernel's own limit is another: it cannot be
      return found
    }
    const update = (index: number, v: V, options?: LookupOptions): void => {
      assertIn(index)
      // All elements are there: to ask for one that is not makes no sense, and the types have no mode.
      write(index, v, options === undefined ? 0 : updateFlags(options))
    }
    const all = {
      check: assertIn,
      found: (v: V): V => v,
      absent: (index: number): V => {
        throw wrong(index)
      }
    }
    return {
      lookupUnsafe: lookup,
      lookup: (index, options) => inline(() => lookup(index, options)),
      updateUnsafe: update,
      update: (index, v, options) => inline(() => update(index, v, options)),
      getMany: (indices) => gather(indices, all),
      ...looksUpTogether(gather, all, lookup),
      ...(yield* setsMany(access)),
      ...iterates(access)
    }
  })
