// XDP programs that hold back who sends too much.
import * as Asm from "../../isa/Asm.ts"
import * as Snippets from "../../isa/Snippets.ts"
import * as Address from "../../layout/Address.ts"
import * as Layout from "../../layout/Layout.ts"
import * as ArrayMap from "../../map/ArrayMap.ts"
import * as HashMap from "../../map/HashMap.ts"
import * as ProgramSpec from "../../spec/ProgramSpec.ts"
import { xdp } from "../../spec/ReturnCode.ts"
import { checked, configured, recipe } from "../internal/entry.ts"
import { Icmp, Ipv4Packet, offsetOf, protocol, Tcp, tcpFlag } from "../internal/headers.ts"
import { ethernet, increment, ipv4Transport, verdict } from "../internal/parse.ts"

const NANOSECONDS = 1_000_000_000n
const NANOSECONDS_PER_MS = 1_000_000n

/** A number of nanoseconds of an option; 0 for one that `checked` reports. */
const nanoseconds = (value: number, each: (value: bigint) => bigint): bigint =>
  Number.isInteger(value) && value > 0 ? each(BigInt(value)) : 0n

const ends = [verdict("pass", xdp.XDP_PASS), verdict("drop", xdp.XDP_DROP)]

// ---------------------------------------------------------------- SYN floods

/** What `syn-flood-protection` knows of a source. */
export const SynSource = Layout.struct({
  /** When its window began, in nanoseconds since boot. */
  windowStart: Layout.u64,
  /** Connections that it tried to open in this window. */
  syns: Layout.u64,
  /** How many of its packets were dropped, in all windows. */
  dropped: Layout.u64
})

/** The options of `syn-flood-protection`. */
export interface SynFloodOptions {
  /** How many connections a source may open in a window, from 1 to 2^31 - 1; 100 unless given. */
  readonly limit?: number
  /** The length of a window in milliseconds, from 1 to 2^31 - 1; 1000 unless given. */
  readonly windowMs?: number
  /** How many sources are kept; 16384 unless given. */
  readonly maxEntries?: number
}

const slots = Snippets.stack({ key: Layout.u32, source: SynSource })

const isSyn: Asm.Item = [
  Snippets.readField("r1", "r9", Tcp, "flags"),
  Asm.and("r1", tcpFlag.SYN | tcpFlag.ACK),
  Asm.jne("r1", tcpFlag.SYN, "pass")
]

/**
 * Drops TCP SYN packets over IPv4 of sources that send more than `limit` of them within `windowMs`; other sources, and all
 * other packets, pass. The map `sources` has the state of each source, and forgets that unseen for longest when it is
 * full, so a flood from ever new addresses cannot fill it.
 *
 * Windows are fixed: one begins with the first SYN after the last has passed. Two CPUs may begin it at once, and then a
 * source gets away with a few packets more.
 */
export const synFloodProtection = configured(["limit", "maxEntries", "windowMs"], (options: SynFloodOptions = {}) => {
  const { limit = 100, maxEntries = 16384, windowMs = 1000 } = options
  const window = nanoseconds(windowMs, (ms) => ms * NANOSECONDS_PER_MS)
  return recipe({
    description: "Drops TCP SYN packets of IPv4 sources that send too many of them in a window of time.",
    since: [4, 12],
    maps: { sources: HashMap.defineLru({ name: "sources", key: Address.ipv4, value: SynSource, maxEntries }) },
    program: ProgramSpec.make({
      type: "xdp",
      name: "syn_flood",
      instructions: [
        checked("limit", limit, 1, 0x7fffffff),
        checked("windowMs", windowMs, 1, 0x7fffffff),
        ethernet("xdp", "drop"),
        ipv4Transport(protocol.TCP, Tcp.size, { short: "drop", other: "pass" }),
        isSyn,
        Snippets.readField("r1", "r7", Ipv4Packet, "ip.source"),
        Snippets.store(slots.key, "r1"),
        Asm.call("ktime_get_ns"),
        Asm.mov("r6", "r0"), // now; the context is not needed any more
        Snippets.mapLookup("sources", slots.key, "new"),
        Asm.mov("r7", "r0"),
        Asm.mov("r2", "r6"),
        Snippets.readField("r1", "r7", SynSource, "windowStart"),
        Asm.sub("r2", "r1"),
        Asm.lddw("r3", window),
        Asm.jlt("r2", "r3", "count"),
        Snippets.writeField("r7", SynSource, "windowStart", "r6"),
        Snippets.writeField("r7", SynSource, "syns", 0),
        Asm.label("count"),
        increment("r7", offsetOf(SynSource, "syns")),
        Snippets.readField("r1", "r7", SynSource, "syns"),
        Asm.jle("r1", limit, "pass"),
        increment("r7", offsetOf(SynSource, "dropped")),
        Asm.ja("drop"),
        Asm.label("new"),
        Snippets.storeStruct(slots.source, { windowStart: "r6", syns: 1 }),
        Snippets.mapUpdate("sources", slots.key, slots.source),
        ends
      ]
    })
  })
})

// ---------------------------------------------------------------- ICMP

/** The token bucket of `icmp-rate-limit`. Its tokens are nanoseconds, of which each packet costs a share of a second. */
export const Bucket = Layout.struct({
  lock: Layout.spinLock,
  /** 1 after the first packet. */
  started: Layout.u32,
  /** What is in the bucket, in nanoseconds. */
  credit: Layout.u64,
  /** When it was last filled up, in nanoseconds since boot. */
  filledAt: Layout.u64,
  passed: Layout.u64,
  dropped: Layout.u64
})

/** The options of `icmp-rate-limit`. */
export interface IcmpRateLimitOptions {
  /** How many packets pass in a second in the long run, from 1 to 1000000; 10 unless given. */
  readonly perSecond?: number
  /** How many packets may come at once after a pause, from 1 to 1000000; 20 unless given. */
  readonly burst?: number
}

/** r2 = the credit at the time r6, of which the bucket at r7 holds at most `capacity`. */
const fillUp = (capacity: bigint): Asm.Item => [
  Asm.lddw("r5", capacity),
  Asm.mov("r2", "r5"), // a new bucket is full
  Snippets.readField("r1", "r7", Bucket, "started"),
  Asm.jeq("r1", 0, "start"),
  Snippets.readField("r2", "r7", Bucket, "credit"),
  Snippets.readField("r3", "r7", Bucket, "filledAt"),
  // The time was read before the lock was taken: another CPU may have been faster, and it must not run backwards.
  Asm.jle("r6", "r3", "filled"),
  Asm.mov("r4", "r6"),
  Asm.sub("r4", "r3"),
  Asm.add("r2", "r4"),
  Asm.jle("r2", "r5", "start"),
  Asm.mov("r2", "r5"),
  Asm.label("start"),
  Snippets.writeField("r7", Bucket, "started", 1),
  Snippets.writeField("r7", Bucket, "filledAt", "r6"),
  Asm.label("filled")
]

/** Adds 1 to a count under the lock, by way of r1. */
const countOne = (name: "passed" | "dropped"): Asm.Item => [
  Snippets.readField("r1", "r7", Bucket, name),
  Asm.add("r1", 1),
  Snippets.writeField("r7", Bucket, name, "r1")
]

/**
 * Lets ICMP packets over IPv4 through at a steady rate, with bursts after a pause, and drops the rest; all else passes. It
 * is a token bucket for the whole device: the one value of the map `bucket`, under a spin lock. Kernel 5.1.
 */
export const icmpRateLimit = configured(
  ["burst", "perSecond"],
  ({ burst = 20, perSecond = 10 }: IcmpRateLimitOptions = {}) => {
    const cost = nanoseconds(perSecond, (rate) => NANOSECONDS / rate)
    const capacity = nanoseconds(burst, (packets) => packets * cost)
    return recipe({
      description: "Limits ICMP packets over IPv4 to a rate with bursts: a token bucket under a spin lock.",
      since: [5, 1],
      // The kernel finds the lock in the value by the map's BTF.
      maps: { bucket: ArrayMap.define({ name: "bucket", value: Bucket, maxEntries: 1, btf: true }) },
      program: ProgramSpec.make({
        type: "xdp",
        name: "icmp_limit",
        instructions: [
          checked("perSecond", perSecond, 1, 1_000_000),
          checked("burst", burst, 1, 1_000_000),
          ethernet("xdp", "drop"),
          ipv4Transport(protocol.ICMP, Icmp.size, { short: "drop", other: "pass" }),
          Asm.call("ktime_get_ns"), // no helper may be called under the lock
          Asm.mov("r6", "r0"),
          Snippets.store(slots.key, 0),
          Snippets.mapLookup("bucket", slots.key, "drop"),
          Asm.mov("r7", "r0"),
          Asm.mov("r1", "r7"),
          Asm.add("r1", offsetOf(Bucket, "lock")),
          Asm.call("spin_lock"),
          fillUp(capacity),
          Asm.mov("r8", xdp.XDP_DROP),
          Asm.lddw("r4", cost),
          Asm.jlt("r2", "r4", "empty"),
          Asm.sub("r2", "r4"),
          Asm.mov("r8", xdp.XDP_PASS),
          countOne("passed"),
          Asm.ja("unlock"),
          Asm.label("empty"),
          countOne("dropped"),
          Asm.label("unlock"),
          Snippets.writeField("r7", Bucket, "credit", "r2"),
          Asm.mov("r1", "r7"),
          Asm.add("r1", offsetOf(Bucket, "lock")),
          Asm.call("spin_unlock"),
          Asm.mov("r0", "r8"),
          Asm.exit(),
          ends
        ]
      })
    })
  }
)
