// A process of another user: opens the map pinned at a path to read it, and to read and write it, and prints how that went
// as one line of JSON.
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { bpf_map_create_flags } from "../../src/abi/generated/enums.ts"
import * as BpfMap from "../../src/map/BpfMap.ts"
import * as HashMap from "../../src/map/HashMap.ts"
import * as Kernel from "../../src/kernel/Kernel.ts"
import * as Layout from "../../src/layout/Layout.ts"

const options = { name: "shared", key: Layout.u32, value: Layout.u32, maxEntries: 8 }
const path = process.argv[2]!

const said = <A, E extends { readonly message: string }, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.match(effect, { onFailure: (error) => error.message, onSuccess: (value) => value })

const main = Effect.gen(function*() {
  const readable = HashMap.define({ ...options, flags: bpf_map_create_flags.BPF_F_RDONLY })
  const map = yield* BpfMap.openPinned(readable, path)
  return {
    entries: yield* Stream.runCollect(map.entries),
    update: yield* said(map.update(1, 1)),
    both: yield* said(BpfMap.openPinned(HashMap.define(options), path))
  }
}).pipe(Effect.scoped, Effect.catch((error) => Effect.succeed({ failed: error.message })), Effect.provide(Kernel.layer))

console.log(JSON.stringify(await Effect.runPromise(main)))
