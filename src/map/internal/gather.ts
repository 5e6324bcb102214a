// What reading many keys takes and gives: shared by the ways of reading them, and by those who ask.
import type * as Effect from "effect/Effect"
import type { InvalidArgument, SystemCallError } from "../../kernel/KernelError.ts"
import type { LayoutError } from "../../layout/Layout.ts"

/** What `getMany` makes of an absent key, and of a value. */
export interface Gather<K, V, A> {
  readonly absent: (key: K) => A
  readonly found: (value: V) => A
  /** Throws for a key that is out of the question. */
  readonly check?: (key: K) => void
}

/** Reads many keys. */
export type Gatherer<K, V> = <A>(
  keys: ReadonlyArray<K>,
  gather: Gather<K, V, A>
) => Effect.Effect<ReadonlyArray<A>, InvalidArgument | LayoutError | SystemCallError>
