import { beforeEach, describe, it } from "@effect/vitest"
import { execFileSync } from "node:child_process"
import { expect } from "vitest"
import type { OperationName } from "../support/capabilities.ts"
import { skipUnlessPossible } from "../support/privilege.ts"

type Outcomes = Record<OperationName, string>

/** Runs the operations as an unprivileged user that has only these capabilities (by its ambient set). */
const withCapabilities = (names: ReadonlyArray<string>): Outcomes => {
  const list = ["-all", ...names.map((name) => `+${name}`)].join(",")
  const user = ["--reuid=65534", "--regid=65534", "--clear-groups"]
  const capabilities = [`--inh-caps=${list}`, `--ambient-caps=${list}`, `--bounding-set=${list}`]
  const node = [process.execPath, "--conditions=effect-ebpf-source", "test/support/capabilities.ts"]
  return JSON.parse(execFileSync("setpriv", [...user, ...capabilities, ...node], { encoding: "utf8" }))
}

/** The same for every kernel from 5.10 to 7.3. */
const everything: Outcomes = {
  hashMap: "ok",
  arrayMap: "ok",
  ringBuffer: "ok",
  kernelBtf: "ok",
  loadSocketFilter: "ok",
  loadXdp: "ok",
  loadTracepoint: "ok",
  readKernelMemory: "ok",
  testRun: "ok",
  attachTracepoint: "ok"
}

/** Tracepoints are found in tracefs, which only root may read, or mount. */
const noTracefs = (outcome: string) => ["EACCES", "TracefsUnavailable"].includes(outcome)

describe("less than root", () => {
  beforeEach(skipUnlessPossible)

  it("CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN do everything but find tracepoints, for want of tracefs", () => {
    const { attachTracepoint, ...rest } = withCapabilities(["bpf", "perfmon", "net_admin"])
    expect({ ...rest, attachTracepoint: "ok" }).toEqual(everything)
    expect(attachTracepoint).toSatisfy(noTracefs)
  })

  it("with CAP_DAC_READ_SEARCH and CAP_SYS_ADMIN beside them tracepoints are found, too", () => {
    expect(withCapabilities(["bpf", "perfmon", "net_admin", "dac_read_search", "sys_admin"])).toEqual(everything)
  })

  it("CAP_BPF alone makes maps and socket filters, and may neither trace nor see packets at a device", () => {
    expect(withCapabilities(["bpf"])).toEqual({
      ...everything,
      loadXdp: "EPERM",
      loadTracepoint: "EPERM",
      readKernelMemory: "EPERM",
      attachTracepoint: "EPERM"
    })
  })

  it("nothing at all makes nothing, and reads the kernel's types", () => {
    const outcomes = withCapabilities([])
    for (const [name, outcome] of Object.entries(outcomes)) {
      expect([name, outcome]).toEqual([name, name === "kernelBtf" ? "ok" : "EPERM"])
    }
  })
})
