// Packets made by hand, and checksums computed as RFC 1071 has them: nothing here is shared with the programs under test.

const textMac = (text: string): ReadonlyArray<number> => text.split(":").map((part) => Number.parseInt(part, 16))
const textIpv4 = (text: string): ReadonlyArray<number> => text.split(".").map(Number)

/** An IPv6 address with at most one `::`. */
const textIpv6 = (text: string): ReadonlyArray<number> => {
  const [head, tail] = text.split("::").map((part) => part === "" ? [] : part.split(":")) as [
    Array<string>,
    Array<string>?
  ]
  const middle = tail === undefined ? [] : new Array<string>(8 - head.length - tail.length).fill("0")
  return [...head, ...middle, ...tail ?? []].flatMap((part) => {
    const word = Number.parseInt(part, 16)
    return [word >> 8, word & 0xff]
  })
}

const u16 = (value: number): ReadonlyArray<number> => [(value >> 8) & 0xff, value & 0xff]
const u32 = (value: number): ReadonlyArray<number> => [...u16(value >>> 16), ...u16(value & 0xffff)]

/** The sum of RFC 1071, complemented: what a checksum field must hold, and 0 over data whose checksum is right. */
export const internetChecksum = (bytes: ArrayLike<number>): number => {
  let sum = 0
  for (let i = 0; i < bytes.length; i += 2) sum += (bytes[i]! << 8) + (bytes[i + 1] ?? 0)
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16)
  return ~sum & 0xffff
}

export const MAC = { client: "02:00:00:00:00:01", server: "02:00:00:00:00:02" } as const

/** An Ethernet frame, with an 802.1Q tag if `vlan` is given. */
export const ethernet = (type: number, payload: ArrayLike<number>, vlan?: number, tagType = 0x8100): Uint8Array =>
  Uint8Array.from([
    ...textMac(MAC.server),
    ...textMac(MAC.client),
    ...(vlan === undefined ? [] : [...u16(tagType), ...u16(vlan)]),
    ...u16(type),
    ...Array.from(payload)
  ])

export interface Ipv4 {
  readonly from?: string
  readonly to?: string
  /** Flags and offset as the header has them. */
  readonly fragment?: number
  /** A multiple of 4 bytes. */
  readonly options?: ReadonlyArray<number>
  readonly vlan?: number
}

/** An IPv4 packet in a frame. */
export const ipv4 = (protocol: number, payload: ArrayLike<number>, options: Ipv4 = {}): Uint8Array => {
  const { fragment = 0, from = "10.0.0.1", to = "10.0.0.2" } = options
  const extra = options.options ?? []
  const length = 20 + extra.length
  const header = [
    0x40 | length / 4,
    0,
    ...u16(length + payload.length),
    ...u16(0x1234),
    ...u16(fragment),
    64,
    protocol,
    0,
    0,
    ...textIpv4(from),
    ...textIpv4(to),
    ...extra
  ]
  header.splice(10, 2, ...u16(internetChecksum(header)))
  return ethernet(0x0800, [...header, ...Array.from(payload)], options.vlan)
}

export interface Ipv6 {
  readonly from?: string
  readonly to?: string
  readonly flowLabel?: number
}

/** An IPv6 packet in a frame. */
export const ipv6 = (nextHeader: number, payload: ArrayLike<number>, options: Ipv6 = {}): Uint8Array => {
  const { flowLabel = 0, from = "2001:db8::1", to = "2001:db8::2" } = options
  return ethernet(0x86dd, [
    ...u32(0x6000_0000 + flowLabel),
    ...u16(payload.length),
    nextHeader,
    64,
    ...textIpv6(from),
    ...textIpv6(to),
    ...Array.from(payload)
  ])
}

const pseudoHeader = (protocol: number, length: number, { from = "10.0.0.1", to = "10.0.0.2" }: Ipv4) => [
  ...textIpv4(from),
  ...textIpv4(to),
  0,
  protocol,
  ...u16(length)
]

export interface Ports {
  readonly sourcePort?: number
  readonly port?: number
}

export interface Tcp extends Ports {
  readonly flags?: number
  readonly payload?: ReadonlyArray<number>
}

export const tcpFlags = { SYN: 2, SYN_ACK: 0x12, ACK: 0x10 } as const

/** A TCP segment without a checksum. */
export const tcpSegment = (
  { flags = tcpFlags.ACK, payload = [], port = 443, sourcePort = 40000 }: Tcp = {}
): Array<number> => [
  ...u16(sourcePort),
  ...u16(port),
  ...u32(1),
  ...u32(2),
  0x50,
  flags,
  ...u16(65535),
  0,
  0,
  0,
  0,
  ...payload
]

/** A TCP packet over IPv4 with a right checksum. */
export const tcp4 = (options: Tcp & Ipv4 = {}): Uint8Array => {
  const segment = tcpSegment(options)
  segment.splice(16, 2, ...u16(internetChecksum([...pseudoHeader(6, segment.length, options), ...segment])))
  return ipv4(6, segment, options)
}

export interface Udp extends Ports {
  readonly payload?: ReadonlyArray<number>
  /** Whether it has a checksum; it has one unless told otherwise. */
  readonly checksum?: boolean
}

/** A UDP datagram without a checksum. */
export const udpDatagram = ({ payload = [1, 2, 3, 4], port = 5353, sourcePort = 40000 }: Udp = {}): Array<number> => [
  ...u16(sourcePort),
  ...u16(port),
  ...u16(8 + payload.length),
  0,
  0,
  ...payload
]

/** A UDP packet over IPv4. */
export const udp4 = (options: Udp & Ipv4 = {}): Uint8Array => {
  const datagram = udpDatagram(options)
  if (options.checksum !== false) {
    const sum = internetChecksum([...pseudoHeader(17, datagram.length, options), ...datagram])
    datagram.splice(6, 2, ...u16(sum === 0 ? 0xffff : sum))
  }
  return ipv4(17, datagram, options)
}

/** An ICMP echo request over IPv4. */
export const icmp4 = (options: Ipv4 = {}): Uint8Array => {
  const message = [8, 0, 0, 0, ...u16(1), ...u16(1)]
  message.splice(2, 2, ...u16(internetChecksum(message)))
  return ipv4(1, message, options)
}

export const arp = (): Uint8Array => ethernet(0x0806, new Uint8Array(28))

/** The first bytes of a packet: at least an Ethernet header, for the kernel takes no less. */
export const cut = (packet: Uint8Array, length: number): Uint8Array => packet.slice(0, Math.max(14, length))

/** Whether the IPv4 header and the TCP or UDP checksum of a frame without VLAN tag are right. */
export const checksumsAreRight = (frame: Uint8Array): boolean => {
  const header = frame.subarray(14, 14 + (frame[14]! & 15) * 4)
  const body = frame.subarray(14 + header.length)
  const protocol = header[9]!
  const pseudo = [...header.subarray(12, 20), 0, protocol, ...u16(body.length)]
  return internetChecksum(header) === 0 && internetChecksum([...pseudo, ...body]) === 0
}

/** The destination of an IPv4 frame, and its Ethernet addresses. */
export const addressesOf = (frame: Uint8Array) => {
  const mac = (at: number) =>
    Array.from(frame.subarray(at, at + 6), (byte) => byte.toString(16).padStart(2, "0")).join(":")
  return {
    source: frame.subarray(26, 30).join("."),
    destination: frame.subarray(30, 34).join("."),
    sourceMac: mac(6),
    destinationMac: mac(0)
  }
}
