import * as Effect from "effect/Effect"
import { spawnSync } from "node:child_process"
import { fileURLToPath } from "node:url"
import { compile, compileGo } from "../compile.ts"
import type { Subject } from "../harness.ts"
import { LeftOut, optional, type Work } from "../work.ts"
import type { Workshop } from "../workshop.ts"

/** A process that does the work once, cold, and prints its figure: what it took inside, without its own start. */
const coldProcess = (name: string, command: string, args: ReadonlyArray<string>): Subject => ({
  name,
  round: Effect.suspend(() => {
    const { error, status, stderr, stdout } = spawnSync(command, args, { encoding: "utf8" })
    const figure = Number(stdout)
    return status === 0 && stdout !== ""
      ? Effect.succeed(figure)
      : Effect.fail(error ?? new Error(`${name}: exit status ${status}, answered ${stdout}${stderr}`))
  })
})

/** As `coldProcess`, left out where it cannot do the work: an old library does not know the kinds of a newer kernel's types. */
const ifAble = (subject: Subject): Effect.Effect<Subject, LeftOut> =>
  Effect.matchEffect(subject.round, {
    onFailure: (error) => Effect.fail(new LeftOut({ why: String((error as Error).message).trim() })),
    onSuccess: () => Effect.succeed(subject)
  })

const script = (name: string, ...args: ReadonlyArray<string>): Subject =>
  coldProcess(name, process.execPath, [
    "--conditions=effect-ebpf-source",
    "--expose-gc",
    fileURLToPath(new URL("../subjects/btfLoad.ts", import.meta.url)),
    ...args
  ])

/** libbpf, this package and cilium/ebpf, each asked for the same figure: `load` or `memory`. */
const compared = (workshop: Workshop, figure: "load" | "memory") =>
  Effect.gen(function*() {
    const c = yield* compile(workshop, "btfLoad", { libbpf: true })
    const cilium = Effect.flatMap(compileGo(workshop, "btfLoad"), (go) =>
      ifAble(coldProcess("cilium/ebpf", go, [figure])))
    return [
      coldProcess("libbpf btf__load_vmlinux_btf", c, [figure]),
      script("KernelBtf.load", figure),
      yield* optional("cilium/ebpf", cilium)
    ] as const
  })

/** The kernel's types from nothing, and `task_struct` with the names of its members, in a process that did nothing before. */
const load: Work = {
  name: "btf load",
  prepare: (workshop) =>
    Effect.map(compared(workshop, "load"), (subjects) => ({ work: "btf load", unit: "ms", subjects }))
}

/** What that leaves in memory: growth of the process's own pages, which a mapped file is not. */
const memory: Work = {
  name: "btf memory",
  prepare: (workshop) =>
    Effect.map(compared(workshop, "memory"), (subjects) => ({ work: "btf memory", unit: "MB", subjects }))
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
        script("Btf.member of task_struct, first", "member first"),
        script("Btf.find of a function, once asked", "function again"),
        script("Btf.find of a function, first", "function first")
      ]
    })
}

export const btf: ReadonlyArray<Work> = [load, memory, queries]
