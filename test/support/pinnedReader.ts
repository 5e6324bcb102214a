// A second process: opens the map pinned at a path, prints its entries as one line of JSON, and adds one.
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as BpfMap from "../../src/map/BpfMap.ts"
import * as HashMap from "../../src/map/HashMap.ts"
import * as Kernel from "../../src/kernel/Kernel.ts"
import * as Layout from "../../src/layout/Layout.ts"

const definition = HashMap.define({ name: "pinned", key: Layout.u32, value: Layout.u32, maxEntries: 8 })

const main = Effect.gen(function*() {
  const map = yield* BpfMap.openPinned(definition, process.argv[2]!)
  console.log(JSON.stringify(yield* Stream.runCollect(map.entries)))
  yield* map.update(99, process.pid)
}).pipe(Effect.scoped, Effect.provide(Kernel.layer))

await Effect.runPromise(main)
