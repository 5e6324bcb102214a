import { describe, it } from "@effect/vitest"
import * as Schema from "effect/Schema"
import { expect } from "vitest"
import { countCpus } from "../../../src/kernel/internal/cpus.ts"

describe("a list of CPUs", () => {
  it("counts what it names", () => {
    const lists = { "0": 1, "0\n": 1, "0-3": 4, "0-3,8\n": 5, "0-1,4-5,127": 5, "7-7": 1, " 0-3 ": 4, "0-8191": 8192 }
    for (const [list, count] of Object.entries(lists)) expect(countCpus(list), list).toBe(count)
  })

  it("is told from other text", () => {
    const others = [
      "",
      "\n",
      "a",
      "0-",
      "-3",
      "3-0",
      "0,",
      ",0",
      "0,,1",
      "0-3-5",
      "0x3",
      "1.5",
      "0 1",
      "0-3;8",
      "-1--0"
    ]
    for (const text of others) expect(countCpus(text), JSON.stringify(text)).toBeUndefined()
  })

  const length = Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 50 }))
  const runs = Schema.Array(Schema.Struct({ gap: length, length })).check(Schema.isMinLength(1))
  it.prop("has as many as were written, in any mixture of ranges and single ones", [runs], ([runs]) => {
    let next = 0
    const parts = runs.map(({ gap, length }) => {
      const first = next + gap
      next = first + length
      return length === 1 ? `${first}` : `${first}-${next - 1}`
    })
    expect(countCpus(`${parts.join(",")}\n`)).toBe(runs.reduce((sum, { length }) => sum + length, 0))
  })
})
