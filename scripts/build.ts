// Builds dist/ for publishing, from an empty folder: declarations by the compiler, and JavaScript in few files.
//
// A process that imports a module pays for each file and for each import in it, some half a millisecond: as one file for each
// module, making one map through three sub-paths loaded 85 files, and took twice as long as Effect and koffi alone. So each
// public module is a file that passes on what stands in a chunk: `base` has what nearly all programs need, the others what
// some do. Nothing is minified, names are kept, and maps lead to the TypeScript sources, which the package holds too: maps do not
// repeat them, nor does JavaScript repeat what declarations say of each export.
import { execFileSync } from "node:child_process"
import { readFileSync, rmSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { rolldown } from "rolldown"

const root = fileURLToPath(new URL("..", import.meta.url))
const [option, folder] = process.argv.slice(2)
const outDir = option === "--outDir" && folder !== undefined ? folder : join(root, "dist")

rmSync(outDir, { recursive: true, force: true })
const tsc = join(root, "node_modules/typescript/bin/tsc")
const declarations = ["-p", join(root, "scripts/tsconfig.build.json"), "--emitDeclarationOnly", "--outDir", outDir]
execFileSync(process.execPath, [tsc, ...declarations], { cwd: root, stdio: "inherit" })

/** What the conditions of a sub-path name: its source and its built file. */
interface Conditions {
  readonly "effect-ebpf-source": string
  readonly default: string
}

const { exports } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
  readonly exports: { readonly [path: string]: string | Conditions }
}
const entries = Object.values(exports).filter((entry) => typeof entry !== "string")
const input = Object.fromEntries(
  entries.map((entry) => [entry.default.replace(/^\.\/dist\/(.*)\.js$/, "$1"), join(root, entry["effect-ebpf-source"])])
)

/** What the first program of a newcomer loads, and all that is under it. */
const BASE = ["map/HashMap.ts", "kernel/Kernel.ts", "layout/Layout.ts"].map((path) => join(root, "src", path))
const base = new Set<string>()

const bundle = await rolldown({
  input,
  external: (id) => !id.startsWith(".") && !id.startsWith("/"),
  platform: "node",
  treeshake: false,
  preserveEntrySignatures: "allow-extension",
  plugins: [{
    name: "base",
    buildEnd() {
      const visit = (id: string): void => {
        if (base.has(id) || !id.startsWith("/")) return
        base.add(id)
        for (const next of this.getModuleInfo(id)?.importedIds ?? []) visit(next)
      }
      for (const id of BASE) visit(id)
    }
  }]
})

/** Chunks by what is rarely needed together; a module goes into the first that has it. */
const groups = [
  { name: "base", test: (id: string) => base.has(id) },
  { name: "simulated", test: /\/src\/simulated\// },
  { name: "isa", test: /\/src\/isa\// },
  { name: "rest", test: /\/src\/.*\/.*\.ts$/ }
]

const { output } = await bundle.write({
  dir: outDir,
  format: "esm",
  entryFileNames: "[name].js",
  chunkFileNames: "chunks/[name].js",
  sourcemap: true,
  sourcemapExcludeSources: true,
  comments: { jsdoc: false },
  keepNames: true,
  codeSplitting: {
    includeDependenciesRecursively: false,
    groups: groups.map((group, i) => ({ ...group, priority: groups.length - i }))
  }
})
console.log(`${output.filter((file) => file.type === "chunk").length} files in ${outDir}`)
