import * as Effect from "effect/Effect"
import { spawnSync } from "node:child_process"
import { copyFileSync, readFileSync, symlinkSync } from "node:fs"
import { join } from "node:path"
import type { Subject } from "../harness.ts"
import type { Work } from "../work.ts"
import type { Workshop } from "../workshop.ts"

/** The wall time of a process, from its start until its end was seen. */
const timedProcess = (name: string, cwd: string, args: ReadonlyArray<string>): Subject => ({
  name,
  round: Effect.suspend(() => {
    const start = performance.now()
    const { error, status } = spawnSync(process.execPath, args, { cwd, stdio: ["ignore", "ignore", "inherit"] })
    const took = performance.now() - start
    return status === 0 ? Effect.succeed(took) : Effect.fail(error ?? new Error(`${name}: exit status ${status}`))
  })
})

/** Builds the package into the workshop, where it finds its own name and its dependencies as an installed one does. */
const build = ({ root, temporary }: Workshop): Effect.Effect<void, Error> =>
  Effect.suspend(() => {
    copyFileSync(join(root, "package.json"), join(temporary, "package.json"))
    symlinkSync(join(root, "node_modules"), join(temporary, "node_modules"))
    const args = [join(root, "scripts/build.ts"), "--outDir", join(temporary, "dist")]
    const { status, stderr } = spawnSync(process.execPath, args, { cwd: root, encoding: "utf8" })
    return status === 0 ? Effect.void : Effect.fail(new Error(`build: ${stderr}`))
  })

/** A process that creates one map and exits, against one that does nothing. */
export const processStart: Work = {
  name: "process start",
  prepare: (workshop) =>
    Effect.gen(function*() {
      yield* build(workshop)
      const { root, temporary } = workshop
      // The text of a module of `subjects/`, run in a folder where `effect-ebpf` is what is measured.
      const evaluate = (source: string): ReadonlyArray<string> => ["--input-type=module", "-e", source]
      const module = (name: string): ReadonlyArray<string> =>
        evaluate(readFileSync(new URL(`../subjects/${name}`, import.meta.url), "utf8"))
      // What firstCall.ts cannot do without, whoever wrote the library.
      const foundations = "import 'effect/Effect'; import 'effect/Layer'; import 'effect/Context'; import 'koffi'"
      return {
        work: "process start",
        unit: "ms",
        subjects: [
          timedProcess("node -e 0", root, ["-e", "0"]),
          timedProcess("Effect, Layer, Context and koffi alone", root, evaluate(foundations)),
          timedProcess("first map, dist, three modules", temporary, module("firstCallBySubpath.ts")),
          timedProcess("first map, dist, index", temporary, module("firstCall.ts")),
          timedProcess("first map, source, index", root, [
            "--conditions=effect-ebpf-source",
            ...module("firstCall.ts")
          ])
        ]
      }
    })
}
