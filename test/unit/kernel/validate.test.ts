import { describe, it } from "@effect/vitest"
import { expect } from "vitest"
import { checkInteger, checkName } from "../../../src/kernel/validate.ts"

describe("an object's name", () => {
  it("has 1 to 15 letters, digits, underscores and dots", () => {
    for (const name of ["a", "counters", "known.name_1", "A1_.", "fifteen_letters"]) {
      expect(checkName("name", name), name).toBeUndefined()
    }
    for (const name of ["", "sixteen_letters_", "a name", "a-b", "naïve", "a\n", "a\0", "\n"]) {
      expect(checkName("name", name), JSON.stringify(name)).toMatchObject({
        _tag: "InvalidArgument",
        field: "name",
        actual: JSON.stringify(name)
      })
    }
  })
})

describe("an integer", () => {
  it("lies within its limits, or the error names them", () => {
    for (const value of [1, 5, 10]) expect(checkInteger("n", value, 1, 10)).toBeUndefined()
    for (const value of [0, 11, 1.5, Number.NaN, Infinity, -Infinity]) {
      expect(checkInteger("n", value, 1, 10)?.message).toBe(`n: expected an integer from 1 to 10, got ${value}`)
    }
  })
})
