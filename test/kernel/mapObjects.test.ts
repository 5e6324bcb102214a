// Maps with objects that only a real kernel has: sockets, other processes, stacks of the kernel, its struct_ops.
import { beforeEach, describe } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { type ChildProcess, execFileSync, spawn } from "node:child_process"
import { closeSync, mkdtempSync, openSync, rmdirSync } from "node:fs"
import { createServer, type Server } from "node:net"
import { expect } from "vitest"
import {
  Asm,
  BpfFs,
  BpfMap,
  CgroupArray,
  HashMap,
  Kernel,
  KernelBtf,
  KernelSymbols,
  Layout,
  LocalStorage,
  Program,
  ProgramSpec,
  ReuseportSockArray,
  SockMap,
  StackTraceMap,
  StructOpsMap
} from "../../src/index.ts"
import { acquireFolder } from "../support/folders.ts"
import { real } from "../support/kernels.ts"
import { skipUnlessPossible } from "../support/privilege.ts"

/** A TCP socket that listens on a port of the system's choice: needs no interface to be up. */
const acquireListener = Effect.acquireRelease(
  Effect.callback<Server>((resume) => {
    const server = createServer()
    server.listen(0, "0.0.0.0", () => resume(Effect.succeed(server)))
  }),
  (server) =>
    Effect.callback<void>((resume) => {
      server.close(() => resume(Effect.void))
    })
)

const fdOf = (server: Server): number => (server as unknown as { readonly _handle: { readonly fd: number } })._handle.fd

const close = (server: Server) =>
  Effect.callback<void>((resume) => {
    server.close(() => resume(Effect.void))
  })

const acquireChild = Effect.acquireRelease(
  Effect.sync(() => spawn("sleep", ["1000"], { stdio: "ignore" })),
  (child: ChildProcess) =>
    Effect.callback<void>((done) => {
      if (child.exitCode !== null || child.signalCode !== null) return done(Effect.void)
      child.once("exit", () => done(Effect.void))
      child.kill("SIGKILL")
    })
)

/** A cgroup of the test's own, in a mount of its own, as its folder's descriptor. */
const acquireCgroup = Effect.gen(function*() {
  const kernel = yield* Kernel.Kernel
  const folder = yield* acquireFolder
  yield* Effect.acquireRelease(
    Effect.sync(() => expect(kernel.files.mount("cgroup2", folder)).toBe(0)),
    () => Effect.sync(() => kernel.files.unmount(folder))
  )
  const path = mkdtempSync(`${folder}/effect-ebpf-`)
  yield* Effect.addFinalizer(() => Effect.sync(() => rmdirSync(path)))
  return yield* Effect.acquireRelease(
    Effect.sync(() => ({ fd: openSync(path, "r") })),
    ({ fd }) => Effect.sync(() => closeSync(fd))
  )
})

/** Waits until something holds, as sockets leave their maps after a grace period. */
const eventually = <E, R>(holds: Effect.Effect<boolean, E, R>) =>
  Effect.gen(function*() {
    for (let i = 0; i < 200; i++) {
      if (yield* holds) return true
      yield* Effect.sleep("20 millis")
    }
    return false
  })

describe("maps with objects of this machine's kernel", () => {
  beforeEach(skipUnlessPossible)

  real(
    "sockets are found in a sockmap and a sockhash by their cookies, and leave them when they are closed",
    () =>
      Effect.gen(function*() {
        const byIndex = yield* SockMap.make({ name: "sockets", maxEntries: 4 })
        const byKey = yield* SockMap.makeHash({ name: "sockets", key: Layout.u64, maxEntries: 4 })
        const server = yield* acquireListener
        yield* byIndex.update(2, fdOf(server))
        yield* byKey.update(77n, { fd: fdOf(server) })
        const cookie = Option.getOrThrow(yield* byIndex.lookupId(2))
        expect(cookie).toBeGreaterThan(0n)
        expect(yield* byKey.lookupId(77n)).toEqual(Option.some(cookie))
        expect(yield* Stream.runCollect(byKey.entries)).toEqual([[77n, cookie]])
        expect(yield* byIndex.count).toBe(1)
        expect(yield* Effect.flip(byKey.update(77n, fdOf(server), { mode: "noexist" }))).toMatchObject({
          code: "EEXIST"
        })
        expect((yield* Effect.flip(byIndex.update(4, fdOf(server)))).message).toContain("below 4")
        expect(yield* byKey.delete(77n)).toBe(true)
        expect(yield* byKey.delete(77n)).toBe(false)
        yield* byKey.update(78n, fdOf(server))
        yield* close(server)
        expect(yield* eventually(Effect.map(byIndex.lookupId(2), Option.isNone))).toBe(true)
        expect(yield* eventually(Effect.map(byKey.count, (count) => count === 0))).toBe(true)
      })
  )

  real("a socket without SO_REUSEPORT is in no reuseport array", () =>
    Effect.gen(function*() {
      const sockets = yield* ReuseportSockArray.make({ name: "listeners", maxEntries: 4 })
      const server = yield* acquireListener
      expect(yield* Effect.flip(sockets.update(0, fdOf(server)))).toMatchObject({
        _tag: "SystemCallError",
        code: "EINVAL"
      })
      expect(yield* sockets.lookupId(0)).toEqual(Option.none())
    }))

  real("a socket keeps a value as long as it is open", () =>
    Effect.gen(function*() {
      const marks = yield* LocalStorage.makeSocket({ name: "marks", value: Layout.u64 })
      const server = yield* acquireListener
      const fd = fdOf(server)
      expect(yield* marks.lookup(fd)).toEqual(Option.none())
      yield* marks.update(fd, 5n, { mode: "noexist" })
      expect(yield* marks.lookup(fd)).toEqual(Option.some(5n))
      expect(yield* marks.delete(fd)).toBe(true)
      expect(yield* marks.delete(fd)).toBe(false)
    }))

  real("another process keeps a value of its own, until it ends", () =>
    Effect.gen(function*() {
      const marks = yield* LocalStorage.makeTask({ name: "marks", value: Layout.u32 })
      const child = yield* acquireChild
      const task = yield* LocalStorage.openTask(child.pid!)
      yield* marks.update(task, 7)
      expect(yield* marks.lookup(task)).toEqual(Option.some(7))
      expect(yield* marks.lookup(yield* LocalStorage.openTask(process.pid))).toEqual(Option.none())
      yield* Effect.callback<void>((done) => {
        child.once("exit", () => done(Effect.void))
        child.kill("SIGKILL")
      })
      const gone = Effect.map(Effect.exit(marks.lookup(task)), (exit) =>
        exit._tag === "Failure" || Option.isNone(exit.value))
      expect(yield* eventually(gone)).toBe(true)
      expect(yield* Effect.flip(LocalStorage.openTask(child.pid!))).toMatchObject({
        _tag: "SystemCallError",
        code: "ESRCH"
      })
    }), { needs: "taskStorage" })

  real("a cgroup is in a cgroup array by its folder's descriptor, and a file is not", () =>
    Effect.gen(function*() {
      const map = yield* CgroupArray.make({ name: "groups", maxEntries: 2 })
      const { fd: group } = yield* acquireCgroup
      yield* map.update(0, group)
      expect(yield* map.delete(0)).toBe(true)
      expect(yield* map.delete(0)).toBe(false)
      expect((yield* Effect.flip(map.update(2, group))).message).toContain("below 2")
      expect(yield* Effect.flip(map.update(0, 0))).toMatchObject({ _tag: "SystemCallError", code: "EBADF" })
    }))

  real("a cgroup keeps a value of its own", () =>
    Effect.gen(function*() {
      const map = yield* LocalStorage.makeCgroup({ name: "marks", value: Layout.u64 })
      const { fd: group } = yield* acquireCgroup
      expect(yield* map.lookup(group)).toEqual(Option.none())
      yield* map.update(group, 5n, { mode: "noexist" })
      expect(yield* map.lookup(group)).toEqual(Option.some(5n))
      expect(yield* map.delete(group)).toBe(true)
    }), { needs: "cgroupLocalStorage" })

  real(
    "the stack that a program stores is found by its id, and its addresses have names",
    () =>
      Effect.gen(function*() {
        const stacks = yield* StackTraceMap.make({ name: "stacks", maxEntries: 64 })
        const program = yield* Program.load(ProgramSpec.make({
          type: "raw_tracepoint",
          name: "stack",
          instructions: [
            Asm.ldMapFd("r2", stacks),
            Asm.mov("r3", 0),
            Asm.call("get_stackid"),
            Asm.exit()
          ]
        }))
        const { returnValue: id } = yield* Program.testRun(program, { context: new Uint8Array(16) })
        const stack = Option.getOrThrow(yield* stacks.lookup(id))
        expect(stack.length).toBeGreaterThan(2)
        for (const address of stack) expect(address).toBeGreaterThan(2n ** 63n)
        expect(yield* Stream.runCollect(stacks.keys)).toEqual([id])
        const symbols = yield* KernelSymbols.load
        const names = stack.map((address) => KernelSymbols.format(symbols, address))
        expect(names.some((name) => /bpf|syscall/.test(name)), names.join(" ")).toBe(true)
        expect(yield* stacks.delete(id)).toBe(true)
        expect(yield* stacks.lookup(id)).toEqual(Option.none())
      }),
    { needs: "rawTracepointTestRun" }
  )

  real(
    "a struct_ops map is made for a struct that the kernel takes functions for, and for no other",
    () =>
      Effect.gen(function*() {
        const btf = yield* KernelBtf.load
        const map = yield* StructOpsMap.make({ name: "own_cc", btf, type: "tcp_congestion_ops" })
        expect(yield* BpfMap.info(map)).toMatchObject({ kind: "struct_ops", name: "own_cc", maxEntries: 1 })
        const error = yield* Effect.flip(StructOpsMap.make({ name: "own_cc", btf, type: "task_struct" }))
        expect(error).toMatchObject({ _tag: "InvalidArgument", field: "type" })
      })
  )

  real("a pinned map is opened by a second process, and what either writes, both see", () =>
    Effect.gen(function*() {
      const kernel = yield* Kernel.Kernel
      const folder = yield* acquireFolder
      yield* Effect.acquireRelease(BpfFs.ensure(folder), () => Effect.sync(() => kernel.files.unmount(folder)))
      const definition = HashMap.define({ name: "pinned", key: Layout.u32, value: Layout.u32, maxEntries: 8 })
      const map = yield* BpfMap.pinned(definition, `${folder}/map`)
      yield* map.update(1, 10)
      const printed = execFileSync(
        process.execPath,
        ["--conditions=effect-ebpf-source", "test/support/pinnedReader.ts", `${folder}/map`],
        { encoding: "utf8" }
      )
      expect(JSON.parse(printed)).toEqual([[1, 10]])
      expect(Option.isSome(yield* map.lookup(99))).toBe(true)
    }))
})
