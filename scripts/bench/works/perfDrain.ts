import * as Effect from "effect/Effect"
import { acquireChild, acquireScript } from "../child.ts"
import { compileGo } from "../compile.ts"
import { optional, type Work } from "../work.ts"

/** A perf buffer of 16 MiB for each CPU, as many 64-byte samples as one has room for: from the first to the last. */
export const perfDrain: Work = {
  name: "perf drain",
  prepare: (workshop) =>
    Effect.gen(function*() {
      const cilium = "cilium/ebpf perf.Reader.ReadInto, decoded"
      const go = Effect.flatMap(compileGo(workshop, "perfDrain"), (path) => acquireChild(cilium, path, []))
      return {
        work: "perf drain",
        unit: "ns/sample",
        subjects: [
          yield* acquireScript("PerfBuffer.drain", "perf.ts", "visitor"),
          yield* acquireScript("PerfBuffer.drain, decoded objects", "perf.ts", "objects"),
          yield* acquireScript("PerfBuffer.stream", "perf.ts", "stream"),
          yield* acquireScript("PerfBuffer.stream, by time", "perf.ts", "time"),
          yield* optional(cilium, go)
        ]
      }
    })
}
