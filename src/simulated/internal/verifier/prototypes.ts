// What helpers take and give (the bpf_func_proto tables of the kernel). A letter stands for each argument:
//
//   .  anything that holds a value      m  a map                k  a key of that map       v  a value of that map
//   r  memory that is read              R  the same, or NULL    w  memory that is written  s  its size, not zero
//   z  its size, zero allowed           c  the context          f  a function              t  reserved memory, given back
//   n  a constant number                l  a spin lock          p  a pointer that is not followed here
//
// A helper that is not in the table takes and gives anything here.
import { bpf_func_id } from "../../../abi/generated/enums.ts"

export interface Prototype {
  readonly arguments: string
  /** `value`, `map` and `record` may be NULL. */
  readonly returns: "number" | "value" | "record" | "anything"
  /** It may move the packet: pointers into it are lost. */
  readonly movesPacket?: boolean
  /** The result is at most the size given in this argument (counted from 0). */
  readonly boundedBy?: number
}

const number = (arguments_: string, more?: Partial<Prototype>): Prototype => ({
  arguments: arguments_,
  returns: "number",
  ...more
})
const moving = (arguments_: string): Prototype => number(arguments_, { movesPacket: true })

const table: { readonly [K in keyof typeof bpf_func_id]?: Prototype } = {
  BPF_FUNC_map_lookup_elem: { arguments: "mk", returns: "value" },
  BPF_FUNC_map_lookup_percpu_elem: { arguments: "mk.", returns: "value" },
  BPF_FUNC_map_update_elem: number("mkv."),
  BPF_FUNC_map_delete_elem: number("mk"),
  BPF_FUNC_map_push_elem: number("mv."),
  BPF_FUNC_map_pop_elem: number("mV"),
  BPF_FUNC_map_peek_elem: number("mV"),
  BPF_FUNC_probe_read: number("wz."),
  BPF_FUNC_probe_read_kernel: number("wz."),
  BPF_FUNC_probe_read_user: number("wz."),
  BPF_FUNC_probe_read_str: number("wz.", { boundedBy: 1 }),
  BPF_FUNC_probe_read_kernel_str: number("wz.", { boundedBy: 1 }),
  BPF_FUNC_probe_read_user_str: number("wz.", { boundedBy: 1 }),
  BPF_FUNC_ktime_get_ns: number(""),
  BPF_FUNC_ktime_get_boot_ns: number(""),
  BPF_FUNC_get_prandom_u32: number(""),
  BPF_FUNC_get_smp_processor_id: number(""),
  BPF_FUNC_get_current_pid_tgid: number(""),
  BPF_FUNC_get_current_uid_gid: number(""),
  BPF_FUNC_get_current_comm: number("ws"),
  BPF_FUNC_trace_printk: number("rs"),
  BPF_FUNC_trace_vprintk: number("rsRz"),
  BPF_FUNC_snprintf: number("Wzp"),
  BPF_FUNC_strtol: number("rs.p"),
  BPF_FUNC_strtoul: number("rs.p"),
  BPF_FUNC_strncmp: number("rsp"),
  BPF_FUNC_tail_call: number("cm."),
  BPF_FUNC_ringbuf_output: number("mrz."),
  BPF_FUNC_ringbuf_reserve: { arguments: "mn.", returns: "record" },
  BPF_FUNC_ringbuf_submit: number("t."),
  BPF_FUNC_ringbuf_discard: number("t."),
  BPF_FUNC_ringbuf_query: number("m."),
  BPF_FUNC_perf_event_output: number("cm.rz"),
  BPF_FUNC_get_stackid: number("cm."),
  BPF_FUNC_get_stack: number("cWz.", { boundedBy: 2 }),
  BPF_FUNC_spin_lock: number("l"),
  BPF_FUNC_spin_unlock: number("l"),
  BPF_FUNC_loop: number(".fp."),
  BPF_FUNC_for_each_map_elem: number("mfp."),
  BPF_FUNC_user_ringbuf_drain: number("mfp."),
  BPF_FUNC_skb_load_bytes: number("c.ws"),
  BPF_FUNC_skb_store_bytes: moving("c.rs."),
  BPF_FUNC_skb_pull_data: moving("c."),
  BPF_FUNC_skb_change_tail: moving("c.."),
  BPF_FUNC_skb_change_head: moving("c.."),
  BPF_FUNC_skb_change_proto: moving("c.."),
  BPF_FUNC_skb_adjust_room: moving("c..."),
  BPF_FUNC_skb_vlan_push: moving("c.."),
  BPF_FUNC_skb_vlan_pop: moving("c"),
  BPF_FUNC_l3_csum_replace: moving("c...."),
  BPF_FUNC_l4_csum_replace: moving("c...."),
  BPF_FUNC_clone_redirect: moving("c.."),
  BPF_FUNC_csum_diff: number("RzRz."),
  BPF_FUNC_csum_update: number("c."),
  BPF_FUNC_redirect: number(".."),
  BPF_FUNC_redirect_map: number("m.."),
  BPF_FUNC_xdp_adjust_head: moving("c."),
  BPF_FUNC_xdp_adjust_tail: moving("c."),
  BPF_FUNC_xdp_adjust_meta: moving("c."),
  BPF_FUNC_xdp_load_bytes: number("c.ws"),
  BPF_FUNC_xdp_store_bytes: number("c.rs"),
  BPF_FUNC_sk_storage_get: { arguments: "mpp.", returns: "value" },
  BPF_FUNC_task_storage_get: { arguments: "mpp.", returns: "value" },
  BPF_FUNC_inode_storage_get: { arguments: "mpp.", returns: "value" },
  BPF_FUNC_cgrp_storage_get: { arguments: "mpp.", returns: "value" },
  BPF_FUNC_get_current_task: { arguments: "", returns: "anything" },
  BPF_FUNC_get_current_task_btf: { arguments: "", returns: "anything" },
  BPF_FUNC_get_local_storage: { arguments: "m.", returns: "anything" }
}

const byId = new Map(
  (Object.keys(table) as Array<keyof typeof table>).map((name) => [bpf_func_id[name] as number, table[name]!])
)

export const prototypeOf = (id: number): Prototype | undefined => byId.get(id)

/** The argument registers that a helper reads, as a set of bits. */
export const argumentBits = (id: number): number => {
  const prototype = byId.get(id)
  const count = prototype === undefined ? 5 : prototype.arguments.length
  return ((1 << count) - 1) << 1
}

/** Helpers that call back: the argument that is a function. */
export const callbacks: ReadonlyMap<number, number> = new Map([
  [bpf_func_id.BPF_FUNC_loop, 2],
  [bpf_func_id.BPF_FUNC_for_each_map_elem, 2],
  [bpf_func_id.BPF_FUNC_user_ringbuf_drain, 2],
  [bpf_func_id.BPF_FUNC_timer_set_callback, 2]
])
