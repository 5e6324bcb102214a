// Helpers on maps, ring buffers, dynptrs, time, text and control: those that nearly all programs have.
import { row } from "./row.ts"

export const common = {
  map_lookup_elem: row("3.19", "mapValueOrNull void *", [
    "map struct bpf_map *map",
    "mapKey const void *key"
  ], "The address of the value under a key, or NULL."),
  map_update_elem: row("3.19", "integer long", [
    "map struct bpf_map *map",
    "mapKey const void *key",
    "mapValue const void *value",
    "any u64 flags"
  ], "Writes a value under a key; the flags say whether it must or must not exist yet."),
  map_delete_elem: row("3.19", "integer long", [
    "map struct bpf_map *map",
    "mapKey const void *key"
  ], "Removes a key and its value."),
  ktime_get_ns: row(
    "4.1",
    "integer u64",
    [],
    "Nanoseconds since boot, without the time that the machine slept (CLOCK_MONOTONIC)."
  ),
  trace_printk: row(
    "4.1",
    "integer long",
    ["read const char *fmt", "size u32 fmt_size"],
    "Prints to the kernel's trace pipe, for debugging; three values at most.",
    "gpl",
    "variadic"
  ),
  get_prandom_u32: row(
    "4.1",
    "integer u32",
    [],
    "A pseudo-random number of 32 bits; not for secrets."
  ),
  get_smp_processor_id: row("4.1", "integer u32", [], "The number of the CPU that runs the program."),
  tail_call: row(
    "4.2",
    "integer long",
    ["context void *ctx", "map struct bpf_map *prog_array_map", "any u32 index"],
    "Goes on in another program of a program array and does not come back, unless the slot is empty.",
    "movesPacket"
  ),
  get_numa_node_id: row("4.10", "integer long", [], "The number of the NUMA node that runs the program."),
  map_push_elem: row("4.20", "integer long", [
    "map struct bpf_map *map",
    "mapValue const void *value",
    "any u64 flags"
  ], "Adds an element to a queue, stack or bloom filter."),
  map_pop_elem: row("4.20", "integer long", [
    "map struct bpf_map *map",
    "mapValueOut void *value"
  ], "Takes an element from a queue or stack."),
  map_peek_elem: row("4.20", "integer long", [
    "map struct bpf_map *map",
    "mapValueOut void *value"
  ], "Reads the next element of a queue or stack, or asks a bloom filter."),
  spin_lock: row(
    "5.1",
    "void long",
    ["spinLock struct bpf_spin_lock *lock"],
    "Takes the spin lock inside a map value; no other helper may be called while it is held."
  ),
  spin_unlock: row("5.1", "void long", ["spinLock struct bpf_spin_lock *lock"], "Releases the spin lock."),
  strtol: row("5.2", "integer long", [
    "read const char *buf",
    "size size_t buf_len",
    "any u64 flags",
    "write:8 long *res"
  ], "Reads a signed number from a string, and gives how many bytes it took."),
  strtoul: row("5.2", "integer long", [
    "read const char *buf",
    "size size_t buf_len",
    "any u64 flags",
    "write:8 unsigned long *res"
  ], "Reads an unsigned number from a string, and gives how many bytes it took."),
  jiffies64: row("5.6", "integer u64", [], "The kernel's ticks since boot."),
  ktime_get_boot_ns: row(
    "5.8",
    "integer u64",
    [],
    "Nanoseconds since boot, with the time that the machine slept (CLOCK_BOOTTIME)."
  ),
  ringbuf_output: row("5.8", "integer long", [
    "map void *ringbuf",
    "read void *data",
    "sizeOrZero u64 size",
    "any u64 flags"
  ], "Copies a record into a ring buffer."),
  ringbuf_reserve: row("5.8", "ringbufRecordOrNull void *", [
    "map void *ringbuf",
    "recordSize u64 size",
    "any u64 flags"
  ], "Reserves a record in a ring buffer, or NULL; it must be submitted or discarded."),
  ringbuf_submit: row(
    "5.8",
    "void void",
    ["ringbufRecord void *data", "any u64 flags"],
    "Hands a reserved record to the reader."
  ),
  ringbuf_discard: row(
    "5.8",
    "void void",
    ["ringbufRecord void *data", "any u64 flags"],
    "Drops a reserved record; the reader skips it."
  ),
  ringbuf_query: row(
    "5.8",
    "integer u64",
    ["map void *ringbuf", "any u64 flags"],
    "A ring buffer's size, positions or bytes not yet read."
  ),
  ktime_get_coarse_ns: row(
    "5.11",
    "integer u64",
    [],
    "As `ktime_get_ns`, as of the last tick: cheaper and less exact."
  ),
  for_each_map_elem: row("5.13", "integer long", [
    "map struct bpf_map *map",
    "callback void *callback_fn",
    "stackOrNull void *callback_ctx",
    "any u64 flags"
  ], "Calls a function for each element of a map."),
  snprintf: row(
    "5.13",
    "integer long",
    [
      "writeOrNull char *str",
      "sizeOrZero u32 str_size",
      "constString const char *fmt",
      "readOrNull u64 *data",
      "sizeOrZero u32 data_len"
    ],
    "Formats text as printf does; the format must be in a read-only map.",
    "gpl"
  ),
  timer_init: row(
    "5.15",
    "integer long",
    ["timer struct bpf_timer *timer", "map struct bpf_map *map", "any u64 flags"],
    "Prepares the timer inside a map value.",
    "gpl"
  ),
  timer_set_callback: row(
    "5.15",
    "integer long",
    ["timer struct bpf_timer *timer", "callback void *callback_fn"],
    "Sets the function that the timer calls.",
    "gpl"
  ),
  timer_start: row(
    "5.15",
    "integer long",
    ["timer struct bpf_timer *timer", "any u64 nsecs", "any u64 flags"],
    "Starts the timer, to fire once after so many nanoseconds.",
    "gpl"
  ),
  timer_cancel: row(
    "5.15",
    "integer long",
    ["timer struct bpf_timer *timer"],
    "Stops the timer, waiting for its function to end.",
    "gpl"
  ),
  trace_vprintk: row(
    "5.16",
    "integer long",
    ["read const char *fmt", "size u32 fmt_size", "readOrNull const void *data", "sizeOrZero u32 data_len"],
    "As `trace_printk`, with its values in an array, up to 12.",
    "gpl"
  ),
  loop: row("5.17", "integer long", [
    "any u32 nr_loops",
    "callback void *callback_fn",
    "stackOrNull void *callback_ctx",
    "any u64 flags"
  ], "Calls a function up to so many times (1 << 23 at most)."),
  strncmp: row("5.17", "integer long", [
    "read const char *s1",
    "size u32 s1_sz",
    "constString const char *s2"
  ], "Compares a string with a constant one in a read-only map."),
  kptr_xchg: row(
    "5.19",
    "btfOrNull void *",
    ["kptr void *dst", "btfOrNull void *ptr"],
    "Puts a kernel pointer into a map value and gives the one that was there."
  ),
  map_lookup_percpu_elem: row("5.19", "mapValueOrNull void *", [
    "map struct bpf_map *map",
    "mapKey const void *key",
    "any u32 cpu"
  ], "The address of a CPU's value under a key of a per-CPU map, or NULL."),
  dynptr_from_mem: row("5.19", "integer long", [
    "write void *data",
    "sizeOrZero u64 size",
    "any u64 flags",
    "dynptrOut struct bpf_dynptr *ptr"
  ], "Makes a dynptr to a map value."),
  ringbuf_reserve_dynptr: row("5.19", "integer long", [
    "map void *ringbuf",
    "any u32 size",
    "any u64 flags",
    "dynptrOut struct bpf_dynptr *ptr"
  ], "Reserves a record of a size not known beforehand; submit or discard must follow, even on failure."),
  ringbuf_submit_dynptr: row(
    "5.19",
    "void void",
    ["dynptr struct bpf_dynptr *ptr", "any u64 flags"],
    "Hands a record reserved through a dynptr to the reader."
  ),
  ringbuf_discard_dynptr: row(
    "5.19",
    "void void",
    ["dynptr struct bpf_dynptr *ptr", "any u64 flags"],
    "Drops a record reserved through a dynptr."
  ),
  dynptr_read: row("5.19", "integer long", [
    "write void *dst",
    "sizeOrZero u64 len",
    "dynptr const struct bpf_dynptr *src",
    "any u64 offset",
    "any u64 flags"
  ], "Copies from behind a dynptr to memory."),
  dynptr_write: row("5.19", "integer long", [
    "dynptr const struct bpf_dynptr *dst",
    "any u64 offset",
    "read void *src",
    "sizeOrZero u64 len",
    "any u64 flags"
  ], "Copies memory to behind a dynptr."),
  dynptr_data: row("5.19", "dynptrDataOrNull void *", [
    "dynptr const struct bpf_dynptr *ptr",
    "any u64 offset",
    "recordSize u64 len"
  ], "The address of a part of a dynptr's memory, of constant size, or NULL."),
  ktime_get_tai_ns: row("6.1", "integer u64", [], "International atomic time in nanoseconds (CLOCK_TAI)."),
  user_ringbuf_drain: row("6.1", "integer long", [
    "map struct bpf_map *map",
    "callback void *callback_fn",
    "stackOrNull void *ctx",
    "any u64 flags"
  ], "Calls a function for each record that user space wrote to a user ring buffer.")
}
