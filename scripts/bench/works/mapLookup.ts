import * as Effect from "effect/Effect"
import { acquireChild, acquireScript } from "../child.ts"
import { compile } from "../compile.ts"
import type { Work } from "../work.ts"

/** A hash map of 10,000 entries, 8-byte keys and values, each found: HashMap against the bare system call. */
export const mapLookup: Work = {
  name: "map lookup",
  prepare: (workshop) =>
    Effect.gen(function*() {
      const c = yield* compile(workshop, "lookup")
      return {
        work: "map lookup",
        unit: "ns/op",
        subjects: [
          yield* acquireChild("C, syscall(2)", c, []),
          yield* acquireScript("Kernel.bpf, no HashMap", "lookup.ts", "raw"),
          yield* acquireScript("HashMap.lookup, whileLoop", "lookup.ts", "whileLoop"),
          yield* acquireScript("HashMap.lookup, yield*", "lookup.ts", "numbers"),
          yield* acquireScript("HashMap.lookup, yield*, bigint", "lookup.ts", "bigints")
        ]
      }
    })
}
