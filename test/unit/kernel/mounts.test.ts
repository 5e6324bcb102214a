import { describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { expect } from "vitest"
import { Asm, BpfFs, Kernel, Program, ProgramSpec, Tracepoint } from "../../../src/index.ts"
import * as SimulatedKernel from "../../../src/simulated/SimulatedKernel.ts"
import { findMount, mountPoints } from "../../../src/kernel/mounts.ts"

const table = [
  "22 28 0:21 / /sys rw,nosuid,nodev,noexec,relatime shared:7 - sysfs sysfs rw",
  "28 1 8:1 / / rw,relatime shared:1 master:3 - ext4 /dev/root rw,errors=remount-ro",
  "31 22 0:7 / /sys/kernel/debug rw,nosuid,nodev,noexec,relatime shared:14 - debugfs debugfs rw",
  "33 22 0:12 / /sys/kernel/tracing rw,nosuid,nodev,noexec,relatime shared:15 - tracefs tracefs rw",
  "40 28 0:40 / /mnt/with\\040space\\011and\\134 rw - tmpfs tmpfs rw",
  "41 28 0:41 / /mnt/second rw - tracefs tracefs rw",
  ""
].join("\n")

const mountPoint = (mountinfo: string, type: string) => mountPoints(mountinfo, type)[0]

describe("a mount point", () => {
  it("is that of the first file system of a type", () => {
    expect(mountPoint(table, "tracefs")).toBe("/sys/kernel/tracing")
    expect(mountPoint(table, "debugfs")).toBe("/sys/kernel/debug")
    expect(mountPoint(table, "ext4")).toBe("/")
    expect(mountPoint(table, "sysfs")).toBe("/sys")
  })

  it("is listed once for each place", () => {
    expect(mountPoints(table, "tracefs")).toEqual(["/sys/kernel/tracing", "/mnt/second"])
    expect(mountPoints(table + table, "tracefs")).toEqual(["/sys/kernel/tracing", "/mnt/second"])
  })

  it("is found with any number of optional fields before the separator", () => {
    const line = (fields: string) => `1 2 0:1 / /here rw${fields} - bpf bpf rw`
    for (const fields of ["", " shared:1", " shared:1 master:2 propagate_from:3 unbindable"]) {
      expect(mountPoint(line(fields), "bpf")).toBe("/here")
    }
  })

  it("is freed of the octal escapes, each once", () => {
    expect(mountPoint(table, "tmpfs")).toBe("/mnt/with space\tand\\")
    expect(mountPoint("1 2 0:1 / /a\\134040b rw - bpf bpf rw", "bpf")).toBe("/a\\040b")
    expect(mountPoint("1 2 0:1 / /a\\012b rw - bpf bpf rw", "bpf")).toBe("/a\nb")
  })

  it("is none for a type that is not mounted, not even if a source or an option has its name", () => {
    expect(mountPoint(table, "bpf")).toBeUndefined()
    expect(mountPoint("1 2 0:1 / /x rw - tmpfs tracefs rw,tracefs", "tracefs")).toBeUndefined()
    expect(mountPoint("1 2 0:1 / /tracefs rw - tmpfs none rw", "tracefs")).toBeUndefined()
    expect(mountPoint("1 2 0:1 / /x rw - tracefs2 none rw", "tracefs")).toBeUndefined()
    expect(mountPoint("", "tracefs")).toBeUndefined()
    expect(mountPoint("nonsense\n - \n-\n", "tracefs")).toBeUndefined()
  })
})

describe("a mount that something else covers", () => {
  it.effect("is passed over for the next, and a tracepoint is found there", () =>
    Effect.gen(function*() {
      const kernel = yield* Kernel.Kernel
      // A file system of another type over the one that stands first in the table.
      expect(kernel.files.mount("bpf", "/sys/kernel/tracing")).toBe(0)
      const program = yield* Program.load(
        ProgramSpec.make({ type: "tracepoint", name: "idle", instructions: [Asm.mov("r0", 0), Asm.exit()] })
      )
      expect(yield* findMount(kernel, "tracefs", "events")).toMatchObject({ path: undefined })
      expect(kernel.files.mount("tracefs", "/mnt")).toBe(0)
      expect(yield* findMount(kernel, "tracefs", "events")).toEqual({ path: "/mnt" })
      yield* Tracepoint.attach(program, { category: "sched", name: "sched_process_exec" })
      expect(yield* BpfFs.isMounted("/sys/kernel/tracing")).toBe(true)
    }).pipe(Effect.scoped, Effect.provide(SimulatedKernel.layer())))
})
