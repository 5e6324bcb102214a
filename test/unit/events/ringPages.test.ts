// What no kernel gets to in a test's time: a ring's positions past 2^32 and 2^53, in pages that are made up here.
import { describe, it } from "@effect/vitest"
import { expect } from "vitest"
import { Counts } from "../../../src/events/internal/counts.ts"
import { RingBatches } from "../../../src/events/internal/ringBatch.ts"
import { RingCursor } from "../../../src/events/internal/ringCursor.ts"
import { Layout } from "../../../src/index.ts"

const PAGE = 4096
const BUSY = 0x80000000
const DISCARDED = 0x40000000

const Value = Layout.struct({ value: Layout.u32 })

/** A ring of one page whose programs and reader are at a position, and what reserves and submits records of 4 bytes in it. */
const ringAt = (start: bigint) => {
  const [consumer, producer] = [new ArrayBuffer(PAGE), new ArrayBuffer(3 * PAGE)]
  const [read, reserved] = [new BigInt64Array(consumer), new BigInt64Array(producer)]
  // A kernel maps the data twice in a row: here all is written twice.
  const data = new DataView(producer, PAGE)
  read[0] = reserved[0] = start
  const counts: Counts = new Counts({ kind: "ringbuf", name: "events", lag: () => cursor.lag() })
  const cursor: RingCursor<Layout.Type<typeof Value>> = new RingCursor({
    subject: "ring",
    layout: Value,
    consumer: { length: PAGE, buffer: consumer },
    producer: { length: 3 * PAGE, buffer: producer },
    dataOffset: PAGE,
    size: PAGE,
    architecture: "x64"
  }, counts)
  const put = (position: bigint, word: number) => {
    for (const copy of [0, PAGE]) data.setUint32(copy + Number(position % BigInt(PAGE)), word, true)
  }
  /** Writes a record and gives its position, by which its header can be changed. */
  const write = (value: number, flags = 0): bigint => {
    const at = reserved[0]!
    put(at, (4 | flags) >>> 0)
    put(at + 8n, value)
    reserved[0] = at + 16n
    return at
  }
  return { cursor, counts, put, read: read as BigInt64Array, batches: new RingBatches(cursor, Value, counts), write }
}

const visited = (cursor: RingCursor<Layout.Type<typeof Value>>): ReadonlyArray<number> => {
  const values: Array<number> = []
  cursor.drain((record) => values.push(record.u32(0)), Number.POSITIVE_INFINITY)
  return values
}

describe("a ring's pages", () => {
  for (const start of [0n, 2n ** 31n - 64n, 2n ** 32n - 4064n, 2n ** 32n - 16n, 2n ** 53n - 16n, 2n ** 60n]) {
    it(`are read in every way across their end and past all bits of their positions, from ${start} on`, () => {
      const { batches, counts, cursor, read, write } = ringAt(start)
      for (let round = 0; round < 21; round++) {
        const values = Array.from({ length: 100 }, (_, i) => 100 * round + i)
        for (const value of values) {
          write(0, DISCARDED)
          write(value)
        }
        expect(cursor.lag()).toBe(3200)
        const found = round % 3 === 0
          ? visited(cursor)
          : round % 3 === 1
          ? batches.values(1000, "fail").map(({ value }) => value)
          : [...batches.columns(1000, "fail").columns.value]
        expect(found).toEqual(values)
        expect(read[0]).toBe(start + BigInt(3200 * (round + 1)))
      }
      expect(counts).toMatchObject({ events: 2100, bytes: 8400, batches: 21 })
    })
  }

  it("are read up to a record that is reserved and not submitted, in every way", () => {
    const { batches, cursor, put, read, write } = ringAt(2n ** 32n - 32n)
    write(1)
    const busy = write(2, BUSY)
    write(3)
    expect(cursor.isBusy()).toBe(false)
    expect(visited(cursor)).toEqual([1])
    expect(read[0]).toBe(busy)
    expect([cursor.isBusy(), cursor.waits]).toEqual([true, true])
    expect([visited(cursor), batches.values(9, "fail"), batches.columns(9, "fail").rows]).toEqual([[], [], 0])
    put(busy, 4)
    expect([cursor.isBusy(), ...visited(cursor)]).toEqual([false, 2, 3])
  })
})
