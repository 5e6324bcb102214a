import { describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { expect } from "vitest"
import { acquireTracefs } from "../../../src/attach/internal/tracefs.ts"
import { errno } from "../../../src/abi/errno.ts"
import { magic } from "../../../src/abi/os.ts"
import { parseVersion } from "../../../src/kernel/version.ts"
import type { KernelService } from "../../../src/kernel/kernelService.ts"

const table = [
  "22 28 0:21 / /sys rw,nosuid,nodev,noexec,relatime shared:7 - sysfs sysfs rw",
  "28 1 8:1 / / rw,relatime shared:1 master:3 - ext4 /dev/root rw,errors=remount-ro",
  "31 22 0:7 / /sys/kernel/debug rw,nosuid,nodev,noexec,relatime shared:14 - debugfs debugfs rw",
  "33 22 0:12 / /sys/kernel/tracing rw,nosuid,nodev,noexec,relatime shared:15 - tracefs tracefs rw",
  "40 28 0:40 / /mnt/with\\040space\\011and\\134 rw - tmpfs tmpfs rw",
  "41 28 0:41 / /mnt/second rw - tracefs tracefs rw",
  ""
].join("\n")

/** A kernel whose mount table is given; the calls for a private mount answer as told, and are recorded. */
const kernelWith = (
  mountinfo: string | number,
  answers: Partial<Record<"fsopen" | "fsconfig" | "fsmount", number>> = {},
  entered: (path: string) => number = () => magic.TRACEFS_MAGIC
) => {
  const calls: Array<string> = []
  const answer = (name: "fsopen" | "fsconfig" | "fsmount", usual: number) => (...args: ReadonlyArray<unknown>) => {
    calls.push(`${name}(${args.join(", ")})`)
    return answers[name] ?? usual
  }
  const kernel = {
    version: parseVersion("6.1.0"),
    isReleased: () => false,
    files: {
      read: (path: string) =>
        path !== "/proc/self/mountinfo"
          ? -2
          : typeof mountinfo === "number"
          ? mountinfo
          : new TextEncoder().encode(mountinfo),
      fileSystemType: (path: string) => entered(path),
      fsopen: answer("fsopen", 10),
      fsconfig: answer("fsconfig", 0),
      fsmount: answer("fsmount", 11),
      close: (fd: number) => {
        calls.push(`close(${fd})`)
        return 0
      }
    }
  } as unknown as KernelService
  return { calls, kernel }
}

describe("tracefs", () => {
  it.effect("is used where it is mounted", () =>
    Effect.gen(function*() {
      const { calls, kernel } = kernelWith(table)
      expect(yield* acquireTracefs(kernel)).toBe("/sys/kernel/tracing")
      expect(calls).toEqual([])
    }))

  it.effect("is looked for under debugfs, which mounts it on demand", () =>
    Effect.gen(function*() {
      const { calls, kernel } = kernelWith(table.split("\n").filter((line) => !line.includes("tracefs")).join("\n"))
      expect(yield* acquireTracefs(kernel)).toBe("/sys/kernel/debug/tracing")
      expect(calls).toEqual([])
    }))

  it.effect("is another one where the first is covered or cannot be entered", () =>
    Effect.gen(function*() {
      for (const first of [-errno.ENOENT, -errno.EACCES, magic.BPF_FS_MAGIC, 0x01021994]) {
        const { calls, kernel } = kernelWith(table, {}, (path) =>
          path.startsWith("/sys/kernel/tracing/") ? first : magic.TRACEFS_MAGIC)
        expect(yield* acquireTracefs(kernel)).toBe("/mnt/second")
        const onDemand = kernelWith(table, {}, (path) =>
          path === "/sys/kernel/debug/tracing/events" ? magic.TRACEFS_MAGIC : first)
        expect(yield* acquireTracefs(onDemand.kernel)).toBe("/sys/kernel/debug/tracing")
        expect([...calls, ...onDemand.calls]).toEqual([])
      }
    }))

  it.effect("that may not be entered, and not be mounted anew, is an error that says so", () =>
    Effect.gen(function*() {
      const { kernel } = kernelWith(table, { fsopen: -errno.EPERM }, () => -errno.EACCES)
      const error = yield* Effect.flip(Effect.scoped(acquireTracefs(kernel)))
      expect(error).toMatchObject({ _tag: "TracefsUnavailable", cause: { call: "statfs", code: "EACCES" } })
      expect(error.message).toContain("tracefs is mounted but cannot be entered: ")
    }))

  it.effect("is mounted privately where there is none, for as long as the scope lives", () =>
    Effect.gen(function*() {
      const { calls, kernel } = kernelWith("")
      const path = yield* Effect.scoped(Effect.tap(acquireTracefs(kernel), () =>
        Effect.sync(() => {
          // FSCONFIG_CMD_CREATE is 6. The context is closed at once, the mount is not.
          expect(calls).toEqual(["fsopen(tracefs)", "fsconfig(10, 6)", "fsmount(10)", "close(10)"])
        })))
      expect(path).toBe("/proc/self/fd/11")
      expect(calls.at(-1)).toBe("close(11)")
    }))

  for (const [name, left] of [["fsopen", []], ["fsconfig", ["close(10)"]], ["fsmount", ["close(10)"]]] as const) {
    it.effect(`that cannot be mounted is an error that says how, and leaves nothing: ${name}`, () =>
      Effect.gen(function*() {
        const { calls, kernel } = kernelWith("", { [name]: -1 })
        const error = yield* Effect.flip(Effect.scoped(acquireTracefs(kernel)))
        expect(error).toMatchObject({ _tag: "TracefsUnavailable", cause: { call: name, code: "EPERM" } })
        expect(error.message).toContain("tracefs is not mounted, and mounting it privately failed: ")
        expect(error.message).toContain("mount -t tracefs tracefs /sys/kernel/tracing")
        expect(calls.filter((call) => call.startsWith("close"))).toEqual(left)
      }))
  }

  it.effect("is not guessed where the mount table cannot be read", () =>
    Effect.gen(function*() {
      const { calls, kernel } = kernelWith(-13)
      expect(yield* Effect.flip(acquireTracefs(kernel))).toMatchObject({ _tag: "SystemCallError", code: "EACCES" })
      expect(calls).toEqual([])
    }))
})
