// What a process may do with this library: tries each operation and prints how it ended, as one line of JSON. Run with
// the capabilities to be tested.
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as ArrayMap from "../../src/map/ArrayMap.ts"
import * as Asm from "../../src/isa/Asm.ts"
import * as HashMap from "../../src/map/HashMap.ts"
import * as Kernel from "../../src/kernel/Kernel.ts"
import * as KernelBtf from "../../src/relocate/KernelBtf.ts"
import * as Layout from "../../src/layout/Layout.ts"
import * as Program from "../../src/program/Program.ts"
import * as ProgramSpec from "../../src/spec/ProgramSpec.ts"
import * as RingBuffer from "../../src/events/RingBuffer.ts"
import * as RingBufferMap from "../../src/map/RingBufferMap.ts"
import * as Tracepoint from "../../src/attach/Tracepoint.ts"

const pass = [Asm.mov("r0", 0), Asm.exit()]
const readsKernel = [
  Asm.call("get_current_task"),
  Asm.mov("r3", "r0"),
  Asm.mov("r1", "r10"),
  Asm.add("r1", -8),
  Asm.mov("r2", 8),
  Asm.call("probe_read_kernel"),
  ...pass
]

const load = <const T extends "socket_filter" | "xdp" | "tracepoint">(
  type: T,
  instructions: ReadonlyArray<Asm.Item> = pass
) => Program.load(ProgramSpec.makeDynamic({ type, name: "tried", instructions }))

const ring = RingBufferMap.make({ name: "tried", record: Layout.u32, maxEntries: 4096 })

type Operation = Effect.Effect<unknown, { readonly _tag: string }, Kernel.Kernel | Scope.Scope>

const operations = {
  hashMap: HashMap.make({ name: "tried", key: Layout.u32, value: Layout.u32, maxEntries: 8 }),
  arrayMap: ArrayMap.make({ name: "tried", value: Layout.u32, maxEntries: 8 }),
  ringBuffer: Effect.flatMap(ring, (events) => RingBuffer.make(events)),
  kernelBtf: KernelBtf.load,
  loadSocketFilter: load("socket_filter"),
  loadXdp: load("xdp"),
  loadTracepoint: load("tracepoint"),
  readKernelMemory: load("tracepoint", readsKernel),
  testRun: Effect.flatMap(load("socket_filter"), (program) => Program.testRun(program, { data: new Uint8Array(14) })),
  attachTracepoint: Effect.flatMap(
    load("tracepoint"),
    (program) => Tracepoint.attach(program, { category: "sched", name: "sched_process_exec" })
  )
} satisfies Record<string, Operation>

export type OperationName = keyof typeof operations

const outcome = (operation: Operation) =>
  Effect.scoped(operation).pipe(
    Effect.as("ok"),
    Effect.catch((error) => {
      const { reason = error } = error as { readonly reason?: { readonly _tag: string } }
      return Effect.succeed((reason as { readonly code?: string }).code ?? reason._tag)
    })
  )

const main = Effect.forEach(
  Object.entries(operations),
  ([name, operation]) => Effect.map(outcome(operation as Operation), (how) => [name, how] as const)
)

console.log(JSON.stringify(Object.fromEntries(await Effect.runPromise(Effect.provide(main, Kernel.layer)))))
