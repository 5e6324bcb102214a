import { beforeEach, describe, it } from "@effect/vitest"
import { type ChildProcess, execFileSync, spawn } from "node:child_process"
import { chmodSync, cpSync, mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { expect } from "vitest"
import { skipUnlessPossible } from "../support/privilege.ts"

const demo = "examples/execve.ts"
const node = (path: string) => [process.execPath, "--conditions=effect-ebpf-source", path] as const

/** Waits until a process has printed a line that matches. */
const printed = (child: ChildProcess, pattern: RegExp): Promise<string> =>
  new Promise((resolve, reject) => {
    let output = ""
    child.stdout!.on("data", (chunk) => {
      output += chunk
      const line = output.split("\n").find((text) => pattern.test(text))
      if (line !== undefined) resolve(line)
    })
    child.on("exit", () => reject(new Error(`ended without ${pattern}: ${output}`)))
  })

describe("the demo", () => {
  beforeEach(skipUnlessPossible)

  it("prints the executions of one process's children as they happen, and ends on SIGINT", async () => {
    const [command, ...args] = node(demo)
    const child = spawn(command, [...args, "--parent", String(process.pid)], { stdio: ["ignore", "pipe", "inherit"] })
    try {
      await printed(child, /^ +PID +PARENT +UID +COMMAND +FILE/)
      const line = printed(child, /\/bin\/true$/)
      execFileSync("/bin/true")
      expect(await line).toMatch(new RegExp(`^ +\\d+ +${process.pid} +0 .*/bin/true$`))
    } finally {
      const ended = new Promise((resolve) => child.once("exit", resolve))
      child.kill("SIGINT")
      await ended
    }
  })

  it("shows the simulated kernel to a user without privilege, and says so in one line", async () => {
    // The checkout may lie where that user cannot look.
    const copy = mkdtempSync(join(tmpdir(), "effect-ebpf-demo-"))
    try {
      chmodSync(copy, 0o755)
      for (const part of ["package.json", "src", "examples"]) cpSync(part, join(copy, part), { recursive: true })
      cpSync("node_modules", join(copy, "node_modules"), {
        recursive: true,
        filter: (path) =>
          !/node_modules\/(typescript|@typescript|oxlint|@oxlint|dprint|@dprint|vite|rolldown|@rolldown)/.test(path)
      })
      const [command, ...args] = node(join(copy, demo))
      const child = spawn(command, args, { uid: 65534, gid: 65534, cwd: "/", stdio: ["ignore", "pipe", "inherit"] })
      const [first, header, record] = await Promise.all([
        printed(child, /./),
        printed(child, /^ +PID +PARENT/),
        printed(child, /\/usr\/bin\/ls$/)
      ])
      child.kill("SIGTERM")
      expect(first).toMatch(/^simulated kernel, .*CAP_BPF/)
      expect(header).toContain("COMMAND")
      expect(record).toMatch(/^ +\d+ +\d+ +1000 +bash/)
    } finally {
      rmSync(copy, { recursive: true, force: true })
    }
  })
})
