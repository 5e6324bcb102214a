// Which program may be attached how (attach_type_to_prog_type and bpf_prog_attach_check_attach_type in
// kernel/bpf/syscall.c), and the flags of attaching.
import { bpf_attach_type } from "../../../abi/generated/enums.ts"
import { type AttachType, attachTypes, programTypes } from "../../../abi/names.ts"
import * as ProgramKind from "../../../spec/ProgramKind.ts"
import { nameOf } from "../attr.ts"
import type { SimulatedProgram } from "../descriptors.ts"

const t = bpf_attach_type
const p = programTypes

/** include/uapi/linux/bpf.h */
export const ALLOW_OVERRIDE = 1 << 0
export const ALLOW_MULTI = 1 << 1
export const REPLACE = 1 << 2
export const BEFORE = 1 << 3
export const AFTER = 1 << 4
/** BPF_F_ID: the other program or link is named by its id. */
export const BY_ID = 1 << 5
export const PREORDER = 1 << 6
/** BPF_F_LINK: the other is a link. */
export const LINK = 1 << 13
export const BASE_FLAGS = ALLOW_OVERRIDE | ALLOW_MULTI | REPLACE | PREORDER
/** Where many programs stand in an order. */
export const MANY_FLAGS = REPLACE | BEFORE | AFTER | BY_ID | LINK
export const CGROUP_LINK_FLAGS = BY_ID | BEFORE | AFTER | PREORDER | LINK
export const XDP_FLAGS_SKB_MODE = 1 << 1
/** XDP_FLAGS_MODES */
export const XDP_MODES = XDP_FLAGS_SKB_MODE | (1 << 2) | (1 << 3)

/** Attach types without a type of program of their own, for BPF_PROG_ATTACH. */
const withoutType: ReadonlySet<number> = new Set([
  t.BPF_PERF_EVENT,
  t.BPF_TRACE_KPROBE_MULTI,
  t.BPF_TRACE_KPROBE_SESSION,
  t.BPF_TRACE_UPROBE_MULTI,
  t.BPF_TRACE_UPROBE_SESSION,
  t.BPF_SK_REUSEPORT_SELECT,
  t.BPF_SK_REUSEPORT_SELECT_OR_MIGRATE,
  t.BPF_XDP_DEVMAP,
  t.BPF_XDP_CPUMAP,
  t.BPF_NETFILTER,
  t.BPF_STRUCT_OPS
])

const ofDevices: ReadonlySet<number> = new Set([
  t.BPF_TCX_INGRESS,
  t.BPF_TCX_EGRESS,
  t.BPF_NETKIT_PRIMARY,
  t.BPF_NETKIT_PEER
])
const ofSockets: { readonly [attachType: number]: number } = {
  [t.BPF_SK_SKB_STREAM_PARSER]: p.sk_skb,
  [t.BPF_SK_SKB_STREAM_VERDICT]: p.sk_skb,
  [t.BPF_SK_SKB_VERDICT]: p.sk_skb,
  [t.BPF_SK_MSG_VERDICT]: p.sk_msg,
  [t.BPF_FLOW_DISSECTOR]: p.flow_dissector,
  [t.BPF_XDP]: p.xdp,
  [t.BPF_LIRC_MODE2]: p.lirc_mode2
}

/** The type of program that an attach type is for (attach_type_to_prog_type). */
export const typeFor = (attachType: number): number | undefined => {
  if (withoutType.has(attachType)) return undefined
  if (ofDevices.has(attachType)) return p.sched_cls
  const own = ofSockets[attachType]
  if (own !== undefined) return own
  const name = nameOf(attachTypes, attachType)
  const type = name === undefined ? undefined : ProgramKind.typeFor(name as AttachType)
  return type === undefined ? undefined : p[type]
}

export const deviceTypes: ReadonlySet<number> = new Set([t.BPF_XDP, t.BPF_TCX_INGRESS, t.BPF_TCX_EGRESS])

const cgroupTypes: ReadonlySet<number> = new Set([
  p.cgroup_device,
  p.cgroup_sockopt,
  p.cgroup_skb,
  p.cgroup_sock,
  p.cgroup_sock_addr,
  p.cgroup_sysctl,
  p.sock_ops
])

/** Kinds that are attached to cgroups (is_cgroup_prog_type). */
export const isCgroupKind = (type: number, attachType: number): boolean =>
  cgroupTypes.has(type) || (type === p.lsm && attachType === t.BPF_LSM_CGROUP)

/** The same where only the type of program is looked at: then any LSM program counts. */
export const isCgroupType = (type: number): boolean => cgroupTypes.has(type) || type === p.lsm

/** The types of program that links take. */
export const linkable: ReadonlySet<number> = new Set([
  ...cgroupTypes,
  p.lsm,
  p.tracing,
  p.flow_dissector,
  p.sk_lookup,
  p.sk_msg,
  p.sk_skb,
  p.xdp,
  p.sched_cls,
  p.netfilter,
  p.perf_event,
  p.tracepoint,
  p.kprobe
])

/** Attach types of probes on many functions: a program that is loaded for one is attached to it alone. */
const many: ReadonlySet<number> = new Set([
  t.BPF_TRACE_KPROBE_MULTI,
  t.BPF_TRACE_KPROBE_SESSION,
  t.BPF_TRACE_UPROBE_MULTI,
  t.BPF_TRACE_UPROBE_SESSION
])

/** Whether a program may be attached with an attach type. */
export const mayAttach = ({ attachType: expected, type }: SimulatedProgram, attachType: number): boolean => {
  switch (type) {
    case p.cgroup_sock:
    case p.cgroup_sock_addr:
    case p.cgroup_sockopt:
    case p.sk_lookup:
      return attachType === expected
    case p.netfilter:
      return attachType === t.BPF_NETFILTER
    case p.perf_event:
    case p.tracepoint:
      return attachType === t.BPF_PERF_EVENT
    case p.kprobe:
      return many.has(expected) ? attachType === expected : attachType === t.BPF_PERF_EVENT || many.has(attachType)
    case p.sched_cls:
      return ofDevices.has(attachType)
    default:
      return typeFor(attachType) === type
  }
}
