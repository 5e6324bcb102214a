// Programs changed at random, for the test that holds the verdicts of both kernels against each other: the catalog's, those
// of the specs of rejections, and seeds written for it, each as the bytes that the library hands to the kernel.
import * as Arbitrary from "effect/Arbitrary"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { bpf_cmd, bpf_map_create_flags } from "../../src/abi/generated/enums.ts"
import { bpf_attr_prog_load } from "../../src/abi/generated/structs.ts"
import {
  ArrayMap,
  Catalog,
  HashMap,
  Kernel,
  Layout,
  ProgArray,
  Program,
  ProgramSpec,
  RingBufferMap
} from "../../src/index.ts"
import { pseudo, WIDE_LOAD } from "../../src/isa/opcodes.ts"
import { readNumber } from "../../src/kernel/attribute.ts"
import { wrapCalls } from "../../src/kernel/doorCalls.ts"
import type { Block, KernelService } from "../../src/kernel/Kernel.ts"
import { rejectionCases } from "../behaviour/rejections.ts"
import { seedSpecs } from "./mutationSeeds.ts"
import type { LoadCall } from "./rawDoor.ts"

export type { LoadCall } from "./rawDoor.ts"

/** A kernel that keeps the calls of BPF_PROG_LOAD that are made of it. */
const recording = (kernel: KernelService) => {
  const blocks = new Map<number, Block>()
  const loads: Array<LoadCall> = []
  const at = (attr: Block, offset: number): Uint8Array =>
    blocks.get(Number(attr.view.getBigUint64(offset, true)))?.bytes ?? new Uint8Array()
  const wrapped = wrapCalls(kernel, (call, make) => {
    if (call.method === "bpf.call" && call.args[0] === bpf_cmd.BPF_PROG_LOAD) {
      const attr = call.args[1] as Block
      const field = (name: keyof typeof bpf_attr_prog_load.fields) => readNumber(attr, bpf_attr_prog_load, name)
      const license = at(attr, bpf_attr_prog_load.fields.license.offset)
      loads.push({
        type: field("prog_type"),
        attachType: field("expected_attach_type"),
        attachBtfId: field("attach_btf_id"),
        flags: field("prog_flags"),
        license: new TextDecoder().decode(license.slice(0, license.indexOf(0))),
        bytes: at(attr, bpf_attr_prog_load.fields.insns.offset).slice(0, field("insn_cnt") * 8)
      })
    }
    const made = make()
    if (call.gives === "block" && typeof made === "object") blocks.set((made as Block).address, made as Block)
    return made
  })
  return { wrapped, loads }
}

export interface Seed {
  readonly name: string
  readonly real: LoadCall
  readonly simulated: LoadCall
}

const maps = Effect.gen(function*() {
  return {
    hash: yield* HashMap.make({ name: "hash", key: Layout.u32, value: Layout.u64, maxEntries: 4 }),
    array: yield* ArrayMap.make({ name: "array", value: Layout.array(Layout.u64, 8), maxEntries: 1 }),
    constants: yield* ArrayMap.make({
      name: "constants",
      value: Layout.array(Layout.u64, 8),
      maxEntries: 1,
      flags: bpf_map_create_flags.BPF_F_RDONLY_PROG
    }),
    ring: yield* RingBufferMap.make({ name: "ring", record: Layout.u64, maxEntries: 4096 }),
    programs: yield* ProgArray.make({ name: "programs", programs: "xdp", maxEntries: 2 })
  }
})

const written = [
  ...seedSpecs.map(({ name, type, body, license }) => ({
    name,
    spec: ProgramSpec.make(
      { type, name: "seed", instructions: body, license: license ?? "GPL" } as never
    ) as ProgramSpec.ProgramSpec
  })),
  ...rejectionCases.map(({ name, type, body }) => ({
    name,
    spec: ProgramSpec.make(
      { type: type ?? "socket_filter", name: "seed", instructions: body } as never
    ) as ProgramSpec.ProgramSpec
  }))
]

/** What each program is loaded as, by its name, with its maps open as long as the scope lives. */
const loadsOn = (kernel: KernelService) =>
  Effect.gen(function*() {
    const { loads, wrapped } = recording(kernel)
    const named = new Map<string, LoadCall>()
    const record = <E, R>(name: string, load: Effect.Effect<unknown, E, R>) =>
      Effect.map(Effect.exit(load), () => {
        const last = loads.at(-1)
        loads.length = 0
        if (last !== undefined) named.set(name, last)
      })
    const all = Effect.gen(function*() {
      const made = yield* maps
      for (const { name, spec } of written) yield* record(name, Effect.scoped(Program.load(spec, { maps: made })))
      for (const name of Catalog.names) yield* record(name, Catalog.load(name))
      return named
    })
    return yield* Effect.provideService(all, Kernel.Kernel, wrapped)
  })

const isMapLoad = (bytes: Uint8Array, at: number): boolean => {
  const src = bytes[at + 1]! >> 4
  return bytes[at] === WIDE_LOAD &&
    (src === pseudo.BPF_PSEUDO_MAP_FD || src === pseudo.BPF_PSEUDO_MAP_VALUE)
}

/** The real kernel's program with the simulated one's descriptors: fields of the kernel's types have the same places. */
const withMapsOf = (real: Uint8Array, simulated: Uint8Array): Uint8Array => {
  const out = real.slice()
  for (let at = 0; at < out.length; at += 8) {
    if (isMapLoad(out, at)) out.set(simulated.subarray(at + 4, at + 8), at + 4)
  }
  return out
}

/** All programs that both kernels were handed. */
export const seeds = (real: KernelService, simulated: KernelService) =>
  Effect.gen(function*() {
    const onReal = yield* loadsOn(real)
    const onSimulated = yield* loadsOn(simulated)
    return [...onReal].flatMap(([name, load]): ReadonlyArray<Seed> => {
      const other = onSimulated.get(name)
      if (other === undefined || other.bytes.length !== load.bytes.length) return []
      return [{ name, real: load, simulated: { ...other, bytes: withMapsOf(load.bytes, other.bytes) } }]
    })
  })

// ---------------------------------------------------------------- changes

const int = (minimum: number, maximum: number) => Schema.Int.check(Schema.isBetween({ minimum, maximum }))

const number = Schema.Union([
  int(-16, 16),
  int(-16, 16),
  Schema.Literals([0, 1, -1, 2, 8, 31, 32, 63, 64, 255, 512, 0x7fff, 0x10000, 0x7fffffff, -0x80000000]),
  int(-0x80000000, 0x7fffffff)
])

/** One change of a program. */
const change = Schema.Struct({
  what: Schema.Literals([
    "opcode",
    "opcode bits",
    "operation",
    "size",
    "dst",
    "src",
    "offset",
    "offset far",
    "immediate",
    "immediate near",
    "delete",
    "insert",
    "duplicate",
    "swap",
    "copy"
  ]),
  at: int(0, 0xffff),
  other: int(0, 0xffff),
  value: number
})
export type Change = typeof change.Type

export const changes: Arbitrary.Arbitrary<{ readonly seed: number; readonly list: ReadonlyArray<Change> }> = Arbitrary
  .all({
    seed: Arbitrary.schema(int(0, 0xffff)),
    list: Arbitrary.array(Arbitrary.schema(change), { minLength: 1, maxLength: 3 })
  })

/** Slots and the jumps over the place are moved along, so that a program with one slot more still is one. */
const moveTargets = (out: ReadonlyArray<Uint8Array>, at: number, by: number): void => {
  for (const [pc, slot] of out.entries()) {
    const kind = slot[0]! & 7
    if (kind !== 5 && kind !== 6) continue
    const view = new DataView(slot.buffer, slot.byteOffset)
    const operation = slot[0]! & 0xf0
    if (operation === 0x90) continue
    const long = slot[0] === 6 || (operation === 0x80 && slot[1]! >> 4 === 1)
    if (operation === 0x80 && !long) continue
    const offset = long ? view.getInt32(4, true) : view.getInt16(2, true)
    // Places as they are after the change.
    const from = pc
    const before = by > 0 ? (from >= at + by ? from - by : from) : from >= at ? from - by : from
    const target = before + 1 + offset
    const after = target > at ? target + by : target
    const moved = after - from - 1
    if (long) view.setInt32(4, moved, true)
    else view.setInt16(2, moved, true)
  }
}

const random = (value: number): Uint8Array => {
  const slot = new Uint8Array(8)
  const view = new DataView(slot.buffer)
  const opcodes = [
    0xb7,
    0xbf,
    0x07,
    0x0f,
    0x1f,
    0x57,
    0x5f,
    0x61,
    0x79,
    0x71,
    0x69,
    0x7b,
    0x63,
    0x73,
    0x7a,
    0x62,
    0xdb,
    0xc3,
    0x15,
    0x1d,
    0x55,
    0x25,
    0x2d,
    0xa5,
    0xb5,
    0x65,
    0xc5,
    0x16,
    0x85,
    0x95,
    0x05,
    0x27,
    0x37,
    0x97,
    0x67,
    0x77,
    0xc7,
    0xbc,
    0xb4,
    0x87,
    0xd4,
    0xdc,
    0x20,
    0x40
  ]
  const pick = Math.abs(value * 2654435761) >>> 0
  slot[0] = opcodes[pick % opcodes.length]!
  slot[1] = ((pick >>> 8) % 11) | (((pick >>> 12) % 11) << 4)
  view.setInt16(2, [0, 0, -8, -16, 1, 2, 4][(pick >>> 16) % 7]!, true)
  view.setInt32(4, [0, 1, 5, 8, -1, 16][(pick >>> 20) % 6]!, true)
  return slot
}

/** The program with the change. The descriptors of its maps stay: they differ between kernels. */
export const changed = (bytes: Uint8Array, { at, other, value, what }: Change): Uint8Array => {
  const slots: Array<Uint8Array> = Array.from({ length: bytes.length / 8 }, (_, i) => bytes.slice(i * 8, i * 8 + 8))
  const place = at % slots.length
  const slot = slots[place]!
  const isSecond = place > 0 && isMapLoad(bytes, place * 8 - 8)
  const holdsMap = isMapLoad(bytes, place * 8)
  const view = new DataView(slot.buffer)
  switch (what) {
    case "opcode":
      if (!holdsMap) slot[0] = value & 0xff
      break
    case "opcode bits":
      if (!holdsMap) slot[0] = slot[0]! ^ (1 << (other & 7))
      break
    case "operation":
      if (!holdsMap) slot[0] = (slot[0]! & 0x0f) | ((other & 15) << 4)
      break
    case "size":
      if (!holdsMap) slot[0] = (slot[0]! & 0xe7) | ((other & 3) << 3)
      break
    case "dst":
      slot[1] = (slot[1]! & 0xf0) | (other % 11)
      break
    case "src":
      if (!holdsMap) slot[1] = (slot[1]! & 0x0f) | ((other % 11) << 4)
      break
    case "offset":
      view.setInt16(2, view.getInt16(2, true) + (value % 64), true)
      break
    case "offset far":
      view.setInt16(2, value, true)
      break
    case "immediate":
      if (!holdsMap) view.setInt32(4, value, true)
      break
    case "immediate near":
      if (!holdsMap) view.setInt32(4, view.getInt32(4, true) + (value % 64), true)
      break
    case "delete":
      if (holdsMap || isSecond || slots.length < 2) break
      slots.splice(place, 1)
      moveTargets(slots, place, -1)
      break
    case "insert":
      if (isSecond) break
      slots.splice(place, 0, random(value ^ other))
      moveTargets(slots, place, 1)
      break
    case "duplicate":
      if (isSecond || holdsMap) break
      slots.splice(place, 0, slot.slice())
      moveTargets(slots, place, 1)
      break
    case "swap":
    case "copy": {
      const from = other % slots.length
      const fromMap = isMapLoad(bytes, from * 8) || (from > 0 && isMapLoad(bytes, from * 8 - 8))
      if (isSecond || holdsMap || fromMap) break
      if (what === "swap") [slots[place], slots[from]] = [slots[from]!, slot]
      else slots[place] = slots[from]!.slice()
    }
  }
  const out = new Uint8Array(slots.length * 8)
  for (const [index, each] of slots.entries()) out.set(each, index * 8)
  return out
}
