import { describe, it } from "@effect/vitest"
import { expect } from "vitest"
import { attachTypes, programTypes } from "../../../src/abi/names.ts"
import * as ProgramKind from "../../../src/spec/ProgramKind.ts"

describe("kinds of program", () => {
  it("are all types that the kernel has", () => {
    expect(ProgramKind.types.toSorted()).toEqual(
      Object.keys(programTypes).filter((name) => name !== "unspec").toSorted()
    )
  })

  it("have each attach type once, and those that no program is loaded for are known", () => {
    const all = ProgramKind.types.flatMap((type) => Object.keys(ProgramKind.of(type).attach))
    expect(new Set(all).size).toBe(all.length)
    expect(Object.keys(attachTypes).filter((name) => !all.includes(name)).toSorted()).toEqual([
      "perf_event",
      "struct_ops"
    ])
  })

  it("have a default among their attach types, and none is older than its type", () => {
    for (const type of ProgramKind.types) {
      const kind = ProgramKind.of(type)
      const { unlessSaid } = kind
      if (unlessSaid !== undefined && unlessSaid !== "required") expect(kind.attach, type).toHaveProperty(unlessSaid)
      for (const { since } of Object.values(kind.attach)) {
        expect(since[0] * 1000 + since[1], type).toBeGreaterThanOrEqual(kind.since[0] * 1000 + kind.since[1])
      }
    }
  })

  it("have section names, each of one kind", () => {
    const names = ProgramKind.types.flatMap((type) => {
      const { attach, sections = [] } = ProgramKind.of(type)
      return [...sections, ...Object.values(attach).flatMap((row) => row.sections)]
    })
    expect(new Set(names).size).toBe(names.length)
    for (const type of ProgramKind.types) {
      expect(names.some((name) => ProgramKind.ofSection(name.replace("+", ""))?.type === type), type).toBe(true)
    }
  })
})

describe("a section's name", () => {
  const none: ReadonlyArray<string> = []
  it.each([
    ["socket", "socket_filter", undefined, none, undefined],
    ["kprobe/do_unlinkat", "kprobe", undefined, none, "do_unlinkat"],
    ["kretprobe.multi/tcp_*", "kprobe", "trace_kprobe_multi", none, "tcp_*"],
    ["uprobe.s//usr/bin/bash:readline", "kprobe", undefined, ["sleepable"], "/usr/bin/bash:readline"],
    ["uretprobe.multi.s/x:y", "kprobe", "trace_uprobe_multi", ["sleepable"], "x:y"],
    ["usdt", "kprobe", undefined, none, undefined],
    ["tp/syscalls/sys_enter_execve", "tracepoint", undefined, none, "syscalls/sys_enter_execve"],
    ["raw_tp.w/nbd_send_request", "raw_tracepoint_writable", undefined, none, "nbd_send_request"],
    ["tp_btf/sched_switch", "tracing", "trace_raw_tp", none, "sched_switch"],
    ["fentry.s/do_unlinkat", "tracing", "trace_fentry", ["sleepable"], "do_unlinkat"],
    ["fmod_ret/bpf_modify_return_test", "tracing", "modify_return", none, "bpf_modify_return_test"],
    ["iter/task", "tracing", "trace_iter", none, "task"],
    ["lsm.s/file_open", "lsm", "lsm_mac", ["sleepable"], "file_open"],
    ["lsm_cgroup/socket_bind", "lsm", "lsm_cgroup", none, "socket_bind"],
    ["struct_ops.s/init", "struct_ops", undefined, ["sleepable"], "init"],
    ["freplace/get_value", "ext", undefined, none, "get_value"],
    ["syscall", "syscall", undefined, ["sleepable"], undefined],
    ["xdp", "xdp", "xdp", none, undefined],
    ["xdp.frags", "xdp", "xdp", ["xdp_has_frags"], undefined],
    ["xdp.frags/devmap", "xdp", "xdp_devmap", ["xdp_has_frags"], undefined],
    ["tc", "sched_cls", undefined, none, undefined],
    ["tc/ingress", "sched_cls", "tcx_ingress", none, undefined],
    ["netkit/peer", "sched_cls", "netkit_peer", none, undefined],
    ["cgroup/skb", "cgroup_skb", "cgroup_inet_ingress", none, undefined],
    ["cgroup/sock", "cgroup_sock", "cgroup_inet_sock_create", none, undefined],
    ["cgroup/connect4", "cgroup_sock_addr", "cgroup_inet4_connect", none, undefined],
    ["cgroup/getsockname_unix", "cgroup_sock_addr", "cgroup_unix_getsockname", none, undefined],
    ["cgroup/dev", "cgroup_device", "cgroup_device", none, undefined],
    ["sk_reuseport/migrate", "sk_reuseport", "sk_reuseport_select_or_migrate", none, undefined],
    ["sockops", "sock_ops", "cgroup_sock_ops", none, undefined],
    ["netfilter", "netfilter", "netfilter", none, undefined]
  ])("%s", (name, type, attachType, flags, target) => {
    expect(ProgramKind.ofSection(name)).toEqual({ type, attachType, flags, target })
  })

  it.each(["", "xdp/eth0", "kprobes", "fentry.x/f", ".text", "license", "socket1", "fentry.s.s/f"])(
    "%s is none of a program",
    (name) => expect(ProgramKind.ofSection(name)).toBeUndefined()
  )
})
