import * as Effect from "effect/Effect"
import { existsSync } from "node:fs"
import { join } from "node:path"
import { acquireChild, acquireScript } from "../child.ts"
import { compile, compileGo } from "../compile.ts"
import { LeftOut, optional, type Work } from "../work.ts"
import type { Workshop } from "../workshop.ts"

/** An operation, with the names of the methods that do it. */
interface Operation {
  readonly name: "lookup" | "update" | "delete" | "next"
  readonly unsafe: string
  /** The next key is asked for in no effect: streams walk over maps. */
  readonly effect: string | undefined
}

const operations: ReadonlyArray<Operation> = [
  { name: "lookup", unsafe: "lookupUnsafe", effect: "lookup" },
  { name: "update", unsafe: "updateUnsafe", effect: "update" },
  { name: "delete", unsafe: "deleteUnsafe", effect: "delete" },
  { name: "next", unsafe: "nextKeyUnsafe", effect: undefined }
]

const acquireNpmBpf = (name: string, { peers }: Workshop, ...args: ReadonlyArray<string>) =>
  peers === undefined || !existsSync(join(peers, "node_modules/bpf"))
    ? Effect.fail(new LeftOut({ why: "not given: npm install bpf in a folder of its own, and name it with --peers" }))
    : acquireScript(name, "npmBpf.ts", peers, ...args)

/** One operation on each key of a hash map of 10,000 entries, against the raw system call. */
const work = ({ effect, name, unsafe }: Operation, size: "8" | "64"): Work => {
  const title = `map ${name === "next" ? "next key" : name} ${size}`
  return {
    name: title,
    prepare: (workshop) =>
      Effect.gen(function*() {
        const c = yield* compile(workshop, "operations")
        const cilium = Effect.flatMap(
          compileGo(workshop, "operations"),
          (program) => acquireChild("cilium/ebpf", program, [name, size])
        )
        const effects = effect === undefined
          ? []
          : [yield* acquireScript(`HashMap.${effect}, yield*`, "operations.ts", "effects", name, size)]
        return {
          work: title,
          unit: "ns/op",
          subjects: [
            yield* acquireChild("C, syscall(2)", c, [name, size]),
            yield* acquireScript(`HashMap.${unsafe}`, "operations.ts", "handle", name, size),
            ...effects,
            yield* optional("cilium/ebpf", cilium),
            yield* optional("npm bpf", acquireNpmBpf("npm bpf", workshop, name, size))
          ]
        }
      })
  }
}

export const mapOperations: ReadonlyArray<Work> = (["8", "64"] as const).flatMap((size) =>
  operations.map((operation) => work(operation, size))
)
