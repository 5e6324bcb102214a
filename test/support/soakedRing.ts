import { Layout, RingBufferMap } from "../../src/index.ts"

/** What each record begins with; records are of different sizes, which `length` repeats. */
export const Soaked = Layout.struct({ producer: Layout.u32, length: Layout.u32, sequence: Layout.u64Number })

/** The ring of `kernel/ringSoak.test.ts` and its producers: small enough to be full at times. */
export const soaked = RingBufferMap.define({ name: "soaked", record: Soaked, maxEntries: 1 << 18 })
