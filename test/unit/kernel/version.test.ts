import { describe, it } from "@effect/vitest"
import * as Schema from "effect/Schema"
import { expect } from "vitest"
import { type FeatureName, features, isExpected } from "../../../src/kernel/Features.ts"
import { parseVersion } from "../../../src/kernel/version.ts"

describe("a kernel's release", () => {
  it("begins with its version, whatever follows", () => {
    const releases: Record<string, readonly [number, number, number]> = {
      "6.12.94+deb12-cloud-amd64": [6, 12, 94],
      "5.10.0-28-amd64": [5, 10, 0],
      "6.18.0-rc3": [6, 18, 0],
      "6.18-rc3": [6, 18, 0],
      "4.18.0-553.el8_10.x86_64": [4, 18, 0],
      "5.15.167.4-microsoft-standard-WSL2": [5, 15, 167],
      "10.0.1": [10, 0, 1]
    }
    for (const [release, [major, minor, patch]] of Object.entries(releases)) {
      expect(parseVersion(release)).toEqual({ major, minor, patch, release })
    }
  })

  it("without a number is version 0", () => {
    for (const release of ["", "linux", "v6.1.0", "six.one"]) {
      expect(parseVersion(release)).toEqual({ major: 0, minor: 0, patch: 0, release })
    }
  })

  const part = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 30 }))
  it.prop("has a feature from the feature's version on, by major and then by minor", [part, part], ([major, minor]) => {
    const version = parseVersion(`${major}.${minor}.7-generic`)
    for (const name of Object.keys(features) as Array<FeatureName>) {
      const [sinceMajor, sinceMinor] = features[name].since
      expect(isExpected(version, name), name).toBe(major * 1000 + minor >= sinceMajor * 1000 + sinceMinor)
    }
  })

  it("has a feature of its own version, and not one of the next", () => {
    expect(features.ringbuf.since).toEqual([5, 8])
    const expected = { "5.7.19": false, "5.8.0": true, "5.10.0": true, "4.19.0": false, "6.0.0": true, "": false }
    for (const [release, has] of Object.entries(expected)) {
      expect(isExpected(parseVersion(release), "ringbuf"), release).toBe(has)
    }
  })
})
