// Asks the running kernel which helper each kind of program may call, and prints the answers as JSON. Needs root.
// `generate-helpers.ts` runs it on each kernel.
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import { readFileSync } from "node:fs"
import { release } from "node:os"
import * as Btf from "../src/btf/Btf.ts"
import * as Kernel from "../src/kernel/Kernel.ts"
import { probeHelpers } from "../test/support/helperProbe.ts"

const probe = Effect.gen(function*() {
  const kernel = yield* Kernel.Kernel
  kernel.bpf.raiseMemlock()
  const btf = Result.getOrThrow(Btf.parse(readFileSync("/sys/kernel/btf/vmlinux")))
  console.log(JSON.stringify({ release: release(), ...probeHelpers(kernel, btf) }))
})

await Effect.runPromise(probe.pipe(Effect.provide(Kernel.layer)))
