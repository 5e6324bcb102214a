// Helpers on tasks, inodes, cgroups and other objects of the kernel, and on its types and symbols.
import { row } from "./row.ts"

export const objects = {
  get_current_pid_tgid: row(
    "4.2",
    "integer u64",
    [],
    "The process id (tgid) in the high 32 bits and the thread id (pid) in the low."
  ),
  get_current_uid_gid: row(
    "4.2",
    "integer u64",
    [],
    "The group id in the high 32 bits and the user id in the low."
  ),
  get_current_comm: row(
    "4.2",
    "integer long",
    ["write void *buf", "size u32 size_of_buf"],
    "Copies the name of the current thread, 16 bytes with its NUL."
  ),
  get_current_task: row(
    "4.8",
    "integer u64",
    [],
    "The address of the current `task_struct`, as a number.",
    "gpl"
  ),
  current_task_under_cgroup: row(
    "4.9",
    "integer long",
    ["map struct bpf_map *map", "any u32 index"],
    "1 if the current task is in the cgroup at an index of a cgroup array, or below it."
  ),
  get_current_cgroup_id: row("4.18", "integer u64", [], "The id of the current task's cgroup (version 2)."),
  get_ns_current_pid_tgid: row("5.7", "integer long", [
    "any u64 dev",
    "any u64 ino",
    "write struct bpf_pidns_info *nsdata",
    "size u32 size"
  ], "The process and thread ids as seen in a pid namespace."),
  get_current_ancestor_cgroup_id: row(
    "5.7",
    "integer u64",
    ["any int ancestor_level"],
    "The id of an ancestor, at a level, of the current task's cgroup."
  ),
  seq_printf: row(
    "5.8",
    "integer long",
    [
      "btf struct seq_file *m",
      "read const char *fmt",
      "size u32 fmt_size",
      "readOrNull const void *data",
      "sizeOrZero u32 data_len"
    ],
    "Prints to the file that reads the iterator.",
    "gpl"
  ),
  seq_write: row(
    "5.8",
    "integer long",
    ["btf struct seq_file *m", "read const void *data", "sizeOrZero u32 len"],
    "Writes bytes to the file that reads the iterator.",
    "gpl"
  ),
  inode_storage_get: row("5.10", "mapValueOrNull void *", [
    "map struct bpf_map *map",
    "btfOrNull void *inode",
    "mapValueOrNull void *value",
    "any u64 flags"
  ], "The inode's own value in an inode storage map, made if the flags say so."),
  inode_storage_delete: row(
    "5.10",
    "integer int",
    ["map struct bpf_map *map", "btfOrNull void *inode"],
    "Deletes the inode's own value."
  ),
  d_path: row("5.10", "integer long", [
    "btf const struct path *path",
    "write char *buf",
    "sizeOrZero u32 sz"
  ], "Writes out the full path of a `struct path`."),
  snprintf_btf: row("5.10", "integer long", [
    "write char *str",
    "size u32 str_size",
    "read struct btf_ptr *ptr",
    "size u32 btf_ptr_size",
    "any u64 flags"
  ], "Writes a kernel value as text, by its BTF type."),
  seq_printf_btf: row(
    "5.10",
    "integer long",
    ["btf struct seq_file *m", "read struct btf_ptr *ptr", "sizeOrZero u32 ptr_size", "any u64 flags"],
    "Prints a kernel value, by its BTF type, to the file that reads the iterator.",
    "gpl"
  ),
  per_cpu_ptr: row(
    "5.10",
    "memoryOrBtfOrNull void *",
    ["percpuBtf const void *percpu_ptr", "any u32 cpu"],
    "The address of a per-CPU variable of the kernel on a CPU, or NULL."
  ),
  this_cpu_ptr: row(
    "5.10",
    "memoryOrBtf void *",
    ["percpuBtf const void *percpu_ptr"],
    "The address of a per-CPU variable of the kernel on this CPU."
  ),
  task_storage_get: row("5.11", "mapValueOrNull void *", [
    "map struct bpf_map *map",
    "btfOrNull struct task_struct *task",
    "mapValueOrNull void *value",
    "any u64 flags"
  ], "The task's own value in a task storage map, made if the flags say so."),
  task_storage_delete: row("5.11", "integer long", [
    "map struct bpf_map *map",
    "btfOrNull struct task_struct *task"
  ], "Deletes the task's own value."),
  get_current_task_btf: row(
    "5.11",
    "btf struct task_struct *",
    [],
    "The current `task_struct`, typed, so that its members can be read directly.",
    "gpl"
  ),
  bprm_opts_set: row(
    "5.11",
    "integer long",
    ["btf struct linux_binprm *bprm", "any u64 flags"],
    "Sets options of an execution, such as secure mode."
  ),
  ima_inode_hash: row(
    "5.11",
    "integer long",
    ["btf struct inode *inode", "write void *dst", "size u32 size"],
    "Copies the hash that IMA keeps of an inode.",
    "sleeps"
  ),
  sock_from_file: row(
    "5.11",
    "btfOrNull struct socket *",
    ["btf struct file *file"],
    "The socket of an open file, or NULL if it is none."
  ),
  sys_bpf: row(
    "5.14",
    "integer long",
    ["any u32 cmd", "read void *attr", "size u32 attr_size"],
    "Makes a bpf(2) call from a syscall program."
  ),
  btf_find_by_name_kind: row("5.14", "integer long", [
    "read char *name",
    "size int name_sz",
    "any u32 kind",
    "any int flags"
  ], "The id of a BTF type by name and kind, in vmlinux or a module."),
  sys_close: row(
    "5.14",
    "integer long",
    ["any u32 fd"],
    "Closes a file descriptor from a syscall program."
  ),
  task_pt_regs: row(
    "5.15",
    "btf long",
    ["btf struct task_struct *task"],
    "The registers that a task had when it entered the kernel.",
    "gpl"
  ),
  kallsyms_lookup_name: row("5.16", "integer long", [
    "read const char *name",
    "sizeOrZero int name_sz",
    "any int flags",
    "write:8 u64 *res"
  ], "The address of a kernel symbol by name, for syscall programs."),
  find_vma: row("5.17", "integer long", [
    "btf struct task_struct *task",
    "any u64 addr",
    "callback void *callback_fn",
    "stackOrNull void *callback_ctx",
    "any u64 flags"
  ], "Calls a function with the memory area of a task that holds an address."),
  ima_file_hash: row(
    "5.18",
    "integer long",
    ["btf struct file *file", "write void *dst", "size u32 size"],
    "Computes or copies the IMA hash of a file.",
    "sleeps"
  ),
  cgrp_storage_get: row("6.2", "mapValueOrNull void *", [
    "map struct bpf_map *map",
    "btfOrNull struct cgroup *cgroup",
    "mapValueOrNull void *value",
    "any u64 flags"
  ], "The cgroup's own value in a cgroup storage map, made if the flags say so."),
  cgrp_storage_delete: row("6.2", "integer long", [
    "map struct bpf_map *map",
    "btfOrNull struct cgroup *cgroup"
  ], "Deletes the cgroup's own value.")
}
