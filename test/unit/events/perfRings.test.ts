// What no kernel gets to in a test's time: a ring's positions past 2^32 and 2^53, in pages that are made up here.
import { describe, it } from "@effect/vitest"
import { expect } from "vitest"
import { Counts } from "../../../src/events/internal/counts.ts"
import { PerfCursor } from "../../../src/events/internal/perfCursor.ts"
import { PerfRing } from "../../../src/events/internal/perfRing.ts"
import { parseCpus } from "../../../src/kernel/cpus.ts"

const PAGE = 4096

/** A ring of one page whose writer and reader are at a position, and what writes samples of 4 bytes to it. */
const ringAt = (start: bigint, order: "cpu" | "time" = "cpu") => {
  const buffer = new ArrayBuffer(2 * PAGE)
  const [head, tail] = [new BigInt64Array(buffer, 1024, 1), new BigInt64Array(buffer, 1032, 1)]
  const data = new DataView(buffer, PAGE)
  head[0] = tail[0] = start
  const mapping = { length: buffer.byteLength, buffer }
  const wakeup = { events: 3 }
  const ring = new PerfRing({ subject: "ring", cpu: 5, mapping, pageSize: PAGE, size: PAGE, wakeup, backward: false })
  const counts = new Counts({ kind: "perf_event_array", name: "events", lag: () => ring.lag() })
  const cursor = new PerfCursor({ subject: "ring", order, overwritable: false, paused: (read) => read(), counts })
  cursor.add(ring)
  const write = (value: number, time?: bigint) => {
    const words = time === undefined
      ? [9, 16 << 16, 4, value]
      : [9, 24 << 16, Number(time & 0xffffffffn), Number(time >> 32n), 4, value]
    for (const word of words) {
      data.setUint32(Number(head[0]! % BigInt(PAGE)), word, true)
      head[0] = head[0]! + 4n
    }
  }
  return { ring, cursor, counts, head: head as BigInt64Array, tail: tail as BigInt64Array, write }
}

const valuesOf = (cursor: PerfCursor): ReadonlyArray<number> => {
  const values: Array<number> = []
  cursor.drain((view, _bytes, offset) => values.push(view.getUint32(offset, true)))
  return values
}

describe("a perf ring", () => {
  for (const start of [0n, 2n ** 31n - 64n, 2n ** 32n - 4064n, 2n ** 32n - 16n, 2n ** 40n + 8n]) {
    it(`is read across its end and past all bits of its positions, from ${start} on`, () => {
      const { counts, cursor, ring, tail, write } = ringAt(start)
      for (let round = 0; round < 20; round++) {
        const values = Array.from({ length: 100 }, (_, i) => 100 * round + i)
        for (const value of values) write(value)
        expect(ring.lag()).toBe(1600)
        expect(valuesOf(cursor)).toEqual(values)
        expect(tail[0]).toBe(start + BigInt(1600 * (round + 1)))
      }
      expect(counts).toMatchObject({ events: 2000, bytes: 8000, batches: 20, lost: 0 })
    })
  }

  it("is due at each so many samples since it began, whenever they are read", () => {
    const { cursor, ring, write } = ringAt(2n ** 32n + 64n)
    const due = Array.from({ length: 7 }, (_, i) => (write(i), ring.isDue()))
    expect(due).toEqual([false, false, true, true, true, true, true])
    expect(valuesOf(cursor)).toHaveLength(7)
    expect([ring.isDue(), (write(7), ring.isDue()), (write(8), ring.isDue())]).toEqual([false, false, true])
  })

  it("whose times fall, as nobody's do, is read in their order all the same, and soon", () => {
    const { cursor, write } = ringAt(0n, "time")
    for (let i = 0; i < 150; i++) write(i, 2n ** 63n - BigInt(i))
    expect(valuesOf(cursor)).toEqual([]) // held back until the next look
    expect(valuesOf(cursor)).toEqual(Array.from({ length: 150 }, (_, i) => 149 - i))
  })

  it("whose position falls is an error", () => {
    const { cursor, head, write } = ringAt(64n)
    write(1)
    expect(valuesOf(cursor)).toEqual([1])
    head[0] = 64n
    expect(() => valuesOf(cursor)).toThrow("ring of CPU 5: expected at most 4096 bytes to read")
    expect(() => valuesOf(cursor)).toThrow("ring of CPU 5")
  })
})

describe("a list of CPUs by number", () => {
  it("may have holes, and is told from other text", () => {
    expect(parseCpus("0-3,8\n")).toEqual([0, 1, 2, 3, 8])
    expect(parseCpus("127")).toEqual([127])
    for (const text of ["", "3-0", "0-", "a", "0,,1", "0-4294967295", "0-65535,0-65535"]) {
      expect(parseCpus(text), text).toBeUndefined()
    }
  })
})
