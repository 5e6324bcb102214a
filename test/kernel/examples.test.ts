// Each example is run as its comment says, on this machine's kernel; what it prints is what its text promises.
import { beforeEach, describe, it } from "@effect/vitest"
import { execFileSync } from "node:child_process"
import { expect } from "vitest"
import { skipUnlessPossible } from "../support/privilege.ts"

const run = (name: string): string =>
  execFileSync(process.execPath, ["--conditions=effect-ebpf-source", `examples/${name}.ts`], { encoding: "utf8" })

describe("the examples", () => {
  beforeEach(skipUnlessPossible)

  it("count/main counts the shell and its two commands, and whatever else was executed meanwhile", () => {
    const [, count] = /^(\d+) executions\n$/.exec(run("count/main"))!
    expect(Number(count)).toBeGreaterThanOrEqual(3)
  })

  it("count/simulated counts exactly what happens there", () => {
    expect(run("count/simulated")).toBe("2 executions\n")
  })

  it("maps prints what its maps hold", () => {
    expect(run("maps").split("\n").slice(1)).toEqual([
      "one: 1500n",
      "over 100 bytes: [ '192.0.2.1', '192.0.2.2' ]",
      "10.1.2.3 is in: 2",
      "all CPUs: 0n",
      ""
    ])
  })

  it("xdpFilter drops what it is for", () => {
    expect(run("xdpFilter").split("\n").slice(1)).toEqual([
      "UDP to 5353: dropped",
      "UDP to 53: passed",
      "TCP to 5353: passed",
      ""
    ])
  })

  it("perfBuffer prints samples, and finds that some are lost", () => {
    const packet = "a packet of 50 bytes" // what a socket filter sees begins behind the Ethernet header
    expect(run("perfBuffer").split("\n").slice(1)).toEqual([packet, packet, packet, "read and lost: some", ""])
  })

  it("service/main prints three times", () => {
    expect(run("service/main").trim().split("\n")).toHaveLength(3)
  })
})
