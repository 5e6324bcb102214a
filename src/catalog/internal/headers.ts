// The headers of packets. Addresses are kept as they are on the wire, to be copied and compared and never computed with.
import * as Layout from "../../layout/Layout.ts"

/** Six bytes of an address, and the type of what follows. */
export const Ethernet = Layout.packed({
  destination: Layout.bytes(6),
  source: Layout.bytes(6),
  type: Layout.u16be
})

/** What stands between the addresses' end and the type of a packet with an 802.1Q tag. */
export const Tagged = Layout.packed({ ethernet: Ethernet, tag: Layout.u16be, type: Layout.u16be })

/** The fixed part of an IPv4 header. */
export const Ipv4 = Layout.packed({
  /** The version in the upper four bits, the header's length in words in the lower. */
  versionAndLength: Layout.u8,
  service: Layout.u8,
  length: Layout.u16be,
  identification: Layout.u16be,
  /** Three flags, and the offset in units of 8 bytes. */
  fragment: Layout.u16be,
  ttl: Layout.u8,
  protocol: Layout.u8,
  checksum: Layout.u16,
  source: Layout.u32,
  destination: Layout.u32
})

/** An IPv4 packet up to the end of the header's fixed part. */
export const Ipv4Packet = Layout.packed({ ethernet: Ethernet, ip: Ipv4 })

/** An IPv6 header. */
export const Ipv6 = Layout.packed({
  /** Four bits of version, eight of traffic class, twenty of flow label. */
  versionAndFlow: Layout.u32be,
  payloadLength: Layout.u16be,
  nextHeader: Layout.u8,
  hopLimit: Layout.u8,
  source: Layout.bytes(16),
  destination: Layout.bytes(16)
})

/** An IPv6 packet up to the end of its header. */
export const Ipv6Packet = Layout.packed({ ethernet: Ethernet, ip: Ipv6 })

/** The ports, which TCP and UDP have at the same place. */
export const Ports = Layout.packed({ source: Layout.u16be, destination: Layout.u16be })

export const Tcp = Layout.packed({
  ports: Ports,
  sequence: Layout.u32be,
  acknowledgement: Layout.u32be,
  dataOffset: Layout.u8,
  flags: Layout.u8,
  window: Layout.u16be,
  checksum: Layout.u16,
  urgent: Layout.u16be
})

export const Udp = Layout.packed({ ports: Ports, length: Layout.u16be, checksum: Layout.u16 })

export const Icmp = Layout.packed({ type: Layout.u8, code: Layout.u8, checksum: Layout.u16 })

/** EtherTypes. Source: include/uapi/linux/if_ether.h. */
export const etherType = { IPV4: 0x0800, IPV6: 0x86dd, VLAN: 0x8100, SERVICE_VLAN: 0x88a8 } as const

/** Protocols over IP. Source: include/uapi/linux/in.h. */
export const protocol = { ICMP: 1, TCP: 6, UDP: 17 } as const

/** Flags of TCP. */
export const tcpFlag = { SYN: 0x02, ACK: 0x10 } as const

/** The offset part of `fragment`: anything but 0 is a fragment without the transport header. */
export const FRAGMENT_OFFSET = 0x1fff

/** The flag of `fragment` that more of them follow. */
export const MORE_FRAGMENTS = 0x2000

/** Where a member of a header or record begins, in bytes. */
export const offsetOf = <A>(layout: Layout.Layout<A>, name: keyof A & string): number =>
  Layout.field(layout, name)!.offset
