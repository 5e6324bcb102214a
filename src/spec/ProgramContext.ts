/**
 * The contexts of programs: what `r1` points to when a program begins, by program type, as `Layout`s. With them a field
 * is read by its name instead of by a counted offset, and the context of a test run is encoded and decoded.
 *
 * Layouts are those that the UAPI shows to programs. The kernel keeps other structs, and rewrites each access when it loads
 * the program: so a context is accessed field by field, in the field's own size (or a smaller one, where the kernel allows
 * that), and some fields only by some program types. Where the UAPI has several members for the same bytes, the layout
 * has one, and `fields` has all.
 *
 * Addresses in network byte order are `u32be` and `bytes(16)`. Ports are as the UAPI has them: mostly 4 bytes, of which a
 * port in network byte order takes the lower 2.
 *
 * @example
 * ```ts
 * import { Asm, Layout, ProgramContext } from "effect-ebpf"
 *
 * const { data, data_end } = ProgramContext.fields.xdp_md
 * const bounds = [
 *   Asm.ldxw("r2", "r1", data.offset),
 *   Asm.ldxw("r3", "r1", data_end.offset)
 * ]
 * console.log(bounds.length, ProgramContext.of("xdp")?.layout === ProgramContext.xdp_md) // 2 true
 * console.log(Layout.field(ProgramContext.pt_regs_x64, "ip")) // { offset: 128, size: 8 }
 * ```
 */
import * as structs from "../abi/generated/structs.ts"
import type { ProgramType } from "../abi/names.ts"
import * as Layout from "../layout/Layout.ts"
import { type ContextName, of as kindOf } from "./ProgramKind.ts"

// ---------------------------------------------------------------- packets

/** An XDP packet. `data` and `data_end` are addresses, though they show as 4 bytes. */
export const xdp_md = Layout.struct({
  data: Layout.u32,
  data_end: Layout.u32,
  data_meta: Layout.u32,
  ingress_ifindex: Layout.u32,
  rx_queue_index: Layout.u32,
  /** Of programs in a device map only. */
  egress_ifindex: Layout.u32
})

/**
 * A packet with its metadata. `data` and `data_end` are addresses, though they show as 4 bytes. `flow_keys` is for flow
 * dissectors, and points to `bpf_flow_keys`; `sk` points to `bpf_sock`, or is 0.
 */
export const __sk_buff = Layout.struct({
  len: Layout.u32,
  pkt_type: Layout.u32,
  mark: Layout.u32,
  queue_mapping: Layout.u32,
  /** In network byte order, in the lower 2 bytes. */
  protocol: Layout.u32,
  vlan_present: Layout.u32,
  vlan_tci: Layout.u32,
  vlan_proto: Layout.u32,
  priority: Layout.u32,
  ingress_ifindex: Layout.u32,
  ifindex: Layout.u32,
  tc_index: Layout.u32,
  cb: Layout.array(Layout.u32, 5),
  hash: Layout.u32,
  tc_classid: Layout.u32,
  data: Layout.u32,
  data_end: Layout.u32,
  napi_id: Layout.u32,
  family: Layout.u32,
  remote_ip4: Layout.u32be,
  local_ip4: Layout.u32be,
  remote_ip6: Layout.bytes(16),
  local_ip6: Layout.bytes(16),
  /** In network byte order, in the lower 2 bytes. */
  remote_port: Layout.u32,
  /** In host byte order. */
  local_port: Layout.u32,
  data_meta: Layout.u32,
  flow_keys: Layout.pointer,
  tstamp: Layout.u64,
  wire_len: Layout.u32,
  gso_segs: Layout.u32,
  sk: Layout.pointer,
  gso_size: Layout.u32,
  tstamp_type: Layout.u8,
  hwtstamp: Layout.u64
})

/** What a flow dissector fills in, behind `flow_keys` of its `__sk_buff`. */
export const bpf_flow_keys = Layout.struct({
  nhoff: Layout.u16,
  thoff: Layout.u16,
  addr_proto: Layout.u16,
  is_frag: Layout.u8,
  is_first_frag: Layout.u8,
  is_encap: Layout.u8,
  ip_proto: Layout.u8,
  n_proto: Layout.u16be,
  sport: Layout.u16be,
  dport: Layout.u16be,
  addresses: Layout.union({
    ipv4: Layout.struct({ src: Layout.u32be, dst: Layout.u32be }),
    ipv6: Layout.struct({ src: Layout.bytes(16), dst: Layout.bytes(16) })
  }),
  flags: Layout.u32,
  flow_label: Layout.u32be
})

/** What netfilter hands to a program: two typed pointers of the kernel, read as BTF tells. */
export const bpf_nf_ctx = Layout.struct({ state: Layout.pointer, skb: Layout.pointer })

// ---------------------------------------------------------------- sockets

/** A socket, as cgroup programs have it for context and others behind `sk`. */
export const bpf_sock = Layout.struct({
  bound_dev_if: Layout.u32,
  family: Layout.u32,
  type: Layout.u32,
  protocol: Layout.u32,
  mark: Layout.u32,
  priority: Layout.u32,
  src_ip4: Layout.u32be,
  src_ip6: Layout.bytes(16),
  /** In host byte order. */
  src_port: Layout.u32,
  dst_port: Layout.u16be,
  dst_ip4: Layout.u32be,
  dst_ip6: Layout.bytes(16),
  state: Layout.u32,
  rx_queue_mapping: Layout.i32
})

/** What a program sees of a TCP socket, after the helper `tcp_sock`. */
export const bpf_tcp_sock = Layout.struct({
  snd_cwnd: Layout.u32,
  srtt_us: Layout.u32,
  rtt_min: Layout.u32,
  snd_ssthresh: Layout.u32,
  rcv_nxt: Layout.u32,
  snd_nxt: Layout.u32,
  snd_una: Layout.u32,
  mss_cache: Layout.u32,
  ecn_flags: Layout.u32,
  rate_delivered: Layout.u32,
  rate_interval_us: Layout.u32,
  packets_out: Layout.u32,
  retrans_out: Layout.u32,
  total_retrans: Layout.u32,
  segs_in: Layout.u32,
  data_segs_in: Layout.u32,
  segs_out: Layout.u32,
  data_segs_out: Layout.u32,
  lost_out: Layout.u32,
  sacked_out: Layout.u32,
  bytes_received: Layout.u64,
  bytes_acked: Layout.u64,
  dsack_dups: Layout.u32,
  delivered: Layout.u32,
  delivered_ce: Layout.u32,
  icsk_retransmits: Layout.u32
})

/** The addresses and ports that the helpers `sk_lookup_tcp` and its sisters look for. */
export const bpf_sock_tuple = Layout.union({
  ipv4: Layout.struct({ saddr: Layout.u32be, daddr: Layout.u32be, sport: Layout.u16be, dport: Layout.u16be }),
  ipv6: Layout.struct({
    saddr: Layout.bytes(16),
    daddr: Layout.bytes(16),
    sport: Layout.u16be,
    dport: Layout.u16be
  })
})

/** A bind, connect, sendmsg, recvmsg, getpeername or getsockname that a cgroup program watches. */
export const bpf_sock_addr = Layout.struct({
  user_family: Layout.u32,
  user_ip4: Layout.u32be,
  user_ip6: Layout.bytes(16),
  /** In network byte order, in the lower 2 bytes. */
  user_port: Layout.u32,
  family: Layout.u32,
  type: Layout.u32,
  protocol: Layout.u32,
  msg_src_ip4: Layout.u32be,
  msg_src_ip6: Layout.bytes(16),
  sk: Layout.pointer
})

/** A moment in the life of a TCP socket, told by `op`. `args` is also `reply` and `replylong`, where the program answers. */
export const bpf_sock_ops = Layout.struct({
  op: Layout.u32,
  args: Layout.array(Layout.u32, 4),
  family: Layout.u32,
  remote_ip4: Layout.u32be,
  local_ip4: Layout.u32be,
  remote_ip6: Layout.bytes(16),
  local_ip6: Layout.bytes(16),
  /** In network byte order, in the lower 2 bytes. */
  remote_port: Layout.u32,
  /** In host byte order. */
  local_port: Layout.u32,
  is_fullsock: Layout.u32,
  snd_cwnd: Layout.u32,
  srtt_us: Layout.u32,
  bpf_sock_ops_cb_flags: Layout.u32,
  state: Layout.u32,
  rtt_min: Layout.u32,
  snd_ssthresh: Layout.u32,
  rcv_nxt: Layout.u32,
  snd_nxt: Layout.u32,
  snd_una: Layout.u32,
  mss_cache: Layout.u32,
  ecn_flags: Layout.u32,
  rate_delivered: Layout.u32,
  rate_interval_us: Layout.u32,
  packets_out: Layout.u32,
  retrans_out: Layout.u32,
  total_retrans: Layout.u32,
  segs_in: Layout.u32,
  data_segs_in: Layout.u32,
  segs_out: Layout.u32,
  data_segs_out: Layout.u32,
  lost_out: Layout.u32,
  sacked_out: Layout.u32,
  sk_txhash: Layout.u32,
  bytes_received: Layout.u64,
  bytes_acked: Layout.u64,
  sk: Layout.pointer,
  skb_data: Layout.pointer,
  skb_data_end: Layout.pointer,
  skb_len: Layout.u32,
  skb_tcp_flags: Layout.u32,
  skb_hwtstamp: Layout.u64
})

/** A message that is about to be sent on a socket of a sockmap. */
export const sk_msg_md = Layout.struct({
  data: Layout.pointer,
  data_end: Layout.pointer,
  family: Layout.u32,
  remote_ip4: Layout.u32be,
  local_ip4: Layout.u32be,
  remote_ip6: Layout.bytes(16),
  local_ip6: Layout.bytes(16),
  /** In network byte order, in the lower 2 bytes. */
  remote_port: Layout.u32,
  /** In host byte order. */
  local_port: Layout.u32,
  size: Layout.u32,
  sk: Layout.pointer
})

/** A packet, from its TCP or UDP header on, for which a socket of a reuseport group is to be chosen. */
export const sk_reuseport_md = Layout.struct({
  data: Layout.pointer,
  data_end: Layout.pointer,
  len: Layout.u32,
  /** In network byte order, in the lower 2 bytes. */
  eth_protocol: Layout.u32,
  ip_protocol: Layout.u32,
  bind_inany: Layout.u32,
  hash: Layout.u32,
  sk: Layout.pointer,
  migrating_sk: Layout.pointer
})

/** A look-up of a listening or unconnected socket. `sk` shows as the socket's cookie after a test run. */
export const bpf_sk_lookup = Layout.struct({
  sk: Layout.pointer,
  family: Layout.u32,
  protocol: Layout.u32,
  remote_ip4: Layout.u32be,
  remote_ip6: Layout.bytes(16),
  remote_port: Layout.u16be,
  local_ip4: Layout.u32be,
  local_ip6: Layout.bytes(16),
  /** In host byte order. */
  local_port: Layout.u32,
  ingress_ifindex: Layout.u32
})

// ---------------------------------------------------------------- cgroup hooks

/** A sysctl that is read or written. */
export const bpf_sysctl = Layout.struct({ write: Layout.u32, file_pos: Layout.u32 })

/** A getsockopt(2) or setsockopt(2); the option's bytes are from `optval` to `optval_end`. */
export const bpf_sockopt = Layout.struct({
  sk: Layout.pointer,
  optval: Layout.pointer,
  optval_end: Layout.pointer,
  level: Layout.i32,
  optname: Layout.i32,
  optlen: Layout.i32,
  retval: Layout.i32
})

/** An access to a device: the kind of device in the low half of `access_type`, the `BPF_DEVCG_ACC_*` in the high. */
export const bpf_cgroup_dev_ctx = Layout.struct({
  access_type: Layout.u32,
  major: Layout.u32,
  minor: Layout.u32
})

// ---------------------------------------------------------------- tracing

/** The registers of x86-64. Arguments of a function are in `di`, `si`, `dx`, `cx`, `r8`, `r9`; its result is in `ax`. */
export const pt_regs_x64 = Layout.struct({
  r15: Layout.u64,
  r14: Layout.u64,
  r13: Layout.u64,
  r12: Layout.u64,
  bp: Layout.u64,
  bx: Layout.u64,
  r11: Layout.u64,
  r10: Layout.u64,
  r9: Layout.u64,
  r8: Layout.u64,
  ax: Layout.u64,
  cx: Layout.u64,
  dx: Layout.u64,
  si: Layout.u64,
  di: Layout.u64,
  orig_ax: Layout.u64,
  ip: Layout.u64,
  cs: Layout.u64,
  flags: Layout.u64,
  sp: Layout.u64,
  ss: Layout.u64
})

/** The registers of arm64 (`user_pt_regs`). Arguments are in `regs[0]` to `regs[7]`; the result is in `regs[0]`. */
export const pt_regs_arm64 = Layout.struct({
  regs: Layout.array(Layout.u64, 31),
  sp: Layout.u64,
  pc: Layout.u64,
  pstate: Layout.u64
})

/** A sample of a perf event on x86-64. */
export const bpf_perf_event_data_x64 = Layout.struct({
  regs: pt_regs_x64,
  sample_period: Layout.u64,
  addr: Layout.u64
})

/** A sample of a perf event on arm64. */
export const bpf_perf_event_data_arm64 = Layout.struct({
  regs: pt_regs_arm64,
  sample_period: Layout.u64,
  addr: Layout.u64
})

/** Arguments as the kernel hands them on, 8 bytes each: those of a raw tracepoint, 12 at most. */
export const bpf_raw_tracepoint_args = Layout.struct({ args: Layout.array(Layout.u64, 12) })

// ---------------------------------------------------------------- by program type

/**
 * Where each field lies that the UAPI has, by struct: `offset` and `size` in bytes. Several names may stand for the same
 * bytes, as `args` and `reply` of `bpf_sock_ops` do; fields inside of others have dotted names.
 */
export const fields = {
  xdp_md: structs.xdp_md.fields,
  __sk_buff: structs.__sk_buff.fields,
  bpf_flow_keys: structs.bpf_flow_keys.fields,
  bpf_nf_ctx: structs.bpf_nf_ctx.fields,
  bpf_sock: structs.bpf_sock.fields,
  bpf_tcp_sock: structs.bpf_tcp_sock.fields,
  bpf_sock_tuple: structs.bpf_sock_tuple.fields,
  bpf_sock_addr: structs.bpf_sock_addr.fields,
  bpf_sock_ops: structs.bpf_sock_ops.fields,
  sk_msg_md: structs.sk_msg_md.fields,
  sk_reuseport_md: structs.sk_reuseport_md.fields,
  bpf_sk_lookup: structs.bpf_sk_lookup.fields,
  bpf_sysctl: structs.bpf_sysctl.fields,
  bpf_sockopt: structs.bpf_sockopt.fields,
  bpf_cgroup_dev_ctx: structs.bpf_cgroup_dev_ctx.fields
} as const

/** The context of a type of program: its name in C, and its layout. */
export interface ProgramContext {
  readonly name: string
  readonly layout: Layout.Layout<any>
}

const layouts: { readonly [N in ContextName]: Layout.Layout<any> } = {
  __sk_buff,
  xdp_md,
  bpf_nf_ctx,
  bpf_sock,
  bpf_sock_addr,
  bpf_sock_ops,
  sk_msg_md,
  sk_reuseport_md,
  bpf_sk_lookup,
  bpf_cgroup_dev_ctx,
  bpf_sysctl,
  bpf_sockopt,
  pt_regs: pt_regs_x64,
  bpf_perf_event_data: bpf_perf_event_data_x64,
  bpf_raw_tracepoint_args,
  u32: Layout.struct({ sample: Layout.u32 })
}

const onArm64: { readonly [N in ContextName]?: ProgramContext } = {
  pt_regs: { name: "user_pt_regs", layout: pt_regs_arm64 },
  bpf_perf_event_data: { name: "bpf_perf_event_data", layout: bpf_perf_event_data_arm64 }
}

/**
 * The context of a type of program. `undefined` where something else tells it: the tracepoint's own format file
 * (`tracepoint`), the traced function or hook, whose arguments are 8 bytes each (`tracing`, `lsm`, `struct_ops`), the
 * replaced program (`ext`), or the caller (`syscall`).
 *
 * Registers differ by machine; they are those of x86-64 unless told otherwise.
 */
export const of = (programType: ProgramType, machine: "x64" | "arm64" = "x64"): ProgramContext | undefined => {
  const name = kindOf(programType)?.context
  if (name === undefined) return undefined
  return (machine === "arm64" ? onArm64[name] : undefined) ?? { name, layout: layouts[name] }
}
