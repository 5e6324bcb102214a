// Drains a full ring of 16 MiB in the way that its argument names.
import { RingBuffer } from "effect-ebpf"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { answer } from "../answer.ts"
import { acquireRing, RECORDS } from "./fullRing.ts"

/** In place: `drain` with one visitor that sums a field. */
const inPlace = Effect.gen(function*() {
  const { ring, round } = yield* acquireRing
  const reader = yield* RingBuffer.make(ring)
  let sum = 0
  const visit: RingBuffer.Visit = (view, _, offset) => {
    sum += view.getUint32(offset, true)
  }
  return round(Effect.sync(() => {
    sum = 0
    reader.drain(visit)
    return sum
  }))
})

/** The same in a process that has drained with four other visitors, so that the call of the visitor is megamorphic. */
const shared = Effect.gen(function*() {
  const { ring, round } = yield* acquireRing
  const reader = yield* RingBuffer.make(ring)
  let sum = 0
  const visitors: ReadonlyArray<RingBuffer.Visit> = [
    (view, _, offset) => void (sum += view.getUint32(offset, true)),
    (view, _, offset) => void (sum += view.getUint8(offset)),
    (view, _, offset) => void (sum += view.getUint16(offset, true)),
    (view, _, offset) => void (sum += view.getInt32(offset, true)),
    (_, bytes, offset) => void (sum += bytes[offset]!)
  ]
  let turn = 0
  return round(Effect.sync(() => {
    sum = 0
    reader.drain(visitors[turn++ % visitors.length]!)
    return sum
  }))
})

/** A stream of decoded objects, pulled batch by batch. */
const stream = Effect.gen(function*() {
  const { ring, round } = yield* acquireRing
  const pull = yield* Stream.toPull(RingBuffer.stream(ring))
  return round(Effect.gen(function*() {
    let sum = 0
    for (let count = 0; count < RECORDS;) {
      const events = yield* pull
      for (const event of events) sum += event.pid
      count += events.length
    }
    return sum
  }))
})

const ways = { inPlace, shared, stream }
answer<unknown, unknown>(ways[process.argv[2] as keyof typeof ways])
