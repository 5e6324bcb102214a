// XDP programs that pass what matches, and drop all else. None of them looks behind a VLAN tag: drivers mostly take it off,
// and a packet that still has one is a packet of another EtherType.
import * as Asm from "../../isa/Asm.ts"
import * as Snippets from "../../isa/Snippets.ts"
import * as ProgramSpec from "../../spec/ProgramSpec.ts"
import { xdp } from "../../spec/ReturnCode.ts"
import { checked, configured, recipe } from "../internal/entry.ts"
import {
  Ethernet,
  etherType,
  Ipv4Packet,
  Ipv6Packet,
  Ports,
  protocol as protocols,
  Tcp,
  Udp
} from "../internal/headers.ts"
import { ethernet, ipv4, ipv6, transport, verdict } from "../internal/parse.ts"

const dropped = { short: "drop", other: "drop" }

const filter = (name: string, instructions: ReadonlyArray<Asm.Item>) =>
  ProgramSpec.make({
    type: "xdp",
    name,
    instructions: [
      ethernet("xdp", "drop"),
      instructions,
      verdict("pass", xdp.XDP_PASS),
      verdict("drop", xdp.XDP_DROP)
    ]
  })

/** The options of `ethertype-filter`. */
export interface EthertypeFilterOptions {
  /** What to pass, from 0 to 0xffff; IPv4 (0x0800) unless given. */
  readonly etherType?: number
}

/** Passes packets of one EtherType, and drops all others. */
export const ethertypeFilter = configured(
  ["etherType"],
  ({ etherType: wanted = etherType.IPV4 }: EthertypeFilterOptions = {}) =>
    recipe({
      description: "Passes packets of one EtherType, and drops all others.",
      since: [4, 8],
      program: filter("ethertype", [
        checked("etherType", wanted, 0, 0xffff),
        Snippets.readField("r1", "r7", Ethernet, "type"),
        Asm.jne("r1", wanted, "drop")
      ])
    })
)

/** The options of `protocol-filter`. */
export interface ProtocolFilterOptions {
  /** What to pass, from 0 to 255; TCP (6) unless given. */
  readonly protocol?: number
}

/** Passes IPv4 and IPv6 packets of one protocol, and drops all others. IPv6 extension headers are protocols too. */
export const protocolFilter = configured(
  ["protocol"],
  ({ protocol = protocols.TCP }: ProtocolFilterOptions = {}) =>
    recipe({
      description: "Passes IPv4 and IPv6 packets of one protocol, and drops all others.",
      since: [4, 8],
      program: filter("protocol", [
        checked("protocol", protocol, 0, 0xff),
        Snippets.readField("r1", "r7", Ethernet, "type"),
        Asm.jeq("r1", etherType.IPV6, "ipv6"),
        ipv4(dropped),
        Snippets.readField("r1", "r7", Ipv4Packet, "ip.protocol"),
        Asm.ja("compare"),
        Asm.label("ipv6"),
        ipv6(dropped),
        Snippets.readField("r1", "r7", Ipv6Packet, "ip.nextHeader"),
        Asm.label("compare"),
        Asm.jne("r1", protocol, "drop")
      ])
    })
)

/** The options of `tcp-port-filter`. */
export interface TcpPortFilterOptions {
  /** The destination port to pass, from 0 to 65535; 443 unless given. */
  readonly port?: number
}

/** Passes TCP packets to one port, over IPv4 and IPv6, and drops all others; fragments after the first have no port. */
export const tcpPortFilter = configured(["port"], ({ port = 443 }: TcpPortFilterOptions = {}) =>
  recipe({
    description: "Passes TCP packets to one port, over IPv4 and IPv6, and drops all others.",
    since: [4, 8],
    program: filter("tcp_port", [
      checked("port", port, 0, 0xffff),
      transport(protocols.TCP, Tcp.size, dropped),
      Snippets.readField("r1", "r9", Ports, "destination"),
      Asm.jne("r1", port, "drop")
    ])
  }))

/** The options of `udp-port-range`. */
export interface UdpPortRangeOptions {
  /** The first destination port to pass, from 0 to 65535; 5000 unless given. */
  readonly first?: number
  /** The last destination port to pass, from `first` to 65535; 5999 unless given. */
  readonly last?: number
}

/** Passes UDP packets to a range of ports, over IPv4 and IPv6, and drops all others. */
export const udpPortRange = configured(
  ["first", "last"],
  ({ first = 5000, last = 5999 }: UdpPortRangeOptions = {}) =>
    recipe({
      description: "Passes UDP packets to a range of ports, over IPv4 and IPv6, and drops all others.",
      since: [4, 8],
      program: filter("udp_ports", [
        checked("first", first, 0, 0xffff),
        checked("last", last, first, 0xffff),
        transport(protocols.UDP, Udp.size, dropped),
        Snippets.readField("r1", "r9", Ports, "destination"),
        Asm.jlt("r1", first, "drop"),
        Asm.jgt("r1", last, "drop")
      ])
    })
)
