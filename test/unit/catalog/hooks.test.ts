// Programs of the catalog that no test run reaches, and those whose answer depends on the time, on a kernel whose clock and
// tasks the test rules.
import { describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import { expect } from "vitest"
import { PacketEvent } from "../../../src/catalog/programs/events.ts"
import {
  BpfMap,
  Btf,
  type BtfType,
  Catalog,
  Kernel,
  KernelBtf,
  Layout,
  Program,
  ProgramContext,
  ReturnCode,
  RingBuffer,
  type RingBufferMap,
  Tracepoint
} from "../../../src/index.ts"
import * as SimulatedKernel from "../../../src/simulated/SimulatedKernel.ts"
import { icmp4, tcp4, tcpFlags } from "../../support/packets.ts"

const { XDP_DROP, XDP_PASS } = ReturnCode.xdp

const test = (
  name: string,
  body: () => Effect.Effect<void, unknown, Kernel.Kernel | SimulatedKernel.SimulatedKernel | Scope.Scope>,
  options?: SimulatedKernel.Options
) => it.effect(name, () => body().pipe(Effect.scoped, Effect.provide(SimulatedKernel.layer(options))))

const verdictOf = (program: Program.Program<Program.TestRunnable>, data: Uint8Array) =>
  Effect.map(Program.testRun(program, { data }), ({ returnValue }) => returnValue)

/** All records that are in a ring now. */
const drain = <A>(ring: RingBufferMap.RingBufferMap<A>) =>
  Effect.scoped(Effect.map(RingBuffer.make(ring), (reader) => {
    const records: Array<A> = []
    reader.drain((record) => records.push(record.decode()))
    return records
  }))

const task = { pid: 4321, uid: 1000, command: "curl" }

describe("limits of the catalog, as time goes by", () => {
  test("icmp-rate-limit lets through a burst, then exactly its rate, and never more than the burst", () =>
    Effect.gen(function*() {
      const { maps, program } = yield* Catalog.load("icmp-rate-limit", { perSecond: 10, burst: 3 })
      const sendMany = (count: number) => Effect.forEach(new Array(count).fill(0), () => verdictOf(program, icmp4()))
      expect(yield* sendMany(5)).toEqual([XDP_PASS, XDP_PASS, XDP_PASS, XDP_DROP, XDP_DROP])
      yield* TestClock.adjust("99 millis")
      expect(yield* sendMany(1)).toEqual([XDP_DROP])
      yield* TestClock.adjust("1 millis")
      expect(yield* sendMany(2)).toEqual([XDP_PASS, XDP_DROP])
      yield* TestClock.adjust("250 millis")
      expect(yield* sendMany(3)).toEqual([XDP_PASS, XDP_PASS, XDP_DROP])
      // Half a token was left of the last quarter of a second.
      yield* TestClock.adjust("50 millis")
      expect(yield* sendMany(2)).toEqual([XDP_PASS, XDP_DROP])
      yield* TestClock.adjust("1 hour")
      expect(yield* sendMany(4)).toEqual([XDP_PASS, XDP_PASS, XDP_PASS, XDP_DROP])
      expect(yield* maps.bucket.lookup(0)).toMatchObject({ passed: 10n, dropped: 7n })
    }))

  test("icmp-rate-limit gives nothing for a time that another CPU has counted already", () =>
    Effect.gen(function*() {
      const { maps, program } = yield* Catalog.load("icmp-rate-limit")
      yield* TestClock.adjust("1 seconds")
      const ahead = { lock: 0, started: 1, credit: 0n, filledAt: 1_000_000_001n, passed: 0n, dropped: 0n }
      yield* maps.bucket.update(0, ahead)
      expect(yield* verdictOf(program, icmp4())).toBe(XDP_DROP)
      expect(yield* maps.bucket.lookup(0)).toEqual({ ...ahead, dropped: 1n })
    }))

  test("syn-flood-protection counts anew in each window, for each source alone", () =>
    Effect.gen(function*() {
      const { maps, program } = yield* Catalog.load("syn-flood-protection", { limit: 2, windowMs: 1000 })
      const syn = (from: string) => verdictOf(program, tcp4({ from, flags: tcpFlags.SYN }))
      expect([yield* syn("10.0.0.1"), yield* syn("10.0.0.1"), yield* syn("10.0.0.1")]).toEqual([
        XDP_PASS,
        XDP_PASS,
        XDP_DROP
      ])
      yield* TestClock.adjust("999 millis")
      expect(yield* syn("10.0.0.1")).toBe(XDP_DROP)
      expect(yield* syn("10.0.0.2")).toBe(XDP_PASS)
      yield* TestClock.adjust("1 millis")
      expect([yield* syn("10.0.0.1"), yield* syn("10.0.0.1"), yield* syn("10.0.0.1")]).toEqual([
        XDP_PASS,
        XDP_PASS,
        XDP_DROP
      ])
      expect([yield* syn("10.0.0.2"), yield* syn("10.0.0.2")]).toEqual([XDP_PASS, XDP_DROP])
      expect(yield* maps.sources.lookup("10.0.0.1")).toEqual(
        Option.some({ windowStart: 1_000_000_000n, syns: 3n, dropped: 3n })
      )
    }))

  test("latency-histogram puts each time into the bucket of its highest bit, thread by thread", () =>
    Effect.gen(function*() {
      const kernel = yield* SimulatedKernel.SimulatedKernel
      const { companions, maps, program } = yield* Catalog.load("latency-histogram", { pid: 7 })
      const at = (which: Program.Program, tid: number, pid = 7) =>
        kernel.happen({
          hook: "raw_tracepoint",
          name: "sys_enter",
          arguments: [0n, 0n],
          program: which,
          task: { pid, tid }
        })
      for (const nanoseconds of [0, 1, 2, 3, 4, 1023, 1024, 2 ** 32, 2 ** 40 + 1]) {
        yield* at(program, 7)
        yield* TestClock.adjust(`${nanoseconds} nanos`)
        yield* at(companions.end, 7)
      }
      yield* at(program, 8) // another thread of the process, in the meantime
      yield* at(program, 9, 6) // another process
      yield* at(companions.end, 9, 6)
      const entries = yield* Stream.runCollect(maps.latencies.entries)
      expect(entries.filter(([, count]) => count > 0n)).toEqual([
        [0, 2n],
        [1, 2n],
        [2, 1n],
        [9, 1n],
        [10, 1n],
        [32, 1n],
        [40, 1n]
      ])
      expect(yield* Stream.runCollect(maps.started.keys)).toEqual([(7n << 32n) | 8n])
    }))
})

describe("tracers of the catalog, as things happen", () => {
  test("printk-tracer prints the process id", () =>
    Effect.gen(function*() {
      const kernel = yield* SimulatedKernel.SimulatedKernel
      const { program } = yield* Catalog.load("printk-tracer")
      yield* kernel.happen({ hook: "raw_tracepoint", name: "sys_enter", arguments: [0n, 0n], program, task })
      const [line, ...more] = yield* kernel.printed
      expect(line!.trimEnd()).toBe("effect-ebpf: pid 4321")
      expect(more).toEqual([])
    }))

  test("timestamp-tracer tells the time, the process and the CPU", () =>
    Effect.gen(function*() {
      const kernel = yield* SimulatedKernel.SimulatedKernel
      const { maps, program } = yield* Catalog.load("timestamp-tracer")
      yield* TestClock.adjust("5 seconds")
      yield* kernel.happen({
        hook: "raw_tracepoint",
        name: "sys_enter",
        arguments: [],
        program,
        task: { ...task, cpu: 2 }
      })
      expect(yield* drain(maps.timestamps)).toEqual([{ time: 5_000_000_000n, pid: 4321, cpu: 2 }])
    }))

  test("cpu-id tells CPUs apart", () =>
    Effect.gen(function*() {
      const kernel = yield* SimulatedKernel.SimulatedKernel
      const { maps, program } = yield* Catalog.load("cpu-id")
      for (const cpu of [0, 3, 3]) {
        yield* kernel.happen({ hook: "xdp", device: "lo", packet: tcp4(), program, task: { cpu } })
      }
      expect((yield* Stream.runCollect(maps.cpus.entries)).toSorted(([a], [b]) => a - b)).toEqual([[0, 1n], [3, 2n]])
    }))

  test("execve-tracer tells what is executed by whom, of the wanted parent's children only", () =>
    Effect.gen(function*() {
      const kernel = yield* SimulatedKernel.SimulatedKernel
      const { maps, program } = yield* Catalog.load("execve-tracer", { parent: 100 })
      yield* Tracepoint.attach(program, { category: "syscalls", name: "sys_enter_execve" })
      const enter = (parent: number, file: string) =>
        kernel.enterSyscall({ name: "execve", arguments: [file], task: { ...task, parent } })
      yield* enter(100, "/usr/bin/curl")
      yield* enter(101, "/usr/bin/wget")
      yield* enter(100, `/${"x".repeat(400)}`)
      const records = yield* drain(maps.executions)
      expect(records).toMatchObject([
        { pid: 4321, uid: 1000, command: "curl", file: "/usr/bin/curl" },
        { file: `/${"x".repeat(254)}` }
      ])
      expect(records).toHaveLength(2)
    }))

  test("kprobe-counter counts calls by process, or those of one", () =>
    Effect.gen(function*() {
      const kernel = yield* SimulatedKernel.SimulatedKernel
      const all = yield* Catalog.load("kprobe-counter")
      const one = yield* Catalog.load("kprobe-counter", { pid: 2 })
      for (const pid of [1, 2, 2, 3]) {
        for (const { program } of [all, one]) {
          yield* kernel.happen({ hook: "probe", registers: {}, program, task: { pid } })
        }
      }
      const entries = (maps: typeof all.maps) =>
        Effect.map(Stream.runCollect(maps.calls.entries), (found) => found.toSorted(([a], [b]) => a - b))
      expect(yield* entries(all.maps)).toEqual([[1, 1n], [2, 2n], [3, 1n]])
      expect(yield* entries(one.maps)).toEqual([[2, 2n]])
    }))

  test("perf-event-output sends a record for each packet to its map", () =>
    Effect.gen(function*() {
      const kernel = yield* SimulatedKernel.SimulatedKernel
      const { program } = yield* Catalog.load("perf-event-output")
      yield* TestClock.adjust("3 seconds")
      yield* Program.testRun(program, { data: tcp4() })
      const outputs = yield* kernel.perfOutputs
      expect(outputs.map(({ data }) => Result.getOrThrow(Layout.decode(PacketEvent, data)))).toEqual([
        { time: 3_000_000_000n, length: tcp4().length, ifindex: 1, type: 0x0800 }
      ])
    }))
})

describe("cgroup programs of the catalog", () => {
  const sockAddr = (fields: Partial<Layout.Type<typeof ProgramContext.bpf_sock_addr>>): Uint8Array =>
    Result.getOrThrow(Layout.encode(ProgramContext.bpf_sock_addr, {
      user_family: 2,
      user_ip4: 0,
      user_ip6: new Uint8Array(16),
      user_port: 0,
      family: 2,
      type: 1,
      protocol: 6,
      msg_src_ip4: 0,
      msg_src_ip6: new Uint8Array(16),
      sk: 0n,
      ...fields
    }))
  /** A port in network byte order, in the lower two bytes. */
  const portWord = (port: number) => ((port & 0xff) << 8) | (port >> 8)

  const connect = (
    operation: "INET4_CONNECT" | "INET6_CONNECT",
    program: Program.Program,
    fields: Parameters<typeof sockAddr>[0]
  ) =>
    Effect.gen(function*() {
      const kernel = yield* SimulatedKernel.SimulatedKernel
      yield* kernel.cgroup("/app")
      return yield* kernel.happen({
        hook: "cgroup",
        cgroup: "/app",
        operation,
        context: sockAddr(fields),
        program,
        task
      })
    })

  test("connection-log tells of connections over both IPs, and allows them", () =>
    Effect.gen(function*() {
      const { companions, maps, program } = yield* Catalog.load("connection-log")
      yield* TestClock.adjust("1 seconds")
      const four = yield* connect("INET4_CONNECT", program, { user_ip4: 0xc0000207, user_port: portWord(8443) })
      const six = yield* connect("INET6_CONNECT", companions.connect6, {
        user_family: 10,
        family: 10,
        protocol: 17,
        user_ip6: Uint8Array.of(0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5),
        user_port: portWord(53)
      })
      expect([four.verdict, six.verdict]).toEqual([1, 1])
      const whose = { time: 1_000_000_000n, pid: 4321, uid: 1000, command: "curl" }
      expect(yield* drain(maps.connections)).toEqual([
        { ...whose, family: 2, protocol: 6, port: 8443, ipv4: "192.0.2.7", ipv6: "::" },
        { ...whose, family: 10, protocol: 17, port: 53, ipv4: "0.0.0.0", ipv6: "2001:db8::5" }
      ])
    }))

  test("connect-port-block refuses one port over both IPs, and no other", () =>
    Effect.gen(function*() {
      const { companions, program } = yield* Catalog.load("connect-port-block", { port: 587 })
      const verdict = (operation: "INET4_CONNECT" | "INET6_CONNECT", which: Program.Program, port: number) =>
        Effect.map(connect(operation, which, { user_port: portWord(port) }), (fired) => fired.verdict)
      expect(yield* verdict("INET4_CONNECT", program, 587)).toBe(0)
      expect(yield* verdict("INET4_CONNECT", program, 588)).toBe(1)
      expect(yield* verdict("INET6_CONNECT", companions.connect6, 587)).toBe(0)
      expect(yield* verdict("INET6_CONNECT", companions.connect6, 443)).toBe(1)
    }))
})

describe("the LSM program of the catalog", () => {
  /** The simulated kernel's types, and behind them those of files, which it does not have. */
  const withFiles = Effect.gen(function*() {
    const own = yield* KernelBtf.load
    const types: Array<BtfType.BtfType> = []
    for (let id = 1;; id++) {
      const type = Option.getOrUndefined(Btf.type(own, id))
      if (type === undefined) break
      types.push(type)
    }
    const [name, qstr, dentry, path, pointer] = [1, 2, 3, 4, 5].map((i) => types.length + i) as [
      number,
      number,
      number,
      number,
      number
    ]
    const struct = (
      structName: string,
      size: number,
      member: string,
      type: number,
      offset: number
    ): BtfType.BtfType => ({
      _tag: "Struct",
      name: structName,
      size,
      members: [{ name: member, type, bitOffset: offset * 8, bitfieldSize: 0 }]
    })
    return yield* Effect.fromResult(Btf.parse(Result.getOrThrow(Btf.encode([
      ...types,
      { _tag: "Pointer", type: 0 },
      struct("qstr", 16, "name", name, 8),
      struct("dentry", 64, "d_name", qstr, 32),
      struct("path", 16, "dentry", pointer, 8),
      { _tag: "Pointer", type: dentry },
      struct("file", 128, "f_path", path, 64)
    ]))))
  })

  test("lsm-file-open tells who opened a file, and allows it", () =>
    Effect.gen(function*() {
      const kernel = yield* SimulatedKernel.SimulatedKernel
      const entry = Catalog.get("lsm-file-open", { pid: 4321 })
      const opened = yield* BpfMap.create(entry.maps.opened)
      const program = yield* Program.load(entry.program, { maps: { opened }, btf: yield* withFiles })
      const open = (pid: number) =>
        kernel.happen({
          hook: "lsm",
          function: "bpf_lsm_file_open",
          arguments: [0n],
          program,
          task: { ...task, pid }
        })
      expect((yield* open(4321)).verdict).toBe(0)
      expect((yield* open(4322)).verdict).toBe(0)
      // There is no file behind the address 0, and so no name.
      expect(yield* drain(opened)).toMatchObject([{ pid: 4321, uid: 1000, command: "curl", name: "" }])
    }), { functions: ["bpf_lsm_file_open"] })
})
