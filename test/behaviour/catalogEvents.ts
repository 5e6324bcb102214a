// The catalog's programs that tell user space something, and those that trace, as far as test runs reach.
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { expect } from "vitest"
import { Catalog, HashMap, Layout, Program, ReturnCode, RingBuffer } from "../../src/index.ts"
import type { RingBufferMap } from "../../src/index.ts"
import type { Test } from "../support/kernels.ts"
import { arp, icmp4, ipv4, ipv6, tcp4, tcpSegment, udp4 } from "../support/packets.ts"

const run = (program: Program.Program<Program.TestRunnable>, input: Program.TestRunInput) =>
  Effect.map(Program.testRun(program, input), ({ returnValue }) => returnValue)

/** The first records of a ring. */
const take = <A>(ring: RingBufferMap.RingBufferMap<A>, count: number) =>
  RingBuffer.stream(ring).pipe(Stream.take(count), Stream.runCollect)

/** The arguments of a raw tracepoint. */
const args = (...values: ReadonlyArray<bigint>): Uint8Array => {
  const bytes = new Uint8Array(16)
  new BigUint64Array(bytes.buffer).set(values)
  return bytes
}

/** What the kernel says of the task that a test run happens in: its process id there, and the CPU. */
const ownPid = Effect.gen(function*() {
  const { maps, program } = yield* Catalog.load("timestamp-tracer")
  yield* run(program, {})
  const [stamp] = yield* take(maps.timestamps, 1)
  return stamp!.pid
})

const output = (test: Test): void => {
  test("ring-buffer-output tells of each packet, in order", () =>
    Effect.gen(function*() {
      const { maps, program } = yield* Catalog.load("ring-buffer-output")
      const packets = [tcp4(), arp(), ipv6(6, tcpSegment({ payload: [1, 2, 3] }))]
      for (const data of packets) expect(yield* run(program, { data })).toBe(ReturnCode.tc.TC_ACT_OK)
      const records = yield* take(maps.events, 3)
      expect(records.map(({ length, type }) => ({ length, type }))).toEqual([
        { length: packets[0]!.length, type: 0x0800 },
        { length: packets[1]!.length, type: 0x0806 },
        { length: packets[2]!.length, type: 0x86dd }
      ])
      expect(records.every(({ ifindex }) => ifindex === 1)).toBe(true) // lo, where test runs are
      expect(records[0]!.time <= records[1]!.time && records[1]!.time <= records[2]!.time).toBe(true)
    }), { needs: "ringbuf" })

  test("ring-buffer-output lets packets pass when its ring is full", () =>
    Effect.gen(function*() {
      const { maps, program } = yield* Catalog.load("ring-buffer-output", { ringBytes: 4096 })
      expect(yield* run(program, { data: tcp4(), repeat: 1000 })).toBe(ReturnCode.tc.TC_ACT_OK)
      expect(yield* take(maps.events, 127)).toHaveLength(127) // of 32 bytes each; one byte stays free
    }), { needs: "ringbuf" })

  test("perf-event-output lets packets pass where nobody listens", () =>
    Effect.gen(function*() {
      const { program } = yield* Catalog.load("perf-event-output")
      expect(yield* run(program, { data: tcp4() })).toBe(ReturnCode.tc.TC_ACT_OK)
    }))

  test("cpu-id counts every packet at some CPU", () =>
    Effect.gen(function*() {
      const { maps, program } = yield* Catalog.load("cpu-id")
      expect(yield* run(program, { data: tcp4(), repeat: 100 })).toBe(ReturnCode.xdp.XDP_PASS)
      const entries = yield* Stream.runCollect(maps.cpus.entries)
      expect(entries.reduce((sum, [, count]) => sum + count, 0n)).toBe(100n)
    }))

  test("tcp-snapshot keeps the first bytes of TCP packets, and none of others", () =>
    Effect.gen(function*() {
      const { program } = yield* Catalog.load("tcp-snapshot", { bytes: 64 })
      expect(yield* run(program, { data: tcp4() })).toBe(64)
      expect(yield* run(program, { data: tcp4({ options: [1, 1, 1, 1] }) })).toBe(64)
      for (const data of [udp4(), icmp4(), ipv6(6, tcpSegment()), arp(), ipv4(132, new Uint8Array(20))]) {
        expect(yield* run(program, { data })).toBe(0)
      }
    }))
}

const tracers = (test: Test): void => {
  test("printk-tracer prints a line, and gives its length", () =>
    Effect.gen(function*() {
      const { program } = yield* Catalog.load("printk-tracer")
      const length = yield* run(program, {})
      expect(length).toBeGreaterThanOrEqual("effect-ebpf: pid 1\n".length)
      expect(length).toBeLessThanOrEqual("effect-ebpf: pid 4194304\n".length + 1)
    }), { needs: "rawTracepointTestRun" })

  test("timestamp-tracer tells time, process and CPU of each event", () =>
    Effect.gen(function*() {
      const { maps, program } = yield* Catalog.load("timestamp-tracer")
      for (let i = 0; i < 3; i++) expect(yield* run(program, {})).toBe(0)
      const [first, second, third] = yield* take(maps.timestamps, 3)
      expect(first!.time <= second!.time && second!.time <= third!.time).toBe(true)
      expect(new Set([first, second, third].map((stamp) => stamp!.pid)).size).toBe(1)
      expect(first!.pid).toBeGreaterThan(0)
    }), { needs: "rawTracepointTestRun" })

  test("syscall-counter counts by number, of the wanted process only", () =>
    Effect.gen(function*() {
      const all = yield* Catalog.load("syscall-counter")
      for (const number of [59n, 257n, 257n]) yield* run(all.program, { context: args(0n, number) })
      expect(yield* all.maps.calls.lookup(59)).toEqual(Option.some(1n))
      expect(yield* all.maps.calls.lookup(257)).toEqual(Option.some(2n))
      const pid = yield* ownPid
      const own = yield* Catalog.load("syscall-counter", { pid })
      const other = yield* Catalog.load("syscall-counter", { pid: pid === 1 ? 2 : 1 })
      yield* run(own.program, { context: args(0n, 59n) })
      yield* run(other.program, { context: args(0n, 59n) })
      expect(yield* own.maps.calls.lookup(59)).toEqual(Option.some(1n))
      expect(yield* other.maps.calls.count).toBe(0)
    }), { needs: "rawTracepointTestRun" })

  test(
    "latency-histogram counts a time once, in a bucket that it was at least as long as",
    () =>
      Effect.gen(function*() {
        const { companions, maps, program } = yield* Catalog.load("latency-histogram")
        const buckets = Effect.map(
          Stream.runCollect(maps.latencies.entries),
          (entries) => entries.flatMap(([bucket, count]) => count === 0n ? [] : [{ bucket, count }])
        )
        yield* run(companions.end, {})
        expect(yield* buckets).toEqual([]) // nothing had begun
        yield* run(program, {})
        expect(yield* maps.started.count).toBe(1)
        yield* Effect.sleep("20 millis")
        yield* run(companions.end, {})
        expect(yield* maps.started.count).toBe(0)
        const [only, ...more] = yield* buckets
        expect(more).toEqual([])
        expect(only!.count).toBe(1n)
        expect(only!.bucket).toBeGreaterThanOrEqual(23) // of 8 to 16 ms; timers may be early by a little
        expect(only!.bucket).toBeLessThan(64)
      }),
    { needs: "rawTracepointTestRun" }
  )
}

const typing = (test: Test): void => {
  test("an entry is a value: its maps can be made and shared by hand", () =>
    Effect.gen(function*() {
      const entry = Catalog.get("ip-allow-list", { maxEntries: 2 })
      expect(entry.maps.allowed.spec).toMatchObject({ type: "hash", maxEntries: 2 })
      const key = Layout.u32
      const allowed = yield* HashMap.make({ name: "allowed", key, value: Layout.u64, maxEntries: 2 })
      yield* allowed.update(0x0100000a, 0n) // 10.0.0.1
      const program = yield* Program.load(entry.program, { maps: { allowed } })
      expect(yield* run(program, { data: tcp4({ from: "10.0.0.1" }) })).toBe(ReturnCode.xdp.XDP_PASS)
      expect(yield* run(program, { data: tcp4({ from: "10.0.0.3" }) })).toBe(ReturnCode.xdp.XDP_DROP)
    }))
}

/** Output and tracing of the catalog. */
export const catalogEvents = (test: Test): void => {
  output(test)
  tracers(test)
  typing(test)
}
