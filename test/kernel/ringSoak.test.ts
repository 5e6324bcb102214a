// Producers of other processes and one stream, for half a minute, or as many seconds as SOAK says.
import { beforeEach, describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { spawn } from "node:child_process"
import { fileURLToPath } from "node:url"
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import { BpfMap, Kernel, RingBuffer } from "../../src/index.ts"
import { acquireBpfFs } from "../support/folders.ts"
import { skipUnlessPossible } from "../support/privilege.ts"
import { soaked } from "../support/soakedRing.ts"

const SECONDS = Number(process.env["SOAK"] ?? "30")
const PRODUCERS = [0, 1, 2]
const script = fileURLToPath(new URL("../support/ringProducer.ts", import.meta.url))

interface Tally {
  readonly tried: number
  readonly lost: number
  readonly discarded: number
}

/** A producer from its start to its end. */
const produce = (path: string, producer: number) =>
  Effect.acquireUseRelease(
    Effect.sync(() =>
      spawn(process.execPath, ["--no-warnings", script, path, String(producer), String(SECONDS * 1000)], {
        stdio: ["ignore", "pipe", "inherit"]
      })
    ),
    (child) =>
      Effect.promise(async () => {
        let text = ""
        for await (const part of child.stdout) text += String(part)
        return JSON.parse(text) as Tally
      }),
    (child) => Effect.sync(() => void child.kill("SIGKILL"))
  )

/** What is in use on the heap once all garbage is gone. */
const heap = Effect.sync(() => {
  setFlagsFromString("--expose-gc")
  const collect = runInNewContext("gc") as () => void
  collect()
  return process.memoryUsage().heapUsed
})

describe("a ring under load", () => {
  beforeEach(skipUnlessPossible)

  it.live(
    `gives every record that was not counted lost, in each producer's order, in ${SECONDS} s of bursts`,
    () =>
      Effect.gen(function*() {
        const path = `${yield* acquireBpfFs}/soaked`
        const ring = yield* BpfMap.pinned(soaked, path)
        const scope = yield* Scope.make()
        const reader = yield* Scope.provide(RingBuffer.make(ring), scope)
        const received = PRODUCERS.map(() => 0)
        const last = PRODUCERS.map(() => 0)
        const wrong: Array<string> = []
        const consumer = yield* RingBuffer.streamFrom(reader, { drainOnClose: true }).pipe(
          Stream.runForEachArray((records) => {
            for (const { length, producer, sequence } of records) {
              const isOrdered = sequence > last[producer]!
              if ((!isOrdered || ![16, 44, 260, 1032].includes(length)) && wrong.length < 10) {
                wrong.push(`${sequence} of ${producer}, of ${length} bytes, after ${last[producer]}`)
              }
              last[producer] = sequence
              received[producer]!++
            }
            return Effect.void
          }),
          Effect.forkChild
        )
        const producers = yield* Effect.forEach(PRODUCERS, (producer) => Effect.forkChild(produce(path, producer)))
        yield* Effect.sleep(SECONDS * 400)
        const before = yield* heap
        const tallies = yield* Effect.forEach(producers, Fiber.join)
        const after = yield* heap
        yield* Scope.close(scope, Exit.void)
        yield* Fiber.join(consumer)
        expect(wrong).toEqual([])
        expect(received).toEqual(tallies.map(({ discarded, lost, tried }) => tried - lost - discarded))
        for (const { discarded, tried } of tallies) expect([tried > 0, discarded > 0]).toEqual([true, true])
        expect(reader.statistics()).toMatchObject({ events: received.reduce((a, b) => a + b), decodeErrors: 0 })
        // A leak of one byte a record would be more.
        expect(after - before).toBeLessThan(4e6)
      }).pipe(Effect.scoped, Effect.provide(Kernel.layer)),
    (SECONDS + 120) * 1000
  )
})
