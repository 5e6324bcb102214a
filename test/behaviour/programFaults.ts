// Every system call of a scenario over programs, failed in turn.
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { expect } from "vitest"
import { ArrayMap, Asm, Catalog, HashMap, Layout, Program, ProgramSpec } from "../../src/index.ts"
import { failingCalls } from "../support/failingCalls.ts"
import type { Test } from "../support/kernels.ts"

const packet = { data: new Uint8Array(64) }

const filter = (instructions: ReadonlyArray<Asm.Item>) =>
  ProgramSpec.make({ type: "socket_filter", name: "faulty", instructions })

/** With a function, global data and a map by name: its types and lines are loaded beside it. */
const loaded = Effect.gen(function*() {
  const data = yield* ArrayMap.make({ name: "data", value: Layout.u32, maxEntries: 1 })
  yield* data.update(0, 21)
  const table = yield* HashMap.make({ name: "table", key: Layout.u32, value: Layout.u32, maxEntries: 1 })
  const spec = filter([
    Asm.ldMapFd("r1", "table"),
    Asm.ldMapValue("r1", data),
    Asm.ldxw("r1", "r1", 0),
    Asm.callLocal("double"),
    Asm.exit(),
    Asm.func("double", [Asm.mov("r0", "r1"), Asm.add("r0", "r1"), Asm.exit()])
  ])
  const program = yield* Program.load(spec, { maps: { table } })
  expect((yield* Program.testRun(program, packet)).returnValue).toBe(42)
})

/** By id and by descriptor, and among all. */
const opened = Effect.gen(function*() {
  const program = yield* Program.load(filter([Asm.mov("r0", 7), Asm.exit()]))
  const { id } = yield* Program.info(program)
  const byFd = yield* Program.fromFd("socket_filter", program.fd)
  expect((yield* Program.testRun(byFd, packet)).returnValue).toBe(7)
  const byId = yield* Program.fromId("socket_filter", id)
  expect((yield* Program.info(byId)).id).toBe(id)
  const all = yield* Program.list.pipe(Stream.takeUntil((each) => each.id >= id), Stream.runCollect)
  expect(all.at(-1)?.id).toBe(id)
})

/** Numbers from the kernel's types. */
const relocated = Effect.gen(function*() {
  const program = yield* Program.load(
    filter([Asm.mov("r0", Asm.coreFieldSize("task_struct", "tgid")), Asm.exit()])
  )
  expect((yield* Program.testRun(program, packet)).returnValue).toBe(4)
})

/** Several programs and maps, one of them full of programs. */
const composed = Effect.gen(function*() {
  const { maps, program } = yield* Catalog.load("tail-call-dispatcher")
  yield* Program.testRun(program, packet)
  expect(yield* maps.handled.lookup(0)).toContain(1n)
})

export const programFaults = (test: Test): void =>
  failingCalls(test, [
    { name: "a program with a function, global data and a map is loaded", run: loaded },
    { name: "a program is opened by its id and its descriptor", run: opened },
    { name: "a program that asks for the kernel's types is loaded", run: relocated },
    { name: "programs that call each other are loaded", run: composed }
  ])
