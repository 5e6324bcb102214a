// A perf buffer: a program outputs samples, more than its ring has room for, and the stream tells how many are lost, and
// where. The program is not attached: `Program.testRun` runs it.
//
//   scripts/example perfBuffer
import {
  Asm,
  Kernel,
  Layout,
  PerfBuffer,
  PerfEventArray,
  Program,
  ProgramContext,
  ProgramSpec,
  Snippets
} from "effect-ebpf"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { layer } from "./kernel.ts"

const Event = Layout.struct({ length: Layout.u32 })
const { event } = Snippets.stack({ event: Event })

/** Outputs the length of each packet to the ring of the CPU that it runs on. */
const lengths = ProgramSpec.make({
  type: "socket_filter",
  name: "lengths",
  instructions: [
    Asm.mov("r6", "r1"),
    Snippets.readField("r1", "r6", ProgramContext.__sk_buff, "len"),
    Snippets.storeStruct(event, { length: "r1" }),
    Snippets.perfOutput("r6", "events", event),
    Asm.mov("r0", 0),
    Asm.exit()
  ]
})

/** What a sample of 4 bytes takes in a ring: a header of 8 bytes, the data's size, the data. */
const RECORD = 16

const main = Effect.gen(function*() {
  const { pageSize } = yield* Kernel.Kernel
  const events = yield* PerfEventArray.make({ name: "events", maxEntries: yield* PerfBuffer.entries })
  const program = yield* Program.load(lengths, { maps: { events } })
  const reader = yield* PerfBuffer.make(events, { size: pageSize })
  const packets = (repeat: number) => Program.testRun(program, { data: new Uint8Array(64), repeat })

  yield* packets(3)
  yield* PerfBuffer.records(reader, Event).pipe(
    Stream.take(3),
    Stream.runForEach((each) => Console.log(each._tag === "Sample" ? `a packet of ${each.value.length} bytes` : "lost"))
  )

  // Each CPU has a ring of one page: twice the room of all of them is too much for any. What is lost is told with the next
  // sample of the CPU that fits.
  yield* packets(2 * reader.cpus().length * pageSize / RECORD)
  while (reader.statistics().lost === 0) {
    reader.drain(() => {})
    yield* packets(1)
  }
  const { events: read, lost } = reader.statistics()
  yield* Console.log(`read and lost: ${read > 0 && lost > 0 ? "some" : "none"}`)
})

await Effect.runPromise(main.pipe(Effect.scoped, Effect.provide(layer)))
