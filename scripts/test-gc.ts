// Runs the kernel tier with a garbage collection every 200 allocations: memory that the kernel was told of, and that
// JavaScript moved or freed, shows as a failure or a crash here.
import { spawnSync } from "node:child_process"
import { fileURLToPath } from "node:url"

const root = fileURLToPath(new URL("..", import.meta.url))
const vitest = `${root}node_modules/vitest/vitest.mjs`
// The fault tests make hundreds of runs of one scenario, and those that are generated thousands: they add time, and no
// further call. Others run processes of their own.
const filter = [
  "--reporter=dot",
  "--testNamePattern",
  "^(?!.*(faults|failing calls|generated)).*$",
  ...["comparison", "demo", "disassemblerTools", "examples", "verdicts", "workers"].flatMap((name) => [
    "--exclude",
    `test/kernel/${name}.test.ts`
  ])
]
const args = [vitest, "run", "--config", "test/vitest.config.ts", "--project", "kernel", ...filter]
const env = { ...process.env, GC_STRESS: "1" }
const result = spawnSync(process.execPath, args, { cwd: root, env, stdio: "inherit" })
process.exitCode = result.status ?? 1
