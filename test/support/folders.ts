// Folders of a test's own: real ones in the temporary folder, and in the simulated kernel those that it lets be made.
import * as Effect from "effect/Effect"
import { mkdtempSync, rmdirSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { BpfFs, Kernel } from "../../src/index.ts"

let count = 0

/** An empty folder that is in no BPF file system; removed with the scope. */
export const acquireFolder = Effect.gen(function*() {
  const kernel = yield* Kernel.Kernel
  if (kernel.kind === "linux") {
    return yield* Effect.acquireRelease(
      Effect.sync(() => mkdtempSync(join(tmpdir(), "effect-ebpf-"))),
      (folder) => Effect.sync(() => rmdirSync(folder))
    )
  }
  const folder = `/tmp/effect-ebpf-${++count}`
  const result = kernel.files.mkdir(folder)
  if (result < 0) throw new Error(`mkdir ${folder}: ${result}`)
  return folder
})

/** A folder with a BPF file system of its own. */
export const acquireBpfFs = Effect.gen(function*() {
  const kernel = yield* Kernel.Kernel
  const folder = yield* acquireFolder
  yield* Effect.acquireRelease(BpfFs.ensure(folder), () => Effect.sync(() => kernel.files.unmount(folder)))
  return folder
})
