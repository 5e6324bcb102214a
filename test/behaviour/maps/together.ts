// Lookups that many fibers make at once: answered together, each as `lookup` would answer it alone.
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as RequestResolver from "effect/RequestResolver"
import * as Scope from "effect/Scope"
import { expect } from "vitest"
import { bpf_cmd } from "../../../src/abi/generated/enums.ts"
import { Address, ArrayMap, HashMap, Kernel, Layout, LpmTrie, PerCpuHashMap } from "../../../src/index.ts"
import type { Test } from "../../support/kernels.ts"
import { lacking, ways } from "../../support/olderKernel.ts"

const unbounded = { concurrency: "unbounded" } as const

/** Runs an effect with a count of its calls of one command. */
const counting = <A, E, R>(command: number, use: (count: () => number) => Effect.Effect<A, E, R>) =>
  Effect.flatMap(Kernel.Kernel, (kernel) => {
    let calls = 0
    const call: Kernel.BpfCalls["call"] = (given, attr, size) => {
      if (given === command) calls++
      return kernel.bpf.call(given, attr, size)
    }
    return Effect.provideService(use(() => calls), Kernel.Kernel, { ...kernel, bpf: { ...kernel.bpf, call } })
  })

/** A map of the even keys below 2,000. */
const evens = Effect.gen(function*() {
  const map = yield* HashMap.make({ name: "together", key: Layout.u32, value: Layout.u64, maxEntries: 1000 })
  yield* map.setMany(Array.from({ length: 1000 }, (_, i) => [i * 2, BigInt(i) << 33n] as const))
  return map
})

const below = (count: number) => Array.from({ length: count }, (_, i) => i)

export const together = (test: Test): void => {
  for (const [way, lacks] of ways) {
    test(`lookups of any number of fibers have the results of single ones, ${way}`, () =>
      lacking(lacks)(Effect.gen(function*() {
        const map = yield* evens
        const request = (key: number) => Effect.request(map.lookupRequest(key), map.resolver)
        for (const size of [0, 1, 63, 64, 65, 513, 2000]) {
          const keys = below(size)
          const expected = yield* Effect.forEach(keys, (key) => map.lookup(key))
          expect(yield* Effect.forEach(keys, map.lookupTogether, unbounded)).toEqual(expected)
          expect(yield* Effect.forEach(keys, request, unbounded)).toEqual(expected)
        }
      })))
  }

  test(
    "2,000 lookups make no call each where the kernel has programs, and so do requests",
    () =>
      counting(bpf_cmd.BPF_MAP_LOOKUP_ELEM, (calls) =>
        Effect.gen(function*() {
          const map = yield* evens
          const before = calls()
          yield* Effect.forEach(below(2000), map.lookupTogether, unbounded)
          const request = (key: number) => Effect.request(map.lookupRequest(key), map.resolver)
          yield* Effect.forEach(below(2000), request, unbounded)
          expect(calls() - before).toBeLessThanOrEqual(4) // the first key of each is read by the descriptor
        })),
    { needs: "syscallProgram" }
  )

  test("a key that its layout does not hold fails for its own fiber only, as lookup does", () =>
    Effect.gen(function*() {
      const map = yield* evens
      const keys = below(200).map((key) => key === 77 ? -1 : key === 150 ? "x" as never : key)
      const single = yield* Effect.forEach(keys, (key) => Effect.exit(map.lookup(key)))
      const all = yield* Effect.forEach(keys, (key) => Effect.exit(map.lookupTogether(key)), unbounded)
      const requests = yield* Effect.forEach(
        keys,
        (key) => Effect.exit(Effect.request(map.lookupRequest(key), map.resolver)),
        unbounded
      )
      expect(single.map((exit) => exit._tag).filter((tag) => tag === "Failure")).toHaveLength(2)
      for (const exits of [all, requests]) {
        exits.forEach((exit, i) => {
          const expected = single[i]!
          if (Exit.isSuccess(exit)) expect(exit).toEqual(expected)
          else expect(String(exit.cause)).toBe(Exit.isFailure(expected) ? String(expected.cause) : "a success")
        })
      }
    }))

  test("arrays, tries and per-CPU tables have it too", () =>
    Effect.gen(function*() {
      const array = yield* ArrayMap.make({ name: "together", value: Layout.u32, maxEntries: 100 })
      yield* array.setMany(below(100).map((i) => [i, i * 3] as const))
      expect(yield* Effect.forEach(below(100), array.lookupTogether, unbounded)).toEqual(below(100).map((i) => i * 3))
      const beyond = yield* Effect.forEach(below(101), (i) => Effect.exit(array.lookupTogether(i)), unbounded)
      expect(beyond.map(Exit.isSuccess)).toEqual(below(101).map((i) => i < 100))
      expect(yield* Effect.flip(array.lookupTogether(100))).toMatchObject({ _tag: "InvalidArgument", field: "index" })

      const routes = yield* LpmTrie.make({
        name: "together",
        key: Address.ipv4Prefix,
        value: Layout.u32,
        maxEntries: 10
      })
      yield* routes.update("10.0.0.0/8", 1)
      const found = yield* Effect.forEach(below(100), (i) => routes.lookupTogether(`${10 + i % 2}.0.0.1`), unbounded)
      expect(found).toEqual(below(100).map((i) => i % 2 === 0 ? Option.some(1) : Option.none()))

      const perCpu = yield* PerCpuHashMap.make({ name: "together", key: Layout.u32, value: Layout.u64, maxEntries: 4 })
      const { possibleCpus } = yield* Kernel.Kernel
      yield* perCpu.update(1, Array.from({ length: possibleCpus }, () => 5n))
      expect(yield* perCpu.lookupTogether(1)).toEqual(yield* perCpu.lookup(1))
    }))

  test("a resolver made from it keeps what it adds: it sees the requests, in batches of its size", () =>
    Effect.gen(function*() {
      const map = yield* evens
      const batches: Array<number> = []
      const resolver = map.resolver.pipe(
        RequestResolver.batchN(100),
        RequestResolver.around(
          (entries) => Effect.sync(() => batches.push(entries.length)),
          () => Effect.void
        )
      )
      const request = (key: number) => Effect.request(map.lookupRequest(key), resolver)
      const found = yield* Effect.forEach(below(250), request, unbounded)
      expect(found).toEqual(yield* Effect.forEach(below(250), (key) => map.lookup(key)))
      expect(batches).toEqual([100, 100, 50])
    }))

  test("a fiber that is interrupted meanwhile keeps no other from its answer", () =>
    Effect.gen(function*() {
      const map = yield* evens
      const fibers = yield* Effect.forEach(below(200), (key) =>
        Effect.forkChild(map.lookupTogether(key), { startImmediately: true }))
      yield* Fiber.interrupt(fibers[7]!)
      const found = yield* Effect.forEach(
        fibers.filter((_, i) =>
          i !== 7
        ),
        (fiber) => Fiber.join(fiber)
      )
      expect(found.filter(Option.isSome)).toHaveLength(100)
    }))

  test("once the map's scope has closed each lookup is EBADF", () =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const map = yield* Scope.provide(evens, scope)
      yield* Effect.forEach(below(100), map.lookupTogether, unbounded)
      yield* Scope.close(scope, Exit.void)
      const errors = yield* Effect.forEach(below(100), (key) => Effect.flip(map.lookupTogether(key)), unbounded)
      for (const error of errors) expect(error).toMatchObject({ _tag: "SystemCallError", code: "EBADF" })
      expect(yield* Effect.flip(Effect.request(map.lookupRequest(1), map.resolver))).toMatchObject({ code: "EBADF" })
    }))

  test("fibers that look up without end leave timers their turn", () =>
    Effect.gen(function*() {
      const map = yield* evens
      const timer = { fired: false }
      setTimeout(() => {
        timer.fired = true
      }, 1)
      for (let i = 0; i < 1_000_000 && !timer.fired; i++) yield* map.lookupTogether(i % 2000)
      expect(timer.fired).toBe(true)
    }))
}
