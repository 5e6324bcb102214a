// Programs that send something to user space, or tell where they run.
import * as Asm from "../../isa/Asm.ts"
import * as Snippets from "../../isa/Snippets.ts"
import * as Layout from "../../layout/Layout.ts"
import * as HashMap from "../../map/HashMap.ts"
import * as PerfEventArray from "../../map/PerfEventArray.ts"
import * as RingBufferMap from "../../map/RingBufferMap.ts"
import { __sk_buff } from "../../spec/ProgramContext.ts"
import * as ProgramSpec from "../../spec/ProgramSpec.ts"
import { tc, xdp } from "../../spec/ReturnCode.ts"
import { checked, configured, recipe } from "../internal/entry.ts"
import { etherType, Ipv4, offsetOf, protocol } from "../internal/headers.ts"
import { increment, verdict } from "../internal/parse.ts"

/** What the output programs say of a packet. */
export const PacketEvent = Layout.struct({
  /** In nanoseconds since boot. */
  time: Layout.u64,
  /** In bytes, with the Ethernet header. */
  length: Layout.u32,
  ifindex: Layout.u32,
  /** The EtherType. */
  type: Layout.u32
})

/** The options of programs with a ring buffer. */
export interface RingOptions {
  /** The size of the ring in bytes, a power of two times the page size; 262144 unless given. */
  readonly ringBytes?: number
}

const slots = Snippets.stack({ event: PacketEvent, key: Layout.u32, count: Layout.u64 })

/** r0 = the EtherType of the packet whose context is in r6. */
const etherTypeOf: Asm.Item = [Snippets.readField("r0", "r6", __sk_buff, "protocol"), Asm.be("r0", 16)]

/**
 * Writes a record of each packet into the ring buffer `events`, in place: room is reserved, filled in, and submitted.
 * Every packet passes; what finds no room is not told. Kernel 5.8.
 */
export const ringBufferOutput = configured(["ringBytes"], ({ ringBytes = 262_144 }: RingOptions = {}) =>
  recipe({
    description: "Writes a record of each packet into a ring buffer.",
    since: [5, 8],
    maps: { events: RingBufferMap.define({ name: "events", record: PacketEvent, maxEntries: ringBytes }) },
    program: ProgramSpec.make({
      type: "sched_cls",
      name: "ringbuf_output",
      instructions: [
        Asm.mov("r6", "r1"),
        Snippets.ringbufReserve("events", PacketEvent, "ok"),
        Asm.mov("r7", "r0"),
        Asm.call("ktime_get_ns"),
        Snippets.writeField("r7", PacketEvent, "time", "r0"),
        Snippets.readField("r1", "r6", __sk_buff, "len"),
        Snippets.writeField("r7", PacketEvent, "length", "r1"),
        Snippets.readField("r1", "r6", __sk_buff, "ifindex"),
        Snippets.writeField("r7", PacketEvent, "ifindex", "r1"),
        etherTypeOf,
        Snippets.writeField("r7", PacketEvent, "type", "r0"),
        // What follows the last field to the next multiple of 8 would show bytes of older records.
        Asm.stw("r7", PacketEvent.size - 4, 0),
        Snippets.ringbufSubmit("r7"),
        verdict("ok", tc.TC_ACT_OK)
      ]
    })
  }))

/** The options of `perf-event-output`. */
export interface PerfEventOutputOptions {
  /** How many CPUs the map has room for; `Kernel.possibleCpus` is enough. 256 unless given. */
  readonly cpus?: number
}

/**
 * Writes a record of each packet into the perf buffer of the CPU that it runs on, as kernels before 5.8 have to. A perf
 * event of `PERF_COUNT_SW_BPF_OUTPUT` must be put into the map `events` for each CPU. Every packet passes; what the kernel
 * does not take is not told.
 */
export const perfEventOutput = configured(["cpus"], ({ cpus = 256 }: PerfEventOutputOptions = {}) =>
  recipe({
    description: "Writes a record of each packet into the perf buffer of its CPU.",
    since: [4, 4],
    maps: { events: PerfEventArray.define({ name: "events", maxEntries: cpus }) },
    program: ProgramSpec.make({
      type: "sched_cls",
      name: "perf_output",
      instructions: [
        Asm.mov("r6", "r1"),
        Asm.call("ktime_get_ns"),
        Asm.mov("r7", "r0"),
        Snippets.readField("r8", "r6", __sk_buff, "len"),
        Snippets.readField("r9", "r6", __sk_buff, "ifindex"),
        etherTypeOf,
        Snippets.storeStruct(slots.event, { time: "r7", length: "r8", ifindex: "r9", type: "r0" }),
        Snippets.perfOutput("r6", "events", slots.event),
        verdict("ok", tc.TC_ACT_OK)
      ]
    })
  }))

/** Counts in the map `cpus` how many packets each CPU handled, by the CPU's number. Every packet passes. */
export const cpuId = () =>
  recipe({
    description: "Counts how many packets each CPU handled, by the CPU's number.",
    since: [4, 12],
    maps: { cpus: HashMap.define({ name: "cpus", key: Layout.u32, value: Layout.u64, maxEntries: 4096 }) },
    program: ProgramSpec.make({
      type: "xdp",
      name: "cpu_id",
      instructions: [
        Asm.call("get_smp_processor_id"),
        Snippets.store(slots.key, "r0"),
        Snippets.mapLookup("cpus", slots.key, "new"),
        increment("r0"),
        Asm.ja("pass"),
        Asm.label("new"),
        Snippets.store(slots.count, 1),
        Snippets.mapUpdate("cpus", slots.key, slots.count),
        verdict("pass", xdp.XDP_PASS)
      ]
    })
  })

/** The options of `tcp-snapshot`. */
export interface TcpSnapshotOptions {
  /** How many bytes of a packet to keep, from 1 to 65535; 96 unless given. */
  readonly bytes?: number
}

/** BPF_HDR_START_NET of include/uapi/linux/bpf.h: offsets are from the network header on. */
const FROM_NETWORK_HEADER = 1

/**
 * A filter for packet sockets, as packet captures set it: they get the first bytes of TCP packets over IPv4, and no other
 * packets.
 */
export const tcpSnapshot = configured(["bytes"], ({ bytes = 96 }: TcpSnapshotOptions = {}) =>
  recipe({
    description: "Gives a packet socket the first bytes of TCP packets over IPv4, and no others.",
    since: [4, 18],
    program: ProgramSpec.make({
      type: "socket_filter",
      name: "tcp_snapshot",
      instructions: [
        checked("bytes", bytes, 1, 0xffff),
        Asm.mov("r6", "r1"),
        etherTypeOf,
        Asm.jne("r0", etherType.IPV4, "none"),
        // The packet may begin with its Ethernet header or behind it: that depends on the socket.
        Snippets.zero(slots.key),
        Asm.mov("r1", "r6"),
        Asm.mov("r2", offsetOf(Ipv4, "protocol")),
        Snippets.addressOf("r3", slots.key),
        Asm.mov("r4", 1),
        Asm.mov("r5", FROM_NETWORK_HEADER),
        Asm.call("skb_load_bytes_relative"),
        Asm.jne("r0", 0, "none"),
        Snippets.load("r1", slots.key),
        Asm.jne("r1", protocol.TCP, "none"),
        verdict("keep", bytes),
        verdict("none", 0)
      ]
    })
  }))
