// Holds test/README.md, which says where each module is tested, to the modules and the files that there are.
import { readdirSync, readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"

const root = fileURLToPath(new URL("..", import.meta.url))
const problems: Array<string> = []

/** What the page says: the files of each line, by what the line is about. */
const lines = new Map(
  [...readFileSync(`${root}test/README.md`, "utf8").matchAll(/^- (.+?): (.+)$/gm)]
    .map(([, about, files]) => [about!, files!.split(", ")] as const)
)
const present = new Set(readdirSync(`${root}test`, { recursive: true, encoding: "utf8" }))
const named = new Set([...lines.values()].flat())

const read = (path: string): string => readFileSync(`${root}${path}`, "utf8")

/** A file that tests a module speaks of it, or of a class that it exports. */
const speaksOf = (file: string, name: string, source: string): boolean => {
  const classes = [...read(source).matchAll(/^export class (\w+)/gm)].map((match) => match[1]!)
  return new RegExp(`\\b(${[name, ...classes].join("|")})\\b`).test(read(`test/${file}`))
}

const { exports } = JSON.parse(read("package.json"))
const modules = Object.entries<{ readonly "effect-ebpf-source"?: string }>(exports).flatMap(([path, entry]) => {
  const source = entry["effect-ebpf-source"]
  return path === "." || source === undefined ? [] : [[path.slice(2), source] as const]
})
for (const [name, source] of modules) {
  const tests = lines.get(name)
  if (tests === undefined) problems.push(`the module ${name} has no line`)
  else if (!tests.some((file) => present.has(file) && speaksOf(file, name, source))) {
    problems.push(`no file on the line of ${name} speaks of it`)
  }
}

/** Everything that holds tests: what vitest runs, and the specs that those files run. */
const files = [...present].filter((path) => path.endsWith(".test.ts") || /^behaviour\/.*\.ts$/.test(path))
for (const file of files) if (!named.has(file)) problems.push(`${file} is on no line`)
for (const file of named) if (!present.has(file)) problems.push(`${file} does not exist`)

for (const problem of problems) console.error(`test/README.md: ${problem}`)
if (problems.length > 0) process.exitCode = 1
else console.log(`tests: ${modules.length} modules and ${files.length} files are in test/README.md`)
