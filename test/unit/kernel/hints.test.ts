import { describe, it } from "@effect/vitest"
import { expect } from "vitest"
import { errno, type ErrnoName } from "../../../src/abi/errno.ts"
import { explain, type Failure } from "../../../src/kernel/internal/hints.ts"
import { parseVersion } from "../../../src/kernel/version.ts"
import type { KernelService } from "../../../src/kernel/kernelService.ts"

const ENOENT = -2

/** A kernel of which only the version and the files are asked: any call would be a TypeError. */
const kernel = (release: string, files: Record<string, string> = {}): KernelService =>
  ({
    version: parseVersion(release),
    files: {
      read: (path: string) => {
        const text = files[path]
        return text === undefined ? ENOENT : new TextEncoder().encode(text)
      }
    }
  }) as unknown as KernelService

const status = (...capabilities: ReadonlyArray<number>): Record<string, string> => {
  const mask = capabilities.reduce((sum, n) => sum | (1n << BigInt(n)), 0n).toString(16).padStart(16, "0")
  return {
    "/proc/self/status": [
      "Name:\tnode",
      "CapInh:\t0000000000000000",
      "CapPrm:\t000001ffffffffff",
      `CapEff:\t${mask}`,
      "CapBnd:\t000001ffffffffff",
      ""
    ].join("\n")
  }
}

// Numbers from linux/capability.h.
const [NET_ADMIN, SYS_ADMIN, PERFMON, BPF] = [12, 21, 38, 39]

const limits = (locked: string): Record<string, string> => ({
  "/proc/self/limits": [
    "Limit                     Soft Limit           Hard Limit           Units     ",
    "Max processes             127235               127235               processes ",
    `Max locked memory         ${locked.padEnd(20)} unlimited            bytes     `,
    "Max address space         unlimited            unlimited            bytes     ",
    ""
  ].join("\n")
})

const lockdown = (mode: string): Record<string, string> => ({ "/sys/kernel/security/lockdown": `${mode}\n` })

const hint = (
  on: KernelService,
  code: ErrnoName,
  call: string,
  rest: Pick<Failure, "command" | "features"> = {}
): string | undefined => explain(on, { call, errno: errno[code], ...rest })

const root = status(NET_ADMIN, SYS_ADMIN, PERFMON, BPF)

describe("a missing capability", () => {
  const lacks = (what: string, needed: string) =>
    `${what} needs ${needed}, which this process lacks: run as root, or grant it with setcap or capsh`

  it("is named for each kind of call, since 5.8", () => {
    const on = kernel("6.1.0", status())
    expect(hint(on, "EPERM", "bpf", { command: "BPF_MAP_CREATE" })).toBe(lacks("bpf(2)", "CAP_BPF or CAP_SYS_ADMIN"))
    expect(hint(on, "EPERM", "bpf", { command: "BPF_PROG_LOAD" })).toBe(lacks("bpf(2)", "CAP_BPF or CAP_SYS_ADMIN"))
    expect(hint(on, "EACCES", "perf_event_open")).toBe(lacks("Tracing", "CAP_PERFMON or CAP_SYS_ADMIN"))
    expect(hint(on, "EPERM", "ioctl")).toBe(lacks("Tracing", "CAP_PERFMON or CAP_SYS_ADMIN"))
    for (const call of ["fsopen", "fsconfig", "fsmount"]) {
      expect(hint(on, "EPERM", call)).toBe(lacks("Mounting a file system", "CAP_SYS_ADMIN"))
    }
  })

  it("is CAP_SYS_ADMIN before 5.8, which had no other", () => {
    const on = kernel("5.7.19", status(BPF, PERFMON))
    expect(hint(on, "EPERM", "bpf")).toBe(lacks("bpf(2)", "CAP_SYS_ADMIN"))
    expect(hint(on, "EPERM", "perf_event_open")).toBe(lacks("Tracing", "CAP_SYS_ADMIN"))
    expect(hint(kernel("5.8.0", status(BPF, PERFMON)), "EPERM", "perf_event_open")).toBe(
      undefined
    )
  })

  it("is the second one where the first is held: loading a program takes both", () => {
    const on = kernel("6.1.0", status(BPF))
    expect(hint(on, "EPERM", "bpf", { command: "BPF_PROG_LOAD" })).toBe(
      lacks("Tracing", "CAP_PERFMON or CAP_SYS_ADMIN")
    )
    expect(hint(on, "EPERM", "bpf", { command: "BPF_MAP_CREATE" })).toBeUndefined()
  })

  it("is none where CAP_SYS_ADMIN is held", () => {
    const on = kernel("6.1.0", status(SYS_ADMIN))
    for (const call of ["bpf", "perf_event_open", "fsopen"]) {
      expect(hint(on, "EPERM", call, { command: "BPF_PROG_LOAD" })).toBeUndefined()
    }
  })

  it("is not guessed where the process cannot be looked at, or the call needs none", () => {
    expect(hint(kernel("6.1.0"), "EPERM", "bpf")).toBeUndefined()
    expect(hint(kernel("6.1.0", { "/proc/self/status": "Name:\tnode\n" }), "EPERM", "bpf")).toBeUndefined()
    expect(hint(kernel("6.1.0", status()), "EPERM", "mmap")).toBeUndefined()
  })

  it("goes before all other causes", () => {
    const on = kernel("5.10.0", { ...status(), ...limits("65536"), ...lockdown("none [integrity] confidentiality") })
    expect(hint(on, "EPERM", "bpf", { features: ["arena"] })).toContain("CAP_BPF")
  })
})

describe("locked memory", () => {
  it("is to blame before 5.11 if it is limited", () => {
    expect(hint(kernel("5.10.0-28-amd64", { ...root, ...limits("65536") }), "EPERM", "bpf")).toBe(
      "Kernels before 5.11 charge BPF memory to RLIMIT_MEMLOCK, which is 65536 bytes here: raise it with ulimit -l"
    )
  })

  it("is not to blame if it is unlimited or unknown, or the kernel has another account", () => {
    expect(hint(kernel("5.10.0", { ...root, ...limits("unlimited") }), "EPERM", "bpf")).toBeUndefined()
    expect(hint(kernel("5.10.0", root), "EPERM", "bpf")).toBeUndefined()
    expect(hint(kernel("5.11.0", { ...root, ...limits("65536") }), "EPERM", "bpf")).toBeUndefined()
  })
})

describe("lockdown", () => {
  it("is named with its mode", () => {
    for (const mode of ["integrity", "confidentiality"]) {
      const text = `none integrity confidentiality`.replace(mode, `[${mode}]`)
      expect(hint(kernel("6.1.0", { ...root, ...lockdown(text) }), "EPERM", "bpf")).toBe(
        `The kernel is locked down (${mode}), which forbids BPF access to kernel memory`
      )
    }
  })

  it("that is off is no cause", () => {
    const on = kernel("6.1.0", { ...root, ...lockdown("[none] integrity confidentiality") })
    expect(hint(on, "EPERM", "bpf")).toBeUndefined()
  })
})

describe("a feature that the kernel is too old for", () => {
  it("is named with the version that brought it and the one here", () => {
    for (const code of ["EINVAL", "E2BIG", "ENOTSUPP", "EOPNOTSUPP"] as const) {
      expect(hint(kernel("5.4.0-generic"), code, "bpf", { features: ["ringbuf"] }), code).toBe(
        "a ringbuf map needs Linux 5.8 or later, and this is 5.4.0-generic"
      )
    }
  })

  it("is the first of those that are missing", () => {
    const features = ["ringbuf", "arena"] as const
    expect(hint(kernel("5.4.0"), "EINVAL", "bpf", { features })).toContain("a ringbuf map")
    expect(hint(kernel("6.8.12"), "EINVAL", "bpf", { features })).toContain("an arena map needs Linux 6.9")
    expect(hint(kernel("6.9.0"), "EINVAL", "bpf", { features })).toBeUndefined()
    expect(hint(kernel("6.9.0"), "EINVAL", "bpf")).toBeUndefined()
  })

  it("explains a refusal where no right is missing", () => {
    expect(hint(kernel("5.4.0", root), "EPERM", "bpf", { features: ["ringbuf"] })).toContain("needs Linux 5.8")
  })

  it("explains a system call that is not there", () => {
    const features = ["fsopen"] as const
    expect(hint(kernel("5.1.0"), "ENOSYS", "fsopen", { features })).toBe(
      "fsopen(2) needs Linux 5.2 or later, and this is 5.1.0"
    )
    expect(hint(kernel("6.1.0"), "ENOSYS", "bpf", { features })).toBe("This kernel was built without bpf(2)")
    expect(hint(kernel("6.1.0"), "ENOSYS", "bpf")).toBe("This kernel was built without bpf(2)")
  })
})

describe("other errors", () => {
  it("too many descriptors say how to have more", () => {
    expect(hint(kernel("6.1.0"), "EMFILE", "bpf")).toBe(
      "This process has as many descriptors open as it may: raise it with ulimit -n"
    )
  })

  it("that speak for themselves have no hint, and no file is read for them", () => {
    const on = {
      version: parseVersion("5.4.0"),
      files: {
        read: () => {
          throw new Error("read")
        }
      }
    } as unknown as KernelService
    for (const code of ["ENOENT", "EEXIST", "EBADF", "ENOMEM", "EBUSY", "EINVAL", "EMFILE", "ENOSYS"] as const) {
      expect(() => hint(on, code, "bpf", { features: ["arena"] })).not.toThrow()
    }
    for (const code of ["ENOENT", "EEXIST", "EBADF", "ENOMEM", "EBUSY"] as const) {
      expect(hint(on, code, "bpf", { features: ["arena"] })).toBeUndefined()
    }
  })
})
