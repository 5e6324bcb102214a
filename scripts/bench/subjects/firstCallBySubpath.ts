// As firstCall.ts, importing only the modules in use.
import * as Effect from "effect/Effect"
import * as HashMap from "effect-ebpf/HashMap"
import * as Kernel from "effect-ebpf/Kernel"
import * as Layout from "effect-ebpf/Layout"

const first = HashMap.make({ name: "first", key: Layout.u32, value: Layout.u64, maxEntries: 1 })
await Effect.runPromise(Effect.asVoid(first).pipe(Effect.scoped, Effect.provide(Kernel.layer)))
