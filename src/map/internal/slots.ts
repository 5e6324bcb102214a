// Maps whose values are other objects: written as descriptors, and read back, where they can be, as ids or cookies.
import * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import { InvalidArgument, type SystemCallError } from "../../kernel/KernelError.ts"
import type { LayoutError } from "../../layout/Layout.ts"
import type { UpdateOptions } from "../MapOperations.ts"
import type { Codec } from "./codec.ts"
import type { Opened } from "./handle.ts"
import { acquireKeyed, type Keyed } from "./keyed.ts"

/** An object by its descriptor: a handle of this library, or the number of a descriptor from elsewhere. */
export type Descriptor = number | { readonly fd: number }

/** Putting objects into slots. */
export interface Slots<K, O> {
  /**
   * Puts an object into a slot, or replaces the one there. Fails with `InvalidArgument` for an object whose scope has
   * closed, and with `SystemCallError` for a descriptor of another kind.
   */
  readonly update: (
    key: K,
    object: O,
    options?: UpdateOptions
  ) => Effect.Effect<void, InvalidArgument | LayoutError | SystemCallError>
  /** Empties a slot: true if something was there. */
  readonly delete: (key: K) => Effect.Effect<boolean, LayoutError | SystemCallError>
}

/** Which object a slot holds, for kinds that tell. */
export interface ReadableSlots<K, A> {
  /** `None` for an empty slot. */
  readonly lookupId: (key: K) => Effect.Effect<Option.Option<A>, InvalidArgument | LayoutError | SystemCallError>
}

/** The number of a descriptor, unless it is that of a handle whose scope has closed. */
export const fdOf = (object: Descriptor): number | InvalidArgument => {
  const fd: unknown = typeof object === "object" && object !== null ? object.fd : object
  return typeof fd === "number" && Number.isInteger(fd) && fd >= 0 && fd <= 0x7fffffff
    ? fd
    : new InvalidArgument({
      field: "object",
      expected: "an open descriptor, or a handle whose scope is open",
      actual: fd === -1 ? "a closed one" : String(fd)
    })
}

/** As `fdOf`, in the 64 bits that kinds take which give a cookie back. */
export const wideFdOf = (object: Descriptor): bigint | InvalidArgument => {
  const fd = fdOf(object)
  return fd instanceof InvalidArgument ? fd : BigInt(fd)
}

/** Slots that hold the value as an integer: a descriptor when written. `A` is how it is read. */
export const acquireSlots = <K, A, O>(
  opened: Opened,
  key: Codec<K>,
  value: Codec<A>,
  valueOf: (object: O) => A | InvalidArgument
): Effect.Effect<{ readonly keyed: Keyed<K, A>; readonly slots: Slots<K, O> }, SystemCallError, Scope.Scope> =>
  Effect.map(acquireKeyed(opened, key, value), (keyed) => ({
    keyed,
    slots: {
      update: (k, object, options) =>
        Effect.suspend((): Effect.Effect<void, InvalidArgument | LayoutError | SystemCallError> => {
          const v = valueOf(object)
          return v instanceof InvalidArgument ? Effect.fail(v) : keyed.update(k, v, options)
        }),
      delete: keyed.delete
    }
  }))
