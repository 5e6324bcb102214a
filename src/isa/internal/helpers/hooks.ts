// Helpers of the hooks of cgroups and of TCP sockets, and of infrared receivers.
import { row } from "./row.ts"

export const hooks = {
  setsockopt: row("4.13", "integer long", [
    "context void *bpf_socket",
    "any int level",
    "any int optname",
    "read void *optval",
    "size int optlen"
  ], "Sets an option of the socket, as setsockopt(2) does, of those that are allowed."),
  getsockopt: row("4.15", "integer long", [
    "context void *bpf_socket",
    "any int level",
    "any int optname",
    "write void *optval",
    "size int optlen"
  ], "Reads an option of the socket, as getsockopt(2) does, of those that are allowed."),
  sock_ops_cb_flags_set: row("4.16", "integer long", [
    "context struct bpf_sock_ops *bpf_sock",
    "any int argval"
  ], "Sets which further callbacks the TCP socket shall make."),
  bind: row("4.17", "integer long", [
    "context struct bpf_sock_addr *ctx",
    "read struct sockaddr *addr",
    "size int addr_len"
  ], "Binds the connecting socket to a local address."),
  rc_repeat: row(
    "4.18",
    "integer long",
    ["context void *ctx"],
    "Reports that the infrared button is still held.",
    "gpl"
  ),
  rc_keydown: row(
    "4.18",
    "integer long",
    ["context void *ctx", "any u32 protocol", "any u64 scancode", "any u32 toggle"],
    "Reports an infrared button with its protocol and scancode.",
    "gpl"
  ),
  get_local_storage: row(
    "4.19",
    "mapValue void *",
    ["map void *map", "any u64 flags"],
    "The address of the cgroup's own value in a cgroup storage map."
  ),
  rc_pointer_rel: row(
    "5.0",
    "integer long",
    ["context void *ctx", "any s32 rel_x", "any s32 rel_y"],
    "Reports a relative movement of a pointer.",
    "gpl"
  ),
  sysctl_get_name: row("5.2", "integer long", [
    "context struct bpf_sysctl *ctx",
    "write char *buf",
    "size size_t buf_len",
    "any u64 flags"
  ], "Copies the name of the sysctl under /proc/sys."),
  sysctl_get_current_value: row("5.2", "integer long", [
    "context struct bpf_sysctl *ctx",
    "write char *buf",
    "size size_t buf_len"
  ], "Copies the present value of the sysctl."),
  sysctl_get_new_value: row("5.2", "integer long", [
    "context struct bpf_sysctl *ctx",
    "write char *buf",
    "size size_t buf_len"
  ], "Copies the value that is being written."),
  sysctl_set_new_value: row("5.2", "integer long", [
    "context struct bpf_sysctl *ctx",
    "read const char *buf",
    "size size_t buf_len"
  ], "Replaces the value that is being written."),
  load_hdr_opt: row("5.10", "integer long", [
    "context struct bpf_sock_ops *skops",
    "readWrite void *searchby_res",
    "size u32 len",
    "any u64 flags"
  ], "Finds an option in the TCP header."),
  store_hdr_opt: row(
    "5.10",
    "integer long",
    ["context struct bpf_sock_ops *skops", "read const void *from", "size u32 len", "any u64 flags"],
    "Writes an option into the TCP header, in the room reserved for it.",
    "movesPacket"
  ),
  reserve_hdr_opt: row("5.10", "integer long", [
    "context struct bpf_sock_ops *skops",
    "any u32 len",
    "any u64 flags"
  ], "Reserves room for a TCP header option."),
  get_retval: row(
    "5.18",
    "integer int",
    [],
    "The value that the cgroup hook would return so far."
  ),
  set_retval: row(
    "5.18",
    "integer int",
    ["any int retval"],
    "Sets the value that the cgroup hook shall return."
  )
}
