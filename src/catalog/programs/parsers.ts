// XDP programs that read one header, and leave what they read in a map.
import * as Asm from "../../isa/Asm.ts"
import * as Snippets from "../../isa/Snippets.ts"
import * as Address from "../../layout/Address.ts"
import * as Layout from "../../layout/Layout.ts"
import * as ArrayMap from "../../map/ArrayMap.ts"
import * as ProgramSpec from "../../spec/ProgramSpec.ts"
import { xdp } from "../../spec/ReturnCode.ts"
import { recipe } from "../internal/entry.ts"
import {
  Ethernet,
  etherType,
  FRAGMENT_OFFSET,
  Ipv4,
  Ipv4Packet,
  Ipv6,
  Ipv6Packet,
  MORE_FRAGMENTS,
  offsetOf,
  Tagged
} from "../internal/headers.ts"
import { copy, ethernet, increment, ipv4, ipv6, verdict } from "../internal/parse.ts"

/** What `ethernet-parser` read last. */
export const EthernetHeader = Layout.struct({
  /** How many headers were read so far. */
  seen: Layout.u64,
  destination: Address.mac,
  source: Address.mac,
  /** The EtherType; that behind the tag where there is one. */
  type: Layout.u16,
  /** The VLAN, from 1 to 4094; 0 without a tag. */
  vlan: Layout.u16
})

/** What `ipv4-parser` read last. */
export const Ipv4Header = Layout.struct({
  seen: Layout.u64,
  source: Address.ipv4,
  destination: Address.ipv4,
  protocol: Layout.u8,
  ttl: Layout.u8,
  /** Of the header, in bytes. */
  headerLength: Layout.u8,
  moreFragments: Layout.bool,
  /** Of the whole packet without the Ethernet header, in bytes. */
  totalLength: Layout.u16,
  /** In bytes. */
  fragmentOffset: Layout.u16
})

/** What `ipv6-parser` read last. */
export const Ipv6Header = Layout.struct({
  seen: Layout.u64,
  source: Address.ipv6,
  destination: Address.ipv6,
  nextHeader: Layout.u8,
  hopLimit: Layout.u8,
  /** In bytes, without the header. */
  payloadLength: Layout.u16,
  flowLabel: Layout.u32
})

const slots = Snippets.stack({ key: Layout.u32 })

/** Sets r6 to the one value of the map `header`, whose `seen` counts up. */
const remember = [
  Snippets.store(slots.key, 0),
  Snippets.mapLookup("header", slots.key, "pass"),
  Asm.mov("r6", "r0"), // the context is not needed any more
  increment("r6", offsetOf(EthernetHeader, "seen"))
]

const ends = [verdict("pass", xdp.XDP_PASS), verdict("drop", xdp.XDP_DROP)]

/** `ipv4.source` of a packet to `source` of a record, and the like. */
const copyAddresses = <A extends { readonly source: string; readonly destination: string }>(
  record: Layout.Layout<A>,
  from: { readonly source: number; readonly destination: number },
  size: number
) =>
  (["source", "destination"] as const).map((name) =>
    copy({ base: "r6", offset: offsetOf(record, name) }, { base: "r7", offset: from[name] }, size)
  )

/**
 * Reads the Ethernet header of each packet, with one VLAN tag (802.1Q or 802.1ad) where it has one, into the map `header`,
 * and passes the packet. One too short for its header is dropped.
 */
export const ethernetParser = () =>
  recipe({
    description: "Reads the Ethernet header, with a VLAN tag where there is one, into a map.",
    since: [4, 12],
    maps: { header: ArrayMap.define({ name: "header", value: EthernetHeader, maxEntries: 1 }) },
    program: ProgramSpec.make({
      type: "xdp",
      name: "ethernet_parser",
      instructions: [
        ethernet("xdp", "drop"),
        Snippets.readField("r9", "r7", Ethernet, "type"),
        Asm.mov("r6", 0), // the VLAN
        Asm.jeq("r9", etherType.VLAN, "tagged"),
        Asm.jne("r9", etherType.SERVICE_VLAN, "read"),
        Asm.label("tagged"),
        Asm.mov("r0", "r7"),
        Asm.add("r0", Tagged.size),
        Asm.jgt("r0", "r8", "drop"),
        Snippets.readField("r6", "r7", Tagged, "tag"),
        Asm.and("r6", 0x0fff), // the rest is a priority
        Snippets.readField("r9", "r7", Tagged, "type"),
        Asm.label("read"),
        Asm.mov("r8", "r6"), // the end is not needed any more
        remember,
        copyAddresses(EthernetHeader, {
          source: offsetOf(Ethernet, "source"),
          destination: offsetOf(Ethernet, "destination")
        }, 6),
        Snippets.writeField("r6", EthernetHeader, "type", "r9"),
        Snippets.writeField("r6", EthernetHeader, "vlan", "r8"),
        ends
      ]
    })
  })

/**
 * Reads the IPv4 header of each packet into the map `header`, and passes the packet. Other packets pass unread; one whose
 * header is cut off, or is no header of IPv4, is dropped.
 */
export const ipv4Parser = () =>
  recipe({
    description: "Reads the IPv4 header into a map, and drops packets whose header is cut off or wrong.",
    since: [4, 12],
    maps: { header: ArrayMap.define({ name: "header", value: Ipv4Header, maxEntries: 1 }) },
    program: ProgramSpec.make({
      type: "xdp",
      name: "ipv4_parser",
      instructions: [
        ethernet("xdp", "drop"),
        ipv4({ short: "drop", other: "pass" }),
        remember,
        copyAddresses(Ipv4Header, {
          source: offsetOf(Ipv4Packet, "ip") + offsetOf(Ipv4, "source"),
          destination: offsetOf(Ipv4Packet, "ip") + offsetOf(Ipv4, "destination")
        }, 4),
        Snippets.readField("r1", "r7", Ipv4Packet, "ip.protocol"),
        Snippets.writeField("r6", Ipv4Header, "protocol", "r1"),
        Snippets.readField("r1", "r7", Ipv4Packet, "ip.ttl"),
        Snippets.writeField("r6", Ipv4Header, "ttl", "r1"),
        Snippets.readField("r1", "r7", Ipv4Packet, "ip.length"),
        Snippets.writeField("r6", Ipv4Header, "totalLength", "r1"),
        Snippets.readField("r1", "r7", Ipv4Packet, "ip.versionAndLength"),
        Asm.and("r1", 0x0f),
        Asm.lsh("r1", 2), // words to bytes
        Snippets.writeField("r6", Ipv4Header, "headerLength", "r1"),
        Snippets.readField("r1", "r7", Ipv4Packet, "ip.fragment"),
        Asm.mov("r2", "r1"),
        Asm.and("r1", FRAGMENT_OFFSET),
        Asm.lsh("r1", 3), // units of 8 bytes
        Snippets.writeField("r6", Ipv4Header, "fragmentOffset", "r1"),
        Asm.and("r2", MORE_FRAGMENTS),
        Asm.rsh("r2", Math.log2(MORE_FRAGMENTS)),
        Snippets.writeField("r6", Ipv4Header, "moreFragments", "r2"),
        ends
      ]
    })
  })

/**
 * Reads the IPv6 header of each packet into the map `header`, and passes the packet. Other packets pass unread; one whose
 * header is cut off, or is no header of IPv6, is dropped.
 */
export const ipv6Parser = () =>
  recipe({
    description: "Reads the IPv6 header into a map, and drops packets whose header is cut off or wrong.",
    since: [4, 12],
    maps: { header: ArrayMap.define({ name: "header", value: Ipv6Header, maxEntries: 1 }) },
    program: ProgramSpec.make({
      type: "xdp",
      name: "ipv6_parser",
      instructions: [
        ethernet("xdp", "drop"),
        ipv6({ short: "drop", other: "pass" }),
        remember,
        copyAddresses(Ipv6Header, {
          source: offsetOf(Ipv6Packet, "ip") + offsetOf(Ipv6, "source"),
          destination: offsetOf(Ipv6Packet, "ip") + offsetOf(Ipv6, "destination")
        }, 16),
        Snippets.readField("r1", "r7", Ipv6Packet, "ip.nextHeader"),
        Snippets.writeField("r6", Ipv6Header, "nextHeader", "r1"),
        Snippets.readField("r1", "r7", Ipv6Packet, "ip.hopLimit"),
        Snippets.writeField("r6", Ipv6Header, "hopLimit", "r1"),
        Snippets.readField("r1", "r7", Ipv6Packet, "ip.payloadLength"),
        Snippets.writeField("r6", Ipv6Header, "payloadLength", "r1"),
        Snippets.readField("r1", "r7", Ipv6Packet, "ip.versionAndFlow"),
        Asm.and("r1", 0x000f_ffff),
        Snippets.writeField("r6", Ipv6Header, "flowLabel", "r1"),
        ends
      ]
    })
  })
