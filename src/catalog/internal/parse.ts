// Pieces that read packets. They share a use of registers: r6 is the context, r7 the packet's first byte, r8 its end, and
// r9 the transport header. r0 to r5 are theirs.
import * as Asm from "../../isa/Asm.ts"
import * as Snippets from "../../isa/Snippets.ts"
import { Ethernet, etherType, FRAGMENT_OFFSET, Ipv4Packet, Ipv6Packet } from "./headers.ts"

/** Where to go on with a packet that ends too early or contradicts itself, and with one of another kind. */
export interface Exits {
  readonly short: string
  readonly other: string
}

/** Jumps to a label if the packet has less than `length` bytes from `base` on. */
export const within = (base: Asm.Register, length: number, otherwise: string): Asm.Item => [
  Asm.mov("r0", base),
  Asm.add("r0", length),
  Asm.jgt("r0", "r8", otherwise)
]

/** The beginning of a program on packets: r6, r7 and r8, and an Ethernet header that is there. */
export const ethernet = (context: "xdp" | "skb", short: string): Asm.Item => [
  Asm.mov("r6", "r1"),
  Snippets.packet({ context, from: "r6", data: "r7", end: "r8", length: Ethernet.size, otherwise: short })
]

/** Goes on with packets of one EtherType, that have at least `length` bytes. */
const only = (type: number, length: number, { other, short }: Exits): Asm.Item => [
  Snippets.readField("r1", "r7", Ethernet, "type"),
  Asm.jne("r1", type, other),
  within("r7", length, short)
]

/** r9 = where the IPv4 header ends, by its own word. The version must be 4, and the length at least 5 words. */
const afterIpv4 = (short: string): Asm.Item => [
  Snippets.readField("r9", "r7", Ipv4Packet, "ip.versionAndLength"),
  Asm.jlt("r9", 0x45, short),
  Asm.jgt("r9", 0x4f, short),
  Asm.and("r9", 0x0f),
  Asm.lsh("r9", 2),
  Asm.add("r9", "r7"),
  Asm.add("r9", Ethernet.size)
]

/** Goes on with IPv4 packets: the fixed part of their header is there, and r9 is its end with options. */
export const ipv4 = (exits: Exits): Asm.Item => [
  only(etherType.IPV4, Ipv4Packet.size, exits),
  afterIpv4(exits.short),
  within("r9", 0, exits.short)
]

/** Goes on with IPv6 packets: their header is there. */
export const ipv6 = (exits: Exits): Asm.Item => [
  only(etherType.IPV6, Ipv6Packet.size, exits),
  Snippets.readField("r1", "r7", Ipv6Packet, "ip.versionAndFlow"),
  Asm.rsh("r1", 28),
  Asm.jne("r1", 6, exits.short)
]

/**
 * Goes on with IPv4 packets of a protocol: r9 is its header, of which `size` bytes are there. Fragments after the first
 * have no such header, and are of another kind.
 */
export const ipv4Transport = (protocol: number, size: number, exits: Exits): Asm.Item => [
  ipv4(exits),
  Snippets.readField("r1", "r7", Ipv4Packet, "ip.protocol"),
  Asm.jne("r1", protocol, exits.other),
  Snippets.readField("r1", "r7", Ipv4Packet, "ip.fragment"),
  Asm.and("r1", FRAGMENT_OFFSET),
  Asm.jne("r1", 0, exits.other),
  within("r9", size, exits.short)
]

/** As `ipv4Transport`, for IPv6 too, where a packet with extension headers is of another kind. */
export const transport = (protocol: number, size: number, exits: Exits): Asm.Item =>
  Asm.scope([
    Snippets.readField("r1", "r7", Ethernet, "type"),
    Asm.jeq("r1", etherType.IPV6, "ipv6"),
    ipv4Transport(protocol, size, exits),
    Asm.ja("done"),
    Asm.label("ipv6"),
    ipv6(exits),
    Snippets.readField("r1", "r7", Ipv6Packet, "ip.nextHeader"),
    Asm.jne("r1", protocol, exits.other),
    Asm.mov("r9", "r7"),
    Asm.add("r9", Ipv6Packet.size),
    within("r9", size, exits.short),
    Asm.label("done")
  ])

/** A label that ends the program with a verdict. */
export const verdict = (label: string, code: number): Asm.Item => [Asm.label(label), Asm.mov("r0", code), Asm.exit()]

const widths = [
  [8, Asm.ldxdw, Asm.stdw],
  [4, Asm.ldxw, Asm.stw],
  [2, Asm.ldxh, Asm.sth],
  [1, Asm.ldxb, Asm.stb]
] as const

/** A place in a packet, in a map's value or on the stack. */
interface Place {
  readonly base: Asm.Register
  readonly offset: number
}

/** The stack takes aligned accesses only; packets and maps take any, on the machines that this library runs on. */
const fits = ({ base, offset }: Place, at: number, width: number): boolean =>
  base !== "r10" || (offset + at) % width === 0

/** Copies `size` bytes through r0, in the fewest steps. */
export const copy = (to: Place, from: Place, size: number): Asm.Item => {
  const items: Array<Asm.Item> = []
  let at = 0
  while (at < size) {
    const [width, load, store] = widths.find(([bytes]) =>
      bytes <= size - at && fits(to, at, bytes) && fits(from, at, bytes)
    )!
    items.push(load("r0", from.base, from.offset + at), store(to.base, to.offset + at, "r0"))
    at += width
  }
  return items
}

/** Adds 1 to the 64-bit number at `base + offset`, by way of r1, as one step for all CPUs. */
export const increment = (base: Asm.Register, offset = 0): Asm.Item => [
  Asm.mov("r1", 1),
  Asm.atomicAdd(base, offset, "r1")
]
