/**
 * What programs return: the verdicts of each type of program, by name and with their meaning. A program leaves the number
 * in `r0`; the verifier rejects programs that may return another where it knows the range.
 *
 * Codes of -1 are what the kernel reads from the low 32 bits of `r0`.
 *
 * @example
 * ```ts
 * import { Asm, ReturnCode } from "effect-ebpf"
 *
 * const drop = [Asm.mov("r0", ReturnCode.xdp.XDP_DROP), Asm.exit()]
 *
 * console.log(drop.length, ReturnCode.describe("xdp", 2)?.name) // 2 "XDP_PASS"
 * console.log(ReturnCode.describe("sched_cls", 2)?.meaning)
 * ```
 */
import { bpf_ret_code, sk_action, tcx_action_base, xdp_action } from "../abi/generated/enums.ts"
import type { ProgramType } from "../abi/names.ts"
import { of as kindOf, type ReturnCodes } from "./ProgramKind.ts"

// ---------------------------------------------------------------- codes by name

/** What XDP programs return. */
export const xdp: typeof xdp_action = xdp_action

/** What traffic control programs return. Source: include/uapi/linux/pkt_cls.h; they are macros, so BTF does not have them. */
export const tc = {
  TC_ACT_UNSPEC: -1,
  TC_ACT_OK: 0,
  TC_ACT_RECLASSIFY: 1,
  TC_ACT_SHOT: 2,
  TC_ACT_PIPE: 3,
  TC_ACT_STOLEN: 4,
  TC_ACT_QUEUED: 5,
  TC_ACT_REPEAT: 6,
  TC_ACT_REDIRECT: 7,
  TC_ACT_TRAP: 8
} as const

/** What programs attached by tcx or netkit return (types `sched_cls`); they are a part of `tc`'s. */
export const tcx: typeof tcx_action_base = tcx_action_base

/** What programs on sockets return: `sk_skb`, `sk_msg`, `sk_reuseport` and `sk_lookup`. */
export const sk: typeof sk_action = sk_action

/** What light-weight tunnels return. */
export const lwt = {
  BPF_OK: bpf_ret_code.BPF_OK,
  BPF_DROP: bpf_ret_code.BPF_DROP,
  BPF_REDIRECT: bpf_ret_code.BPF_REDIRECT,
  BPF_LWT_REROUTE: bpf_ret_code.BPF_LWT_REROUTE
} as const

/** What flow dissectors return. */
export const flowDissector = {
  BPF_OK: bpf_ret_code.BPF_OK,
  BPF_DROP: bpf_ret_code.BPF_DROP,
  BPF_FLOW_DISSECTOR_CONTINUE: bpf_ret_code.BPF_FLOW_DISSECTOR_CONTINUE
} as const

/** What netfilter programs may return, of all its verdicts. Source: include/uapi/linux/netfilter.h. */
export const netfilter = { NF_DROP: 0, NF_ACCEPT: 1 } as const

/** What cgroup programs return, for most hooks: the names are ours. A refused system call fails with EPERM. */
export const cgroup = { DENY: 0, ALLOW: 1 } as const

/** What `cgroup_sock_addr` programs at the bind hooks return; the names are ours. */
export const cgroupBind = { DENY: 0, ALLOW: 1, ALLOW_LOW_PORT: 3 } as const

/** What `cgroup_skb` programs at the egress hook return: the kernel's `NET_XMIT_*` behind them tell TCP to slow down. */
export const cgroupEgress = { DROP: 0, PASS: 1, DROP_CONGESTED: 2, PASS_CONGESTED: 3 } as const

/** What LSM programs return to allow; to refuse, they return the negative number of an error. The name is ours. */
export const lsm = { ALLOW: 0 } as const

/** What iterators return (type `tracing`): whether to call again with the same element. The names are ours. */
export const iterator = { NEXT: 0, AGAIN: 1 } as const

/** What callbacks of `loop`, `for_each_map_elem` and their sisters return. The names are ours. */
export const callback = { CONTINUE: 0, STOP: 1 } as const

/** What kprobe, uprobe and perf event programs return where it counts: whether the event goes on. The names are ours. */
export const probe = { DROP: 0, PASS: 1 } as const

// ---------------------------------------------------------------- meanings

/** A code with its meaning. */
export interface ReturnCode {
  readonly name: string
  readonly value: number
  readonly meaning: string
}

const meanings = <const Codes extends { readonly [name: string]: number }>(
  codes: Codes,
  texts: { readonly [K in keyof Codes]: string }
): ReadonlyArray<ReturnCode> =>
  Object.entries(codes).map(([name, value]) => ({ name, value, meaning: texts[name as keyof Codes] }))

const ofXdp = meanings(xdp, {
  XDP_ABORTED: "drops the packet as after an error, and fires the tracepoint xdp_exception",
  XDP_DROP: "drops the packet",
  XDP_PASS: "hands the packet on to the network stack",
  XDP_TX: "sends the packet back out of the device that it came from",
  XDP_REDIRECT: "sends the packet to where the helper redirect or redirect_map said"
})

const ofTc = meanings(tc, {
  TC_ACT_UNSPEC: "takes the action that the filter was set up with, or goes on to the next program",
  TC_ACT_OK: "lets the packet pass, and ends classification",
  TC_ACT_RECLASSIFY: "classifies the packet again from the start",
  TC_ACT_SHOT: "drops the packet",
  TC_ACT_PIPE: "goes on to the next action",
  TC_ACT_STOLEN: "takes the packet away without counting it as dropped",
  TC_ACT_QUEUED: "takes the packet away, as queued elsewhere",
  TC_ACT_REPEAT: "runs the action again",
  TC_ACT_REDIRECT: "sends the packet to where the helper redirect or one of its sisters said",
  TC_ACT_TRAP: "drops the packet in hardware and hands it to the kernel; in software, takes it away"
})

const ofSk = meanings(sk, {
  SK_DROP: "drops the packet or message, or refuses the connection",
  SK_PASS: "lets it pass, to the socket that a helper chose if one did"
})

const ofLwt = meanings(lwt, {
  BPF_OK: "goes on with the packet on its route",
  BPF_DROP: "drops the packet",
  BPF_REDIRECT: "sends the packet to where a helper said; lwt_xmit and lwt_seg6local only",
  BPF_LWT_REROUTE: "looks up the route again by the packet's new header; lwt_in and lwt_xmit, since 5.1"
})

const ofFlowDissector = meanings(flowDissector, {
  BPF_OK: "takes the flow keys that the program filled in",
  BPF_DROP: "the packet could not be dissected",
  BPF_FLOW_DISSECTOR_CONTINUE: "leaves the packet to the kernel's own dissector; since 6.1"
})

const ofNetfilter = meanings(netfilter, {
  NF_DROP: "drops the packet",
  NF_ACCEPT: "lets the packet go on"
})

const ofCgroup = meanings(cgroup, {
  DENY: "refuses: the system call fails with EPERM, or the packet is dropped",
  ALLOW: "allows"
})

const ofCgroupBind = meanings(cgroupBind, {
  DENY: "refuses: the system call fails with EPERM",
  ALLOW: "allows",
  ALLOW_LOW_PORT: "allows, also a port below 1024 without CAP_NET_BIND_SERVICE; bind hooks only, since 5.12"
})

const ofCgroupSkb = meanings(cgroupEgress, {
  DROP: "drops the packet; sending fails with EPERM",
  PASS: "lets the packet pass",
  DROP_CONGESTED: "drops the packet and tells the sender of congestion; egress only",
  PASS_CONGESTED: "lets the packet pass and tells the sender of congestion; egress only"
})

const ofLsm = meanings(lsm, { ALLOW: "allows; a negative number is the error that the system call fails with" })

const ofProbe = meanings(probe, {
  DROP: "drops the event: other users of the probe, such as a perf ring, do not see it",
  PASS: "lets the event go on to them"
})

const byName: { readonly [N in ReturnCodes]: ReadonlyArray<ReturnCode> } = {
  xdp: ofXdp,
  tc: ofTc,
  sk: ofSk,
  lwt: ofLwt,
  flowDissector: ofFlowDissector,
  netfilter: ofNetfilter,
  cgroupEgress: ofCgroupSkb,
  cgroup: ofCgroup,
  cgroupBind: ofCgroupBind,
  lsm: ofLsm,
  probe: ofProbe
}

/**
 * The codes that a type of program returns. None for types whose result is no code: a `socket_filter` returns how many
 * bytes of the packet to keep, and many tracing programs return 0.
 */
export const codesOf = (programType: ProgramType): ReadonlyArray<ReturnCode> => {
  const name = kindOf(programType)?.returns
  return name === undefined ? [] : byName[name]
}

/** The code that a value in `r0` is, for a type of program; `undefined` if it is none that is known. */
export const describe = (programType: ProgramType, value: number): ReturnCode | undefined =>
  codesOf(programType).find((code) => code.value === (value | 0))
