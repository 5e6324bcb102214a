// One rule for the kinds of a family: each has a pair of constructors, and no option chooses between kinds.
import { describe, expect, test } from "vitest"
import * as library from "../../../src/index.ts"

const { Layout } = library

const inner = library.HashMap.define({ name: "inner", key: Layout.u32, value: Layout.u32, maxEntries: 1 })
/** What any of them needs; each is given what it takes. */
const parts: Readonly<Record<string, unknown>> = {
  name: "kinds",
  key: Layout.u32,
  value: Layout.u64,
  record: Layout.u64,
  inner,
  programs: "xdp",
  maxEntries: 4096
}
/** What has chosen kinds once, and options that look as if they might. */
const choosing = { hash: true, lru: true, stack: true, perCpu: true, type: "stack", kind: "task_storage" }

/** The options that a constructor takes of the parts: it names what it misses, and refuses what it does not know. */
const optionsFor = (maker: Maker): object => {
  const given: Record<string, unknown> = {}
  for (;;) {
    try {
      maker({ ...given })
      return given
    } catch (error) {
      const { field } = error as { readonly field: string }
      expect(field in parts && !(field in given), `${field} is missed`).toBe(true)
      given[field] = parts[field]
    }
  }
}

type Maker = (options: object) => library.MapDefinition.Definition<library.BpfMap.BpfMap>

const families = Object.entries(library).flatMap(([name, module]) => {
  const names = Object.keys(module)
  const definers = names.filter((key) => /^define([A-Z]|$)/.test(key))
  return definers.length === 0 ? [] : [{ name, module: module as Record<string, unknown>, names, definers }]
})

describe("the constructors of families", () => {
  test("there are those of all the families", () => {
    expect(families.length).toBeGreaterThan(20)
    expect(families.filter(({ definers }) => definers.some((key) => key !== "define")).map(({ name }) => name)).toEqual(
      ["CgroupStorage", "DevMap", "HashMap", "LocalStorage", "MapOfMaps", "PerCpuHashMap", "QueueMap", "SockMap"]
    )
  })

  for (const { definers, module, name, names } of families) {
    test(`${name} has a maker for each of ${definers.join(", ")}, and the other way round`, () => {
      const makers = names.filter((key) => /^make([A-Z]|$)/.test(key))
      expect(makers.map((key) => key.slice("make".length)).toSorted())
        .toEqual(definers.map((key) => key.slice("define".length)).toSorted())
    })

    // `BytesMap` is of any kind, which its options name; `StructOpsMap` has one, and takes the layout of its struct.
    if (name === "BytesMap" || name === "StructOpsMap") continue
    test(`each constructor of ${name} makes a kind of its own, which no option changes`, () => {
      const kinds = definers.map((key) => {
        const maker = module[key] as Maker
        const options = optionsFor(maker)
        for (const option of Object.entries(choosing)) {
          expect(() => maker({ ...options, ...Object.fromEntries([option]) })).toThrow(`an option "${option[0]}"`)
        }
        return maker(options).spec.type
      })
      expect(new Set(kinds).size).toBe(definers.length)
    })
  }
})
