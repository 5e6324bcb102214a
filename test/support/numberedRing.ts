// A ring, and a program that writes one numbered record into it at each run.
import * as Effect from "effect/Effect"
import { ArrayMap, Asm, Kernel, Layout, Program, ProgramSpec, RingBufferMap } from "../../src/index.ts"

const Numbered = Layout.struct({ sequence: Layout.u64Number })

/** Element 0 of its array is the next number, element 1 the count of records that found no room. */
const numbering = ProgramSpec.make({
  type: "socket_filter",
  name: "numbering",
  instructions: [
    [0, 1].map((index) => [
      Asm.stw("r10", -4, index),
      Asm.ldMapFd("r1", "state"),
      Asm.mov("r2", "r10"),
      Asm.add("r2", -4),
      Asm.call("map_lookup_elem"),
      Asm.jeq("r0", 0, "out"),
      Asm.mov(index === 0 ? "r6" : "r7", "r0")
    ]),
    Asm.ldxdw("r1", "r6", 0),
    Asm.stdw("r10", -16, "r1"),
    Asm.add("r1", 1),
    Asm.stdw("r6", 0, "r1"),
    Asm.ldMapFd("r1", "events"),
    Asm.mov("r2", "r10"),
    Asm.add("r2", -16),
    Asm.mov("r3", 8),
    Asm.mov("r4", 0),
    Asm.call("ringbuf_output"),
    Asm.jeq("r0", 0, "out"),
    Asm.ldxdw("r1", "r7", 0),
    Asm.add("r1", 1),
    Asm.stdw("r7", 0, "r1"),
    Asm.label("out"),
    Asm.mov("r0", 0),
    Asm.exit()
  ]
})

/** A ring of so many pages, what puts numbered records of 16 bytes into it, and how many of them found no room. */
export const numberedRing = (pages: number) =>
  Effect.gen(function*() {
    const { pageSize } = yield* Kernel.Kernel
    const events = yield* RingBufferMap.make({ name: "events", record: Numbered, maxEntries: pages * pageSize })
    const state = yield* ArrayMap.make({ name: "state", value: Layout.u64Number, maxEntries: 2 })
    const program = yield* Program.load(numbering, { maps: { events, state } })
    const produce = (count: number) =>
      Program.testRun(program, { data: new Uint8Array(14), repeat: count }).pipe(Effect.asVoid)
    return { events, lost: state.lookup(1), pageSize, produce }
  })
