import { describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { expect } from "vitest"
import { errno } from "../../../src/abi/errno.ts"
import { Faults, Kernel, SimulatedKernel } from "../../../src/index.ts"
import type { Block, Mapping } from "../../../src/kernel/Memory.ts"

const block = { address: 64, size: 64 } as Block
const mapping = { length: 4096, buffer: new ArrayBuffer(8) } satisfies Mapping

/** A kernel that succeeds in everything and records it. */
const recorded = () => {
  const done: Array<string> = []
  const answer = <A>(name: string, value: A) => () => {
    done.push(name)
    return value
  }
  const kernel = {
    kind: "simulated",
    architecture: "x64",
    version: { major: 6, minor: 1, patch: 0, release: "6.1.0" },
    pageSize: 4096,
    possibleCpus: 3,
    allocate: answer("allocate", block),
    free: answer("free", undefined),
    bpf: answer("bpf", 5),
    perfEventOpen: answer("perfEventOpen", 6),
    ioctl: answer("ioctl", 0),
    mmap: answer("mmap", mapping),
    munmap: answer("munmap", 0),
    close: answer("close", 0),
    dup: answer("dup", 7),
    raiseMemlock: answer("raiseMemlock", 0),
    readFile: answer("readFile", new Uint8Array(1)),
    fsopen: answer("fsopen", 8),
    fsconfig: answer("fsconfig", 0),
    fsmount: answer("fsmount", 9),
    mount: answer("mount", 0),
    unmount: answer("unmount", 0),
    mkdir: answer("mkdir", 0),
    unlink: answer("unlink", 0),
    fileSystemType: answer("fileSystemType", 11),
    pidfdOpen: answer("pidfdOpen", 10),
    watch: answer("watch", { arm: answer("arm", 0), close: answer("unwatch", undefined) })
  } satisfies Kernel.KernelService
  return { done, kernel: kernel as Kernel.KernelService }
}

/** Every call that acquires something, what it is called at the door, and what it gives when it succeeds. */
const acquiring: ReadonlyArray<
  readonly [method: string, name: string, call: (kernel: Kernel.KernelService) => unknown, result: unknown]
> = [
  ["allocate", "mmap", (k) => k.allocate(8), block],
  ["bpf", "bpf", (k) => k.bpf(0, block, 8), 5],
  ["perfEventOpen", "perf_event_open", (k) => k.perfEventOpen(block, 0, 0, -1, 0), 6],
  ["ioctl", "ioctl", (k) => k.ioctl(3, 1, 0), 0],
  ["mmap", "mmap", (k) => k.mmap(3, 4096, 1, 0), mapping],
  ["dup", "fcntl", (k) => k.dup(3), 7],
  ["raiseMemlock", "prlimit", (k) => k.raiseMemlock(), 0],
  ["fsopen", "fsopen", (k) => k.fsopen("tracefs"), 8],
  ["fsconfig", "fsconfig", (k) => k.fsconfig(3, 6), 0],
  ["fsmount", "fsmount", (k) => k.fsmount(3), 9],
  ["mount", "mount", (k) => k.mount("bpf", "/mnt"), 0],
  ["mkdir", "mkdir", (k) => k.mkdir("/mnt"), 0],
  ["fileSystemType", "statfs", (k) => k.fileSystemType("/"), 11],
  ["pidfdOpen", "pidfd_open", (k) => k.pidfdOpen(1), 10]
]

describe("a call that acquires", () => {
  for (const [method, name, call, result] of acquiring) {
    it(`${method} is not made when it is to fail, and gives the error number`, () => {
      const { done, kernel } = recorded()
      const seen: Array<Faults.Call> = []
      const faulty = Faults.wrap(kernel, (at) => {
        seen.push(at)
        return at.index === 1 ? "ENOMEM" : undefined
      })
      expect(call(faulty)).toBe(-12)
      expect(done).toEqual([])
      expect(call(faulty)).toEqual(result)
      expect(done).toEqual([method])
      expect(seen).toEqual([{ index: 1, name, releases: false }, { index: 2, name, releases: false }])
    })
  }

  it("readFile gives the error number, or the file", () => {
    const { done, kernel } = recorded()
    const faulty = Faults.wrap(kernel, ({ index, name }) => name === "read" && index === 1 ? "EIO" : undefined)
    expect(faulty.readFile("/proc/self/limits")).toBe(-errno.EIO)
    expect(faulty.readFile("/proc/self/limits")).toEqual(new Uint8Array(1))
    expect(done).toEqual(["readFile"])
  })
})

describe("a call that releases", () => {
  const releasing: ReadonlyArray<
    readonly [method: string, name: string, call: (kernel: Kernel.KernelService) => unknown, failed: unknown]
  > = [
    ["close", "close", (k) => k.close(3), -9],
    ["munmap", "munmap", (k) => k.munmap(mapping), -9],
    ["free", "munmap", (k) => k.free(block), undefined],
    ["unmount", "umount2", (k) => k.unmount("/mnt"), -9],
    ["unlink", "unlink", (k) => k.unlink("/mnt/pin"), -9]
  ]
  for (const [method, name, call, failed] of releasing) {
    it(`${method} does its work, and then reports the error`, () => {
      const { done, kernel } = recorded()
      const seen: Array<Faults.Call> = []
      const faulty = Faults.wrap(kernel, (at) => {
        seen.push(at)
        return "EBADF"
      })
      expect(call(faulty)).toBe(failed)
      expect(done).toEqual([method])
      expect(seen).toEqual([{ index: 1, name, releases: true }])
    })
  }
})

describe("a watch", () => {
  it("can fail when it is made, when it is armed and when it is closed", () => {
    const { done, kernel } = recorded()
    const failing = new Set<number>()
    const seen: Array<string> = []
    const faulty = Faults.wrap(kernel, ({ index, name, releases }) => {
      seen.push(`${name}${releases ? " release" : ""}`)
      return failing.has(index) ? "ENOSPC" : undefined
    })
    failing.add(1).add(3).add(5)
    expect(faulty.watch(3, () => {})).toBe(-28)
    const watch = faulty.watch(3, () => {})
    if (typeof watch === "number") throw new Error("no watch")
    expect(watch.arm()).toBe(-28)
    expect(watch.arm()).toBe(0)
    watch.close()
    expect(done).toEqual(["watch", "arm", "unwatch"])
    expect(seen).toEqual(["epoll_ctl", "epoll_ctl", "epoll_ctl", "epoll_ctl", "epoll_ctl release"])
  })
})

describe("the rest of the kernel", () => {
  it("is as it was", () => {
    const { kernel } = recorded()
    const { architecture, kind, pageSize, possibleCpus, version } = Faults.wrap(kernel, () => undefined)
    expect({ architecture, kind, pageSize, possibleCpus, version }).toEqual({
      architecture: "x64",
      kind: "simulated",
      pageSize: 4096,
      possibleCpus: 3,
      version: kernel.version
    })
  })

  it("has no method that cannot fail", () => {
    const { kernel } = recorded()
    const faulty = Faults.wrap(kernel, () => undefined)
    for (const [name, member] of Object.entries(kernel)) {
      if (typeof member === "function") expect(faulty[name as keyof typeof faulty], name).not.toBe(member)
    }
  })
})

describe("the layer", () => {
  const allocations = (faults: Layer.Layer<Kernel.Kernel, never, Kernel.Kernel>, count: number) =>
    Effect.map(Kernel.Kernel, (kernel) =>
      Array.from({ length: count }, () => {
        const block = kernel.allocate(8)
        return typeof block === "number" ? block : "block"
      })).pipe(Effect.provide(Layer.provide(faults, SimulatedKernel.layer())))

  it.effect("fails the nth call, and no other", () =>
    Effect.gen(function*() {
      const results = yield* allocations(Faults.layer({ nth: 3, error: "EMFILE" }), 5)
      expect(results).toEqual(["block", "block", -24, "block", "block"])
    }))

  it.effect("fails those calls that the plan decides", () =>
    Effect.gen(function*() {
      const odd = Faults.layer(({ index }) => index % 2 === 1 ? "EPERM" : undefined)
      expect(yield* allocations(odd, 4)).toEqual([-1, "block", -1, "block"])
    }))

  it.effect("counts anew each time it is built", () =>
    Effect.gen(function*() {
      const first = Faults.layer({ nth: 1, error: "EIO" })
      expect(yield* allocations(first, 2)).toEqual([-5, "block"])
      expect(yield* allocations(first, 2)).toEqual([-5, "block"])
    }))
})
