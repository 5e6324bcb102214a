// What helpers take and give, by their numbers: the table of `Helper`, and what the verifier adds to it.
import * as Option from "effect/Option"
import { bpf_func_id } from "../../../abi/generated/enums.ts"
import type { ProgramType } from "../../../abi/names.ts"
import * as Helper from "../../../isa/Helper.ts"
import type { Caller } from "../../../isa/helperCallers.ts"

export interface Prototype {
  readonly helper: Helper.Helper
  /** The result is at most the size given in this argument (counted from 0). */
  readonly boundedBy: number | undefined
  /** Whether the result must be given back. */
  readonly acquires: boolean
}

const f = bpf_func_id

/** do_refine_retval_range() */
const bounded: ReadonlyMap<number, number> = new Map([
  [f.BPF_FUNC_probe_read_str, 1],
  [f.BPF_FUNC_probe_read_kernel_str, 1],
  [f.BPF_FUNC_probe_read_user_str, 1],
  [f.BPF_FUNC_get_stack, 2],
  [f.BPF_FUNC_get_task_stack, 2]
])

/** Helpers whose result must be given back, with `sk_release`. */
const acquiring: ReadonlySet<number> = new Set([
  f.BPF_FUNC_sk_lookup_tcp,
  f.BPF_FUNC_sk_lookup_udp,
  f.BPF_FUNC_skc_lookup_tcp
])

/** Types of program that have no socket's context: the socket itself is asked for. */
const socketAsked: ReadonlySet<ProgramType> = new Set<ProgramType>(["sk_reuseport", "tracing", "lsm", "syscall"])

const classidFromPacket: ReadonlySet<ProgramType> = new Set<ProgramType>([
  "sched_cls",
  "sched_act",
  "lwt_in",
  "lwt_out",
  "lwt_xmit",
  "lwt_seg6local"
])

const socket: ReadonlyArray<Helper.Argument> = [
  { name: "sk", type: "void *", kind: "socketCommon", nullable: true, size: undefined }
]

const kernelPacket: ReadonlyArray<Helper.Argument> = [
  { name: "xdp_md", type: "struct xdp_buff *", kind: "btf", nullable: false, size: undefined }
]

/** What a helper takes from a type of program, where the table of helpers tells what others give (`get_func_proto`). */
export const argumentsFor = ({ helper }: Prototype, caller: Caller): ReadonlyArray<Helper.Argument> => {
  if (helper.id === f.BPF_FUNC_get_socket_cookie && socketAsked.has(caller.type)) return socket
  // Those that see no packet have the kernel's own type of one.
  if (helper.id === f.BPF_FUNC_xdp_get_buff_len && caller.type !== "xdp") return kernelPacket
  // Elsewhere the class is the current task's.
  if (helper.id === f.BPF_FUNC_get_cgroup_classid && !classidFromPacket.has(caller.type)) return []
  return helper.arguments
}

const made = new Map<number, Prototype | undefined>()

/** `undefined` for a number that is no helper's. */
export const prototypeOf = (id: number): Prototype | undefined => {
  const known = made.get(id)
  if (known !== undefined || made.has(id)) return known
  const helper = Option.getOrUndefined(Helper.fromId(id))
  const prototype = helper === undefined ? undefined : {
    helper,
    boundedBy: bounded.get(id),
    acquires: acquiring.has(id)
  }
  made.set(id, prototype)
  return prototype
}

/** The argument registers that a helper reads, as a set of bits. */
export const argumentBits = (id: number): number => {
  const prototype = prototypeOf(id)
  const isVariadic = prototype?.helper.variadic === true
  const count = prototype === undefined || isVariadic ? 5 : prototype.helper.arguments.length
  return ((1 << count) - 1) << 1
}

/** Helpers that call back: the argument that is a function. */
export const callbacks: ReadonlyMap<number, number> = new Map([
  [f.BPF_FUNC_loop, 2],
  [f.BPF_FUNC_for_each_map_elem, 2],
  [f.BPF_FUNC_user_ringbuf_drain, 2],
  [f.BPF_FUNC_timer_set_callback, 2],
  [f.BPF_FUNC_find_vma, 3]
])

/** Helpers that take pointers into the packet for their memory (`pkt_access` of their prototypes). */
export const takesPackets: ReadonlySet<number> = new Set([
  f.BPF_FUNC_map_lookup_elem,
  f.BPF_FUNC_map_update_elem,
  f.BPF_FUNC_map_delete_elem,
  f.BPF_FUNC_map_push_elem,
  f.BPF_FUNC_map_lookup_percpu_elem,
  f.BPF_FUNC_csum_diff,
  f.BPF_FUNC_sk_lookup_tcp,
  f.BPF_FUNC_sk_lookup_udp,
  f.BPF_FUNC_skc_lookup_tcp,
  f.BPF_FUNC_tcp_check_syncookie,
  f.BPF_FUNC_tcp_gen_syncookie,
  f.BPF_FUNC_tcp_raw_check_syncookie_ipv4,
  f.BPF_FUNC_tcp_raw_check_syncookie_ipv6,
  f.BPF_FUNC_tcp_raw_gen_syncookie_ipv4,
  f.BPF_FUNC_tcp_raw_gen_syncookie_ipv6
])

/** Helpers that change a map, which may not be one that programs only read. */
export const changesMap: ReadonlySet<number> = new Set([
  f.BPF_FUNC_map_update_elem,
  f.BPF_FUNC_map_delete_elem,
  f.BPF_FUNC_map_push_elem,
  f.BPF_FUNC_map_pop_elem
])
