// Helpers that look at memory, stacks, events and the traced function: mostly for tracing programs.
import { row } from "./row.ts"

export const tracing = {
  probe_read: row(
    "4.1",
    "integer long",
    ["write void *dst", "sizeOrZero u32 size", "any const void *unsafe_ptr"],
    "Copies from any address, kernel's or user's; `probe_read_kernel` and `probe_read_user` replace it.",
    "gpl"
  ),
  perf_event_read: row(
    "4.3",
    "integer u64",
    ["map struct bpf_map *map", "any u64 flags"],
    "The value of a hardware counter, of an array of perf events.",
    "gpl"
  ),
  perf_event_output: row(
    "4.4",
    "integer long",
    ["context void *ctx", "map struct bpf_map *map", "any u64 flags", "read void *data", "sizeOrZero u64 size"],
    "Writes a record to the perf ring of a CPU.",
    "gpl"
  ),
  get_stackid: row(
    "4.6",
    "integer long",
    ["context void *ctx", "map struct bpf_map *map", "any u64 flags"],
    "Walks the stack and gives its number in a stack-trace map.",
    "gpl"
  ),
  probe_write_user: row(
    "4.8",
    "integer long",
    ["any void *dst", "read const void *src", "size u32 len"],
    "Writes to the memory of the current process; for experiments, and logged by the kernel.",
    "gpl"
  ),
  probe_read_str: row(
    "4.11",
    "integer long",
    ["write void *dst", "sizeOrZero u32 size", "any const void *unsafe_ptr"],
    "Copies a string from any address up to its NUL; its two successors say kernel or user.",
    "gpl"
  ),
  perf_event_read_value: row(
    "4.15",
    "integer long",
    ["map struct bpf_map *map", "any u64 flags", "write struct bpf_perf_event_value *buf", "size u32 buf_size"],
    "Reads a perf counter with the times that it was enabled and running.",
    "gpl"
  ),
  perf_prog_read_value: row(
    "4.15",
    "integer long",
    ["context struct bpf_perf_event_data *ctx", "write struct bpf_perf_event_value *buf", "size u32 buf_size"],
    "Reads the counter of the perf event that the program is attached to.",
    "gpl"
  ),
  override_return: row(
    "4.16",
    "integer long",
    ["context struct pt_regs *regs", "any u64 rc"],
    "Makes the probed function return at once with a value; only functions that allow error injection.",
    "gpl"
  ),
  get_stack: row(
    "4.18",
    "integer long",
    ["context void *ctx", "write void *buf", "sizeOrZero u32 size", "any u64 flags"],
    "Copies the stack's addresses, kernel's or user's, to memory.",
    "gpl"
  ),
  send_signal: row("5.3", "integer long", ["any u32 sig"], "Sends a signal to the current process."),
  skb_output: row(
    "5.5",
    "integer long",
    ["btf void *ctx", "map struct bpf_map *map", "any u64 flags", "read void *data", "sizeOrZero u64 size"],
    "As `perf_event_output`, with bytes of a `sk_buff` that a tracer sees.",
    "gpl"
  ),
  probe_read_user: row(
    "5.5",
    "integer long",
    ["write void *dst", "sizeOrZero u32 size", "any const void *unsafe_ptr"],
    "Copies from the memory of the current process; fails where it is not present.",
    "gpl"
  ),
  probe_read_kernel: row(
    "5.5",
    "integer long",
    ["write void *dst", "sizeOrZero u32 size", "any const void *unsafe_ptr"],
    "Copies from kernel memory; fails where there is none.",
    "gpl"
  ),
  probe_read_user_str: row(
    "5.5",
    "integer long",
    ["write void *dst", "sizeOrZero u32 size", "any const void *unsafe_ptr"],
    "Copies a string of the current process up to its NUL, and gives its length with it.",
    "gpl"
  ),
  probe_read_kernel_str: row(
    "5.5",
    "integer long",
    ["write void *dst", "sizeOrZero u32 size", "any const void *unsafe_ptr"],
    "Copies a string of the kernel up to its NUL, and gives its length with it.",
    "gpl"
  ),
  send_signal_thread: row("5.6", "integer long", ["any u32 sig"], "Sends a signal to the current thread."),
  read_branch_records: row(
    "5.7",
    "integer long",
    ["context struct bpf_perf_event_data *ctx", "writeOrNull void *buf", "sizeOrZero u32 size", "any u64 flags"],
    "Copies the branch records of the perf sample.",
    "gpl"
  ),
  xdp_output: row(
    "5.7",
    "integer long",
    ["btf void *ctx", "map struct bpf_map *map", "any u64 flags", "read void *data", "sizeOrZero u64 size"],
    "As `perf_event_output`, with bytes of an `xdp_buff` that a tracer sees.",
    "gpl"
  ),
  get_task_stack: row("5.9", "integer long", [
    "btf struct task_struct *task",
    "write void *buf",
    "sizeOrZero u32 size",
    "any u64 flags"
  ], "Copies the addresses of a task's stack."),
  copy_from_user: row(
    "5.10",
    "integer long",
    ["write void *dst", "sizeOrZero u32 size", "any const void *user_ptr"],
    "Copies from the memory of the current process, waiting for pages; sleepable programs only.",
    "sleeps"
  ),
  get_func_ip: row(
    "5.15",
    "integer u64",
    ["context void *ctx"],
    "The address of the function that is traced.",
    "gpl"
  ),
  get_attach_cookie: row(
    "5.15",
    "integer u64",
    ["context void *ctx"],
    "The number that user space gave when it attached the program."
  ),
  get_branch_snapshot: row(
    "5.16",
    "integer long",
    ["write void *entries", "sizeOrZero u32 size", "any u64 flags"],
    "Copies the CPU's last branch records.",
    "gpl"
  ),
  get_func_arg: row("5.17", "integer long", [
    "context void *ctx",
    "any u32 n",
    "write:8 u64 *value"
  ], "Reads the n-th argument of the traced function."),
  get_func_ret: row(
    "5.17",
    "integer long",
    ["context void *ctx", "write:8 u64 *value"],
    "Reads what the traced function returned."
  ),
  get_func_arg_cnt: row(
    "5.17",
    "integer long",
    ["context void *ctx"],
    "How many arguments the traced function has."
  ),
  copy_from_user_task: row(
    "5.18",
    "integer long",
    [
      "write void *dst",
      "sizeOrZero u32 size",
      "any const void *user_ptr",
      "btf struct task_struct *tsk",
      "any u64 flags"
    ],
    "Copies from the memory of a task, waiting for pages; sleepable programs only.",
    "gpl",
    "sleeps"
  )
}
