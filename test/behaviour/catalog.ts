// What the catalog's programs do, on any kernel: verdicts, parsers, filters and lists here, the rest in the files beside.
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { expect } from "vitest"
import { Catalog, Program, ReturnCode } from "../../src/index.ts"
import type { Test } from "../support/kernels.ts"
import * as Packets from "../support/packets.ts"
import { catalogDemos } from "./catalogDemos.ts"
import { catalogEvents } from "./catalogEvents.ts"
import { catalogForwarding } from "./catalogForwarding.ts"
import { catalogState } from "./catalogState.ts"

const { XDP_ABORTED, XDP_DROP, XDP_PASS, XDP_TX } = ReturnCode.xdp
const { arp, cut, ethernet, icmp4, ipv4, ipv6, tcp4, tcpSegment, udp4, udpDatagram } = Packets

/** What a program says to a packet. */
export const verdictOf = (program: Program.Program<Program.TestRunnable>, data: Uint8Array) =>
  Effect.map(Program.testRun(program, { data }), ({ returnValue }) => returnValue)

/** Runs a program on packets, and holds its verdicts to what is expected. */
const expectVerdicts = (
  program: Program.Program<Program.TestRunnable>,
  cases: ReadonlyArray<readonly [what: string, data: Uint8Array, verdict: number]>
) =>
  Effect.forEach(
    cases,
    ([what, data, wanted]) => Effect.map(verdictOf(program, data), (got) => expect(got, what).toBe(wanted))
  )

/** Why a kernel of this version would lack a program; all others are loaded everywhere. */
const needs: { readonly [N in Catalog.Name]?: "ringbuf" } = {
  "ring-buffer-output": "ringbuf",
  "timestamp-tracer": "ringbuf",
  "execve-tracer": "ringbuf",
  "connection-log": "ringbuf"
}

/** LSM programs are loaded where the kernel has them: the files that run these specs see to it. */
const loadable = Catalog.names.filter((name) => name !== "lsm-file-open")

const loading = (test: Test): void => {
  for (const name of loadable) {
    test(`${name} is loaded, with its maps`, () =>
      Effect.gen(function*() {
        const entry = Catalog.get(name)
        const loaded = yield* Catalog.load(name)
        expect(loaded.program).toMatchObject({ type: entry.program.type, name: entry.program.name })
        expect(loaded.program.fd).toBeGreaterThan(0)
        expect(Object.keys(loaded.maps)).toEqual(Object.keys(entry.maps))
        expect(Object.keys(loaded.companions)).toEqual(Object.keys(entry.companions))
      }), needs[name] === undefined ? {} : { needs: needs[name] })
  }

  test("what cannot be loaded leaves no map behind", () =>
    Effect.gen(function*() {
      const entry = Catalog.get("tail-call-dispatcher")
      const broken = { ...entry, program: { ...entry.program, instructions: [] } }
      expect(yield* Effect.flip(Catalog.loadEntry(broken))).toMatchObject({ _tag: "AsmError" })
    }))
}

const verdicts = (test: Test): void => {
  test("xdp-pass, xdp-drop and xdp-abort give their verdict to every packet", () =>
    Effect.gen(function*() {
      for (
        const [name, wanted] of [["xdp-pass", XDP_PASS], ["xdp-drop", XDP_DROP], ["xdp-abort", XDP_ABORTED]] as const
      ) {
        const { program } = yield* Catalog.load(name)
        yield* expectVerdicts(program, [["TCP", tcp4(), wanted], ["a bare header", ethernet(0, []), wanted]])
      }
    }))

  test("xdp-reflect swaps the Ethernet addresses and leaves the rest", () =>
    Effect.gen(function*() {
      const { program } = yield* Catalog.load("xdp-reflect")
      const packet = tcp4()
      const { data, returnValue } = yield* Program.testRun(program, { data: packet })
      expect(returnValue).toBe(XDP_TX)
      expect(Packets.addressesOf(data)).toMatchObject({
        sourceMac: Packets.MAC.server,
        destinationMac: Packets.MAC.client
      })
      expect(data.subarray(12)).toEqual(packet.subarray(12))
    }))

  test("size-filter passes packets of its limits, and none beyond", () =>
    Effect.gen(function*() {
      const { program } = yield* Catalog.load("size-filter", { least: 64, most: 128 })
      const sized = (size: number) => ethernet(0x0800, new Uint8Array(size - 14))
      yield* expectVerdicts(program, [
        ["63", sized(63), XDP_DROP],
        ["64", sized(64), XDP_PASS],
        ["128", sized(128), XDP_PASS],
        ["129", sized(129), XDP_DROP]
      ])
    }))
}

const parsers = (test: Test): void => {
  test("ethernet-parser reads addresses, type and VLAN", () =>
    Effect.gen(function*() {
      const { maps, program } = yield* Catalog.load("ethernet-parser")
      const macs = { destination: Packets.MAC.server, source: Packets.MAC.client }
      yield* expectVerdicts(program, [["ARP", arp(), XDP_PASS]])
      expect(yield* maps.header.lookup(0)).toEqual({ seen: 1n, ...macs, type: 0x0806, vlan: 0 })
      // The tag's upper four bits are no part of the VLAN.
      yield* expectVerdicts(program, [["802.1Q", ethernet(0x0800, new Uint8Array(30), 0xa00a), XDP_PASS]])
      expect(yield* maps.header.lookup(0)).toEqual({ seen: 2n, ...macs, type: 0x0800, vlan: 10 })
      yield* expectVerdicts(program, [["802.1ad", ethernet(0x86dd, new Uint8Array(30), 4094, 0x88a8), XDP_PASS]])
      expect(yield* maps.header.lookup(0)).toEqual({ seen: 3n, ...macs, type: 0x86dd, vlan: 4094 })
      yield* expectVerdicts(program, [["half a tag", cut(ethernet(0x0800, [], 10), 16), XDP_DROP]])
      expect((yield* maps.header.lookup(0)).seen).toBe(3n)
    }))

  test("ipv4-parser reads the header, with options and fragments, and drops what is none", () =>
    Effect.gen(function*() {
      const { maps, program } = yield* Catalog.load("ipv4-parser")
      const plain = udp4({ from: "192.0.2.1", to: "198.51.100.7" })
      yield* expectVerdicts(program, [["plain", plain, XDP_PASS]])
      const header = {
        seen: 1n,
        source: "192.0.2.1",
        destination: "198.51.100.7",
        protocol: 17,
        ttl: 64,
        headerLength: 20,
        moreFragments: false,
        totalLength: 32,
        fragmentOffset: 0
      }
      expect(yield* maps.header.lookup(0)).toEqual(header)
      const fragment = ipv4(6, new Uint8Array(16), { options: [1, 1, 1, 1], fragment: 0x2000 | 185 })
      yield* expectVerdicts(program, [["fragment", fragment, XDP_PASS]])
      expect(yield* maps.header.lookup(0)).toMatchObject({
        seen: 2n,
        protocol: 6,
        headerLength: 24,
        moreFragments: true,
        totalLength: 40,
        fragmentOffset: 1480
      })
      const changed = (at: number, byte: number) => plain.with(at, byte)
      yield* expectVerdicts(program, [
        ["cut off", cut(plain, 33), XDP_DROP],
        ["options cut off", cut(fragment, 37), XDP_DROP],
        ["version 6 in an IPv4 packet", changed(14, 0x65), XDP_DROP],
        ["a header of 4 words", changed(14, 0x44), XDP_DROP],
        ["IPv6", ipv6(17, udpDatagram()), XDP_PASS],
        ["behind a VLAN tag", udp4({ vlan: 10 }), XDP_PASS],
        ["ARP", arp(), XDP_PASS]
      ])
      expect((yield* maps.header.lookup(0)).seen).toBe(2n)
    }))

  test("ipv6-parser reads the header, and drops what is none", () =>
    Effect.gen(function*() {
      const { maps, program } = yield* Catalog.load("ipv6-parser")
      const packet = ipv6(17, udpDatagram(), { from: "2001:db8::a", to: "ff02::1", flowLabel: 0xfedcb })
      yield* expectVerdicts(program, [["IPv6", packet, XDP_PASS]])
      const header = {
        seen: 1n,
        source: "2001:db8::a",
        destination: "ff02::1",
        nextHeader: 17,
        hopLimit: 64,
        payloadLength: 12,
        flowLabel: 0xfedcb
      }
      expect(yield* maps.header.lookup(0)).toEqual(header)
      yield* expectVerdicts(program, [
        ["cut off", cut(packet, 53), XDP_DROP],
        ["version 4 in an IPv6 packet", packet.with(14, 0x45), XDP_DROP],
        ["IPv4", tcp4(), XDP_PASS]
      ])
      expect(yield* maps.header.lookup(0)).toEqual(header)
    }))
}

const filters = (test: Test): void => {
  test("ethertype-filter passes one EtherType", () =>
    Effect.gen(function*() {
      const { program } = yield* Catalog.load("ethertype-filter", { etherType: 0x0806 })
      yield* expectVerdicts(program, [["ARP", arp(), XDP_PASS], ["IPv4", tcp4(), XDP_DROP]])
      const standard = yield* Catalog.load("ethertype-filter")
      yield* expectVerdicts(standard.program, [
        ["IPv4", tcp4(), XDP_PASS],
        ["tagged", tcp4({ vlan: 1 }), XDP_DROP],
        ["ARP", arp(), XDP_DROP]
      ])
    }))

  test("protocol-filter passes one protocol over both IPs", () =>
    Effect.gen(function*() {
      const { program } = yield* Catalog.load("protocol-filter", { protocol: 17 })
      yield* expectVerdicts(program, [
        ["UDP over IPv4", udp4(), XDP_PASS],
        ["UDP over IPv6", ipv6(17, udpDatagram()), XDP_PASS],
        ["TCP over IPv4", tcp4(), XDP_DROP],
        ["TCP over IPv6", ipv6(6, tcpSegment()), XDP_DROP],
        ["ICMP", icmp4(), XDP_DROP],
        ["ARP", arp(), XDP_DROP],
        ["cut off", cut(udp4(), 30), XDP_DROP]
      ])
    }))

  test("tcp-port-filter passes TCP to one port, with options and over IPv6, and nothing else", () =>
    Effect.gen(function*() {
      const { program } = yield* Catalog.load("tcp-port-filter", { port: 8443 })
      const wanted = { port: 8443 }
      yield* expectVerdicts(program, [
        ["the port", tcp4(wanted), XDP_PASS],
        ["behind IP options", tcp4({ ...wanted, options: [1, 1, 1, 1, 1, 1, 1, 0] }), XDP_PASS],
        ["over IPv6", ipv6(6, tcpSegment(wanted)), XDP_PASS],
        ["the first fragment", tcp4({ ...wanted, fragment: 0x2000 }), XDP_PASS],
        ["a later fragment", tcp4({ ...wanted, fragment: 0x2000 | 8 }), XDP_DROP],
        ["another port", tcp4({ port: 8444 }), XDP_DROP],
        ["the port as source", tcp4({ sourcePort: 8443, port: 1 }), XDP_DROP],
        ["another port over IPv6", ipv6(6, tcpSegment({ port: 1 })), XDP_DROP],
        ["UDP to it", udp4(wanted), XDP_DROP],
        ["behind an IPv6 extension header", ipv6(0, tcpSegment(wanted)), XDP_DROP],
        ["behind a VLAN tag", tcp4({ ...wanted, vlan: 5 }), XDP_DROP],
        ["a header cut off", cut(tcp4(wanted), 53), XDP_DROP],
        ["an IPv6 header cut off", cut(ipv6(6, tcpSegment(wanted)), 73), XDP_DROP]
      ])
    }))

  test("udp-port-range passes UDP to its ports, both ends included", () =>
    Effect.gen(function*() {
      const { program } = yield* Catalog.load("udp-port-range", { first: 100, last: 200 })
      yield* expectVerdicts(program, [
        ["99", udp4({ port: 99 }), XDP_DROP],
        ["100", udp4({ port: 100 }), XDP_PASS],
        ["200", udp4({ port: 200 }), XDP_PASS],
        ["201", udp4({ port: 201 }), XDP_DROP],
        ["over IPv6", ipv6(17, udpDatagram({ port: 150 })), XDP_PASS],
        ["TCP", tcp4({ port: 150 }), XDP_DROP],
        ["a header cut off", cut(udp4({ port: 150 }), 41), XDP_DROP]
      ])
    }))

  test("options beyond their limits are an error, and no program", () =>
    Effect.gen(function*() {
      for (const port of [-1, 65536, 1.5, Number.NaN]) {
        const error = yield* Effect.flip(Catalog.load("tcp-port-filter", { port }))
        expect(error).toMatchObject({
          _tag: "AsmError",
          expected: "port: an integer from 0 to 65535",
          actual: String(port)
        })
      }
      expect(yield* Effect.flip(Catalog.load("udp-port-range", { first: 10, last: 9 }))).toMatchObject({
        _tag: "AsmError"
      })
      expect(yield* Effect.flip(Catalog.load("ip-allow-list", { maxEntries: 0 }))).toMatchObject({
        _tag: "InvalidArgument",
        field: "maxEntries"
      })
    }))
}

const lists = (test: Test): void => {
  test("ip-allow-list passes whom the map has, while it changes", () =>
    Effect.gen(function*() {
      const { maps, program } = yield* Catalog.load("ip-allow-list")
      const friend = tcp4({ from: "192.0.2.9" })
      yield* expectVerdicts(program, [["an empty list", friend, XDP_DROP], ["ARP", arp(), XDP_PASS]])
      yield* maps.allowed.update("192.0.2.9", 0n)
      yield* expectVerdicts(program, [
        ["on the list", friend, XDP_PASS],
        ["on the list again", udp4({ from: "192.0.2.9" }), XDP_PASS],
        ["not on it", tcp4({ from: "192.0.2.10" }), XDP_DROP],
        ["only as destination", tcp4({ to: "192.0.2.9" }), XDP_DROP],
        ["cut off", cut(friend, 33), XDP_DROP]
      ])
      expect(yield* maps.allowed.lookup("192.0.2.9")).toEqual(Option.some(2n))
      yield* maps.allowed.delete("192.0.2.9")
      yield* expectVerdicts(program, [["off the list", friend, XDP_DROP]])
    }))

  test("ip-allow-prefixes passes networks, and counts by the longest prefix", () =>
    Effect.gen(function*() {
      const { maps, program } = yield* Catalog.load("ip-allow-prefixes")
      yield* maps.allowed.update("10.0.0.0/8", 0n)
      yield* maps.allowed.update("10.1.0.0/16", 0n)
      yield* expectVerdicts(program, [
        ["the wide one", tcp4({ from: "10.2.3.4" }), XDP_PASS],
        ["the narrow one", tcp4({ from: "10.1.3.4" }), XDP_PASS],
        ["the narrow one again", icmp4({ from: "10.1.255.255" }), XDP_PASS],
        ["neither", tcp4({ from: "11.1.3.4" }), XDP_DROP],
        ["IPv6", ipv6(6, tcpSegment()), XDP_PASS]
      ])
      expect(yield* maps.allowed.lookup("10.2.0.0/32")).toEqual(Option.some(1n))
      expect(yield* maps.allowed.lookup("10.1.0.0/32")).toEqual(Option.some(2n))
    }))

  test("ipv6-allow-prefixes passes networks of IPv6", () =>
    Effect.gen(function*() {
      const { maps, program } = yield* Catalog.load("ipv6-allow-prefixes")
      yield* maps.allowed.update("2001:db8::/33", 0n)
      yield* expectVerdicts(program, [
        ["inside", ipv6(6, tcpSegment(), { from: "2001:db8:7fff::1" }), XDP_PASS],
        ["one bit beside", ipv6(6, tcpSegment(), { from: "2001:db8:8000::1" }), XDP_DROP],
        ["cut off", cut(ipv6(6, []), 53), XDP_DROP],
        ["IPv4", tcp4(), XDP_PASS]
      ])
      expect(yield* maps.allowed.lookup("2001:db8::1")).toEqual(Option.some(1n))
    }))

  test("map-lookup gives the verdict that the map has for a port", () =>
    Effect.gen(function*() {
      const { maps, program } = yield* Catalog.load("map-lookup")
      yield* maps.verdicts.update(53, XDP_DROP)
      yield* maps.verdicts.update(54, XDP_TX)
      yield* expectVerdicts(program, [
        ["53", udp4({ port: 53 }), XDP_DROP],
        ["54", udp4({ port: 54 }), XDP_TX],
        ["no entry", udp4({ port: 55 }), XDP_PASS],
        ["TCP", tcp4({ port: 53 }), XDP_PASS],
        ["cut off", cut(udp4({ port: 55 }), 41), XDP_DROP]
      ])
    }))
}

/** All behaviours of the catalog's programs. */
export const catalog = (test: Test): void => {
  loading(test)
  verdicts(test)
  parsers(test)
  filters(test)
  lists(test)
  catalogState(test)
  catalogForwarding(test)
  catalogEvents(test)
  catalogDemos(test)
}
