import { beforeEach, describe } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { expect } from "vitest"
import { BpfMap, Features, Kernel, type MapSpec } from "../../src/index.ts"
import { real } from "../support/kernels.ts"
import { skipUnlessPossible } from "../support/privilege.ts"

/** Families without a module of their own, and what the kernel wants of each. */
const families: ReadonlyArray<readonly [Features.FeatureName, Omit<MapSpec.MapSpec, "name">]> = [
  ["bloomFilter", { type: "bloom_filter", keySize: 0, valueSize: 4, maxEntries: 16, flags: 0 }],
  ["userRingbuf", { type: "user_ringbuf", keySize: 0, valueSize: 0, maxEntries: 4096, flags: 0 }]
]

describe("map families by their type, on this machine's kernel", () => {
  beforeEach(skipUnlessPossible)

  for (const [feature, parts] of families) {
    const spec = { name: "by_type", ...parts }

    real(`a ${spec.type} map is made, and the kernel knows it by its name`, () =>
      Effect.gen(function*() {
        const map = yield* BpfMap.make(spec)
        expect(yield* BpfMap.info(map)).toMatchObject({ name: "by_type", maxEntries: spec.maxEntries })
      }), { needs: feature })

    real(
      `a kernel too old for a ${spec.type} map is told so, with the version that has it`,
      () =>
        Effect.gen(function*() {
          const { version } = yield* Kernel.Kernel
          if (Features.isExpected(version, feature)) return
          const error = yield* Effect.flip(BpfMap.make(spec))
          expect(error).toMatchObject({ _tag: "SystemCallError", code: "EINVAL" })
          expect(error.message).toContain(`needs Linux ${Features.features[feature].since.join(".")} or later`)
        })
    )
  }
})
