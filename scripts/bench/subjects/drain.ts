// Drains a full ring of 16 MiB in the way that its argument names.
import { type Layout, RingBuffer } from "effect-ebpf"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { answer } from "../answer.ts"
import { acquireRing, RECORDS, Three } from "./fullRing.ts"

/**
 * `drain` with one visitor that sums three fields; in a typed array, since V8 makes a new object of each fraction or large
 * integer that is put into a variable of a closure: 16 bytes a record.
 */
const inPlace = Effect.gen(function*() {
  const { ring, round } = yield* acquireRing
  const reader = yield* RingBuffer.make(ring)
  const sums = new Float64Array(3)
  const visit: RingBuffer.Visit<unknown> = (record) => {
    sums[0]! += record.u32(0)
    sums[1]! += record.u32(4)
    sums[2]! += record.u64Number(8)
  }
  return round(Effect.sync(() => {
    sums.fill(0)
    reader.drain(visit)
    const [sum, parents, times] = [sums[0]!, sums[1]!, sums[2]!]
    return parents === 2 * sum && times > 0 ? sum : -1
  }))
})

/** The same in a process that has drained with four other visitors, so that the call of the visitor is megamorphic. */
const shared = Effect.gen(function*() {
  const { ring, round } = yield* acquireRing
  const reader = yield* RingBuffer.make(ring)
  let sum = 0
  const visitors: ReadonlyArray<RingBuffer.Visit<unknown>> = [
    (record) => void (sum += record.u32(0)),
    (record) => void (sum += record.u8(0)),
    (record) => void (sum += record.u16(0)),
    (record) => void (sum += record.i32(0)),
    (record) => void (sum += record.i8(0))
  ]
  let turn = 0
  return round(Effect.sync(() => {
    sum = 0
    reader.drain(visitors[turn++ % visitors.length]!)
    return sum
  }))
})

/** Columns, of which three are summed: each batch new, or in the memory of the one before. */
const columns = (again: boolean) =>
  Effect.gen(function*() {
    const { ring, round } = yield* acquireRing
    const reader = yield* RingBuffer.make({ ...ring, record: Three })
    let batch: RingBuffer.ColumnBatch<Layout.Type<typeof Three>> | undefined
    return round(Effect.sync(() => {
      let [sum, parents, times] = [0, 0, 0]
      for (;;) {
        batch = reader.columns(4096, again ? batch : undefined)
        const { columns: { parent, pid, time }, rows } = batch
        if (rows === 0) return parents === 2 * sum && times > 0 ? sum : -1
        for (let i = 0; i < rows; i++) {
          sum += pid[i]!
          parents += parent[i]!
          times += time[i]!
        }
      }
    }))
  })

/** Decoded objects, in batches. */
const objects = Effect.gen(function*() {
  const { ring, round } = yield* acquireRing
  const reader = yield* RingBuffer.make(ring)
  return round(Effect.sync(() => {
    let sum = 0
    for (;;) {
      const events = reader.take(4096)
      if (events.length === 0) return sum
      for (const event of events) sum += event.pid
    }
  }))
})

/** A stream with operators on each record. */
const operators = Effect.gen(function*() {
  const { ring, round } = yield* acquireRing
  const reader = yield* RingBuffer.make(ring)
  return round(Effect.gen(function*() {
    let [sum, count] = [0, 0]
    yield* RingBuffer.streamFrom(reader).pipe(
      Stream.map((event) => ({ pid: event.pid, total: event.uid + event.code })),
      Stream.filter((event) => event.total > 0),
      Stream.takeUntil(() => ++count === RECORDS),
      Stream.runForEachArray((events) =>
        Effect.sync(() => {
          for (const event of events) sum += event.pid
        })
      )
    )
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

const ways = { inPlace, shared, columns: columns(false), columnsAgain: columns(true), objects, stream, operators }
answer<unknown, unknown>(ways[process.argv[2] as keyof typeof ways])
