import { Asm, PerfBuffer, PerfEventArray, Program, ProgramSpec } from "effect-ebpf"
import * as Effect from "effect/Effect"

export const RING_SIZE = 16 << 20
const SAMPLE = 64
/** As many as fit: with a header of 8 bytes and a size of 4, each takes 80, and one byte of the ring stays free. */
export const SAMPLES = Math.floor((RING_SIZE - 1) / 80)
/** How often a round fills and drains. */
const FILLS = 4

const words = Array.from({ length: SAMPLE / 4 }, (_, i) => i)

/** Outputs one sample, whose 32-bit word `i` is `i + 1`. */
const produce = ProgramSpec.make({
  type: "socket_filter",
  name: "bench",
  instructions: [
    Asm.mov("r6", "r1"),
    words.map((i) => Asm.stw("r10", i * 4 - SAMPLE, i + 1)),
    Asm.mov("r1", "r6"),
    Asm.ldMapFd("r2", "rings"),
    Asm.mov32("r3", -1),
    Asm.mov("r4", "r10"),
    Asm.add("r4", -SAMPLE),
    Asm.mov("r5", SAMPLE),
    Asm.call("perf_event_output"),
    Asm.exit()
  ]
})

/** A perf buffer's map, and a round that fills it and times what drains it: nanoseconds per sample. */
export const acquirePerf = Effect.gen(function*() {
  const rings = yield* PerfEventArray.make({ name: "bench", maxEntries: yield* PerfBuffer.entries })
  const program = yield* Program.load(produce, { maps: { rings } })

  /** Fills, then times `drain`, which gives the sum of a field that is 1 in each sample. */
  const round = <E>(drain: Effect.Effect<number, E>) =>
    Effect.gen(function*() {
      let took = 0
      for (let i = 0; i < FILLS; i++) {
        const { returnValue } = yield* Program.testRun(program, { data: new Uint8Array(14), repeat: SAMPLES })
        if (returnValue !== 0) return yield* Effect.die("the last sample found no room")
        const start = performance.now()
        const sum = yield* drain
        took += performance.now() - start
        if (sum !== SAMPLES) return yield* Effect.die(`the sum of ${SAMPLES} samples is ${sum}`)
      }
      return took * 1e6 / FILLS / SAMPLES
    })
  return { rings, round }
})
