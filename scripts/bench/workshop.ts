import * as Effect from "effect/Effect"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

/** Where a run finds its sources, and where it puts what it builds. */
export interface Workshop {
  /** The repository. */
  readonly root: string
  /** A temporary folder, gone with the scope. */
  readonly temporary: string
}

export const acquireWorkshop = Effect.acquireRelease(
  Effect.sync((): Workshop => ({
    root: fileURLToPath(new URL("../..", import.meta.url)),
    temporary: mkdtempSync(join(tmpdir(), "effect-ebpf-bench-"))
  })),
  ({ temporary }) => Effect.sync(() => rmSync(temporary, { recursive: true, force: true }))
)
