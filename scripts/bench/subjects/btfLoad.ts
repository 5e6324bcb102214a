// Loads the kernel's types once and prints what the argument asks for: milliseconds for `load`, the growth of the process's
// own pages in MB for `memory`, else the median in microseconds of many questions to it.
import * as Btf from "effect-ebpf/Btf"
import * as Kernel from "effect-ebpf/Kernel"
import * as KernelBtf from "effect-ebpf/KernelBtf"
import * as Effect from "effect/Effect"
import { readFileSync } from "node:fs"

const [what = "load"] = process.argv.slice(2)

const median = (figures: ReadonlyArray<number>): number => figures.toSorted((a, b) => a - b)[figures.length >> 1]!

const timed = (f: () => unknown): number => {
  const start = performance.now()
  f()
  return (performance.now() - start) * 1000
}

const ask = (btf: Btf.Btf, members: ReadonlyArray<string>): number => {
  const names = [...Btf.types(btf, "Struct")].map(([, type]) => type.name).filter((name) => name !== "")
  const [question, when] = what.split(" ")
  const task = Btf.idsByName(btf, "task_struct", "Struct")[0]!
  const questions: { readonly [name: string]: ReadonlyArray<() => unknown> } = {
    find: names.map((name) => () => Btf.find(btf, name, "Struct")),
    sizeOf: names.map((_, i) => () => Btf.sizeOf(btf, i === 0 ? task : 1 + i)),
    member: members.map((name) => () => Btf.member(btf, "task_struct", name)),
    function: [...Btf.types(btf, "Func")].slice(-2000).map(([, { name }]) => () => Btf.find(btf, name, "Func"))
  }
  const all = questions[question!]!
  const first = median(all.map(timed))
  return when === "first" ? first : median(all.map(timed))
}

/** Pages that are the process's alone, in MB, after garbage was collected. */
const ownPages = (): number => {
  globalThis.gc!()
  return Number(/RssAnon:\s+(\d+) kB/.exec(readFileSync("/proc/self/status", "utf8"))![1]) / 1000
}

const main = Effect.gen(function*() {
  const before = what === "memory" ? ownPages() : 0
  const start = performance.now()
  const btf = yield* KernelBtf.load
  const [, task] = yield* Effect.fromResult(Btf.find(btf, "task_struct", "Struct"))
  const names = task.members.map(({ name }) => name)
  const took = performance.now() - start
  if (names.join("").length < 1000) throw new Error("task_struct has too few members")
  if (what === "load") console.log(took)
  else if (what === "memory") console.log(ownPages() - before)
  else console.log(ask(btf, names.filter((name) => name !== "")))
})

await Effect.runPromise(Effect.provide(main, Kernel.layer))
