// The catalog's programs of traffic control, and those that send packets elsewhere.
import * as Effect from "effect/Effect"
import { expect } from "vitest"
import { Catalog, PerCpu, Program, ProgramContext, ReturnCode } from "../../src/index.ts"
import { contextAfter } from "../support/contextAfter.ts"
import type { Test } from "../support/kernels.ts"
import {
  addressesOf,
  arp,
  checksumsAreRight,
  cut,
  ethernet,
  icmp4,
  ipv4,
  ipv6,
  MAC,
  tcp4,
  tcpSegment,
  udp4
} from "../support/packets.ts"

const { XDP_DROP, XDP_PASS, XDP_REDIRECT, XDP_TX } = ReturnCode.xdp
const { TC_ACT_OK, TC_ACT_SHOT, TC_ACT_UNSPEC } = ReturnCode.tc

const send = (program: Program.Program<Program.TestRunnable>, data: Uint8Array) => Program.testRun(program, { data })
const verdictOf = (program: Program.Program<Program.TestRunnable>, data: Uint8Array) =>
  Effect.map(send(program, data), ({ returnValue }) => returnValue | 0)

const counts = (
  map: { readonly lookup: (index: number) => Effect.Effect<ReadonlyArray<bigint>, any> },
  length: number
) => Effect.forEach(Array.from({ length }, (_, i) => i), (index) => Effect.map(map.lookup(index), PerCpu.sum))

const trafficControl = (test: Test): void => {
  test("tc-ok and tc-shot give their verdict to every packet", () =>
    Effect.gen(function*() {
      const ok = yield* Catalog.load("tc-ok")
      expect(yield* verdictOf(ok.program, tcp4())).toBe(TC_ACT_OK)
      const shot = yield* Catalog.load("tc-shot")
      expect(yield* verdictOf(shot.program, tcp4())).toBe(TC_ACT_SHOT)
    }))

  test("tc-size-classifier sorts by length, at its limits", () =>
    Effect.gen(function*() {
      const { maps, program } = yield* Catalog.load("tc-size-classifier", { medium: 100, large: 200 })
      for (const size of [14, 99, 100, 199, 200, 1000]) {
        expect(yield* verdictOf(program, ethernet(0x88b5, new Uint8Array(size - 14 || 1)))).toBe(TC_ACT_OK)
      }
      expect(yield* counts(maps.classes, 3)).toEqual([2n, 2n, 2n])
    }))

  test("tc-size-classifier sets the class as the packet's priority, and its minor number as the mark", () =>
    Effect.gen(function*() {
      const { program } = yield* Catalog.load("tc-size-classifier", { medium: 100, large: 200, major: 7 })
      for (const [size, minor] of [[60, 1], [150, 2], [1000, 3]] as const) {
        const packet = ethernet(0x88b5, new Uint8Array(size - 14))
        const context = yield* contextAfter(program, packet, ProgramContext.__sk_buff)
        expect(context).toMatchObject({ mark: minor, priority: 7 * 65536 + minor })
      }
    }))

  test("tc-ethertype-shot drops one EtherType, and leaves others to the next program", () =>
    Effect.gen(function*() {
      const { program } = yield* Catalog.load("tc-ethertype-shot")
      expect(yield* verdictOf(program, ipv6(6, tcpSegment()))).toBe(TC_ACT_SHOT)
      expect(yield* verdictOf(program, tcp4())).toBe(TC_ACT_UNSPEC)
    }))
}

const dispatching = (test: Test): void => {
  test("tail-call-dispatcher goes on in the program of the protocol, and here without one", () =>
    Effect.gen(function*() {
      const { maps, program } = yield* Catalog.load("tail-call-dispatcher")
      const cases = [
        [tcp4(), XDP_PASS],
        [udp4(), XDP_PASS],
        [udp4(), XDP_PASS],
        [icmp4(), XDP_DROP],
        [ipv4(132, new Uint8Array(8)), XDP_PASS],
        [arp(), XDP_PASS],
        [cut(tcp4(), 20), XDP_PASS]
      ] as const
      for (const [packet, wanted] of cases) expect(yield* verdictOf(program, packet)).toBe(wanted)
      expect(yield* counts(maps.handled, 4)).toEqual([3n, 1n, 2n, 1n]) // none, TCP, UDP, ICMP
    }))

  test("a handler of tail-call-dispatcher can be taken away and replaced", () =>
    Effect.gen(function*() {
      const { companions, maps, program } = yield* Catalog.load("tail-call-dispatcher")
      expect(yield* maps.handlers.delete(6)).toBe(true)
      expect(yield* verdictOf(program, tcp4())).toBe(XDP_PASS)
      expect(yield* counts(maps.handled, 4)).toEqual([1n, 0n, 0n, 0n])
      yield* maps.handlers.update(6, companions.icmp)
      expect(yield* verdictOf(program, tcp4())).toBe(XDP_DROP)
      expect(yield* counts(maps.handled, 4)).toEqual([1n, 0n, 0n, 1n])
    }))

  // The only device that every kernel has is lo, at 1. A test run sends nothing there.
  test("xdp-redirect redirects once the map has a device, and passes before", () =>
    Effect.gen(function*() {
      const { maps, program } = yield* Catalog.load("xdp-redirect", { index: 3 })
      expect(yield* verdictOf(program, tcp4())).toBe(XDP_PASS)
      yield* maps.devices.update(2, { ifindex: 1 })
      expect(yield* verdictOf(program, tcp4())).toBe(XDP_PASS)
      yield* maps.devices.update(3, { ifindex: 1 })
      expect(yield* verdictOf(program, tcp4())).toBe(XDP_REDIRECT)
      yield* maps.devices.delete(3)
      expect(yield* verdictOf(program, tcp4())).toBe(XDP_PASS)
    }))
}

const VIRTUAL = "203.0.113.1"
const backends = [1, 2, 3, 4].map((n) => ({ address: `10.9.0.${n}`, mac: `02:00:00:00:09:0${n}` }))

const balancing = (test: Test): void => {
  const balancer = Effect.gen(function*() {
    const loaded = yield* Catalog.load("load-balancer")
    for (const [index, backend] of backends.entries()) yield* loaded.maps.backends.update(index, backend)
    yield* loaded.maps.service.update(0, { address: VIRTUAL, backends: backends.length })
    return loaded
  })

  test("load-balancer rewrites the destination and sets all checksums right", () =>
    Effect.gen(function*() {
      const { program } = yield* balancer
      for (const packet of [tcp4, udp4]) {
        for (let i = 0; i < 64; i++) {
          const payload = Array.from({ length: i }, (_, at) => (at * 37 + i) & 0xff)
          const original = packet({ to: VIRTUAL, from: `198.51.100.${i}`, sourcePort: 1000 + i, payload })
          const { data, returnValue } = yield* send(program, original)
          expect(returnValue).toBe(XDP_TX)
          expect(checksumsAreRight(data), `packet ${i}`).toBe(true)
          const { destination, destinationMac, source, sourceMac } = addressesOf(data)
          expect(backends).toContainEqual({ address: destination, mac: destinationMac })
          expect([source, sourceMac]).toEqual([`198.51.100.${i}`, MAC.server])
          // Nothing but addresses and checksums is another: ports and payload are as they were.
          expect(data.subarray(34, 38)).toEqual(original.subarray(34, 38))
          expect(data.subarray(original.length - i)).toEqual(original.subarray(original.length - i))
        }
      }
    }))

  test("load-balancer keeps a flow on its backend, spreads flows over all, and counts them", () =>
    Effect.gen(function*() {
      const { maps, program } = yield* balancer
      const backendOf = (sourcePort: number) =>
        Effect.map(
          send(program, tcp4({ to: VIRTUAL, sourcePort, options: [1, 1, 1, 1] })),
          ({ data }) => addressesOf(data).destination
        )
      const got = new Map(backends.map(({ address }) => [address, 0]))
      for (let sourcePort = 20_000; sourcePort < 20_200; sourcePort++) {
        const first = yield* backendOf(sourcePort)
        expect(yield* backendOf(sourcePort)).toBe(first)
        got.set(first, got.get(first)! + 2)
      }
      expect(Math.min(...got.values())).toBeGreaterThan(40) // of 100 in the mean
      const sent = yield* counts(maps.sent, backends.length)
      expect(sent).toEqual(backends.map(({ address }) => BigInt(got.get(address)!)))
    }))

  test("load-balancer leaves a UDP packet without a checksum without one", () =>
    Effect.gen(function*() {
      const { program } = yield* balancer
      const { data, returnValue } = yield* send(program, udp4({ to: VIRTUAL, checksum: false }))
      expect(returnValue).toBe(XDP_TX)
      expect([...data.subarray(40, 42)]).toEqual([0, 0])
      expect(backends.map(({ address }) => address)).toContain(addressesOf(data).destination)
    }))

  test("load-balancer writes 0xffff for a UDP checksum of 0, which would mean none", () =>
    Effect.gen(function*() {
      const { maps, program } = yield* balancer
      yield* maps.service.update(0, { address: VIRTUAL, backends: 1 })
      // A payload of just what the rest sums up to makes the checksum 0, once the packet is addressed to the backend.
      const sum = udp4({ to: backends[0]!.address, payload: [0, 0] }).subarray(40, 42)
      const { data } = yield* send(program, udp4({ to: VIRTUAL, payload: [...sum] }))
      expect(addressesOf(data).destination).toBe(backends[0]!.address)
      expect([...data.subarray(40, 42)]).toEqual([0xff, 0xff])
      expect(checksumsAreRight(data)).toBe(true)
    }))

  test("load-balancer lets alone what is not for its service", () =>
    Effect.gen(function*() {
      const { maps, program } = yield* balancer
      const others: ReadonlyArray<readonly [string, Uint8Array, number]> = [
        ["another address", tcp4({ to: "203.0.113.2" }), XDP_PASS],
        ["ICMP", icmp4({ to: VIRTUAL }), XDP_PASS],
        ["a first fragment", tcp4({ to: VIRTUAL, fragment: 0x2000 }), XDP_PASS],
        ["a later fragment", tcp4({ to: VIRTUAL, fragment: 20 }), XDP_PASS],
        ["behind a VLAN tag", tcp4({ to: VIRTUAL, vlan: 9 }), XDP_PASS],
        ["ARP", arp(), XDP_PASS],
        ["a TCP header cut off", cut(tcp4({ to: VIRTUAL }), 53), XDP_DROP],
        ["a UDP header cut off", cut(udp4({ to: VIRTUAL }), 41), XDP_DROP]
      ]
      for (const [what, packet, wanted] of others) {
        const { data, returnValue } = yield* send(program, packet)
        expect(returnValue, what).toBe(wanted)
        expect(data, what).toEqual(packet)
      }
      yield* maps.service.update(0, { address: VIRTUAL, backends: 0 })
      expect(yield* verdictOf(program, tcp4({ to: VIRTUAL }))).toBe(XDP_PASS)
    }))
}

/** Traffic control and forwarding of the catalog. */
export const catalogForwarding = (test: Test): void => {
  trafficControl(test)
  dispatching(test)
  balancing(test)
}
