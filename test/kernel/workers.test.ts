// Workers that end at any instruction: the process goes on, and keeps nothing of theirs.
import { beforeEach, describe, expect, it } from "@effect/vitest"
import { spawnSync } from "node:child_process"
import { fileURLToPath } from "node:url"
import { skipUnlessPossible } from "../support/privilege.ts"

const script = fileURLToPath(new URL("../support/endingWorkers.ts", import.meta.url))
const COUNT = Number(process.env["ENDING_WORKERS"] ?? "3")

describe("workers that end", () => {
  beforeEach(skipUnlessPossible)
  for (const koffi of ["koffi", "none"]) {
    for (const activity of ["reader", "waiting", "stream"]) {
      for (const how of ["terminate", "throw", "exit"]) {
        const main = koffi === "koffi" ? "koffi in the main thread too" : "koffi in workers only"
        it(`by ${how} with ${activity}, ${main}: leave nothing and harm nobody`, () => {
          const { signal, status, stderr, stdout } = spawnSync(
            process.execPath,
            ["--no-warnings", script, how, activity, koffi, String(COUNT)],
            { encoding: "utf8" }
          )
          expect({ signal, status, stderr }).toEqual({ signal: null, status: 0, stderr: "" })
          expect(JSON.parse(stdout)).toEqual({ descriptors: [], mappings: [] })
        })
      }
    }
  }
})
