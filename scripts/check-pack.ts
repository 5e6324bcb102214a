// Packs the package, installs it into an empty project together with its peer, and uses it there: every public module
// imports, internals do not, and types resolve.
import { execFileSync } from "node:child_process"
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

const root = fileURLToPath(new URL("..", import.meta.url))
const directory = mkdtempSync(join(tmpdir(), "effect-ebpf-pack-"))
const manifest = JSON.parse(readFileSync(`${root}package.json`, "utf8"))

const run = (cwd: string, command: string, ...args: ReadonlyArray<string>): string =>
  execFileSync(command, args, { cwd, encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] })

/** The public modules, which the export map must offer one by one: those of the index, and the simulation's. */
const modules: ReadonlyArray<readonly [name: string, path: string]> = [
  ...[...readFileSync(`${root}src/index.ts`, "utf8").matchAll(/export \* as (\w+) from "\.\/(.+)\.ts"/g)]
    .map(([, name, path]) => [name!, path!] as const),
  ...readdirSync(`${root}src/simulated`)
    .flatMap((file) => file.endsWith(".ts") ? [[file.slice(0, -3), `simulated/${file.slice(0, -3)}`] as const] : [])
]

const fail = (message: string): never => {
  throw new Error(message)
}

for (const [name, path] of modules) {
  const entry = manifest.exports[`./${name}`]
  if (entry?.default !== `./dist/${path}.js` || entry?.types !== `./dist/${path}.d.ts`) {
    fail(`package.json: exports lacks ./${name} for ${path}`)
  }
}
const expected = modules.length + 2 // the index, and package.json
if (Object.keys(manifest.exports).length !== expected) fail(`package.json: exports has more than ${expected} entries`)
const runtime = [...Object.keys(manifest.dependencies), ...Object.keys(manifest.peerDependencies)]
if (runtime.toSorted().join() !== "effect,koffi") fail(`runtime dependencies are ${runtime.join()}`)

try {
  run(root, "npm", "run", "--silent", "build")
  const [{ filename, size }] = JSON.parse(
    run(root, "npm", "pack", "--json", "--ignore-scripts", "--pack-destination", directory)
  )
  writeFileSync(join(directory, "package.json"), JSON.stringify({ name: "empty", private: true, type: "module" }))
  const peers = [`effect@${manifest.devDependencies.effect}`, `typescript@${manifest.devDependencies.typescript}`]
  run(directory, "npm", "install", "--silent", "--no-audit", "--no-fund", `./${filename}`, ...peers)
  writeFileSync(
    join(directory, "use.ts"),
    `import { Kernel, Layout } from "effect-ebpf"
import * as SimulatedKernel from "effect-ebpf/SimulatedKernel"
import * as Asm from "effect-ebpf/Asm"
import * as Effect from "effect/Effect"
${modules.map(([name]) => `await import("effect-ebpf/${name}")`).join("\n")}
const size: number = Layout.struct({ a: Layout.u8, b: Layout.u64 }).size
const kind: "linux" | "simulated" = await Effect.runPromise(
  Kernel.Kernel.pipe(Effect.map((kernel) => kernel.kind), Effect.provide(SimulatedKernel.layer()))
)
const internals = ["effect-ebpf/src/index.ts", "effect-ebpf/kernel/internal/linux", "effect-ebpf/dist/index.js"]
for (const path of internals) {
  const closed = await import(path).then(() => false, () => true)
  if (!closed) throw new Error(path + " can be imported")
}
console.log(size, kind, Asm.assemble([Asm.mov("r0", 0), Asm.exit()])._tag)
`
  )
  const options = [
    "--noEmit",
    "--strict",
    "--module",
    "nodenext",
    "--target",
    "es2022",
    "--skipLibCheck",
    "--types",
    ""
  ]
  run(directory, join(directory, "node_modules/.bin/tsc"), ...options, "use.ts")
  const output = run(directory, process.execPath, "use.ts").trim()
  if (output !== "16 simulated Success") fail(`the packed package printed: ${output}`)
  console.log(`pack: ${filename}, ${Math.round(size / 1024)} KiB; ${modules.length} modules import in an empty project`)
} finally {
  rmSync(directory, { recursive: true, force: true })
}
