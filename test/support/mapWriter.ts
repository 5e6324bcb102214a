// A second process: opens the mmapable array on its descriptor 3 and writes patterns whose halves differ, until it is ended.
import * as Effect from "effect/Effect"
import * as ArrayMap from "../../src/map/ArrayMap.ts"
import * as BpfMap from "../../src/map/BpfMap.ts"
import * as Kernel from "../../src/kernel/Kernel.ts"
import * as Layout from "../../src/layout/Layout.ts"

const values = ArrayMap.define({ name: "torn", value: Layout.u64, maxEntries: 2, mmapable: true })
const [low, high] = [BigInt(process.argv[2]!), BigInt(process.argv[3]!)]

const main = Effect.gen(function*() {
  const map = yield* BpfMap.fromFd(values, 3)
  const view = yield* ArrayMap.view(map)
  view.set(1, 1n) // ready
  // Ended by its parent, or when that is gone.
  for (let i = 0; i < 2e9; i++) {
    view.set(0, i % 2 === 0 ? low : high)
    if (i % 1_000_000 === 0 && process.ppid === 1) return
  }
}).pipe(Effect.scoped, Effect.provide(Kernel.layer))

await Effect.runPromise(main)
