import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { errno } from "../../abi/errno.ts"
import { SystemCallError } from "../../kernel/KernelError.ts"
import { LayoutError } from "../../layout/Layout.ts"
import { type BpfMap, describe } from "../BpfMap.ts"

/** Wraps a map's operation: EBADF once the scope has closed, and a `LayoutError` thrown by a codec as a failure. */
export type Guard = <A, E>(operation: () => Effect.Effect<A, E>) => Effect.Effect<A, E | LayoutError | SystemCallError>

/**
 * A guard for operations of handles that may outlive their map. The number of a closed descriptor is soon another
 * object's: it must never be used again.
 */
export const closable = (map: BpfMap): Effect.Effect<Guard, never, Scope.Scope> => {
  let closed = false
  const error = (): SystemCallError =>
    new SystemCallError({
      call: "bpf",
      command: undefined,
      subject: describe(map.spec),
      errno: errno.EBADF,
      hint: "The scope that the map was made in has closed"
    })
  const guard: Guard = <A, E>(operation: () => Effect.Effect<A, E>) =>
    Effect.suspend((): Effect.Effect<A, E | LayoutError | SystemCallError> => {
      if (closed) return Effect.fail(error())
      try {
        return operation()
      } catch (thrown) {
        if (thrown instanceof LayoutError) return Effect.fail(thrown)
        throw thrown
      }
    })
  return Effect.as(
    Effect.addFinalizer(() =>
      Effect.sync(() => {
        closed = true
      })
    ),
    guard
  )
}
