import { describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import { expect } from "vitest"
import { type ProgramType, programTypes } from "../../../src/abi/names.ts"
import * as structs from "../../../src/abi/generated/structs.ts"
import { Layout } from "../../../src/index.ts"
import * as ProgramContext from "../../../src/spec/ProgramContext.ts"

/** A layout as any other: only names and places are of interest here. */
const any = (layout: unknown): Layout.Layout<any> => layout as Layout.Layout<any>

const names = (layout: Layout.Layout<any>): ReadonlyArray<string> =>
  Object.keys(Result.getOrThrow(Layout.decode(layout, new Uint8Array(layout.size))))

interface Place {
  readonly offset: number
  readonly size: number
}

interface Struct {
  readonly size: number
  readonly fields: Readonly<Record<string, Place>>
}

/** Each layout with the struct of the kernel's BTF. */
const contexts: ReadonlyArray<readonly [name: string, layout: Layout.Layout<any>, struct: Struct]> = [
  ["xdp_md", any(ProgramContext.xdp_md), structs.xdp_md],
  ["__sk_buff", any(ProgramContext.__sk_buff), structs.__sk_buff],
  ["bpf_flow_keys", any(ProgramContext.bpf_flow_keys), structs.bpf_flow_keys],
  ["bpf_nf_ctx", any(ProgramContext.bpf_nf_ctx), structs.bpf_nf_ctx],
  ["bpf_sock", any(ProgramContext.bpf_sock), structs.bpf_sock],
  ["bpf_tcp_sock", any(ProgramContext.bpf_tcp_sock), structs.bpf_tcp_sock],
  ["bpf_sock_tuple", any(ProgramContext.bpf_sock_tuple), structs.bpf_sock_tuple],
  ["bpf_sock_addr", any(ProgramContext.bpf_sock_addr), structs.bpf_sock_addr],
  ["bpf_sock_ops", any(ProgramContext.bpf_sock_ops), structs.bpf_sock_ops],
  ["sk_msg_md", any(ProgramContext.sk_msg_md), structs.sk_msg_md],
  ["sk_reuseport_md", any(ProgramContext.sk_reuseport_md), structs.sk_reuseport_md],
  ["bpf_sk_lookup", any(ProgramContext.bpf_sk_lookup), structs.bpf_sk_lookup],
  ["bpf_sysctl", any(ProgramContext.bpf_sysctl), structs.bpf_sysctl],
  ["bpf_sockopt", any(ProgramContext.bpf_sockopt), structs.bpf_sockopt],
  ["bpf_cgroup_dev_ctx", any(ProgramContext.bpf_cgroup_dev_ctx), structs.bpf_cgroup_dev_ctx]
]

describe("layouts of contexts", () => {
  it("are of every struct whose fields are known", () => {
    expect(contexts.map(([name]) => name)).toEqual(Object.keys(ProgramContext.fields))
  })

  for (const [struct, layout, { fields, size }] of contexts) {
    it(`${struct} is as large as the kernel's, with its fields at the kernel's places`, () => {
      expect(layout.size).toBe(size)
      let compared = 0
      for (const name of names(layout)) {
        const place = Layout.field(layout, name)
        // Members of unions have no place of their own in the layout.
        if (place === undefined || fields[name] === undefined) continue
        compared++
        expect(place, name).toEqual({ offset: fields[name].offset, size: fields[name].size })
      }
      expect(compared).toBeGreaterThanOrEqual(struct === "bpf_sock_tuple" ? 0 : names(layout).length - 1)
    })

    it(`${struct} misses no field of the kernel's`, () => {
      const covered = new Set<number>()
      for (const name of names(layout)) {
        const { offset, size } = Layout.field(layout, name) ?? { offset: 0, size: layout.size }
        for (let i = 0; i < size; i++) covered.add(offset + i)
      }
      for (const [name, { offset, size }] of Object.entries(fields)) {
        for (let i = 0; i < size; i++) expect(covered.has(offset + i), `${name}, byte ${i}`).toBe(true)
      }
    })
  }

  it("of registers are those of the user ABI of x86-64 and arm64", () => {
    // sizeof(struct pt_regs) and sizeof(struct user_pt_regs) of include/uapi/asm/ptrace.h, and some places in them.
    expect(ProgramContext.pt_regs_x64.size).toBe(168)
    expect(Layout.field(ProgramContext.pt_regs_x64, "di")).toEqual({ offset: 112, size: 8 })
    expect(Layout.field(ProgramContext.pt_regs_x64, "sp")).toEqual({ offset: 152, size: 8 })
    expect(ProgramContext.pt_regs_arm64.size).toBe(272)
    expect(Layout.field(ProgramContext.pt_regs_arm64, "pc")).toEqual({ offset: 256, size: 8 })
    expect(ProgramContext.bpf_perf_event_data_x64.size).toBe(184)
    expect(ProgramContext.bpf_perf_event_data_arm64.size).toBe(288)
  })

  it("read addresses in network byte order", () => {
    const bytes = new Uint8Array(ProgramContext.bpf_sock_addr.size)
    bytes.set([127, 0, 0, 1], ProgramContext.fields.bpf_sock_addr.user_ip4.offset)
    const { user_ip4 } = Result.getOrThrow(Layout.decode(ProgramContext.bpf_sock_addr, bytes))
    expect(user_ip4).toBe(0x7f000001)
  })

  it("have the members of unions under each of their names", () => {
    const { args, reply, replylong } = ProgramContext.fields.bpf_sock_ops
    expect([args.offset, reply.offset, replylong.offset]).toEqual([4, 4, 4])
    expect(ProgramContext.fields.bpf_sk_lookup.cookie.offset).toBe(ProgramContext.fields.bpf_sk_lookup.sk.offset)
    expect(ProgramContext.fields.bpf_sock_tuple["ipv6.dport"]).toEqual({ offset: 34, size: 2 })
  })
})

describe("the context of a program type", () => {
  it("is known for all types but those whose context something else tells", () => {
    const without = (Object.keys(programTypes) as Array<ProgramType | "unspec">)
      .filter((type) => type !== "unspec" && ProgramContext.of(type) === undefined)
    expect(without.toSorted()).toEqual(["ext", "lsm", "struct_ops", "syscall", "tracepoint", "tracing"])
  })

  it("is the struct of its hook", () => {
    expect(ProgramContext.of("xdp")).toEqual({ name: "xdp_md", layout: ProgramContext.xdp_md })
    expect(ProgramContext.of("sched_cls")?.layout).toBe(ProgramContext.__sk_buff)
    expect(ProgramContext.of("cgroup_sock_addr")?.layout).toBe(ProgramContext.bpf_sock_addr)
    expect(ProgramContext.of("raw_tracepoint")?.layout.size).toBe(96)
  })

  it("has the registers of the machine", () => {
    expect(ProgramContext.of("kprobe")?.layout).toBe(ProgramContext.pt_regs_x64)
    expect(ProgramContext.of("kprobe", "arm64")?.layout).toBe(ProgramContext.pt_regs_arm64)
    expect(ProgramContext.of("perf_event", "arm64")?.layout).toBe(ProgramContext.bpf_perf_event_data_arm64)
    expect(ProgramContext.of("xdp", "arm64")?.layout).toBe(ProgramContext.xdp_md)
  })
})
