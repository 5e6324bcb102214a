// XDP programs that decide by what a map says, and so can be changed while they run.
import * as Asm from "../../isa/Asm.ts"
import * as Snippets from "../../isa/Snippets.ts"
import * as Address from "../../layout/Address.ts"
import * as Layout from "../../layout/Layout.ts"
import * as HashMap from "../../map/HashMap.ts"
import * as LpmTrie from "../../map/LpmTrie.ts"
import * as ProgramSpec from "../../spec/ProgramSpec.ts"
import { xdp } from "../../spec/ReturnCode.ts"
import { configured, recipe } from "../internal/entry.ts"
import { Ipv4, Ipv4Packet, Ipv6, Ipv6Packet, offsetOf, Ports, protocol, Udp } from "../internal/headers.ts"
import { copy, ethernet, type Exits, increment, ipv4, ipv4Transport, ipv6, verdict } from "../internal/parse.ts"

/** The options of programs that decide by a list. */
export interface ListOptions {
  /** How many entries the list has room for; 1024 unless given. */
  readonly maxEntries?: number
}

const ends = [verdict("pass", xdp.XDP_PASS), verdict("drop", xdp.XDP_DROP)]

/** Keys that are compared byte by byte: an address, behind a prefix length for tries. */
const keys = Snippets.stack({
  address: Layout.u32,
  prefix4: Layout.packed({ length: Layout.u32, address: Layout.bytes(4) }),
  prefix6: Layout.packed({ length: Layout.u32, address: Layout.bytes(16) })
})

/** Puts the source address behind the length of a full prefix into the key of a trie. */
const prefixOfSource = (slot: Snippets.StackSlot<any>, bits: number, offset: number): Asm.Item => [
  Snippets.storeStruct(slot, { length: bits }),
  copy({ base: "r10", offset: slot.offset + Layout.u32.size }, { base: "r7", offset }, bits / 8)
]

const sourceOf4 = offsetOf(Ipv4Packet, "ip") + offsetOf(Ipv4, "source")
const sourceOf6 = offsetOf(Ipv6Packet, "ip") + offsetOf(Ipv6, "source")

/** Other EtherTypes pass: without ARP no address is ever reached. */
const exits: Exits = { short: "drop", other: "pass" }

/** Passes what the look-up finds, and counts it there; all else is dropped. */
const passIfFound = (map: string, key: Snippets.StackSlot<any>): Asm.Item => [
  Snippets.mapLookup(map, key, "drop"),
  increment("r0"),
  ends
]

/**
 * Passes IPv4 packets from the addresses in the map `allowed`, whose values count them, and drops those from others. What
 * is not IPv4 passes. A new list is empty: it drops all of IPv4.
 */
export const ipAllowList = configured(["maxEntries"], ({ maxEntries = 1024 }: ListOptions = {}) =>
  recipe({
    description: "Passes IPv4 packets from the addresses in a map, counts them there, and drops those from others.",
    since: [4, 12],
    maps: { allowed: HashMap.define({ name: "allowed", key: Address.ipv4, value: Layout.u64, maxEntries }) },
    program: ProgramSpec.make({
      type: "xdp",
      name: "ip_allow",
      instructions: [
        ethernet("xdp", "drop"),
        ipv4(exits),
        Snippets.readField("r1", "r7", Ipv4Packet, "ip.source"),
        Snippets.store(keys.address, "r1"),
        passIfFound("allowed", keys.address)
      ]
    })
  }))

/**
 * Passes IPv4 packets from the networks in the trie `allowed` (`"10.0.0.0/8"`), whose values count them by the longest
 * prefix that matches, and drops those from others. What is not IPv4 passes.
 */
export const ipAllowPrefixes = configured(["maxEntries"], ({ maxEntries = 1024 }: ListOptions = {}) =>
  recipe({
    description:
      "Passes IPv4 packets from the networks in an LPM trie, counts them there, and drops those from others.",
    since: [4, 12],
    maps: { allowed: LpmTrie.define({ name: "allowed", key: Address.ipv4Prefix, value: Layout.u64, maxEntries }) },
    program: ProgramSpec.make({
      type: "xdp",
      name: "ip_allow_lpm",
      instructions: [
        ethernet("xdp", "drop"),
        ipv4(exits),
        prefixOfSource(keys.prefix4, 32, sourceOf4),
        passIfFound("allowed", keys.prefix4)
      ]
    })
  }))

/** As `ip-allow-prefixes`, for IPv6. What is not IPv6 passes. */
export const ipv6AllowPrefixes = configured(["maxEntries"], ({ maxEntries = 1024 }: ListOptions = {}) =>
  recipe({
    description:
      "Passes IPv6 packets from the networks in an LPM trie, counts them there, and drops those from others.",
    since: [4, 12],
    maps: { allowed: LpmTrie.define({ name: "allowed", key: Address.ipv6Prefix, value: Layout.u64, maxEntries }) },
    program: ProgramSpec.make({
      type: "xdp",
      name: "ipv6_allow_lpm",
      instructions: [
        ethernet("xdp", "drop"),
        ipv6(exits),
        prefixOfSource(keys.prefix6, 128, sourceOf6),
        passIfFound("allowed", keys.prefix6)
      ]
    })
  }))

/**
 * A look-up in its plainest form: the map `verdicts` says for each UDP port over IPv4 what becomes of packets to it, as an
 * `XDP_*` code. Packets without an entry pass.
 */
export const mapLookup = configured(["maxEntries"], ({ maxEntries = 1024 }: ListOptions = {}) =>
  recipe({
    description: "Looks up in a map, by UDP destination port, what becomes of a packet.",
    since: [4, 12],
    maps: {
      verdicts: HashMap.define({ name: "verdicts", key: Layout.u32, value: Layout.u32, maxEntries })
    },
    program: ProgramSpec.make({
      type: "xdp",
      name: "map_lookup",
      instructions: [
        ethernet("xdp", "drop"),
        ipv4Transport(protocol.UDP, Udp.size, exits),
        Snippets.readField("r1", "r9", Ports, "destination"),
        Snippets.store(keys.address, "r1"),
        Snippets.mapLookup("verdicts", keys.address, "pass"),
        Asm.ldxw("r0", "r0", 0),
        Asm.exit(),
        ends
      ]
    })
  }))
