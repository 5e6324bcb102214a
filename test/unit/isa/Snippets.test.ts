import { describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import { expect } from "vitest"
import * as Asm from "../../../src/isa/Asm.ts"
import * as Instruction from "../../../src/isa/Instruction.ts"
import * as Snippets from "../../../src/isa/Snippets.ts"
import * as Layout from "../../../src/layout/Layout.ts"

const assemble = (...items: ReadonlyArray<Asm.Item>) => Result.getOrThrow(Asm.assemble([...items, Asm.exit()]))
const bytes = (...items: ReadonlyArray<Asm.Item>) => assemble(...items).bytes
const failure = (...items: ReadonlyArray<Asm.Item>) =>
  Result.getOrThrow(Result.flip(Asm.assemble([...items, Asm.exit()])))

/** What a snippet makes is what one would write by hand. */
const same = (snippet: Asm.Item, ...byHand: ReadonlyArray<Asm.Item>) =>
  expect(bytes(snippet, Asm.label("no"))).toEqual(bytes(...byHand, Asm.label("no")))

const Inner = Layout.struct({ port: Layout.u16be, kind: Layout.i8 })
const Record = Layout.struct({
  id: Layout.u32,
  inner: Inner,
  count: Layout.i32,
  flags: Layout.bits(Layout.u32, 3),
  level: Layout.bits(Layout.i32, 7),
  comm: Layout.cstring(16),
  time: Layout.u64,
  on: Layout.bool,
  mode: Layout.enumeration({ off: 0, on: 1 }, Layout.u16)
})

describe("places on the stack", () => {
  it("begin at the top, each aligned to 8, and do not overlap", () => {
    const { a, b, c } = Snippets.stack({ a: Layout.u8, b: Layout.bytes(9), c: Layout.u64 })
    expect([a, b, c].map(({ offset, size }) => [offset, size])).toEqual([[-8, 1], [-24, 9], [-32, 8]])
    const { d } = Snippets.stack({ d: Layout.u32 }, { below: c.offset })
    expect(d.offset).toBe(-40)
  })

  it("have addresses, and are zeroed with their padding", () => {
    const { slot } = Snippets.stack({ slot: Layout.bytes(12) })
    same(Snippets.addressOf("r2", slot), Asm.mov("r2", "r10"), Asm.add("r2", -16))
    same(Snippets.zero(slot), Asm.stdw("r10", -16, 0), Asm.stdw("r10", -8, 0))
  })

  it("hold scalars and structs", () => {
    const { key, record } = Snippets.stack({ key: Layout.u32, record: Record })
    same(Snippets.store(key, 7), Asm.stdw("r10", -8, 0), Asm.stw("r10", -8, 7))
    same(Snippets.store(key, "r6"), Asm.stdw("r10", -8, 0), Asm.stw("r10", -8, "r6"))
    same(Snippets.load("r1", key), Asm.ldxw("r1", "r10", -8))
    same(
      Snippets.storeStruct(record, { id: 1, "inner.port": "r7", time: 5n }),
      Snippets.zero(record),
      Asm.stw("r10", record.offset, 1),
      Asm.mov("r0", "r7"),
      Asm.be("r0", 16),
      Asm.sth("r10", record.offset + 4, "r0"),
      Asm.stdw("r10", record.offset + 32, 5)
    )
  })

  it("are no more than the stack", () => {
    const { big, small } = Snippets.stack({ big: Layout.bytes(512), small: Layout.u8 })
    expect(assemble(Snippets.zero(big)).instructions.length).toBe(65)
    for (const item of [Snippets.zero(small), Snippets.addressOf("r1", small), Snippets.load("r1", small)]) {
      expect(failure(item)).toMatchObject({ expected: "at most 512 bytes of stack", actual: "520 bytes" })
    }
  })
})

describe("fields of a layout", () => {
  it("are loaded in their size, sign and byte order", () => {
    same(Snippets.readField("r1", "r6", Record, "id"), Asm.ldxw("r1", "r6", 0))
    same(Snippets.readField("r1", "r6", Record, "inner.port"), Asm.ldxh("r1", "r6", 4), Asm.be("r1", 16))
    same(
      Snippets.readField("r1", "r6", Record, "inner.kind"),
      Asm.ldxb("r1", "r6", 6),
      Asm.lsh("r1", 56),
      Asm.arsh("r1", 56)
    )
    same(
      Snippets.readField("r1", "r6", Record, "count"),
      Asm.ldxw("r1", "r6", 8),
      Asm.lsh("r1", 32),
      Asm.arsh("r1", 32)
    )
    same(
      Snippets.readField("r1", "r6", Record, "flags"),
      Asm.ldxw("r1", "r6", 12),
      Asm.lsh("r1", 61),
      Asm.rsh("r1", 61)
    )
    same(
      Snippets.readField("r1", "r6", Record, "level"),
      Asm.ldxw("r1", "r6", 12),
      Asm.lsh("r1", 54),
      Asm.arsh("r1", 57)
    )
    same(Snippets.readField("r1", "r6", Record, "on"), Asm.ldxb("r1", "r6", 40))
    same(Snippets.readField("r1", "r6", Record, "mode"), Asm.ldxh("r1", "r6", 42))
  })

  it("are stored from registers and numbers, in their byte order", () => {
    same(Snippets.writeField("r6", Record, "inner.port", 0x1234), Asm.sth("r6", 4, 0x3412))
    same(Snippets.writeField("r6", Record, "inner.kind", -1), Asm.stb("r6", 6, 255))
    same(Snippets.writeField("r6", Record, "count", "r1"), Asm.stw("r6", 8, "r1"))
    same(Snippets.writeField("r6", Record, "id", 0xffffffff), Asm.stw("r6", 0, -1))
    same(Snippets.writeField("r6", Record, "time", 2n ** 64n - 1n), Asm.stdw("r6", 32, -1))
  })

  it("that are none, or no integers, or too small for the number, are mistakes", () => {
    const cases: ReadonlyArray<readonly [Asm.Item, string]> = [
      [Snippets.readField("r1", "r6", Record, "nope"), "no field nope"],
      [Snippets.readField("r1", "r6", Record, "inner"), "a Struct"],
      [Snippets.readField("r1", "r6", Record, "comm"), "a CString"],
      [Snippets.readField("r1", "r6", Record, "id.x"), "no field x"],
      [Snippets.writeField("r6", Record, "flags", 1), "a bit-field"],
      [Snippets.writeField("r6", Record, "id", 2 ** 32), "4294967296"],
      [Snippets.writeField("r6", Record, "inner.kind", 256), "256"],
      [Snippets.writeField("r6", Record, "id", 0.5), "0.5"],
      [Snippets.writeField("r6", Record, "time", 2n ** 40n), "1099511627776n"],
      [Snippets.writeField("r6", Record, "id", -1), "-1"],
      [Snippets.writeField("r6", Record, "on", 2), "2"],
      [Snippets.writeField("r6", Record, "id", undefined as never), "undefined"],
      [Snippets.writeField("r6", Record, "id", "r11" as never), "\"r11\""],
      [Snippets.readField("r1", "r6", undefined as never, "id"), "undefined in place of a layout"],
      [Snippets.readField("r1", "r6", Record, 7 as never), "7 in place of a path"]
    ]
    for (const [item, actual] of cases) expect(failure(item).actual).toBe(actual)
  })

  it("that are mistaken are reported with the line of the call", () => {
    const at = Number(/:(\d+):\d+\)?$/.exec(new Error("here").stack!.split("\n")[1]!)![1]) + 1
    const item = Snippets.readField("r1", "r6", Record, "nope")
    expect(failure(item).location).toMatch(new RegExp(`Snippets\\.test\\.ts:${at}$`))
  })
})

describe("sequences that call helpers", () => {
  const { key, value } = Snippets.stack({ key: Layout.u32, value: Layout.u64 })

  it("pass maps, keys and values", () => {
    same(
      Snippets.mapLookup("m", key, "no"),
      Asm.ldMapFd("r1", "m"),
      Asm.mov("r2", "r10"),
      Asm.add("r2", -8),
      Asm.call("map_lookup_elem"),
      Asm.jeq("r0", 0, "no")
    )
    same(
      Snippets.mapUpdate("m", key, value, 1),
      Asm.ldMapFd("r1", "m"),
      Snippets.addressOf("r2", key),
      Snippets.addressOf("r3", value),
      Asm.mov("r4", 1),
      Asm.call("map_update_elem")
    )
    same(
      Snippets.mapDelete("m", key),
      Asm.ldMapFd("r1", "m"),
      Snippets.addressOf("r2", key),
      Asm.call("map_delete_elem")
    )
  })

  it("hand out events", () => {
    same(
      Snippets.ringbufReserve("m", Record, "no"),
      Asm.ldMapFd("r1", "m"),
      Asm.mov("r2", Record.size),
      Asm.mov("r3", 0),
      Asm.call("ringbuf_reserve"),
      Asm.jeq("r0", 0, "no")
    )
    same(Snippets.ringbufSubmit("r6", 2), Asm.mov("r1", "r6"), Asm.mov("r2", 2), Asm.call("ringbuf_submit"))
    same(Snippets.ringbufDiscard("r6"), Asm.mov("r1", "r6"), Asm.mov("r2", 0), Asm.call("ringbuf_discard"))
    same(
      Snippets.ringbufOutput("m", value),
      Asm.ldMapFd("r1", "m"),
      Snippets.addressOf("r2", value),
      Asm.mov("r3", 8),
      Asm.mov("r4", 0),
      Asm.call("ringbuf_output")
    )
    same(
      Snippets.countLost("m", 8),
      Asm.ldMapValue("r1", "m", 8),
      Asm.mov("r2", 1),
      Asm.atomicAdd("r1", 0, "r2")
    )
    same(
      Snippets.perfOutput("r6", "m", value),
      Asm.mov("r1", "r6"),
      Asm.ldMapFd("r2", "m"),
      Asm.mov32("r3", -1),
      Snippets.addressOf("r4", value),
      Asm.mov("r5", 8),
      Asm.call("perf_event_output")
    )
  })

  it("read memory of others, from whichever register", () => {
    const helpers = [
      [Snippets.probeReadKernel, "probe_read_kernel"],
      [Snippets.probeReadUser, "probe_read_user"],
      [Snippets.probeReadKernelString, "probe_read_kernel_str"],
      [Snippets.probeReadUserString, "probe_read_user_str"]
    ] as const
    for (const [snippet, helper] of helpers) {
      same(
        snippet(value, "r1"),
        Asm.mov("r3", "r1"),
        Snippets.addressOf("r1", value),
        Asm.mov("r2", 8),
        Asm.call(helper)
      )
    }
  })

  it("call the next program with the context and the index, whichever registers they are in", () => {
    const registers = ["r0", "r1", "r2", "r3", "r6"] as const
    for (const context of registers) {
      for (const index of registers) {
        if (context === index) continue
        const { instructions } = assemble(Snippets.tailCall(context, "m", index))
        // Follow the moves before the map is loaded.
        const held = new Map<number, string>(registers.map((name) => [Number(name.slice(1)), name]))
        for (const move of instructions.slice(0, instructions.findIndex(Instruction.isWide))) {
          held.set(move.dst, held.get(move.src)!)
        }
        expect([held.get(1), held.get(3)], `${context} ${index}`).toEqual([context, index])
      }
    }
    same(
      Snippets.tailCall("r6", "m", 4),
      Asm.mov("r1", "r6"),
      Asm.mov("r3", 4),
      Asm.ldMapFd("r2", "m"),
      Asm.call("tail_call")
    )
  })

  it("check packets before they are read, and load the context's register last", () => {
    const options = { context: "xdp", from: "r1", length: 14, otherwise: "no" } as const
    same(
      Snippets.packet({ ...options, data: "r2", end: "r3" }),
      Asm.ldxw("r2", "r1", 0),
      Asm.ldxw("r3", "r1", 4),
      Asm.mov("r0", "r2"),
      Asm.add("r0", 14),
      Asm.jgt("r0", "r3", "no")
    )
    const overlapping = assemble(Snippets.packet({ ...options, data: "r1", end: "r3" }), Asm.label("no"))
    expect(overlapping.instructions.slice(0, 2).map(({ dst, offset }) => [dst, offset])).toEqual([[3, 4], [1, 0]])
    const skb = assemble(Snippets.packet({ ...options, context: "skb", data: "r2", end: "r1" }), Asm.label("no"))
    expect(skb.instructions.slice(0, 2).map(({ dst, offset }) => [dst, offset])).toEqual([[2, 76], [1, 80]])
    expect(failure(Snippets.packet({ ...options, data: "r2", end: "r2" })).expected).toBe("two registers beside r0")
  })
})
