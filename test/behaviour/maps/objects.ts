// Maps whose values are other objects: programs, devices, CPUs, sockets, cgroups, perf events.
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { expect } from "vitest"
import {
  Asm,
  type BpfMap,
  CgroupArray,
  CpuMap,
  DevMap,
  HashMap,
  Kernel,
  Layout,
  PerfEventArray,
  ProgArray,
  Program,
  ProgramSpec,
  ReuseportSockArray,
  SockMap,
  XskMap
} from "../../../src/index.ts"
import type { Test } from "../../support/kernels.ts"

const packet = { data: new Uint8Array(64) }
const LOOPBACK = 1

const returning = <const T extends "socket_filter" | "xdp">(type: T, value: number) =>
  Program.load(ProgramSpec.makeDynamic({ type, name: "returning", instructions: [Asm.mov("r0", value), Asm.exit()] }))

/** Goes on in the program of a slot; returns 99 where there is none. */
const caller = (type: "socket_filter" | "xdp", table: BpfMap.BpfMap, slot: number) =>
  Program.load(ProgramSpec.make({
    type,
    name: "caller",
    instructions: [
      Asm.ldMapFd("r2", table),
      Asm.mov("r3", slot),
      Asm.call("tail_call"),
      Asm.mov("r0", 99),
      Asm.exit()
    ]
  }))

const run = (program: Parameters<typeof Program.testRun>[0]) =>
  Effect.map(Program.testRun(program, packet), ({ returnValue }) => returnValue)

/** A descriptor of something that none of these maps takes. */
const someMap = HashMap.make({ name: "other", key: Layout.u32, value: Layout.u32, maxEntries: 1 })

export const objects = (test: Test): void => {
  for (const type of ["socket_filter", "xdp"] as const) {
    test(`a tail call of a ${type} program goes on in the program that stands in the slot, and follows its replacement`, () =>
      Effect.gen(function*() {
        const table = yield* ProgArray.make({ name: "handlers", programs: type, maxEntries: 4 })
        const from = yield* caller(type, table, 2)
        expect(yield* run(from)).toBe(99)
        const first = yield* returning(type, 7)
        yield* table.update(2, first)
        expect(yield* run(from)).toBe(7)
        expect(yield* table.lookupId(2)).toEqual(Option.some((yield* Program.info(first)).id))
        expect(yield* table.lookupId(1)).toEqual(Option.none())
        yield* table.update(2, yield* returning(type, 8))
        expect(yield* run(from)).toBe(8)
        expect(yield* table.delete(2)).toBe(true)
        expect(yield* run(from)).toBe(99)
        expect(yield* table.delete(2)).toBe(false)
        expect(table.programs).toBe(type)
      }))
  }

  test("a program array takes no program of another type than its callers, no closed one, no map and no slot beyond", () =>
    Effect.gen(function*() {
      const table = yield* ProgArray.make({ name: "handlers", programs: "socket_filter", maxEntries: 4 })
      yield* caller("socket_filter", table, 0)
      const xdp = yield* returning("xdp", 1)
      expect(yield* Effect.flip(table.update(0, xdp as never))).toMatchObject({
        _tag: "SystemCallError",
        code: "EINVAL"
      })
      const closed = yield* Effect.scoped(returning("socket_filter", 1))
      expect(yield* Effect.flip(table.update(0, closed))).toMatchObject({ _tag: "InvalidArgument", field: "object" })
      const map = yield* someMap
      expect(yield* Effect.flip(table.update(0, { fd: map.fd, type: "socket_filter" })))
        .toMatchObject({ _tag: "SystemCallError", code: "EINVAL" })
      const good = yield* returning("socket_filter", 1)
      const beyond = yield* Effect.flip(table.update(4, good))
      expect(beyond).toMatchObject({ code: "E2BIG" })
      expect(beyond.message).toContain("below 4")
      expect(yield* table.lookupId(0)).toEqual(Option.none())
    }))

  test("a device map has devices by their number, and gives them back with no program", () =>
    Effect.gen(function*() {
      for (const hash of [false, true]) {
        const make: (options: BpfMap.DefineOptions) => Effect.Effect<DevMap.DevMap, unknown, any> = hash
          ? DevMap.makeHash
          : DevMap.make
        const ports = yield* make({ name: "ports", maxEntries: 4 })
        expect(yield* ports.lookup(3)).toEqual(Option.none())
        yield* ports.update(3, { ifindex: LOOPBACK })
        expect(yield* ports.lookup(3)).toEqual(Option.some({ ifindex: LOOPBACK, program: 0 }))
        expect(yield* Stream.runCollect(ports.entries)).toEqual([[3, { ifindex: LOOPBACK, program: 0 }]])
        expect(yield* ports.count).toBe(1)
        expect(yield* Effect.flip(ports.update(2, { ifindex: 987_654 }))).toMatchObject({ code: "EINVAL" })
        yield* ports.delete(3)
        expect(yield* ports.count).toBe(0)
        if (hash) yield* ports.update(4_000_000_000, { ifindex: LOOPBACK })
        else expect(yield* Effect.flip(ports.update(4, { ifindex: LOOPBACK }))).toMatchObject({ code: "E2BIG" })
      }
    }))

  test("a device's program is told by its id, and must be one for devices", () =>
    Effect.gen(function*() {
      const ports = yield* DevMap.make({ name: "ports", maxEntries: 4 })
      const egress = yield* Program.load(ProgramSpec.make({
        type: "xdp",
        name: "egress",
        expectedAttachType: "xdp_devmap",
        instructions: [Asm.mov("r0", 2), Asm.exit()]
      }))
      yield* ports.update(0, { ifindex: LOOPBACK, program: egress })
      const { id } = yield* Program.info(egress)
      expect(yield* ports.lookup(0)).toEqual(Option.some({ ifindex: LOOPBACK, program: id }))
      const plain = yield* returning("xdp", 2)
      expect(yield* Effect.flip(ports.update(0, { ifindex: LOOPBACK, program: plain }))).toMatchObject({
        code: "EINVAL"
      })
      const closed = yield* Effect.scoped(returning("xdp", 1))
      expect(yield* Effect.flip(ports.update(0, { ifindex: LOOPBACK, program: closed })))
        .toMatchObject({ _tag: "InvalidArgument" })
    }))

  test("a CPU map has queues by CPU, and gives them back with no program", () =>
    Effect.gen(function*() {
      const cpus = yield* CpuMap.make({ name: "cpus", maxEntries: 2 })
      expect(yield* cpus.lookup(0)).toEqual(Option.none())
      yield* cpus.update(0, { queueSize: 192 })
      expect(yield* cpus.lookup(0)).toEqual(Option.some({ queueSize: 192, program: 0 }))
      expect(yield* Stream.runCollect(cpus.entries)).toEqual([[0, { queueSize: 192, program: 0 }]])
      expect(yield* Effect.flip(cpus.update(0, { queueSize: 16_385 }))).toMatchObject({ code: "EOVERFLOW" })
      expect(yield* Effect.flip(cpus.update(5, { queueSize: 1 }))).toMatchObject({ code: "E2BIG" })
      const map = yield* someMap
      const program = { fd: map.fd, type: "xdp" } as const
      // Kernels before 7 answer ENOMEM to whatever goes wrong.
      const refused = yield* Effect.flip(cpus.update(0, { queueSize: 192, program }))
      expect(refused).toMatchObject({ _tag: "SystemCallError", code: expect.stringMatching(/^(ENOMEM|EINVAL)$/) })
      yield* cpus.delete(0)
      expect(yield* cpus.count).toBe(0)
    }))

  test("maps of sockets, cgroups and perf events take no other objects, and are empty", () =>
    Effect.gen(function*() {
      const { possibleCpus } = yield* Kernel.Kernel
      const maps = {
        xskmap: yield* XskMap.make({ name: "objects", maxEntries: 4 }),
        sockmap: yield* SockMap.make({ name: "objects", maxEntries: 4 }),
        sockhash: yield* SockMap.makeHash({ name: "objects", key: Layout.u32, maxEntries: 4 }),
        reuseport: yield* ReuseportSockArray.make({ name: "objects", maxEntries: 4 }),
        cgroups: yield* CgroupArray.make({ name: "objects", maxEntries: 4 }),
        events: yield* PerfEventArray.make({ name: "objects", maxEntries: Math.max(4, possibleCpus) })
      }
      const other = yield* someMap
      const closed = yield* Effect.scoped(someMap)
      for (const [name, map] of Object.entries(maps)) {
        const refused = yield* Effect.flip(map.update(0, other))
        expect(refused, name).toMatchObject({ _tag: "SystemCallError" })
        expect(["EINVAL", "EBADF", "ENOTSOCK", "EOPNOTSUPP"], name).toContain((refused as { code: string }).code)
        for (const fd of [999, other.fd + 400]) {
          expect(yield* Effect.flip(map.update(0, fd)), name).toMatchObject({ _tag: "SystemCallError", code: "EBADF" })
        }
        for (const fd of [closed, -1, 1.5, Number.NaN, null as never, undefined as never, "3" as never]) {
          expect(yield* Effect.flip(map.update(0, fd)), name).toMatchObject({
            _tag: "InvalidArgument",
            field: "object"
          })
        }
        expect(yield* Effect.flip(map.update(-1, 3)), name).toMatchObject({ _tag: "LayoutError" })
      }
      expect(yield* maps.sockmap.lookupId(0)).toEqual(Option.none())
      expect(yield* maps.sockhash.lookupId(0)).toEqual(Option.none())
      expect(yield* maps.reuseport.lookupId(0)).toEqual(Option.none())
      expect(yield* maps.sockhash.count).toBe(0)
      expect(yield* Stream.runCollect(maps.sockmap.entries)).toEqual([])
    }))
}
