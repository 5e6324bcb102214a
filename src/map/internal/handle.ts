import * as Effect from "effect/Effect"
import type { SystemCallError } from "../../kernel/KernelError.ts"
import { LayoutError } from "../../layout/Layout.ts"
import { type BpfMap, closedError } from "../BpfMap.ts"
import type { Elements } from "./elements.ts"

/** Wraps a map's operation: EBADF once the scope has closed, and a `LayoutError` thrown by a codec as a failure. */
export type Guard = <A, E>(operation: () => Effect.Effect<A, E>) => Effect.Effect<A, E | LayoutError | SystemCallError>

/** A handle's operations beside what every map has; `fd` stays the live one, where a spread would copy its number. */
export const extend = <M extends BpfMap, A extends object>(map: M, operations: A): M & A =>
  Object.defineProperties(operations, Object.getOwnPropertyDescriptors(map)) as M & A

/**
 * A guard for operations of handles that may outlive their map. Their memory goes before the map does, and belongs to
 * others then: it is the memory that is asked.
 */
export const guard = (map: BpfMap, elements: Elements): Guard => <A, E>(operation: () => Effect.Effect<A, E>) =>
  Effect.suspend((): Effect.Effect<A, E | LayoutError | SystemCallError> => {
    if (!elements.isLive()) return Effect.fail(closedError(map.spec))
    try {
      return operation()
    } catch (thrown) {
      if (thrown instanceof LayoutError) return Effect.fail(thrown)
      throw thrown
    }
  })
