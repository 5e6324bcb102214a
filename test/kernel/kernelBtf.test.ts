import { beforeEach, describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { statSync } from "node:fs"
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import { Btf, Kernel, KernelBtf } from "../../src/index.ts"
import { skipUnlessPossible } from "../support/privilege.ts"

const collect = (): void => {
  setFlagsFromString("--expose-gc")
  const gc = runInNewContext("gc") as () => void
  gc()
  gc()
}

/** Bytes of the heap and beside it; of a mapped file too, as its pages are an ArrayBuffer's. */
const held = (): number => {
  collect()
  const { external, heapUsed } = process.memoryUsage()
  return external + heapUsed
}

const MOST = 10_000_000

describe("the kernel's BTF", () => {
  beforeEach(skipUnlessPossible)

  it.live("takes at most 10 MB beyond the file, indexed and asked", () =>
    Effect.gen(function*() {
      const before = held()
      const btf = yield* KernelBtf.load
      for (const name of ["vfs_read", "do_exit", "read", ...Array.from({ length: 20 }, (_, i) => `absent${i}`)]) {
        Btf.idsByName(btf, name, "Func")
      }
      const task = yield* Effect.fromResult(Btf.find(btf, "task_struct", "Struct"))
      for (const { name } of task[1].members) if (name !== "") Btf.member(btf, "task_struct", name)
      expect(held() - before - statSync("/sys/kernel/btf/vmlinux").size).toBeLessThan(MOST)
      expect(btf.lastId).toBeGreaterThan(0)
    }).pipe(Effect.provide(Kernel.layer)))

  it.live("is loaded in parts: others have their turn meanwhile", () =>
    Effect.gen(function*() {
      let skew = 0
      const clock = performance.now
      let turns = 0
      let isLoading = true
      const count = (): void => {
        turns++
        if (isLoading) setImmediate(count)
      }
      // A slow machine: each look at the clock is 2 ms after the one before.
      performance.now = () => clock.call(performance) + (skew += 2)
      setImmediate(count)
      yield* KernelBtf.load.pipe(Effect.ensuring(Effect.sync(() => {
        performance.now = clock
        isLoading = false
      })))
      expect(turns).toBeGreaterThan(5)
    }).pipe(Effect.provide(Kernel.layer)))
})
