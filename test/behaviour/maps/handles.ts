// What handles of maps are: told from other values, printed as what they are, and refused once their kernel is released.
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { inspect } from "node:util"
import { expect } from "vitest"
import { ArrayMap, BpfMap, HashMap, Layout } from "../../../src/index.ts"
import * as SimulatedKernel from "../../../src/simulated/SimulatedKernel.ts"
import type { Test } from "../../support/kernels.ts"

const values = { name: "counters", value: Layout.u32, maxEntries: 100 }
const options = { ...values, key: Layout.u32 }

export const handles = (test: Test): void => {
  test("a handle prints as what it is, with its id and descriptor, and as closed after that", () =>
    Effect.gen(function*() {
      const scope = yield* Scope.fork(yield* Effect.scope)
      const map = yield* Scope.provide(HashMap.make(options), scope)
      const { id } = yield* BpfMap.info(map)
      const text = `hash map "counters", id ${id}, fd ${map.fd}`
      expect(String(map)).toBe(text)
      expect(inspect(map)).toBe(text)
      expect(JSON.stringify(map)).toBe(JSON.stringify(text))
      expect(BpfMap.isBpfMap(map)).toBe(true)
      for (const other of [{ fd: 5, spec: map.spec }, null, undefined, 5, HashMap.define(options)]) {
        expect(BpfMap.isBpfMap(other)).toBe(false)
      }
      yield* Scope.close(scope, Exit.void)
      expect(String(map)).toBe(`hash map "counters", closed`)
    }))

  test("a map whose Kernel layer was released says that, and not that its scope has closed", () =>
    Effect.gen(function*() {
      const { array, map } = yield* Effect.all({ map: HashMap.make(options), array: ArrayMap.make(values) }).pipe(
        Effect.provide(SimulatedKernel.layer(), { local: true })
      )
      const entries = Array.from({ length: 100 }, (_, i) => [i, i] as const)
      const effects: ReadonlyArray<Effect.Effect<unknown, any, any>> = [
        map.lookup(1),
        map.update(1, 1),
        map.delete(1),
        map.lookupAndDelete(1),
        map.setMany(entries),
        map.setMany([[1, 1]]),
        map.getMany([1]),
        map.getMany(entries.map(([key]) => key)),
        map.deleteMany([1]),
        map.count,
        map.clear,
        Stream.runCollect(map.entries),
        Stream.runCollect(map.drain),
        array.lookup(1),
        array.update(1, 1)
      ]
      for (const effect of effects) {
        const error = yield* Effect.flip(effect)
        const cause = error._tag === "BatchError" ? error.cause : error
        expect(cause).toMatchObject({ _tag: "SystemCallError", code: "EBADF" })
        expect(cause.hint).toContain("Kernel layer")
      }
      for (
        const call of [() => map.lookupUnsafe(1), () => map.updateUnsafe(1, 1), () => map.nextKeyUnsafe(undefined)]
      ) {
        expect(call).toThrow("Kernel layer")
      }
    }))
}
