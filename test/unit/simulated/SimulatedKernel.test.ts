import { describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import { expect } from "vitest"
import { executions } from "../../../examples/executions.ts"
import { ArrayMap, Asm, HashMap, Layout, Program, ProgramSpec, Tracepoint } from "../../../src/index.ts"
import * as SimulatedKernel from "../../../src/simulated/SimulatedKernel.ts"

const execve = { category: "syscalls", name: "sys_enter_execve" }

const tracepointProgram = (instructions: ReadonlyArray<Asm.Item>) =>
  ProgramSpec.make({ type: "tracepoint", name: "under_test", instructions })

const attached = (instructions: ReadonlyArray<Asm.Item>, maps: Record<string, { readonly fd: number }> = {}) =>
  Effect.gen(function*() {
    const program = yield* Program.load(tracepointProgram(instructions), { maps })
    yield* Tracepoint.attach(program, execve)
    return yield* SimulatedKernel.SimulatedKernel
  })

/** Fires once: what the program trapped with. */
const trapOf = (instructions: ReadonlyArray<Asm.Item>, maps: Record<string, { readonly fd: number }> = {}) =>
  Effect.gen(function*() {
    const kernel = yield* attached([...instructions, Asm.mov("r0", 0), Asm.exit()], maps)
    return yield* Effect.flip(kernel.enterSyscall({ name: "execve", arguments: ["/bin/true"] }))
  }).pipe(Effect.scoped)

/** A kernel that loads what a verifier would reject: what it does wrong is seen as it runs. */
const unchecked = SimulatedKernel.layer({ verifier: "off" })

describe("the simulated kernel's other side", () => {
  it.effect("firing a system call gives the tracer the task, its parent, and the string it passed", () =>
    Effect.gen(function*() {
      const stream = yield* executions(Option.none())
      const kernel = yield* SimulatedKernel.SimulatedKernel
      const task = { pid: 42, tid: 43, parent: 7, uid: 1000, command: "a-very-long-command-name" }
      expect(yield* kernel.enterSyscall({ name: "execve", arguments: ["/usr/bin/ls", 1n], task })).toBe(1)
      const [record] = yield* stream.pipe(Stream.take(1), Stream.runCollect)
      expect(record).toEqual({ pid: 42, parent: 7, uid: 1000, command: "a-very-long-com", file: "/usr/bin/ls" })
    }).pipe(Effect.scoped, Effect.provide(SimulatedKernel.layer())))

  it.effect("a program filters inside the kernel", () =>
    Effect.gen(function*() {
      const stream = yield* executions(Option.some(7))
      const kernel = yield* SimulatedKernel.SimulatedKernel
      for (const parent of [6, 7, 8, 7]) {
        yield* kernel.enterSyscall({ name: "execve", arguments: [`/bin/${parent}`], task: { parent } })
      }
      const records = yield* stream.pipe(Stream.take(2), Stream.runCollect)
      expect(records.map((record) => record.file)).toEqual(["/bin/7", "/bin/7"])
    }).pipe(Effect.scoped, Effect.provide(SimulatedKernel.layer())))

  it.effect("a path that is no string in the task's memory reads as empty, as a page that is not there does", () =>
    Effect.gen(function*() {
      const stream = yield* executions(Option.none())
      const kernel = yield* SimulatedKernel.SimulatedKernel
      yield* kernel.enterSyscall({ name: "execve", arguments: [0xdead0000n] })
      const [record] = yield* stream.pipe(Stream.take(1), Stream.runCollect)
      expect(record!.file).toBe("")
    }).pipe(Effect.scoped, Effect.provide(SimulatedKernel.layer())))

  it.effect("TestClock rules the time that programs see", () =>
    Effect.gen(function*() {
      const times = yield* ArrayMap.make({ name: "times", value: Layout.u64, maxEntries: 1 })
      const kernel = yield* attached([
        Asm.call("ktime_get_ns"),
        Asm.stdw("r10", -16, "r0"),
        Asm.stw("r10", -4, 0),
        Asm.ldMapFd("r1", "times"),
        Asm.mov("r2", "r10"),
        Asm.add("r2", -4),
        Asm.mov("r3", "r10"),
        Asm.add("r3", -16),
        Asm.mov("r4", 0),
        Asm.call("map_update_elem"),
        Asm.mov("r0", 0),
        Asm.exit()
      ], { times })
      const fire = kernel.enterSyscall({ name: "execve", arguments: [] })
      yield* fire
      const before = yield* times.lookup(0)
      yield* TestClock.adjust("3 seconds")
      yield* fire
      expect((yield* times.lookup(0)) - before).toBe(3_000_000_000n)
    }).pipe(Effect.scoped, Effect.provide(SimulatedKernel.layer())))

  it.effect("a wrong access traps with its instruction, and never reads what is not there", () =>
    Effect.gen(function*() {
      const map = yield* ArrayMap.make({ name: "m", value: Layout.u32, maxEntries: 2 })
      const element = [
        Asm.stw("r10", -4, 0),
        Asm.ldMapFd("r1", "m"),
        Asm.mov("r2", "r10"),
        Asm.add("r2", -4),
        Asm.call("map_lookup_elem")
      ]
      const cases: ReadonlyArray<readonly [ReadonlyArray<Asm.Item>, number, RegExp]> = [
        [[Asm.ldxdw("r0", "r10", 0)], 0, /beyond/],
        [[Asm.stdw("r10", -520, 0)], 0, /beyond/],
        [[Asm.mov("r2", 0), Asm.ldxb("r0", "r2", 0)], 1, /no memory/],
        [[Asm.ldxb("r0", "r1", 64)], 0, /beyond/],
        [[Asm.stb("r1", 0, 1)], 0, /read-only/],
        // Beyond one element of the array, though another follows it.
        [[...element, Asm.ldxdw("r0", "r0", 0)], 6, /beyond an element of 4/],
        [[Asm.mov("r1", 5), Asm.mov("r2", "r10"), Asm.call("map_lookup_elem")], 2, /no map/]
      ]
      for (const [body, instruction, reason] of cases) {
        const trap = yield* trapOf(body, { m: map })
        expect(trap).toMatchObject({ _tag: "ProgramTrap", program: "under_test", instruction })
        expect((trap as { reason: string }).reason).toMatch(reason)
      }
    }).pipe(Effect.scoped, Effect.provide(unchecked)))

  it.effect("a program that never ends is stopped", () =>
    Effect.gen(function*() {
      const kernel = yield* attached([Asm.mov("r0", 0), Asm.label("again"), Asm.jeq("r0", 0, "again"), Asm.exit()])
      const trap = yield* Effect.flip(kernel.enterSyscall({ name: "execve", arguments: [] }))
      expect((trap as { reason: string }).reason).toMatch(/still running/)
    }).pipe(Effect.scoped, Effect.provide(unchecked)))

  it.effect("a helper that is not simulated is a load-time error that names it", () =>
    Effect.gen(function*() {
      const spec = tracepointProgram([Asm.call("sys_bpf"), Asm.mov("r0", 0), Asm.exit()])
      const error = yield* Effect.flip(Program.load(spec))
      expect(error._tag).toBe("VerifierError")
      expect(error.message).toContain("bpf_sys_bpf#166")
    }).pipe(Effect.scoped, Effect.provide(SimulatedKernel.layer())))

  it.effect("unknown tracepoints and too many arguments are refused", () =>
    Effect.gen(function*() {
      const kernel = yield* SimulatedKernel.SimulatedKernel
      const unknown = yield* Effect.flip(kernel.fire({ tracepoint: "a/b", record: new Uint8Array(8) }))
      expect(unknown).toMatchObject({ _tag: "InvalidArgument", field: "tracepoint" })
      const many = yield* Effect.flip(kernel.enterSyscall({ name: "execve", arguments: [1n, 2n, 3n, 4n, 5n, 6n, 7n] }))
      expect(many).toMatchObject({ _tag: "InvalidArgument", field: "arguments" })
    }).pipe(Effect.provide(SimulatedKernel.layer())))

  it.effect("further tracepoints can be had by name, and programs attach to them", () =>
    Effect.gen(function*() {
      const program = yield* Program.load(tracepointProgram([Asm.mov("r0", 0), Asm.exit()]))
      yield* Tracepoint.attach(program, { category: "net", name: "netif_rx" })
      const kernel = yield* SimulatedKernel.SimulatedKernel
      expect(yield* kernel.fire({ tracepoint: "net/netif_rx", record: new Uint8Array(32) })).toBe(1)
      expect(yield* kernel.fire({ tracepoint: "sched/sched_switch", record: new Uint8Array(32) })).toBe(0)
    }).pipe(Effect.scoped, Effect.provide(SimulatedKernel.layer({ tracepoints: ["net/netif_rx"] }))))

  it.effect("what is open is counted, and nothing is when the scope has closed", () =>
    Effect.gen(function*() {
      const kernel = yield* SimulatedKernel.SimulatedKernel
      yield* Effect.scoped(Effect.gen(function*() {
        yield* HashMap.make({ name: "m", key: Layout.u32, value: Layout.u32, maxEntries: 1 })
        expect(yield* kernel.open).toMatchObject({ descriptors: 1, blocks: 5 })
      }))
      expect(yield* kernel.open).toEqual({ descriptors: 0, mappings: 0, blocks: 0, watches: 0 })
    }).pipe(Effect.provide(SimulatedKernel.layer())))

  it.effect("a trap under a test run is EFAULT to the caller, and told here", () =>
    Effect.gen(function*() {
      const spec = ProgramSpec.make({
        type: "socket_filter",
        name: "wild",
        instructions: [Asm.mov("r2", 0), Asm.ldxw("r0", "r2", 0), Asm.exit()]
      })
      const program = yield* Program.load(spec)
      const error = yield* Effect.flip(Program.testRun(program, { data: new Uint8Array(14) }))
      expect(error).toMatchObject({ _tag: "SystemCallError", code: "EFAULT" })
      const kernel = yield* SimulatedKernel.SimulatedKernel
      expect(yield* kernel.lastTrap).toMatchObject({ _tag: "ProgramTrap", program: "wild", instruction: 1 })
    }).pipe(Effect.scoped, Effect.provide(unchecked)))
})
