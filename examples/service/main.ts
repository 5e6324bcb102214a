// The service in an application, as root on Linux: prints the counts once a second, three times.
//
//   scripts/example service/main
import { Kernel } from "effect-ebpf"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import { ExecutionCounts } from "./ExecutionCounts.ts"

const print = Effect.gen(function*() {
  const { top } = yield* ExecutionCounts
  yield* Effect.sleep("1 second")
  yield* Console.log((yield* top).map(([user, count]) => `user ${user}: ${count}`).join(", ") || "nothing executed yet")
})

const main = Effect.repeat(print, Schedule.recurs(2))

await Effect.runPromise(main.pipe(Effect.provide(ExecutionCounts.layer.pipe(Layer.provide(Kernel.layer)))))
