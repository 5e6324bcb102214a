import { describe, expect, it } from "@effect/vitest"
import { bpf_cmd } from "../../../src/abi/generated/enums.ts"
import { commands } from "../../../src/bpf/command.ts"
import { descriptorCommands } from "../../../src/kernel/internal/thread.ts"

describe("what a worker owns", () => {
  it("is what every command gives that gives a descriptor", () => {
    const giving = Object.entries(commands).flatMap(([name, facts]) =>
      "gives" in facts ? [bpf_cmd[name as keyof typeof bpf_cmd]] : []
    )
    expect(descriptorCommands.toSorted((a, b) => a - b)).toEqual(giving.toSorted((a, b) => a - b))
  })
})
