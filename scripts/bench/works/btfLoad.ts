import * as Effect from "effect/Effect"
import { spawnSync } from "node:child_process"
import { fileURLToPath } from "node:url"
import { compile, compileGo } from "../compile.ts"
import type { Subject } from "../harness.ts"
import { optional, type Work } from "../work.ts"

/** A process that does the work once, cold, and prints its figure: what it took inside, without its own start. */
const coldProcess = (name: string, command: string, args: ReadonlyArray<string>): Subject => ({
  name,
  round: Effect.suspend(() => {
    const { error, status, stdout } = spawnSync(command, args, {
      encoding: "utf8",
      stdio: ["ignore", "pipe", "inherit"]
    })
    const figure = Number(stdout)
    return status === 0 && figure > 0
      ? Effect.succeed(figure)
      : Effect.fail(error ?? new Error(`${name}: exit status ${status}, answered ${stdout}`))
  })
})

const script = (name: string, ...args: ReadonlyArray<string>): Subject =>
  coldProcess(name, process.execPath, [
    "--conditions=effect-ebpf-source",
    fileURLToPath(new URL("../subjects/btfLoad.ts", import.meta.url)),
    ...args
  ])

/** The kernel's types from nothing, and `task_struct` with the names of its members, in a process that did nothing before. */
const load: Work = {
  name: "btf load",
  prepare: (workshop) =>
    Effect.gen(function*() {
      const c = yield* compile(workshop, "btfLoad", { libbpf: true })
      const cilium = Effect.map(compileGo(workshop, "btfLoad"), (go) => coldProcess("cilium/ebpf", go, []))
      return {
        work: "btf load",
        unit: "ms",
        subjects: [
          coldProcess("libbpf btf__load_vmlinux_btf", c, []),
          script("KernelBtf.load", "load"),
          yield* optional("cilium/ebpf", cilium)
        ]
      }
    })
}

/** Questions after that, to each struct of the kernel once, and once more. */
const queries: Work = {
  name: "btf query",
  prepare: () =>
    Effect.succeed({
      work: "btf query",
      unit: "µs",
      subjects: [
        script("Btf.find, once asked", "find again"),
        script("Btf.find, first", "find first"),
        script("Btf.sizeOf task_struct, once asked", "sizeOf again"),
        script("Btf.sizeOf, first", "sizeOf first"),
        script("Btf.member of task_struct, once asked", "member again"),
        script("Btf.member of task_struct, first", "member first")
      ]
    })
}

export const btf: ReadonlyArray<Work> = [load, queries]
