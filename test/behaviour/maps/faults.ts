// Every system call of a scenario over maps, failed in turn.
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { expect } from "vitest"
import {
  Arena,
  ArrayMap,
  BpfFs,
  BpfMap,
  BytesMap,
  HashMap,
  Kernel,
  Layout,
  LocalStorage,
  MapOfMaps,
  PerCpuHashMap,
  QueueMap
} from "../../../src/index.ts"
import { errorsFor, type Failing, failingCalls, holds } from "../../support/failingCalls.ts"
import { acquireFolder } from "../../support/folders.ts"
import type { Test } from "../../support/kernels.ts"
import { lacking } from "../../support/olderKernel.ts"

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

const sharedMemory = Arena.define({ name: "faulty", maxEntries: 1 })

const arena = Effect.gen(function*() {
  const made = yield* BpfMap.create(sharedMemory)
  const map = yield* BpfMap.fromFd(sharedMemory, made.fd)
  const { view } = yield* Arena.memory(map)
  view.setUint32(0, 7, true)
  expect(view.getUint32(0, true)).toBe(7)
})

const tasks = Effect.gen(function*() {
  const marks = yield* LocalStorage.makeTask({ name: "faulty", value: u32 })
  const self = yield* LocalStorage.openTask(process.pid)
  yield* marks.update(self, 1)
  expect(yield* marks.lookup(self)).toEqual(Option.some(1))
})

const scenarios: ReadonlyArray<Failing> = [
  { name: "many entries are written, read, walked and removed by programs", run: many(64), isSlow: true },
  { name: "many entries are written, read, walked and removed by batches", run: many(8) },
  { name: "many entries are written, read, walked and removed one by one", run: lacking({ batches: true })(many(6)) },
  { name: "per-CPU maps and queues are used", run: single },
  { name: "views are made and maps frozen", run: views },
  { name: "maps of maps are made, and maps opened", run: nested },
  { name: "tasks are given values", run: tasks, needs: "taskStorage" },
  { name: "an arena is made, opened again and mapped", run: arena, needs: "arena" }
]

export const mapFaults = (test: Test): void => {
  failingCalls(test, scenarios)

  for (const error of errorsFor(scenarios.length)) {
    test(`any one call that fails with ${error} while maps are pinned does no harm`, () =>
      Effect.gen(function*() {
        const kernel = yield* Kernel.Kernel
        const folder = yield* acquireFolder
        yield* Effect.acquireRelease(BpfFs.ensure(folder), () => Effect.sync(() => kernel.files.unmount(folder)))
        const before = Effect.sync(() => kernel.files.unlink(`${folder}/map`))
        yield* holds({ name: "maps are pinned", run: pinned(folder), before }, error)
      }))
  }
}
