// Shows that the handle API allocates nothing per operation: counts the garbage collections that --trace-gc reports during
// 10 million of each, with keys and values as numbers and a young generation of 1 MiB. One of 16 bytes each would make
// some 150.
//
//   node scripts/bench/allocation.ts [COUNT]
import { spawnSync } from "node:child_process"
import { fileURLToPath } from "node:url"

const subject = fileURLToPath(new URL("subjects/allocation.ts", import.meta.url))
const count = process.argv[2] ?? "10000000"

for (const operation of ["lookup", "update", "delete", "nextKey"]) {
  const flags = ["--trace-gc", "--max-semi-space-size=1", "--conditions=effect-ebpf-source"]
  const { status, stderr, stdout } = spawnSync(process.execPath, [...flags, subject, operation, count], {
    encoding: "utf8",
    maxBuffer: 1 << 28
  })
  if (status !== 0) throw new Error(`${operation}: ${stderr}`)
  const lines = stdout.split("\n")
  const during = lines.slice(lines.indexOf("begin") + 1, lines.indexOf("end"))
  const collections = during.filter((line) => /Scavenge|Mark-Compact/.test(line)).length
  console.log(`${operation}: ${collections} collections in ${count} operations`)
}
