// XDP programs that send packets elsewhere: to another program, another device, another machine.
import * as Effect from "effect/Effect"
import * as Asm from "../../isa/Asm.ts"
import * as Snippets from "../../isa/Snippets.ts"
import * as Layout from "../../layout/Layout.ts"
import * as DevMap from "../../map/DevMap.ts"
import * as PerCpuArrayMap from "../../map/PerCpuArrayMap.ts"
import * as ProgArray from "../../map/ProgArray.ts"
import * as ProgramSpec from "../../spec/ProgramSpec.ts"
import { xdp } from "../../spec/ReturnCode.ts"
import { checked, configured, recipe } from "../internal/entry.ts"
import { Ipv4Packet, protocol } from "../internal/headers.ts"
import { ethernet, increment, ipv4 } from "../internal/parse.ts"

const slots = Snippets.stack({ key: Layout.u32 })

/** Which program of `tail-call-dispatcher` handled a packet: the index in its map `handled`. */
export const handledBy = { none: 0, tcp: 1, udp: 2, icmp: 3 } as const

const count = (index: number): Asm.Item => [
  Snippets.store(slots.key, index),
  Snippets.mapLookup("handled", slots.key, "counted"),
  increment("r0"),
  Asm.label("counted")
]

const handler = (name: string, index: number, code: number) =>
  ProgramSpec.make({
    type: "xdp",
    name,
    instructions: [count(index), Asm.mov("r0", code), Asm.exit()]
  })

/**
 * Goes on in another program for each protocol over IPv4: those of TCP and UDP pass, that of ICMP drops. They stand in the
 * map `handlers` at the protocol's number, and can be replaced while packets come. The map `handled` counts the packets
 * of each program, each CPU for itself; packets without one pass, and are counted at 0.
 *
 * The kernel empties `handlers` when the map's scope closes: keep it as long as the program is attached.
 */
export const tailCallDispatcher = () =>
  recipe({
    description: "Goes on in another program for each protocol over IPv4, by a tail call.",
    since: [4, 8],
    maps: {
      handlers: ProgArray.define({ name: "handlers", programs: "xdp", maxEntries: 256 }),
      handled: PerCpuArrayMap.define({ name: "handled", value: Layout.u64, maxEntries: 4 })
    },
    companions: {
      tcp: handler("handle_tcp", handledBy.tcp, xdp.XDP_PASS),
      udp: handler("handle_udp", handledBy.udp, xdp.XDP_PASS),
      icmp: handler("handle_icmp", handledBy.icmp, xdp.XDP_DROP)
    },
    program: ProgramSpec.make({
      type: "xdp",
      name: "dispatcher",
      instructions: [
        ethernet("xdp", "none"),
        ipv4({ short: "none", other: "none" }),
        Snippets.readField("r9", "r7", Ipv4Packet, "ip.protocol"),
        Snippets.tailCall("r6", "handlers", "r9"),
        // Here it goes on where there is no such program.
        Asm.label("none"),
        count(handledBy.none),
        Asm.mov("r0", xdp.XDP_PASS),
        Asm.exit()
      ]
    }),
    start: ({ companions, maps }) =>
      Effect.gen(function*() {
        yield* maps.handlers.update(protocol.TCP, companions.tcp)
        yield* maps.handlers.update(protocol.UDP, companions.udp)
        yield* maps.handlers.update(protocol.ICMP, companions.icmp)
      })
  })

/** The options of `xdp-redirect`. */
export interface RedirectOptions {
  /** Which entry of the map packets are sent to, from 0 to `maxEntries` - 1; 0 unless given. */
  readonly index?: number
  /** How many devices the map has room for, from 1 to 65536; 16 unless given. */
  readonly maxEntries?: number
}

/**
 * Sends every packet out of another device: that in the map `devices` at `index`. Packets pass as long as there is none.
 * Kernel 5.8.
 */
export const redirect = configured(
  ["index", "maxEntries"],
  ({ index = 0, maxEntries = 16 }: RedirectOptions = {}) =>
    recipe({
      description: "Sends every packet out of the device in a map.",
      since: [5, 8],
      maps: { devices: DevMap.define({ name: "devices", maxEntries }) },
      program: ProgramSpec.make({
        type: "xdp",
        name: "xdp_redirect",
        instructions: [
          checked("maxEntries", maxEntries, 1, 65536),
          checked("index", index, 0, maxEntries - 1),
          Asm.ldMapFd("r1", "devices"),
          Asm.mov("r2", index),
          Asm.mov("r3", xdp.XDP_PASS), // what it gives back for an empty entry
          Asm.call("redirect_map"),
          Asm.exit()
        ]
      })
    })
)
