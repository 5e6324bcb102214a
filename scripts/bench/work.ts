import * as Data from "effect/Data"
import type * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Comparison } from "./harness.ts"
import type { Workshop } from "./workshop.ts"

/** Why a work cannot be measured here, and what to do about it. The run goes on without it. */
export class LeftOut extends Data.TaggedError("LeftOut")<{ readonly why: string }> {
  override get message(): string {
    return this.why
  }
}

/** A work of the benchmark: its name for `--only`, and what prepares its subjects. */
export interface Work {
  readonly name: string
  readonly prepare: (workshop: Workshop) => Effect.Effect<Comparison, unknown, Scope.Scope>
}
