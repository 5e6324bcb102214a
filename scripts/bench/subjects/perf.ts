// Drains a full perf buffer in the way that its argument names.
import { PerfBuffer } from "effect-ebpf"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { answer } from "../answer.ts"
import { acquirePerf, RING_SIZE, SAMPLES } from "./fullPerf.ts"
import { Event } from "./fullRing.ts"

/** A wake-up for each sample would be an interrupt for each, while the ring is filled. */
const OPTIONS = { size: RING_SIZE, wakeup: { bytes: RING_SIZE / 2 } }

/** `drain` with one visitor that sums a field. */
const visitor = Effect.gen(function*() {
  const { rings, round } = yield* acquirePerf
  const reader = yield* PerfBuffer.make(rings, OPTIONS)
  let sum = 0
  const visit: PerfBuffer.Visit = (view, _, offset) => {
    sum += view.getUint32(offset, true)
  }
  return round(Effect.sync(() => {
    sum = 0
    reader.drain(visit)
    return sum
  }))
})

/** `drain` with a visitor that decodes each sample to an object. */
const objects = Effect.gen(function*() {
  const { rings, round } = yield* acquirePerf
  const reader = yield* PerfBuffer.make(rings, OPTIONS)
  let sum = 0
  const visit: PerfBuffer.Visit = (view, bytes, offset) => {
    sum += Event.read(view, bytes, offset).pid
  }
  return round(Effect.sync(() => {
    sum = 0
    reader.drain(visit)
    return sum
  }))
})

/** A stream of decoded objects, pulled batch by batch; all at once, or in the order of time. */
const streamed = (order: "cpu" | "time") =>
  Effect.gen(function*() {
    const { rings, round } = yield* acquirePerf
    const options = { ...OPTIONS, size: order === "time" ? 2 * RING_SIZE : RING_SIZE, order }
    const pull = yield* Stream.toPull(PerfBuffer.stream(rings, Event, options))
    return round(Effect.gen(function*() {
      let sum = 0
      for (let count = 0; count < SAMPLES;) {
        const events = yield* pull
        for (const event of events) if (event._tag === "Sample") sum += event.value.pid
        count += events.length
      }
      return sum
    }))
  })

const ways = { visitor, objects, stream: streamed("cpu"), time: streamed("time") }
answer<unknown, unknown>(ways[process.argv[2] as keyof typeof ways])
