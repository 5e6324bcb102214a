// Creates one map by a raw call, with no attempt to raise a limit, and exits 0 if it could.
import { bpf_cmd } from "../../src/abi/generated/enums.ts"
import { bpf_attr_map_create } from "../../src/abi/generated/structs.ts"
import { mapTypes } from "../../src/abi/names.ts"
import * as Effect from "effect/Effect"
import * as Kernel from "../../src/kernel/Kernel.ts"
import { fill } from "../../src/kernel/attribute.ts"

const main = Effect.gen(function*() {
  const kernel = yield* Kernel.Kernel
  const attr = kernel.allocate(bpf_attr_map_create.size)
  if (typeof attr === "number") return false
  const size = fill(attr, bpf_attr_map_create, {
    map_type: mapTypes.hash,
    key_size: 4,
    value_size: 4,
    max_entries: 1024
  })
  return kernel.bpf.call(bpf_cmd.BPF_MAP_CREATE, attr, size) >= 0
}).pipe(Effect.provide(Kernel.layer))

process.exitCode = (await Effect.runPromise(main)) ? 0 : 1
