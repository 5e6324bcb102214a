import { describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { execFileSync } from "node:child_process"
import { fileURLToPath } from "node:url"
import { expect } from "vitest"
import { deferredStream, schemaModule, streamModule } from "../../../src/effect/onDemand.ts"

const root = fileURLToPath(new URL("../../..", import.meta.url))

/** The files that a process loads which imports some of our modules, and then evaluates an expression. */
const loaded = (modules: ReadonlyArray<string>, expression = ""): ReadonlyArray<string> => {
  const source = `
    import { registerHooks } from "node:module"
    const urls = []
    registerHooks({ load: (url, context, next) => (urls.push(url), next(url, context)) })
    const all = await Promise.all(${JSON.stringify(modules)}.map((name) => import("effect-ebpf/" + name)))
    const [first] = all
    ${expression}
    process.stdout.write(JSON.stringify(urls))`
  const args = ["--conditions=effect-ebpf-source", "--no-warnings", "--input-type=module", "-e", source]
  return JSON.parse(execFileSync(process.execPath, args, { cwd: root, encoding: "utf8" })) as ReadonlyArray<string>
}

const costly = /\/src\/(?:simulated|catalog)\/|effect\/dist\/(?:Schema|Stream|Channel|SchemaAST)\.js$/

describe("what a program loads at its start", () => {
  it("is nothing simulated or catalogued, and neither Schema nor Stream", () => {
    const urls = loaded(["Kernel", "HashMap", "Program", "Layout", "RingBuffer", "LpmTrie", "Address"])
    expect(urls.length).toBeGreaterThan(50)
    expect(urls.filter((url) => costly.test(url))).toEqual([])
  }, 60_000)

  it("has Schema once a schema is asked for", () => {
    const urls = loaded(["Layout"], "first.u32.schema")
    expect(urls.some((url) => url.endsWith("/effect/dist/Schema.js"))).toBe(true)
  }, 60_000)
})

describe("what is loaded on demand", () => {
  it("is the very module that users import", () => {
    expect(schemaModule().Struct).toBe(Schema.Struct)
    expect(streamModule().fromPull).toBe(Stream.fromPull)
  })
})

describe("a deferred stream", () => {
  it("is made when it is first run or transformed, and once", async () => {
    let made = 0
    const numbers = deferredStream((stream) => {
      made++
      return stream.make(1, 2, 3)
    })
    expect(Stream.isStream(numbers)).toBe(true)
    expect(made).toBe(0)
    const doubled = numbers.pipe(Stream.map((n) => n * 2))
    expect(await Effect.runPromise(Stream.runCollect(doubled))).toEqual([2, 4, 6])
    expect(await Effect.runPromise(Stream.runCollect(Stream.concat(numbers, numbers)))).toEqual([1, 2, 3, 1, 2, 3])
    expect(made).toBe(1)
  })
})
