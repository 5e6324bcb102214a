import * as Effect from "effect/Effect"
import { acquireChild, acquireScript } from "../child.ts"
import { compile } from "../compile.ts"
import type { Work } from "../work.ts"

/** A way of `subjects/manyEntries.ts` against a program of `c/`. */
const work = (
  name: string,
  unit: string,
  c: { readonly name: string; readonly program: string; readonly args: ReadonlyArray<string> },
  ...own: ReadonlyArray<{ readonly name: string; readonly way: string }>
): Work => ({
  name,
  prepare: (workshop) =>
    Effect.gen(function*() {
      const program = yield* compile(workshop, c.program)
      return {
        work: name,
        unit,
        subjects: [
          yield* acquireChild(c.name, program, c.args),
          ...(yield* Effect.forEach(own, ({ name, way }) => acquireScript(name, "manyEntries.ts", way)))
        ]
      }
    })
})

/** Many entries at once: against C's batch commands, or its calls for single entries. */
export const manyEntries: ReadonlyArray<Work> = [
  work(
    "map batch update",
    "ns/entry",
    { name: "C, BPF_MAP_UPDATE_BATCH", program: "batches", args: ["update"] },
    { name: "HashMap.setColumns", way: "updateColumns" }
  ),
  work(
    "map batch lookup",
    "ns/entry",
    { name: "C, BPF_MAP_LOOKUP_BATCH", program: "batches", args: ["lookup"] },
    { name: "HashMap.columns", way: "lookUpColumns" }
  ),
  work(
    "map batch delete",
    "ns/entry",
    { name: "C, BPF_MAP_DELETE_BATCH", program: "batches", args: ["delete"] },
    { name: "HashMap.deleteColumns", way: "deleteColumns" }
  ),
  work(
    "map entries",
    "ns/entry",
    { name: "C, next key and lookup", program: "walk", args: [] },
    { name: "HashMap.entries", way: "entries" }
  ),
  work(
    "map get many",
    "ns/key",
    { name: "C, lookup of each", program: "operations", args: ["lookup", "8"] },
    { name: "HashMap.getMany of 256", way: "getMany" }
  ),
  work(
    "map look up together",
    "ns/key",
    { name: "C, lookup of each", program: "operations", args: ["lookup", "8"] },
    { name: "HashMap.lookupTogether, 256 fibers", way: "lookupTogether" },
    { name: "HashMap.resolver, 256 requests", way: "resolver" },
    { name: "the same, batched by Effect", way: "effectBatches" }
  ),
  work(
    "map set many",
    "ns/key",
    { name: "C, update of each", program: "operations", args: ["update", "8"] },
    { name: "HashMap.setMany of 256", way: "setMany" }
  ),
  work(
    "map slot",
    "ns/read",
    { name: "C, mmapped array", program: "slots", args: [] },
    { name: "ArrayMap.view, get", way: "slots" }
  )
]
