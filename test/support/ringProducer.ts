// A second process: writes bursts of records of random sizes into the ring pinned at a path, and discards some. At the end of
// its time it says in one line how many it tried, how many found no room, and how many it discarded.
//
//   node ringProducer.ts PATH PRODUCER MILLISECONDS
import * as Effect from "effect/Effect"
import { ArrayMap, Asm, BpfMap, Kernel, Layout, Program, ProgramSpec, Snippets } from "../../src/index.ts"
import { soaked } from "./soakedRing.ts"

const [path, producer, milliseconds] = process.argv.slice(2)

const Tally = Layout.struct({ tried: Layout.u64Number, lost: Layout.u64Number, discarded: Layout.u64Number })

/** One of four sizes by two random bits, and one of eight records discarded by three others. */
const writing = ProgramSpec.make({
  type: "socket_filter",
  name: "soaking",
  instructions: [
    Asm.call("get_prandom_u32"),
    Asm.mov("r7", "r0"),
    Asm.mov("r9", "r0"),
    Asm.rsh("r9", 8),
    Asm.and("r9", 3),
    Asm.ldMapValue("r8", "tally", 0),
    Asm.ldxdw("r1", "r8", 0),
    Asm.add("r1", 1),
    Asm.stdw("r8", 0, "r1"),
    [16, 44, 260, 1032].map((size, i) => [
      Asm.jne("r9", i, `not${i}`),
      Snippets.ringbufReserve("soaked", { size }, "full"),
      Asm.mov("r6", "r0"),
      Asm.stw("r6", 4, size),
      Asm.ja("reserved"),
      Asm.label(`not${i}`)
    ]),
    Asm.ja("out"),
    Asm.label("reserved"),
    Asm.stw("r6", 0, Number(producer)),
    Asm.ldxdw("r1", "r8", 0),
    Asm.stdw("r6", 8, "r1"),
    Asm.and("r7", 7),
    Asm.jeq("r7", 0, "discard"),
    Snippets.ringbufSubmit("r6"),
    Asm.ja("out"),
    Asm.label("discard"),
    Snippets.ringbufDiscard("r6"),
    Snippets.countLost("tally", 16),
    Asm.ja("out"),
    Asm.label("full"),
    Snippets.countLost("tally", 8),
    Asm.label("out"),
    Asm.mov("r0", 0),
    Asm.exit()
  ]
})

const main = Effect.gen(function*() {
  const ring = yield* BpfMap.openPinned(soaked, path!)
  const tally = yield* ArrayMap.make({ name: "tally", value: Tally, maxEntries: 1 })
  const program = yield* Program.load(writing, { maps: { soaked: ring, tally } })
  const end = performance.now() + Number(milliseconds)
  while (performance.now() < end) {
    yield* Program.testRun(program, { data: new Uint8Array(14), repeat: 1 + Math.floor(Math.random() * 2000) })
    if (Math.random() < 0.7) yield* Effect.sleep(Math.random() * 4)
  }
  console.log(JSON.stringify(yield* tally.lookup(0)))
}).pipe(Effect.scoped, Effect.provide(Kernel.layer))

await Effect.runPromise(main)
