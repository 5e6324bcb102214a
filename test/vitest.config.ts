import { readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { defineConfig } from "vitest/config"

const root = fileURLToPath(new URL("..", import.meta.url))
/** Set by scripts/test-gc.ts: a garbage collection every 200 allocations. */
const execArgv = process.env["GC_STRESS"] === "1" ? ["--gc-interval=200"] : []
/** The package by its own name, as the export map has it: examples import it so. */
const { exports } = JSON.parse(readFileSync(`${root}package.json`, "utf8"))
const alias = Object.entries<{ readonly "effect-ebpf-source"?: string }>(exports).flatMap(([path, entry]) => {
  const source = entry["effect-ebpf-source"]
  const name = `effect-ebpf${path.slice(1)}`
  return source === undefined ? [] : [{ find: new RegExp(`^${name}$`), replacement: `${root}${source.slice(2)}` }]
})

/** No test asserts a time, and a loaded machine may be slow: this is when one is taken to hang. */
const testTimeout = 600_000

export default defineConfig({
  root,
  test: {
    reporters: ["default", `${root}test/support/skipReporter.ts`],
    projects: [
      {
        resolve: { alias },
        test: { name: "unit", include: ["test/unit/**/*.test.ts", "examples/**/*.test.ts"], testTimeout }
      },
      { test: { name: "vm", include: ["test/vm/**/*.test.ts"], testTimeout, fileParallelism: false } },
      {
        resolve: { alias },
        // One process, one file after the other: these tests look at what the whole process holds.
        test: {
          name: "kernel",
          include: ["test/kernel/**/*.test.ts"],
          pool: "forks",
          maxWorkers: 1,
          fileParallelism: false,
          execArgv,
          testTimeout,
          hookTimeout: testTimeout
        }
      }
    ]
  }
})
