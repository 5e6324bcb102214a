// Test runs: what goes in and what comes out, by type of program, and how large it may be.
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import { expect } from "vitest"
import {
  Asm,
  Features,
  Kernel,
  Layout,
  Program,
  ProgramContext,
  type ProgramKind,
  ProgramSpec
} from "../../src/index.ts"
import type { Test } from "../support/kernels.ts"

const load = <const T extends ProgramKind.ProgramType>(
  type: T,
  instructions: ReadonlyArray<Asm.Item>,
  flags: ReadonlyArray<ProgramSpec.Flag> = []
) => Program.load(ProgramSpec.makeDynamic({ type, name: "run", instructions, flags }))

const returning = (value: number): ReadonlyArray<Asm.Item> => [Asm.mov("r0", value), Asm.exit()]

const encode = <A>(layout: Layout.Layout<A>, fields: Partial<A>): Uint8Array => {
  const zeros = Result.getOrThrow(Layout.decode(layout, new Uint8Array(layout.size)))
  return Result.getOrThrow(Layout.encode(layout, { ...zeros, ...fields }))
}
const decode = <A>(layout: Layout.Layout<A>, bytes: Uint8Array): A => {
  const whole = new Uint8Array(layout.size)
  whole.set(bytes.subarray(0, layout.size))
  return Result.getOrThrow(Layout.decode(layout, whole))
}

const newer = (major: number, minor: number) =>
  Effect.map(
    Kernel.Kernel,
    ({ version }) => version.major > major || (version.major === major && version.minor >= minor)
  )

export const testRuns = (test: Test): void => {
  test("a packet that grows by kilobytes comes out whole, after one run", () =>
    Effect.gen(function*() {
      const grow = yield* load("sched_cls", [
        Asm.mov("r6", "r1"),
        Asm.mov("r2", 15_000),
        Asm.mov("r3", 0),
        Asm.call("skb_change_tail"),
        Asm.exit()
      ])
      const data = Uint8Array.from({ length: 100 }, (_, i) => i)
      data[12] = 0
      const result = yield* Program.testRun(grow, { data })
      expect(result.returnValue).toBe(0)
      expect(result.data.length).toBe(15_000)
      expect(result.data.subarray(0, 100)).toEqual(data)
      const growXdp = yield* load("xdp", [Asm.mov("r2", 2048), Asm.call("xdp_adjust_tail"), Asm.exit()])
      const grown = yield* Program.testRun(growXdp, { data })
      expect([grown.returnValue, grown.data.length]).toEqual([0, 2148])
    }))

  test("an skb's context goes in and comes out", () =>
    Effect.gen(function*() {
      const layout = ProgramContext.__sk_buff
      const { mark, priority } = ProgramContext.fields.__sk_buff
      const program = yield* load("sched_cls", [
        Asm.ldxw("r2", "r1", mark.offset),
        Asm.add("r2", 1),
        Asm.stw("r1", mark.offset, "r2"),
        Asm.ldxw("r0", "r1", priority.offset),
        Asm.exit()
      ])
      const context = encode(layout, { mark: 41, priority: 7 })
      const result = yield* Program.testRun(program, { data: new Uint8Array(64), context })
      expect(result.returnValue).toBe(7)
      expect(decode(layout, result.context)).toMatchObject({ mark: 42, priority: 7 })
      expect((yield* Program.testRun(program, { data: new Uint8Array(64) })).context.length).toBe(0)
      const wrong = yield* Effect.flip(
        Program.testRun(program, { data: new Uint8Array(64), context: encode(layout, { len: 5 }) })
      )
      expect(wrong).toMatchObject({ code: "EINVAL", hint: expect.stringContaining("only some fields may be set") })
    }))

  test("an XDP packet's metadata goes in by its context", () =>
    Effect.gen(function*() {
      if (!(yield* newer(5, 15))) return
      const layout = ProgramContext.xdp_md
      const { data, data_meta } = ProgramContext.fields.xdp_md
      const program = yield* load("xdp", [
        Asm.ldxw("r2", "r1", data_meta.offset),
        Asm.ldxw("r3", "r1", data.offset),
        Asm.mov("r0", "r3"),
        Asm.sub("r0", "r2"),
        Asm.exit()
      ])
      const context = encode(layout, { data: 8, data_end: 72, ingress_ifindex: 1 })
      const result = yield* Effect.result(Program.testRun(program, { data: new Uint8Array(72), context }))
      // Pointers of packets may be subtracted by the privileged only, and not on all kernels.
      if (Result.isFailure(result)) return expect(result.failure._tag).toBe("SystemCallError")
      expect(result.success.returnValue).toBe(8)
      expect(decode(layout, result.success.context)).toMatchObject({ data: 8, data_end: 72 })
    }))

  test("packets may be as large, and as small, as the kernel says", () =>
    Effect.gen(function*() {
      const sizes = (program: Program.Program<"sched_cls" | "xdp">, type: number, lengths: ReadonlyArray<number>) =>
        Effect.forEach(lengths, (length) => {
          const data = new Uint8Array(length)
          if (length >= 14) data.set([type >> 8, type & 0xff], 12)
          return Program.testRun(program, { data }).pipe(
            Effect.map((result) => result.data.length),
            Effect.catchTag("SystemCallError", (error) => Effect.succeed(error.code))
          )
        })
      const skb = yield* load("sched_cls", returning(0))
      expect(yield* sizes(skb, 0, [13, 14, 3500])).toEqual(["EINVAL", 14, 3500])
      if (yield* newer(6, 18)) {
        expect(yield* sizes(skb, 0x0800, [33, 34])).toEqual(["EINVAL", 34])
        expect(yield* sizes(skb, 0x86dd, [53, 54])).toEqual(["EINVAL", 54])
      }
      // From 7.0 on they may come in several pieces, and be larger.
      if (!(yield* newer(7, 0))) {
        const error = yield* Effect.flip(Program.testRun(skb, { data: new Uint8Array(5000) }))
        expect(error).toMatchObject({ code: "EINVAL", hint: expect.stringContaining("14 to some 3712 bytes") })
      }
      const xdp = yield* load("xdp", returning(2), (yield* newer(5, 18)) ? ["xdp_has_frags"] : [])
      expect(yield* sizes(xdp, 0, [14, 3400])).toEqual([14, 3400])
      // Older kernels compare the least size with the room that there is, and not with the packet.
      if (yield* newer(6, 18)) {
        expect(yield* sizes(xdp, 0, [13])).toEqual(["EINVAL"])
        expect(yield* sizes(xdp, 0, [9000, 70_000, 73_152, 73_153])).toEqual([9000, 70_000, 73_152, "ENOMEM"])
      }
    }))

  test("an XDP program reaches the further pieces of a packet by helpers", () =>
    Effect.gen(function*() {
      if (!(yield* newer(6, 18))) return
      const program = yield* load("xdp", [
        Asm.mov("r6", "r1"),
        Asm.mov("r2", 8_999),
        Asm.mov("r3", "r10"),
        Asm.add("r3", -8),
        Asm.mov("r4", 1),
        Asm.stdw("r10", -8, 0),
        Asm.call("xdp_load_bytes"),
        Asm.jne("r0", 0, "out"),
        Asm.mov("r1", "r6"),
        Asm.call("xdp_get_buff_len"),
        Asm.ldxb("r1", "r10", -8),
        Asm.add("r0", "r1"),
        Asm.label("out"),
        Asm.exit()
      ], ["xdp_has_frags"])
      const data = new Uint8Array(9000).fill(3)
      const result = yield* Program.testRun(program, { data })
      expect(result.returnValue).toBe(9003)
      expect(result.data).toEqual(data)
    }))

  test("a flow dissector's keys come out", () =>
    Effect.gen(function*() {
      const { flow_keys } = ProgramContext.fields.__sk_buff
      const layout = ProgramContext.bpf_flow_keys
      const program = yield* load("flow_dissector", [
        Asm.ldxdw("r2", "r1", flow_keys.offset),
        Asm.sth("r2", Layout.field(layout, "thoff")!.offset, 34),
        Asm.stb("r2", Layout.field(layout, "ip_proto")!.offset, 17),
        ...returning(0)
      ])
      const data = new Uint8Array(64)
      data[12] = 8
      const keys = decode(layout, (yield* Program.testRun(program, { data })).data)
      expect(keys).toMatchObject({ nhoff: 14, thoff: 34, n_proto: 0x0800, ip_proto: 17 })
    }))

  test("an sk_lookup program sees the addresses that it is given", () =>
    Effect.gen(function*() {
      if (!(yield* newer(5, 13))) return
      const layout = ProgramContext.bpf_sk_lookup
      const { local_port } = ProgramContext.fields.bpf_sk_lookup
      const program = yield* load("sk_lookup", [
        Asm.ldxw("r1", "r1", local_port.offset),
        Asm.mov("r0", 0),
        Asm.jne("r1", 5353, "out"),
        Asm.mov("r0", 1),
        Asm.label("out"),
        Asm.exit()
      ])
      const run = (port: number) => {
        const context = encode(layout, { family: 2, protocol: 17, local_port: port } as never)
        return Program.testRun(program, { context })
      }
      expect((yield* run(5353)).returnValue).toBe(1)
      expect((yield* run(53)).returnValue).toBe(0)
      expect((yield* run(53)).context.length).toBeGreaterThan(60)
    }))

  test("a syscall program's context is changed in place", () =>
    Effect.gen(function*() {
      const program = yield* load("syscall", [
        Asm.ldxw("r2", "r1", 0),
        Asm.mul("r2", 3),
        Asm.stw("r1", 4, "r2"),
        ...returning(9)
      ])
      const context = Uint8Array.of(7, 0, 0, 0, 0, 0, 0, 0)
      const result = yield* Program.testRun(program, { context, repeat: 1 })
      expect(result.returnValue).toBe(9)
      expect([...result.context]).toEqual([7, 0, 0, 0, 21, 0, 0, 0])
      expect([...context]).toEqual([7, 0, 0, 0, 0, 0, 0, 0])
    }), { needs: "syscallProgram" })

  test("a raw tracepoint is given arguments, on a CPU of choice", () =>
    Effect.gen(function*() {
      const program = yield* load("raw_tracepoint", [Asm.ldxdw("r0", "r1", 8), Asm.exit()])
      const context = new Uint8Array(BigUint64Array.of(5n, 6n).buffer)
      const result = yield* Program.testRun(program, { context, cpu: 0 })
      expect([result.returnValue, result.context.length]).toEqual([6, 0])
    }), { needs: "rawTracepointTestRun" })

  test("what a type of program cannot be given, or misses, is told before the kernel is asked", () =>
    Effect.gen(function*() {
      const skb = yield* load("socket_filter", returning(1))
      const { version } = yield* Kernel.Kernel
      const refused = (program: Program.Program<ProgramKind.TestRunnable>, input: Program.TestRunInput) =>
        Effect.flip(Program.testRun(program, input))
      const data = new Uint8Array(64)
      expect(yield* refused(skb, {})).toMatchObject({ _tag: "InvalidArgument", field: "data", actual: "none" })
      expect(yield* refused(skb, { data, cpu: 0 })).toMatchObject({ field: "cpu" })
      expect(yield* refused(skb, { data, repeat: 0 })).toMatchObject({ field: "repeat" })
      if (!Features.isExpected(version, "rawTracepointTestRun")) return
      const raw = yield* load("raw_tracepoint", returning(0))
      expect(yield* refused(raw, { data })).toMatchObject({
        field: "data",
        expected: "none for a raw_tracepoint program"
      })
      expect(yield* refused(raw, { repeat: 2 })).toMatchObject({ field: "repeat" })
    }))
}
