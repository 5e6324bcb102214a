import { Asm, Layout, Program, ProgramSpec, RingBufferMap } from "effect-ebpf"
import * as Effect from "effect/Effect"

const RING_SIZE = 16 << 20
const RECORD = 64
/** As many as fit: each has a header of 8 bytes, and one byte of the ring stays free. */
export const RECORDS = Math.floor((RING_SIZE - 1) / (RECORD + 8))
/** How often a round fills and drains: one drain takes about a millisecond, which is short for a clock. */
const FILLS = 4

/** An event of a usual size; the rest of the 64 bytes is not decoded. */
export const Event = Layout.struct({
  pid: Layout.u32,
  parent: Layout.u32,
  time: Layout.u64Number,
  uid: Layout.u32,
  code: Layout.u32,
  address: Layout.u64Number
})

/** The first three fields of it. */
export const Three = Layout.struct({ pid: Layout.u32, parent: Layout.u32, time: Layout.u64Number })

const words = Array.from({ length: RECORD / 4 }, (_, i) => i)

/**
 * Writes one record, whose 32-bit word `i` is `i + 1`: the first field of all records sums to their number, and those of
 * 64 bits are as large as times and addresses are.
 */
const produce = ProgramSpec.make({
  type: "socket_filter",
  name: "bench",
  instructions: [
    words.map((i) => Asm.stw("r10", i * 4 - RECORD, i + 1)),
    Asm.ldMapFd("r1", "ring"),
    Asm.mov("r2", "r10"),
    Asm.add("r2", -RECORD),
    Asm.mov("r3", RECORD),
    Asm.mov("r4", 0),
    Asm.call("ringbuf_output"),
    Asm.exit()
  ]
})

/** A ring, and a round that fills it and times what drains it: nanoseconds per record. */
export const acquireRing = Effect.gen(function*() {
  const ring = yield* RingBufferMap.make({ name: "bench", record: Event, maxEntries: RING_SIZE })
  const program = yield* Program.load(produce, { maps: { ring } })

  /** Fills, then times `drain`, which gives the sum of a field that is 1 in each record. */
  const round = <E>(drain: Effect.Effect<number, E>) =>
    Effect.gen(function*() {
      let took = 0
      for (let i = 0; i < FILLS; i++) {
        const { returnValue } = yield* Program.testRun(program, { data: new Uint8Array(14), repeat: RECORDS })
        if (returnValue !== 0) return yield* Effect.die("the last record found no room")
        const start = performance.now()
        const sum = yield* drain
        took += performance.now() - start
        if (sum !== RECORDS) return yield* Effect.die(`the sum of ${RECORDS} records is ${sum}`)
      }
      return took * 1e6 / FILLS / RECORDS
    })
  return { ring, round }
})
