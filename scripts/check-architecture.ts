// Holds the code to docs/architecture.md: imports go down the floors only, koffi stands behind one door, and Effect's
// barrel, which costs 300 ms at start, is never imported. Circles are the linter's (import/no-cycle).
import { readdirSync, readFileSync } from "node:fs"
import { dirname, join, relative } from "node:path"
import { fileURLToPath } from "node:url"

const root = fileURLToPath(new URL("../src/", import.meta.url))

/** Folders by floor, from the ground up. A folder may import from floors below its own, and from itself. */
const floors: ReadonlyArray<ReadonlyArray<string>> = [
  ["layout", "abi"],
  ["isa", "btf", "elf", "kernel"],
  ["spec", "relocate", "testing"],
  ["map", "program"],
  ["attach", "events", "catalog"],
  ["object", "codegen"],
  ["cli"]
]

const floorOf = (folder: string): number => {
  const floor = floors.findIndex((folders) => folders.includes(folder))
  if (floor < 0) throw new Error(`src/${folder} is on no floor: name it in scripts/check-architecture.ts`)
  return floor
}

const importsOf = (source: string): ReadonlyArray<string> =>
  [...source.matchAll(/(?:from |import\()"([^"]+)"/g)]
    .filter((match) =>
      !source.slice(source.lastIndexOf("\n", match.index) + 1, match.index).trimStart().startsWith("*")
    )
    .map((match) => match[1]!)

const problems: Array<string> = []

for (const path of readdirSync(root, { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".ts"))) {
  const folder = path.includes("/") ? path.slice(0, path.indexOf("/")) : undefined
  for (const specifier of importsOf(readFileSync(join(root, path), "utf8"))) {
    if (specifier === "effect") problems.push(`${path}: imports the effect barrel`)
    if (specifier === "koffi" && !path.startsWith("kernel/internal/")) problems.push(`${path}: imports koffi`)
    if (!specifier.startsWith(".")) continue
    const target = relative(root, join(root, dirname(path), specifier)).split("/")[0]!
    if (folder === undefined || target === folder) continue
    if (floorOf(target) >= floorOf(folder)) {
      problems.push(`${path}: imports ${specifier}, and ${target}/ is not below ${folder}/`)
    }
  }
}

for (const problem of problems) console.error(problem)
if (problems.length > 0) process.exitCode = 1
else console.log(`architecture: imports go down the floors`)
