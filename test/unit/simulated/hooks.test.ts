import { describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as TestClock from "effect/testing/TestClock"
import { expect } from "vitest"
import { bpf_attach_type, bpf_cmd } from "../../../src/abi/generated/enums.ts"
import { bpf_attr_link_create, bpf_attr_query, bpf_attr_raw_tracepoint } from "../../../src/abi/generated/structs.ts"
import type { ProgramType } from "../../../src/abi/names.ts"
import { attachFlags } from "../../../src/abi/os.ts"
import { ArrayMap, Asm, HashMap, Kernel, Layout, Program, ProgramSpec } from "../../../src/index.ts"
import * as SimulatedKernel from "../../../src/simulated/SimulatedKernel.ts"
import { type FieldValue, fill } from "../../../src/kernel/attribute.ts"
import { acquireBlock, acquireFd } from "../../../src/kernel/systemCall.ts"

const load = (
  type: ProgramType,
  instructions: ReadonlyArray<Asm.Item>,
  maps: Record<string, { readonly fd: number }> = {}
) => Program.load(ProgramSpec.make({ type, name: "hooked", instructions }), { maps })

/** BPF_LINK_CREATE through the door, as attach modules do it. */
const link = (values: { readonly [K in keyof typeof bpf_attr_link_create.fields]?: FieldValue }) =>
  Effect.gen(function*() {
    const kernel = yield* Kernel.Kernel
    const attr = yield* acquireBlock(kernel, bpf_attr_link_create.size)
    const size = fill(attr, bpf_attr_link_create, values)
    return yield* acquireFd(
      kernel,
      { call: "bpf", command: "BPF_LINK_CREATE" },
      () => kernel.bpf.call(bpf_cmd.BPF_LINK_CREATE, attr, size)
    )
  })

/** The ids of what is attached, by BPF_PROG_QUERY. */
const query = (values: { readonly [K in keyof typeof bpf_attr_query.fields]?: FieldValue }) =>
  Effect.gen(function*() {
    const kernel = yield* Kernel.Kernel
    const attr = yield* acquireBlock(kernel, bpf_attr_query.size)
    const ids = yield* acquireBlock(kernel, 64)
    const size = fill(attr, bpf_attr_query, { ...values, prog_ids: ids, count: 16 })
    expect(kernel.bpf.call(bpf_cmd.BPF_PROG_QUERY, attr, size)).toBe(0)
    return [...ids.u32.subarray(0, attr.view.getUint32(bpf_attr_query.fields.count.offset, true))]
  })

const test = (
  name: string,
  body: () => Effect.Effect<void, unknown, Kernel.Kernel | SimulatedKernel.SimulatedKernel | Scope.Scope>,
  options?: SimulatedKernel.Options
) => it.effect(name, () => body().pipe(Effect.scoped, Effect.provide(SimulatedKernel.layer(options))))

const packet = Uint8Array.from({ length: 64 }, (_, i) => i)
const ipv4 = Uint8Array.of(0x45, ...new Array(19).fill(0))

describe("hooks of the simulated kernel", () => {
  test(
    "an XDP program at a device decides about a packet, and may change it; detached, it sees none",
    () =>
      Effect.gen(function*() {
        const kernel = yield* SimulatedKernel.SimulatedKernel
        const ifindex = yield* kernel.deviceIndex("eth0")
        const program = yield* load("xdp", [
          Asm.ldxw("r2", "r1", 0),
          Asm.ldxw("r3", "r1", 4),
          Asm.mov("r4", "r2"),
          Asm.add("r4", 14),
          Asm.jgt("r4", "r3", "pass"),
          Asm.stb("r2", 0, 0xaa),
          Asm.mov("r0", 1),
          Asm.exit(),
          Asm.label("pass"),
          Asm.mov("r0", 2),
          Asm.exit()
        ])
        const event = { hook: "xdp", device: "eth0", packet } as const
        yield* Effect.scoped(Effect.gen(function*() {
          yield* link({ prog_fd: program.fd, target_ifindex: ifindex, attach_type: bpf_attach_type.BPF_XDP })
          const fired = yield* kernel.happen(event)
          expect(fired).toMatchObject({ programs: 1, verdict: 1 })
          expect(fired.packet![0]).toBe(0xaa)
          expect((yield* kernel.happen({ ...event, device: "lo" })).programs).toBe(0)
        }))
        expect(yield* kernel.happen(event)).toMatchObject({ programs: 0, verdict: 2 })
      }),
    { devices: ["eth0"] }
  )

  test("programs at a tcx hook run in order until one decides", () =>
    Effect.gen(function*() {
      const kernel = yield* SimulatedKernel.SimulatedKernel
      for (const result of [-1, 2, 0]) {
        const program = yield* load("sched_cls", [Asm.mov("r0", result), Asm.exit()])
        yield* link({ prog_fd: program.fd, target_ifindex: 1, attach_type: bpf_attach_type.BPF_TCX_INGRESS })
      }
      const fired = yield* kernel.happen({ hook: "tcx_ingress", device: "lo", packet })
      expect(fired).toMatchObject({ programs: 2, verdict: 2 })
    }))

  test("BPF_F_BEFORE and BPF_F_AFTER say where a tcx program runs, beside which other", () =>
    Effect.gen(function*() {
      const kernel = yield* SimulatedKernel.SimulatedKernel
      const attach_type = bpf_attach_type.BPF_TCX_INGRESS
      const programs = yield* Effect.forEach([0, 1, 2, 3], () => load("sched_cls", [Asm.mov("r0", -1), Asm.exit()]))
      const infos = yield* Effect.forEach(programs, Program.info)
      const numbers = new Map(infos.map(({ id }, number) => [id, number]))
      const put = (program: number, flags: number, beside?: number) =>
        link({
          prog_fd: programs[program]!.fd,
          target_ifindex: 1,
          attach_type,
          flags,
          "tcx.relative_fd": beside === undefined ? 0 : programs[beside]!.fd
        })
      yield* put(0, 0)
      yield* put(1, attachFlags.BPF_F_BEFORE)
      yield* put(2, attachFlags.BPF_F_AFTER, 1)
      yield* put(3, attachFlags.BPF_F_BEFORE, 0)
      const ids = yield* query({ target_ifindex: 1, attach_type })
      expect(ids.map((id) => numbers.get(id))).toEqual([1, 2, 3, 0])
      expect((yield* kernel.happen({ hook: "tcx_ingress", device: "lo", packet })).programs).toBe(4)
    }))

  test("programs of a cgroup run in their order, before those of the cgroups above it", () =>
    Effect.gen(function*() {
      const kernel = yield* SimulatedKernel.SimulatedKernel
      const [outer, inner] = [yield* kernel.cgroup("/a"), yield* kernel.cgroup("/a/b")]
      const attach_type = bpf_attach_type.BPF_CGROUP_INET_EGRESS
      const put = (cgroup: { readonly fd: number }, returned: number, flags = 0) =>
        Effect.gen(function*() {
          const spec = { type: "cgroup_skb", expectedAttachType: "cgroup_inet_egress", name: "ordered" } as const
          const instructions = [Asm.mov("r0", returned), Asm.exit()]
          const program = yield* Program.load(ProgramSpec.make({ ...spec, instructions }))
          yield* link({ prog_fd: program.fd, target_fd: cgroup.fd, attach_type, flags })
        })
      const PREORDER = 1 << 6
      yield* put(outer, 3)
      yield* put(inner, 1)
      yield* put(inner, 2, attachFlags.BPF_F_BEFORE)
      yield* put(outer, 0, PREORDER)
      const event = { hook: "cgroup_packet", direction: "egress", packet: ipv4 } as const
      expect((yield* kernel.happen({ ...event, cgroup: "/a/b" })).returned).toEqual([0, 2, 1, 3])
      expect((yield* kernel.happen({ ...event, cgroup: "/a" })).returned).toEqual([0, 3])
    }))

  test("a redirect is recorded with its target", () =>
    Effect.gen(function*() {
      const kernel = yield* SimulatedKernel.SimulatedKernel
      const program = yield* load("xdp", [Asm.mov("r1", 7), Asm.mov("r2", 0), Asm.call("redirect"), Asm.exit()])
      const fired = yield* kernel.happen({ hook: "xdp", device: "lo", packet, program })
      expect(fired.verdict).toBe(4)
      expect(fired.redirects).toEqual([{ helper: "redirect", target: 7, flags: 0n }])
    }))

  test("a cgroup refuses with EPERM what one of its programs refuses", () =>
    Effect.gen(function*() {
      const kernel = yield* SimulatedKernel.SimulatedKernel
      const cgroup = yield* kernel.cgroup("/test")
      const program = yield* load("cgroup_skb", [Asm.mov("r0", 0), Asm.exit()])
      const event = { hook: "cgroup_packet", direction: "ingress", cgroup: "/test", packet: ipv4 } as const
      expect(yield* kernel.happen(event)).toMatchObject({ programs: 0, verdict: 1, retval: 0 })
      const attach_type = bpf_attach_type.BPF_CGROUP_INET_INGRESS
      yield* link({ prog_fd: program.fd, target_fd: cgroup.fd, attach_type })
      expect(yield* kernel.happen(event)).toMatchObject({ programs: 1, verdict: 0, retval: -1 })
      expect((yield* kernel.happen({ ...event, direction: "egress" })).programs).toBe(0)
    }))

  test("a program of another type is refused, and a device that is not there", () =>
    Effect.gen(function*() {
      const program = yield* load("xdp", [Asm.mov("r0", 2), Asm.exit()])
      const wrong = link({ prog_fd: program.fd, target_ifindex: 1, attach_type: bpf_attach_type.BPF_TCX_INGRESS })
      expect(yield* Effect.flip(wrong)).toMatchObject({ code: "EINVAL" })
      const nowhere = link({ prog_fd: program.fd, target_ifindex: 9, attach_type: bpf_attach_type.BPF_XDP })
      expect(yield* Effect.flip(nowhere)).toMatchObject({ code: "EINVAL" })
      const kernel = yield* SimulatedKernel.SimulatedKernel
      const event = kernel.happen({ hook: "xdp", device: "eth9", packet })
      expect(yield* Effect.flip(event)).toMatchObject({ _tag: "InvalidArgument", actual: "eth9" })
    }))

  test("a raw tracepoint passes its arguments", () =>
    Effect.gen(function*() {
      const kernel = yield* Kernel.Kernel
      const seen = yield* ArrayMap.make({ name: "seen", value: Layout.u64, maxEntries: 1 })
      const program = yield* load("raw_tracepoint", [
        Asm.ldxdw("r6", "r1", 8),
        Asm.stw("r10", -4, 0),
        Asm.ldMapFd("r1", "seen"),
        Asm.mov("r2", "r10"),
        Asm.add("r2", -4),
        Asm.call("map_lookup_elem"),
        Asm.jeq("r0", 0, "out"),
        Asm.stdw("r0", 0, "r6"),
        Asm.label("out"),
        Asm.mov("r0", 0),
        Asm.exit()
      ], { seen })
      const [attr, name] = yield* Effect.all([acquireBlock(kernel, 24), acquireBlock(kernel, 32)])
      name.bytes.set(new TextEncoder().encode("sched_switch"))
      const size = fill(attr, bpf_attr_raw_tracepoint, { name, prog_fd: program.fd })
      yield* acquireFd(kernel, { call: "bpf" }, () => kernel.bpf.call(bpf_cmd.BPF_RAW_TRACEPOINT_OPEN, attr, size))
      const { happen } = yield* SimulatedKernel.SimulatedKernel
      const fired = yield* happen({ hook: "raw_tracepoint", name: "sched_switch", arguments: [1n, 0x1234n] })
      expect(fired.programs).toBe(1)
      expect(yield* seen.lookup(0)).toBe(0x1234n)
    }))

  test("a probe sees registers, and may override what the function returns", () =>
    Effect.gen(function*() {
      const kernel = yield* SimulatedKernel.SimulatedKernel
      const program = yield* load("kprobe", [
        Asm.ldxdw("r2", "r1", 112), // di
        Asm.call("override_return"),
        Asm.mov("r0", 0),
        Asm.exit()
      ])
      const fired = yield* kernel.happen({ hook: "probe", registers: { di: 42n }, program })
      expect(fired.override).toBe(42n)
    }))
})

describe("what programs leave behind", () => {
  test("printed texts follow the kernel's formats", () =>
    Effect.gen(function*() {
      const kernel = yield* SimulatedKernel.SimulatedKernel
      const text = (value: string, at: number) =>
        Array.from(
          { length: Math.ceil((value.length + 1) / 4) },
          (_, i) => Asm.stw("r10", at + i * 4, Buffer.from(`${value}\0\0\0\0`).readInt32LE(i * 4))
        )
      const program = yield* load("kprobe", [
        text("%d %05u %x%%", -16),
        Asm.mov("r1", "r10"),
        Asm.add("r1", -16),
        Asm.mov("r2", 13),
        Asm.mov("r3", -3),
        Asm.mov("r4", 77),
        Asm.mov("r5", 255),
        Asm.call("trace_printk"),
        Asm.exit()
      ])
      const fired = yield* kernel.happen({ hook: "probe", registers: {}, program })
      expect(yield* kernel.printed).toEqual(["-3 00077 ff%"])
      expect(fired.returned).toEqual([12])
    }))

  test("a timer runs when the clock has come so far", () =>
    Effect.gen(function*() {
      const kernel = yield* SimulatedKernel.SimulatedKernel
      // A map whose value is a bpf_timer and a counter. Its BTF, without which no program may touch the timer, is left out:
      // this kernel does not check.
      const timers = yield* HashMap.make({
        name: "timers",
        key: Layout.u32,
        value: Layout.array(Layout.u64, 3),
        maxEntries: 1
      })
      yield* timers.update(0, [0n, 0n, 0n])
      const callback = [
        Asm.ldxdw("r1", "r3", 16),
        Asm.add("r1", 1),
        Asm.stdw("r3", 16, "r1"),
        Asm.mov("r0", 0),
        Asm.exit()
      ]
      const program = yield* load("kprobe", [
        Asm.stw("r10", -4, 0),
        Asm.ldMapFd("r1", "timers"),
        Asm.mov("r2", "r10"),
        Asm.add("r2", -4),
        Asm.call("map_lookup_elem"),
        Asm.jeq("r0", 0, "out"),
        Asm.mov("r6", "r0"),
        Asm.mov("r1", "r6"),
        Asm.ldMapFd("r2", "timers"),
        Asm.mov("r3", 1),
        Asm.call("timer_init"),
        Asm.mov("r1", "r6"),
        Asm.ldFunc("r2", "callback"),
        Asm.call("timer_set_callback"),
        Asm.mov("r1", "r6"),
        Asm.mov("r2", 1_000_000_000),
        Asm.mov("r3", 0),
        Asm.call("timer_start"),
        Asm.label("out"),
        Asm.mov("r0", 0),
        Asm.exit(),
        Asm.func("callback", callback)
      ], { timers })
      yield* kernel.happen({ hook: "probe", registers: {}, program })
      const count = Effect.map(timers.lookup(0), (value) => Option.getOrThrow(value)[2])
      yield* TestClock.adjust("900 millis")
      expect(yield* count).toBe(0n)
      yield* TestClock.adjust("200 millis")
      expect(yield* count).toBe(1n)
    }), { verifier: "off" })

  test("a signal is recorded with the process it went to", () =>
    Effect.gen(function*() {
      const kernel = yield* SimulatedKernel.SimulatedKernel
      const program = yield* load("kprobe", [Asm.mov("r1", 9), Asm.call("send_signal"), Asm.mov("r0", 0), Asm.exit()])
      yield* kernel.happen({ hook: "probe", registers: {}, program, task: { pid: 77 } })
      expect(yield* kernel.signals).toEqual([{ pid: 77, signal: 9 }])
    }))
})
