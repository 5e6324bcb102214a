// Compiles every TypeScript example in docstrings, README.md and docs/, so that none of them goes stale.
import { execFileSync } from "node:child_process"
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

const root = fileURLToPath(new URL("..", import.meta.url))
const out = join(root, ".cache/examples")

const files = (folder: string, extension: string): ReadonlyArray<string> =>
  readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(extension))
    .map((name) => join(folder, name))

/** Code between ```ts fences; in a docstring each line begins with ` * `. */
const examplesOf = (source: string): ReadonlyArray<string> =>
  [...source.matchAll(/^( \* )?```ts\n([\s\S]*?)^(?: \* )?```$/gm)].map(([, star, code]) =>
    star === undefined ? code! : code!.replace(/^ \* ?/gm, "")
  )

const sources = ["README.md", ...files("docs", ".md"), ...files("src", ".ts")]

rmSync(out, { recursive: true, force: true })
mkdirSync(out, { recursive: true })
let count = 0
for (const path of sources) {
  for (const [index, code] of examplesOf(readFileSync(join(root, path), "utf8")).entries()) {
    // One that imports its neighbour is a file under examples/, which test/unit/readme.test.ts holds it to.
    if (/from "\.\//.test(code)) continue
    writeFileSync(join(out, `${path.replaceAll(/\W/g, "_")}_${index}.ts`), `${code}\nexport {}\n`)
    count++
  }
}
writeFileSync(
  join(out, "tsconfig.json"),
  JSON.stringify({
    extends: "../../tsconfig.json",
    compilerOptions: { noUnusedLocals: false, noUnusedParameters: false },
    include: ["*.ts"]
  })
)
execFileSync("tsc", ["-p", out], { cwd: root, stdio: "inherit" })
console.log(`docs: ${count} examples compile`)
