import * as Effect from "effect/Effect"
import { acquireChild, acquireScript } from "../child.ts"
import { compile } from "../compile.ts"
import type { Work } from "../work.ts"

/** A ring of 16 MiB, full of 64-byte records: the time from the first to the last, without filling it. */
export const ringDrain: Work = {
  name: "ring drain",
  prepare: (workshop) =>
    Effect.gen(function*() {
      const c = yield* compile(workshop, "drain", { libbpf: true })
      return {
        work: "ring drain",
        unit: "ns/record",
        subjects: [
          yield* acquireChild("libbpf ring_buffer__consume", c, []),
          yield* acquireScript("RingBuffer.drain", "drain.ts", "inPlace"),
          yield* acquireScript("RingBuffer.drain, one of 5 visitors", "drain.ts", "shared"),
          yield* acquireScript("RingBuffer.columns, three fields", "drain.ts", "columns"),
          yield* acquireScript("RingBuffer.columns, into the last", "drain.ts", "columnsAgain"),
          yield* acquireScript("RingBuffer.take", "drain.ts", "objects"),
          yield* acquireScript("RingBuffer.stream", "drain.ts", "stream"),
          yield* acquireScript("RingBuffer.streamFrom, map and filter", "drain.ts", "operators")
        ]
      }
    })
}
