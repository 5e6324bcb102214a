// Every system call of a scenario over maps, failed in turn.
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { expect } from "vitest"
import type { ErrnoName } from "../../../src/abi/errno.ts"
import {
  ArrayMap,
  BpfFs,
  BpfMap,
  BytesMap,
  Faults,
  type Features,
  HashMap,
  Kernel,
  Layout,
  LocalStorage,
  MapOfMaps,
  PerCpuHashMap,
  QueueMap
} from "../../../src/index.ts"
import { acquireFolder } from "../../support/folders.ts"
import type { Test } from "../../support/kernels.ts"
import { lacking } from "../../support/olderKernel.ts"
import { track } from "../../support/tracked.ts"

const u32 = Layout.u32
const definition = HashMap.define({ name: "faulty", key: u32, value: u32, maxEntries: 200, btf: true })

/** From 64 entries on a program does the work, where the kernel has such. */
const many = (count: number) =>
  Effect.gen(function*() {
    const numbers = Array.from({ length: count }, (_, i) => i)
    const pairs = numbers.map((i) => [i, i * 2] as const)
    const map = yield* BpfMap.create(definition)
    yield* map.setMany(pairs)
    expect(yield* map.getMany(numbers)).toEqual(numbers.map((i) => Option.some(i * 2)))
    yield* map.setColumns(Uint32Array.from(numbers), Uint32Array.from(numbers))
    expect(yield* Stream.runCollect(map.entries)).toHaveLength(count)
    expect(yield* map.deleteMany(numbers.slice(count / 2))).toBe(count / 2)
    expect(yield* map.count).toBe(count / 2)
    expect(yield* map.clear).toBe(count / 2)
  })

const byPrograms = many(64)

const single = Effect.gen(function*() {
  const map = yield* PerCpuHashMap.make({ name: "faulty", key: u32, value: u32, maxEntries: 4 })
  yield* map.updateAll(1, 1)
  expect(Option.isSome(yield* map.lookup(1))).toBe(true)
  expect(yield* map.delete(1)).toBe(true)
  const queue = yield* QueueMap.make({ name: "faulty", value: u32, maxEntries: 4 })
  yield* queue.push(1)
  expect(yield* queue.peek).toEqual(Option.some(1))
  expect(yield* queue.pop).toEqual(Option.some(1))
})

const views = Effect.gen(function*() {
  const array = yield* ArrayMap.make({ name: "faulty", value: u32, maxEntries: 4, mmapable: true })
  yield* Effect.scoped(Effect.gen(function*() {
    const view = yield* ArrayMap.view(array)
    view.set(1, 5)
    expect(view.get(1)).toBe(5)
  }))
  yield* BpfMap.freeze(array)
  expect(yield* array.lookup(1)).toBe(5)
})

const nested = Effect.gen(function*() {
  const outer = yield* MapOfMaps.make({ name: "faulty", inner: definition, maxEntries: 2 })
  const inner = yield* BpfMap.create(definition)
  yield* outer.update(0, inner)
  const found = Option.getOrThrow(yield* outer.lookup(0))
  yield* found.update(1, 1)
  expect(yield* inner.lookup(1)).toEqual(Option.some(1))
  const { id } = yield* BpfMap.info(inner)
  yield* BytesMap.fromId(id)
  yield* BpfMap.fromFd(definition, inner.fd)
  expect(yield* BpfMap.dump(found)).toContain("1 → 1")
})

const pinned = (folder: string) =>
  Effect.gen(function*() {
    const map = yield* BpfMap.pinned(definition, `${folder}/map`)
    yield* map.update(1, 1)
    const again = yield* BpfMap.pinned(definition, `${folder}/map`)
    expect(yield* again.lookup(1)).toEqual(Option.some(1))
    yield* BpfMap.openPinned(definition, `${folder}/map`)
    expect(yield* BpfFs.unpin(`${folder}/map`)).toBe(true)
  })

const tasks = Effect.gen(function*() {
  const marks = yield* LocalStorage.make({ type: "task_storage", name: "faulty", value: u32 })
  const self = yield* LocalStorage.openTask(process.pid)
  yield* marks.update(self, 1)
  expect(yield* marks.lookup(self)).toEqual(Option.some(1))
})

type Scenario = Effect.Effect<unknown, unknown, Kernel.Kernel | Scope.Scope>

/** What a scenario comes to, what it called, and what it left open. */
const runWith = (scenario: Scenario, decide: Faults.Decide) =>
  Effect.gen(function*() {
    const tracked = track(yield* Kernel.Kernel)
    const calls: Array<string> = []
    const kernel = Faults.wrap(tracked.kernel, (call) => {
      calls.push(call.name)
      return decide(call)
    })
    const exit = yield* Effect.exit(Effect.scoped(scenario).pipe(Effect.provideService(Kernel.Kernel, kernel)))
    return { calls, exit, open: tracked.open() }
  })

const describeExit = (exit: Exit.Exit<unknown, unknown>): string =>
  Exit.isSuccess(exit) ? "success" : Cause.pretty(exit.cause)

const errors = ["EPERM", "ENOMEM", "EINTR", "EBUSY"] as const satisfies ReadonlyArray<ErrnoName>
const typed = ["SystemCallError", "BatchError", "InvalidArgument", "MapMismatch", "IterationAborted"]

/** Each call that a scenario makes failed with an error: a typed failure or a success, and nothing left. */
const holds = (scenario: Scenario, error: typeof errors[number], before: Effect.Effect<unknown>) =>
  Effect.gen(function*() {
    const { kind } = yield* Kernel.Kernel
    const { calls, exit, open } = yield* runWith(scenario, () => undefined)
    expect(describeExit(exit)).toBe("success")
    expect(open).toEqual([])
    // Linux takes its time to free what was made, and a simulated verifier to follow loops: there, each call fails with
    // one of the errors.
    const isSlow = kind === "linux" || scenario === byPrograms
    const [first, step] = isSlow ? [1 + errors.indexOf(error), errors.length] : [1, 1]
    let failures = 0
    for (let n = first; n <= calls.length; n += step) {
      yield* before
      const outcome = yield* runWith(scenario, ({ index }) => index === n ? error : undefined)
      const where = `call ${n} (${calls[n - 1]}): ${describeExit(outcome.exit)}`
      expect(outcome.open, where).toEqual([])
      if (Exit.isSuccess(outcome.exit)) continue
      failures++
      for (const reason of outcome.exit.cause.reasons) {
        expect(reason._tag, where).toBe("Fail")
        if (reason._tag === "Fail") expect(typed, where).toContain((reason.error as { _tag: string })._tag)
      }
    }
    if (error === "EINTR") expect(failures).toBe(0)
    else expect(failures).toBeGreaterThan(1)
  })

const scenarios: ReadonlyArray<readonly [name: string, scenario: Scenario, needs?: Features.FeatureName]> = [
  ["many entries are written, read, walked and removed by programs", byPrograms],
  ["many entries are written, read, walked and removed by batches", many(8)],
  ["many entries are written, read, walked and removed one by one", lacking({ batches: true })(many(6))],
  ["per-CPU maps and queues are used", single],
  ["views are made and maps frozen", views],
  ["maps of maps are made, and maps opened", nested],
  ["tasks are given values", tasks, "taskStorage"]
]

/** The errors that a scenario's calls fail with. Where a kernel is emulated that takes minutes: there each has one. */
const errorsFor = (scenario: number): ReadonlyArray<typeof errors[number]> =>
  process.env["FAULTS"] === "in turn" ? [errors[scenario % errors.length]!] : errors

export const mapFaults = (test: Test): void => {
  for (const [index, [name, scenario, needs]] of scenarios.entries()) {
    for (const error of errorsFor(index)) {
      test(
        `any one call that fails with ${error} while ${name} does no harm`,
        () => holds(scenario, error, Effect.void),
        needs === undefined ? {} : { needs }
      )
    }
  }

  for (const error of errorsFor(scenarios.length)) {
    test(`any one call that fails with ${error} while maps are pinned does no harm`, () =>
      Effect.gen(function*() {
        const kernel = yield* Kernel.Kernel
        const folder = yield* acquireFolder
        yield* Effect.acquireRelease(BpfFs.ensure(folder), () => Effect.sync(() => kernel.unmount(folder)))
        yield* holds(pinned(folder), error, Effect.sync(() => kernel.unlink(`${folder}/map`)))
      }))
  }
}
