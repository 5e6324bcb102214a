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
  /** A folder whose `node_modules` has the npm packages that are compared, if there is one. */
  readonly peers: string | undefined
}

export const acquireWorkshop = (peers: string | undefined) =>
  Effect.acquireRelease(
    Effect.sync((): Workshop => ({
      root: fileURLToPath(new URL("../..", import.meta.url)),
      temporary: mkdtempSync(join(tmpdir(), "effect-ebpf-bench-")),
      peers
    })),
    ({ temporary }) => Effect.sync(() => rmSync(temporary, { recursive: true, force: true }))
  )
