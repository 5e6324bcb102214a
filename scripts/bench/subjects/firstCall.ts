// The least that a program does: one hash map, and out. It holds no types, since works/processStart.ts runs its text as
// JavaScript, in folders where `effect-ebpf` is the source or the build.
import { HashMap, Kernel, Layout } from "effect-ebpf"
import * as Effect from "effect/Effect"

const first = HashMap.make({ name: "first", key: Layout.u32, value: Layout.u64, maxEntries: 1 })
await Effect.runPromise(Effect.asVoid(first).pipe(Effect.scoped, Effect.provide(Kernel.layer)))
