// Holds the code to docs/architecture.md: imports go down the floors only and never into another floor's internal/, koffi
// stands behind one door, bpf(2) is called in bpf/ alone, and Effect's barrel, which costs 300 ms at start, is never
// imported. No files import each other in a circle.
import { readdirSync, readFileSync } from "node:fs"
import { dirname, join, relative } from "node:path"
import { fileURLToPath } from "node:url"

const root = fileURLToPath(new URL("../src/", import.meta.url))

/**
 * Folders by floor, from the ground up. A folder may import from floors below its own, and from itself. What stands under
 * a folder's `internal/` is for that folder alone.
 */
const floors: ReadonlyArray<ReadonlyArray<string>> = [
  ["effect"],
  ["layout", "abi"],
  ["isa", "btf", "elf"],
  ["kernel"],
  ["bpf"],
  ["spec", "relocate"],
  ["map", "program"],
  ["attach", "events"],
  ["catalog", "object", "codegen"],
  ["cli"],
  // Nothing of the library imports it, the index included: it is reached by its own sub-paths.
  ["simulated"]
]

/** A kernel of its own: it knows what a kernel is told (bytes) and the tables of kinds, and none of those who tell it. */
const simulatedStandsOn: ReadonlySet<string> = new Set(["abi", "layout", "isa", "btf", "kernel", "spec"])

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

/** What costs a program more at its start than this package, and most never use. */
const onDemand = new Set(["effect/Schema", "effect/Stream"])

/** What a file loads at its start: all imports but those of types. */
const loadsOf = (source: string): ReadonlyArray<string> =>
  [...source.matchAll(/^import (?!type )[^"]*"([^"]+)"/gm)].map((match) => match[1]!)

const problems: Array<string> = []
const imports = new Map<string, ReadonlyArray<string>>()

for (const path of readdirSync(root, { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".ts"))) {
  const folder = path.includes("/") ? path.slice(0, path.indexOf("/")) : undefined
  const source = readFileSync(join(root, path), "utf8")
  if (/\bbpf\.call\(/.test(source) && !["kernel", "bpf", "simulated"].includes(folder ?? "")) {
    problems.push(`${path}: makes a call of bpf(2), each of which has its function in bpf/`)
  }
  for (const specifier of loadsOf(source).filter((name) => onDemand.has(name))) {
    problems.push(`${path}: loads ${specifier} at its start; src/effect/onDemand.ts loads it when it is needed`)
  }
  for (const specifier of importsOf(source)) {
    if (specifier === "effect") problems.push(`${path}: imports the effect barrel`)
    if (specifier === "koffi" && !path.startsWith("kernel/internal/")) problems.push(`${path}: imports koffi`)
    if (!specifier.startsWith(".")) continue
    imports.set(path, [...imports.get(path) ?? [], relative(root, join(root, dirname(path), specifier))])
    const [target, ...rest] = relative(root, join(root, dirname(path), specifier)).split("/") as [
      string,
      ...Array<string>
    ]
    if (folder === undefined && target === "simulated") problems.push(`${path}: exports ${specifier}`)
    if (folder === undefined || target === folder) continue
    if (folder === "simulated" && !simulatedStandsOn.has(target)) {
      problems.push(`${path}: imports ${specifier}, and stands on ${[...simulatedStandsOn].join(", ")} alone`)
    }
    if (rest.includes("internal")) problems.push(`${path}: imports ${specifier}, which is internal to ${target}/`)
    if (floorOf(target) >= floorOf(folder)) {
      problems.push(`${path}: imports ${specifier}, and ${target}/ is not below ${folder}/`)
    }
  }
}

/** Files that import each other in a circle, types included: the linter's import/no-cycle passes over those. */
const circles = (graph: ReadonlyMap<string, ReadonlyArray<string>>): ReadonlyArray<string> => {
  const done = new Set<string>()
  const found: Array<string> = []
  const visit = (file: string, path: ReadonlyArray<string>): void => {
    if (path.includes(file)) found.push([...path.slice(path.indexOf(file)), file].join(" → "))
    else if (!done.has(file)) {
      for (const next of graph.get(file) ?? []) visit(next, [...path, file])
      done.add(file)
    }
  }
  for (const file of graph.keys()) visit(file, [])
  return found
}

// The page says of each folder on which floor it is.
const told = new Map(
  [...readFileSync(join(root, "../docs/architecture.md"), "utf8").matchAll(/^- (\d+) `(\w+)\/`/gm)]
    .map(([, floor, folder]) => [folder!, Number(floor)] as const)
)
for (const entry of readdirSync(root, { withFileTypes: true })) {
  if (entry.isDirectory() && told.get(entry.name) !== floorOf(entry.name)) {
    problems.push(`docs/architecture.md: ${entry.name}/ is on floor ${floorOf(entry.name)}`)
  }
}
// A file with a capital letter is a public module, by that name; all others are the package's own.
const { exports } = JSON.parse(readFileSync(join(root, "../package.json"), "utf8"))
const offered = new Set(
  Object.values<{ readonly "effect-ebpf-source"?: string }>(exports).map((entry) => entry["effect-ebpf-source"])
)
for (const path of readdirSync(root, { recursive: true, encoding: "utf8" })) {
  if (!path.endsWith(".ts") || path === "index.ts") continue
  const isPublic = /\/[A-Z][^/]*$/.test(path)
  if (isPublic && path.includes("/internal/")) problems.push(`${path}: a public name under internal/`)
  const isOffered = offered.has(`./src/${path}`)
  if (isPublic && !isOffered) problems.push(`${path}: named as a public module, and package.json does not export it`)
  if (!isPublic && isOffered) problems.push(`${path}: exported by package.json, and not named as a public module`)
}
for (const circle of circles(imports)) problems.push(`a circle: ${circle}`)
for (const problem of problems) console.error(problem)
if (problems.length > 0) process.exitCode = 1
else console.log(`architecture: imports go down the floors`)
