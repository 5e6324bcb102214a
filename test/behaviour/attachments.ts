// The ways to attach, each by what the program does there. On a real kernel all happens in a network namespace, a cgroup and
// processes of the test's own.
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { spawn } from "node:child_process"
import { expect } from "vitest"
import { bpf_attach_type } from "../../src/abi/generated/enums.ts"
import { detachProgram } from "../../src/bpf/programs.ts"
import {
  ArrayMap,
  Asm,
  type AttachError,
  Cgroup,
  Kernel,
  Layout,
  Link,
  NetworkInterface,
  Program,
  ProgramSpec,
  RawTracepoint,
  ReturnCode,
  Tcx,
  Xdp
} from "../../src/index.ts"
import * as SimulatedKernel from "../../src/simulated/SimulatedKernel.ts"
import { acquireCgroup } from "../support/cgroups.ts"
import { failingCalls } from "../support/failingCalls.ts"
import type { Test } from "../support/kernels.ts"
import { ownLoopback, sendDatagram } from "../support/ownNetwork.ts"
import { udp4 } from "../support/packets.ts"

const { XDP_DROP, XDP_PASS } = ReturnCode.xdp
const { TC_ACT_OK, TC_ACT_SHOT, TC_ACT_UNSPEC } = ReturnCode.tc

/** The other side of the simulated kernel; `undefined` where a real one is tested. */
const simulation = Effect.map(Effect.serviceOption(SimulatedKernel.SimulatedKernel), Option.getOrUndefined)

/** Makes the loopback interface one that nobody else has. */
const ownNetwork = Effect.gen(function*() {
  if ((yield* simulation) === undefined) yield* ownLoopback
})

const PAYLOAD = 99
const DATAGRAM = 14 + 20 + 8 + PAYLOAD

/** A datagram arrives at `lo`, or is about to leave by it. */
const datagram = (hook: "xdp" | "tcx_ingress" | "tcx_egress") =>
  Effect.gen(function*() {
    const other = yield* simulation
    if (other === undefined) return yield* sendDatagram(PAYLOAD)
    const packet = udp4({ payload: Array<number>(PAYLOAD).fill(0) })
    expect(packet).toHaveLength(DATAGRAM)
    yield* other.happen({ hook, device: "lo", packet })
  })

const counter = ArrayMap.make({ name: "seen", value: Layout.u64, maxEntries: 4 })

/** Adds 1 to a slot of a map. */
const count = (map: ArrayMap.ArrayMap<bigint>, index: number): ReadonlyArray<Asm.Item> => [
  Asm.stw("r10", -4, index),
  Asm.ldMapFd("r1", map),
  Asm.mov("r2", "r10"),
  Asm.add("r2", -4),
  Asm.call("map_lookup_elem"),
  Asm.jeq("r0", 0, "counted"),
  Asm.mov("r1", 1),
  Asm.atomicAdd("r0", 0, "r1"),
  Asm.label("counted")
]

/** Counts datagrams of the length that this test sends, and answers; all else passes. */
const xdpProgram = (map: ArrayMap.ArrayMap<bigint>, index: number, answer: number) =>
  Program.load(ProgramSpec.make({
    type: "xdp",
    name: `count_${index}`,
    instructions: [
      Asm.ldxw("r2", "r1", 4),
      Asm.ldxw("r3", "r1", 0),
      Asm.sub("r2", "r3"),
      Asm.mov("r6", XDP_PASS),
      Asm.jne("r2", DATAGRAM, "out"),
      Asm.mov("r6", answer),
      ...count(map, index),
      Asm.label("out"),
      Asm.mov("r0", "r6"),
      Asm.exit()
    ]
  }))

const tcProgram = (map: ArrayMap.ArrayMap<bigint>, index: number, answer: number) =>
  Program.load(ProgramSpec.make({
    type: "sched_cls",
    name: `count_${index}`,
    instructions: [
      Asm.ldxw("r2", "r1", 0),
      Asm.mov("r6", TC_ACT_UNSPEC),
      Asm.jne("r2", DATAGRAM, "out"),
      Asm.mov("r6", answer),
      ...count(map, index),
      Asm.label("out"),
      Asm.mov("r0", "r6"),
      Asm.exit()
    ]
  }))

const egress = (map: ArrayMap.ArrayMap<bigint>, index: number, answer: number) =>
  Program.load(ProgramSpec.make({
    type: "cgroup_skb",
    name: `count_${index}`,
    expectedAttachType: "cgroup_inet_egress",
    instructions: [...count(map, index), Asm.mov("r0", answer), Asm.exit()]
  }))

const reason = <A, R>(effect: Effect.Effect<A, AttachError.AttachError, R>) =>
  Effect.map(Effect.flip(effect), (error) => error.reason)

const idOf = (program: Program.Program<any, any>) => Effect.map(Program.info(program), ({ id }) => id)

export const attachments = (test: Test): void => {
  test("network interfaces have an index, and a name", () =>
    Effect.gen(function*() {
      yield* ownNetwork
      expect(yield* NetworkInterface.index("lo")).toBe(1)
      expect(yield* NetworkInterface.name(1)).toBe("lo")
      const missing = { _tag: "TargetNotFound", target: "network interface nonesuch0" }
      expect(yield* Effect.flip(NetworkInterface.index("nonesuch0"))).toMatchObject(missing)
      expect(yield* Effect.flip(NetworkInterface.name(77_777))).toMatchObject({ _tag: "TargetNotFound" })
      for (const wrong of ["", "a/b", "sixteen-letters-", "a b", "a\0", 0, -1, 2 ** 31, 1.5, null, undefined, {}]) {
        const error = yield* Effect.flip(NetworkInterface.index(wrong as any))
        expect(error, String(wrong)).toMatchObject({ _tag: "InvalidArgument", field: "interface" })
      }
    }))

  test("an XDP program sees what arrives at its interface, until its scope closes; another takes its place in one step", () =>
    Effect.gen(function*() {
      yield* ownNetwork
      const map = yield* counter
      const [drops, passes] = [yield* xdpProgram(map, 0, XDP_DROP), yield* xdpProgram(map, 1, XDP_PASS)]
      yield* Effect.scoped(Effect.gen(function*() {
        const link = yield* Xdp.attach(drops, "lo", { mode: "skb" })
        expect(link).toMatchObject({ holder: "link", type: "xdp", target: "network interface lo" })
        expect(yield* Link.info(link)).toMatchObject({
          type: "xdp",
          programId: yield* idOf(drops),
          place: { ifindex: 1 }
        })
        yield* datagram("xdp")
        expect(yield* map.lookup(0)).toBe(1n)
        expect(yield* reason(Xdp.attach(passes, 1))).toMatchObject({ _tag: "AlreadyAttached" })
        yield* Link.update(link, passes, { expected: drops })
        yield* datagram("xdp")
        expect([yield* map.lookup(0), yield* map.lookup(1)]).toEqual([1n, 1n])
      }))
      yield* datagram("xdp")
      expect([yield* map.lookup(0), yield* map.lookup(1)]).toEqual([1n, 1n])
    }))

  test("XDP says what is wrong: no such interface, no such mode, a driver that has it not", () =>
    Effect.gen(function*() {
      yield* ownNetwork
      const program = yield* xdpProgram(yield* counter, 0, XDP_PASS)
      expect(yield* reason(Xdp.attach(program, "nonesuch0"))).toMatchObject({ _tag: "TargetNotFound" })
      expect(yield* reason(Xdp.attach(program, "lo", { mode: "fast" } as any))).toMatchObject({ field: "mode" })
      expect(yield* reason(Xdp.attach(program, "lo", { modes: "skb" } as any))).toMatchObject({
        _tag: "InvalidArgument"
      })
      expect(yield* reason(Xdp.attach(program, "lo", { mode: "hw" }))).toMatchObject({ _tag: "SystemCallError" })
      expect(yield* reason(Xdp.attach(program, 77_777))).toMatchObject({ _tag: "SystemCallError" })
    }))

  test("tcx programs run in the order that they ask for, until one decides", () =>
    Effect.gen(function*() {
      yield* ownNetwork
      const map = yield* counter
      const [first, second, third] = [
        yield* tcProgram(map, 0, TC_ACT_UNSPEC),
        yield* tcProgram(map, 1, TC_ACT_SHOT),
        yield* tcProgram(map, 2, TC_ACT_OK)
      ]
      const counts = Effect.forEach([0, 1, 2], (index) => map.lookup(index))
      const ids = yield* Effect.forEach([first, second, third], idOf)
      yield* Effect.scoped(Effect.gen(function*() {
        const middle = yield* Tcx.attach(second, "lo", { direction: "ingress" })
        yield* Tcx.attach(third, "lo", { direction: "ingress" })
        yield* Tcx.attach(first, 1, { direction: "ingress", before: middle })
        expect(yield* Tcx.programs("lo", "ingress")).toEqual(ids)
        yield* datagram("tcx_ingress")
        expect(yield* counts).toEqual([1n, 1n, 0n])
        yield* Link.detach(middle)
        yield* datagram("tcx_ingress")
        expect(yield* counts).toEqual([2n, 1n, 1n])
        expect(yield* reason(Tcx.attach(first, "lo", { direction: "ingress" }))).toMatchObject({
          _tag: "AlreadyAttached"
        })
      }))
      expect(yield* Tcx.programs("lo", "ingress")).toEqual([])
      yield* Effect.scoped(Effect.gen(function*() {
        yield* Tcx.attach(third, "lo", { direction: "egress", before: "all" })
        yield* datagram("tcx_egress")
      }))
      expect(yield* counts).toEqual([2n, 1n, 2n])
    }), { needs: "tcx" })

  test("tcx refuses a place that cannot be", () =>
    Effect.gen(function*() {
      yield* ownNetwork
      const map = yield* counter
      const [one, other] = [yield* tcProgram(map, 0, TC_ACT_OK), yield* tcProgram(map, 1, TC_ACT_OK)]
      const at = (options: any) => reason(Tcx.attach(one, "lo", { direction: "ingress", ...options }))
      expect(yield* at({ direction: undefined })).toMatchObject({ _tag: "InvalidArgument", field: "direction" })
      expect(yield* at({ direction: "sideways" })).toMatchObject({ _tag: "InvalidArgument", field: "direction" })
      expect(yield* at({ before: "all", after: "all" })).toMatchObject({ _tag: "InvalidArgument", field: "after" })
      expect(yield* at({ before: 7 })).toMatchObject({ _tag: "InvalidArgument", field: "before" })
      expect(yield* at({ before: other })).toMatchObject({ code: "ENOENT" })
      expect(yield* at({ expectedRevision: 99n })).toMatchObject({ code: "ESTALE" })
      expect(yield* Tcx.programs("lo", "ingress")).toEqual([])
    }), { needs: "tcx" })

  test("a raw tracepoint's program gets its arguments as they are", () =>
    Effect.gen(function*() {
      const map = yield* counter
      const program = yield* Program.load(ProgramSpec.make({
        type: "raw_tracepoint",
        name: "on_exec",
        instructions: [
          // The thread that runs a program anew, by its number before: the second argument of sched_process_exec.
          Asm.ldxdw("r6", "r1", 8),
          Asm.stw("r10", -4, 3),
          Asm.ldMapFd("r1", map),
          Asm.mov("r2", "r10"),
          Asm.add("r2", -4),
          Asm.call("map_lookup_elem"),
          Asm.jeq("r0", 0, "out"),
          Asm.ldxdw("r1", "r0", 0),
          Asm.jne("r1", "r6", "out"),
          ...count(map, 0),
          Asm.label("out"),
          Asm.mov("r0", 0),
          Asm.exit()
        ]
      }))
      const execution = Effect.gen(function*() {
        const other = yield* simulation
        if (other !== undefined) {
          yield* map.update(3, 4711n)
          yield* other.happen({ hook: "raw_tracepoint", name: "sched_process_exec", arguments: [0n, 4711n, 0n] })
          return
        }
        const child = spawn("sh", ["-c", `read line; exec ${process.execPath} -e 0`], {
          stdio: ["pipe", "ignore", "ignore"]
        })
        yield* map.update(3, BigInt(child.pid!))
        yield* Effect.callback<void>((done) => {
          child.once("exit", () => done(Effect.void))
          child.stdin!.end("\n")
        })
      })
      yield* Effect.scoped(Effect.gen(function*() {
        const link = yield* RawTracepoint.attach(program, "sched_process_exec")
        expect(link).toMatchObject({ holder: "link", target: "raw tracepoint sched_process_exec" })
        yield* execution
        expect(yield* map.lookup(0)).toBe(1n)
      }))
      yield* execution
      expect(yield* map.lookup(0)).toBe(1n)
      const attach = (name: any, options?: any) => reason(RawTracepoint.attach(program, name, options))
      expect(yield* attach("sched_no_such_event")).toMatchObject({ _tag: "TargetNotFound" })
      expect(yield* attach("sched/sched_process_exec")).toMatchObject({ _tag: "InvalidArgument", field: "name" })
      expect(yield* attach(undefined)).toMatchObject({ _tag: "InvalidArgument", field: "name" })
      expect(yield* attach("sched_process_exec", { cookie: 5 })).toMatchObject({ field: "cookie" })
    }))

  for (const sharing of [undefined, "multi", "override", "exclusive"] as const) {
    test(`a cgroup's program decides what its processes send, ${sharing === undefined ? "by a link" : sharing}`, () =>
      Effect.gen(function*() {
        yield* ownNetwork
        const other = yield* simulation
        const { fd, path } = yield* acquireCgroup
        const map = yield* counter
        const [mute, open] = [yield* egress(map, 0, 0), yield* egress(map, 1, 1)]
        /** Sends a datagram from within the cgroup; gives whether it was let go. */
        const send = Effect.gen(function*() {
          if (other !== undefined) {
            const packet = udp4({ payload: Array<number>(PAYLOAD).fill(0) }).subarray(14)
            const fired = yield* other.happen({
              hook: "cgroup_packet",
              direction: "egress",
              cgroup: "/effect-ebpf-test",
              packet
            })
            return fired.verdict === 1
          }
          const sends =
            "require('dgram').createSocket('udp4').send('x', 9, '127.0.0.1', (e) => process.exit(e ? 1 : 0))"
          const script = `echo $$ > ${path}/cgroup.procs && exec ${process.execPath} -e "${sends}"`
          const child = spawn("sh", ["-c", script], { stdio: "ignore" })
          const status = yield* Effect.callback<number | null>((done) => {
            child.once("exit", (code) => done(Effect.succeed(code)))
          })
          return status === 0
        })
        const options = sharing === undefined ? undefined : { sharing }
        yield* Effect.scoped(Effect.gen(function*() {
          const link = yield* Cgroup.attach(mute, path, options)
          expect(link).toMatchObject({ holder: sharing === undefined ? "link" : "target", target: `cgroup ${path}` })
          expect(yield* Cgroup.programs(fd, "cgroup_inet_egress")).toEqual([yield* idOf(mute)])
          expect(yield* send).toBe(false)
          expect(yield* map.lookup(0)).toBe(1n)
          if (sharing === undefined || sharing === "multi") {
            // Each is asked, and one that denies is enough.
            yield* Cgroup.attach(open, fd, options)
            expect(yield* Cgroup.programs(path, "cgroup_inet_egress")).toEqual([yield* idOf(mute), yield* idOf(open)])
            expect(yield* send).toBe(false)
            expect([yield* map.lookup(0), yield* map.lookup(1)]).toEqual([2n, 1n])
          }
        }))
        expect(yield* Cgroup.programs(path, "cgroup_inet_egress")).toEqual([])
        const before = yield* map.lookup(0)
        expect(yield* send).toBe(true)
        expect(yield* map.lookup(0)).toBe(before)
      }))
  }

  test("a cgroup's attachment says what is wrong", () =>
    Effect.gen(function*() {
      const { path } = yield* acquireCgroup
      const program = yield* egress(yield* counter, 0, 1)
      const attach = (cgroup: any, options?: any) => reason(Cgroup.attach(program, cgroup, options))
      expect(yield* attach(`${path}/none`)).toMatchObject({ _tag: "TargetNotFound" })
      expect(yield* attach("/tmp")).toMatchObject({ _tag: "InvalidArgument", field: "cgroup" })
      for (const wrong of ["", "a\0", -1, 1.5, null, undefined, {}]) {
        expect(yield* attach(wrong), String(wrong)).toMatchObject({ _tag: "InvalidArgument", field: "cgroup" })
      }
      expect(yield* attach(path, { sharing: "all" })).toMatchObject({ field: "sharing" })
      expect(yield* attach(path, { sharing: "multi", before: "all" })).toMatchObject({ field: "before" })
      const { kind } = yield* Kernel.Kernel
      expect(yield* Cgroup.root).toMatch(kind === "simulated" ? /^\/sys\/fs\/cgroup$/ : /^\//)
    }))
}

/** The cgroup of a test whose calls fail: made before, as its own calls are the test's. */
let ownCgroup = { fd: -1, path: "" }

/** What each kind of attachment goes through; without a packet. */
const attached = Effect.gen(function*() {
  const { path } = ownCgroup
  const map = yield* counter
  const xdp = yield* xdpProgram(map, 0, XDP_PASS)
  const link = yield* Xdp.attach(xdp, "lo", { mode: "skb" })
  yield* Link.update(link, xdp)
  yield* Cgroup.attach(yield* egress(map, 0, 1), path)
  const held = yield* egress(map, 0, 1)
  yield* Cgroup.attach(held, path, { sharing: "multi" })
  expect(yield* Cgroup.programs(path, "cgroup_inet_egress")).toContain(yield* idOf(held))
  const raw = { type: "raw_tracepoint", name: "idle", instructions: [Asm.mov("r0", 0), Asm.exit()] } as const
  yield* RawTracepoint.attach(yield* Program.load(ProgramSpec.make(raw)), "sched_process_exec")
  expect(yield* NetworkInterface.name(yield* NetworkInterface.index("lo"))).toBe("lo")
})

/** What a cgroup holds by itself stays where the call that takes it away is the one that fails. */
const takeAwayWhatIsHeld = Effect.gen(function*() {
  const { fd, path } = ownCgroup
  const kernel = yield* Kernel.Kernel
  for (const id of yield* Cgroup.programs(path, "cgroup_inet_egress")) {
    const program = yield* Program.fromId("cgroup_skb", id)
    const place = { target: fd, attachType: bpf_attach_type.BPF_CGROUP_INET_EGRESS, program: program.fd }
    yield* detachProgram(kernel, place, {})
  }
})

const ordered = Effect.gen(function*() {
  const map = yield* counter
  const link = yield* Tcx.attach(yield* tcProgram(map, 0, TC_ACT_UNSPEC), "lo", { direction: "ingress" })
  yield* Tcx.attach(yield* tcProgram(map, 1, TC_ACT_UNSPEC), "lo", { direction: "ingress", before: link })
  expect(yield* Tcx.programs("lo", "ingress")).toHaveLength(2)
})

export const attachmentFaults = (test: Test): void => {
  const alone: Test = (name, effect, options) =>
    test(name, () =>
      Effect.gen(function*() {
        yield* ownNetwork
        ownCgroup = yield* acquireCgroup
        yield* effect()
        yield* takeAwayWhatIsHeld
      }), options)
  failingCalls(alone, [
    { name: "programs are attached to an interface, a cgroup and a raw tracepoint", run: attached, isSlow: true },
    { name: "programs are attached by tcx in an order", run: ordered, needs: "tcx" }
  ])
}
