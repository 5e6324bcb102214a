import { describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import { readFileSync } from "node:fs"
import { expect, expectTypeOf } from "vitest"
import {
  type ArrayMap,
  Asm,
  Catalog,
  type PerCpuArrayMap,
  type ProgArray,
  type Program,
  type RingBufferMap
} from "../../../src/index.ts"
import * as SimulatedKernel from "../../../src/simulated/SimulatedKernel.ts"

const docs = readFileSync(new URL("../../../docs/catalog.md", import.meta.url), "utf8")

/** The cells of the row of a table that begins with a name. */
const rowOf = (name: string): ReadonlyArray<string> | undefined =>
  docs.split("\n").map((line) => line.split("|").map((cell) => cell.trim())).find(([, first]) =>
    first === `\`${name}\``
  )

describe("Catalog", () => {
  it("has at least 30 programs, each under a name of its own", () => {
    expect(Catalog.names.length).toBeGreaterThanOrEqual(30)
    expect(new Set(Catalog.names.map((name) => Catalog.get(name).program.name)).size).toBe(Catalog.names.length)
    for (const name of Catalog.names) expect(Catalog.get(name).name).toBe(name)
  })

  it("gives each program as a value that assembles, with a description and maps under the names that it uses", () => {
    for (const name of Catalog.names) {
      const entry: Catalog.Entry = Catalog.get(name)
      expect(entry.description, name).toMatch(/^[A-Z].*\.$/s)
      for (const [map, { spec }] of Object.entries(entry.maps)) expect(spec.name, name).toBe(map)
      const programs = [entry.program, ...Object.values(entry.companions)]
      const used = programs.flatMap((
        { instructions }
      ) => [...Result.getOrThrow(Asm.assemble(instructions)).maps.keys()])
      expect([...new Set(used)].toSorted(), name).toEqual(Object.keys(entry.maps).toSorted())
    }
  })

  it("is in the table of docs/catalog.md, with type, maps and first kernel", () => {
    for (const name of Catalog.names) {
      const entry: Catalog.Entry = Catalog.get(name)
      const row = rowOf(name)
      expect(row, name).toBeDefined()
      const [, , type, , , maps, since] = row!
      expect(type, name).toBe(`\`${entry.program.type}\``)
      expect(maps, name).toBe(Object.keys(entry.maps).map((map) => `\`${map}\``).join(", "))
      expect(since, name).toBe(entry.since.join("."))
    }
    const rows = docs.split("\n").filter((line) => line.startsWith("| `"))
    expect(rows).toHaveLength(Catalog.names.length)
  })

  it("knows its names", () => {
    expect(Catalog.has("xdp-pass")).toBe(true)
    for (const name of ["", "xdp_pass", "toString", "__proto__"]) expect(Catalog.has(name), name).toBe(false)
    expect(() => Catalog.get("toString" as never)).toThrow("one of Catalog.names")
  })

  it.effect("fails for a name that is none", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(Catalog.load("constructor" as never))
      expect(error).toMatchObject({ _tag: "InvalidArgument", field: "name", actual: "constructor" })
    }).pipe(Effect.scoped, Effect.provide(SimulatedKernel.layer())))

  it("types programs and maps by the name, and options too", () => {
    const counter = null as unknown as Catalog.LoadedOf<"packet-counter">
    const dispatcher = null as unknown as Catalog.LoadedOf<"tail-call-dispatcher">
    const log = null as unknown as Catalog.LoadedOf<"timestamp-tracer">
    type Of<T> = { readonly _: T }
    expectTypeOf<Of<(typeof counter)["program"]>>().toEqualTypeOf<Of<Program.Program<"xdp">>>()
    expectTypeOf<Of<(typeof counter)["maps"]["packets"]>>().toEqualTypeOf<Of<PerCpuArrayMap.PerCpuArrayMap<bigint>>>()
    expectTypeOf<Of<(typeof dispatcher)["maps"]["handlers"]>>().toEqualTypeOf<Of<ProgArray.ProgArray<"xdp">>>()
    expectTypeOf<keyof (typeof dispatcher)["companions"]>().toEqualTypeOf<"tcp" | "udp" | "icmp">()
    expectTypeOf<Of<(typeof log)["maps"]["timestamps"]>>().toEqualTypeOf<
      Of<RingBufferMap.RingBufferMap<{ readonly time: bigint; readonly pid: number; readonly cpu: number }>>
    >()
    expectTypeOf<Catalog.LoadedOf<"load-balancer">["maps"]["backends"]>().toEqualTypeOf<
      ArrayMap.ArrayMap<{ readonly address: string; readonly mac: string }>
    >()
    // @ts-expect-error: no such program
    expect(() => Catalog.get("nonesuch")).toThrow()
    // @ts-expect-error: no such option
    expect(() => Catalog.get("tcp-port-filter", { ports: 1 })).toThrow("did you mean port?")
    // @ts-expect-error: no options at all
    expect(() => Catalog.get("xdp-pass", { port: 1 })).toThrow("expected no options")
  })
})
