// An XDP filter: drops UDP packets to one port, and passes all others. It is not attached: `Program.testRun` shows it
// packets, in the kernel, and gives back the verdict.
//
//   scripts/example xdpFilter
import { Asm, Layout, Program, ProgramSpec, ReturnCode, Snippets } from "effect-ebpf"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import { layer } from "./kernel.ts"

/** Ethernet, IPv4 without options, UDP: as they stand in the packet. */
const Headers = Layout.packed({
  destination: Layout.bytes(6),
  source: Layout.bytes(6),
  etherType: Layout.u16be,
  versionAndLength: Layout.u8,
  service: Layout.u8,
  totalLength: Layout.u16be,
  identification: Layout.u16be,
  fragment: Layout.u16be,
  timeToLive: Layout.u8,
  protocol: Layout.u8,
  checksum: Layout.u16be,
  from: Layout.u32be,
  to: Layout.u32be,
  sourcePort: Layout.u16be,
  destinationPort: Layout.u16be,
  udpLength: Layout.u16be,
  udpChecksum: Layout.u16be
})

const ETH_P_IP = 0x0800
const IPPROTO_UDP = 17

const dropPort = (port: number) =>
  ProgramSpec.make({
    type: "xdp",
    name: "drop_port",
    instructions: [
      Snippets.packet({ context: "xdp", from: "r1", data: "r2", end: "r3", length: Headers.size, otherwise: "pass" }),
      Snippets.readField("r4", "r2", Headers, "etherType"),
      Asm.jne("r4", ETH_P_IP, "pass"),
      Snippets.readField("r4", "r2", Headers, "versionAndLength"),
      Asm.jne("r4", 0x45, "pass"), // with options the ports stand elsewhere
      Snippets.readField("r4", "r2", Headers, "protocol"),
      Asm.jne("r4", IPPROTO_UDP, "pass"),
      Snippets.readField("r4", "r2", Headers, "destinationPort"),
      Asm.jne("r4", port, "pass"),
      Asm.mov("r0", ReturnCode.xdp.XDP_DROP),
      Asm.exit(),
      Asm.label("pass"),
      Asm.mov("r0", ReturnCode.xdp.XDP_PASS),
      Asm.exit()
    ]
  })

const packet = (protocol: number, destinationPort: number): Uint8Array =>
  Effect.runSync(Effect.fromResult(Layout.encode(Headers, {
    destination: new Uint8Array(6),
    source: new Uint8Array(6),
    etherType: ETH_P_IP,
    versionAndLength: 0x45,
    service: 0,
    totalLength: 28,
    identification: 0,
    fragment: 0,
    timeToLive: 64,
    protocol,
    checksum: 0,
    from: 0xc0000201,
    to: 0xc0000202,
    sourcePort: 40000,
    destinationPort,
    udpLength: 8,
    udpChecksum: 0
  })))

const main = Effect.gen(function*() {
  const filter = yield* Program.load(dropPort(5353))
  const verdict = Effect.fnUntraced(function*(data: Uint8Array) {
    const { returnValue } = yield* Program.testRun(filter, { data })
    return returnValue === ReturnCode.xdp.XDP_DROP ? "dropped" : "passed"
  })
  yield* Console.log("UDP to 5353:", yield* verdict(packet(IPPROTO_UDP, 5353)))
  yield* Console.log("UDP to 53:", yield* verdict(packet(IPPROTO_UDP, 53)))
  yield* Console.log("TCP to 5353:", yield* verdict(packet(6, 5353)))
})

await Effect.runPromise(main.pipe(Effect.scoped, Effect.provide(layer)))
