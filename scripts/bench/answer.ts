// The other end of child.ts, for subjects in TypeScript.
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Kernel } from "effect-ebpf"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { createInterface } from "node:readline"

/** Prepares a round, then does it once for each line of standard input. */
export const answer = <E, E2>(
  prepare: Effect.Effect<Effect.Effect<number, E2, Kernel.Kernel>, E, Kernel.Kernel | Scope.Scope>
): void =>
  Effect.gen(function*() {
    const round = yield* prepare
    const lines = Stream.fromAsyncIterable(createInterface({ input: process.stdin }), (error) => error)
    yield* Stream.runForEach(lines, () =>
      Effect.gen(function*() {
        // One round's garbage is not collected in another's time. A full collection would also give the memory of young
        // objects back to the system, whose page faults would then be most of the next round.
        globalThis.gc?.({ type: "minor" })
        console.log(yield* round)
      }))
  }).pipe(Effect.scoped, Effect.provide(Kernel.layer), NodeRuntime.runMain)
