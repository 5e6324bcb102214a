import { describe, it } from "@effect/vitest"
import { expect } from "vitest"
import { bpf_map_type } from "../../../src/abi/generated/enums.ts"
import { mapTypes } from "../../../src/abi/names.ts"
import { MapKind } from "../../../src/index.ts"

describe("the table of map kinds", () => {
  it("has each kind that the kernel's enum has, by its number and by its name", () => {
    const numbers = new Set(Object.values(bpf_map_type))
    numbers.delete(bpf_map_type.BPF_MAP_TYPE_UNSPEC)
    numbers.delete(bpf_map_type.__MAX_BPF_MAP_TYPE)
    for (const number of numbers) expect(MapKind.of(number), `kind ${number}`).toBeDefined()
    for (const name of MapKind.names) {
      expect(MapKind.numberOf(name), name).toBe(mapTypes[name])
      expect(MapKind.of(mapTypes[name]), name).toBe(MapKind.of(name))
      expect(mapTypes[MapKind.nameOf(mapTypes[name]) as keyof typeof mapTypes], name).toBe(mapTypes[name])
    }
  })

  it("does not know a kind of a later kernel, nor a property that all objects have", () => {
    expect(MapKind.of(9999)).toBeUndefined()
    expect(MapKind.nameOf(9999)).toBe(9999)
    for (const name of ["constructor", "toString", "__proto__"]) {
      expect(MapKind.of(name as never), name).toBeUndefined()
      expect(MapKind.numberOf(name as never), name).toBeUndefined()
    }
  })

  it("has all facts of a kind in its row, and none from Object.prototype", () => {
    const facts = new Set(MapKind.names.flatMap((name) => Object.keys(MapKind.of(name)!)))
    for (const name of MapKind.names) {
      for (const fact of facts) expect(Object.hasOwn(MapKind.of(name)!, fact), `${name}: ${fact}`).toBe(true)
    }
  })

  it("says of arrays and of maps without keys what their keys are", () => {
    for (const name of MapKind.names) {
      const { keys, keySize } = MapKind.of(name)!
      if (keys === "index") expect(keySize, name).toEqual([4])
      if (keys === "none") expect(keySize, name).toEqual([0])
    }
  })
})
