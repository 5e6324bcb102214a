// Makes operations of the handle API, between two lines that mark them in what --trace-gc prints:
// allocation.ts OPERATION COUNT.
import { HashMap, Kernel, Layout } from "effect-ebpf"
import * as Effect from "effect/Effect"

const ENTRIES = 1000

type Numbers = HashMap.HashMap<number, number>

/** Does `count` operations, each of which must succeed. */
type Operation = (map: Numbers, count: number) => void

const operations: { readonly [name: string]: Operation } = {
  lookup: (map, count) => {
    for (let i = 0; i < count; i++) if (map.lookupUnsafe(i % ENTRIES) === undefined) throw new Error("a miss")
  },
  update: (map, count) => {
    for (let i = 0; i < count; i++) map.updateUnsafe(i % ENTRIES, i)
  },
  delete: (map, count) => {
    for (let i = 0; i < count; i++) {
      map.deleteUnsafe(i % ENTRIES)
      map.deleteUnsafe(ENTRIES) // a miss
    }
  },
  nextKey: (map, count) => {
    let key: number | undefined
    for (let i = 0; i < count; i++) key = map.nextKeyUnsafe(key)
  }
}

const main = Effect.gen(function*() {
  const map = yield* HashMap.make({
    name: "bench",
    key: Layout.u64Number,
    value: Layout.u64Number,
    maxEntries: ENTRIES
  })
  for (let key = 0; key < ENTRIES; key++) yield* map.update(key, key)
  const operation = operations[process.argv[2]!]!
  operation(map, 200_000) // until all of it is compiled
  console.log("begin")
  operation(map, Number(process.argv[3]))
  console.log("end")
})

await Effect.runPromise(main.pipe(Effect.scoped, Effect.provide(Kernel.layer)))
