import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Absent, Comparison, Subject } from "./harness.ts"
import type { Workshop } from "./workshop.ts"

/** Why a work cannot be measured here, and what to do about it. The run goes on without it. */
export class LeftOut extends Data.TaggedError("LeftOut")<{ readonly why: string }> {
  override get message(): string {
    return this.why
  }
}

/** A subject that may be missing: its row then says why, and the others are measured. */
export const optional = <R>(
  name: string,
  subject: Effect.Effect<Subject, LeftOut, R>
): Effect.Effect<Subject | Absent, never, R> => Effect.catch(subject, ({ why }) => Effect.succeed({ name, why }))

/** A work of the benchmark: its name for `--only`, and what prepares its subjects. */
export interface Work {
  readonly name: string
  readonly prepare: (workshop: Workshop) => Effect.Effect<Comparison, unknown, Scope.Scope>
}
