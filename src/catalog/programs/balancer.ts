// A load balancer in one program: what a packet's flow hashes to says which backend gets it.
import * as Asm from "../../isa/Asm.ts"
import * as Snippets from "../../isa/Snippets.ts"
import * as Address from "../../layout/Address.ts"
import * as Layout from "../../layout/Layout.ts"
import * as ArrayMap from "../../map/ArrayMap.ts"
import * as PerCpuArrayMap from "../../map/PerCpuArrayMap.ts"
import * as ProgramSpec from "../../spec/ProgramSpec.ts"
import { xdp } from "../../spec/ReturnCode.ts"
import { checked, configured, recipe } from "../internal/entry.ts"
import {
  Ethernet,
  FRAGMENT_OFFSET,
  Ipv4Packet,
  MORE_FRAGMENTS,
  offsetOf,
  protocol,
  Tcp,
  Udp
} from "../internal/headers.ts"
import { copy, ethernet, increment, ipv4, verdict, within } from "../internal/parse.ts"

/** A machine that packets are sent to. */
export const Backend = Layout.struct({ address: Address.ipv4, mac: Address.mac })

/** What is balanced. */
export const Service = Layout.struct({
  /** The address that clients send to. */
  address: Address.ipv4,
  /** How many backends, from the first on, are in use; with 0 nothing is balanced. */
  backends: Layout.u32
})

/** The options of `load-balancer`. */
export interface LoadBalancerOptions {
  /** How many backends there is room for, from 1 to 65536; 16 unless given. */
  readonly maxBackends?: number
}

/** `Service` and `Backend` as programs see them: the address as it is on the wire. */
const ServiceWords = Layout.struct({ address: Layout.u32, backends: Layout.u32 })
const BackendWords = Layout.struct({ address: Layout.u32, mac: Layout.bytes(6) })

const slots = Snippets.stack({
  key: Layout.u32,
  /** The destination before and after, in the order of the checksum's difference. */
  before: Layout.u32,
  after: Layout.u32,
  /** The address of the backend. */
  backend: Layout.pointer
})

/** A prime near 2^32 divided by the golden ratio: multiplied by it, bits that differ anywhere differ in the upper half. */
const SPREAD = 0x9e3779b1 | 0

/** r5 = a hash of r5 and r1, in 32 bits. */
const mix: Asm.Item = [
  Asm.xor32("r5", "r1"),
  Asm.mul32("r5", SPREAD),
  Asm.mov32("r1", "r5"),
  Asm.rsh32("r1", 15),
  Asm.xor32("r5", "r1")
]

/** r5 = a hash of the flow: addresses, ports and protocol. */
const hashFlow: Asm.Item = [
  Snippets.readField("r5", "r7", Ipv4Packet, "ip.protocol"),
  Snippets.readField("r1", "r7", Ipv4Packet, "ip.source"),
  mix,
  Snippets.readField("r1", "r7", Ipv4Packet, "ip.destination"),
  mix,
  Asm.ldxw("r1", "r9", 0), // both ports
  mix
]

/** Goes on with whole TCP and UDP packets over IPv4: r9 is their header, of which what both have is there. */
const onlyWithPorts: Asm.Item = [
  ethernet("xdp", "drop"),
  ipv4({ short: "drop", other: "pass" }),
  Snippets.readField("r1", "r7", Ipv4Packet, "ip.fragment"),
  Asm.and("r1", FRAGMENT_OFFSET | MORE_FRAGMENTS), // fragments after the first have no ports, and must not go elsewhere
  Asm.jne("r1", 0, "pass"),
  Snippets.readField("r1", "r7", Ipv4Packet, "ip.protocol"),
  Asm.jeq("r1", protocol.UDP, "udp"),
  Asm.jne("r1", protocol.TCP, "pass"),
  within("r9", Tcp.size, "drop"),
  Asm.label("udp"),
  within("r9", Udp.size, "drop")
]

/** The key at `slots.key` = the index of the flow's backend; packets to other addresses pass. */
const choose: Asm.Item = [
  Snippets.store(slots.key, 0),
  Snippets.mapLookup("service", slots.key, "pass"),
  Snippets.readField("r1", "r0", ServiceWords, "address"),
  Snippets.readField("r2", "r7", Ipv4Packet, "ip.destination"),
  Asm.jne("r1", "r2", "pass"),
  Snippets.readField("r4", "r0", ServiceWords, "backends"),
  Asm.jeq("r4", 0, "pass"),
  hashFlow,
  Asm.mod32("r5", "r4"),
  Snippets.store(slots.key, "r5")
]

/**
 * r2 = the checksum in r2 after the change that r6 is the difference of (RFC 1624): its complement and the difference are
 * added with carries, and complemented again.
 */
const update: Asm.Item = [
  Asm.xor("r2", 0xffff),
  Asm.add("r2", "r6"),
  [1, 2, 3].map(() => [Asm.mov("r1", "r2"), Asm.rsh("r1", 16), Asm.and("r2", 0xffff), Asm.add("r2", "r1")]),
  Asm.xor("r2", 0xffff)
]

/** Sets the destination of the IP header to that of the backend, and r6 to the checksum's difference. */
const rewriteAddress: Asm.Item = [
  Snippets.readField("r1", "r7", Ipv4Packet, "ip.destination"),
  Snippets.store(slots.before, "r1"),
  Snippets.load("r2", slots.backend),
  Snippets.readField("r2", "r2", BackendWords, "address"),
  Snippets.store(slots.after, "r2"),
  Snippets.writeField("r7", Ipv4Packet, "ip.destination", "r2"),
  Snippets.addressOf("r1", slots.before),
  Asm.mov("r2", 4),
  Snippets.addressOf("r3", slots.after),
  Asm.mov("r4", 4),
  Asm.mov("r5", 0),
  Asm.call("csum_diff"),
  Asm.mov("r6", "r0"), // the context is not needed any more
  Snippets.readField("r2", "r7", Ipv4Packet, "ip.checksum"),
  update,
  Snippets.writeField("r7", Ipv4Packet, "ip.checksum", "r2")
]

/** TCP and UDP have the address in their checksums too. One of 0 is UDP's for none at all, and so never the sum. */
const rewriteTransport: Asm.Item = [
  Snippets.readField("r1", "r7", Ipv4Packet, "ip.protocol"),
  Asm.jeq("r1", protocol.UDP, "udp_checksum"),
  within("r9", Tcp.size, "drop"), // the verifier has forgotten which protocol it was
  Snippets.readField("r2", "r9", Tcp, "checksum"),
  update,
  Snippets.writeField("r9", Tcp, "checksum", "r2"),
  Asm.ja("addressed"),
  Asm.label("udp_checksum"),
  Snippets.readField("r2", "r9", Udp, "checksum"),
  Asm.jeq("r2", 0, "addressed"),
  update,
  Asm.jne("r2", 0, "summed"),
  Asm.mov("r2", 0xffff),
  Asm.label("summed"),
  Snippets.writeField("r9", Udp, "checksum", "r2"),
  Asm.label("addressed")
]

/** The packet comes from this machine, and goes to the backend. */
const rewriteEthernet: Asm.Item = [
  Snippets.load("r2", slots.backend),
  copy(
    { base: "r7", offset: offsetOf(Ethernet, "source") },
    { base: "r7", offset: offsetOf(Ethernet, "destination") },
    6
  ),
  copy(
    { base: "r7", offset: offsetOf(Ethernet, "destination") },
    { base: "r2", offset: offsetOf(BackendWords, "mac") },
    6
  )
]

/**
 * Spreads TCP and UDP packets to one IPv4 address over machines in the same network: all packets of a flow go to the same
 * one, chosen by a hash of addresses, ports and protocol. It rewrites the destination's IP and Ethernet addresses, sets
 * the checksums right, and sends the packet back out of the device that it came from. All else passes.
 *
 * The map `service` says which address is balanced over how many backends, the map `backends` which those are, and the map
 * `sent` counts what each got, each CPU for itself. Answers must come back by this machine, or backends must answer in the
 * name of the service's address themselves. Fragments pass, for only the first has ports.
 */
export const loadBalancer = configured(["maxBackends"], ({ maxBackends = 16 }: LoadBalancerOptions = {}) =>
  recipe({
    description: "Spreads the flows to one IPv4 address over backends, with addresses and checksums rewritten.",
    since: [4, 16],
    maps: {
      service: ArrayMap.define({ name: "service", value: Service, maxEntries: 1 }),
      backends: ArrayMap.define({ name: "backends", value: Backend, maxEntries: maxBackends }),
      sent: PerCpuArrayMap.define({ name: "sent", value: Layout.u64, maxEntries: maxBackends })
    },
    program: ProgramSpec.make({
      type: "xdp",
      name: "load_balancer",
      instructions: [
        checked("maxBackends", maxBackends, 1, 65536),
        onlyWithPorts,
        choose,
        Snippets.mapLookup("backends", slots.key, "pass"),
        Snippets.store(slots.backend, "r0"),
        rewriteAddress,
        rewriteTransport,
        rewriteEthernet,
        Snippets.mapLookup("sent", slots.key, "send"),
        increment("r0"),
        verdict("send", xdp.XDP_TX),
        verdict("pass", xdp.XDP_PASS),
        verdict("drop", xdp.XDP_DROP)
      ]
    })
  }))
