// A consumer that is too slow for a ring, with each choice of what to do about that: every record is accounted for.
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import { expect } from "vitest"
import { BackPressure, RingBuffer } from "../../src/index.ts"
import type { Test } from "../support/kernels.ts"
import { numberedRing } from "../support/numberedRing.ts"

const policies: ReadonlyArray<BackPressure.Policy> = [
  { strategy: "block" },
  { strategy: "buffer", capacity: 500 },
  { strategy: "dropOldest", capacity: 500 },
  { strategy: "dropNewest", capacity: 500 },
  { strategy: "sample", capacity: 500 },
  { strategy: "every", nth: 10 }
]

export const backPressure = (test: Test): void => {
  for (const policy of policies) {
    const { strategy } = policy
    test(`${strategy}: what a slow consumer of a ring does not see is counted, here or by the program`, () =>
      Effect.gen(function*() {
        const { events, lost, pageSize, produce } = yield* numberedRing(1)
        const room = Math.floor((pageSize - 1) / 16)
        const produced = 20 * room
        const pressure = yield* BackPressure.make({ ...policy, lost })
        const started = yield* Deferred.make<void>()
        const goOn = yield* Deferred.make<void>()
        let seen = 0
        let last = -1
        const consumer = yield* RingBuffer.stream(events).pipe(
          pressure.through,
          Stream.runForEachArray((batch) => {
            for (const { sequence } of batch) {
              if (sequence <= last) return Effect.die(`${sequence} after ${last}`)
              last = sequence
            }
            seen += batch.length
            return Effect.andThen(Deferred.succeed(started, undefined), Deferred.await(goOn))
          }),
          Effect.forkScoped
        )
        yield* produce(1)
        yield* Deferred.await(started)
        const drops = strategy === "dropOldest" || strategy === "dropNewest" || strategy === "sample"
        // The ring is filled 20 times over, each time with time for whoever reads it.
        for (let i = 1; i <= 20; i++) {
          yield* produce(i === 1 ? room - 1 : room)
          for (let wait = drops ? 500 : 5; wait > 0; wait--) {
            const { lost, received } = yield* pressure.snapshot
            if (received + lost === i * room) break
            yield* Effect.sleep("2 millis")
          }
        }
        yield* Deferred.succeed(goOn, undefined)
        // All that is left comes now, in however many arrays.
        let counts = yield* pressure.snapshot
        for (let i = 0; i < 500 && (counts.received + counts.lost < produced || counts.buffered > 0); i++) {
          yield* Effect.sleep("10 millis")
          counts = yield* pressure.snapshot
        }
        expect(counts.received + counts.lost).toBe(produced)
        expect(counts.delivered + counts.dropped).toBe(counts.received)
        expect(counts).toMatchObject({ delivered: seen, buffered: 0, abandoned: 0 })
        if (drops) {
          expect(counts.lost, "lost by the program").toBe(0)
          expect(counts.dropped, "dropped here").toBeGreaterThan(0)
        } else expect(counts.lost, "lost by the program").toBeGreaterThan(0)
        yield* Fiber.interrupt(consumer)
      }))
  }
}
