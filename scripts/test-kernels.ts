// Runs the kernel tier on other kernels, and on this one, and prints one table.
//
//   npm run test:kernels [-- --kernel 6.1 …] [--slowest 10] [-- test filter …]
//
// Fails if a test fails, if a test is skipped for another reason than a feature that the table in src/kernel/Features.ts
// says this kernel is too old for, or if a kernel runs no test at all.
import { spawn } from "node:child_process"
import { existsSync } from "node:fs"
import { release } from "node:os"
import { fileURLToPath } from "node:url"
import { parseArgs } from "node:util"
import { features, isExpected } from "../src/kernel/Features.ts"
import { parseVersion } from "../src/kernel/version.ts"
import { MARK, type TestLine } from "../test/support/lineReporter.ts"
import { bootArm64, fetchArm64 } from "./vm/arm64.ts"
import { boot, installNeeds } from "./vm/boot.ts"
import { fetchKernel, type KernelName, kernelNames } from "./vm/kernels.ts"

const root = fileURLToPath(new URL("..", import.meta.url))

/** One kernel on the other processor that is supported. */
const ARM64 = "arm64"

const { positionals: filter, values } = parseArgs({
  allowPositionals: true,
  options: {
    kernel: { type: "string", multiple: true, default: [...kernelNames, ARM64, "host"] },
    seconds: { type: "string", default: "1800" },
    slowest: { type: "string", default: "10" }
  }
})

/** A kernel's run: what each test came to, and what went wrong beside the tests. */
interface Run {
  readonly column: string
  readonly release: string
  readonly tests: ReadonlyArray<TestLine>
  readonly problem: string | undefined
  readonly seconds: number
  /** All that was printed beside the results. */
  readonly output: string
}

const log = (line: string) => console.error(`test:kernels: ${line}`)

const vitest = [
  process.execPath,
  `${root}node_modules/vitest/vitest.mjs`,
  ...["run", "--config", "test/vitest.config.ts", "--project", "kernel", "--no-isolate", "--no-cache"],
  ...["--reporter", `${root}test/support/lineReporter.ts`],
  ...filter
]

const environment = {
  PATH: `${root}node_modules/.bin:${process.env["PATH"]}`,
  HOME: process.env["HOME"] ?? "/root",
  REQUIRE_KERNEL_TESTS: "1",
  NO_COLOR: "1"
}

/** Emulation is some ten times slower than this machine: what is generated is less there, and faults take turns. */
const emulated = { ...environment, EMULATED: "1", DIFFERENTIAL_RUNS: "200", MAPS_AGREE_RUNS: "400", FAULTS: "in turn" }

const without = (...names: ReadonlyArray<string>) =>
  names.flatMap((name) => ["--exclude", `test/kernel/${name}.test.ts`])

/**
 * What is the same on every kernel, or compared with the series that the simulated kernel is like, is tested on this
 * machine alone.
 */
const sameEverywhere = without(
  "comparison",
  "demo",
  "disassemblerTools",
  "examples",
  "garbage",
  "given",
  "ringOwners",
  "ringSoak",
  "verdicts",
  "workers"
)

/** How x86-64 writes eight bytes at once is no kernel's doing. */
const withoutViews = without("mapViews")

/** An emulated arm64 is slower still: it does without the ready programs, and without faults. */
const withoutCatalog = without("catalog")

/** Sorts printed lines into results and the rest. */
const collect = () => {
  const tests: Array<TestLine> = []
  let rest = ""
  let pending = ""
  const line = (text: string) => {
    const at = text.indexOf(MARK)
    if (at < 0) rest += `${text}\n`
    else tests.push(JSON.parse(text.slice(at + 1)))
  }
  return {
    tests,
    add: (chunk: Buffer) => {
      const lines = (pending + chunk.toString()).split("\n")
      pending = lines.pop()!
      for (const text of lines) line(text)
    },
    rest: () => rest + pending
  }
}

const runOnHost = (): Promise<Run> =>
  new Promise((resolve) => {
    const began = Date.now()
    const output = collect()
    const child = spawn(vitest[0]!, vitest.slice(1), { cwd: root, env: { ...process.env, ...environment } })
    child.stdout.on("data", output.add)
    child.stderr.on("data", output.add)
    child.on("close", (status) => {
      const failed = output.tests.some((test) => test.state === "failed")
      const problem = status === 0 || failed ? undefined : `vitest ended with ${status}`
      const seconds = (Date.now() - began) / 1000
      resolve({ column: "host", release: release(), tests: output.tests, problem, seconds, output: output.rest() })
    })
  })

const runOn = async (name: KernelName | typeof ARM64): Promise<Run> => {
  const output = collect()
  const options = {
    job: name === ARM64
      ? {
        command: [...vitest, ...sameEverywhere, ...withoutCatalog],
        directory: root,
        environment: { ...emulated, FAULTS: "none" }
      }
      : { command: [...vitest, ...sameEverywhere, ...withoutViews], directory: root, environment: emulated },
    seconds: Number(values.seconds),
    onOutput: output.add,
    onError: output.add
  }
  // An arm64 VM has its whole root in memory.
  const vm = name === ARM64 ? fetchArm64(log) : fetchKernel(name, log)
  const began = Date.now()
  const outcome = "base" in vm
    ? await bootArm64(vm, { ...options, megabytes: 3072 })
    : await boot(vm, { ...options, megabytes: 1536 })
  const failed = output.tests.some((test) => test.state === "failed")
  const problem = outcome._tag === "TimedOut"
    ? `no end after ${outcome.seconds} s`
    : outcome._tag === "Failed"
    ? `${outcome.reason}\n${outcome.console}`
    : outcome.status === 0 || failed
    ? undefined
    : `vitest ended with ${outcome.status}`
  const seconds = (Date.now() - began) / 1000
  return { column: name, release: vm.version, tests: output.tests, problem, seconds, output: output.rest() }
}

/** A skip is allowed only for a feature that the table says this kernel does not have. */
const isAllowed = (test: TestLine, kernel: string): boolean => {
  const feature = /\[(\w+)\]$/.exec(test.note)?.[1]
  return feature !== undefined && feature in features &&
    !isExpected(parseVersion(kernel), feature as keyof typeof features)
}

const problemsOf = (run: Run): ReadonlyArray<string> => {
  const where = `${run.column} (${run.release})`
  const failures = run.tests.filter((test) => test.state === "failed")
  const skips = run.tests.filter((test) => test.state === "skipped" && !isAllowed(test, run.release))
  const ran = run.tests.some((test) => test.state === "passed")
  return [
    ...failures.map((test) => `FAILED on ${where}: ${test.file} > ${test.name}\n${test.note}`),
    ...skips.map((test) => `SKIPPED on ${where} with no allowed reason: ${test.file} > ${test.name}: ${test.note}`),
    ...(run.problem === undefined ? [] : [`${where}: ${run.problem}\n${run.output}`]),
    ...(ran ? [] : [`${where}: no test passed\n${run.output}`])
  ]
}

const cell = (run: Run, file: string): string => {
  const tests = run.tests.filter((test) => test.file === file)
  const count = (state: TestLine["state"]) => tests.filter((test) => test.state === state).length
  if (tests.length === 0) return "-"
  const parts = [`${count("passed")} pass`]
  if (count("failed") > 0) parts.push(`${count("failed")} FAIL`)
  if (count("skipped") > 0) parts.push(`${count("skipped")} skip`)
  return parts.join(", ")
}

const printTable = (runs: ReadonlyArray<Run>): void => {
  const files = [...new Set(runs.flatMap((run) => run.tests.map((test) => test.file)))].toSorted()
  const rows = [
    ["", ...runs.map((run) => run.column)],
    ["", ...runs.map((run) => run.release.split("-").slice(0, 2).join("-"))],
    ...files.map((file) => [file, ...runs.map((run) => cell(run, file))]),
    ["seconds", ...runs.map((run) => run.seconds.toFixed(0))]
  ]
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)))
  for (const row of rows) console.log(row.map((text, column) => text.padEnd(widths[column]!)).join("  ").trimEnd())
}

const printSkips = (runs: ReadonlyArray<Run>): void => {
  const reasons = new Map<string, Array<string>>()
  for (const run of runs) {
    for (const test of run.tests.filter(({ state }) => state === "skipped")) {
      const key = `${test.name}: ${test.note}`
      reasons.set(key, [...reasons.get(key) ?? [], run.column])
    }
  }
  for (const [reason, columns] of reasons) console.log(`skipped on ${columns.join(", ")}: ${reason}`)
}

/** Says at once how a kernel's run ended, and what took long: the table comes only when all have. */
const told = (run: Run): Run => {
  const failures = run.tests.filter(({ state }) => state === "failed")
  const passed = run.tests.filter(({ state }) => state === "passed").length
  log(`${run.column}: ${passed} passed, ${failures.length} failed in ${run.seconds.toFixed(0)} s`)
  for (const test of failures) log(`${run.column}: FAILED ${test.file} > ${test.name}`)
  const slowest = run.tests.toSorted((one, other) => other.milliseconds - one.milliseconds).slice(
    0,
    Number(values.slowest)
  )
  for (const { file, name, milliseconds } of slowest) {
    log(`${run.column}: ${(milliseconds / 1000).toFixed(1)} s ${file} > ${name}`)
  }
  return run
}

/** Two at a time: more gains nothing on two cores. */
const inPairs = async <A>(tasks: ReadonlyArray<() => Promise<A>>): Promise<ReadonlyArray<A>> => {
  const results: Array<A> = []
  const queue = [...tasks.entries()]
  const worker = async () => {
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) results[next[0]] = await next[1]()
  }
  await Promise.all([worker(), worker()])
  return results
}

const isVirtual = (name: string): name is KernelName | typeof ARM64 =>
  name === ARM64 || kernelNames.includes(name as KernelName)

const main = async (): Promise<void> => {
  const unknown = values.kernel.filter((name) => name !== "host" && !isVirtual(name))
  if (unknown.length > 0) {
    throw new Error(`no kernel ${unknown.join(", ")}: there are ${[...kernelNames, ARM64, "host"].join(", ")}`)
  }
  const virtual = values.kernel.filter(isVirtual)
  if (virtual.length > 0) installNeeds(log, { arm64: virtual.includes(ARM64) })
  const runs = [...await inPairs(virtual.map((name) => async () => told(await runOn(name))))]
  // Last, and alone: tests on the host look at the whole process.
  if (values.kernel.includes("host")) runs.push(await runOnHost())
  const problems = runs.flatMap(problemsOf)
  for (const problem of problems) console.log(`${problem}\n`)
  printTable(runs)
  printSkips(runs)
  const count = (state: TestLine["state"]) => runs.flatMap((run) => run.tests).filter((t) => t.state === state).length
  console.log(`${count("passed")} passed, ${count("failed")} failed, ${count("skipped")} skipped`)
  if (problems.length > 0) process.exitCode = 1
}

if (!existsSync(`${root}node_modules`)) throw new Error("run npm ci, or scripts/test, first")
await main()
