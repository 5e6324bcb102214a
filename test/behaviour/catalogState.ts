// The catalog's programs that remember: counters, and what holds back who sends too much.
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { expect } from "vitest"
import { Catalog, PerCpu, Program, ReturnCode } from "../../src/index.ts"
import type { Test } from "../support/kernels.ts"
import { arp, cut, icmp4, ipv6, tcp4, tcpFlags, tcpSegment, udp4, udpDatagram } from "../support/packets.ts"

const { XDP_DROP, XDP_PASS } = ReturnCode.xdp

/** Runs a program on a packet, several times in one call, and gives its last verdict. */
const send = (program: Program.Program<Program.TestRunnable>, data: Uint8Array, repeat = 1) =>
  Effect.map(Program.testRun(program, { data, repeat }), ({ returnValue }) => returnValue)

const sumAt = (map: { readonly lookup: (index: number) => Effect.Effect<ReadonlyArray<bigint>, any> }, index = 0) =>
  Effect.map(map.lookup(index), PerCpu.sum)

const counters = (test: Test): void => {
  test("packet-counter counts every packet once", () =>
    Effect.gen(function*() {
      const { maps, program } = yield* Catalog.load("packet-counter")
      expect(yield* sumAt(maps.packets)).toBe(0n)
      expect(yield* send(program, tcp4(), 1000)).toBe(XDP_PASS)
      expect(yield* send(program, arp())).toBe(XDP_PASS)
      expect(yield* sumAt(maps.packets)).toBe(1001n)
    }))

  test("protocol-counter counts by protocol, over both IPs", () =>
    Effect.gen(function*() {
      const { maps, program } = yield* Catalog.load("protocol-counter")
      for (
        const packet of [
          tcp4(),
          ipv6(6, tcpSegment()),
          udp4(),
          udp4(),
          icmp4(),
          ipv6(17, udpDatagram()),
          arp(),
          cut(tcp4(), 20)
        ]
      ) {
        expect(yield* send(program, packet)).toBe(XDP_PASS)
      }
      const count = (protocol: number) => Effect.map(maps.protocols.lookup(protocol), Option.map(PerCpu.sum))
      expect(yield* count(6)).toEqual(Option.some(2n))
      expect(yield* count(17)).toEqual(Option.some(3n))
      expect(yield* count(1)).toEqual(Option.some(1n))
      expect(yield* maps.protocols.count).toBe(3)
    }))

  test("source-counter counts packets and bytes of each source", () =>
    Effect.gen(function*() {
      const { maps, program } = yield* Catalog.load("source-counter")
      const small = udp4({ from: "10.0.0.7", payload: [] })
      const large = udp4({ from: "10.0.0.7", payload: new Array(100).fill(0) })
      for (const packet of [small, large, tcp4({ from: "10.0.0.8" }), arp()]) {
        expect(yield* send(program, packet)).toBe(ReturnCode.tc.TC_ACT_OK)
      }
      expect(yield* maps.sources.lookup("10.0.0.7")).toEqual(
        Option.some({ packets: 2n, bytes: BigInt(small.length + large.length) })
      )
      expect(Option.map(yield* maps.sources.lookup("10.0.0.8"), ({ packets }) => packets)).toEqual(Option.some(1n))
      expect(yield* maps.sources.count).toBe(2)
    }))

  test("cgroup-traffic counts packets and their bytes without the Ethernet header, and allows them", () =>
    Effect.gen(function*() {
      const { maps, program } = yield* Catalog.load("cgroup-traffic")
      const packet = tcp4({ payload: new Array(50).fill(7) })
      expect(yield* send(program, packet, 3)).toBe(ReturnCode.cgroup.ALLOW)
      expect(PerCpu.sum(yield* maps.traffic.lookup(0))).toEqual({
        packets: 3n,
        bytes: BigInt((packet.length - 14) * 3)
      })
    }))
}

const limits = (test: Test): void => {
  const syn = (from: string) => tcp4({ from, flags: tcpFlags.SYN })

  test("syn-flood-protection drops only the source that floods, and only its SYNs", () =>
    Effect.gen(function*() {
      const { maps, program } = yield* Catalog.load("syn-flood-protection", { limit: 5, windowMs: 3_600_000 })
      for (let i = 0; i < 5; i++) expect(yield* send(program, syn("10.0.0.66")), `SYN ${i}`).toBe(XDP_PASS)
      expect(yield* send(program, syn("10.0.0.66"), 20)).toBe(XDP_DROP)
      expect(yield* send(program, syn("10.0.0.1"))).toBe(XDP_PASS)
      expect(yield* send(program, tcp4({ from: "10.0.0.66" }))).toBe(XDP_PASS)
      expect(yield* send(program, tcp4({ from: "10.0.0.66", flags: tcpFlags.SYN_ACK }))).toBe(XDP_PASS)
      expect(yield* send(program, udp4({ from: "10.0.0.66" }))).toBe(XDP_PASS)
      expect(yield* send(program, cut(syn("10.0.0.66"), 40))).toBe(XDP_DROP)
      const [flooding, calm] = [yield* maps.sources.lookup("10.0.0.66"), yield* maps.sources.lookup("10.0.0.1")]
      expect(Option.getOrThrow(flooding)).toMatchObject({ syns: 25n, dropped: 20n })
      expect(Option.getOrThrow(calm)).toMatchObject({ syns: 1n, dropped: 0n })
    }))

  test("syn-flood-protection forgives a source when its window has passed", () =>
    Effect.gen(function*() {
      const { maps, program } = yield* Catalog.load("syn-flood-protection", { limit: 1, windowMs: 1000 })
      expect(yield* send(program, syn("10.0.0.66"), 1000)).toBe(XDP_DROP)
      yield* Effect.sleep("1100 millis")
      expect(yield* send(program, syn("10.0.0.66"))).toBe(XDP_PASS)
      expect(Option.getOrThrow(yield* maps.sources.lookup("10.0.0.66"))).toMatchObject({ syns: 1n })
    }))

  test("icmp-rate-limit passes a burst, drops the rest, and passes more after a while", () =>
    Effect.gen(function*() {
      const { maps, program } = yield* Catalog.load("icmp-rate-limit", { perSecond: 2, burst: 3 })
      expect(yield* send(program, icmp4(), 10)).toBe(XDP_DROP)
      expect(yield* maps.bucket.lookup(0)).toMatchObject({ started: 1, passed: 3n, dropped: 7n })
      expect(yield* send(program, tcp4())).toBe(XDP_PASS)
      expect(yield* send(program, ipv6(58, [128, 0, 0, 0]))).toBe(XDP_PASS)
      yield* Effect.sleep("600 millis")
      expect(yield* send(program, icmp4())).toBe(XDP_PASS)
      expect(yield* maps.bucket.lookup(0)).toMatchObject({ passed: 4n, dropped: 7n })
    }))
}

/** Counters and limits of the catalog. */
export const catalogState = (test: Test): void => {
  counters(test)
  limits(test)
}
