import { describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import { expect } from "vitest"
import { bpf_attach_type } from "../../../src/abi/generated/enums.ts"
import * as Btf from "../../../src/btf/Btf.ts"
import type { BtfType } from "../../../src/btf/BtfType.ts"
import { attachmentOf, checkKind } from "../../../src/program/internal/attachTo.ts"
import * as ProgramSpec from "../../../src/spec/ProgramSpec.ts"

const func = (name: string): BtfType => ({ _tag: "Func", name, type: 1, linkage: 0 })
const btf = Result.getOrThrow(Btf.parse(Result.getOrThrow(Btf.encode([
  { _tag: "FuncProto", returns: 0, parameters: [] }, // 1
  func("vfs_read"), // 2
  func("bpf_lsm_file_open"), // 3
  func("bpf_iter_task"), // 4
  { _tag: "Typedef", name: "btf_trace_sched_switch", type: 1 }, // 5
  {
    _tag: "Struct",
    name: "tcp_congestion_ops",
    size: 16,
    members: [
      { name: "ssthresh", type: 1, bitOffset: 0, bitfieldSize: 0 },
      { name: "init", type: 1, bitOffset: 64, bitfieldSize: 0 }
    ]
  } // 6
]))))

type Options =
  & Partial<Omit<Parameters<typeof ProgramSpec.makeDynamic>[0], "type">>
  & Pick<ProgramSpec.ProgramSpec, "type">
const spec = (options: Options): ProgramSpec.ProgramSpec =>
  ProgramSpec.makeDynamic({ name: "p", instructions: [], ...options })

const check = (options: Options) => {
  const invalid = checkKind(spec(options))
  return invalid === undefined ? attachmentOf(spec(options), btf) : Result.fail(invalid)
}

describe("what a program will be attached to", () => {
  it("is a type of the kernel's BTF, and an attach type", () => {
    const cases: ReadonlyArray<readonly [Options, btfId: number, attachType: number]> = [
      [{ type: "tracing", attachTo: "vfs_read" }, 2, bpf_attach_type.BPF_TRACE_FENTRY],
      [
        { type: "tracing", attachTo: "vfs_read", expectedAttachType: "trace_fexit" },
        2,
        bpf_attach_type.BPF_TRACE_FEXIT
      ],
      [{ type: "lsm", attachTo: "file_open" }, 3, bpf_attach_type.BPF_LSM_MAC],
      [{ type: "lsm", attachTo: "file_open", expectedAttachType: "lsm_cgroup" }, 3, bpf_attach_type.BPF_LSM_CGROUP],
      [{ type: "tracing", attachTo: "task", expectedAttachType: "trace_iter" }, 4, bpf_attach_type.BPF_TRACE_ITER],
      [
        { type: "tracing", attachTo: "sched_switch", expectedAttachType: "trace_raw_tp" },
        5,
        bpf_attach_type.BPF_TRACE_RAW_TP
      ],
      [{ type: "struct_ops", attachTo: "tcp_congestion_ops.init" }, 6, 1],
      [{ type: "sk_lookup" }, 0, bpf_attach_type.BPF_SK_LOOKUP],
      [{ type: "xdp" }, 0, bpf_attach_type.BPF_XDP],
      [{ type: "socket_filter" }, 0, 0],
      [{ type: "cgroup_sysctl", expectedAttachType: "cgroup_sysctl" }, 0, bpf_attach_type.BPF_CGROUP_SYSCTL]
    ]
    for (const [options, btfId, expectedAttachType] of cases) {
      expect(check(options), JSON.stringify(options)).toEqual(
        Result.succeed({ btfId, expectedAttachType })
      )
    }
  })

  it("must be there, and the error says what was looked for", () => {
    const cases: ReadonlyArray<readonly [Options, field: string, expected: RegExp]> = [
      [{ type: "tracing", attachTo: "nope" }, "attachTo", /\(nope in its types\)/],
      [{ type: "lsm", attachTo: "vfs_read" }, "attachTo", /\(bpf_lsm_vfs_read in its types\)/],
      [{ type: "struct_ops", attachTo: "tcp_congestion_ops" }, "attachTo", /a member of a struct/],
      [{ type: "struct_ops", attachTo: "nope.init" }, "attachTo", /a member of a struct/],
      [{ type: "struct_ops", attachTo: "" }, "attachTo", /a member of a struct/],
      [{ type: "xdp", attachTo: "eth0" }, "attachTo", /a program of type tracing, struct_ops, lsm/],
      [
        { type: "xdp", expectedAttachType: "nope" as never },
        "expectedAttachType",
        /one of xdp_devmap, xdp_cpumap, xdp/
      ],
      [{ type: "tracepoint", expectedAttachType: "xdp" }, "expectedAttachType", /none, as tracepoint programs have no/],
      [{ type: "cgroup_sockopt" }, "expectedAttachType", /one of cgroup_getsockopt, cgroup_setsockopt/],
      [{ type: "tracing" }, "attachTo", /a function of the kernel, such as do_unlinkat/],
      [{ type: "tracing", expectedAttachType: "trace_raw_tp" }, "attachTo", /a raw tracepoint, such as sched_switch/],
      [{ type: "lsm" }, "attachTo", /an LSM hook, such as file_open/],
      [{ type: "struct_ops" }, "attachTo", /a member of a struct/],
      [{ type: "xdp", flags: ["sleepable"] }, "flags", /sleepable for programs that may sleep/],
      [
        { type: "tracing", expectedAttachType: "trace_raw_tp", attachTo: "x", flags: ["sleepable"] },
        "flags",
        /may sleep/
      ],
      [{ type: "kprobe", flags: ["xdp_has_frags"] }, "flags", /for xdp programs only/],
      [{ type: "xdp", flags: ["no_such" as never] }, "flags", /strict_alignment/],
      [{ type: "toString" as never }, "type", /the name of a type of program/]
    ]
    for (const [options, field, expected] of cases) {
      const error = Result.getOrThrow(Result.flip(check(options)))
      expect(error.field).toBe(field)
      expect(error.expected).toMatch(expected)
    }
  })
})
