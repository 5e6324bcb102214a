// Which fields of their context programs may write: both kernels hold them to the same.
import * as Effect from "effect/Effect"
import { expect } from "vitest"
import { Asm, Program, ProgramContext, ProgramSpec } from "../../src/index.ts"
import type { Test } from "../support/kernels.ts"

const { bpf_sock, bpf_sock_addr, bpf_sockopt, bpf_sysctl } = ProgramContext.fields

const programs = {
  cgroup_sock: { expectedAttachType: "cgroup_inet_sock_create", fields: bpf_sock },
  cgroup_sock_addr: { expectedAttachType: "cgroup_inet4_connect", fields: bpf_sock_addr },
  cgroup_sockopt: { expectedAttachType: "cgroup_setsockopt", fields: bpf_sockopt },
  cgroup_sysctl: { expectedAttachType: "cgroup_sysctl", fields: bpf_sysctl }
} as const

/** By program type: fields of 4 bytes that may be written. All others that are so large must be refused. */
const writable: { readonly [T in keyof typeof programs]: ReadonlyArray<string> } = {
  cgroup_sock: ["bound_dev_if", "mark", "priority"],
  cgroup_sock_addr: ["user_ip4", "user_port"],
  cgroup_sockopt: ["level", "optname", "optlen"],
  cgroup_sysctl: ["file_pos"]
}

/** Left out: what depends on the attach type. */
const byAttachType: ReadonlySet<string> = new Set(["msg_src_ip4", "retval"])

export const contexts = (test: Test): void => {
  for (const [type, { expectedAttachType, fields }] of Object.entries(programs)) {
    test(
      `a program of type ${type} writes the fields of its context that it may, and no other`,
      () =>
        Effect.gen(function*() {
          const accepted: Array<string> = []
          for (const [field, { offset, size }] of Object.entries(fields)) {
            if (size !== 4 || byAttachType.has(field)) continue
            const spec = ProgramSpec.make({
              type,
              expectedAttachType,
              name: "writes",
              instructions: [Asm.mov("r2", 1), Asm.stw("r1", offset, "r2"), Asm.mov("r0", 1), Asm.exit()]
            } as never) as ProgramSpec.ProgramSpec
            const loaded = yield* Effect.exit(Effect.scoped(Program.load(spec)))
            if (loaded._tag === "Success") accepted.push(field)
          }
          expect(accepted).toEqual(writable[type as keyof typeof writable])
        }),
      { needs: "fsopen" }
    ) // 5.2; cgroup_sockopt is of 5.3
  }
}
