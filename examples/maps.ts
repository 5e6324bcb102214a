// Maps alone: structs as keys, single and many entries, a walk as a Stream, and prefixes of addresses.
//
//   scripts/example maps
import { Address, HashMap, Layout, LpmTrie, PerCpu, PerCpuArrayMap } from "effect-ebpf"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { layer } from "./kernel.ts"

const Flow = Layout.struct({ address: Address.ipv4, port: Layout.u16be, protocol: Layout.u8 })

const main = Effect.gen(function*() {
  const bytes = yield* HashMap.make({ name: "bytes", key: Flow, value: Layout.u64, maxEntries: 1024 })
  const web = { address: "192.0.2.1", port: 443, protocol: 6 }
  yield* bytes.update(web, 1500n)
  yield* bytes.setMany([
    [{ ...web, address: "192.0.2.2" }, 900n],
    [{ ...web, address: "192.0.2.3" }, 60n]
  ])
  yield* Console.log("one:", Option.getOrElse(yield* bytes.lookup(web), () => 0n))
  const large = yield* bytes.entries.pipe(Stream.filter(([, count]) => count > 100n), Stream.runCollect)
  yield* Console.log("over 100 bytes:", large.map(([flow]) => flow.address).toSorted())

  const networks = yield* LpmTrie.make({ name: "networks", key: Address.ipv4Prefix, value: Layout.u32, maxEntries: 16 })
  yield* networks.update("10.0.0.0/8", 1)
  yield* networks.update("10.1.0.0/16", 2)
  yield* Console.log("10.1.2.3 is in:", Option.getOrThrow(yield* networks.lookup("10.1.2.3")))

  const hits = yield* PerCpuArrayMap.make({ name: "hits", value: Layout.u64, maxEntries: 1 })
  yield* Console.log("all CPUs:", PerCpu.sum(yield* hits.lookup(0)))
})

await Effect.runPromise(main.pipe(Effect.scoped, Effect.provide(layer)))
