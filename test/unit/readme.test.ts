import { describe, expect, it } from "vitest"
import { readFileSync } from "node:fs"

describe("the README", () => {
  const codeOf = (path: string): string => readFileSync(path, "utf8").replace(/^(\/\/.*\n)+/, "").trim()

  for (const name of ["count", "main", "simulated"]) {
    it(`shows examples/count/${name}.ts as it is`, () => {
      expect(readFileSync("README.md", "utf8")).toContain(codeOf(`examples/count/${name}.ts`))
    })
  }
})
