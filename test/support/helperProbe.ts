// Which helper each kind of program may call, asked of a kernel: loads a program of two instructions of each kind, calling
// each helper, and reads what the verifier says of it.
import * as Option from "effect/Option"
import { bpf_cmd, bpf_func_id } from "../../src/abi/generated/enums.ts"
import { bpf_attr_prog_load } from "../../src/abi/generated/structs.ts"
import { type AttachType, attachTypes, type ProgramType, programTypes } from "../../src/abi/names.ts"
import * as Btf from "../../src/btf/Btf.ts"
import type { BtfType } from "../../src/btf/BtfType.ts"
import { type FieldValue, fill } from "../../src/kernel/attribute.ts"
import type { Block, KernelService } from "../../src/kernel/Kernel.ts"

export const BPF_F_SLEEPABLE = 1 << 4

/** A kind of program as it is loaded: helpers differ by type, by attach type and by whether it may sleep. */
export interface Kind {
  readonly type: ProgramType
  readonly attachType?: AttachType
  readonly sleeps?: boolean
  /** A name in the kernel's BTF that it is made for. */
  readonly target?: readonly [name: string, tag: BtfType["_tag"]]
}

const typed = (type: ProgramType, target: Kind["target"], sleeps = false) => (attachType: AttachType): Kind => ({
  type,
  attachType,
  sleeps,
  ...(target === undefined ? {} : { target })
})

const plain = (type: ProgramType, ...attachTypes: ReadonlyArray<AttachType>): ReadonlyArray<Kind> =>
  attachTypes.length === 0 ? [{ type }] : attachTypes.map((attachType) => ({ type, attachType }))

export const kinds: ReadonlyArray<Kind> = [
  ...plain("socket_filter"),
  ...plain("kprobe"),
  { type: "kprobe", sleeps: true },
  ...plain("kprobe", "trace_kprobe_multi", "trace_kprobe_session", "trace_uprobe_multi", "trace_uprobe_session"),
  ...plain("sched_cls"),
  ...plain("sched_act"),
  ...plain("tracepoint"),
  ...plain("xdp"),
  ...plain("xdp", "xdp_devmap", "xdp_cpumap"),
  ...plain("perf_event"),
  ...plain("cgroup_skb", "cgroup_inet_ingress", "cgroup_inet_egress"),
  ...plain(
    "cgroup_sock",
    "cgroup_inet_sock_create",
    "cgroup_inet_sock_release",
    "cgroup_inet4_post_bind",
    "cgroup_inet6_post_bind"
  ),
  ...plain("lwt_in"),
  ...plain("lwt_out"),
  ...plain("lwt_xmit"),
  ...plain("sock_ops", "cgroup_sock_ops"),
  ...plain("sk_skb"),
  ...plain("cgroup_device", "cgroup_device"),
  ...plain("sk_msg"),
  ...plain("raw_tracepoint"),
  ...plain(
    "cgroup_sock_addr",
    "cgroup_inet4_bind",
    "cgroup_inet6_bind",
    "cgroup_inet4_connect",
    "cgroup_inet6_connect",
    "cgroup_unix_connect",
    "cgroup_udp4_sendmsg",
    "cgroup_udp6_sendmsg",
    "cgroup_unix_sendmsg",
    "cgroup_udp4_recvmsg",
    "cgroup_udp6_recvmsg",
    "cgroup_unix_recvmsg",
    "cgroup_inet4_getpeername",
    "cgroup_inet6_getpeername",
    "cgroup_unix_getpeername",
    "cgroup_inet4_getsockname",
    "cgroup_inet6_getsockname",
    "cgroup_unix_getsockname"
  ),
  ...plain("lwt_seg6local"),
  ...plain("lirc_mode2"),
  ...plain("sk_reuseport"),
  ...plain("sk_reuseport", "sk_reuseport_select_or_migrate"),
  ...plain("flow_dissector"),
  ...plain("cgroup_sysctl", "cgroup_sysctl"),
  ...plain("raw_tracepoint_writable"),
  ...plain("cgroup_sockopt", "cgroup_getsockopt", "cgroup_setsockopt"),
  ...(["trace_fentry", "trace_fexit", "modify_return"] as const).map(
    typed("tracing", ["security_file_open", "Func"])
  ),
  ...(["trace_fentry", "trace_fexit", "modify_return"] as const).map(
    typed("tracing", [process.arch === "arm64" ? "__arm64_sys_getpid" : "__x64_sys_getpid", "Func"], true)
  ),
  typed("tracing", ["btf_trace_sched_switch", "Typedef"])("trace_raw_tp"),
  typed("tracing", ["bpf_iter_task", "Func"])("trace_iter"),
  typed("tracing", ["bpf_iter_task", "Func"], true)("trace_iter"),
  typed("lsm", ["bpf_lsm_file_open", "Func"])("lsm_mac"),
  typed("lsm", ["bpf_lsm_file_open", "Func"], true)("lsm_mac"),
  typed("lsm", ["bpf_lsm_socket_post_create", "Func"])("lsm_cgroup"),
  // The attach type of a struct_ops program is the number of the member: 0, `ssthresh` as it happens.
  { type: "struct_ops", target: ["tcp_congestion_ops", "Struct"] },
  ...plain("sk_lookup", "sk_lookup"),
  { type: "syscall", sleeps: true },
  ...plain("netfilter", "netfilter")
]

/** `type`, `type/attach_type`, and `+sleeps` for a program that may sleep. */
export const nameOf = ({ attachType, sleeps, type }: Kind): string =>
  `${type}${attachType === undefined ? "" : `/${attachType}`}${sleeps === true ? "+sleeps" : ""}`

/** Where a struct has a member, counted from 0: the attach type of a struct_ops program. */
const memberOf = (btf: Btf.Btf, struct: string, name: string): number | undefined => {
  const type = Option.getOrUndefined(Btf.type(btf, Btf.idsByName(btf, struct, "Struct")[0] ?? 0))
  return type?._tag === "Struct" ? type.members.findIndex((member) => member.name === name) : undefined
}

/** The fields of `bpf_attr` that a kind is loaded with. */
export const loadFields = (
  { attachType, sleeps, target, type }: Kind,
  btf: Btf.Btf
): { readonly [name: string]: FieldValue | undefined } => ({
  prog_type: programTypes[type],
  prog_flags: sleeps === true ? BPF_F_SLEEPABLE : undefined,
  expected_attach_type: type === "struct_ops"
    ? memberOf(btf, target![0], "ssthresh")
    : attachType === undefined
    ? undefined
    : attachTypes[attachType],
  attach_btf_id: target === undefined ? undefined : Btf.idsByName(btf, ...target)[0] ?? 0
})

export interface Probed {
  /** By the kind's name: one character for each id from 1 on, `y` where the helper is offered. */
  readonly offered: { readonly [kind: string]: string }
  /** The kinds that do not load here at all, and why. */
  readonly refused: { readonly [kind: string]: string }
}

const LOG_SIZE = 1 << 16

/** Some types may not return 0, and this is the only thing that some say of it. */
const returning = (value: number) => [0xb7, 0, 0, 0, value, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0]
const calling = (id: number) => [0x85, 0, 0, 0, id, 0, 0, 0, ...returning(0)]

/** Asks a kernel of all kinds of program, or of some. */
export const probeHelpers = (
  kernel: KernelService,
  btf: Btf.Btf,
  asked: ReadonlyArray<Kind> = kinds
): Probed => {
  const blocks: Array<Block> = []
  const block = (size: number): Block => {
    const allocated = kernel.allocate(size)
    if (typeof allocated === "number") throw new Error(`no memory: ${allocated}`)
    blocks.push(allocated)
    return allocated
  }
  const [attr, code, text, log] = [block(bpf_attr_prog_load.size), block(64), block(64), block(LOG_SIZE)]
  text.bytes.set(new TextEncoder().encode("GPL\0"))

  /** A descriptor or `-errno`, and the log. */
  const load = (kind: Kind, instructions: ReadonlyArray<number>): readonly [result: number, log: string] => {
    code.bytes.set(instructions)
    log.bytes[0] = 0
    const size = fill(attr, bpf_attr_prog_load, {
      insn_cnt: instructions.length / 8,
      insns: code,
      license: text,
      log_level: 1,
      log_size: LOG_SIZE,
      log_buf: log,
      ...loadFields(kind, btf)
    })
    const result = kernel.bpf.call(bpf_cmd.BPF_PROG_LOAD, attr, size)
    if (result >= 0) kernel.files.close(result)
    return [result, new TextDecoder().decode(log.bytes.slice(0, log.bytes.indexOf(0)))]
  }

  const offered: Record<string, string> = {}
  const refused: Record<string, string> = {}
  const last = Math.max(...Object.values(bpf_func_id))
  for (const kind of asked) {
    const [zero, why] = load(kind, returning(0))
    if (zero < 0 && load(kind, returning(1))[0] < 0) {
      refused[nameOf(kind)] = `${zero} ${why.trim().split("\n").at(-1)}`
      continue
    }
    let answers = ""
    for (let id = 1; id <= last; id++) {
      const [result, said] = load(kind, calling(id))
      if (result < 0 && said === "") throw new Error(`${nameOf(kind)}, helper ${id}: ${result} and no log`)
      answers += /unknown func|cannot use helper|invalid func/.test(said) ? "n" : "y"
    }
    offered[nameOf(kind)] = answers
  }
  for (const each of blocks) kernel.free(each)
  return { offered, refused }
}
