// Helpers on sockets and on messages.
import { row } from "./row.ts"

export const sockets = {
  get_socket_cookie: row(
    "4.12",
    "integer u64",
    ["context struct sk_buff *skb"],
    "A number for the socket that no other socket will have."
  ),
  get_socket_uid: row("4.12", "integer u32", [
    "context struct sk_buff *skb"
  ], "The user id of the owner of the packet's socket."),
  sk_redirect_map: row("4.14", "integer long", [
    "context struct sk_buff *skb",
    "map struct bpf_map *map",
    "any u32 key",
    "any u64 flags"
  ], "Redirects the packet to a socket of a sockmap."),
  sock_map_update: row("4.14", "integer long", [
    "context struct bpf_sock_ops *skops",
    "map struct bpf_map *map",
    "mapKey void *key",
    "any u64 flags"
  ], "Puts the context's socket into a sockmap."),
  msg_redirect_map: row("4.17", "integer long", [
    "context struct sk_msg_buff *msg",
    "map struct bpf_map *map",
    "any u32 key",
    "any u64 flags"
  ], "Redirects a message to a socket of a sockmap."),
  msg_apply_bytes: row(
    "4.17",
    "integer long",
    ["context struct sk_msg_buff *msg", "any u32 bytes"],
    "Applies the verdict to the next so many bytes, without further runs."
  ),
  msg_cork_bytes: row(
    "4.17",
    "integer long",
    ["context struct sk_msg_buff *msg", "any u32 bytes"],
    "Waits until so many bytes have come before running again."
  ),
  msg_pull_data: row(
    "4.17",
    "integer long",
    ["context struct sk_msg_buff *msg", "any u32 start", "any u32 end", "any u64 flags"],
    "Makes bytes of a message reachable through `data`.",
    "movesPacket"
  ),
  sock_hash_update: row("4.18", "integer long", [
    "context struct bpf_sock_ops *skops",
    "map struct bpf_map *map",
    "mapKey void *key",
    "any u64 flags"
  ], "Puts the context's socket into a sockhash."),
  msg_redirect_hash: row("4.18", "integer long", [
    "context struct sk_msg_buff *msg",
    "map struct bpf_map *map",
    "mapKey void *key",
    "any u64 flags"
  ], "Redirects a message to a socket of a sockhash."),
  sk_redirect_hash: row("4.18", "integer long", [
    "context struct sk_buff *skb",
    "map struct bpf_map *map",
    "mapKey void *key",
    "any u64 flags"
  ], "Redirects the packet to a socket of a sockhash."),
  sk_select_reuseport: row("4.19", "integer long", [
    "context struct sk_reuseport_md *reuse",
    "map struct bpf_map *map",
    "mapKey void *key",
    "any u64 flags"
  ], "Chooses the socket of a reuseport group that shall have the packet."),
  sk_lookup_tcp: row("4.20", "socketOrNull struct bpf_sock *", [
    "context void *ctx",
    "read struct bpf_sock_tuple *tuple",
    "size u32 tuple_size",
    "any u64 netns",
    "any u64 flags"
  ], "Finds a TCP socket by addresses and ports; `sk_release` must follow."),
  sk_lookup_udp: row("4.20", "socketOrNull struct bpf_sock *", [
    "context void *ctx",
    "read struct bpf_sock_tuple *tuple",
    "size u32 tuple_size",
    "any u64 netns",
    "any u64 flags"
  ], "Finds a UDP socket by addresses and ports; `sk_release` must follow."),
  sk_release: row(
    "4.20",
    "integer long",
    ["socketLike void *sock"],
    "Gives back the socket that a look-up found."
  ),
  msg_push_data: row(
    "4.20",
    "integer long",
    ["context struct sk_msg_buff *msg", "any u32 start", "any u32 len", "any u64 flags"],
    "Makes room inside a message.",
    "movesPacket"
  ),
  msg_pop_data: row(
    "5.0",
    "integer long",
    ["context struct sk_msg_buff *msg", "any u32 start", "any u32 len", "any u64 flags"],
    "Takes bytes out of a message.",
    "movesPacket"
  ),
  sk_fullsock: row("5.1", "socketOrNull struct bpf_sock *", [
    "socketCommon struct bpf_sock *sk"
  ], "The full socket of a socket, or NULL if it is none."),
  tcp_sock: row(
    "5.1",
    "tcpSocketOrNull struct bpf_tcp_sock *",
    ["socketCommon struct bpf_sock *sk"],
    "The TCP socket of a socket, or NULL if it is none."
  ),
  get_listener_sock: row("5.1", "socketOrNull struct bpf_sock *", [
    "socketCommon struct bpf_sock *sk"
  ], "The listening socket that a TCP socket came from."),
  skc_lookup_tcp: row("5.2", "socketCommonOrNull struct bpf_sock *", [
    "context void *ctx",
    "read struct bpf_sock_tuple *tuple",
    "size u32 tuple_size",
    "any u64 netns",
    "any u64 flags"
  ], "As `sk_lookup_tcp`, and also finds request and time-wait sockets."),
  tcp_check_syncookie: row(
    "5.2",
    "integer long",
    ["socketLike void *sk", "read void *iph", "size u32 iph_len", "read struct tcphdr *th", "size u32 th_len"],
    "0 if the packet answers a SYN cookie of the listening socket.",
    "gpl"
  ),
  sk_storage_get: row(
    "5.2",
    "mapValueOrNull void *",
    ["map struct bpf_map *map", "socketLike void *sk", "mapValueOrNull void *value", "any u64 flags"],
    "The socket's own value in a socket storage map, made if the flags say so."
  ),
  sk_storage_delete: row(
    "5.2",
    "integer long",
    ["map struct bpf_map *map", "socketLike void *sk"],
    "Deletes the socket's own value."
  ),
  tcp_gen_syncookie: row(
    "5.4",
    "integer s64",
    ["socketLike void *sk", "read void *iph", "size u32 iph_len", "read struct tcphdr *th", "size u32 th_len"],
    "Makes the SYN cookie with which the listening socket would answer.",
    "gpl"
  ),
  tcp_send_ack: row(
    "5.6",
    "integer long",
    ["btf void *tp", "any u32 rcv_nxt"],
    "Sends a TCP ACK; for congestion control algorithms."
  ),
  get_netns_cookie: row(
    "5.7",
    "integer u64",
    ["contextOrNull void *ctx"],
    "A number for the network namespace of the context."
  ),
  sk_assign: row("5.7", "integer long", [
    "context struct sk_buff *skb",
    "socketLikeOrNull void *sk",
    "any u64 flags"
  ], "Gives the packet, or the look-up, to a socket."),
  sk_cgroup_id: row(
    "5.8",
    "integer u64",
    ["socketLike void *sk"],
    "The id of the socket's cgroup (version 2)."
  ),
  sk_ancestor_cgroup_id: row(
    "5.8",
    "integer u64",
    ["socketLike void *sk", "any int ancestor_level"],
    "The id of an ancestor, at a level, of the socket's cgroup."
  ),
  skc_to_tcp6_sock: row(
    "5.9",
    "btfOrNull struct tcp6_sock *",
    ["socketLike void *sk"],
    "The socket as a `tcp6_sock`, or NULL if it is none."
  ),
  skc_to_tcp_sock: row(
    "5.9",
    "btfOrNull struct tcp_sock *",
    ["socketLike void *sk"],
    "The socket as a `tcp_sock`, or NULL if it is none."
  ),
  skc_to_tcp_timewait_sock: row(
    "5.9",
    "btfOrNull struct tcp_timewait_sock *",
    ["socketLike void *sk"],
    "The socket as a `tcp_timewait_sock`, or NULL if it is none."
  ),
  skc_to_tcp_request_sock: row(
    "5.9",
    "btfOrNull struct tcp_request_sock *",
    ["socketLike void *sk"],
    "The socket as a `tcp_request_sock`, or NULL if it is none."
  ),
  skc_to_udp6_sock: row(
    "5.9",
    "btfOrNull struct udp6_sock *",
    ["socketLike void *sk"],
    "The socket as a `udp6_sock`, or NULL if it is none."
  ),
  skc_to_unix_sock: row(
    "5.16",
    "btfOrNull struct unix_sock *",
    ["socketLike void *sk"],
    "The socket as a `unix_sock`, or NULL if it is none."
  ),
  skc_to_mptcp_sock: row(
    "5.19",
    "btfOrNull struct mptcp_sock *",
    ["socketCommon void *sk"],
    "The socket as an `mptcp_sock`, or NULL if it is none."
  ),
  tcp_raw_gen_syncookie_ipv4: row(
    "6.0",
    "integer s64",
    ["read:20 struct iphdr *iph", "read struct tcphdr *th", "size u32 th_len"],
    "Makes a SYN cookie for an IPv4 SYN, without a listening socket.",
    "gpl"
  ),
  tcp_raw_gen_syncookie_ipv6: row(
    "6.0",
    "integer s64",
    ["read:40 struct ipv6hdr *iph", "read struct tcphdr *th", "size u32 th_len"],
    "Makes a SYN cookie for an IPv6 SYN, without a listening socket.",
    "gpl"
  ),
  tcp_raw_check_syncookie_ipv4: row(
    "6.0",
    "integer long",
    ["read:20 struct iphdr *iph", "read:20 struct tcphdr *th"],
    "0 if an IPv4 ACK answers a SYN cookie.",
    "gpl"
  ),
  tcp_raw_check_syncookie_ipv6: row(
    "6.0",
    "integer long",
    ["read:40 struct ipv6hdr *iph", "read:20 struct tcphdr *th"],
    "0 if an IPv6 ACK answers a SYN cookie.",
    "gpl"
  )
}
