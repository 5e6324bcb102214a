// Programs that count packets.
import * as Asm from "../../isa/Asm.ts"
import * as Snippets from "../../isa/Snippets.ts"
import * as Address from "../../layout/Address.ts"
import * as Layout from "../../layout/Layout.ts"
import * as HashMap from "../../map/HashMap.ts"
import * as PerCpuArrayMap from "../../map/PerCpuArrayMap.ts"
import * as PerCpuHashMap from "../../map/PerCpuHashMap.ts"
import { __sk_buff } from "../../spec/ProgramContext.ts"
import * as ProgramSpec from "../../spec/ProgramSpec.ts"
import { cgroup, tc, xdp } from "../../spec/ReturnCode.ts"
import { configured, recipe } from "../internal/entry.ts"
import { Ethernet, etherType, Ipv4Packet, Ipv6Packet, offsetOf } from "../internal/headers.ts"
import { ethernet, increment, ipv4, ipv6, verdict } from "../internal/parse.ts"

/** Packets and their bytes. */
export const Traffic = Layout.struct({ packets: Layout.u64, bytes: Layout.u64 })

const slots = Snippets.stack({ key: Layout.u32, traffic: Traffic, count: Layout.u64 })

/** Adds the packet to the `Traffic` that r0 points to; r2 is its length. */
const addTraffic: Asm.Item = [
  increment("r0", offsetOf(Traffic, "packets")),
  Asm.atomicAdd("r0", offsetOf(Traffic, "bytes"), "r2")
]

/**
 * Counts packets, each CPU for itself: the one value of the map `packets` is an array of one count for each possible CPU,
 * which `PerCpu.sum` adds up. Every packet passes.
 */
export const packetCounter = () =>
  recipe({
    description: "Counts packets, each CPU for itself.",
    since: [4, 8],
    maps: { packets: PerCpuArrayMap.define({ name: "packets", value: Layout.u64, maxEntries: 1 }) },
    program: ProgramSpec.make({
      type: "xdp",
      name: "packet_counter",
      instructions: [
        Snippets.store(slots.key, 0),
        Snippets.mapLookup("packets", slots.key, "pass"),
        // No other CPU touches this value, and a plain addition is enough.
        Asm.ldxdw("r1", "r0", 0),
        Asm.add("r1", 1),
        Asm.stdw("r0", 0, "r1"),
        verdict("pass", xdp.XDP_PASS)
      ]
    })
  })

/**
 * Counts IPv4 and IPv6 packets by their protocol (6 is TCP), each CPU for itself, in the map `protocols`. Every packet
 * passes, counted or not.
 */
export const protocolCounter = () =>
  recipe({
    description: "Counts IPv4 and IPv6 packets by their protocol, each CPU for itself.",
    since: [4, 12],
    maps: {
      protocols: PerCpuHashMap.define({ name: "protocols", key: Layout.u32, value: Layout.u64, maxEntries: 256 })
    },
    program: ProgramSpec.make({
      type: "xdp",
      name: "protocols",
      instructions: [
        ethernet("xdp", "pass"),
        Snippets.readField("r1", "r7", Ethernet, "type"),
        Asm.jeq("r1", etherType.IPV6, "ipv6"),
        ipv4({ short: "pass", other: "pass" }),
        Snippets.readField("r1", "r7", Ipv4Packet, "ip.protocol"),
        Asm.ja("count"),
        Asm.label("ipv6"),
        ipv6({ short: "pass", other: "pass" }),
        Snippets.readField("r1", "r7", Ipv6Packet, "ip.nextHeader"),
        Asm.label("count"),
        Snippets.store(slots.key, "r1"),
        Snippets.mapLookup("protocols", slots.key, "new"),
        increment("r0"),
        Asm.ja("pass"),
        Asm.label("new"),
        Snippets.store(slots.count, 1),
        Snippets.mapUpdate("protocols", slots.key, slots.count),
        verdict("pass", xdp.XDP_PASS)
      ]
    })
  })

/** The options of `source-counter`. */
export interface SourceCounterOptions {
  /** How many sources are kept; 4096 unless given. */
  readonly maxEntries?: number
}

/**
 * Counts packets and bytes by IPv4 source address in the map `sources`, which forgets the address unseen for longest when
 * it is full. It is for traffic control, where the kernel knows a packet's length; every packet passes.
 */
export const sourceCounter = configured(["maxEntries"], ({ maxEntries = 4096 }: SourceCounterOptions = {}) =>
  recipe({
    description: "Counts packets and bytes by IPv4 source address, and forgets the address unseen for longest.",
    since: [4, 12],
    maps: { sources: HashMap.defineLru({ name: "sources", key: Address.ipv4, value: Traffic, maxEntries }) },
    program: ProgramSpec.make({
      type: "sched_cls",
      name: "sources",
      instructions: [
        ethernet("skb", "ok"),
        ipv4({ short: "ok", other: "ok" }),
        Snippets.readField("r8", "r6", __sk_buff, "len"),
        Snippets.readField("r1", "r7", Ipv4Packet, "ip.source"),
        Snippets.store(slots.key, "r1"),
        Snippets.mapLookup("sources", slots.key, "new"),
        Asm.mov("r2", "r8"),
        addTraffic,
        Asm.ja("ok"),
        Asm.label("new"),
        Snippets.storeStruct(slots.traffic, { packets: 1, bytes: "r8" }),
        Snippets.mapUpdate("sources", slots.key, slots.traffic),
        verdict("ok", tc.TC_ACT_OK)
      ]
    })
  }))

/**
 * Counts packets and bytes that the processes of a cgroup send or receive, each CPU for itself, in the one value of the
 * map `traffic`. Lengths are without the Ethernet header. It allows all.
 */
export const cgroupTraffic = () =>
  recipe({
    description: "Counts the packets and bytes of a cgroup, and allows all.",
    since: [4, 10],
    maps: { traffic: PerCpuArrayMap.define({ name: "traffic", value: Traffic, maxEntries: 1 }) },
    program: ProgramSpec.make({
      type: "cgroup_skb",
      name: "cgroup_traffic",
      instructions: [
        Asm.mov("r6", "r1"),
        Snippets.store(slots.key, 0),
        Snippets.mapLookup("traffic", slots.key, "allow"),
        Snippets.readField("r2", "r6", __sk_buff, "len"),
        addTraffic,
        verdict("allow", cgroup.ALLOW)
      ]
    })
  })
