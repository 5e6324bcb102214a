import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Scope from "effect/Scope"
import { expect } from "vitest"
import { inspect } from "node:util"
import { ArrayMap, Asm, HashMap, Kernel, Layout, Program, ProgramSpec } from "../../src/index.ts"
import { debugInfoOf } from "../../src/program/internal/debugInfo.ts"
import * as SimulatedKernel from "../../src/simulated/SimulatedKernel.ts"
import { acquireBpfFs } from "../support/folders.ts"
import type { Test } from "../support/kernels.ts"
import { operations } from "./operations.ts"

const filter = (instructions: ReadonlyArray<Asm.Item>, name = "filter") =>
  ProgramSpec.make({ type: "socket_filter", name, instructions })

const packet = { data: new Uint8Array(64) }

export const programs = (test: Test): void => {
  operations(test)

  test("a program runs and returns", () =>
    Effect.gen(function*() {
      const program = yield* Program.load(filter([Asm.mov("r0", 42), Asm.exit()]))
      const result = yield* Program.testRun(program, packet)
      expect(result.returnValue).toBe(42)
    }))

  test("arithmetic is the kernel's: unsigned division, masked shifts, 32 bits that zero the upper half", () =>
    Effect.gen(function*() {
      const cases: ReadonlyArray<readonly [ReadonlyArray<Asm.Item>, number]> = [
        [[Asm.mov("r0", 7), Asm.mov("r1", 0), Asm.div("r0", "r1")], 0],
        [[Asm.mov("r0", 7), Asm.mov("r1", 0), Asm.mod("r0", "r1")], 7],
        [[Asm.mov("r0", -1), Asm.div32("r0", 2)], 0x7fffffff],
        [[Asm.mov("r0", -8), Asm.arsh("r0", 1), Asm.neg("r0")], 4],
        [[Asm.mov("r0", -8), Asm.arsh32("r0", 1)], 0xfffffffc],
        [[Asm.mov("r0", 1), Asm.mov("r1", 33), Asm.lsh32("r0", "r1")], 2],
        [[Asm.mov("r0", -1), Asm.add32("r0", 1), Asm.rsh("r0", 1)], 0],
        [[Asm.lddw("r0", 0x1_0000_0005n), Asm.rsh("r0", 32)], 1],
        [[Asm.lddw("r0", 0xffff_ffff_0000_0001n), Asm.mov32("r0", "r0"), Asm.rsh("r0", 32)], 0],
        [[Asm.mov("r0", -1), Asm.div("r0", -1)], 1],
        [[Asm.mov("r0", 6), Asm.xor("r0", 3), Asm.or("r0", 8), Asm.and("r0", 12), Asm.mul("r0", 3)], 36],
        [[Asm.mov("r0", 100), Asm.sub("r0", 1), Asm.mod("r0", 10), Asm.neg32("r0"), Asm.sub32("r0", 1)], 0xfffffff6]
      ]
      for (const [body, expected] of cases) {
        const program = yield* Program.load(filter([...body, Asm.exit()]))
        expect((yield* Program.testRun(program, packet)).returnValue).toBe(expected)
      }
    }).pipe(Effect.scoped))

  test("jumps compare as their names say, in 64 and 32 bits", () =>
    Effect.gen(function*() {
      const taken = (value: number, jump: Asm.Item) => [
        Asm.mov("r1", value),
        Asm.mov("r0", 1),
        jump,
        Asm.mov("r0", 0),
        Asm.label("taken"),
        Asm.exit()
      ]
      const cases: ReadonlyArray<readonly [number, Asm.Item, number]> = [
        [-1, Asm.jgt("r1", 1, "taken"), 1],
        [-1, Asm.jsgt("r1", 1, "taken"), 0],
        [-1, Asm.jslt("r1", 0, "taken"), 1],
        [5, Asm.jge("r1", 5, "taken"), 1],
        [5, Asm.jlt("r1", 5, "taken"), 0],
        [5, Asm.jle("r1", 5, "taken"), 1],
        [5, Asm.jsge("r1", 6, "taken"), 0],
        [5, Asm.jsle("r1", -1, "taken"), 0],
        [5, Asm.jne("r1", 5, "taken"), 0],
        [6, Asm.jset("r1", 2, "taken"), 1],
        [6, Asm.jset("r1", 9, "taken"), 0],
        [-1, Asm.jeq32("r1", -1, "taken"), 1],
        [-1, Asm.jslt32("r1", 0, "taken"), 1],
        [-1, Asm.jgt32("r1", -2, "taken"), 1],
        [0, Asm.ja("taken"), 1]
      ]
      for (const [value, jump, expected] of cases) {
        // `ja` leaves dead code behind it, which the verifier refuses: keep it reachable.
        const body = taken(value, jump)
        const reachable = expected === 1 && (jump as { opcode: number }).opcode === 5
          ? [
            Asm.mov("r1", 0),
            Asm.jne("r1", 0, "dead"),
            Asm.mov("r0", 1),
            jump,
            Asm.label("dead"),
            Asm.mov("r0", 0),
            Asm.label("taken"),
            Asm.exit()
          ]
          : body
        const program = yield* Program.load(filter(reachable))
        expect((yield* Program.testRun(program, packet)).returnValue).toBe(expected)
      }
    }).pipe(Effect.scoped))

  test("loads and stores of every size go to the stack and back", () =>
    Effect.gen(function*() {
      const program = yield* Program.load(filter([
        Asm.lddw("r1", 0x1122_3344_5566_7788n),
        Asm.stdw("r10", -8, "r1"),
        Asm.stb("r10", -8, 0xff),
        Asm.ldxb("r0", "r10", -7), // 77
        Asm.ldxh("r2", "r10", -6), // 5566
        Asm.add("r0", "r2"),
        Asm.ldxw("r2", "r10", -8), // 556677ff
        Asm.add("r0", "r2"),
        Asm.sth("r10", -2, 0x1234),
        Asm.stw("r10", -16, -1),
        Asm.ldxdw("r2", "r10", -8),
        Asm.rsh("r2", 48),
        Asm.add("r0", "r2"),
        Asm.exit()
      ]))
      expect((yield* Program.testRun(program, packet)).returnValue).toBe(0x77 + 0x5566 + 0x556677ff + 0x1234)
    }))

  test("a program and its process see the same map", () =>
    Effect.gen(function*() {
      const counts = yield* HashMap.make({ name: "counts", key: Layout.u32, value: Layout.u64, maxEntries: 4 })
      yield* counts.update(7, 40n)
      const program = yield* Program.load(
        filter([
          Asm.stw("r10", -4, 7),
          Asm.ldMapFd("r1", "counts"),
          Asm.mov("r2", "r10"),
          Asm.add("r2", -4),
          Asm.call("map_lookup_elem"),
          Asm.jeq("r0", 0, "missing"),
          Asm.ldxdw("r1", "r0", 0),
          Asm.add("r1", 2),
          Asm.stdw("r0", 0, "r1"),
          Asm.mov("r0", 1),
          Asm.exit(),
          Asm.label("missing"),
          Asm.mov("r0", 0),
          Asm.exit()
        ]),
        { maps: { counts } }
      )
      expect((yield* Program.testRun(program, packet)).returnValue).toBe(1)
      expect(yield* counts.lookup(7)).toEqual(Option.some(42n))
      yield* counts.delete(7)
      expect((yield* Program.testRun(program, packet)).returnValue).toBe(0)
    }))

  test("a map lives as long as the program that uses it", () =>
    Effect.gen(function*() {
      const outer = yield* Effect.scope
      const program = yield* Effect.scoped(Effect.gen(function*() {
        const inner = yield* ArrayMap.make({ name: "inner", value: Layout.u32, maxEntries: 1 })
        yield* inner.update(0, 31)
        const spec = filter([
          Asm.stw("r10", -4, 0),
          Asm.ldMapFd("r1", "inner"),
          Asm.mov("r2", "r10"),
          Asm.add("r2", -4),
          Asm.call("map_lookup_elem"),
          Asm.jeq("r0", 0, "out"),
          Asm.ldxw("r0", "r0", 0),
          Asm.label("out"),
          Asm.exit()
        ])
        return yield* Scope.provide(Program.load(spec, { maps: { inner } }), outer)
      }))
      expect((yield* Program.testRun(program, packet)).returnValue).toBe(31)
    }))

  test("repeat runs a program that often", () =>
    Effect.gen(function*() {
      const counter = yield* ArrayMap.make({ name: "counter", value: Layout.u64, maxEntries: 1 })
      const program = yield* Program.load(
        filter([
          Asm.stw("r10", -4, 0),
          Asm.ldMapFd("r1", "counter"),
          Asm.mov("r2", "r10"),
          Asm.add("r2", -4),
          Asm.call("map_lookup_elem"),
          Asm.jeq("r0", 0, "out"),
          Asm.ldxdw("r1", "r0", 0),
          Asm.add("r1", 1),
          Asm.stdw("r0", 0, "r1"),
          Asm.label("out"),
          Asm.mov("r0", 0),
          Asm.exit()
        ]),
        { maps: { counter } }
      )
      yield* Program.testRun(program, { ...packet, repeat: 1000 })
      expect(yield* counter.lookup(0)).toBe(1000n)
      for (const repeat of [0, -1, 2 ** 31, 1.5]) {
        const error = yield* Effect.flip(Program.testRun(program, { ...packet, repeat }))
        expect(error).toMatchObject({ _tag: "InvalidArgument", field: "repeat" })
      }
    }))

  test("a packet too short for an Ethernet header is refused by the kernel", () =>
    Effect.gen(function*() {
      const program = yield* Program.load(filter([Asm.mov("r0", 0), Asm.exit()]))
      const error = yield* Effect.flip(Program.testRun(program, { data: new Uint8Array(13) }))
      expect(error).toMatchObject({ _tag: "SystemCallError", command: "BPF_PROG_TEST_RUN", code: "EINVAL" })
    }))

  test("an XDP program sees the packet", () =>
    Effect.gen(function*() {
      const program = yield* Program.load(ProgramSpec.make({
        type: "xdp",
        name: "first_byte",
        instructions: [
          Asm.ldxw("r2", "r1", 0), // data
          Asm.ldxw("r3", "r1", 4), // data_end
          Asm.mov("r4", "r2"),
          Asm.add("r4", 14),
          Asm.mov("r0", 0),
          Asm.jgt("r4", "r3", "short"),
          Asm.ldxb("r0", "r2", 0),
          Asm.stb("r2", 1, 0xaa),
          Asm.label("short"),
          Asm.exit()
        ]
      }))
      const data = new Uint8Array(64).fill(9)
      const result = yield* Program.testRun(program, { data })
      expect(result.returnValue).toBe(9)
      expect([...result.data.subarray(0, 3)]).toEqual([9, 0xaa, 9])
    }))

  test("a rejected program gives the whole log, the instruction, and the line that made it", () =>
    Effect.gen(function*() {
      const bad = filter([Asm.mov("r1", 1), Asm.mov("r0", "r5"), Asm.exit()], "bad")
      const error = yield* Effect.flip(Program.load(bad))
      expect(error._tag).toBe("VerifierError")
      if (error._tag !== "VerifierError") return
      expect(error.log).toContain("R5 !read_ok")
      expect(error.instruction).toBe(1)
      expect(error.location).toMatch(/programs\.ts:\d+$/)
      expect(error.message).toContain("bad")
    }))

  test("a wide load counts as two slots for the verifier, and its error still finds the builder call", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(Program.load(filter([Asm.lddw("r1", 1n), Asm.mov("r0", "r5"), Asm.exit()])))
      expect(error).toMatchObject({ _tag: "VerifierError", instruction: 2 })
      expect((error as { location?: string }).location).toMatch(/programs\.ts:\d+$/)
    }))

  test("programs and maps whose scope has closed are refused, though their numbers are in use again", () =>
    Effect.gen(function*() {
      const [stale, map] = yield* Effect.scoped(Effect.all([
        Program.load(filter([Asm.mov("r0", 0), Asm.exit()])),
        ArrayMap.make({ name: "gone", value: Layout.u32, maxEntries: 1 })
      ]))
      yield* Program.load(filter([Asm.mov("r0", 1), Asm.exit()]))
      yield* ArrayMap.make({ name: "next", value: Layout.u32, maxEntries: 1 })
      const closed = { code: "EBADF", hint: "The scope that the program was loaded in has closed" }
      const folder = yield* acquireBpfFs
      for (const use of [Program.testRun(stale, packet), Program.info(stale), Program.pin(stale, `${folder}/stale`)]) {
        expect(yield* Effect.flip(use as Effect.Effect<unknown, unknown, Kernel.Kernel>)).toMatchObject(closed)
      }
      const spec = filter([Asm.ldMapFd("r1", "gone"), Asm.mov("r0", 0), Asm.exit()])
      const error = yield* Effect.flip(Program.load(spec, { maps: { gone: map } }))
      expect(error).toMatchObject({ _tag: "InvalidArgument", field: "maps.gone", actual: "a closed one" })
    }))

  test("a program prints as what it is, also when it is closed", () =>
    Effect.gen(function*() {
      const { id, program } = yield* Effect.scoped(Effect.gen(function*() {
        const program = yield* Program.load(filter([Asm.mov("r0", 0), Asm.exit()], "printed"))
        const { id } = yield* Program.info(program)
        const text = `socket_filter program "printed", id ${id}, fd ${program.fd}`
        expect([String(program), inspect(program), JSON.stringify(program)]).toEqual([text, text, JSON.stringify(text)])
        return { program, id }
      }))
      expect(id).toBeGreaterThan(0)
      expect(String(program)).toBe("socket_filter program \"printed\", closed")
      expect([program, { ...program }, {}, undefined].map(Program.isProgram)).toEqual([true, false, false, false])
    }))

  test("a program lives on where it is pinned, and is opened there as what it is", () =>
    Effect.gen(function*() {
      const folder = yield* acquireBpfFs
      yield* Effect.scoped(Effect.gen(function*() {
        const program = yield* Program.load(filter([Asm.mov("r0", 7), Asm.exit()], "pinned"))
        yield* Program.pin(program, `${folder}/p`)
        expect(yield* Effect.flip(Program.pin(program, `${folder}/p`))).toMatchObject({
          code: "EEXIST",
          hint: "Something is pinned there already: unpin it first, or open it"
        })
      }))
      const opened = yield* Program.openPinned("socket_filter", `${folder}/p`)
      expect(opened).toMatchObject({ type: "socket_filter", name: "pinned" })
      expect((yield* Program.testRun(opened, packet)).returnValue).toBe(7)
      expect(yield* Effect.flip(Program.openPinned("xdp", `${folder}/p`))).toMatchObject({
        _tag: "InvalidArgument",
        field: "type",
        expected: "socket_filter"
      })
      expect(yield* Effect.flip(Program.openPinned("xdp", `${folder}/q`))).toMatchObject({ code: "ENOENT" })
    }))

  test("debug information that came with a program goes along in place of that made here", () =>
    Effect.gen(function*() {
      const source = Result.getOrThrow(Asm.assemble([Asm.mov("r0", 0), Asm.mov("r0", "r5"), Asm.exit()]))
      const debugInfo = debugInfoOf(source, "theirs")
      const instructions = source.instructions.map((instruction) => ({ ...instruction, source: undefined }))
      const spec = ProgramSpec.make({ type: "socket_filter", name: "theirs", instructions, debugInfo })
      const error = yield* Effect.flip(Program.load(spec))
      expect(error).toMatchObject({ _tag: "VerifierError", instruction: 1 })
      expect((error as { location?: string }).location).toMatch(/programs\.ts:\d+$/)
      const fine = [Asm.mov("r0", 0), Asm.mov("r0", 1), Asm.exit()]
      const info = yield* Program.info(yield* Program.load({ ...spec, instructions: fine }))
      const without = yield* Program.info(
        yield* Program.load(filter(fine.map((each) => ({ ...each, source: undefined }))))
      )
      const { kind } = yield* Kernel.Kernel
      if (kind === "linux") expect([info.sourceLines, without.sourceLines]).toEqual([3, 0])
    }))

  test("a program of a kernel that was released is refused, and says so", () =>
    Effect.gen(function*() {
      const { kind } = yield* Kernel.Kernel
      const layer = Layer.fresh(kind === "linux" ? Kernel.layer : SimulatedKernel.layer())
      const program = yield* Effect.provide(Program.load(filter([Asm.mov("r0", 0), Asm.exit()])), layer)
      const error = yield* Effect.flip(Program.testRun(program, packet))
      expect(error).toMatchObject({ code: "EBADF", hint: expect.stringContaining("Kernel layer") })
    }))

  test("a map that was not given is named", () =>
    Effect.gen(function*() {
      const spec = filter([Asm.ldMapFd("r1", "toString"), Asm.mov("r0", 0), Asm.exit()])
      expect(yield* Effect.flip(Program.load(spec))).toMatchObject({
        _tag: "InvalidArgument",
        field: "maps",
        expected: "a map named toString"
      })
    }))

  test("a program that cannot be assembled never reaches the kernel", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(Program.load(filter([Asm.ja("nowhere"), Asm.exit()])))
      expect(error._tag).toBe("AsmError")
      expect(error.message).toMatch(/nowhere/)
      expect(error.message).toMatch(/programs\.ts:\d+/)
    }))
}
