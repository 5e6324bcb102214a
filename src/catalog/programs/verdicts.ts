// XDP programs that decide without looking far into the packet.
import * as Asm from "../../isa/Asm.ts"
import * as ProgramSpec from "../../spec/ProgramSpec.ts"
import { xdp } from "../../spec/ReturnCode.ts"
import { checked, configured, recipe } from "../internal/entry.ts"
import { Ethernet, offsetOf } from "../internal/headers.ts"
import { ethernet, verdict, within } from "../internal/parse.ts"

const always = (name: string, code: number) =>
  ProgramSpec.make({ type: "xdp", name, instructions: [Asm.mov("r0", code), Asm.exit()] })

/** Hands every packet on to the network stack: the smallest XDP program, and what a device gets by default. */
export const pass = () =>
  recipe({
    description: "Hands every packet on to the network stack.",
    since: [4, 8],
    program: always("xdp_pass", xdp.XDP_PASS)
  })

/** Drops every packet before the network stack sees it. */
export const drop = () =>
  recipe({
    description: "Drops every packet before the network stack sees it.",
    since: [4, 8],
    program: always("xdp_drop", xdp.XDP_DROP)
  })

/** Drops every packet as after an error: the tracepoint `xdp:xdp_exception` fires for each. */
export const abort = () =>
  recipe({
    description: "Drops every packet as after an error, and fires the tracepoint xdp:xdp_exception.",
    since: [4, 8],
    program: always("xdp_abort", xdp.XDP_ABORTED)
  })

/** Sends every packet back to where it came from, with the Ethernet addresses swapped. */
export const reflect = () => {
  const [destination, source] = [offsetOf(Ethernet, "destination"), offsetOf(Ethernet, "source")]
  return recipe({
    description: "Sends every packet back out of its device, with the Ethernet addresses swapped.",
    since: [4, 8],
    program: ProgramSpec.make({
      type: "xdp",
      name: "xdp_reflect",
      instructions: [
        ethernet("xdp", "short"),
        // Six bytes are four and two.
        Asm.ldxw("r1", "r7", destination),
        Asm.ldxh("r2", "r7", destination + 4),
        Asm.ldxw("r3", "r7", source),
        Asm.ldxh("r4", "r7", source + 4),
        Asm.stw("r7", destination, "r3"),
        Asm.sth("r7", destination + 4, "r4"),
        Asm.stw("r7", source, "r1"),
        Asm.sth("r7", source + 4, "r2"),
        Asm.mov("r0", xdp.XDP_TX),
        Asm.exit(),
        verdict("short", xdp.XDP_DROP)
      ]
    })
  })
}

/** The options of `size-filter`. */
export interface SizeFilterOptions {
  /** The shortest packet to pass, in bytes with the Ethernet header, from 14 to 65535; 60 unless given. */
  readonly least?: number
  /** The longest packet to pass, in bytes with the Ethernet header, from 14 to 65535; 1514 unless given. */
  readonly most?: number
}

/** Passes packets of `least` to `most` bytes, with their Ethernet header, and drops shorter and longer ones. */
export const sizeFilter = configured(
  ["least", "most"],
  ({ least = 60, most = 1514 }: SizeFilterOptions = {}) =>
    recipe({
      description: "Passes packets between two sizes, and drops shorter and longer ones.",
      since: [4, 8],
      program: ProgramSpec.make({
        type: "xdp",
        name: "xdp_size",
        instructions: [
          checked("least", least, Ethernet.size, 0xffff),
          checked("most", most, least, 0xffff),
          ethernet("xdp", "drop"),
          within("r7", least, "drop"),
          // Bounds are compared, and no length computed: taking one pointer from another needs CAP_PERFMON.
          Asm.mov("r0", "r7"),
          Asm.add("r0", most),
          Asm.jlt("r0", "r8", "drop"),
          verdict("pass", xdp.XDP_PASS),
          verdict("drop", xdp.XDP_DROP)
        ]
      })
    })
)
