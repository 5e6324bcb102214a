/**
 * The kinds of program: what types the kernel has, the attach types that each can be made for, and what it says of them,
 * in one table. Specs, contexts, return codes, test runs, section names of object files and the simulated kernel read it.
 *
 * @example
 * ```ts
 * import { ProgramKind } from "effect-ebpf"
 *
 * console.log(ProgramKind.of("xdp").context) // "xdp_md"
 * console.log(ProgramKind.ofSection("fentry.s/do_unlinkat"))
 * // { type: "tracing", attachType: "trace_fentry", flags: [ "sleepable" ], target: "do_unlinkat" }
 * ```
 */
import { type AttachType, attachTypes, type ProgramType } from "../abi/names.ts"

export type { AttachType, ProgramType } from "../abi/names.ts"

/** A version of Linux. */
export type Version = readonly [major: number, minor: number]

/** What a type of program finds at `r1`, by its name in C; `ProgramContext` has the layouts. */
export type ContextName =
  | "__sk_buff"
  | "xdp_md"
  | "bpf_nf_ctx"
  | "bpf_sock"
  | "bpf_sock_addr"
  | "bpf_sock_ops"
  | "sk_msg_md"
  | "sk_reuseport_md"
  | "bpf_sk_lookup"
  | "bpf_cgroup_dev_ctx"
  | "bpf_sysctl"
  | "bpf_sockopt"
  | "pt_regs"
  | "bpf_perf_event_data"
  | "bpf_raw_tracepoint_args"
  | "u32"

/** The codes that a type of program returns; `ReturnCode` has them. */
export type ReturnCodes =
  | "xdp"
  | "tc"
  | "sk"
  | "lwt"
  | "flowDissector"
  | "netfilter"
  | "cgroupEgress"
  | "cgroup"
  | "cgroupBind"
  | "lsm"
  | "probe"

/**
 * What a test run gives a program: a packet with `__sk_buff` or `xdp_md` for its metadata, a packet and
 * `bpf_flow_keys`, a packet alone, or a context alone: `bpf_sk_lookup`, arguments of 8 bytes, or any bytes.
 */
export type TestInput = "skb" | "xdp" | "flow_dissector" | "netfilter" | "sk_lookup" | "arguments" | "bytes"

/**
 * How the name in `attachTo` is found in the kernel's types: what stands before it there, and of which kind that type
 * is. The prefixes are those of BTF_TRACE_PREFIX and its sisters in the kernel's `include/linux/btf.h` and libbpf.
 */
export interface Target {
  readonly prefix: string
  readonly kind: "Func" | "Typedef" | "Struct"
}

/** One way that programs of a type can be attached. */
export interface Attachable {
  /** The version that brought it. */
  readonly since: Version
  /** Section names of object files as libbpf has them: `+` is for an optional `/target`. */
  readonly sections: ReadonlyArray<string>
  /** True where such programs may sleep (`sleepable`). */
  readonly sleepable?: true
  readonly target?: Target
}

/** What there is to say of a type of program. */
export interface Kind {
  /** The version that brought the type. */
  readonly since: Version
  /** `undefined` where something else tells the context: a format file, the traced function, the caller. */
  readonly context: ContextName | undefined
  readonly returns: ReturnCodes | undefined
  /** What `BPF_PROG_TEST_RUN` takes, and since when; `undefined` where the kernel cannot run it so. */
  readonly testRun?: { readonly input: TestInput; readonly since: Version }
  /** The attach types that the kernel may be told at load. */
  readonly attach: { readonly [A in AttachType]?: Attachable }
  /** That of programs that say none: none at all (`undefined`), or it must be said. */
  readonly unlessSaid: AttachType | "required" | undefined
  /** For programs without an attach type, as in `Attachable`. */
  readonly sections?: ReadonlyArray<string>
  /** True where such programs without an attach type may sleep, `"always"` where they must. */
  readonly sleepable?: true | "always"
  readonly target?: Target
}

const fn = (prefix: string): Target => ({ prefix, kind: "Func" })
const noAttachType = { attach: {}, unlessSaid: undefined } as const

const cgroupAddress = (since: Version, name: string): Attachable => ({ since, sections: [`cgroup/${name}`] })

/** The table. Attach types stand in the order in which the kernel got them. */
export const kinds = {
  socket_filter: {
    since: [3, 19],
    context: "__sk_buff",
    returns: undefined,
    testRun: { input: "skb", since: [4, 12] },
    sections: ["socket"],
    ...noAttachType
  },
  kprobe: {
    since: [4, 1],
    context: "pt_regs",
    returns: "probe",
    // Uprobes are of this type too, and they alone may sleep.
    sections: [
      "kprobe+",
      "kretprobe+",
      "ksyscall+",
      "kretsyscall+",
      "uprobe+",
      "uprobe.s+",
      "uretprobe+",
      "uretprobe.s+",
      "usdt+",
      "usdt.s+"
    ],
    sleepable: true,
    attach: {
      trace_kprobe_multi: { since: [5, 18], sections: ["kprobe.multi+", "kretprobe.multi+"] },
      trace_uprobe_multi: {
        since: [6, 6],
        sections: ["uprobe.multi+", "uprobe.multi.s+", "uretprobe.multi+", "uretprobe.multi.s+"],
        sleepable: true
      },
      trace_kprobe_session: { since: [6, 10], sections: ["kprobe.session+"] },
      trace_uprobe_session: {
        since: [6, 13],
        sections: ["uprobe.session+", "uprobe.session.s+"],
        sleepable: true
      }
    },
    unlessSaid: undefined
  },
  sched_cls: {
    since: [4, 1],
    context: "__sk_buff",
    returns: "tc",
    testRun: { input: "skb", since: [4, 12] },
    sections: ["tc", "classifier"],
    attach: {
      tcx_ingress: { since: [6, 6], sections: ["tcx/ingress", "tc/ingress"] },
      tcx_egress: { since: [6, 6], sections: ["tcx/egress", "tc/egress"] },
      netkit_primary: { since: [6, 7], sections: ["netkit/primary"] },
      netkit_peer: { since: [6, 7], sections: ["netkit/peer"] }
    },
    unlessSaid: undefined
  },
  sched_act: {
    since: [4, 1],
    context: "__sk_buff",
    returns: "tc",
    testRun: { input: "skb", since: [4, 12] },
    sections: ["action"],
    ...noAttachType
  },
  tracepoint: {
    since: [4, 7],
    context: undefined,
    returns: "probe",
    sections: ["tracepoint+", "tp+"],
    ...noAttachType
  },
  xdp: {
    since: [4, 8],
    context: "xdp_md",
    returns: "xdp",
    testRun: { input: "xdp", since: [4, 12] },
    attach: {
      xdp_devmap: { since: [5, 8], sections: ["xdp/devmap", "xdp.frags/devmap"] },
      xdp_cpumap: { since: [5, 9], sections: ["xdp/cpumap", "xdp.frags/cpumap"] },
      xdp: { since: [5, 9], sections: ["xdp", "xdp.frags"] }
    },
    unlessSaid: "xdp"
  },
  perf_event: {
    since: [4, 9],
    context: "bpf_perf_event_data",
    returns: "probe",
    sections: ["perf_event"],
    ...noAttachType
  },
  cgroup_skb: {
    since: [4, 10],
    context: "__sk_buff",
    returns: "cgroupEgress",
    testRun: { input: "skb", since: [4, 12] },
    attach: {
      cgroup_inet_ingress: { since: [4, 10], sections: ["cgroup_skb/ingress"] },
      cgroup_inet_egress: { since: [4, 10], sections: ["cgroup_skb/egress"] }
    },
    // The number 0: before 4.17 a program without an attach type could be attached to both.
    unlessSaid: "cgroup_inet_ingress",
    sections: ["cgroup/skb"]
  },
  cgroup_sock: {
    since: [4, 10],
    context: "bpf_sock",
    returns: "cgroup",
    attach: {
      cgroup_inet_sock_create: { since: [4, 10], sections: ["cgroup/sock_create", "cgroup/sock"] },
      cgroup_inet4_post_bind: { since: [4, 17], sections: ["cgroup/post_bind4"] },
      cgroup_inet6_post_bind: { since: [4, 17], sections: ["cgroup/post_bind6"] },
      cgroup_inet_sock_release: { since: [5, 9], sections: ["cgroup/sock_release"] }
    },
    unlessSaid: "cgroup_inet_sock_create"
  },
  lwt_in: {
    since: [4, 10],
    context: "__sk_buff",
    returns: "lwt",
    testRun: { input: "skb", since: [4, 12] },
    sections: ["lwt_in"],
    ...noAttachType
  },
  lwt_out: {
    since: [4, 10],
    context: "__sk_buff",
    returns: "lwt",
    testRun: { input: "skb", since: [4, 12] },
    sections: ["lwt_out"],
    ...noAttachType
  },
  lwt_xmit: {
    since: [4, 10],
    context: "__sk_buff",
    returns: "lwt",
    testRun: { input: "skb", since: [4, 12] },
    sections: ["lwt_xmit"],
    ...noAttachType
  },
  sock_ops: {
    since: [4, 13],
    context: "bpf_sock_ops",
    returns: undefined,
    attach: { cgroup_sock_ops: { since: [4, 13], sections: ["sockops"] } },
    unlessSaid: "cgroup_sock_ops"
  },
  sk_skb: {
    since: [4, 14],
    context: "__sk_buff",
    returns: "sk",
    sections: ["sk_skb"],
    attach: {
      sk_skb_stream_parser: { since: [4, 14], sections: ["sk_skb/stream_parser"] },
      sk_skb_stream_verdict: { since: [4, 14], sections: ["sk_skb/stream_verdict"] },
      sk_skb_verdict: { since: [5, 13], sections: ["sk_skb/verdict"] }
    },
    unlessSaid: undefined
  },
  cgroup_device: {
    since: [4, 15],
    context: "bpf_cgroup_dev_ctx",
    returns: "cgroup",
    attach: { cgroup_device: { since: [4, 15], sections: ["cgroup/dev"] } },
    unlessSaid: "cgroup_device"
  },
  sk_msg: {
    since: [4, 17],
    context: "sk_msg_md",
    returns: "sk",
    attach: { sk_msg_verdict: { since: [4, 17], sections: ["sk_msg"] } },
    unlessSaid: "sk_msg_verdict"
  },
  raw_tracepoint: {
    since: [4, 17],
    context: "bpf_raw_tracepoint_args",
    returns: undefined,
    testRun: { input: "arguments", since: [5, 10] },
    sections: ["raw_tracepoint+", "raw_tp+"],
    ...noAttachType
  },
  cgroup_sock_addr: {
    since: [4, 17],
    context: "bpf_sock_addr",
    returns: "cgroupBind",
    attach: {
      cgroup_inet4_bind: cgroupAddress([4, 17], "bind4"),
      cgroup_inet6_bind: cgroupAddress([4, 17], "bind6"),
      cgroup_inet4_connect: cgroupAddress([4, 17], "connect4"),
      cgroup_inet6_connect: cgroupAddress([4, 17], "connect6"),
      cgroup_udp4_sendmsg: cgroupAddress([4, 18], "sendmsg4"),
      cgroup_udp6_sendmsg: cgroupAddress([4, 18], "sendmsg6"),
      cgroup_udp4_recvmsg: cgroupAddress([5, 2], "recvmsg4"),
      cgroup_udp6_recvmsg: cgroupAddress([5, 2], "recvmsg6"),
      cgroup_inet4_getpeername: cgroupAddress([5, 8], "getpeername4"),
      cgroup_inet6_getpeername: cgroupAddress([5, 8], "getpeername6"),
      cgroup_inet4_getsockname: cgroupAddress([5, 8], "getsockname4"),
      cgroup_inet6_getsockname: cgroupAddress([5, 8], "getsockname6"),
      cgroup_unix_connect: cgroupAddress([6, 7], "connect_unix"),
      cgroup_unix_sendmsg: cgroupAddress([6, 7], "sendmsg_unix"),
      cgroup_unix_recvmsg: cgroupAddress([6, 7], "recvmsg_unix"),
      cgroup_unix_getpeername: cgroupAddress([6, 7], "getpeername_unix"),
      cgroup_unix_getsockname: cgroupAddress([6, 7], "getsockname_unix")
    },
    unlessSaid: "required"
  },
  lwt_seg6local: {
    since: [4, 18],
    context: "__sk_buff",
    returns: "lwt",
    testRun: { input: "skb", since: [4, 18] },
    sections: ["lwt_seg6local"],
    ...noAttachType
  },
  lirc_mode2: {
    since: [4, 18],
    context: "u32",
    returns: undefined,
    attach: { lirc_mode2: { since: [4, 18], sections: ["lirc_mode2"] } },
    unlessSaid: "lirc_mode2"
  },
  sk_reuseport: {
    since: [4, 19],
    context: "sk_reuseport_md",
    returns: "sk",
    // Kernels before 5.14 take no attach type here; later ones read none as the first.
    sections: ["sk_reuseport"],
    attach: {
      sk_reuseport_select: { since: [5, 14], sections: [] },
      sk_reuseport_select_or_migrate: { since: [5, 14], sections: ["sk_reuseport/migrate"] }
    },
    unlessSaid: undefined
  },
  flow_dissector: {
    since: [4, 20],
    context: "__sk_buff",
    returns: "flowDissector",
    testRun: { input: "flow_dissector", since: [5, 2] },
    attach: { flow_dissector: { since: [4, 20], sections: ["flow_dissector"] } },
    unlessSaid: "flow_dissector"
  },
  cgroup_sysctl: {
    since: [5, 2],
    context: "bpf_sysctl",
    returns: "cgroup",
    attach: { cgroup_sysctl: { since: [5, 2], sections: ["cgroup/sysctl"] } },
    unlessSaid: "cgroup_sysctl"
  },
  raw_tracepoint_writable: {
    since: [5, 2],
    context: "bpf_raw_tracepoint_args",
    returns: undefined,
    sections: ["raw_tracepoint.w+", "raw_tp.w+"],
    ...noAttachType
  },
  cgroup_sockopt: {
    since: [5, 3],
    context: "bpf_sockopt",
    returns: "cgroup",
    attach: {
      cgroup_getsockopt: { since: [5, 3], sections: ["cgroup/getsockopt"] },
      cgroup_setsockopt: { since: [5, 3], sections: ["cgroup/setsockopt"] }
    },
    unlessSaid: "required"
  },
  tracing: {
    since: [5, 5],
    context: undefined,
    returns: undefined,
    attach: {
      trace_raw_tp: { since: [5, 5], sections: ["tp_btf+"], target: { prefix: "btf_trace_", kind: "Typedef" } },
      trace_fentry: { since: [5, 5], sections: ["fentry+", "fentry.s+"], sleepable: true, target: fn("") },
      trace_fexit: { since: [5, 5], sections: ["fexit+", "fexit.s+"], sleepable: true, target: fn("") },
      modify_return: { since: [5, 7], sections: ["fmod_ret+", "fmod_ret.s+"], sleepable: true, target: fn("") },
      trace_iter: { since: [5, 8], sections: ["iter+", "iter.s+"], sleepable: true, target: fn("bpf_iter_") }
    },
    unlessSaid: "trace_fentry"
  },
  struct_ops: {
    since: [5, 6],
    context: undefined,
    returns: undefined,
    sections: ["struct_ops+", "struct_ops.s+"],
    sleepable: true,
    // `struct.member`; the kernel's field for the attach type holds the member's index.
    target: { prefix: "", kind: "Struct" },
    ...noAttachType
  },
  ext: {
    since: [5, 6],
    context: undefined,
    returns: undefined,
    // It replaces a function of another program, which is found in that program's types and not in the kernel's.
    sections: ["freplace+"],
    ...noAttachType
  },
  lsm: {
    since: [5, 7],
    context: undefined,
    returns: "lsm",
    attach: {
      lsm_mac: { since: [5, 7], sections: ["lsm+", "lsm.s+"], sleepable: true, target: fn("bpf_lsm_") },
      lsm_cgroup: { since: [6, 0], sections: ["lsm_cgroup+"], target: fn("bpf_lsm_") }
    },
    unlessSaid: "lsm_mac"
  },
  sk_lookup: {
    since: [5, 9],
    context: "bpf_sk_lookup",
    returns: "sk",
    testRun: { input: "sk_lookup", since: [5, 13] },
    attach: { sk_lookup: { since: [5, 9], sections: ["sk_lookup"] } },
    unlessSaid: "sk_lookup"
  },
  syscall: {
    since: [5, 14],
    context: undefined,
    returns: undefined,
    testRun: { input: "bytes", since: [5, 14] },
    sections: ["syscall"],
    sleepable: "always",
    ...noAttachType
  },
  netfilter: {
    since: [6, 4],
    context: "bpf_nf_ctx",
    returns: "netfilter",
    testRun: { input: "netfilter", since: [6, 5] },
    attach: { netfilter: { since: [6, 4], sections: ["netfilter"] } },
    unlessSaid: "netfilter"
  }
} as const satisfies { readonly [T in ProgramType]: Kind }

type Kinds = typeof kinds

// ---------------------------------------------------------------- types

/** The types whose programs the kernel can run once for a test (`BPF_PROG_TEST_RUN`). */
export type TestRunnable = {
  [T in ProgramType]: Kinds[T] extends { readonly testRun: object } ? T : never
}[ProgramType]

type Named<T extends ProgramType> = T extends ProgramType ? keyof Kinds[T]["attach"] & AttachType : never
type UnlessSaid<T extends ProgramType> = T extends ProgramType ? Exclude<Kinds[T]["unlessSaid"], "required">
  : never

/** The attach types that programs of a type can be made for; `undefined` where they may have none. */
export type AttachTypeOf<T extends ProgramType> = Named<T> | UnlessSaid<T>

/** The attach type of programs that say none. `never` where one must be said. */
export type DefaultAttachType<T extends ProgramType> = UnlessSaid<T>

/** The types of program that must say their attach type. */
export type NeedsAttachType = {
  [T in ProgramType]: Kinds[T]["unlessSaid"] extends "required" ? T : never
}[ProgramType]

/** The types of program that are made for something in the kernel, which its types (BTF) tell: they need `attachTo`. */
export type NeedsTarget = {
  [T in ProgramType]: Kinds[T] extends { readonly target: Target } ? T
    : [Named<T>] extends [never] ? never
    : Kinds[T]["attach"][keyof Kinds[T]["attach"]] extends { readonly target: Target } ? T
    : never
}[ProgramType]

type Row<T extends ProgramType, A> = A extends keyof Kinds[T]["attach"] ? Kinds[T]["attach"][A] : Kinds[T]

/** `T` itself where programs of the type and attach type may sleep, else `never`. */
export type Sleepable<T extends ProgramType, A> = T extends ProgramType
  ? A extends AttachTypeOf<T> ? Row<T, A> extends { readonly sleepable: true | "always" } ? T : never : never
  : never

// ---------------------------------------------------------------- look-ups

/** All types of program, in the order in which the kernel got them. */
export const types: ReadonlyArray<ProgramType> = Object.keys(kinds) as Array<ProgramType>

/** What there is to say of a type of program. */
export const of = (type: ProgramType): Kind => kinds[type]

/** The attach type that a program of a type has: the one said, or else the one that the kernel takes it to mean. */
export const attachTypeOf = (type: ProgramType, said: AttachType | undefined): AttachType | undefined => {
  const { unlessSaid } = of(type)
  return said ?? (unlessSaid === "required" ? undefined : unlessSaid)
}

/** What there is to say of programs of a type and an attach type. */
export const attachable = (
  type: ProgramType,
  attachType: AttachType | undefined
): Pick<Kind, "since" | "sleepable" | "target"> =>
  (attachType === undefined ? undefined : of(type).attach[attachType]) ?? of(type)

const typesByAttachType = new Map<AttachType, ProgramType>(
  types.flatMap((type) => (Object.keys(kinds[type].attach) as Array<AttachType>).map((attach) => [attach, type]))
)

/** The type of program that an attach type is for; `undefined` where no program says it at load, as for `perf_event`. */
export const typeFor = (attachType: AttachType): ProgramType | undefined => typesByAttachType.get(attachType)

/** The numbers that the kernel has for attach types. */
export const attachTypeNumbers: { readonly [A in AttachType]: number } = attachTypes

// ---------------------------------------------------------------- section names

/** What the name of an object file's section says of the program in it. */
export interface Section {
  readonly type: ProgramType
  readonly attachType: AttachType | undefined
  readonly flags: ReadonlyArray<"sleepable" | "xdp_has_frags">
  /** What it is to be attached to, where the name says so: `do_unlinkat` in `kprobe/do_unlinkat`. */
  readonly target: string | undefined
}

interface SectionRow {
  readonly name: string
  readonly takesTarget: boolean
  readonly section: Omit<Section, "target">
}

const flagsOf = (name: string, kind: { readonly sleepable?: true | "always" }): Section["flags"] =>
  kind.sleepable === "always" || /\.s(\/|$)/.test(name)
    ? ["sleepable"]
    : name.startsWith("xdp.frags")
    ? ["xdp_has_frags"]
    : []

const rowsOf = (
  type: ProgramType,
  attachType: AttachType | undefined,
  row: { readonly sections?: ReadonlyArray<string>; readonly sleepable?: true | "always" }
): ReadonlyArray<SectionRow> =>
  (row.sections ?? []).map((pattern) => {
    const takesTarget = pattern.endsWith("+")
    const name = takesTarget ? pattern.slice(0, -1) : pattern
    return { name, takesTarget, section: { type, attachType, flags: flagsOf(name, row) } }
  })

const sectionRows: ReadonlyArray<SectionRow> = types.flatMap((type) => [
  ...rowsOf(type, attachTypeOf(type, undefined), of(type)),
  ...Object.entries(of(type).attach).flatMap(([attach, row]) => rowsOf(type, attach as AttachType, row))
])

/** What a section's name says, as libbpf reads it; `undefined` for a name that it does not know. */
export const ofSection = (name: string): Section | undefined => {
  for (const row of sectionRows) {
    if (name === row.name) return { ...row.section, target: undefined }
    if (row.takesTarget && name.startsWith(`${row.name}/`)) {
      return { ...row.section, target: name.slice(row.name.length + 1) }
    }
  }
  return undefined
}
