// A process of its own, whose workers end with a ring reader, a mapped array, a stream and everything else open. It prints
// what of theirs the process has left; a crash is seen by its exit.
//
//   node endingWorkers.ts HOW ACTIVITY KOFFI COUNT
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { readdirSync, readFileSync, readlinkSync } from "node:fs"
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads"
import {
  ArrayMap,
  Asm,
  HashMap,
  Kernel,
  KernelBtf,
  Layout,
  Program,
  ProgramSpec,
  RingBuffer,
  RingBufferMap
} from "../../src/index.ts"

export type How = "terminate" | "throw" | "exit"
export type Activity = "reader" | "waiting" | "stream"

export interface Left {
  readonly descriptors: ReadonlyArray<string>
  readonly mappings: ReadonlyArray<string>
}

interface Job {
  readonly how: How
  readonly activity: Activity
}

const left = (): Left => ({
  descriptors: readdirSync("/proc/self/fd").flatMap((fd) => {
    try {
      const target = readlinkSync(`/proc/self/fd/${fd}`)
      return /bpf|perf_event|eventpoll|tracing|\/dev\/null/.test(target) ? [target] : []
    } catch {
      return []
    }
  }),
  mappings: readFileSync("/proc/self/maps", "utf8").split("\n").filter((line) => /bpf|kernel\/btf/.test(line))
})

const writing = ProgramSpec.make({
  type: "socket_filter",
  name: "writing",
  instructions: [
    Asm.stdw("r10", -8, 7),
    Asm.ldMapFd("r1", "events"),
    Asm.mov("r2", "r10"),
    Asm.add("r2", -8),
    Asm.mov("r3", 8),
    Asm.mov("r4", 0),
    Asm.call("ringbuf_output"),
    Asm.mov("r0", 0),
    Asm.exit()
  ]
})

/** Never collected: the mapping of what is in it must go with the worker. */
const held: Array<unknown> = []

const ready = (): void => parentPort!.postMessage("ready")

const hold = ({ activity }: Job) =>
  Effect.gen(function*() {
    const events = yield* RingBufferMap.make({ name: "events", record: Layout.u64, maxEntries: 65536 })
    const counts = yield* ArrayMap.make({ name: "counts", value: Layout.u64, maxEntries: 4096, mmapable: true })
    const names = yield* HashMap.make({ name: "names", key: Layout.u32, value: Layout.u64, maxEntries: 16 })
    yield* names.update(1, 2n)
    const view = yield* ArrayMap.view(counts)
    view.set(3, 4n)
    const program = yield* Program.load(writing, { maps: { events } })
    held.push(yield* KernelBtf.load)
    const produce = Program.testRun(program, { data: new Uint8Array(64), repeat: 20 })
    if (activity === "reader") {
      yield* RingBuffer.make(events)
      ready()
      return yield* Effect.never
    }
    if (activity === "waiting") {
      const reader = yield* RingBuffer.make(events)
      yield* Effect.forkScoped(reader.ready)
      yield* Effect.sleep(5)
      ready()
      return yield* Effect.never
    }
    let seen = 0
    yield* RingBuffer.stream(events).pipe(
      Stream.runForEachArray((batch) =>
        Effect.sync(() => {
          if (seen < 1000 && (seen += batch.length) >= 1000) ready()
        })
      ),
      Effect.forkScoped
    )
    yield* Effect.forever(Effect.andThen(produce, Effect.sleep(0)))
  }).pipe(Effect.scoped, Effect.provide(Kernel.layer))

const end = (job: Job, worker: Worker): Promise<void> =>
  new Promise((resolve, reject) => {
    worker.on("message", () => {
      if (job.how === "terminate") void worker.terminate()
      else worker.postMessage("end")
    })
    worker.on("error", (error) => {
      if (!(error as Error).message.includes("on purpose")) reject(error)
    })
    worker.on("exit", () => resolve())
  })

if (isMainThread) {
  const [how, activity, koffi, count] = process.argv.slice(2) as [How, Activity, "koffi" | "none", string]
  if (koffi === "koffi") (await import("koffi")).default.load(null)
  // What Node keeps for itself from its first worker on.
  await new Promise((resolve) => new Worker("", { eval: true }).on("exit", resolve))
  const before = left()
  const job: Job = { how, activity }
  for (let i = 0; i < Number(count); i++) await end(job, new Worker(new URL(import.meta.url), { workerData: job }))
  const after = left()
  console.log(JSON.stringify({
    descriptors: after.descriptors.slice(before.descriptors.length),
    mappings: after.mappings.slice(before.mappings.length)
  }))
} else {
  const job = workerData as Job
  parentPort!.on("message", () => {
    if (job.how === "exit") process.exit(3)
    throw new Error("on purpose")
  })
  Effect.runPromise(hold(job)).catch((error: unknown) => {
    throw error // which ends the worker with it
  })
}
