// Helpers on packets: XDP, traffic control and light-weight tunnels.
import { row } from "./row.ts"

export const packets = {
  skb_store_bytes: row(
    "4.1",
    "integer long",
    ["context struct sk_buff *skb", "any u32 offset", "read const void *from", "size u32 len", "any u64 flags"],
    "Writes bytes into a packet, mending its checksum where asked.",
    "movesPacket"
  ),
  l3_csum_replace: row(
    "4.1",
    "integer long",
    ["context struct sk_buff *skb", "any u32 offset", "any u64 from", "any u64 to", "any u64 size"],
    "Mends the checksum of an IP header after a field of 2 or 4 bytes changed.",
    "movesPacket"
  ),
  l4_csum_replace: row(
    "4.1",
    "integer long",
    ["context struct sk_buff *skb", "any u32 offset", "any u64 from", "any u64 to", "any u64 flags"],
    "Mends the checksum of a TCP, UDP or ICMP header after a field changed.",
    "movesPacket"
  ),
  clone_redirect: row(
    "4.2",
    "integer long",
    ["context struct sk_buff *skb", "any u32 ifindex", "any u64 flags"],
    "Sends a copy of the packet to another device.",
    "movesPacket"
  ),
  get_cgroup_classid: row(
    "4.3",
    "integer u32",
    ["context struct sk_buff *skb"],
    "The net_cls class of the cgroup (version 1) that the packet's socket belongs to."
  ),
  skb_vlan_push: row(
    "4.3",
    "integer long",
    ["context struct sk_buff *skb", "any __be16 vlan_proto", "any u16 vlan_tci"],
    "Puts a VLAN tag on the packet.",
    "movesPacket"
  ),
  skb_vlan_pop: row(
    "4.3",
    "integer long",
    ["context struct sk_buff *skb"],
    "Takes the outermost VLAN tag off the packet.",
    "movesPacket"
  ),
  skb_get_tunnel_key: row("4.3", "integer long", [
    "context struct sk_buff *skb",
    "write struct bpf_tunnel_key *key",
    "size u32 size",
    "any u64 flags"
  ], "Reads the tunnel's metadata that came with the packet."),
  skb_set_tunnel_key: row("4.3", "integer long", [
    "context struct sk_buff *skb",
    "read struct bpf_tunnel_key *key",
    "size u32 size",
    "any u64 flags"
  ], "Sets the tunnel's metadata with which the packet shall leave."),
  redirect: row(
    "4.4",
    "integer long",
    ["any u32 ifindex", "any u64 flags"],
    "Makes the program's verdict a redirect to another device."
  ),
  get_route_realm: row(
    "4.4",
    "integer u32",
    ["context struct sk_buff *skb"],
    "The realm of the route that the packet takes."
  ),
  skb_load_bytes: row(
    "4.5",
    "integer long",
    ["context const void *skb", "any u32 offset", "write void *to", "size u32 len"],
    "Copies bytes of the packet, wherever they lie, to memory."
  ),
  csum_diff: row("4.6", "integer s64", [
    "readOrNull __be32 *from",
    "sizeOrZero u32 from_size",
    "readOrNull __be32 *to",
    "sizeOrZero u32 to_size",
    "any __wsum seed"
  ], "The difference that replacing one buffer by another makes to a checksum."),
  skb_get_tunnel_opt: row("4.6", "integer long", [
    "context struct sk_buff *skb",
    "write void *opt",
    "size u32 size"
  ], "Reads the options of the tunnel that the packet came through."),
  skb_set_tunnel_opt: row("4.6", "integer long", [
    "context struct sk_buff *skb",
    "read void *opt",
    "size u32 size"
  ], "Sets the options of the tunnel that the packet shall leave through."),
  skb_change_proto: row(
    "4.8",
    "integer long",
    ["context struct sk_buff *skb", "any __be16 proto", "any u64 flags"],
    "Turns an IPv4 packet to IPv6 or back, making or taking room for the header.",
    "movesPacket"
  ),
  skb_change_type: row(
    "4.8",
    "integer long",
    ["context struct sk_buff *skb", "any u32 type"],
    "Sets the packet's type, such as PACKET_HOST."
  ),
  skb_under_cgroup: row("4.8", "integer long", [
    "context struct sk_buff *skb",
    "map struct bpf_map *map",
    "any u32 index"
  ], "1 if the packet's socket is in the cgroup at an index of a cgroup array, or below it."),
  get_hash_recalc: row(
    "4.8",
    "integer u32",
    ["context struct sk_buff *skb"],
    "The flow hash of the packet, computed if it has none."
  ),
  skb_change_tail: row(
    "4.9",
    "integer long",
    ["context struct sk_buff *skb", "any u32 len", "any u64 flags"],
    "Makes the packet longer or shorter at its end.",
    "movesPacket"
  ),
  skb_pull_data: row(
    "4.9",
    "integer long",
    ["context struct sk_buff *skb", "any u32 len"],
    "Makes the first bytes of a packet reachable through `data`.",
    "movesPacket"
  ),
  csum_update: row(
    "4.9",
    "integer s64",
    ["context struct sk_buff *skb", "any __wsum csum"],
    "Adds to the checksum of a packet that the hardware summed whole."
  ),
  set_hash_invalid: row(
    "4.9",
    "void void",
    ["context struct sk_buff *skb"],
    "Forgets the packet's flow hash, so that it is computed anew."
  ),
  skb_change_head: row(
    "4.10",
    "integer long",
    ["context struct sk_buff *skb", "any u32 len", "any u64 flags"],
    "Makes room before the packet's first byte.",
    "movesPacket"
  ),
  xdp_adjust_head: row(
    "4.10",
    "integer long",
    ["context struct xdp_buff *xdp_md", "any int delta"],
    "Moves the start of an XDP packet; down makes room for a header.",
    "movesPacket"
  ),
  set_hash: row(
    "4.13",
    "integer long",
    ["context struct sk_buff *skb", "any u32 hash"],
    "Sets the packet's flow hash."
  ),
  skb_adjust_room: row(
    "4.13",
    "integer long",
    ["context struct sk_buff *skb", "any s32 len_diff", "any u32 mode", "any u64 flags"],
    "Grows or shrinks the packet between its headers, as tunnels need.",
    "movesPacket"
  ),
  redirect_map: row(
    "4.14",
    "integer long",
    ["map struct bpf_map *map", "any u64 key", "any u64 flags"],
    "Makes the verdict a redirect to an entry of a device, CPU or AF_XDP map."
  ),
  xdp_adjust_meta: row(
    "4.15",
    "integer long",
    ["context struct xdp_buff *xdp_md", "any int delta"],
    "Moves the start of the metadata before an XDP packet.",
    "movesPacket"
  ),
  xdp_adjust_tail: row(
    "4.18",
    "integer long",
    ["context struct xdp_buff *xdp_md", "any int delta"],
    "Moves the end of an XDP packet.",
    "movesPacket"
  ),
  skb_get_xfrm_state: row("4.18", "integer long", [
    "context struct sk_buff *skb",
    "any u32 index",
    "write struct bpf_xfrm_state *xfrm_state",
    "size u32 size",
    "any u64 flags"
  ], "Reads an IPsec state of the packet's security path."),
  skb_load_bytes_relative: row("4.18", "integer long", [
    "context const void *skb",
    "any u32 offset",
    "write void *to",
    "size u32 len",
    "any u32 start_header"
  ], "As `skb_load_bytes`, from the start of the MAC or the network header."),
  fib_lookup: row(
    "4.18",
    "integer long",
    ["context void *ctx", "readWrite struct bpf_fib_lookup *params", "size int plen", "any u32 flags"],
    "Looks up a route, and where it leads the neighbour's MAC addresses.",
    "gpl"
  ),
  lwt_push_encap: row(
    "4.18",
    "integer long",
    ["context struct sk_buff *skb", "any u32 type", "read void *hdr", "size u32 len"],
    "Puts an outer header (IP or SRv6) before the packet.",
    "movesPacket"
  ),
  lwt_seg6_store_bytes: row(
    "4.18",
    "integer long",
    ["context struct sk_buff *skb", "any u32 offset", "read const void *from", "size u32 len"],
    "Writes into the packet's segment routing header.",
    "movesPacket"
  ),
  lwt_seg6_adjust_srh: row(
    "4.18",
    "integer long",
    ["context struct sk_buff *skb", "any u32 offset", "any s32 delta"],
    "Grows or shrinks the packet's segment routing header.",
    "movesPacket"
  ),
  lwt_seg6_action: row(
    "4.18",
    "integer long",
    ["context struct sk_buff *skb", "any u32 action", "read void *param", "size u32 param_len"],
    "Does a segment routing action on the packet.",
    "movesPacket"
  ),
  skb_cgroup_id: row(
    "4.18",
    "integer u64",
    ["context struct sk_buff *skb"],
    "The id of the cgroup (version 2) of the packet's socket."
  ),
  skb_ancestor_cgroup_id: row("4.19", "integer u64", [
    "context struct sk_buff *skb",
    "any int ancestor_level"
  ], "The id of an ancestor, at a level, of the cgroup of the packet's socket."),
  skb_ecn_set_ce: row(
    "5.1",
    "integer long",
    ["context struct sk_buff *skb"],
    "Marks the IP packet as having met congestion, where its sender understands that."
  ),
  csum_level: row(
    "5.8",
    "integer long",
    ["context struct sk_buff *skb", "any u64 level"],
    "Changes how many checksums of the packet the hardware has checked."
  ),
  skb_cgroup_classid: row(
    "5.10",
    "integer u64",
    ["context struct sk_buff *skb"],
    "The net_cls class of the packet's own socket."
  ),
  redirect_neigh: row("5.10", "integer long", [
    "any u32 ifindex",
    "readOrNull struct bpf_redir_neigh *params",
    "sizeOrZero int plen",
    "any u64 flags"
  ], "Redirects to a device and fills in the neighbour's MAC address."),
  redirect_peer: row(
    "5.10",
    "integer long",
    ["any u32 ifindex", "any u64 flags"],
    "Redirects to the other end of a veth pair, in its network namespace."
  ),
  check_mtu: row(
    "5.12",
    "integer long",
    ["context void *ctx", "any u32 ifindex", "readWrite:4 u32 *mtu_len", "any s32 len_diff", "any u64 flags"],
    "Whether a packet, changed in length, fits the MTU of a device.",
    "gpl"
  ),
  xdp_get_buff_len: row(
    "5.18",
    "integer u64",
    ["context struct xdp_buff *xdp_md"],
    "The length of an XDP packet with all its fragments."
  ),
  xdp_load_bytes: row("5.18", "integer long", [
    "context struct xdp_buff *xdp_md",
    "any u32 offset",
    "write void *buf",
    "size u32 len"
  ], "Copies bytes of an XDP packet, fragments too, to memory."),
  xdp_store_bytes: row("5.18", "integer long", [
    "context struct xdp_buff *xdp_md",
    "any u32 offset",
    "read void *buf",
    "size u32 len"
  ], "Writes bytes into an XDP packet, fragments too."),
  skb_set_tstamp: row("5.18", "integer long", [
    "context struct sk_buff *skb",
    "any u64 tstamp",
    "any u32 tstamp_type"
  ], "Sets the packet's time stamp and its kind.")
}
