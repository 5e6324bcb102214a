// Row "test runs": BPF_PROG_TEST_RUN of each kind of program, with data and contexts of many sizes and contents, with room for
// what comes back or without, and with each field of the attribute set that may not be.
import * as ProgramContext from "../../../src/spec/ProgramContext.ts"
import { type Kind, kinds, nameOf } from "../helperProbe.ts"
import { exit, type Fields, instruction, joined, returning, set } from "./bench.ts"
import type { Case } from "./compare.ts"
import type { RunBench, TestRun } from "./runBench.ts"

const PAGE = 4096
/** An address in the first page, where no process has memory. */
const NOWHERE = 8n
/** XDP programs that take packets in several pieces. */
const XDP_HAS_FRAGS = 1 << 5

/** What a frame's Ethernet type may be, and how it is addressed. */
export const frames: { readonly [name: string]: (size: number) => Uint8Array } = {
  plain: (size) => frame(size, 0x88b5),
  ipv4: (size) => frame(size, 0x0800),
  ipv6: (size) => frame(size, 0x86dd),
  vlan: (size) => frame(size, 0x8100),
  length: (size) => frame(size, 0x0026),
  broadcast: (size) => frame(size, 0x0806, 0xff),
  multicast: (size) => frame(size, 0x0800, 0x01),
  "for another": (size) => frame(size, 0x86dd, 0x02)
}

const frame = (size: number, type: number, address = 0): Uint8Array => {
  const bytes = Uint8Array.from({ length: size }, (_, i) => (i * 7 + 1) & 0xff)
  bytes.fill(address, 0, Math.min(size, 6))
  if (size >= 14) bytes.set([type >> 8, type & 0xff], 12)
  if (size > 14 && type === 0x0800) bytes[14] = 0x45
  if (size > 14 && type === 0x86dd) bytes[14] = 0x60
  return bytes
}

const sizes = [
  0,
  1,
  13,
  14,
  15,
  18,
  19,
  20,
  33,
  34,
  35,
  40,
  53,
  54,
  55,
  60,
  64,
  100,
  1500,
  3400,
  3519,
  3520,
  3521,
  3711,
  3712,
  3713,
  PAGE - 1,
  PAGE,
  PAGE + 1,
  9000,
  65_535,
  70_000,
  73_152,
  73_153,
  73_500
]

const runnable = kinds.filter(({ type }) => type !== "struct_ops" && type !== "lirc_mode2")

/** What programs are run: those that return a number, and such as change what comes back. */
const programs: { readonly [name: string]: (kind: Kind) => Uint8Array | undefined } = {
  "returns 1": () => returning(1),
  "returns 0": () => returning(0),
  "returns -1": () => returning(-1),
  "writes mark": ({ type }) =>
    type === "sched_cls" || type === "lwt_xmit"
      ? joined(instruction(0x62, 1, skb.mark.offset, 77), returning(2)) // *(u32 *)(r1 + mark) = 77
      : undefined,
  "writes cb": ({ type }) =>
    type === "sched_cls" || type === "socket_filter" || type === "cgroup_skb"
      ? joined(instruction(0x62, 1, skb.cb.offset + 4, 99), returning(1))
      : undefined,
  ...Object.fromEntries(
    ([
      "len",
      "pkt_type",
      "mark",
      "protocol",
      "vlan_present",
      "vlan_tci",
      "priority",
      "ingress_ifindex",
      "ifindex",
      "tc_index",
      "hash",
      "napi_id",
      "wire_len",
      "gso_segs",
      "gso_size",
      "queue_mapping",
      "tc_classid",
      "family",
      "remote_ip4",
      "local_ip4",
      "remote_port",
      "local_port"
    ] as const).map((
      field
    ) => [
      `returns ${field}`,
      ({ type }: Kind) => packets.has(type) ? joined(instruction(0x61, 0x10, skb[field].offset, 0), exit) : undefined
    ])
  ),
  ...Object.fromEntries(
    (["ingress_ifindex", "rx_queue_index"] as const).map((field) => [
      `returns xdp ${field}`,
      ({ type }: Kind) =>
        type === "xdp"
          ? joined(instruction(0x61, 0x10, ProgramContext.fields.xdp_md[field].offset, 0), exit)
          : undefined
    ])
  ),
  "returns its packet's size": ({ type }) => lengthOf(type, "data", "data_end"),
  "returns its metadata's size": ({ type }) => lengthOf(type, "data_meta", "data"),
  "returns its argument": ({ type }) =>
    type === "raw_tracepoint" || type === "syscall" || type === "raw_tracepoint_writable"
      ? joined(instruction(0x79, 0x10, 8, 0), exit)
      : undefined,
  "writes its argument": ({ type }) =>
    type === "syscall" ? joined(instruction(0x7a, 1, 16, 5), returning(3)) : undefined,
  ...Object.fromEntries(
    (["family", "protocol", "remote_ip4", "remote_port", "local_ip4", "local_port", "ingress_ifindex"] as const).map((
      field
    ) => [
      `compares ${field}`,
      ({ type }: Kind) =>
        type === "sk_lookup"
          ? joined(
            instruction(0x61, 0x12, lookup[field].offset, 0),
            set(0, 1),
            instruction(0x15, 2, 1, 2),
            set(0, 0),
            exit
          )
          : undefined
    ])
  ),
  "fills in keys": ({ type }) =>
    type === "flow_dissector"
      ? joined(
        instruction(0x79, 0x12, skb.flow_keys.offset, 0),
        instruction(0x6a, 2, 0, 20),
        instruction(0x6a, 2, 2, 5000),
        instruction(0x72, 2, 12, 17),
        returning(0)
      )
      : undefined
}

const skb = ProgramContext.fields.__sk_buff
const lookup = ProgramContext.fields.bpf_sk_lookup
const packets: ReadonlySet<string> = new Set([
  "socket_filter",
  "sched_cls",
  "sched_act",
  "cgroup_skb",
  "lwt_in",
  "lwt_out",
  "lwt_xmit",
  "lwt_seg6local"
])

/** `r0 = r3 - r2`, of two pointers into a packet. */
const lengthOf = (type: string, from: "data" | "data_meta", to: "data" | "data_end"): Uint8Array | undefined => {
  const fields = type === "xdp" ? ProgramContext.fields.xdp_md : packets.has(type) ? skb : undefined
  if (fields === undefined) return undefined
  return joined(
    instruction(0x61, 0x12, fields[from].offset, 0),
    instruction(0x61, 0x10, fields[to].offset, 0),
    instruction(0x1f, 0x20, 0, 0),
    exit
  )
}

/** Contexts by what they say. */
const contexts: { readonly [name: string]: Uint8Array | undefined } = (() => {
  const of = (size: number, ...words: ReadonlyArray<readonly [offset: number, value: number]>): Uint8Array => {
    const bytes = new Uint8Array(size)
    for (const [offset, value] of words) new DataView(bytes.buffer).setUint32(offset, value, true)
    return bytes
  }
  const all: Record<string, Uint8Array | undefined> = {}
  for (const size of [1, 4, 8, 16, 20, 24, 32, 56, 64, 72, 96, 97, 104, 184, 192, 193, 200, 256, 4096, 65_535]) {
    all[`${size} zeros`] = new Uint8Array(size)
    const ended = new Uint8Array(size)
    ended[size - 1] = 1
    all[`${size} zeros with a 1 at the end`] = ended
  }
  for (const [name, { offset }] of Object.entries(skb)) {
    for (const value of [1, 2, 77, 65_536, 0xffffffff]) all[`skb ${name} ${value}`] = of(192, [offset, value])
  }
  const xdp = ProgramContext.fields.xdp_md
  for (const [name, { offset }] of Object.entries(xdp)) {
    for (const value of [1, 4, 64, 100]) {
      all[`xdp ${name} ${value}`] = of(24, [offset, value])
      all[`xdp ${name} ${value}, the end at 64`] = of(24, [xdp.data_end.offset, 64], [offset, value])
    }
  }
  for (const end of [14, 60, 63, 64, 65, 3520, 9000]) {
    for (const meta of [0, 3, 4, 8, 50, 52, 248, 252, 256]) {
      all[`xdp of ${end} with metadata ${meta}`] = of(24, [xdp.data.offset, meta], [xdp.data_end.offset, end])
    }
  }
  all["xdp at lo"] = of(24, [xdp.data_end.offset, 64], [xdp.ingress_ifindex.offset, 1])
  all["xdp at lo's second queue"] = of(24, [xdp.data_end.offset, 64], [xdp.ingress_ifindex.offset, 1], [
    xdp.rx_queue_index.offset,
    1
  ])
  for (const [name, { offset }] of Object.entries(lookup)) {
    for (const value of [1, 2, 10, 65_535, 65_536, 0x10002]) {
      all[`lookup ${name} ${value}`] = of(72, [lookup.family.offset, 2], [offset, value])
    }
  }
  for (const family of [0, 1, 2, 10, 11]) all[`lookup of family ${family}`] = of(72, [lookup.family.offset, family])
  for (let at = 0; at < 56; at += 4) all[`flow keys, 3 at ${at}`] = of(56, [at, 3])
  for (const pf of [0, 1, 2, 5, 7, 10]) {
    for (const hook of [0, 1, 2, 3, 4, 5, 9]) {
      const bytes = new Uint8Array(48)
      bytes.set([hook, pf])
      all[`netfilter hook ${hook} of ${pf}`] = bytes
    }
  }
  for (let at = 8; at < 48; at += 8) {
    const bytes = of(48, [at, 1])
    bytes.set([3, 2])
    all[`netfilter, 1 at ${at}`] = bytes
  }
  return all
})()

/** Fields of the attribute that most kinds refuse, and addresses without memory. */
const oddFields: { readonly [name: string]: Fields } = {
  ...Object.fromEntries([1, 2, 4, 8, 3, 2 ** 31].map((flags) => [`flags ${flags}`, { flags }])),
  ...Object.fromEntries(
    [1, 2, 63, 9999, 0xffffffff].flatMap((cpu) => [0, 1].map((flags) => [`cpu ${cpu}, flags ${flags}`, { cpu, flags }]))
  ),
  ...Object.fromEntries(
    [1, 64, 256, 257].flatMap((batch_size) =>
      [0, 2].map((flags) => [`batch size ${batch_size}, flags ${flags}`, { batch_size, flags }])
    )
  ),
  ...Object.fromEntries([1, 2, 3, 100].map((repeat) => [`repeat ${repeat}`, { repeat }])),
  "repeat 3, flags 2": { repeat: 3, flags: 2 },
  "duration 1": { duration: 1 },
  "retval 5": { retval: 5 },
  "data from nowhere": { data_in: NOWHERE },
  "data without address": { data_in: 0n },
  "data without size": { data_size_in: 0 },
  "data to nowhere": { data_out: NOWHERE },
  "data to nowhere for 64": { data_out: NOWHERE, data_size_out: 64 },
  "room without address": { data_out: 0n, data_size_out: 64 },
  "context from nowhere": { ctx_in: NOWHERE, ctx_size_in: 24 },
  "context without address": { ctx_in: 0n, ctx_size_in: 24 },
  "context without size": { ctx_in: NOWHERE, ctx_size_in: 0 },
  "context to nowhere": { ctx_out: NOWHERE, ctx_size_out: 24 },
  "room for a context without address": { ctx_out: 0n, ctx_size_out: 24 },
  "context to nowhere without size": { ctx_out: NOWHERE, ctx_size_out: 0 },
  "no program": { prog_fd: 999 },
  "program -1": { prog_fd: -1 },
  "something else": { prog_fd: 0 }
}

const isData = (type: string): boolean => type !== "raw_tracepoint" && type !== "syscall" && type !== "sk_lookup"

const caseOf = (
  name: string,
  kind: Kind,
  program: string,
  run: TestRun,
  fields: Fields = {}
): Case<RunBench> => ({
  name,
  run: (side) => {
    const code = programs[program]!(kind)!
    const fd = side.kept(
      `${nameOf(kind)} ${program} ${JSON.stringify(fields)}`,
      () => side.loadKind(kind, code, fields)
    )
    return fd < 0 ? fd : side.testRun(fd, run)
  }
})

/** Kinds that differ in their attach type alone are tried with the sizes and contexts once. */
const isFirst = (kind: Kind): boolean => runnable.find(({ type }) => type === kind.type) === kind

export function* testRuns(): Generator<Case<RunBench>> {
  for (const kind of runnable) {
    const name = nameOf(kind)
    const shown = Object.keys(programs).filter((program) => programs[program]!(kind) !== undefined)
    const first = kind.type === "flow_dissector" ? "returns 0" : shown[0]!
    const data = isData(kind.type) ? frames["ipv4"]!(64) : undefined
    yield* oddAttributes(kind, first, data)
    if (!runs.has(kind.type)) continue
    for (const program of shown) yield* plainRuns(kind, program, data)
    if (!isFirst(kind)) continue
    yield* sizesOfData(kind, first)
    for (const [what, context] of Object.entries(contexts)) {
      const isOwn = what.startsWith(contextOf(kind.type))
      if (!isOwn && !/^\d/.test(what)) continue
      const field = /^\w+ (\w+)/.exec(what)?.[1] ?? "of"
      for (const program of isOwn ? shown.filter((each) => each === first || each.includes(field)) : [first]) {
        yield caseOf(`${name} ${program}, ${what}`, kind, program, {
          data,
          context,
          dataRoom: 100,
          contextRoom: isData(kind.type) || kind.type === "sk_lookup" ? 200 : undefined
        })
      }
      for (const room of isOwn ? [1, 24, 100] : [24]) {
        yield caseOf(`${name}, ${what}, room for ${room}`, kind, first, { data, context, contextRoom: room })
      }
      yield caseOf(`${name}, ${what} alone`, kind, first, { context })
    }
  }
}

function* oddAttributes(kind: Kind, first: string, data: Uint8Array | undefined): Generator<Case<RunBench>> {
  const name = nameOf(kind)
  for (const [odd, fields] of Object.entries(oddFields)) {
    yield caseOf(`${name}, ${odd}`, kind, first, { data, fields })
    if (!runs.has(kind.type)) continue
    yield caseOf(`${name}, ${odd}, with room`, kind, first, { data, dataRoom: 100, contextRoom: 200, fields })
    yield caseOf(`${name}, ${odd}, with a context`, kind, first, { data, context: new Uint8Array(24), fields })
    yield caseOf(`${name}, ${odd}, with a context alone`, kind, first, { context: new Uint8Array(96), fields })
  }
  for (const size of [0, 4, 16, 40, 48, 63, 64, 68, 72, 75, 76, 80, 81, 120]) {
    yield caseOf(`${name}, attribute of ${size}`, kind, first, { data, dataRoom: 64, size })
  }
}

function* plainRuns(kind: Kind, program: string, data: Uint8Array | undefined): Generator<Case<RunBench>> {
  const name = `${nameOf(kind)} ${program}`
  yield caseOf(name, kind, program, { data, dataRoom: 100 })
  yield caseOf(`${name}, nothing given`, kind, program, {})
  yield caseOf(`${name}, 3 times`, kind, program, { data, dataRoom: 100, fields: { repeat: 3 } })
  for (const size of [8, 16, 24, 48, 96]) {
    const context = Uint8Array.from({ length: size }, (_, i) => i)
    yield caseOf(`${name}, context ${size}`, kind, program, { context })
    yield caseOf(`${name}, data and context ${size}`, kind, program, { data, context })
  }
  for (const shape of Object.keys(frames)) {
    const given = frames[shape]!(100)
    yield caseOf(`${name}, ${shape}`, kind, program, { data: given, dataRoom: 200, contextRoom: 200 })
  }
}

function* sizesOfData(kind: Kind, first: string): Generator<Case<RunBench>> {
  const name = nameOf(kind)
  const inPieces = kind.type === "xdp" ? { prog_flags: XDP_HAS_FRAGS } : {}
  for (const shape of Object.keys(frames)) {
    for (const size of sizes) {
      const run = { data: frames[shape]!(size), dataRoom: size + 8 }
      yield caseOf(`${name}, ${shape} of ${size}`, kind, first, run)
      if (kind.type !== "xdp") continue
      yield caseOf(`${name}, live, ${shape} of ${size}`, kind, first, { data: run.data, fields: { flags: 2 } })
      for (const program of ["returns 1", "returns its packet's size"]) {
        yield caseOf(`${name} ${program} in pieces, ${shape} of ${size}`, kind, program, run, inPieces)
      }
    }
  }
  for (const shape of ["ipv4", "ipv6"]) {
    for (const size of [64, 100, 3400, 9000]) {
      for (const room of [0, 1, 13, 14, 34, 63, 64, 65, 99, 100, 200, 3399, 3520, 8999, 9000]) {
        const run = { data: frames[shape]!(size), dataRoom: room }
        yield caseOf(`${name}, ${shape} of ${size}, room for ${room}`, kind, first, run, inPieces)
      }
    }
  }
}

/** The types that can be run at all. */
const runs: ReadonlySet<string> = new Set([
  ...packets,
  "xdp",
  "flow_dissector",
  "sk_lookup",
  "raw_tracepoint",
  "raw_tracepoint_writable",
  "syscall",
  "netfilter"
])

/** Whose contexts, of those by what they say, a type has. */
const contextOf = (type: string): string =>
  ({
    xdp: "xdp",
    sk_lookup: "lookup",
    flow_dissector: "flow",
    netfilter: "netfilter",
    raw_tracepoint: "raw",
    raw_tracepoint_writable: "raw",
    syscall: "raw"
  } as { readonly [type: string]: string })[type] ?? "skb"
