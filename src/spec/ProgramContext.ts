/**
 * The contexts of programs: what `r1` points to when a program begins, by program type, as `Layout`s. With them a field
 * is read by its name instead of by a counted offset, and the context of a test run is encoded and decoded.
 *
 * Layouts are those that the UAPI shows to programs. The kernel keeps other structs, and rewrites each access when it loads
 * the program: so a context is accessed field by field, in the field's own size (or a smaller one, where the kernel allows
 * that), and some fields only by some program types. Where the UAPI has several members for the same bytes, the layout
 * has one, and `fields` has all.
 *
 * Names, places and sizes come from the kernel's BTF (`abi/generated`); what BTF does not know of a member is told here.
 * Addresses in network byte order are `u32be` and `bytes(16)`. Ports are as the UAPI has them: mostly 4 bytes, of which a
 * port in network byte order takes the lower 2 (`remote_port`, `user_port`, and `protocol` and `eth_protocol` likewise);
 * `local_port` and `src_port` are in host byte order.
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
import { ptRegsX64 } from "../abi/registers.ts"
import * as Layout from "../layout/Layout.ts"
import { fromStruct } from "./internal/fromStruct.ts"
import { type ContextName, of as kindOf } from "./ProgramKind.ts"

// ---------------------------------------------------------------- packets

/** An XDP packet. `data` and `data_end` are addresses, though they show as 4 bytes. */
export const xdp_md = fromStruct(structs.xdp_md)

/**
 * A packet with its metadata. `data` and `data_end` are addresses, though they show as 4 bytes. `flow_keys` is for flow
 * dissectors, and points to `bpf_flow_keys`; `sk` points to `bpf_sock`, or is 0.
 */
export const __sk_buff = fromStruct(structs.__sk_buff, {
  cb: Layout.array(Layout.u32, 5),
  remote_ip4: Layout.u32be,
  local_ip4: Layout.u32be,
  flow_keys: Layout.pointer,
  sk: Layout.pointer
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
export const bpf_nf_ctx = fromStruct(structs.bpf_nf_ctx, { state: Layout.pointer, skb: Layout.pointer })

// ---------------------------------------------------------------- sockets

/** A socket, as cgroup programs have it for context and others behind `sk`. */
export const bpf_sock = fromStruct(structs.bpf_sock, {
  src_ip4: Layout.u32be,
  dst_port: Layout.u16be,
  dst_ip4: Layout.u32be,
  rx_queue_mapping: Layout.i32
})

/** What a program sees of a TCP socket, after the helper `tcp_sock`. */
export const bpf_tcp_sock = fromStruct(structs.bpf_tcp_sock)

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
export const bpf_sock_addr = fromStruct(structs.bpf_sock_addr, {
  user_ip4: Layout.u32be,
  msg_src_ip4: Layout.u32be,
  sk: Layout.pointer
})

/** A moment in the life of a TCP socket, told by `op`. `args` is also `reply` and `replylong`, where the program answers. */
export const bpf_sock_ops = fromStruct(structs.bpf_sock_ops, {
  args: Layout.array(Layout.u32, 4),
  reply: "other name",
  replylong: "other name",
  remote_ip4: Layout.u32be,
  local_ip4: Layout.u32be,
  sk: Layout.pointer,
  skb_data: Layout.pointer,
  skb_data_end: Layout.pointer
})

/** A message that is about to be sent on a socket of a sockmap. */
export const sk_msg_md = fromStruct(structs.sk_msg_md, {
  data: Layout.pointer,
  data_end: Layout.pointer,
  remote_ip4: Layout.u32be,
  local_ip4: Layout.u32be,
  sk: Layout.pointer
})

/** A packet, from its TCP or UDP header on, for which a socket of a reuseport group is to be chosen. */
export const sk_reuseport_md = fromStruct(structs.sk_reuseport_md, {
  data: Layout.pointer,
  data_end: Layout.pointer,
  sk: Layout.pointer,
  migrating_sk: Layout.pointer
})

/** A look-up of a listening or unconnected socket. `sk` shows as the socket's cookie after a test run. */
export const bpf_sk_lookup = fromStruct(structs.bpf_sk_lookup, {
  sk: Layout.pointer,
  cookie: "other name",
  remote_ip4: Layout.u32be,
  remote_port: Layout.u16be,
  local_ip4: Layout.u32be
})

// ---------------------------------------------------------------- cgroup hooks

/** A sysctl that is read or written. */
export const bpf_sysctl = fromStruct(structs.bpf_sysctl)

/** A getsockopt(2) or setsockopt(2); the option's bytes are from `optval` to `optval_end`. */
export const bpf_sockopt = fromStruct(structs.bpf_sockopt, {
  sk: Layout.pointer,
  optval: Layout.pointer,
  optval_end: Layout.pointer,
  level: Layout.i32,
  optname: Layout.i32,
  optlen: Layout.i32,
  retval: Layout.i32
})

/** An access to a device: the kind of device in the low half of `access_type`, the `BPF_DEVCG_ACC_*` in the high. */
export const bpf_cgroup_dev_ctx = fromStruct(structs.bpf_cgroup_dev_ctx)

// ---------------------------------------------------------------- tracing

/** The registers of x86-64. Arguments of a function are in `di`, `si`, `dx`, `cx`, `r8`, `r9`; its result is in `ax`. */
export const pt_regs_x64 = Layout.struct(
  Object.fromEntries(ptRegsX64.map((name) => [name, Layout.u64])) as Record<typeof ptRegsX64[number], typeof Layout.u64>
)

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
