import { describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { expect } from "vitest"
import { errno } from "../../../src/abi/errno.ts"
import { Kernel } from "../../../src/index.ts"
import * as Faults from "../../../src/simulated/Faults.ts"
import * as SimulatedKernel from "../../../src/simulated/SimulatedKernel.ts"
import type { Block, Mapping } from "../../../src/kernel/memory.ts"

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
    isReleased: () => false,
    allocate: answer("allocate", block),
    free: answer("free", undefined),
    bpf: { call: answer("bpf.call", 5), raiseMemlock: answer("bpf.raiseMemlock", 0) },
    perf: { open: answer("perf.open", 6), ioctl: answer("perf.ioctl", 0), readCount: answer("perf.readCount", 16) },
    net: { interfaceIndex: answer("net.interfaceIndex", 12), interfaceName: answer("net.interfaceName", "lo") },
    files: {
      mmap: answer("files.mmap", mapping),
      munmap: answer("files.munmap", 0),
      close: answer("files.close", 0),
      dup: answer("files.dup", 7),
      open: answer("files.open", 13),
      read: answer("files.read", new Uint8Array(1)),
      readConstant: answer("files.readConstant", new Uint8Array(1)),
      fsopen: answer("files.fsopen", 8),
      fsconfig: answer("files.fsconfig", 0),
      fsmount: answer("files.fsmount", 9),
      mount: answer("files.mount", 0),
      unmount: answer("files.unmount", 0),
      mkdir: answer("files.mkdir", 0),
      unlink: answer("files.unlink", 0),
      status: answer("files.status", { mode: 0o600, uid: 0, gid: 0 }),
      fileSystemType: answer("files.fileSystemType", 11),
      pidfdOpen: answer("files.pidfdOpen", 10),
      watch: answer("files.watch", { arm: answer("arm", 0), close: answer("unwatch", undefined) })
    }
  } satisfies Kernel.KernelService
  return { done, kernel: kernel as Kernel.KernelService }
}

/** Every call that acquires something, what it is called at the door, and what it gives when it succeeds. */
const acquiring: ReadonlyArray<
  readonly [method: string, name: string, call: (kernel: Kernel.KernelService) => unknown, result: unknown]
> = [
  ["allocate", "mmap", (k) => k.allocate(8), block],
  ["bpf.call", "bpf", (k) => k.bpf.call(0, block, 8), 5],
  ["perf.open", "perf_event_open", (k) => k.perf.open(block, 0, 0, -1, 0), 6],
  ["perf.ioctl", "ioctl", (k) => k.perf.ioctl(3, 1, 0), 0],
  ["perf.readCount", "read", (k) => k.perf.readCount(3, block, 16), 16],
  ["net.interfaceIndex", "if_nametoindex", (k) => k.net.interfaceIndex("lo"), 12],
  ["net.interfaceName", "if_indextoname", (k) => k.net.interfaceName(1), "lo"],
  ["files.open", "open", (k) => k.files.open("/"), 13],
  ["files.mmap", "mmap", (k) => k.files.mmap(3, 4096, 1, 0), mapping],
  ["files.dup", "fcntl", (k) => k.files.dup(3), 7],
  ["bpf.raiseMemlock", "prlimit", (k) => k.bpf.raiseMemlock(), 0],
  ["files.fsopen", "fsopen", (k) => k.files.fsopen("tracefs"), 8],
  ["files.fsconfig", "fsconfig", (k) => k.files.fsconfig(3, 6), 0],
  ["files.fsmount", "fsmount", (k) => k.files.fsmount(3), 9],
  ["files.mount", "mount", (k) => k.files.mount("bpf", "/mnt"), 0],
  ["files.mkdir", "mkdir", (k) => k.files.mkdir("/mnt"), 0],
  ["files.fileSystemType", "statfs", (k) => k.files.fileSystemType("/"), 11],
  ["files.pidfdOpen", "pidfd_open", (k) => k.files.pidfdOpen(1), 10]
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

  it("files.read gives the error number, or the file", () => {
    const { done, kernel } = recorded()
    const faulty = Faults.wrap(kernel, ({ index, name }) => name === "read" && index === 1 ? "EIO" : undefined)
    expect(faulty.files.read("/proc/self/limits")).toBe(-errno.EIO)
    expect(faulty.files.read("/proc/self/limits")).toEqual(new Uint8Array(1))
    expect(done).toEqual(["files.read"])
  })
})

describe("a call that releases", () => {
  const releasing: ReadonlyArray<
    readonly [method: string, name: string, call: (kernel: Kernel.KernelService) => unknown, failed: unknown]
  > = [
    ["files.close", "close", (k) => k.files.close(3), -9],
    ["files.munmap", "munmap", (k) => k.files.munmap(mapping), -9],
    ["free", "munmap", (k) => k.free(block), -9],
    ["files.unmount", "umount2", (k) => k.files.unmount("/mnt"), -9],
    ["files.unlink", "unlink", (k) => k.files.unlink("/mnt/pin"), -9]
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
    expect(faulty.files.watch(3, () => {})).toBe(-28)
    const watch = faulty.files.watch(3, () => {})
    if (typeof watch === "number") throw new Error("no watch")
    expect(watch.arm()).toBe(-28)
    expect(watch.arm()).toBe(0)
    watch.close()
    expect(done).toEqual(["files.watch", "arm", "unwatch"])
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
    const calls = (door: object, group = ""): Array<readonly [string, unknown]> =>
      Object.entries(door).flatMap(([name, member]) =>
        typeof member === "function"
          ? [[`${group}${name}`, member] as const]
          : typeof member === "object"
          ? calls(member, `${name}.`)
          : []
      )
    const plain = new Map(calls(kernel))
    const wrapped = calls(faulty)
    expect(wrapped.map(([name]) => name).toSorted()).toEqual([...plain.keys()].toSorted())
    for (const [name, call] of wrapped) {
      if (name !== "isReleased") expect(call, name).not.toBe(plain.get(name)) // a question, that makes no call
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
