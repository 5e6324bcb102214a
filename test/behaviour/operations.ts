// What instructions do, one by one, on whatever kernel: those that it is too old for are rejected.
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { expect } from "vitest"
import {
  ArrayMap,
  Asm,
  BpfMap,
  HashMap,
  Kernel,
  Layout,
  Program,
  ProgramSpec,
  RingBuffer,
  RingBufferMap
} from "../../src/index.ts"
import * as Snippets from "../../src/isa/Snippets.ts"
import type { Test } from "../support/kernels.ts"

type Version = readonly [major: number, minor: number]
type Body = ReadonlyArray<Asm.Item>
type Case = readonly [text: string, since: Version, body: Body, result: number]

const always: Version = [4, 0]
const packet = { data: new Uint8Array(64).fill(7) }

const filter = (...instructions: Body) => ProgramSpec.make({ type: "socket_filter", name: "operation", instructions })

/** Stores 8 bytes on the stack, and lets r2 point to them. */
const cell = (value: bigint): Body => [
  Asm.lddw("r2", value),
  Asm.stdw("r10", -8, "r2"),
  Asm.mov("r2", "r10"),
  Asm.add("r2", -8)
]

const upper = Asm.rsh("r0", 32)

const arithmetic: ReadonlyArray<Case> = [
  ["movsx of 8 bits", [6, 6], [Asm.mov("r1", 0x180), Asm.movsx("r0", "r1", 8)], 0xffffff80],
  ["movsx fills all 64 bits", [6, 6], [Asm.mov("r1", 0x8000), Asm.movsx("r0", "r1", 16), upper], 0xffffffff],
  ["movsx of 32 bits", [6, 6], [Asm.mov32("r1", -2), Asm.movsx("r0", "r1", 32), upper], 0xffffffff],
  ["movsx32 clears the upper half", [6, 6], [Asm.mov("r1", 0x80), Asm.movsx32("r0", "r1", 8), upper], 0],
  ["sdiv rounds to zero", [6, 6], [Asm.mov("r0", -7), Asm.sdiv("r0", 2)], 0xfffffffd],
  ["sdiv by zero", [6, 6], [Asm.mov("r0", -7), Asm.mov("r1", 0), Asm.sdiv("r0", "r1")], 0],
  ["smod has the sign of the dividend", [6, 6], [Asm.mov("r0", -7), Asm.smod("r0", 4)], 0xfffffffd],
  ["sdiv32", [6, 6], [Asm.mov32("r0", -9), Asm.sdiv32("r0", -3)], 3],
  ["smod32 by zero", [6, 6], [Asm.mov32("r0", -9), Asm.mov("r1", 0), Asm.smod32("r0", "r1")], 0xfffffff7],
  ["be16", always, [Asm.mov("r0", 0x551234), Asm.be("r0", 16)], 0x3412],
  ["be32", always, [Asm.mov("r0", 0x11223344), Asm.be("r0", 32)], 0x44332211],
  ["be64", always, [Asm.lddw("r0", 0x1122334455667788n), Asm.be("r0", 64)], 0x44332211],
  ["le16 cuts off", always, [Asm.mov("r0", 0x551234), Asm.le("r0", 16)], 0x1234],
  ["bswap16", [6, 6], [Asm.mov("r0", 0x551234), Asm.bswap("r0", 16)], 0x3412],
  ["bswap64", [6, 6], [Asm.lddw("r0", 0x1122334455667788n), Asm.bswap("r0", 64), upper], 0x88776655]
]

const memory: ReadonlyArray<Case> = [
  ["ldxsb", [6, 6], [cell(0x80n), Asm.ldxsb("r0", "r2", 0), upper], 0xffffffff],
  ["ldxsh", [6, 6], [cell(0xfffen), Asm.ldxsh("r0", "r2", 0)], 0xfffffffe],
  ["ldxsw", [6, 6], [cell(0x80000000n), Asm.ldxsw("r0", "r2", 0), upper], 0xffffffff],
  ["load-acquire", [6, 15], [cell(0x1122334455667788n), Asm.loadAcquire16("r0", "r2", 2)], 0x5566],
  [
    "store-release",
    [6, 15],
    [cell(0n), Asm.mov("r1", 0x1234), Asm.storeRelease8("r2", 1, "r1"), Asm.ldxw("r0", "r2", 0)],
    0x3400
  ],
  ["ld_abs, from network byte order", always, [Asm.mov("r6", "r1"), Asm.ldabsh(20)], 0x0707],
  ["ld_ind", always, [Asm.mov("r6", "r1"), Asm.mov("r7", 3), Asm.ldindw("r7", 1)], 0x07070707]
]

/** The cell holds 12, r1 is 10; gives the cell, or what the operation left in a register. */
const atomic = (operation: Asm.Item, result: "cell" | "r1" | "r0"): Body => [
  cell(0xaaaaaaaa_0000000cn),
  Asm.mov("r1", 10),
  Asm.mov("r0", 12),
  operation,
  result === "cell" ? Asm.ldxdw("r0", "r2", 0) : Asm.mov("r0", result)
]

const atomics: ReadonlyArray<Case> = [
  ["add", always, atomic(Asm.atomicAdd("r2", 0, "r1"), "cell"), 22],
  [
    "add in 32 bits keeps the upper half",
    always,
    [...atomic(Asm.atomicAdd32("r2", 0, "r1"), "cell"), upper],
    0xaaaaaaaa
  ],
  ["or", [5, 12], atomic(Asm.atomicOr32("r2", 0, "r1"), "cell"), 14],
  ["and", [5, 12], atomic(Asm.atomicAnd("r2", 0, "r1"), "cell"), 8],
  ["xor", [5, 12], atomic(Asm.atomicXor32("r2", 0, "r1"), "cell"), 6],
  ["fetch add gives the old value", [5, 12], atomic(Asm.atomicFetchAdd32("r2", 0, "r1"), "r1"), 12],
  ["fetch or changes memory", [5, 12], atomic(Asm.atomicFetchOr("r2", 0, "r1"), "cell"), 14],
  ["fetch and", [5, 12], atomic(Asm.atomicFetchAnd32("r2", 0, "r1"), "cell"), 8],
  ["fetch xor", [5, 12], atomic(Asm.atomicFetchXor("r2", 0, "r1"), "cell"), 6],
  ["xchg gives the old value", [5, 12], atomic(Asm.atomicXchg32("r2", 0, "r1"), "r1"), 12],
  ["xchg puts the new one", [5, 12], atomic(Asm.atomicXchg("r2", 0, "r1"), "cell"), 10],
  ["cmpxchg puts the new value where r0 is the old", [5, 12], atomic(Asm.atomicCmpxchg32("r2", 0, "r1"), "cell"), 10],
  ["cmpxchg leaves memory where it is not", [5, 12], atomic(Asm.atomicCmpxchg("r2", 0, "r1"), "cell"), 12]
]

const control: ReadonlyArray<Case> = [
  // Over an instruction: a kernel that does not know it takes one of offset 0 for a jump to the next.
  [
    "gotol",
    [6, 6],
    [
      Asm.mov("r0", 1),
      Asm.jeq("r0", 0, "b"),
      Asm.gotol("a"),
      Asm.label("b"),
      Asm.add("r0", 5),
      Asm.label("a"),
      Asm.add("r0", 1)
    ],
    2
  ],
  [
    "may_goto lets a loop run",
    [6, 9],
    [
      Asm.mov("r0", 0),
      Asm.label("loop"),
      Asm.mayGoto("out"),
      Asm.add("r0", 1),
      Asm.jlt("r0", 50, "loop"),
      Asm.label("out"),
      Asm.add("r0", 1)
    ],
    51
  ],
  [
    "a call of a function of the program, with a stack of its own",
    always,
    [
      Asm.mov("r1", 20),
      Asm.stdw("r10", -8, 1),
      Asm.callLocal("double"),
      Asm.ldxdw("r1", "r10", -8),
      Asm.add("r0", "r1"),
      Asm.func("double", [
        Asm.stdw("r10", -8, "r1"),
        Asm.ldxdw("r0", "r10", -8),
        Asm.add("r0", "r0"),
        Asm.exit()
      ])
    ],
    41
  ],
  [
    "a call of a global function",
    [5, 6],
    [
      Asm.mov("r1", 6),
      Asm.mov("r2", 7),
      Asm.callLocal("times"),
      Asm.func("times", [Asm.mov("r0", "r1"), Asm.mul("r0", "r2"), Asm.exit()], { global: true, parameters: 2 })
    ],
    42
  ],
  [
    "a function that a helper calls back",
    [5, 17],
    [
      Asm.stdw("r10", -8, 0),
      Asm.mov("r1", 10),
      Asm.ldFunc("r2", "body"),
      Asm.mov("r3", "r10"),
      Asm.add("r3", -8),
      Asm.mov("r4", 0),
      Asm.call("loop"),
      Asm.ldxdw("r0", "r10", -8),
      Asm.func("body", [
        Asm.ldxdw("r3", "r2", 0),
        Asm.add("r3", "r1"),
        Asm.stdw("r2", 0, "r3"),
        Asm.mov("r0", 0),
        Asm.exit()
      ])
    ],
    45
  ]
]

/** Every kernel runs it, or is too old for it and rejects it. */
const holds = (cases: ReadonlyArray<Case>) =>
  Effect.gen(function*() {
    const { version } = yield* Kernel.Kernel
    for (const [text, since, body, expected] of cases) {
      const isNew = version.major > since[0] || (version.major === since[0] && version.minor >= since[1])
      const outcome = yield* Effect.gen(function*() {
        const program = yield* Program.load(filter(body, Asm.exit()))
        return (yield* Program.testRun(program, packet)).returnValue
      }).pipe(
        Effect.scoped,
        Effect.catchTag("VerifierError", (error) => Effect.succeed(isNew ? error.message : "rejected")),
        Effect.catchTag("SystemCallError", (error) => Effect.succeed(isNew ? error.message : "rejected"))
      )
      // Stable series take over an instruction now and then: then it must do what it does elsewhere.
      expect(isNew ? [expected] : [expected, "rejected"], `${text}, on ${version.release}`).toContain(outcome)
    }
  })

const Pair = Layout.struct({ left: Layout.u16be, right: Layout.i32 })

export const operations = (test: Test): void => {
  test("signed arithmetic and byte swaps are as RFC 9669 says", () => holds(arithmetic))
  test("loads extend signs, order memory and read packets", () => holds(memory))
  test("atomic operations change memory and give the old value", () => holds(atomics))
  test("programs have long jumps, functions and callbacks", () => holds(control))

  test("global data is reached without a look-up, and maps by their handles", () =>
    Effect.gen(function*() {
      const data = yield* ArrayMap.make({
        name: "data",
        value: Layout.struct({ a: Layout.u64, b: Layout.u64 }),
        maxEntries: 1
      })
      yield* data.update(0, { a: 5n, b: 37n })
      const program = yield* Program.load(filter(
        Asm.ldMapValue("r1", data, 8),
        Asm.ldxdw("r0", "r1", 0),
        Asm.ldMapValue("r1", data),
        Asm.ldxdw("r2", "r1", 0),
        Asm.add("r0", "r2"),
        Asm.stdw("r1", 0, "r0"),
        Asm.exit()
      ))
      expect((yield* Program.testRun(program, packet)).returnValue).toBe(42)
      expect(yield* data.lookup(0)).toEqual({ a: 42n, b: 37n })
    }))

  test("a handle whose map has closed is refused by name", () =>
    Effect.gen(function*() {
      const stale = yield* Effect.scoped(HashMap.make({
        name: "stale",
        key: Layout.u32,
        value: Layout.u32,
        maxEntries: 1
      }))
      const error = yield* Effect.flip(
        Program.load(filter(Asm.ldMapFd("r1", stale), Asm.mov("r0", 0), Asm.exit()))
      )
      expect(error).toMatchObject({ _tag: "InvalidArgument", field: "maps.stale", actual: "a closed one" })
    }))

  test("snippets keep structs on the stack and in maps, field by field", () =>
    Effect.gen(function*() {
      const pairs = yield* HashMap.make({ name: "pairs", key: Layout.u32, value: Pair, maxEntries: 4 })
      const { key, pair } = Snippets.stack({ key: Layout.u32, pair: Pair })
      const program = yield* Program.load(filter(
        Asm.mov("r6", 0x1234),
        Snippets.store(key, 9),
        Snippets.storeStruct(pair, { left: "r6", right: -2 }),
        Snippets.mapUpdate(pairs, key, pair),
        Snippets.mapLookup(pairs, key, "none"),
        Asm.mov("r6", "r0"),
        Snippets.readField("r7", "r6", Pair, "left"),
        Snippets.writeField("r6", Pair, "left", 0x0102),
        Snippets.readField("r8", "r6", Pair, "right"),
        Asm.add("r7", "r8"),
        Snippets.store(key, 1),
        Snippets.mapLookup(pairs, key, "absent"),
        Asm.mov("r7", 0),
        Asm.label("absent"),
        Asm.mov("r0", "r7"),
        Asm.exit(),
        Asm.label("none"),
        Asm.mov("r0", 0),
        Asm.exit()
      ))
      expect((yield* Program.testRun(program, packet)).returnValue).toBe(0x1232)
      expect(yield* pairs.lookup(9)).toMatchObject({ value: { left: 0x0102, right: -2 } })
    }))

  test("snippets check the bounds of packets, short and long", () =>
    Effect.gen(function*() {
      for (const [type, context] of [["xdp", "xdp"], ["sched_cls", "skb"]] as const) {
        const program = yield* Program.load(ProgramSpec.make({
          type,
          name: "bounds",
          instructions: [
            Snippets.packet({ context, from: "r1", data: "r1", end: "r3", length: 20, otherwise: "short" }),
            Asm.ldxb("r0", "r1", 19),
            Asm.exit(),
            Asm.label("short"),
            Asm.mov("r0", 1),
            Asm.exit()
          ]
        }))
        expect((yield* Program.testRun(program, packet)).returnValue).toBe(7)
        expect((yield* Program.testRun(program, { data: new Uint8Array(17) })).returnValue).toBe(1)
      }
    }))

  test("snippets send records to a ring buffer, reserved and copied", () =>
    Effect.gen(function*() {
      const events = yield* RingBufferMap.make({ name: "events", record: Pair, maxEntries: 4096 })
      const { pair } = Snippets.stack({ pair: Pair })
      const program = yield* Program.load(filter(
        Snippets.ringbufReserve(events, Pair, "full"),
        Asm.mov("r6", "r0"),
        Snippets.writeField("r6", Pair, "left", 1),
        Snippets.writeField("r6", Pair, "right", -1),
        Snippets.ringbufSubmit("r6"),
        Snippets.ringbufReserve(events, Pair, "full"),
        Snippets.ringbufDiscard("r0"),
        Snippets.storeStruct(pair, { left: 2, right: -2 }),
        Snippets.ringbufOutput(events, pair),
        Asm.exit(),
        Asm.label("full"),
        Asm.mov("r0", 9),
        Asm.exit()
      ))
      expect((yield* Program.testRun(program, packet)).returnValue).toBe(0)
      const records = yield* RingBuffer.stream(events).pipe(Stream.take(2), Stream.runCollect)
      expect(records).toEqual([{ left: 1, right: -1 }, { left: 2, right: -2 }])
    }))

  test("a tail call of a program that is not there goes on in the first", () =>
    Effect.gen(function*() {
      const programs = yield* BpfMap.make({
        type: "prog_array",
        name: "programs",
        keySize: 4,
        valueSize: 4,
        maxEntries: 2,
        flags: 0
      })
      const program = yield* Program.load(filter(
        Asm.mov("r6", "r1"),
        Snippets.tailCall("r6", programs, 1),
        Asm.mov("r0", 5),
        Asm.exit()
      ))
      expect((yield* Program.testRun(program, packet)).returnValue).toBe(5)
    }))
}
