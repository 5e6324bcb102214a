// Maps whose values are other objects: written as descriptors, and read back, where they can be, as ids or cookies.
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { InvalidArgument, type SystemCallError } from "../../kernel/KernelError.ts"
import { INT_MAX } from "../../kernel/validate.ts"
import type { LayoutError } from "../../layout/Layout.ts"
import type { Keyed, ObjectEntries, ObjectReference } from "../MapOperations.ts"
import type { Codec } from "./codec.ts"
import type { Opened } from "./handle.ts"
import { acquireKeyed } from "./keyed.ts"

/** The number of a descriptor, unless it is that of a handle whose scope has closed. */
export const fdOf = (object: ObjectReference): number | InvalidArgument => {
  const fd: unknown = typeof object === "object" && object !== null ? object.fd : object
  return typeof fd === "number" && Number.isInteger(fd) && fd >= 0 && fd <= INT_MAX
    ? fd
    : new InvalidArgument({
      field: "object",
      expected: "an open descriptor, or a handle whose scope is open",
      actual: fd === -1 ? "a closed one" : String(fd)
    })
}

/** As `fdOf`, in the 64 bits that kinds take which give a cookie back. */
export const wideFdOf = (object: ObjectReference): bigint | InvalidArgument => {
  const fd = fdOf(object)
  return fd instanceof InvalidArgument ? fd : BigInt(fd)
}

/** Entries that hold the object as an integer: a descriptor when written. `A` is how it is read. */
export const acquireObjectEntries = <K, A, O>(
  opened: Opened,
  key: Codec<K>,
  value: Codec<A>,
  valueOf: (object: O) => A | InvalidArgument
): Effect.Effect<
  { readonly keyed: Keyed<K, A>; readonly objects: ObjectEntries<K, O> },
  SystemCallError,
  Scope.Scope
> =>
  Effect.map(acquireKeyed(opened, key, value), (keyed) => ({
    keyed,
    objects: {
      update: (k, object, options) =>
        Effect.suspend((): Effect.Effect<void, InvalidArgument | LayoutError | SystemCallError> => {
          const v = valueOf(object)
          return v instanceof InvalidArgument ? Effect.fail(v) : keyed.update(k, v, options)
        }),
      delete: keyed.delete
    }
  }))
