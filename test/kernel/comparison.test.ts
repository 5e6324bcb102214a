// The simulated kernel is held against the real one by generated cases, row by row. What differs is in a list of known
// differences, which may only become shorter.
//
//   COMPARE=full     all cases, in place of a sample
//   COMPARE_SEED=x   another sample
//   COMPARE_WRITE=1  writes the list anew from what was found: for who made it shorter
import { afterAll, beforeEach, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { writeFileSync } from "node:fs"
import { release } from "node:os"
import { expect } from "vitest"
import { errno } from "../../src/abi/errno.ts"
import { AttachBench, attachments } from "../support/comparison/attachments.ts"
import type { Bench } from "../support/comparison/bench.ts"
import {
  type Case,
  compareRow,
  isInSample,
  knownDifferences,
  knownDifferencesFile
} from "../support/comparison/compare.ts"
import { HelperBench, helperCalls } from "../support/comparison/helperCalls.ts"
import { helperResults, ResultBench } from "../support/comparison/helperResults.ts"
import { loadArguments, LoadBench } from "../support/comparison/loadArguments.ts"
import { MapBench } from "../support/comparison/mapBench.ts"
import { mapCommands } from "../support/comparison/mapCommands.ts"
import { OrderBench, orders } from "../support/comparison/order.ts"
import { RunBench } from "../support/comparison/runBench.ts"
import { openBoth, type Opened } from "../support/comparison/sides.ts"
import { testRuns } from "../support/comparison/testRuns.ts"
import { skipUnlessPossible } from "../support/privilege.ts"

const SEED = process.env["COMPARE_SEED"] ?? "effect-ebpf"
const IS_FULL = process.env["COMPARE"] === "full"
const WRITES = process.env["COMPARE_WRITE"] === "1"
/** The series that the simulated kernel is like. */
const SERIES = "6.18."

/** The most that may differ in a row. */
const MOST_DIFFERING = 0.01

interface RowOf<Side extends Bench> {
  readonly name: string
  readonly open: (kernel: Opened) => Side
  readonly cases: () => Iterable<Case<Side>>
  readonly policy?: number
  /** A plain run takes one in so many. */
  readonly every: number
}

const row = <Side extends Bench>(row: RowOf<Side>): RowOf<any> => row

const rows: ReadonlyArray<RowOf<any>> = [
  row({
    name: "load arguments",
    open: ({ btf, kernel }) => new LoadBench(kernel, btf),
    cases: loadArguments,
    policy: -errno.EPERM,
    every: 2
  }),
  row({
    name: "program type × helper",
    open: ({ btf, kernel }) => new HelperBench(kernel, btf),
    cases: helperCalls,
    policy: -errno.EPERM,
    every: 5
  }),
  row({
    name: "attach to targets",
    open: ({ btf, extras, kernel }) => new AttachBench(kernel, btf, extras()),
    cases: attachments,
    every: 40
  }),
  row({
    name: "map commands",
    open: ({ extras, kernel }) => new MapBench(kernel, extras()),
    cases: mapCommands,
    every: 120
  }),
  row({
    name: "order of attachments",
    open: ({ cgroups, kernel }) => new OrderBench(kernel, cgroups),
    cases: orders,
    every: 20
  }),
  row({
    name: "helper results",
    open: ({ btf, kernel }) => new ResultBench(kernel, btf),
    cases: helperResults,
    policy: -errno.EPERM,
    every: 20
  }),
  row({
    name: "test runs",
    open: ({ btf, kernel }) => new RunBench(kernel, btf),
    cases: testRuns,
    policy: -errno.EPERM,
    every: 10
  })
]

const found: Record<string, Record<string, string>> = { ...knownDifferences }

const sorted = (map: ReadonlyMap<string, string>) => Object.fromEntries([...map].toSorted(([a], [b]) => a < b ? -1 : 1))

describe.skipIf(!release().startsWith(SERIES))("both kernels answer the same:", () => {
  beforeEach(skipUnlessPossible)

  for (const { cases, every, name, open, policy } of rows) {
    it.live(
      name,
      () =>
        Effect.gen(function*() {
          const { real, simulated } = yield* openBoth
          const sides = { real: open(real), simulated: open(simulated) }
          yield* Effect.addFinalizer(() =>
            Effect.sync(() => {
              sides.real.free()
              sides.simulated.free()
            })
          )
          const sample = { every: IS_FULL ? 1 : every, seed: SEED }
          const started = performance.now()
          const compared = compareRow({ name, cases: cases(), policy }, sides, sample)
          const seconds = ((performance.now() - started) / 1000).toFixed(1)
          const differing = compared.differences.size
          console.log(`${name}: ${compared.cases} cases, ${differing} differ (${IS_FULL ? "all" : SEED}; ${seconds} s)`)
          if (WRITES) {
            found[name] = sorted(compared.differences)
            return
          }
          const known = new Map(
            Object.entries(knownDifferences[name] ?? {}).filter(([each]) => isInSample(each, sample.every, SEED))
          )
          expect(sorted(compared.differences), "differences, and the list of those that are known").toEqual(
            sorted(known)
          )
          expect(differing / compared.cases).toBeLessThan(MOST_DIFFERING)
        }).pipe(Effect.scoped),
      { timeout: 1_800_000 }
    )
  }

  afterAll(() => {
    if (WRITES) writeFileSync(knownDifferencesFile, `${JSON.stringify(found, undefined, 2)}\n`)
  })
})
