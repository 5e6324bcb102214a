/**
 * Layouts of network addresses as texts: `"10.0.0.1"`, `"2001:db8::1"`, `"02:00:00:00:00:01"`. In memory they are in
 * network byte order, as packets and the kernel's structs have them.
 *
 * @example
 * ```ts
 * import { Address, Layout } from "effect-ebpf"
 *
 * const Flow = Layout.struct({ source: Address.ipv4, destination: Address.ipv4, port: Layout.u16be })
 *
 * console.log(Layout.encode(Flow, { source: "10.0.0.1", destination: "10.0.0.2", port: 443 }))
 * ```
 */
import type * as Schema from "effect/Schema"
import { schemaModule } from "../effect/onDemand.ts"
import { show } from "./internal/error.ts"
import { formatIpv4, formatIpv6, parseIpv4, parseIpv6 } from "./internal/ip.ts"
import { bytes, type Layout, LayoutError, ownTransform, packed } from "./Layout.ts"

const parsed = (parse: (text: string) => Uint8Array | undefined, expected: string) => (text: string): Uint8Array => {
  const address = typeof text === "string" ? parse(text) : undefined
  if (address === undefined) throw new LayoutError({ path: "", expected, actual: show(text) })
  return address
}

/** The Schema of texts that `parse` reads, made when it is asked for. */
const textOf = (parse: (text: string) => unknown, expected: string) => (): Schema.Codec<string> => {
  const { makeFilter, String } = schemaModule()
  return String.check(makeFilter((text: string) => parse(text) !== undefined, { expected }))
}

const IPV4 = "an IPv4 address such as \"10.0.0.1\""
const IPV6 = "an IPv6 address such as \"2001:db8::1\""
const MAC = "a MAC address such as \"02:00:00:00:00:01\""

/** An IPv4 address in 4 bytes (`struct in_addr`), aligned as they are: to 1. */
export const ipv4: Layout<string> = ownTransform(bytes(4), {
  decode: formatIpv4,
  encode: parsed(parseIpv4, IPV4),
  schema: textOf(parseIpv4, IPV4)
})

/** An IPv6 address in 16 bytes (`struct in6_addr`); read in the form of RFC 5952. */
export const ipv6: Layout<string> = ownTransform(bytes(16), {
  decode: formatIpv6,
  encode: parsed(parseIpv6, IPV6),
  schema: textOf(parseIpv6, IPV6)
})

const parseMac = (text: string): Uint8Array | undefined =>
  /^([0-9a-f]{2}:){5}[0-9a-f]{2}$/i.test(text)
    ? Uint8Array.from(text.split(":"), (part) => Number.parseInt(part, 16))
    : undefined

/** An Ethernet address in 6 bytes. */
export const mac: Layout<string> = ownTransform(bytes(6), {
  decode: (address) => Array.from(address, (byte) => byte.toString(16).padStart(2, "0")).join(":"),
  encode: parsed(parseMac, MAC),
  schema: textOf(parseMac, MAC)
})

// ---------------------------------------------------------------- prefixes

/** The first `length` bits of an address, and zeros after them. */
const masked = (address: Uint8Array, length: number): Uint8Array =>
  address.map((byte, i) => {
    const bits = Math.min(8, Math.max(0, length - i * 8))
    return byte & (0xff00 >> bits) & 0xff
  })

const isSame = (a: Uint8Array, b: Uint8Array): boolean => a.every((byte, i) => byte === b[i])

interface Family {
  readonly bits: number
  readonly parse: (text: string) => Uint8Array | undefined
  readonly format: (address: Uint8Array) => string
  readonly expected: string
}

/** The parts of `"10.0.0.0/8"`; an address alone is its full length. */
const splitPrefix = ({ bits, parse }: Family, text: string) => {
  const match = /^([^/]+)(?:\/(\d{1,3}))?$/.exec(text)
  const address = match === null ? undefined : parse(match[1]!)
  const length = match?.[2] === undefined ? bits : Number(match[2])
  return address === undefined || length > bits ? undefined : { address, length }
}

const prefix = (family: Family): Layout<string> => {
  const { bits, expected, format } = family
  const base = packed({ length: bytes(4), address: bytes(bits / 8) })
  const encode = (text: string) => {
    const parts = typeof text === "string" ? splitPrefix(family, text) : undefined
    if (parts === undefined) throw new LayoutError({ path: "", expected, actual: show(text) })
    const { address, length } = parts
    const network = masked(address, length)
    if (!isSame(address, network)) {
      const meant = `${format(network)}/${length}`
      throw new LayoutError({
        path: "",
        expected: `a network with no bits after its prefix, as ${meant} is`,
        actual: show(text)
      })
    }
    return { length: Uint8Array.of(length, 0, 0, 0), address }
  }
  return ownTransform(base, {
    decode: ({ address, length }) =>
      `${format(address)}/${new DataView(length.buffer, length.byteOffset).getUint32(0, true)}`,
    encode,
    schema: textOf((text) => splitPrefix(family, text), expected)
  })
}

/**
 * An IPv4 network as the key of an LPM trie (`struct bpf_lpm_trie_key` with 4 bytes): `"10.0.0.0/8"`. An address without a
 * length is a network of its own, `/32`. Bits after the prefix are an error that names the network.
 */
export const ipv4Prefix: Layout<string> = prefix({
  bits: 32,
  parse: parseIpv4,
  format: formatIpv4,
  expected: "an IPv4 network such as \"10.0.0.0/8\""
})

/** An IPv6 network as the key of an LPM trie, 16 bytes: `"2001:db8::/32"`; as `ipv4Prefix` otherwise. */
export const ipv6Prefix: Layout<string> = prefix({
  bits: 128,
  parse: parseIpv6,
  format: formatIpv6,
  expected: "an IPv6 network such as \"2001:db8::/32\""
})
