import { beforeEach, describe, it } from "@effect/vitest"
import { spawnSync } from "node:child_process"
import { fileURLToPath } from "node:url"
import { expect } from "vitest"
import { skipUnlessPossible } from "../support/privilege.ts"

describe("the run under garbage collection", () => {
  it("has the collector's flag in the process that runs the tests, where it was asked for", () => {
    expect(process.execArgv.includes("--gc-interval=200")).toBe(process.env["GC_STRESS"] === "1")
  })
})

const subject = fileURLToPath(new URL("../../scripts/bench/subjects/allocation.ts", import.meta.url))
const flags = ["--trace-gc", "--max-semi-space-size=1", "--conditions=effect-ebpf-source"]

/** How many collections a process of its own makes in 300,000 operations; at 16 bytes for each they are four or more. */
const collections = (operation: string): number => {
  const { stderr, stdout } = spawnSync(process.execPath, [...flags, subject, operation, "300000"], { encoding: "utf8" })
  const lines = stdout.split("\n")
  expect(lines, stderr).toContain("end")
  return lines.slice(lines.indexOf("begin"), lines.indexOf("end")).filter((line) => /Scavenge|Mark-Compact/.test(line))
    .length
}

describe("the handle API with numbers", () => {
  beforeEach(skipUnlessPossible)

  it.each(["lookup", "update", "delete", "nextKey"])("allocates nothing: %s", (operation) => {
    expect(collections(operation)).toBeLessThan(2)
  })
})
