// What a row of the tables of helpers is made of. Kinds of arguments and results stand before the C type, as in
// "mapKey const void *key".
import type { ProgramType } from "../../../abi/names.ts"

/** What an argument must be, in the words of the verifier's `enum bpf_arg_type`. */
export type ArgumentKind =
  | "any"
  | "context"
  | "contextOrNull"
  | "map"
  | "mapKey"
  | "mapValue"
  | "mapValueOrNull"
  | "mapValueOut"
  | "read"
  | "readOrNull"
  | `read:${number}`
  | "write"
  | "writeOrNull"
  | `write:${number}`
  | "readWrite"
  | `readWrite:${number}`
  | "size"
  | "sizeOrZero"
  | "recordSize"
  | "ringbufRecord"
  | "socketCommon"
  | "socketLike"
  | "socketLikeOrNull"
  | "btf"
  | "btfOrNull"
  | "percpuBtf"
  | "spinLock"
  | "timer"
  | "kptr"
  | "dynptr"
  | "dynptrOut"
  | "callback"
  | "constString"
  | "stackOrNull"

/** What a helper gives back, in the words of the verifier's `enum bpf_return_type`. */
export type ResultKind =
  | "integer"
  | "void"
  | "mapValue"
  | "mapValueOrNull"
  | "ringbufRecordOrNull"
  | "dynptrDataOrNull"
  | "memoryOrBtf"
  | "memoryOrBtfOrNull"
  | "socketOrNull"
  | "socketCommonOrNull"
  | "tcpSocketOrNull"
  | "btf"
  | "btfOrNull"

export type Mark =
  /** Only programs under a licence compatible with the GPL may call it. */
  | "gpl"
  /** The packet may lie elsewhere afterwards: addresses taken from `data` are void. */
  | "movesPacket"
  /** It may wait, so only sleepable programs may call it. */
  | "sleeps"
  /** Values may follow the last argument. */
  | "variadic"

export interface Row {
  readonly since: `${number}.${number}`
  readonly in: ReadonlyArray<ProgramType>
  readonly returns: `${ResultKind} ${string}`
  readonly takes: ReadonlyArray<`${ArgumentKind} ${string}`>
  readonly text: string
  readonly marks: ReadonlyArray<Mark>
}

export const row = (
  since: Row["since"],
  programs: Row["in"],
  returns: Row["returns"],
  takes: Row["takes"],
  text: string,
  ...marks: Row["marks"]
): Row => ({ since, in: programs, returns, takes, text, marks })

// ---------------------------------------------------------------- sets of program types that many helpers share

/** All types but `lirc_mode2` (which names its few helpers) and `ext` (which has those of the program it replaces). */
export const everywhere: ReadonlyArray<ProgramType> = [
  "socket_filter",
  "kprobe",
  "sched_cls",
  "sched_act",
  "tracepoint",
  "xdp",
  "perf_event",
  "cgroup_skb",
  "cgroup_sock",
  "lwt_in",
  "lwt_out",
  "lwt_xmit",
  "sock_ops",
  "sk_skb",
  "cgroup_device",
  "sk_msg",
  "raw_tracepoint",
  "cgroup_sock_addr",
  "lwt_seg6local",
  "sk_reuseport",
  "flow_dissector",
  "cgroup_sysctl",
  "raw_tracepoint_writable",
  "cgroup_sockopt",
  "tracing",
  "struct_ops",
  "lsm",
  "sk_lookup",
  "syscall",
  "netfilter"
]
export const everywhereAndInfrared: ReadonlyArray<ProgramType> = [...everywhere, "lirc_mode2"]
export const tracers: ReadonlyArray<ProgramType> = [
  "kprobe",
  "tracepoint",
  "perf_event",
  "raw_tracepoint",
  "raw_tracepoint_writable",
  "tracing",
  "lsm",
  "syscall"
]
export const traffic: ReadonlyArray<ProgramType> = ["sched_cls", "sched_act"]
export const trafficAndXdp: ReadonlyArray<ProgramType> = [...traffic, "xdp"]
export const leaving: ReadonlyArray<ProgramType> = [...traffic, "lwt_xmit"]
export const lightTunnels: ReadonlyArray<ProgramType> = ["lwt_in", "lwt_out", "lwt_xmit", "lwt_seg6local"]
export const typedTracers: ReadonlyArray<ProgramType> = ["tracing", "lsm", "syscall"]
export const socketCasters: ReadonlyArray<ProgramType> = [
  "socket_filter",
  ...trafficAndXdp,
  "cgroup_skb",
  "lwt_in",
  "lwt_out",
  "lwt_xmit",
  "sock_ops",
  "sk_skb",
  "sk_msg",
  "cgroup_sock_addr",
  "lwt_seg6local",
  "flow_dissector",
  "sk_lookup",
  ...typedTracers
]
export const socketFinders: ReadonlyArray<ProgramType> = [...trafficAndXdp, "cgroup_skb", "sk_skb", "cgroup_sock_addr"]
