// A second process: reads the ring pinned at a path, and says so in one line, which has its pid. It lives until it is killed,
// or for `once` until it has read.
//
//   node ringHolder.ts PATH [once]
import * as Effect from "effect/Effect"
import { BpfMap, Kernel, Layout, RingBuffer, RingBufferMap } from "../../src/index.ts"

const [path, how] = process.argv.slice(2)
const definition = RingBufferMap.define({ name: "held", record: Layout.u64, maxEntries: 65536 })

const main = Effect.gen(function*() {
  const map = yield* BpfMap.openPinned(definition, path!)
  const reader = yield* RingBuffer.make(map)
  const read = reader.drain(() => {})
  console.log(JSON.stringify({ pid: process.pid, read }))
  if (how !== "once") {
    setInterval(() => {}, 1000)
    yield* Effect.never
  }
}).pipe(
  Effect.scoped,
  Effect.provide(Kernel.layer),
  Effect.catch((error) =>
    Effect.sync(() => console.log(JSON.stringify({ code: "code" in error ? error.code : error })))
  )
)

await Effect.runPromise(main)
