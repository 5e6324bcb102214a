import { describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { isIPv4, isIPv6 } from "node:net"
import { expect } from "vitest"
import { Address, Layout } from "../../../src/index.ts"

const bytesOf = <A>(layout: Layout.Layout<A>, value: A): Uint8Array => Result.getOrThrow(Layout.encode(layout, value))
const textOf = <A>(layout: Layout.Layout<A>, bytes: Uint8Array): A => Result.getOrThrow(Layout.decode(layout, bytes))

const bytes = (length: number): Arbitrary.Arbitrary<Uint8Array> =>
  Arbitrary.map(
    // Mostly zeros: runs of them are what is abbreviated.
    Arbitrary.array(
      Arbitrary.schema(Schema.Union([Schema.Literal(0), Schema.Literal(0), Schema.Literal(1), Layout.u8.schema])),
      { minLength: length, maxLength: length }
    ),
    (values) => Uint8Array.from(values)
  )

const layouts = {
  ipv4: Address.ipv4,
  ipv6: Address.ipv6,
  mac: Address.mac,
  ipv4Prefix: Address.ipv4Prefix,
  ipv6Prefix: Address.ipv6Prefix
}

describe("addresses", () => {
  for (const [name, layout] of Object.entries({ ipv4: Address.ipv4, ipv6: Address.ipv6, mac: Address.mac })) {
    it.prop(`of every ${name} come back from their text`, [bytes(layout.size)], ([address]) => {
      const text = textOf(layout, address)
      expect(bytesOf(layout, text)).toEqual(address)
      expect(Schema.is(layout.schema)(text)).toBe(true)
      if (name === "ipv4") expect(isIPv4(text)).toBe(true)
      if (name === "ipv6") expect(isIPv6(text)).toBe(true)
    })
  }

  for (const [name, layout] of Object.entries(layouts)) {
    it.prop(`a text is either a ${name} or a LayoutError, and its schema agrees`, [
      Arbitrary.schema(
        Schema.Union([
          Schema.String,
          Schema.Literals([
            "",
            ":",
            "::",
            ":::",
            "1::2::3",
            "::1/64",
            "1.2.3",
            "1.2.3.4.5",
            "01.2.3.4",
            "256.0.0.0",
            "1.2.3.4/",
            "1.2.3.4/33",
            "0.0.0.0/0",
            "::ffff:1.2.3.4",
            "1.2.3.4::",
            "::1.2.3",
            "1:2:3:4:5:6:7:8:9",
            "1:2:3:4:5:6:7::8",
            "g::",
            "12345::",
            "00:11:22:33:44:55",
            "0:11:22:33:44:55",
            "00-11-22-33-44-55",
            " ::1",
            "::1%eth0"
          ])
        ])
      )
    ], ([text]) => {
      const encoded = Layout.encode(layout, text)
      if (Result.isFailure(encoded)) expect(encoded.failure._tag).toBe("LayoutError")
      else expect(encoded.success).toHaveLength(layout.size)
      if (name === "ipv4") expect(Result.isSuccess(encoded)).toBe(isIPv4(text))
      // node:net also takes zones, which are no part of an address's bytes.
      if (name === "ipv6") expect(Result.isSuccess(encoded)).toBe(isIPv6(text) && !text.includes("%"))
      if (Result.isSuccess(encoded)) expect(Schema.is(layout.schema)(text)).toBe(true)
    })
  }

  it("other values than texts are LayoutErrors", () => {
    for (const layout of Object.values(layouts)) {
      for (const value of [undefined, null, 5, 5n, {}, [], new Uint8Array(4)] as Array<any>) {
        expect(Layout.encode(layout, value)).toMatchObject({ failure: { _tag: "LayoutError" } })
      }
    }
  })

  it("of IPv6 are written as RFC 5952 recommends", () => {
    const cases = {
      "2001:db8:0:0:1:0:0:1": "2001:db8::1:0:0:1", // the first of two equal runs
      "2001:0db8:0000:0000:0000:0000:0002:0001": "2001:db8::2:1",
      "2001:db8:0:1:1:1:1:1": "2001:db8:0:1:1:1:1:1", // one group is not shortened
      "2001:0:0:1:0:0:0:1": "2001:0:0:1::1", // the longest run
      "2001:DB8::AbCd": "2001:db8::abcd",
      "0:0:0:0:0:0:0:0": "::",
      "0:0:0:0:0:0:0:1": "::1",
      "1:0:0:0:0:0:0:0": "1::",
      "::ffff:192.0.2.1": "::ffff:192.0.2.1",
      "::ffff:c000:201": "::ffff:192.0.2.1",
      "64:ff9b::192.0.2.33": "64:ff9b::c000:221",
      "1:2:3:4:5:6:1.2.3.4": "1:2:3:4:5:6:102:304"
    }
    for (const [given, expected] of Object.entries(cases)) {
      expect(textOf(Address.ipv6, bytesOf(Address.ipv6, given)), given).toBe(expected)
    }
  })

  it("lie in network byte order, with no alignment", () => {
    expect(bytesOf(Address.ipv4, "10.0.0.1")).toEqual(Uint8Array.of(10, 0, 0, 1))
    expect(bytesOf(Address.mac, "02:00:00:00:00:FF")).toEqual(Uint8Array.of(2, 0, 0, 0, 0, 255))
    expect(textOf(Address.mac, Uint8Array.of(2, 0, 0, 0, 0, 255))).toBe("02:00:00:00:00:ff")
    expect([Address.ipv4.align, Address.ipv6.align, Address.mac.align]).toEqual([1, 1, 1])
    const Flow = Layout.struct({ source: Address.ipv4, port: Layout.u16be })
    expect(bytesOf(Flow, { source: "1.2.3.4", port: 443 })).toEqual(Uint8Array.of(1, 2, 3, 4, 1, 187))
    const wrong = Layout.encode(Flow, { source: "1.2.3", port: 443 })
    expect(wrong).toMatchObject({ failure: { path: "source" } })
  })
})

describe("prefixes", () => {
  for (const [layout, size] of [[Address.ipv4Prefix, 4], [Address.ipv6Prefix, 16]] as const) {
    const bits = size * 8
    const length = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: bits }))

    it.prop(`of ${bits} bits come back from their text, and bits after them are refused`, [bytes(size), length], ([
      address,
      prefixLength
    ]) => {
      const network = address.map((byte, i) => {
        const kept = Math.min(8, Math.max(0, prefixLength - i * 8))
        return byte & (256 - 2 ** (8 - kept))
      })
      const key = Uint8Array.of(prefixLength, 0, 0, 0, ...network)
      const text = textOf(layout, key)
      expect(text.endsWith(`/${prefixLength}`)).toBe(true)
      expect(bytesOf(layout, text)).toEqual(key)
      const host = textOf(layout, Uint8Array.of(prefixLength, 0, 0, 0, ...address))
      const encoded = Layout.encode(layout, host)
      if (Buffer.from(address).equals(network)) expect(encoded).toMatchObject({ success: key })
      else expect(Result.isFailure(encoded) && encoded.failure.message).toContain(`as ${text} is`)
    })
  }

  it("an address alone is a network of its full length", () => {
    expect(bytesOf(Address.ipv4Prefix, "1.2.3.4")).toEqual(Uint8Array.of(32, 0, 0, 0, 1, 2, 3, 4))
    expect(bytesOf(Address.ipv6Prefix, "::1")[0]).toBe(128)
  })
})
