import { describe, it } from "@effect/vitest"
import { expect, expectTypeOf } from "vitest"
import * as Asm from "../../../src/isa/Asm.ts"
import type * as ProgramKind from "../../../src/spec/ProgramKind.ts"
import * as ProgramSpec from "../../../src/spec/ProgramSpec.ts"

const common = { name: "p", instructions: [Asm.mov("r0", 0), Asm.exit()] }

describe("a program's spec", () => {
  it("has the attach type that the kernel takes it to have", () => {
    const pass = ProgramSpec.make({ ...common, type: "xdp" })
    expectTypeOf(pass).toEqualTypeOf<ProgramSpec.ProgramSpec<"xdp", "xdp">>()
    expect(pass.expectedAttachType).toBe("xdp")
    const toDevice = ProgramSpec.make({ ...common, type: "xdp", expectedAttachType: "xdp_devmap" })
    expectTypeOf(toDevice).toEqualTypeOf<ProgramSpec.ProgramSpec<"xdp", "xdp_devmap">>()
    const onOpen = ProgramSpec.make({ ...common, type: "lsm", attachTo: "file_open", flags: ["sleepable"] })
    expectTypeOf(onOpen).toEqualTypeOf<ProgramSpec.ProgramSpec<"lsm", "lsm_mac">>()
    expect(onOpen.expectedAttachType).toBe("lsm_mac")
    const filter = ProgramSpec.make({ ...common, type: "socket_filter" })
    expectTypeOf(filter).toEqualTypeOf<ProgramSpec.ProgramSpec<"socket_filter", undefined>>()
    const connect = ProgramSpec.make({
      ...common,
      type: "cgroup_sock_addr",
      expectedAttachType: "cgroup_inet4_connect"
    })
    expectTypeOf(connect).toEqualTypeOf<ProgramSpec.ProgramSpec<"cgroup_sock_addr", "cgroup_inet4_connect">>()
  })

  it("of a syscall program may always sleep", () => {
    expect(ProgramSpec.make({ ...common, type: "syscall" }).flags).toEqual(["sleepable"])
    expect(ProgramSpec.make({ ...common, type: "syscall", flags: ["sleepable"] }).flags).toEqual(["sleepable"])
  })

  it("of one type is one of any", () => {
    expectTypeOf<ProgramSpec.ProgramSpec<"xdp", "xdp_devmap">>().toExtend<ProgramSpec.ProgramSpec>()
    expectTypeOf<ProgramSpec.ProgramSpec<"xdp", "xdp_devmap">>().toExtend<ProgramSpec.ProgramSpec<"xdp">>()
    expectTypeOf<ProgramSpec.ProgramSpec<"xdp">>().not.toExtend<ProgramSpec.ProgramSpec<"xdp", "xdp">>()
  })

  it("does not type-check where it makes no sense", () => {
    // @ts-expect-error a tracing program is for something
    ProgramSpec.make({ ...common, type: "tracing" })
    // @ts-expect-error what an xdp program is for is said when it is attached
    ProgramSpec.make({ ...common, type: "xdp", attachTo: "eth0" })
    // @ts-expect-error the kernel must know which call it is for
    ProgramSpec.make({ ...common, type: "cgroup_sock_addr" })
    // @ts-expect-error an attach type of another type of program
    ProgramSpec.make({ ...common, type: "xdp", expectedAttachType: "tcx_ingress" })
    // @ts-expect-error a type without attach types
    ProgramSpec.make({ ...common, type: "tracepoint", expectedAttachType: "xdp" })
    // @ts-expect-error packets are handled without sleeping
    ProgramSpec.make({ ...common, type: "xdp", flags: ["sleepable"] })
    // Raw tracepoints too, though other tracing programs may sleep
    ProgramSpec.make({
      ...common,
      type: "tracing",
      expectedAttachType: "trace_raw_tp",
      attachTo: "sched_switch",
      // @ts-expect-error they run where nothing may sleep
      flags: ["sleepable"]
    })
    // @ts-expect-error a flag of xdp programs
    ProgramSpec.make({ ...common, type: "kprobe", flags: ["xdp_has_frags"] })
  })

  it("knows which programs can be run for a test", () => {
    expectTypeOf<"xdp">().toExtend<ProgramKind.TestRunnable>()
    expectTypeOf<"kprobe">().not.toExtend<ProgramKind.TestRunnable>()
  })
})
