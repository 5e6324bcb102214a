// Programs of traffic control: they see a packet's metadata, and run on its way out as well as in.
import * as Asm from "../../isa/Asm.ts"
import * as Snippets from "../../isa/Snippets.ts"
import * as Layout from "../../layout/Layout.ts"
import * as PerCpuArrayMap from "../../map/PerCpuArrayMap.ts"
import { __sk_buff } from "../../spec/ProgramContext.ts"
import * as ProgramSpec from "../../spec/ProgramSpec.ts"
import { tc } from "../../spec/ReturnCode.ts"
import { checked, configured, recipe } from "../internal/entry.ts"
import { etherType } from "../internal/headers.ts"
import { increment, verdict } from "../internal/parse.ts"

const always = (name: string, code: number) =>
  ProgramSpec.make({ type: "sched_cls", name, instructions: [Asm.mov("r0", code), Asm.exit()] })

/** Lets every packet pass, and ends its classification. */
export const ok = () =>
  recipe({
    description: "Lets every packet pass, and ends its classification.",
    since: [4, 1],
    program: always("tc_ok", tc.TC_ACT_OK)
  })

/** Drops every packet. */
export const shot = () =>
  recipe({ description: "Drops every packet.", since: [4, 1], program: always("tc_shot", tc.TC_ACT_SHOT) })

/** The options of `tc-size-classifier`. */
export interface SizeClassifierOptions {
  /** The length in bytes from which a packet is of medium size, from 0 to 2^31 - 1; 256 unless given. */
  readonly medium?: number
  /** The length in bytes from which a packet is large, from `medium` to 2^31 - 1; 1024 unless given. */
  readonly large?: number
  /** The major number of the classes that packets are sorted into, from 1 to 0xffff; 1 unless given. */
  readonly major?: number
}

/** The classes of `tc-size-classifier`: the minor number, the mark of the packet, and the index in its map plus 1. */
export const sizeClass = { small: 1, medium: 2, large: 3 } as const

const slots = Snippets.stack({ key: Layout.u32 })

/**
 * Sorts packets by length into the classes `major:1` (small), `major:2` (medium) and `major:3` (large) of a classful qdisc
 * such as HTB: it sets the packet's `tc_classid` and `priority` to the class, and its `mark` to the minor number. The map
 * `classes` counts the packets of each class, each CPU for itself. Every packet passes.
 */
export const sizeClassifier = configured(
  ["large", "major", "medium"],
  ({ large = 1024, major = 1, medium = 256 }: SizeClassifierOptions = {}) =>
    recipe({
      description: "Sorts packets by length into three classes of a qdisc, and counts them.",
      since: [4, 6],
      maps: { classes: PerCpuArrayMap.define({ name: "classes", value: Layout.u64, maxEntries: 3 }) },
      program: ProgramSpec.make({
        type: "sched_cls",
        name: "tc_size",
        instructions: [
          checked("medium", medium, 0, 0x7fffffff),
          checked("large", large, medium, 0x7fffffff),
          checked("major", major, 1, 0xffff),
          Asm.mov("r6", "r1"),
          Snippets.readField("r1", "r6", __sk_buff, "len"),
          Asm.mov("r7", sizeClass.small),
          Asm.jlt("r1", medium, "sized"),
          Asm.mov("r7", sizeClass.medium),
          Asm.jlt("r1", large, "sized"),
          Asm.mov("r7", sizeClass.large),
          Asm.label("sized"),
          Snippets.writeField("r6", __sk_buff, "mark", "r7"),
          Asm.mov("r1", major),
          Asm.lsh("r1", 16),
          Asm.or("r1", "r7"),
          Snippets.writeField("r6", __sk_buff, "tc_classid", "r1"),
          Snippets.writeField("r6", __sk_buff, "priority", "r1"),
          Asm.sub("r7", 1),
          Snippets.store(slots.key, "r7"),
          Snippets.mapLookup("classes", slots.key, "ok"),
          increment("r0"),
          verdict("ok", tc.TC_ACT_OK)
        ]
      })
    })
)

/** The options of `tc-ethertype-shot`. */
export interface EthertypeShotOptions {
  /** What to drop, from 0 to 0xffff; IPv6 (0x86dd) unless given. */
  readonly etherType?: number
}

/** Drops packets of one EtherType, told by the packet's metadata, and leaves all others to the next program. */
export const ethertypeShot = configured(
  ["etherType"],
  ({ etherType: unwanted = etherType.IPV6 }: EthertypeShotOptions = {}) =>
    recipe({
      description: "Drops packets of one EtherType, and leaves all others to the next program.",
      since: [4, 1],
      program: ProgramSpec.make({
        type: "sched_cls",
        name: "tc_ethertype",
        instructions: [
          checked("etherType", unwanted, 0, 0xffff),
          Snippets.readField("r1", "r1", __sk_buff, "protocol"),
          Asm.be("r1", 16),
          Asm.jeq("r1", unwanted, "shot"),
          verdict("next", tc.TC_ACT_UNSPEC),
          verdict("shot", tc.TC_ACT_SHOT)
        ]
      })
    })
)
