import { describe, it } from "@effect/vitest"
import { expect } from "vitest"

describe("the run under garbage collection", () => {
  it("has the collector's flag in the process that runs the tests, where it was asked for", () => {
    expect(process.execArgv.includes("--gc-interval=200")).toBe(process.env["GC_STRESS"] === "1")
  })
})
