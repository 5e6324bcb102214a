// Pinned maps that another user may read and not write.
import { beforeEach, describe } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { execFileSync } from "node:child_process"
import { chmodSync, mkdtempSync, rmdirSync } from "node:fs"
import { tmpdir } from "node:os"
import { expect } from "vitest"
import { BpfFs, BpfMap, HashMap, Kernel, Layout } from "../../src/index.ts"
import { real } from "../support/kernels.ts"
import { skipUnlessPossible } from "../support/privilege.ts"

/** Opens a pin as user 65534, with no capability but CAP_BPF: before 5.19 bpf(2) asks for that whatever is done. */
const asNobody = (path: string): any => {
  const list = "-all,+bpf"
  return JSON.parse(execFileSync("setpriv", [
    "--reuid=65534",
    "--regid=65534",
    "--clear-groups",
    `--inh-caps=${list}`,
    `--ambient-caps=${list}`,
    `--bounding-set=${list}`,
    process.execPath,
    "--conditions=effect-ebpf-source",
    "test/support/readOnlyPin.ts",
    path
  ], { encoding: "utf8" }))
}

const acquireFileSystem = Effect.gen(function*() {
  const kernel = yield* Kernel.Kernel
  const folder = yield* Effect.acquireRelease(
    Effect.sync(() => mkdtempSync(`${tmpdir()}/effect-ebpf-`)),
    (path) => Effect.sync(() => rmdirSync(path))
  )
  chmodSync(folder, 0o755)
  yield* Effect.acquireRelease(BpfFs.ensure(folder), () => Effect.sync(() => kernel.files.unmount(folder)))
  return folder
})

describe("a pin that others may read", () => {
  beforeEach(skipUnlessPossible)

  real(
    "is opened by a definition with BPF_F_RDONLY; without, the error tells the file's mode and who asks",
    () =>
      Effect.gen(function*() {
        const folder = yield* acquireFileSystem
        const map = yield* HashMap.make({ name: "shared", key: Layout.u32, value: Layout.u32, maxEntries: 8 })
        yield* map.update(7, 70)
        const path = `${folder}/shared`
        yield* BpfMap.pin(map, path)
        chmodSync(path, 0o444)
        const { both, entries, update } = asNobody(path)
        expect(entries).toEqual([[7, 70]])
        expect(update).toContain("EPERM")
        expect(update).toContain("opened for reading only")
        expect(update).not.toContain("run as root")
        expect(both).toContain("EACCES")
        expect(both).toContain("mode is 0444")
        expect(both).toContain("user 65534")
        expect(both).not.toContain("run as root")
        chmodSync(path, 0o600)
        expect(asNobody(path).failed).toContain("mode is 0600")
        yield* BpfFs.unpin(path)
      })
  )
})
