import { describe, it } from "@effect/vitest"
import { expect } from "vitest"
import { tcx_action_base, xdp_action } from "../../../src/abi/generated/enums.ts"
import { type ProgramType, programTypes } from "../../../src/abi/names.ts"
import * as ReturnCode from "../../../src/spec/ReturnCode.ts"

const types = (Object.keys(programTypes) as Array<ProgramType | "unspec">).filter((type) => type !== "unspec")

describe("return codes", () => {
  it("of XDP and of tcx are the kernel's enums", () => {
    expect(ReturnCode.xdp).toBe(xdp_action)
    for (const [name, value] of Object.entries(tcx_action_base)) {
      const twin = { TCX_NEXT: "TC_ACT_UNSPEC", TCX_PASS: "TC_ACT_OK", TCX_DROP: "TC_ACT_SHOT" }[name] ??
        "TC_ACT_REDIRECT"
      expect(ReturnCode.tc[twin as keyof typeof ReturnCode.tc], name).toBe(value)
    }
  })

  // From include/uapi/linux/pkt_cls.h, netfilter.h and bpf.h.
  it("that are macros are those of the headers", () => {
    expect(ReturnCode.tc).toEqual({
      TC_ACT_UNSPEC: -1,
      TC_ACT_OK: 0,
      TC_ACT_RECLASSIFY: 1,
      TC_ACT_SHOT: 2,
      TC_ACT_PIPE: 3,
      TC_ACT_STOLEN: 4,
      TC_ACT_QUEUED: 5,
      TC_ACT_REPEAT: 6,
      TC_ACT_REDIRECT: 7,
      TC_ACT_TRAP: 8
    })
    expect(ReturnCode.netfilter).toEqual({ NF_DROP: 0, NF_ACCEPT: 1 })
    expect(ReturnCode.lwt).toMatchObject({ BPF_OK: 0, BPF_DROP: 2, BPF_REDIRECT: 7, BPF_LWT_REROUTE: 128 })
  })

  it("of each type of program are different numbers, each with a meaning", () => {
    for (const type of types) {
      const codes = ReturnCode.codesOf(type)
      expect(new Set(codes.map(({ value }) => value)).size, type).toBe(codes.length)
      for (const code of codes) expect(code.meaning, code.name).toMatch(/^[a-z].{5,}/)
    }
  })

  it("are found by the number that a program leaves in r0, also as 32 bits without a sign", () => {
    expect(ReturnCode.describe("xdp", 1)).toMatchObject({ name: "XDP_DROP", meaning: "drops the packet" })
    expect(ReturnCode.describe("sched_cls", 0xffffffff)?.name).toBe("TC_ACT_UNSPEC")
    expect(ReturnCode.describe("sched_cls", -1)?.name).toBe("TC_ACT_UNSPEC")
    expect(ReturnCode.describe("cgroup_sock_addr", 3)?.name).toBe("ALLOW_LOW_PORT")
    expect(ReturnCode.describe("xdp", 77)).toBeUndefined()
    expect(ReturnCode.describe("syscall", 0)).toBeUndefined()
    expect(ReturnCode.describe("nothing" as ProgramType, 0)).toBeUndefined()
  })
})
