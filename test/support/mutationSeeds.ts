// Programs to make mutations of, written so that each of the verifier's rules is a step or two away from one of them.
import type { ProgramType } from "../../src/abi/names.ts"
import { Asm } from "../../src/index.ts"

export interface SeedSpec {
  readonly name: string
  readonly type: ProgramType
  readonly body: ReadonlyArray<Asm.Item>
  readonly license?: string
  readonly attachTo?: string
  readonly attachType?: string
}

const skb = "socket_filter"

const lookup = (map: string, register: Asm.Register = "r0"): ReadonlyArray<Asm.Item> => [
  Asm.stw("r10", -4, 0),
  Asm.ldMapFd("r1", map),
  Asm.mov("r2", "r10"),
  Asm.add("r2", -4),
  Asm.call("map_lookup_elem"),
  ...(register === "r0" ? [] : [Asm.mov(register, "r0")])
]
const out = [Asm.label("out"), Asm.mov("r0", 0), Asm.exit()]

/** A packet's addresses in r2 and r3, with `size` bytes known from r2 on. */
const packet = (type: ProgramType, size: number): ReadonlyArray<Asm.Item> => [
  Asm.ldxw("r2", "r1", type === "xdp" ? 0 : 76),
  Asm.ldxw("r3", "r1", type === "xdp" ? 4 : 80),
  Asm.mov("r4", "r2"),
  Asm.add("r4", size),
  Asm.jgt("r4", "r3", "out")
]

const packets = (["xdp", "sched_cls", "cgroup_skb", "lwt_in", "lwt_xmit", "sk_skb"] as const).map((type): SeedSpec => ({
  name: `packet of ${type}`,
  type,
  body: [
    ...packet(type, 20),
    Asm.ldxh("r0", "r2", 12),
    Asm.jne("r0", 8, "out"),
    Asm.ldxb("r5", "r2", 14),
    Asm.and("r5", 15),
    Asm.lsh("r5", 2),
    Asm.add("r2", "r5"),
    Asm.mov("r4", "r2"),
    Asm.add("r4", 8),
    Asm.jgt("r4", "r3", "out"),
    Asm.ldxw("r0", "r2", 4),
    ...out
  ]
}))

const writes = (["xdp", "sched_cls", "cgroup_skb", "lwt_in", "lwt_xmit", "sk_skb"] as const).map((type): SeedSpec => ({
  name: `packet write of ${type}`,
  type,
  body: [...packet(type, 20), Asm.mov("r5", 7), Asm.stw("r2", 4, "r5"), ...out]
}))

export const seedSpecs: ReadonlyArray<SeedSpec> = [
  ...packets,
  ...writes,
  {
    name: "arithmetic",
    type: skb,
    body: [
      Asm.ldxw("r2", "r1", 0),
      Asm.ldxw("r3", "r1", 8),
      Asm.mov("r4", "r2"),
      Asm.add("r4", "r3"),
      Asm.sub("r2", 7),
      Asm.mul("r3", 3),
      Asm.div("r4", 5),
      Asm.mod("r3", "r4"),
      Asm.xor("r2", "r3"),
      Asm.rsh("r2", 3),
      Asm.arsh("r3", 2),
      Asm.lsh("r4", 1),
      Asm.neg("r4"),
      Asm.add32("r4", "r2"),
      Asm.or("r4", "r3"),
      Asm.and32("r4", 0xff),
      Asm.mov("r0", "r4"),
      Asm.exit()
    ]
  },
  {
    name: "index of a value",
    type: skb,
    body: [
      ...lookup("array", "r9"),
      Asm.jeq("r9", 0, "out"),
      Asm.ldxdw("r1", "r9", 0),
      Asm.and("r1", 31),
      Asm.mov("r2", "r9"),
      Asm.add("r2", "r1"),
      Asm.ldxdw("r3", "r2", 8),
      Asm.ldxb("r4", "r2", 3),
      Asm.stdw("r2", 16, "r4"),
      Asm.mov("r0", "r3"),
      Asm.exit(),
      ...out
    ]
  },
  {
    name: "bounds by comparison",
    type: skb,
    body: [
      ...lookup("array", "r9"),
      Asm.jeq("r9", 0, "out"),
      Asm.ldxdw("r1", "r9", 0),
      Asm.jsgt("r1", 40, "out"),
      Asm.jslt("r1", 8, "out"),
      Asm.add("r9", "r1"),
      Asm.sub("r9", 8),
      Asm.ldxdw("r0", "r9", 16),
      Asm.exit(),
      ...out
    ]
  },
  {
    name: "bounds of 32 bits",
    type: skb,
    body: [
      ...lookup("array", "r9"),
      Asm.jeq("r9", 0, "out"),
      Asm.ldxw("r1", "r9", 0),
      Asm.jgt32("r1", 24, "out"),
      Asm.jset32("r1", 1, "out"),
      Asm.mov32("r2", "r1"),
      Asm.add("r9", "r2"),
      Asm.ldxh("r0", "r9", 2),
      Asm.exit(),
      ...out
    ]
  },
  {
    name: "bounds by modulo",
    type: skb,
    body: [
      ...lookup("array", "r9"),
      Asm.jeq("r9", 0, "out"),
      Asm.ldxdw("r1", "r9", 0),
      Asm.mod("r1", 32),
      Asm.add("r9", "r1"),
      Asm.ldxb("r0", "r9", 0),
      Asm.exit(),
      ...out
    ]
  },
  {
    name: "spills",
    type: skb,
    body: [
      Asm.stdw("r10", -8, "r1"),
      Asm.ldxw("r2", "r1", 0),
      Asm.stdw("r10", -16, "r2"),
      Asm.stw("r10", -20, "r2"),
      Asm.stw("r10", -24, 5),
      Asm.stdw("r10", -32, -1),
      Asm.ldxdw("r6", "r10", -8),
      Asm.ldxdw("r3", "r10", -16),
      Asm.ldxw("r4", "r10", -20),
      Asm.ldxw("r5", "r10", -24),
      Asm.ldxb("r7", "r10", -32),
      Asm.ldxw("r0", "r6", 4),
      Asm.add("r0", "r3"),
      Asm.add("r0", "r4"),
      Asm.exit()
    ]
  },
  {
    name: "variable stack",
    type: skb,
    body: [
      Asm.ldxw("r2", "r1", 0),
      Asm.stdw("r10", -8, 0),
      Asm.stdw("r10", -16, 0),
      Asm.stdw("r10", -24, 0),
      Asm.and("r2", 8),
      Asm.sub("r2", 24),
      Asm.mov("r3", "r10"),
      Asm.add("r3", "r2"),
      Asm.stb("r3", 0, 7),
      Asm.ldxdw("r0", "r3", 8),
      Asm.exit()
    ]
  },
  {
    name: "stack to helpers",
    type: skb,
    body: [
      Asm.mov("r6", "r1"),
      Asm.mov("r2", 0),
      Asm.mov("r3", "r10"),
      Asm.add("r3", -16),
      Asm.mov("r4", 16),
      Asm.call("skb_load_bytes"),
      Asm.ldxw("r7", "r6", 0),
      Asm.and("r7", 15),
      Asm.mov("r1", "r6"),
      Asm.mov("r2", 0),
      Asm.mov("r3", "r10"),
      Asm.add("r3", -32),
      Asm.mov("r4", "r7"),
      Asm.add("r4", 1),
      Asm.call("skb_load_bytes"),
      Asm.ldxdw("r0", "r10", -16),
      Asm.exit()
    ]
  },
  {
    name: "atomics",
    type: skb,
    body: [
      ...lookup("array", "r9"),
      Asm.jeq("r9", 0, "out"),
      Asm.mov("r1", 5),
      Asm.atomicAdd("r9", 0, "r1"),
      Asm.atomicFetchAdd("r9", 8, "r1"),
      Asm.atomicXchg("r9", 16, "r1"),
      Asm.mov("r0", "r1"),
      Asm.atomicCmpxchg("r9", 24, "r1"),
      Asm.atomicFetchOr32("r9", 32, "r1"),
      Asm.stdw("r10", -16, 9),
      Asm.atomicFetchAdd("r10", -16, "r1"),
      Asm.ldxdw("r2", "r10", -16),
      Asm.mov("r0", "r1"),
      Asm.exit(),
      ...out
    ]
  },
  {
    name: "functions",
    type: skb,
    body: [
      Asm.ldxw("r1", "r1", 0),
      Asm.mov("r2", "r10"),
      Asm.add("r2", -8),
      Asm.stdw("r10", -8, 3),
      Asm.callLocal("first"),
      Asm.ldxdw("r1", "r10", -8),
      Asm.add("r0", "r1"),
      Asm.exit(),
      Asm.func("first", [
        Asm.stdw("r2", 0, "r1"),
        Asm.stdw("r10", -200, 1),
        Asm.callLocal("second"),
        Asm.exit()
      ]),
      Asm.func("second", [
        Asm.stdw("r10", -240, 2),
        Asm.ldxdw("r0", "r10", -240),
        Asm.exit()
      ])
    ]
  },
  {
    name: "loop",
    type: skb,
    body: [
      Asm.mov("r6", 0),
      Asm.mov("r0", 0),
      Asm.label("again"),
      Asm.add("r0", "r6"),
      Asm.add("r6", 1),
      Asm.jlt("r6", 20, "again"),
      Asm.exit()
    ]
  },
  {
    name: "loop over an unknown number",
    type: skb,
    body: [
      Asm.ldxw("r2", "r1", 0),
      Asm.and("r2", 31),
      Asm.mov("r0", 0),
      Asm.label("again"),
      Asm.jeq("r0", "r2", "end"),
      Asm.add("r0", 1),
      Asm.jlt("r0", 40, "again"),
      Asm.label("end"),
      Asm.exit()
    ]
  },
  {
    name: "record",
    type: skb,
    body: [
      Asm.ldMapFd("r1", "ring"),
      Asm.mov("r2", 16),
      Asm.mov("r3", 0),
      Asm.call("ringbuf_reserve"),
      Asm.jeq("r0", 0, "out"),
      Asm.stdw("r0", 0, 1),
      Asm.mov("r1", 2),
      Asm.stdw("r0", 8, "r1"),
      Asm.mov("r1", "r0"),
      Asm.mov("r2", 0),
      Asm.call("ringbuf_submit"),
      ...out
    ]
  },
  {
    name: "hash",
    type: skb,
    body: [
      ...lookup("hash"),
      Asm.jne("r0", 0, "found"),
      Asm.stdw("r10", -16, 0),
      Asm.ldMapFd("r1", "hash"),
      Asm.mov("r2", "r10"),
      Asm.add("r2", -4),
      Asm.mov("r3", "r10"),
      Asm.add("r3", -16),
      Asm.mov("r4", 0),
      Asm.call("map_update_elem"),
      Asm.ja("out"),
      Asm.label("found"),
      Asm.ldxdw("r1", "r0", 0),
      Asm.add("r1", 1),
      Asm.stdw("r0", 0, "r1"),
      ...out
    ]
  },
  {
    name: "direct value",
    type: skb,
    body: [
      Asm.ldMapValue("r1", "array", 8),
      Asm.ldxdw("r0", "r1", 0),
      Asm.stdw("r1", 8, "r0"),
      Asm.ldxw("r2", "r1", -8),
      Asm.exit()
    ]
  },
  {
    name: "legacy loads",
    type: skb,
    body: [
      Asm.mov("r6", "r1"),
      Asm.ldabsw(0),
      Asm.mov("r7", "r0"),
      Asm.mov("r8", 2),
      Asm.ldindh("r8", 4),
      Asm.add("r0", "r7"),
      Asm.exit()
    ]
  },
  {
    name: "wide and narrow moves",
    type: skb,
    body: [
      Asm.lddw("r2", 0x1234567890n),
      Asm.ldxw("r3", "r1", 0),
      Asm.movsx("r4", "r3", 8),
      Asm.movsx("r5", "r2", 16),
      Asm.mov32("r7", "r2"),
      Asm.bswap("r7", 32),
      Asm.ldxsb("r8", "r10", -8),
      Asm.be("r3", 16),
      Asm.sdiv("r2", "r5"),
      Asm.mov("r0", "r7"),
      Asm.exit()
    ]
  },
  {
    name: "a tracepoint's record",
    type: "tracepoint",
    body: [
      Asm.ldxdw("r6", "r1", 16),
      Asm.mov("r1", "r10"),
      Asm.add("r1", -16),
      Asm.mov("r2", 16),
      Asm.mov("r3", "r6"),
      Asm.call("probe_read_user_str"),
      Asm.mov("r1", "r10"),
      Asm.add("r1", -32),
      Asm.mov("r2", 16),
      Asm.call("get_current_comm"),
      Asm.call("get_current_pid_tgid"),
      ...out
    ]
  },
  {
    name: "a probe",
    type: "kprobe",
    body: [
      Asm.ldxdw("r3", "r1", 112),
      Asm.mov("r1", "r10"),
      Asm.add("r1", -8),
      Asm.mov("r2", 8),
      Asm.call("probe_read_kernel"),
      Asm.ldxdw("r1", "r10", -8),
      ...out
    ]
  },
  {
    name: "a raw tracepoint",
    type: "raw_tracepoint",
    body: [Asm.ldxdw("r2", "r1", 0), Asm.ldxdw("r3", "r1", 8), Asm.mov("r0", 0), Asm.exit()]
  },
  {
    name: "a proprietary program",
    type: skb,
    license: "Proprietary",
    body: [
      Asm.call("ktime_get_ns"),
      Asm.mov("r6", "r0"),
      Asm.call("get_prandom_u32"),
      Asm.mov("r0", "r6"),
      Asm.exit()
    ]
  },
  {
    name: "metadata",
    type: "xdp",
    body: [
      Asm.ldxw("r2", "r1", 8),
      Asm.ldxw("r3", "r1", 0),
      Asm.mov("r4", "r2"),
      Asm.add("r4", 4),
      Asm.jgt("r4", "r3", "out"),
      Asm.ldxw("r0", "r2", 0),
      ...out
    ]
  },
  {
    name: "fields of an skb",
    type: "sched_cls",
    body: [
      Asm.ldxw("r2", "r1", 8),
      Asm.stw("r1", 8, "r2"),
      Asm.stw("r1", 32, 5),
      Asm.ldxb("r3", "r1", 49),
      Asm.stdw("r1", 48, "r2"),
      Asm.ldxdw("r4", "r1", 152),
      Asm.ldxw("r0", "r1", 44),
      Asm.exit()
    ]
  },
  {
    name: "a packet that moves",
    type: "sched_cls",
    body: [
      Asm.mov("r6", "r1"),
      Asm.mov("r2", 20),
      Asm.call("skb_pull_data"),
      Asm.mov("r1", "r6"),
      ...packet("sched_cls", 20),
      Asm.ldxw("r7", "r2", 0),
      Asm.stw("r2", 4, "r7"),
      Asm.mov("r1", "r6"),
      Asm.mov("r2", 0),
      Asm.mov("r3", "r10"),
      Asm.add("r3", -8),
      Asm.stdw("r10", -8, 0),
      Asm.mov("r4", 8),
      Asm.mov("r5", 0),
      Asm.call("skb_store_bytes"),
      ...out
    ]
  },
  {
    name: "a tail call",
    type: "xdp",
    body: [
      Asm.ldMapFd("r2", "programs"),
      Asm.mov("r3", 0),
      Asm.call("tail_call"),
      Asm.mov("r0", 2),
      Asm.exit()
    ]
  },
  {
    name: "a result of a cgroup",
    type: "cgroup_skb",
    body: [
      Asm.ldxw("r0", "r1", 0),
      Asm.and("r0", 1),
      Asm.exit()
    ]
  },
  {
    name: "a read-only map",
    type: skb,
    body: [
      ...lookup("constants", "r9"),
      Asm.jeq("r9", 0, "out"),
      Asm.ldxdw("r1", "r9", 0),
      Asm.stdw("r10", -16, "r1"),
      Asm.ldMapFd("r1", "hash"),
      Asm.mov("r2", "r9"),
      Asm.mov("r3", "r9"),
      Asm.mov("r4", 0),
      Asm.call("map_update_elem"),
      ...out
    ]
  },
  {
    name: "branches that meet",
    type: skb,
    body: [
      Asm.mov("r6", "r1"),
      Asm.mov("r0", 0),
      ...Array.from({ length: 6 }, (_, i) => [
        Asm.ldxw("r2", "r6", 0),
        Asm.jset("r2", 1 << i, `b${i}`),
        Asm.add("r0", 1),
        Asm.label(`b${i}`)
      ]).flat(),
      Asm.exit()
    ]
  },
  {
    name: "a text",
    type: "tracepoint",
    body: [
      Asm.stdw("r10", -8, 0x64),
      Asm.mov("r1", "r10"),
      Asm.add("r1", -8),
      Asm.mov("r2", 4),
      Asm.mov("r3", 7),
      Asm.call("trace_printk"),
      Asm.mov("r0", 0),
      Asm.exit()
    ]
  },
  {
    name: "a dynptr",
    type: skb,
    body: [
      Asm.ldMapFd("r1", "ring"),
      Asm.mov("r2", 16),
      Asm.mov("r3", 0),
      Asm.mov("r4", "r10"),
      Asm.add("r4", -16),
      Asm.call("ringbuf_reserve_dynptr"),
      Asm.mov("r1", "r10"),
      Asm.add("r1", -16),
      Asm.mov("r2", 0),
      Asm.mov("r3", 8),
      Asm.call("dynptr_data"),
      Asm.jeq("r0", 0, "skip"),
      Asm.stdw("r0", 0, 1),
      Asm.label("skip"),
      Asm.mov("r1", "r10"),
      Asm.add("r1", -16),
      Asm.mov("r2", 0),
      Asm.call("ringbuf_submit_dynptr"),
      ...out
    ]
  },
  {
    name: "may_goto",
    type: skb,
    body: [
      Asm.mov("r0", 0),
      Asm.ldxw("r2", "r1", 0),
      Asm.label("again"),
      Asm.mayGoto("end"),
      Asm.add("r0", "r2"),
      Asm.jlt("r0", 1000, "again"),
      Asm.label("end"),
      Asm.mov("r0", 0),
      Asm.exit()
    ]
  }
]
