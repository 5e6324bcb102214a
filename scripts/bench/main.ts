// Benchmarks of effect-ebpf against what it is compared with: C, libbpf, bare Node. docs/benchmarks.md has the method.
//
//   npm run bench -- [--only NAME]... [--rounds N] [--json FILE] [--peers FOLDER]
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import { writeFileSync } from "node:fs"
import { availableParallelism, release } from "node:os"
import { parseArgs } from "node:util"
import { compare, type Row, WARM_UP } from "./harness.ts"
import { table } from "./table.ts"
import { LeftOut, type Work } from "./work.ts"
import { btf } from "./works/btfLoad.ts"
import { manyEntries } from "./works/manyEntries.ts"
import { mapOperations } from "./works/mapOperations.ts"
import { perfDrain } from "./works/perfDrain.ts"
import { processStart } from "./works/processStart.ts"
import { ringDrain } from "./works/ringDrain.ts"
import { acquireWorkshop, type Workshop } from "./workshop.ts"

const works: ReadonlyArray<Work> = [processStart, ...mapOperations, ...manyEntries, ringDrain, perfDrain, ...btf]

/** Every work asks the real kernel for maps, and one of them loads a program. */
const whyNot = (): string | undefined => {
  if (process.platform !== "linux") return `this is ${process.platform}, and eBPF needs Linux`
  return process.getuid?.() === 0 ? undefined : "not root: run it with sudo"
}

const readOptions = () => {
  const { values } = parseArgs({
    options: {
      only: { type: "string", multiple: true, default: [] },
      rounds: { type: "string", default: "11" },
      json: { type: "string" },
      peers: { type: "string" }
    }
  })
  const isNamed = (work: Work, name: string): boolean => work.name === name || work.name.startsWith(`${name} `)
  const unknown = values.only.find((name) => !works.some((work) => isNamed(work, name)))
  if (unknown !== undefined) throw new Error(`--only ${unknown}: not one of ${works.map((w) => w.name).join(", ")}`)
  const rounds = Number(values.rounds)
  if (!(Number.isInteger(rounds) && rounds > 0)) throw new Error(`--rounds ${values.rounds}: not a number of rounds`)
  const chosen = values.only.length === 0
    ? works
    : works.filter((work) => values.only.some((name) => isNamed(work, name)))
  return { chosen, rounds, json: values.json, peers: values.peers }
}

/** The rows of a work; none, and a line that says why, where it is left out. */
const measure = (workshop: Workshop, work: Work, rounds: number) =>
  Effect.gen(function*() {
    const reason = whyNot()
    if (reason !== undefined) return yield* new LeftOut({ why: reason })
    const comparison = yield* work.prepare(workshop)
    yield* Console.error(`measuring ${work.name}: ${comparison.subjects.length} subjects, ${rounds} rounds`)
    return yield* compare(comparison, rounds)
  }).pipe(
    Effect.scoped,
    Effect.catchIf(
      (error): error is LeftOut => error instanceof LeftOut,
      ({ why }) => Effect.as(Console.error(`${work.name} is left out: ${why}`), [] as ReadonlyArray<Row>)
    )
  )

const method = (rounds: number): string =>
  [
    `medians of ${rounds} rounds, subjects in turn after ${WARM_UP} to warm up`,
    `Linux ${release()} ${process.arch}`,
    `${availableParallelism()} CPUs`,
    `Node ${process.versions.node}`,
    new Date().toISOString().slice(0, 10)
  ].join("; ")

const main = Effect.gen(function*() {
  const { chosen, json, peers, rounds } = yield* Effect.try({ try: readOptions, catch: (error) => error })
  const workshop = yield* acquireWorkshop(peers)
  const rows: Array<Row> = []
  for (const work of chosen) rows.push(...(yield* measure(workshop, work, rounds)))
  if (rows.length > 0) yield* Console.log(`${method(rounds)}\n${table(rows)}`)
  if (json !== undefined) writeFileSync(json, `${JSON.stringify(rows, undefined, 2)}\n`)
}).pipe(Effect.scoped)

NodeRuntime.runMain(main)
