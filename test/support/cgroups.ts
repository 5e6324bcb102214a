// A cgroup of a test's own, with nothing in it: in a private mount of cgroup2, or in the simulated kernel.
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { closeSync, mkdirSync, mkdtempSync, openSync, rmdirSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Kernel } from "../../src/index.ts"
import * as SimulatedKernel from "../../src/simulated/SimulatedKernel.ts"

const realCgroup = (kernel: Kernel.KernelService) =>
  Effect.gen(function*() {
    const root = yield* Effect.acquireRelease(
      Effect.sync(() => mkdtempSync(join(tmpdir(), "effect-ebpf-cgroup-"))),
      (folder) => Effect.sync(() => rmdirSync(folder))
    )
    yield* Effect.acquireRelease(
      Effect.sync(() => {
        const result = kernel.files.mount("cgroup2", root)
        if (result < 0) throw new Error(`mount cgroup2: ${result}`)
      }),
      () => Effect.sync(() => kernel.files.unmount(root))
    )
    const path = join(root, `effect-ebpf-test-${process.pid}`)
    yield* Effect.acquireRelease(
      Effect.sync(() => mkdirSync(path)),
      () => Effect.sync(() => rmdirSync(path))
    )
    const fd = yield* Effect.acquireRelease(
      Effect.sync(() => openSync(path, "r")),
      (fd) => Effect.sync(() => closeSync(fd))
    )
    return { fd, path }
  })

/** An empty cgroup as a descriptor, and as a folder; removed with the scope. */
export const acquireCgroup = Effect.gen(function*() {
  const simulated = Option.getOrUndefined(yield* Effect.serviceOption(SimulatedKernel.SimulatedKernel))
  if (simulated !== undefined) {
    const { fd } = yield* simulated.cgroup("/effect-ebpf-test")
    return { fd, path: "/sys/fs/cgroup/effect-ebpf-test" }
  }
  return yield* realCgroup(yield* Kernel.Kernel)
})
