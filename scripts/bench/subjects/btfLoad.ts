// Loads the kernel's types once and prints what the argument asks for: milliseconds for `load`, else the median in
// microseconds of many questions to it.
import * as Btf from "effect-ebpf/Btf"
import * as Kernel from "effect-ebpf/Kernel"
import * as KernelBtf from "effect-ebpf/KernelBtf"
import * as Effect from "effect/Effect"

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
    member: members.map((name) => () => Btf.member(btf, "task_struct", name))
  }
  const all = questions[question!]!
  const first = median(all.map(timed))
  return when === "first" ? first : median(all.map(timed))
}

const main = Effect.gen(function*() {
  const start = performance.now()
  const btf = yield* KernelBtf.load
  const [, task] = yield* Effect.fromResult(Btf.find(btf, "task_struct", "Struct"))
  const names = task.members.map(({ name }) => name)
  const took = performance.now() - start
  if (names.join("").length < 1000) throw new Error("task_struct has too few members")
  console.log(what === "load" ? took : ask(btf, names.filter((name) => name !== "")))
})

await Effect.runPromise(Effect.provide(main, Kernel.layer))
