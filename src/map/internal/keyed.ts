// All operations on a map of keys and values, which the families take their share of.
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { SystemCallError } from "../../kernel/KernelError.ts"
import type { Keyed } from "../MapOperations.ts"
import { acquireAccess } from "./access.ts"
import { deletesMany } from "./batches.ts"
import type { Codec } from "./codec.ts"
import type { Opened } from "./handle.ts"
import { clears, iterates } from "./iterate.ts"
import { getsMany, setsMany } from "./many.ts"
import { deletes, lookups, updates } from "./single.ts"

/** The operations of an opened map, whose memory is freed with the scope. */
export const acquireKeyed = <K, V>(
  opened: Opened,
  key: Codec<K>,
  value: Codec<V>
): Effect.Effect<Keyed<K, V>, SystemCallError, Scope.Scope> =>
  Effect.gen(function*() {
    const access = yield* acquireAccess(opened, key, value)
    return {
      ...lookups(access),
      ...updates(access),
      ...deletes(access),
      ...iterates(access),
      ...clears(access),
      ...(yield* getsMany(access)),
      ...(yield* setsMany(access)),
      ...deletesMany(access)
    }
  })
