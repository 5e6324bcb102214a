// The program that boots other kernels, itself: it must never report a run that did not happen as one that passed.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { beforeEach, describe, expect, it } from "vitest"
import { boot, installNeeds, type Outcome, readReport } from "../../scripts/vm/boot.ts"
import { archive } from "../../scripts/vm/initramfs.ts"
import { fetchKernel } from "../../scripts/vm/kernels.ts"
import { skipUnlessPossible } from "../support/privilege.ts"

interface Ran {
  readonly outcome: Outcome
  readonly out: string
  readonly err: string
}

const run = async (script: string, seconds = 60): Promise<Ran> => {
  installNeeds(console.error)
  const chunks: { out: Array<Buffer>; err: Array<Buffer> } = { out: [], err: [] }
  const outcome = await boot(fetchKernel("6.1", console.error), {
    job: { command: ["sh", "-c", script], directory: process.cwd(), environment: { PATH: process.env["PATH"]! } },
    seconds,
    megabytes: 512,
    onOutput: (chunk) => chunks.out.push(chunk),
    onError: (chunk) => chunks.err.push(chunk)
  })
  return { outcome, out: Buffer.concat(chunks.out).toString(), err: Buffer.concat(chunks.err).toString() }
}

describe("a command in a VM", () => {
  beforeEach(skipUnlessPossible)

  it("gives its exit status and both its outputs, under the kernel that was asked for", async () => {
    const { err, out, outcome } = await run("uname -r; echo no >&2; exit 7")
    expect(outcome).toEqual({ _tag: "Exited", status: 7 })
    expect(out).toMatch(/^6\.1\./)
    expect(err).toBe("no\n")
  })

  it("ended by a signal gives 128 and its number", async () => {
    expect((await run("kill -TERM $$")).outcome).toEqual({ _tag: "Exited", status: 128 + 15 })
  })

  it("that cannot be found gives 127, as in a shell", async () => {
    expect((await run("exec /nonesuch")).outcome).toEqual({ _tag: "Exited", status: 127 })
  })

  it("that does not end is stopped, and what it printed until then is there", async () => {
    const { out, outcome } = await run("echo before; sleep 1000", 15)
    expect(outcome).toEqual({ _tag: "TimedOut", seconds: 15 })
    expect(out).toBe("before\n")
  })

  it("prints a megabyte, and none of it is cut", async () => {
    const { out, outcome } = await run("head -c 1000000 /dev/zero | tr '\\0' x; echo end")
    expect(outcome).toEqual({ _tag: "Exited", status: 0 })
    expect(out.length).toBe(1_000_004)
  })

  it("that panics the kernel is a failure that shows the console", async () => {
    const { outcome } = await run("echo c > /proc/sysrq-trigger; sleep 30")
    expect(outcome._tag).toBe("Failed")
    expect((outcome as { console: string }).console).toMatch(/sysrq|Kernel panic/i)
  })

  it("finds bpffs, tracefs, cgroup2 and securityfs mounted, BPF among the LSMs, and a root that it cannot change here", async () => {
    const mark = join(process.cwd(), "written-in-the-vm")
    const { out } = await run(
      `cut -d' ' -f3 /proc/mounts; cat /sys/kernel/security/lsm; echo x > ${mark} && cat ${mark}`
    )
    for (const type of ["bpf", "tracefs", "cgroup2", "securityfs"]) expect(out.split("\n")).toContain(type)
    expect(out).toMatch(/(^|,)bpf\b/m)
    expect(out).toMatch(/x\n$/)
    expect((await import("node:fs")).existsSync(mark)).toBe(false)
  })
})

describe("the report of a VM", () => {
  const report = (files: Record<"out" | "err" | "ctl", string>): Outcome | undefined => {
    const directory = mkdtempSync(join(tmpdir(), "effect-ebpf-report-"))
    try {
      for (const [name, text] of Object.entries({ ...files, console: "kernel: text" })) {
        writeFileSync(join(directory, name), text)
      }
      return readReport(directory)
    } finally {
      rmSync(directory, { recursive: true, force: true })
    }
  }

  it("is believed when all bytes arrived", () => {
    expect(report({ out: "abc", err: "", ctl: "start\nexit=3 out=3 err=0 end\n" })).toEqual({
      _tag: "Exited",
      status: 3
    })
  })

  it("is a failure when output was cut, whatever the status", () => {
    const cut = report({ out: "ab", err: "", ctl: "start\nexit=0 out=3 err=0 end\n" })
    expect(cut).toMatchObject({ _tag: "Failed", reason: "output was cut" })
  })

  it("is none when the VM ended before it, or in the middle of it", () => {
    expect(report({ out: "", err: "", ctl: "start\n" })).toBeUndefined()
    expect(report({ out: "", err: "", ctl: "start\nexit=0 out=0 err" })).toBeUndefined()
  })
})

describe("an initial file system", () => {
  it("is a cpio archive whose parts begin at multiples of 4", () => {
    const bytes = archive([{ name: "a" }, { name: "a/file", content: Buffer.from("hello") }])
    expect(bytes.length % 4).toBe(0)
    for (let at = bytes.indexOf("070701"); at >= 0; at = bytes.indexOf("070701", at + 1)) expect(at % 4).toBe(0)
    expect(bytes.toString("latin1")).toMatch(/hello\0+070701.*TRAILER!!!\0+$/s)
  })
})
