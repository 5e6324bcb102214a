// Generated from the BTF of Linux 6.18 by scripts/generate-abi.ts. Do not edit: run `npm run generate`.

export const bpf_attr_map_create = {
  size: 96,
  fields: {
    map_type: { offset: 0, size: 4 },
    key_size: { offset: 4, size: 4 },
    value_size: { offset: 8, size: 4 },
    max_entries: { offset: 12, size: 4 },
    map_flags: { offset: 16, size: 4 },
    inner_map_fd: { offset: 20, size: 4 },
    numa_node: { offset: 24, size: 4 },
    map_name: { offset: 28, size: 16 },
    map_ifindex: { offset: 44, size: 4 },
    btf_fd: { offset: 48, size: 4 },
    btf_key_type_id: { offset: 52, size: 4 },
    btf_value_type_id: { offset: 56, size: 4 },
    btf_vmlinux_value_type_id: { offset: 60, size: 4 },
    map_extra: { offset: 64, size: 8 },
    value_type_btf_obj_fd: { offset: 72, size: 4 },
    map_token_fd: { offset: 76, size: 4 },
    excl_prog_hash: { offset: 80, size: 8 },
    excl_prog_hash_size: { offset: 88, size: 4 }
  }
} as const

export const bpf_attr_map_elem = {
  size: 32,
  fields: {
    map_fd: { offset: 0, size: 4 },
    key: { offset: 8, size: 8 },
    value: { offset: 16, size: 8 },
    next_key: { offset: 16, size: 8 },
    flags: { offset: 24, size: 8 }
  }
} as const

export const bpf_attr_batch = {
  size: 56,
  fields: {
    in_batch: { offset: 0, size: 8 },
    out_batch: { offset: 8, size: 8 },
    keys: { offset: 16, size: 8 },
    values: { offset: 24, size: 8 },
    count: { offset: 32, size: 4 },
    map_fd: { offset: 36, size: 4 },
    elem_flags: { offset: 40, size: 8 },
    flags: { offset: 48, size: 8 }
  }
} as const

export const bpf_attr_prog_load = {
  size: 168,
  fields: {
    prog_type: { offset: 0, size: 4 },
    insn_cnt: { offset: 4, size: 4 },
    insns: { offset: 8, size: 8 },
    license: { offset: 16, size: 8 },
    log_level: { offset: 24, size: 4 },
    log_size: { offset: 28, size: 4 },
    log_buf: { offset: 32, size: 8 },
    kern_version: { offset: 40, size: 4 },
    prog_flags: { offset: 44, size: 4 },
    prog_name: { offset: 48, size: 16 },
    prog_ifindex: { offset: 64, size: 4 },
    expected_attach_type: { offset: 68, size: 4 },
    prog_btf_fd: { offset: 72, size: 4 },
    func_info_rec_size: { offset: 76, size: 4 },
    func_info: { offset: 80, size: 8 },
    func_info_cnt: { offset: 88, size: 4 },
    line_info_rec_size: { offset: 92, size: 4 },
    line_info: { offset: 96, size: 8 },
    line_info_cnt: { offset: 104, size: 4 },
    attach_btf_id: { offset: 108, size: 4 },
    attach_prog_fd: { offset: 112, size: 4 },
    attach_btf_obj_fd: { offset: 112, size: 4 },
    core_relo_cnt: { offset: 116, size: 4 },
    fd_array: { offset: 120, size: 8 },
    core_relos: { offset: 128, size: 8 },
    core_relo_rec_size: { offset: 136, size: 4 },
    log_true_size: { offset: 140, size: 4 },
    prog_token_fd: { offset: 144, size: 4 },
    fd_array_cnt: { offset: 148, size: 4 },
    signature: { offset: 152, size: 8 },
    signature_size: { offset: 160, size: 4 },
    keyring_id: { offset: 164, size: 4 }
  }
} as const

export const bpf_attr_obj = {
  size: 24,
  fields: {
    pathname: { offset: 0, size: 8 },
    bpf_fd: { offset: 8, size: 4 },
    file_flags: { offset: 12, size: 4 },
    path_fd: { offset: 16, size: 4 }
  }
} as const

export const bpf_attr_prog_attach = {
  size: 32,
  fields: {
    target_fd: { offset: 0, size: 4 },
    target_ifindex: { offset: 0, size: 4 },
    attach_bpf_fd: { offset: 4, size: 4 },
    attach_type: { offset: 8, size: 4 },
    attach_flags: { offset: 12, size: 4 },
    replace_bpf_fd: { offset: 16, size: 4 },
    relative_fd: { offset: 20, size: 4 },
    relative_id: { offset: 20, size: 4 },
    expected_revision: { offset: 24, size: 8 }
  }
} as const

export const bpf_attr_test = {
  size: 80,
  fields: {
    prog_fd: { offset: 0, size: 4 },
    retval: { offset: 4, size: 4 },
    data_size_in: { offset: 8, size: 4 },
    data_size_out: { offset: 12, size: 4 },
    data_in: { offset: 16, size: 8 },
    data_out: { offset: 24, size: 8 },
    repeat: { offset: 32, size: 4 },
    duration: { offset: 36, size: 4 },
    ctx_size_in: { offset: 40, size: 4 },
    ctx_size_out: { offset: 44, size: 4 },
    ctx_in: { offset: 48, size: 8 },
    ctx_out: { offset: 56, size: 8 },
    flags: { offset: 64, size: 4 },
    cpu: { offset: 68, size: 4 },
    batch_size: { offset: 72, size: 4 }
  }
} as const

export const bpf_attr_get_id = {
  size: 16,
  fields: {
    start_id: { offset: 0, size: 4 },
    prog_id: { offset: 0, size: 4 },
    map_id: { offset: 0, size: 4 },
    btf_id: { offset: 0, size: 4 },
    link_id: { offset: 0, size: 4 },
    next_id: { offset: 4, size: 4 },
    open_flags: { offset: 8, size: 4 },
    fd_by_id_token_fd: { offset: 12, size: 4 }
  }
} as const

export const bpf_attr_info = {
  size: 16,
  fields: {
    bpf_fd: { offset: 0, size: 4 },
    info_len: { offset: 4, size: 4 },
    info: { offset: 8, size: 8 }
  }
} as const

export const bpf_attr_query = {
  size: 64,
  fields: {
    target_fd: { offset: 0, size: 4 },
    target_ifindex: { offset: 0, size: 4 },
    attach_type: { offset: 4, size: 4 },
    query_flags: { offset: 8, size: 4 },
    attach_flags: { offset: 12, size: 4 },
    prog_ids: { offset: 16, size: 8 },
    prog_cnt: { offset: 24, size: 4 },
    count: { offset: 24, size: 4 },
    prog_attach_flags: { offset: 32, size: 8 },
    link_ids: { offset: 40, size: 8 },
    link_attach_flags: { offset: 48, size: 8 },
    revision: { offset: 56, size: 8 }
  }
} as const

export const bpf_attr_raw_tracepoint = {
  size: 24,
  fields: {
    name: { offset: 0, size: 8 },
    prog_fd: { offset: 8, size: 4 },
    cookie: { offset: 16, size: 8 }
  }
} as const

export const bpf_attr_btf_load = {
  size: 40,
  fields: {
    btf: { offset: 0, size: 8 },
    btf_log_buf: { offset: 8, size: 8 },
    btf_size: { offset: 16, size: 4 },
    btf_log_size: { offset: 20, size: 4 },
    btf_log_level: { offset: 24, size: 4 },
    btf_log_true_size: { offset: 28, size: 4 },
    btf_flags: { offset: 32, size: 4 },
    btf_token_fd: { offset: 36, size: 4 }
  }
} as const

export const bpf_attr_task_fd_query = {
  size: 48,
  fields: {
    pid: { offset: 0, size: 4 },
    fd: { offset: 4, size: 4 },
    flags: { offset: 8, size: 4 },
    buf_len: { offset: 12, size: 4 },
    buf: { offset: 16, size: 8 },
    prog_id: { offset: 24, size: 4 },
    fd_type: { offset: 28, size: 4 },
    probe_offset: { offset: 32, size: 8 },
    probe_addr: { offset: 40, size: 8 }
  }
} as const

export const bpf_attr_link_create = {
  size: 64,
  fields: {
    prog_fd: { offset: 0, size: 4 },
    map_fd: { offset: 0, size: 4 },
    target_fd: { offset: 4, size: 4 },
    target_ifindex: { offset: 4, size: 4 },
    attach_type: { offset: 8, size: 4 },
    flags: { offset: 12, size: 4 },
    target_btf_id: { offset: 16, size: 4 },
    iter_info: { offset: 16, size: 8 },
    iter_info_len: { offset: 24, size: 4 },
    "perf_event.bpf_cookie": { offset: 16, size: 8 },
    "kprobe_multi.flags": { offset: 16, size: 4 },
    "kprobe_multi.cnt": { offset: 20, size: 4 },
    "kprobe_multi.syms": { offset: 24, size: 8 },
    "kprobe_multi.addrs": { offset: 32, size: 8 },
    "kprobe_multi.cookies": { offset: 40, size: 8 },
    "tracing.target_btf_id": { offset: 16, size: 4 },
    "tracing.cookie": { offset: 24, size: 8 },
    "netfilter.pf": { offset: 16, size: 4 },
    "netfilter.hooknum": { offset: 20, size: 4 },
    "netfilter.priority": { offset: 24, size: 4 },
    "netfilter.flags": { offset: 28, size: 4 },
    "tcx.relative_fd": { offset: 16, size: 4 },
    "tcx.relative_id": { offset: 16, size: 4 },
    "tcx.expected_revision": { offset: 24, size: 8 },
    "uprobe_multi.path": { offset: 16, size: 8 },
    "uprobe_multi.offsets": { offset: 24, size: 8 },
    "uprobe_multi.ref_ctr_offsets": { offset: 32, size: 8 },
    "uprobe_multi.cookies": { offset: 40, size: 8 },
    "uprobe_multi.cnt": { offset: 48, size: 4 },
    "uprobe_multi.flags": { offset: 52, size: 4 },
    "uprobe_multi.pid": { offset: 56, size: 4 },
    "netkit.relative_fd": { offset: 16, size: 4 },
    "netkit.relative_id": { offset: 16, size: 4 },
    "netkit.expected_revision": { offset: 24, size: 8 },
    "cgroup.relative_fd": { offset: 16, size: 4 },
    "cgroup.relative_id": { offset: 16, size: 4 },
    "cgroup.expected_revision": { offset: 24, size: 8 }
  }
} as const

export const bpf_attr_link_update = {
  size: 16,
  fields: {
    link_fd: { offset: 0, size: 4 },
    new_prog_fd: { offset: 4, size: 4 },
    new_map_fd: { offset: 4, size: 4 },
    flags: { offset: 8, size: 4 },
    old_prog_fd: { offset: 12, size: 4 },
    old_map_fd: { offset: 12, size: 4 }
  }
} as const

export const bpf_attr_link_detach = {
  size: 4,
  fields: {
    link_fd: { offset: 0, size: 4 }
  }
} as const

export const bpf_attr_enable_stats = {
  size: 4,
  fields: {
    type: { offset: 0, size: 4 }
  }
} as const

export const bpf_attr_iter_create = {
  size: 8,
  fields: {
    link_fd: { offset: 0, size: 4 },
    flags: { offset: 4, size: 4 }
  }
} as const

export const bpf_attr_prog_bind_map = {
  size: 12,
  fields: {
    prog_fd: { offset: 0, size: 4 },
    map_fd: { offset: 4, size: 4 },
    flags: { offset: 8, size: 4 }
  }
} as const

export const bpf_attr_token_create = {
  size: 8,
  fields: {
    flags: { offset: 0, size: 4 },
    bpffs_fd: { offset: 4, size: 4 }
  }
} as const

export const bpf_map_info = {
  size: 104,
  fields: {
    type: { offset: 0, size: 4 },
    id: { offset: 4, size: 4 },
    key_size: { offset: 8, size: 4 },
    value_size: { offset: 12, size: 4 },
    max_entries: { offset: 16, size: 4 },
    map_flags: { offset: 20, size: 4 },
    name: { offset: 24, size: 16 },
    ifindex: { offset: 40, size: 4 },
    btf_vmlinux_value_type_id: { offset: 44, size: 4 },
    netns_dev: { offset: 48, size: 8 },
    netns_ino: { offset: 56, size: 8 },
    btf_id: { offset: 64, size: 4 },
    btf_key_type_id: { offset: 68, size: 4 },
    btf_value_type_id: { offset: 72, size: 4 },
    btf_vmlinux_id: { offset: 76, size: 4 },
    map_extra: { offset: 80, size: 8 },
    hash: { offset: 88, size: 8 },
    hash_size: { offset: 96, size: 4 }
  }
} as const

export const bpf_prog_info = {
  size: 232,
  fields: {
    type: { offset: 0, size: 4 },
    id: { offset: 4, size: 4 },
    tag: { offset: 8, size: 8 },
    jited_prog_len: { offset: 16, size: 4 },
    xlated_prog_len: { offset: 20, size: 4 },
    jited_prog_insns: { offset: 24, size: 8 },
    xlated_prog_insns: { offset: 32, size: 8 },
    load_time: { offset: 40, size: 8 },
    created_by_uid: { offset: 48, size: 4 },
    nr_map_ids: { offset: 52, size: 4 },
    map_ids: { offset: 56, size: 8 },
    name: { offset: 64, size: 16 },
    ifindex: { offset: 80, size: 4 },
    gpl_compatible: { offset: 84, size: 4, shift: 0, bits: 1 },
    netns_dev: { offset: 88, size: 8 },
    netns_ino: { offset: 96, size: 8 },
    nr_jited_ksyms: { offset: 104, size: 4 },
    nr_jited_func_lens: { offset: 108, size: 4 },
    jited_ksyms: { offset: 112, size: 8 },
    jited_func_lens: { offset: 120, size: 8 },
    btf_id: { offset: 128, size: 4 },
    func_info_rec_size: { offset: 132, size: 4 },
    func_info: { offset: 136, size: 8 },
    nr_func_info: { offset: 144, size: 4 },
    nr_line_info: { offset: 148, size: 4 },
    line_info: { offset: 152, size: 8 },
    jited_line_info: { offset: 160, size: 8 },
    nr_jited_line_info: { offset: 168, size: 4 },
    line_info_rec_size: { offset: 172, size: 4 },
    jited_line_info_rec_size: { offset: 176, size: 4 },
    nr_prog_tags: { offset: 180, size: 4 },
    prog_tags: { offset: 184, size: 8 },
    run_time_ns: { offset: 192, size: 8 },
    run_cnt: { offset: 200, size: 8 },
    recursion_misses: { offset: 208, size: 8 },
    verified_insns: { offset: 216, size: 4 },
    attach_btf_obj_id: { offset: 220, size: 4 },
    attach_btf_id: { offset: 224, size: 4 }
  }
} as const

export const bpf_btf_info = {
  size: 32,
  fields: {
    btf: { offset: 0, size: 8 },
    btf_size: { offset: 8, size: 4 },
    id: { offset: 12, size: 4 },
    name: { offset: 16, size: 8 },
    name_len: { offset: 24, size: 4 },
    kernel_btf: { offset: 28, size: 4 }
  }
} as const

export const bpf_link_info = {
  size: 64,
  fields: {
    type: { offset: 0, size: 4 },
    id: { offset: 4, size: 4 },
    prog_id: { offset: 8, size: 4 },
    "raw_tracepoint.tp_name": { offset: 16, size: 8 },
    "raw_tracepoint.tp_name_len": { offset: 24, size: 4 },
    "raw_tracepoint.cookie": { offset: 32, size: 8 },
    "tracing.attach_type": { offset: 16, size: 4 },
    "tracing.target_obj_id": { offset: 20, size: 4 },
    "tracing.target_btf_id": { offset: 24, size: 4 },
    "tracing.cookie": { offset: 32, size: 8 },
    "cgroup.cgroup_id": { offset: 16, size: 8 },
    "cgroup.attach_type": { offset: 24, size: 4 },
    "iter.target_name": { offset: 16, size: 8 },
    "iter.target_name_len": { offset: 24, size: 4 },
    "iter.map.map_id": { offset: 28, size: 4 },
    "iter.cgroup.cgroup_id": { offset: 32, size: 8 },
    "iter.cgroup.order": { offset: 40, size: 4 },
    "iter.task.tid": { offset: 32, size: 4 },
    "iter.task.pid": { offset: 36, size: 4 },
    "netns.netns_ino": { offset: 16, size: 4 },
    "netns.attach_type": { offset: 20, size: 4 },
    "xdp.ifindex": { offset: 16, size: 4 },
    "struct_ops.map_id": { offset: 16, size: 4 },
    "netfilter.pf": { offset: 16, size: 4 },
    "netfilter.hooknum": { offset: 20, size: 4 },
    "netfilter.priority": { offset: 24, size: 4 },
    "netfilter.flags": { offset: 28, size: 4 },
    "kprobe_multi.addrs": { offset: 16, size: 8 },
    "kprobe_multi.count": { offset: 24, size: 4 },
    "kprobe_multi.flags": { offset: 28, size: 4 },
    "kprobe_multi.missed": { offset: 32, size: 8 },
    "kprobe_multi.cookies": { offset: 40, size: 8 },
    "uprobe_multi.path": { offset: 16, size: 8 },
    "uprobe_multi.offsets": { offset: 24, size: 8 },
    "uprobe_multi.ref_ctr_offsets": { offset: 32, size: 8 },
    "uprobe_multi.cookies": { offset: 40, size: 8 },
    "uprobe_multi.path_size": { offset: 48, size: 4 },
    "uprobe_multi.count": { offset: 52, size: 4 },
    "uprobe_multi.flags": { offset: 56, size: 4 },
    "uprobe_multi.pid": { offset: 60, size: 4 },
    "perf_event.type": { offset: 16, size: 4 },
    "perf_event.uprobe.file_name": { offset: 24, size: 8 },
    "perf_event.uprobe.name_len": { offset: 32, size: 4 },
    "perf_event.uprobe.offset": { offset: 36, size: 4 },
    "perf_event.uprobe.cookie": { offset: 40, size: 8 },
    "perf_event.uprobe.ref_ctr_offset": { offset: 48, size: 8 },
    "perf_event.kprobe.func_name": { offset: 24, size: 8 },
    "perf_event.kprobe.name_len": { offset: 32, size: 4 },
    "perf_event.kprobe.offset": { offset: 36, size: 4 },
    "perf_event.kprobe.addr": { offset: 40, size: 8 },
    "perf_event.kprobe.missed": { offset: 48, size: 8 },
    "perf_event.kprobe.cookie": { offset: 56, size: 8 },
    "perf_event.tracepoint.tp_name": { offset: 24, size: 8 },
    "perf_event.tracepoint.name_len": { offset: 32, size: 4 },
    "perf_event.tracepoint.cookie": { offset: 40, size: 8 },
    "perf_event.event.config": { offset: 24, size: 8 },
    "perf_event.event.type": { offset: 32, size: 4 },
    "perf_event.event.cookie": { offset: 40, size: 8 },
    "tcx.ifindex": { offset: 16, size: 4 },
    "tcx.attach_type": { offset: 20, size: 4 },
    "netkit.ifindex": { offset: 16, size: 4 },
    "netkit.attach_type": { offset: 20, size: 4 },
    "sockmap.map_id": { offset: 16, size: 4 },
    "sockmap.attach_type": { offset: 20, size: 4 }
  }
} as const

export const bpf_func_info = {
  size: 8,
  fields: {
    insn_off: { offset: 0, size: 4 },
    type_id: { offset: 4, size: 4 }
  }
} as const

export const bpf_line_info = {
  size: 16,
  fields: {
    insn_off: { offset: 0, size: 4 },
    file_name_off: { offset: 4, size: 4 },
    line_off: { offset: 8, size: 4 },
    line_col: { offset: 12, size: 4 }
  }
} as const

export const perf_event_attr = {
  size: 136,
  fields: {
    type: { offset: 0, size: 4 },
    size: { offset: 4, size: 4 },
    config: { offset: 8, size: 8 },
    sample_period: { offset: 16, size: 8 },
    sample_freq: { offset: 16, size: 8 },
    sample_type: { offset: 24, size: 8 },
    read_format: { offset: 32, size: 8 },
    disabled: { offset: 40, size: 8, shift: 0, bits: 1 },
    inherit: { offset: 40, size: 8, shift: 1, bits: 1 },
    pinned: { offset: 40, size: 8, shift: 2, bits: 1 },
    exclusive: { offset: 40, size: 8, shift: 3, bits: 1 },
    exclude_user: { offset: 40, size: 8, shift: 4, bits: 1 },
    exclude_kernel: { offset: 40, size: 8, shift: 5, bits: 1 },
    exclude_hv: { offset: 40, size: 8, shift: 6, bits: 1 },
    exclude_idle: { offset: 40, size: 8, shift: 7, bits: 1 },
    mmap: { offset: 40, size: 8, shift: 8, bits: 1 },
    comm: { offset: 40, size: 8, shift: 9, bits: 1 },
    freq: { offset: 40, size: 8, shift: 10, bits: 1 },
    inherit_stat: { offset: 40, size: 8, shift: 11, bits: 1 },
    enable_on_exec: { offset: 40, size: 8, shift: 12, bits: 1 },
    task: { offset: 40, size: 8, shift: 13, bits: 1 },
    watermark: { offset: 40, size: 8, shift: 14, bits: 1 },
    precise_ip: { offset: 40, size: 8, shift: 15, bits: 2 },
    mmap_data: { offset: 40, size: 8, shift: 17, bits: 1 },
    sample_id_all: { offset: 40, size: 8, shift: 18, bits: 1 },
    exclude_host: { offset: 40, size: 8, shift: 19, bits: 1 },
    exclude_guest: { offset: 40, size: 8, shift: 20, bits: 1 },
    exclude_callchain_kernel: { offset: 40, size: 8, shift: 21, bits: 1 },
    exclude_callchain_user: { offset: 40, size: 8, shift: 22, bits: 1 },
    mmap2: { offset: 40, size: 8, shift: 23, bits: 1 },
    comm_exec: { offset: 40, size: 8, shift: 24, bits: 1 },
    use_clockid: { offset: 40, size: 8, shift: 25, bits: 1 },
    context_switch: { offset: 40, size: 8, shift: 26, bits: 1 },
    write_backward: { offset: 40, size: 8, shift: 27, bits: 1 },
    namespaces: { offset: 40, size: 8, shift: 28, bits: 1 },
    ksymbol: { offset: 40, size: 8, shift: 29, bits: 1 },
    bpf_event: { offset: 40, size: 8, shift: 30, bits: 1 },
    aux_output: { offset: 40, size: 8, shift: 31, bits: 1 },
    cgroup: { offset: 40, size: 8, shift: 32, bits: 1 },
    text_poke: { offset: 40, size: 8, shift: 33, bits: 1 },
    build_id: { offset: 40, size: 8, shift: 34, bits: 1 },
    inherit_thread: { offset: 40, size: 8, shift: 35, bits: 1 },
    remove_on_exec: { offset: 40, size: 8, shift: 36, bits: 1 },
    sigtrap: { offset: 40, size: 8, shift: 37, bits: 1 },
    __reserved_1: { offset: 40, size: 8, shift: 38, bits: 26 },
    wakeup_events: { offset: 48, size: 4 },
    wakeup_watermark: { offset: 48, size: 4 },
    bp_type: { offset: 52, size: 4 },
    bp_addr: { offset: 56, size: 8 },
    kprobe_func: { offset: 56, size: 8 },
    uprobe_path: { offset: 56, size: 8 },
    config1: { offset: 56, size: 8 },
    bp_len: { offset: 64, size: 8 },
    kprobe_addr: { offset: 64, size: 8 },
    probe_offset: { offset: 64, size: 8 },
    config2: { offset: 64, size: 8 },
    branch_sample_type: { offset: 72, size: 8 },
    sample_regs_user: { offset: 80, size: 8 },
    sample_stack_user: { offset: 88, size: 4 },
    clockid: { offset: 92, size: 4 },
    sample_regs_intr: { offset: 96, size: 8 },
    aux_watermark: { offset: 104, size: 4 },
    sample_max_stack: { offset: 108, size: 2 },
    __reserved_2: { offset: 110, size: 2 },
    aux_sample_size: { offset: 112, size: 4 },
    aux_action: { offset: 116, size: 4 },
    aux_start_paused: { offset: 116, size: 4, shift: 0, bits: 1 },
    aux_pause: { offset: 116, size: 4, shift: 1, bits: 1 },
    aux_resume: { offset: 116, size: 4, shift: 2, bits: 1 },
    __reserved_3: { offset: 116, size: 4, shift: 3, bits: 29 },
    sig_data: { offset: 120, size: 8 },
    config3: { offset: 128, size: 8 }
  }
} as const

export const epoll_event = {
  size: 12,
  fields: {
    events: { offset: 0, size: 4 },
    data: { offset: 4, size: 8 }
  }
} as const

export const xdp_md = {
  size: 24,
  fields: {
    data: { offset: 0, size: 4 },
    data_end: { offset: 4, size: 4 },
    data_meta: { offset: 8, size: 4 },
    ingress_ifindex: { offset: 12, size: 4 },
    rx_queue_index: { offset: 16, size: 4 },
    egress_ifindex: { offset: 20, size: 4 }
  }
} as const

export const __sk_buff = {
  size: 192,
  fields: {
    len: { offset: 0, size: 4 },
    pkt_type: { offset: 4, size: 4 },
    mark: { offset: 8, size: 4 },
    queue_mapping: { offset: 12, size: 4 },
    protocol: { offset: 16, size: 4 },
    vlan_present: { offset: 20, size: 4 },
    vlan_tci: { offset: 24, size: 4 },
    vlan_proto: { offset: 28, size: 4 },
    priority: { offset: 32, size: 4 },
    ingress_ifindex: { offset: 36, size: 4 },
    ifindex: { offset: 40, size: 4 },
    tc_index: { offset: 44, size: 4 },
    cb: { offset: 48, size: 20 },
    hash: { offset: 68, size: 4 },
    tc_classid: { offset: 72, size: 4 },
    data: { offset: 76, size: 4 },
    data_end: { offset: 80, size: 4 },
    napi_id: { offset: 84, size: 4 },
    family: { offset: 88, size: 4 },
    remote_ip4: { offset: 92, size: 4 },
    local_ip4: { offset: 96, size: 4 },
    remote_ip6: { offset: 100, size: 16 },
    local_ip6: { offset: 116, size: 16 },
    remote_port: { offset: 132, size: 4 },
    local_port: { offset: 136, size: 4 },
    data_meta: { offset: 140, size: 4 },
    flow_keys: { offset: 144, size: 8 },
    tstamp: { offset: 152, size: 8 },
    wire_len: { offset: 160, size: 4 },
    gso_segs: { offset: 164, size: 4 },
    sk: { offset: 168, size: 8 },
    gso_size: { offset: 176, size: 4 },
    tstamp_type: { offset: 180, size: 1 },
    hwtstamp: { offset: 184, size: 8 }
  }
} as const

export const bpf_sock = {
  size: 80,
  fields: {
    bound_dev_if: { offset: 0, size: 4 },
    family: { offset: 4, size: 4 },
    type: { offset: 8, size: 4 },
    protocol: { offset: 12, size: 4 },
    mark: { offset: 16, size: 4 },
    priority: { offset: 20, size: 4 },
    src_ip4: { offset: 24, size: 4 },
    src_ip6: { offset: 28, size: 16 },
    src_port: { offset: 44, size: 4 },
    dst_port: { offset: 48, size: 2 },
    dst_ip4: { offset: 52, size: 4 },
    dst_ip6: { offset: 56, size: 16 },
    state: { offset: 72, size: 4 },
    rx_queue_mapping: { offset: 76, size: 4 }
  }
} as const

export const bpf_tcp_sock = {
  size: 112,
  fields: {
    snd_cwnd: { offset: 0, size: 4 },
    srtt_us: { offset: 4, size: 4 },
    rtt_min: { offset: 8, size: 4 },
    snd_ssthresh: { offset: 12, size: 4 },
    rcv_nxt: { offset: 16, size: 4 },
    snd_nxt: { offset: 20, size: 4 },
    snd_una: { offset: 24, size: 4 },
    mss_cache: { offset: 28, size: 4 },
    ecn_flags: { offset: 32, size: 4 },
    rate_delivered: { offset: 36, size: 4 },
    rate_interval_us: { offset: 40, size: 4 },
    packets_out: { offset: 44, size: 4 },
    retrans_out: { offset: 48, size: 4 },
    total_retrans: { offset: 52, size: 4 },
    segs_in: { offset: 56, size: 4 },
    data_segs_in: { offset: 60, size: 4 },
    segs_out: { offset: 64, size: 4 },
    data_segs_out: { offset: 68, size: 4 },
    lost_out: { offset: 72, size: 4 },
    sacked_out: { offset: 76, size: 4 },
    bytes_received: { offset: 80, size: 8 },
    bytes_acked: { offset: 88, size: 8 },
    dsack_dups: { offset: 96, size: 4 },
    delivered: { offset: 100, size: 4 },
    delivered_ce: { offset: 104, size: 4 },
    icsk_retransmits: { offset: 108, size: 4 }
  }
} as const

export const bpf_sock_tuple = {
  size: 36,
  fields: {
    "ipv4.saddr": { offset: 0, size: 4 },
    "ipv4.daddr": { offset: 4, size: 4 },
    "ipv4.sport": { offset: 8, size: 2 },
    "ipv4.dport": { offset: 10, size: 2 },
    "ipv6.saddr": { offset: 0, size: 16 },
    "ipv6.daddr": { offset: 16, size: 16 },
    "ipv6.sport": { offset: 32, size: 2 },
    "ipv6.dport": { offset: 34, size: 2 }
  }
} as const

export const bpf_sock_addr = {
  size: 72,
  fields: {
    user_family: { offset: 0, size: 4 },
    user_ip4: { offset: 4, size: 4 },
    user_ip6: { offset: 8, size: 16 },
    user_port: { offset: 24, size: 4 },
    family: { offset: 28, size: 4 },
    type: { offset: 32, size: 4 },
    protocol: { offset: 36, size: 4 },
    msg_src_ip4: { offset: 40, size: 4 },
    msg_src_ip6: { offset: 44, size: 16 },
    sk: { offset: 64, size: 8 }
  }
} as const

export const bpf_sock_ops = {
  size: 224,
  fields: {
    op: { offset: 0, size: 4 },
    args: { offset: 4, size: 16 },
    reply: { offset: 4, size: 4 },
    replylong: { offset: 4, size: 16 },
    family: { offset: 20, size: 4 },
    remote_ip4: { offset: 24, size: 4 },
    local_ip4: { offset: 28, size: 4 },
    remote_ip6: { offset: 32, size: 16 },
    local_ip6: { offset: 48, size: 16 },
    remote_port: { offset: 64, size: 4 },
    local_port: { offset: 68, size: 4 },
    is_fullsock: { offset: 72, size: 4 },
    snd_cwnd: { offset: 76, size: 4 },
    srtt_us: { offset: 80, size: 4 },
    bpf_sock_ops_cb_flags: { offset: 84, size: 4 },
    state: { offset: 88, size: 4 },
    rtt_min: { offset: 92, size: 4 },
    snd_ssthresh: { offset: 96, size: 4 },
    rcv_nxt: { offset: 100, size: 4 },
    snd_nxt: { offset: 104, size: 4 },
    snd_una: { offset: 108, size: 4 },
    mss_cache: { offset: 112, size: 4 },
    ecn_flags: { offset: 116, size: 4 },
    rate_delivered: { offset: 120, size: 4 },
    rate_interval_us: { offset: 124, size: 4 },
    packets_out: { offset: 128, size: 4 },
    retrans_out: { offset: 132, size: 4 },
    total_retrans: { offset: 136, size: 4 },
    segs_in: { offset: 140, size: 4 },
    data_segs_in: { offset: 144, size: 4 },
    segs_out: { offset: 148, size: 4 },
    data_segs_out: { offset: 152, size: 4 },
    lost_out: { offset: 156, size: 4 },
    sacked_out: { offset: 160, size: 4 },
    sk_txhash: { offset: 164, size: 4 },
    bytes_received: { offset: 168, size: 8 },
    bytes_acked: { offset: 176, size: 8 },
    sk: { offset: 184, size: 8 },
    skb_data: { offset: 192, size: 8 },
    skb_data_end: { offset: 200, size: 8 },
    skb_len: { offset: 208, size: 4 },
    skb_tcp_flags: { offset: 212, size: 4 },
    skb_hwtstamp: { offset: 216, size: 8 }
  }
} as const

export const sk_msg_md = {
  size: 80,
  fields: {
    data: { offset: 0, size: 8 },
    data_end: { offset: 8, size: 8 },
    family: { offset: 16, size: 4 },
    remote_ip4: { offset: 20, size: 4 },
    local_ip4: { offset: 24, size: 4 },
    remote_ip6: { offset: 28, size: 16 },
    local_ip6: { offset: 44, size: 16 },
    remote_port: { offset: 60, size: 4 },
    local_port: { offset: 64, size: 4 },
    size: { offset: 68, size: 4 },
    sk: { offset: 72, size: 8 }
  }
} as const

export const sk_reuseport_md = {
  size: 56,
  fields: {
    data: { offset: 0, size: 8 },
    data_end: { offset: 8, size: 8 },
    len: { offset: 16, size: 4 },
    eth_protocol: { offset: 20, size: 4 },
    ip_protocol: { offset: 24, size: 4 },
    bind_inany: { offset: 28, size: 4 },
    hash: { offset: 32, size: 4 },
    sk: { offset: 40, size: 8 },
    migrating_sk: { offset: 48, size: 8 }
  }
} as const

export const bpf_sysctl = {
  size: 8,
  fields: {
    write: { offset: 0, size: 4 },
    file_pos: { offset: 4, size: 4 }
  }
} as const

export const bpf_sockopt = {
  size: 40,
  fields: {
    sk: { offset: 0, size: 8 },
    optval: { offset: 8, size: 8 },
    optval_end: { offset: 16, size: 8 },
    level: { offset: 24, size: 4 },
    optname: { offset: 28, size: 4 },
    optlen: { offset: 32, size: 4 },
    retval: { offset: 36, size: 4 }
  }
} as const

export const bpf_cgroup_dev_ctx = {
  size: 12,
  fields: {
    access_type: { offset: 0, size: 4 },
    major: { offset: 4, size: 4 },
    minor: { offset: 8, size: 4 }
  }
} as const

export const bpf_sk_lookup = {
  size: 72,
  fields: {
    sk: { offset: 0, size: 8 },
    cookie: { offset: 0, size: 8 },
    family: { offset: 8, size: 4 },
    protocol: { offset: 12, size: 4 },
    remote_ip4: { offset: 16, size: 4 },
    remote_ip6: { offset: 20, size: 16 },
    remote_port: { offset: 36, size: 2 },
    local_ip4: { offset: 40, size: 4 },
    local_ip6: { offset: 44, size: 16 },
    local_port: { offset: 60, size: 4 },
    ingress_ifindex: { offset: 64, size: 4 }
  }
} as const

export const bpf_flow_keys = {
  size: 56,
  fields: {
    nhoff: { offset: 0, size: 2 },
    thoff: { offset: 2, size: 2 },
    addr_proto: { offset: 4, size: 2 },
    is_frag: { offset: 6, size: 1 },
    is_first_frag: { offset: 7, size: 1 },
    is_encap: { offset: 8, size: 1 },
    ip_proto: { offset: 9, size: 1 },
    n_proto: { offset: 10, size: 2 },
    sport: { offset: 12, size: 2 },
    dport: { offset: 14, size: 2 },
    ipv4_src: { offset: 16, size: 4 },
    ipv4_dst: { offset: 20, size: 4 },
    ipv6_src: { offset: 16, size: 16 },
    ipv6_dst: { offset: 32, size: 16 },
    flags: { offset: 48, size: 4 },
    flow_label: { offset: 52, size: 4 }
  }
} as const

export const bpf_nf_ctx = {
  size: 16,
  fields: {
    state: { offset: 0, size: 8 },
    skb: { offset: 8, size: 8 }
  }
} as const
