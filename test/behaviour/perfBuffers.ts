import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { expect } from "vitest"
import { errno } from "../../src/abi/errno.ts"
import {
  ArrayMap,
  Asm,
  BpfMap,
  EventStatistics,
  Features,
  Kernel,
  Layout,
  PerfBuffer,
  PerfEventArray,
  Program,
  ProgramSpec,
  RingBuffer,
  RingBufferMap
} from "../../src/index.ts"
import { readCpus } from "../../src/kernel/cpus.ts"
import { type DoorCall, wrapCalls } from "../../src/kernel/doorCalls.ts"
import type { Test as AnyTest } from "../support/kernels.ts"
import { failingCalls } from "../support/failingCalls.ts"

/** 8 bytes, so 4 of padding: the size of a sample's data and its own 4 bytes is a multiple of 8. */
const Numbered = Layout.struct({ sequence: Layout.u64Number })
const PADDED = 12
/** What a record of one takes in a ring: a header, the data's size, the data. */
const RECORD = 24

const MOST_AT_ONCE = 128

/**
 * Outputs as many numbered samples as its first argument says, from the number in its second on, to the ring of the CPU that
 * it runs on; counts those that were refused in element 0 of its array.
 */
const emitting = ProgramSpec.make({
  type: "raw_tracepoint",
  name: "emitting",
  instructions: [
    Asm.mov("r6", "r1"),
    Asm.stw("r10", -4, 0),
    Asm.ldMapFd("r1", "state"),
    Asm.mov("r2", "r10"),
    Asm.add("r2", -4),
    Asm.call("map_lookup_elem"),
    Asm.jeq("r0", 0, "out"),
    Asm.mov("r9", "r0"),
    Asm.ldxdw("r1", "r6", 0),
    Asm.stdw("r10", -24, "r1"),
    Asm.ldxdw("r8", "r6", 8),
    Asm.mov("r7", 0),
    Asm.label("next"),
    Asm.ldxdw("r1", "r10", -24),
    Asm.jge("r7", "r1", "out"),
    Asm.jge("r7", MOST_AT_ONCE, "out"),
    Asm.stdw("r10", -16, "r8"),
    Asm.mov("r1", "r6"),
    Asm.ldMapFd("r2", "events"),
    Asm.mov32("r3", -1),
    Asm.mov("r4", "r10"),
    Asm.add("r4", -16),
    Asm.mov("r5", 8),
    Asm.call("perf_event_output"),
    Asm.jeq("r0", 0, "fits"),
    Asm.ldxdw("r1", "r9", 0),
    Asm.add("r1", 1),
    Asm.stdw("r9", 0, "r1"),
    Asm.label("fits"),
    Asm.add("r8", 1),
    Asm.add("r7", 1),
    Asm.ja("next"),
    Asm.label("out"),
    Asm.mov("r0", 0),
    Asm.exit()
  ]
})

/** A map, and what outputs numbered samples to it on a CPU of choice: each number once. */
const setUp = Effect.gen(function*() {
  const kernel = yield* Kernel.Kernel
  const events = yield* PerfEventArray.make({ name: "events", maxEntries: yield* PerfBuffer.entries })
  const state = yield* ArrayMap.make({ name: "state", value: Layout.u64Number, maxEntries: 1 })
  const program = yield* Program.load(emitting, { maps: { events, state } })
  const cpus = yield* readCpus(kernel, "online")
  let sequence = 0
  const emit = (count: number, cpu = cpus[0]!) =>
    Effect.gen(function*() {
      for (let left = count; left > 0; left -= MOST_AT_ONCE) {
        const now = Math.min(left, MOST_AT_ONCE)
        const context = new Uint8Array(BigUint64Array.of(BigInt(now), BigInt(sequence)).buffer)
        sequence += now
        yield* Program.testRun(program, { context, cpu })
      }
    })
  return { events, emit, cpus, refused: Effect.map(state.lookup(0), Number) }
})

/** The numbers that a reader has now, and what else it saw. */
const numbersOf = (reader: PerfBuffer.Reader, limit?: number): ReadonlyArray<number> => {
  const seen: Array<number> = []
  reader.drain((view, bytes, offset) => seen.push(Numbered.read(view, bytes, offset).sequence), limit)
  return seen
}

const range = (first: number, end: number): ReadonlyArray<number> =>
  Array.from({ length: end - first }, (_, i) => first + i)

const kernelWith = (around: (call: DoorCall) => unknown) =>
  Effect.map(
    Kernel.Kernel,
    (kernel) => wrapCalls(kernel, (call, make) => (around(call) as number | undefined) ?? make())
  )

export const perfBuffers = (anyTest: AnyTest, options: { readonly events: number }): void => {
  const test = (
    name: string,
    effect: () => Effect.Effect<void, unknown, Kernel.Kernel | Scope.Scope>
  ): void => anyTest(name, effect, { needs: "rawTracepointTestRun" })

  test("a stream gives each CPU's samples decoded, whatever is behind them", () =>
    Effect.gen(function*() {
      const { cpus, emit, events } = yield* setUp
      const fiber = yield* PerfBuffer.stream(events, Numbered).pipe(
        Stream.take(10 * cpus.length),
        Stream.runCollect,
        Effect.forkChild({ startImmediately: true })
      )
      for (const cpu of cpus) yield* emit(10, cpu)
      const seen = yield* Effect.timeout(Fiber.join(fiber), "60 seconds")
      for (const [place, cpu] of cpus.entries()) {
        const own = seen.filter((event) => event.cpu === cpu)
        expect(own).toEqual(
          range(10 * place, 10 * place + 10).map((sequence) => ({
            _tag: "Sample",
            cpu,
            value: { sequence },
            time: undefined
          }))
        )
      }
    }))

  test(`${options.events} samples come: none lost, none twice, each CPU's in order`, () =>
    Effect.gen(function*() {
      const { cpus, emit, events, refused } = yield* setUp
      const reader = yield* PerfBuffer.make(events, { size: 1 << 20 })
      const last = new Map<number, number>()
      let count = 0
      const consumer = yield* PerfBuffer.records(reader, Numbered).pipe(
        Stream.runForEachArray((batch) =>
          Effect.sync(() => {
            for (const event of batch) {
              if (event._tag === "Lost") throw new Error(`lost ${event.count}`)
              const before = last.get(event.cpu) ?? -1
              if (event.value.sequence <= before) throw new Error(`${event.value.sequence} after ${before}`)
              last.set(event.cpu, event.value.sequence)
              count++
            }
          })
        ),
        Effect.forkScoped({ startImmediately: true })
      )
      for (let made = 0; made < options.events; made += 1000) {
        yield* emit(1000, cpus[(made / 1000) % cpus.length]!)
        yield* Effect.sleep(0)
      }
      while (count < options.events) {
        if (consumer.pollUnsafe() !== undefined) yield* Fiber.join(consumer)
        yield* Effect.sleep("1 millis")
      }
      expect(count).toBe(options.events)
      expect(yield* refused).toBe(0)
      expect(reader.statistics()).toMatchObject({ events: count, bytes: count * PADDED, lost: 0, decodeErrors: 0 })
    }))

  test("what finds no room is counted by CPU, and in the stream at its place", () =>
    Effect.gen(function*() {
      const { pageSize } = yield* Kernel.Kernel
      const { cpus, emit, events, refused } = yield* setUp
      const reader = yield* PerfBuffer.make(events, { size: pageSize })
      const room = Math.floor((pageSize - 1) / RECORD)
      const cpu = cpus.at(-1)!
      yield* emit(room + 7, cpu)
      const seen: Array<number | { lost: number; on: number }> = []
      const visitor: PerfBuffer.Visitor = {
        sample: (view, bytes, offset, length) => {
          expect(length).toBe(PADDED)
          seen.push(Numbered.read(view, bytes, offset).sequence)
        },
        lost: (on, lost) => seen.push({ lost, on })
      }
      expect(reader.drain(visitor)).toBe(room)
      expect(seen).toEqual(range(0, room))
      // The next that fits tells of them.
      yield* emit(2, cpu)
      seen.length = 0
      expect(reader.drain(visitor)).toBe(2)
      expect(seen).toEqual([{ lost: 7, on: cpu }, room + 7, room + 8])
      yield* emit(room + 5, cpu)
      yield* reader.flush
      const first = yield* PerfBuffer.records(reader, Numbered).pipe(Stream.take(room), Stream.runCollect)
      yield* emit(1, cpu)
      const rest = yield* PerfBuffer.records(reader, Numbered).pipe(Stream.take(2), Stream.runCollect)
      expect(first.every((event) => event._tag === "Sample")).toBe(true)
      expect(rest).toMatchObject([{ _tag: "Lost", cpu, count: 5 }, { _tag: "Sample", cpu }])
      expect(yield* refused).toBe(12)
      // What no record tells of yet is known to the kernel.
      yield* emit(room + 4, cpu)
      const { version } = yield* Kernel.Kernel
      const known = Features.isExpected(version, "perfLost") ? 16 : 12
      expect(yield* reader.losses).toEqual(cpus.map((each) => ({ cpu: each, lost: each === cpu ? known : 0 })))
      const own = reader.cpus().find((each) => each.cpu === cpu)
      expect(own).toEqual({ cpu, samples: 2 * room + 3, bytes: PADDED * (2 * room + 3), lost: 12, overwritten: 0 })
      expect(reader.cpus().map((each) => each.cpu)).toEqual(cpus)
      expect(reader.statistics()).toMatchObject({ events: 2 * room + 3, lost: 12 })
    }))

  test("samples below a number of them wait, for a flush, a deadline or the number", () =>
    Effect.gen(function*() {
      const { cpus, emit, events } = yield* setUp
      const waits = (reader: PerfBuffer.Reader) => Effect.timeoutOption(reader.ready, "15 millis")
      yield* Effect.scoped(Effect.gen(function*() {
        const reader = yield* PerfBuffer.make(events, { wakeup: { events: 10 } })
        yield* emit(9)
        expect(yield* waits(reader)).toEqual(Option.none())
        yield* reader.flush
        yield* reader.ready
        expect(numbersOf(reader)).toEqual(range(0, 9))
        // Who waits is woken by a flush, and by the tenth.
        for (const wake of [reader.flush, Effect.asVoid(emit(1))]) {
          const waiting = yield* Effect.forkChild(reader.ready, { startImmediately: true })
          yield* Effect.sleep("5 millis")
          yield* wake
          yield* Effect.timeout(Fiber.join(waiting), "60 seconds")
        }
        expect(numbersOf(reader)).toEqual([9])
        // Those that came before anybody waited count too.
        yield* emit(10)
        yield* Effect.timeout(reader.ready, "60 seconds")
        expect(numbersOf(reader)).toEqual(range(10, 20))
        yield* emit(5)
        expect(yield* waits(reader)).toEqual(Option.none())
      }))
      yield* Effect.scoped(Effect.gen(function*() {
        const reader = yield* PerfBuffer.make(events, { wakeup: { events: 1000 }, deadline: "10 millis" })
        expect(yield* waits(reader)).toEqual(Option.none())
        for (const cpu of cpus) yield* emit(3, cpu)
        yield* Effect.timeout(reader.ready, "60 seconds")
        expect(numbersOf(reader).length).toBe(3 * cpus.length)
      }))
    }))

  test("samples below a number of bytes wait, and half a ring is never too few", () =>
    Effect.gen(function*() {
      const { pageSize } = yield* Kernel.Kernel
      const { emit, events } = yield* setUp
      const waits = (reader: PerfBuffer.Reader) => Effect.timeoutOption(reader.ready, "15 millis")
      for (const wakeup of [{ bytes: pageSize / 2 }, { events: 1_000_000 }]) {
        yield* Effect.scoped(Effect.gen(function*() {
          const reader = yield* PerfBuffer.make(events, { size: 1, wakeup })
          const half = Math.floor(pageSize / 2 / RECORD)
          yield* emit(half - 1)
          expect(yield* waits(reader)).toEqual(Option.none())
          yield* emit(2)
          yield* Effect.timeout(reader.ready, "60 seconds")
          expect(numbersOf(reader).length).toBe(half + 1)
          expect(yield* waits(reader)).toEqual(Option.none())
        }))
      }
    }))

  test("no wake-up is lost, whoever else is woken", () =>
    Effect.gen(function*() {
      const { cpus, emit, events } = yield* setUp
      const reader = yield* PerfBuffer.make(events)
      // Another consumer of the same epoll descriptor, which is never read: it is reported again and again.
      const ring = yield* RingBufferMap.make({ name: "other", record: Layout.u64, maxEntries: 65536 })
      const other = yield* RingBuffer.make(ring)
      yield* Effect.forkScoped(Effect.ignore(other.ready))
      const context = yield* Effect.context<Kernel.Kernel>()
      for (let i = 0; i < Math.min(options.events, 400); i++) {
        const cpu = cpus[i % cpus.length]!
        // Before it is waited for, in the turn in which it is, and while.
        const waiting = yield* Effect.forkChild(reader.ready, { startImmediately: true })
        if (i % 3 === 0) yield* Effect.yieldNow
        if (i % 3 === 1) setImmediate(() => Effect.runForkWith(context)(emit(1, cpu)))
        else yield* emit(1, cpu)
        yield* Effect.timeout(Fiber.join(waiting), "60 seconds")
        expect(numbersOf(reader)).toEqual([i])
      }
    }))

  test("samples of all CPUs come in the order of their time when asked", () =>
    Effect.gen(function*() {
      const { cpus, emit, events } = yield* setUp
      const reader = yield* PerfBuffer.make(events, { order: "time" })
      const rounds = 60
      for (let i = 0; i < rounds; i++) yield* emit(1 + i % 3, cpus[i % cpus.length]!)
      const total = 2 * rounds
      const seen: Array<{ number: number; time: bigint }> = []
      const visitor: PerfBuffer.Visit = (view, bytes, offset, _length, _cpu, time) =>
        seen.push({ number: Numbered.read(view, bytes, offset).sequence, time: time! })
      // What is there is held back until the next look, and in no number that a limit would change.
      expect(reader.drain(visitor)).toBe(0)
      yield* reader.ready
      expect(reader.drain(visitor, 7)).toBe(7)
      yield* emit(1, cpus[0]!)
      while (seen.length <= total) {
        yield* Effect.timeout(reader.ready, "60 seconds")
        reader.drain(visitor)
      }
      expect(seen.map(({ number }) => number)).toEqual(range(0, total + 1))
      expect(seen.every(({ time }, i) => i === 0 || time >= seen[i - 1]!.time)).toBe(true)
      expect(seen[0]!.time).toBeTypeOf("bigint")
    }))

  test("a stream in the order of time has losses at theirs", () =>
    Effect.gen(function*() {
      const { pageSize } = yield* Kernel.Kernel
      const { cpus, emit, events } = yield* setUp
      const reader = yield* PerfBuffer.make(events, { order: "time", size: pageSize })
      const room = Math.floor((pageSize - 1) / (RECORD + 8))
      yield* emit(room + 3, cpus[0]!)
      yield* emit(1, cpus.at(-1)!)
      const stream = PerfBuffer.records(reader, Numbered)
      yield* stream.pipe(Stream.take(cpus.length > 1 ? room + 1 : room), Stream.runDrain)
      yield* emit(1, cpus[0]!)
      const rest = yield* stream.pipe(Stream.take(2), Stream.runCollect)
      expect(rest).toMatchObject([{ _tag: "Lost", cpu: cpus[0] }, { _tag: "Sample", cpu: cpus[0] }])
      expect(rest[0]!.time! <= rest[1]!.time!).toBe(true)
    }))

  test("paused rings take nothing, and count it as lost", () =>
    Effect.gen(function*() {
      const { emit, events } = yield* setUp
      const reader = yield* PerfBuffer.make(events)
      yield* emit(2)
      yield* reader.pause
      yield* emit(5)
      yield* reader.resume
      yield* emit(1)
      expect(numbersOf(reader)).toEqual([0, 1, 7])
      expect(reader.statistics().lost).toBe(5)
    }))

  for (const order of ["cpu", "time"] as const) {
    test(`overwritable rings keep the newest, and give what is new, the oldest first (order: ${order})`, () =>
      Effect.gen(function*() {
        const { pageSize } = yield* Kernel.Kernel
        const { cpus, emit, events, refused } = yield* setUp
        const reader = yield* PerfBuffer.make(events, { overwritable: true, size: pageSize, order })
        expect(numbersOf(reader)).toEqual([])
        yield* emit(3)
        expect(numbersOf(reader)).toEqual([0, 1, 2])
        expect(numbersOf(reader)).toEqual([])
        const many = 5 * Math.ceil(pageSize / RECORD)
        yield* emit(many)
        const newest = [...numbersOf(reader, 2), ...numbersOf(reader)]
        const kept = Math.floor(pageSize / (order === "time" ? RECORD + 8 : RECORD))
        expect(newest).toEqual(range(3 + many - kept, 3 + many))
        yield* emit(4)
        yield* Effect.timeout(reader.ready, "60 seconds")
        expect(numbersOf(reader)).toEqual(range(3 + many, 7 + many))
        expect(reader.cpus().find(({ cpu }) => cpu === cpus[0])!.overwritten).toBeGreaterThan(0)
        // A reader that was paused by its user stays so.
        yield* reader.pause
        expect(numbersOf(reader)).toEqual([])
        expect(yield* refused).toBe(0)
        yield* emit(1)
        expect(yield* refused).toBe(1)
      }))
  }

  test("a map has one reader at a time, from whatever descriptor it comes", () =>
    Effect.gen(function*() {
      const { emit, events } = yield* setUp
      const definition = PerfEventArray.define({ name: "events", maxEntries: events.spec.maxEntries })
      const other = yield* BpfMap.fromFd(definition, events.fd)
      yield* Effect.scoped(Effect.gen(function*() {
        const reader = yield* PerfBuffer.make(events)
        const error = yield* Effect.flip(Effect.scoped(PerfBuffer.make(other)))
        expect(error).toMatchObject({ _tag: "SystemCallError", code: "EEXIST" })
        expect(error.message).toContain("has a reader in this process")
        yield* emit(1)
        expect(numbersOf(reader)).toEqual([0])
      }))
      const next = yield* PerfBuffer.make(other)
      yield* emit(1)
      expect(numbersOf(next)).toEqual([1])
    }))

  test("a closed reader has left the map, gives nothing and fails to wait", () =>
    Effect.gen(function*() {
      const { emit, events, refused } = yield* setUp
      const reader = yield* Effect.scoped(PerfBuffer.make(events))
      yield* emit(3)
      expect(yield* refused).toBe(3)
      expect(numbersOf(reader)).toEqual([])
      expect(yield* Effect.flip(reader.ready)).toMatchObject({ code: "EBADF" })
      expect(yield* Effect.flip(reader.pause)).toMatchObject({ code: "EBADF" })
      expect(yield* Effect.flip(reader.losses)).toMatchObject({ code: "EBADF" })
      yield* reader.flush
      expect(yield* Effect.flip(reader.refresh)).toMatchObject({ code: "EBADF" })
      expect(reader.statistics()).toMatchObject({ events: 0, lag: 0 })
    }))

  for (const order of ["cpu", "time"] as const) {
    test(`a stream ends with what was output before its reader's scope closes, if asked (order: ${order})`, () =>
      Effect.gen(function*() {
        const { emit, events } = yield* setUp
        for (const drainOnClose of [true, false]) {
          const scope = yield* Scope.make()
          const reader = yield* Scope.provide(PerfBuffer.make(events, { order, wakeup: { events: 1000 } }), scope)
          const seen: Array<number> = []
          const fiber = yield* PerfBuffer.records(reader, Numbered, { drainOnClose, batchSize: 7 }).pipe(
            Stream.runForEach((event) => Effect.sync(() => event._tag === "Sample" && seen.push(event.value.sequence))),
            Effect.exit,
            Effect.forkChild({ startImmediately: true })
          )
          yield* Effect.sleep("2 millis")
          yield* emit(50)
          yield* Scope.close(scope, Exit.void)
          const exit = yield* Effect.timeout(Fiber.join(fiber), "60 seconds")
          expect(Exit.isSuccess(exit)).toBe(drainOnClose)
          expect(seen).toEqual(drainOnClose ? range(0, 50) : [])
        }
      }))
  }

  test("who waits when the reader's scope closes fails with EBADF, all of them", () =>
    Effect.gen(function*() {
      const { events } = yield* setUp
      const scope = yield* Scope.make()
      const reader = yield* Scope.provide(PerfBuffer.make(events), scope)
      const waiting = yield* Effect.forEach([1, 2], () => Effect.forkChild(Effect.flip(reader.ready)))
      yield* Effect.sleep("5 millis")
      yield* Scope.close(scope, Exit.void)
      for (const fiber of waiting) {
        const error = yield* Effect.timeout(Fiber.join(fiber), "60 seconds")
        expect(error).toMatchObject({ _tag: "SystemCallError", code: "EBADF" })
        expect(error.message).toContain("has closed")
      }
    }))

  test("every fiber that waits is woken, whatever became of the others", () =>
    Effect.gen(function*() {
      const { emit, events } = yield* setUp
      const reader = yield* PerfBuffer.make(events)
      const impatient = yield* Effect.forkChild(Effect.timeoutOption(reader.ready, "10 millis"))
      const others = yield* Effect.forEach([1, 2, 3], () => Effect.forkChild(reader.ready))
      expect(yield* Fiber.join(impatient)).toEqual(Option.none())
      yield* emit(1)
      yield* Effect.timeout(Fiber.awaitAll(others), "60 seconds")
      numbersOf(reader)
      expect(yield* Effect.timeoutOption(reader.ready, "10 millis")).toEqual(Option.none())
      expect(EventStatistics.between(reader.statistics(), reader.statistics()).wakeups).toBe(0)
      expect(reader.statistics().wakeups).toBe(1)
    }))

  test("a map that outlives its scope is read on, and given back", () =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const { events } = yield* Scope.provide(setUp, scope)
      const reader = yield* PerfBuffer.make(events)
      yield* Scope.close(scope, Exit.void)
      expect(numbersOf(reader)).toEqual([])
    }))

  test("drain stops at its limit and goes on after it; what a visitor failed on counts as read", () =>
    Effect.gen(function*() {
      const { cpus, emit, events } = yield* setUp
      const reader = yield* PerfBuffer.make(events)
      for (const cpu of cpus) yield* emit(5, cpu)
      expect(numbersOf(reader, 3)).toEqual([0, 1, 2])
      yield* Effect.timeout(reader.ready, "60 seconds") // there is more
      const no = () => {
        throw new Error("no")
      }
      expect(() => reader.drain(no)).toThrow("no")
      expect(numbersOf(reader).toSorted((a, b) => a - b)).toEqual(range(4, 5 * cpus.length))
      expect(numbersOf(reader)).toEqual([])
    }))

  test("whatever a visitor does with what it is given harms its own samples at most", () =>
    Effect.gen(function*() {
      const { emit, events } = yield* setUp
      const reader = yield* PerfBuffer.make(events)
      yield* emit(3)
      expect(reader.drain((_, bytes) => bytes.fill(255))).toBe(3)
      yield* emit(3)
      const take = (_: DataView, { buffer }: Uint8Array) =>
        void (buffer.byteLength > 0 && structuredClone(0, { transfer: [buffer as ArrayBuffer] }))
      expect(reader.drain(take, 1)).toBe(1)
      yield* emit(2)
      expect(numbersOf(reader)).toEqual([6, 7])
    }))

  test("drain within its own visitor is refused, and a visitor may close its reader", () =>
    Effect.gen(function*() {
      const { cpus, emit, events } = yield* setUp
      const scope = yield* Scope.make()
      const reader = yield* Scope.provide(PerfBuffer.make(events), scope)
      for (const cpu of cpus) yield* emit(2, cpu)
      const errors: Array<unknown> = []
      reader.drain(() => {
        try {
          reader.drain(() => {})
        } catch (error) {
          errors.push(error)
        }
      }, 1)
      expect(errors).toMatchObject([{ _tag: "PerfBufferError", reason: "InUse" }])
      reader.drain(() => Effect.runSync(Scope.close(scope, Exit.void)))
      expect(numbersOf(reader)).toEqual([])
    }))

  test("drain reads what was there when it began, however fast samples come", () =>
    Effect.gen(function*() {
      const { emit, events } = yield* setUp
      const reader = yield* PerfBuffer.make(events)
      const context = yield* Effect.context<Kernel.Kernel>()
      yield* emit(3)
      let visits = 0
      const visit = () => {
        if (++visits < 1000) Effect.runSyncWith(context)(emit(1))
      }
      expect(reader.drain(visit)).toBe(3)
      expect(reader.drain(visit)).toBe(3)
    }))

  test("samples shorter than their layout fail the stream after those before, or are skipped and counted", () =>
    Effect.gen(function*() {
      const { emit, events } = yield* setUp
      const Wide = Layout.struct({ sequence: Layout.u64, more: Layout.u64 })
      const reader = yield* PerfBuffer.make(events)
      yield* emit(2)
      const error = yield* PerfBuffer.records(reader, Wide).pipe(Stream.runDrain, Effect.flip)
      expect(error).toMatchObject({ _tag: "LayoutError", path: "sample", actual: `${PADDED} bytes` })
      const skipping = yield* PerfBuffer.records(reader, Wide, { onDecodeError: "skip" }).pipe(
        Stream.runDrain,
        Effect.forkScoped({ startImmediately: true })
      )
      yield* emit(3)
      while (reader.statistics().events < 5) yield* Effect.sleep("1 millis")
      expect(skipping.pollUnsafe()).toBe(undefined)
      expect(reader.statistics()).toMatchObject({ events: 5, decodeErrors: 5 })
    }))

  test("bytes come as they are, padding included", () =>
    Effect.gen(function*() {
      const { emit, events } = yield* setUp
      const fiber = yield* PerfBuffer.streamBytes(events, { size: 1, batchSize: 1 }).pipe(
        Stream.take(2),
        Stream.runCollect,
        Effect.forkChild({ startImmediately: true })
      )
      yield* emit(2)
      const seen = yield* Effect.timeout(Fiber.join(fiber), "60 seconds")
      expect(seen.map((event) => event._tag === "Sample" ? [...event.value.subarray(0, 8)] : [])).toEqual([
        [0, 0, 0, 0, 0, 0, 0, 0],
        [1, 0, 0, 0, 0, 0, 0, 0]
      ])
      expect(seen[0]).toMatchObject({ value: { length: PADDED } })
    }))

  test("CPUs that are offline have no ring, numbers may have holes, and one that comes is found", () =>
    Effect.gen(function*() {
      const { cpus, emit, events } = yield* setUp
      if (cpus.length < 2) return
      const [away, there] = [cpus[0]!, cpus.slice(1)]
      const text = (list: ReadonlyArray<number>) => new TextEncoder().encode(`${list.join(",")}\n`)
      let online: ReadonlyArray<number> = cpus
      let refused: ReadonlyArray<number> = [away]
      const kernel = yield* kernelWith(({ args, method }) => {
        if (method === "files.read" && args[0] === "/sys/devices/system/cpu/possible") return text([...cpus, 127])
        if (method === "files.read" && args[0] === "/sys/devices/system/cpu/online") return text(online)
        return method === "perf.open" && refused.includes(args[2] as number) ? -errno.ENODEV : undefined
      })
      const within = Effect.provideService(Kernel.Kernel, kernel)
      expect(yield* within(PerfBuffer.entries)).toBe(128)
      const reader = yield* within(PerfBuffer.make(events))
      expect(reader.cpus().map(({ cpu }) => cpu)).toEqual(there)
      expect(yield* reader.refresh).toEqual({ opened: [], offline: [] })
      refused = []
      expect(yield* reader.refresh).toEqual({ opened: [away], offline: [] })
      yield* emit(2, away)
      // It goes with samples in its ring, and comes back.
      online = there
      expect(yield* reader.refresh).toEqual({ opened: [], offline: [away] })
      expect(yield* reader.refresh).toEqual({ opened: [], offline: [] })
      online = cpus
      expect(yield* reader.refresh).toEqual({ opened: [away], offline: [] })
      yield* emit(1, away)
      expect(numbersOf(reader)).toEqual([0, 1, 2])
      expect(yield* reader.refresh).toEqual({ opened: [], offline: [] })
      yield* emit(1, away)
      yield* Effect.timeout(reader.ready, "60 seconds")
      expect(numbersOf(reader)).toEqual([3])
      expect(reader.cpus().find(({ cpu }) => cpu === away)).toMatchObject({ samples: 4 })
    }))

  test("a map without an entry for a CPU that is online is refused, and says how many it needs", () =>
    Effect.gen(function*() {
      const { cpus } = yield* setUp
      const small = yield* PerfEventArray.make({ name: "small", maxEntries: 1 })
      if (cpus.at(-1)! < 1) return
      const error = yield* Effect.flip(Effect.scoped(PerfBuffer.make(small)))
      expect(error).toMatchObject({ _tag: "InvalidArgument", field: "map", actual: "one of 1" })
      expect(error.message).toContain(`${cpus[1]! + 1} entries`)
    }))

  test("other errors than ENODEV fail, and none online is ENODEV", () =>
    Effect.gen(function*() {
      const { cpus, events } = yield* setUp
      for (const [number, code] of [[errno.EACCES, "EACCES"], [errno.ENODEV, "ENODEV"]] as const) {
        const kernel = yield* kernelWith(({ method }) => method === "perf.open" ? -number : undefined)
        const error = yield* Effect.flip(Effect.scoped(
          Effect.provideService(PerfBuffer.make(events), Kernel.Kernel, kernel)
        ))
        expect(error).toMatchObject({ _tag: "SystemCallError", call: "perf_event_open", code })
      }
      const kernel = yield* kernelWith(({ method }) => method === "files.mmap" ? -errno.EPERM : undefined)
      const error = yield* Effect.flip(Effect.scoped(
        Effect.provideService(PerfBuffer.make(events), Kernel.Kernel, kernel)
      ))
      expect(error.message).toContain("perf_event_mlock_kb")
      expect(error.message).toContain(`CPU ${cpus[0]}`)
    }))

  test("options that are none are refused", () =>
    Effect.gen(function*() {
      const { pageSize } = yield* Kernel.Kernel
      const { events } = yield* setUp
      const wrong: ReadonlyArray<readonly [field: string, options: unknown]> = [
        ["size", { size: 0 }],
        ["size", { size: 2 ** 31 }],
        ["size", { size: "1" }],
        ["wakeup", { wakeup: {} }],
        ["wakeup", { wakeup: { events: 0 } }],
        ["wakeup", { wakeup: { events: 1, bytes: 1 } }],
        ["wakeup", { wakeup: { event: 1 } }],
        ["wakeup.bytes", { size: 1, wakeup: { bytes: pageSize / 2 + 1 } }],
        ["deadline", { deadline: "soon" }],
        ["deadline", { deadline: 0 }],
        ["deadline", { deadline: Symbol("x") }],
        ["order", { order: "sequence" }],
        ["overwritable", { overwritable: 1 }],
        ["options of a perf buffer", { pages: 8 }],
        ["options of a perf buffer", 8]
      ]
      for (const [field, options] of wrong) {
        const error = yield* Effect.flip(Effect.scoped(PerfBuffer.make(events, options as PerfBuffer.Options)))
        expect(error, field).toMatchObject({ _tag: "InvalidArgument", field })
        const streamed = yield* PerfBuffer.stream(events, Numbered, options as PerfBuffer.Options).pipe(
          Stream.runDrain,
          Effect.flip
        )
        expect(streamed, field).toMatchObject({ _tag: "InvalidArgument", field })
      }
      const other = yield* ArrayMap.make({ name: "other", value: Layout.u32, maxEntries: 1 })
      const failing = [
        ["map", PerfBuffer.stream(other as never, Numbered)],
        ["map", PerfBuffer.stream(undefined as never, Numbered)],
        ["layout", PerfBuffer.stream(events, {} as never)],
        ["reader", PerfBuffer.records({} as never, Numbered)]
      ] as const
      for (const [field, stream] of failing) {
        expect(yield* Effect.flip(Stream.runDrain(stream))).toMatchObject({ _tag: "InvalidArgument", field })
      }
      for (const batchSize of [0, 0.5, -1]) {
        const error = yield* PerfBuffer.stream(events, Numbered, { batchSize }).pipe(Stream.runDrain, Effect.flip)
        expect(error).toMatchObject({ _tag: "InvalidArgument", field: "batchSize" })
      }
      // What is no power of two of pages is made one.
      const reader = yield* PerfBuffer.make(events, { size: 3 * pageSize, wakeup: { bytes: 2 * pageSize } })
      expect(numbersOf(reader)).toEqual([])
    }))

  /** The mapping that a foreign reader would have of the first ring that is opened, and that ring's reader. */
  const withForeign = (events: PerfEventArray.PerfEventArray, options: PerfBuffer.Options = {}) =>
    Effect.gen(function*() {
      const kernel = yield* Kernel.Kernel
      let fd = -1
      const watching = wrapCalls(kernel, (call, make) => {
        const result = make()
        if (call.method === "perf.open" && fd < 0) fd = result as number
        return result
      })
      const reader = yield* PerfBuffer.make(events, { size: 1, ...options }).pipe(
        Effect.provideService(Kernel.Kernel, watching)
      )
      const mapping = kernel.files.mmap(fd, 2 * kernel.pageSize, 3, 0)
      if (typeof mapping === "number") return yield* Effect.die(mapping)
      yield* Effect.addFinalizer(() => Effect.sync(() => kernel.files.munmap(mapping)))
      return {
        reader,
        head: new BigInt64Array(mapping.buffer, 1024, 1),
        tail: new BigInt64Array(mapping.buffer, 1032, 1),
        data: new DataView(mapping.buffer, kernel.pageSize)
      }
    })

  test("positions that another reader moved, or that cannot be, are errors, and stay so", () =>
    Effect.gen(function*() {
      const { pageSize } = yield* Kernel.Kernel
      const { emit, events } = yield* setUp
      type Foreign = Effect.Success<ReturnType<typeof withForeign>>
      const { kind } = yield* Kernel.Kernel
      const positions: ReadonlyArray<readonly [reason: string, order: "cpu" | "time", (foreign: Foreign) => void]> = [
        ["Moved", "cpu", ({ tail }) => (tail[0] = 24n)],
        ["Moved", "time", ({ tail }) => (tail[0] = -8n)],
        ["Nonsense", "cpu", ({ head }) => (head[0] = head[0]! + BigInt(2 * pageSize))],
        ["Nonsense", "cpu", ({ head }) => (head[0] = -8n)],
        ["Nonsense", "time", ({ head }) => (head[0] = 3n)],
        // What was never written, as a header.
        ["Nonsense", "cpu", ({ head }) => (head[0] = head[0]! + 64n)],
        // Within a record: what is read as a header is its end.
        ["Nonsense", "time", ({ head }) => (head[0] = head[0]! - 8n)]
      ]
      // The kernel lets nobody write to the data: SIGBUS (perf_mmap_pfn_mkwrite()).
      const wrongs = kind === "linux" ? positions : [
        ...positions,
        ["Nonsense", "cpu", ({ data }) => data.setUint16(6, 0, true)],
        ["Nonsense", "cpu", ({ data }) => data.setUint16(6, 4, true)],
        ["Nonsense", "time", ({ data }) => data.setUint16(6, 0xfff8, true)],
        ["Nonsense", "cpu", ({ data }) => data.setUint32(8, 0xffffffff, true)],
        ["Nonsense", "time", ({ data }) => data.setUint32(16, 21, true)],
        // A sample of which nothing is there, and a loss that is too short.
        ["Nonsense", "time", ({ data }) => data.setUint16(6, 8, true)],
        ["Nonsense", "cpu", ({ data }) => (data.setUint32(0, 2, true), data.setUint16(6, 16, true))]
      ] satisfies typeof positions
      for (const [reason, order, harm] of wrongs) {
        yield* Effect.scoped(Effect.gen(function*() {
          const foreign = yield* withForeign(events, { order })
          yield* emit(2)
          harm(foreign)
          const error = yield* PerfBuffer.records(foreign.reader, Numbered).pipe(Stream.runDrain, Effect.flip)
          expect(error, harm.toString()).toMatchObject({ _tag: "PerfBufferError", reason })
          expect(() => foreign.reader.drain(() => {})).toThrow(PerfBuffer.PerfBufferError)
          yield* Effect.timeout(foreign.reader.ready, "60 seconds")
        }))
      }
    }))

  test("a position that moves back is an error, and what was read before it stays read", () =>
    Effect.gen(function*() {
      const { emit, events } = yield* setUp
      const { head, reader } = yield* withForeign(events)
      yield* emit(4)
      expect(numbersOf(reader, 4)).toEqual([0, 1, 2, 3])
      head[0] = 48n
      expect(() => numbersOf(reader)).toThrow("expected at most")
    }))

  test("garbage in a ring ends in an error or in samples, and never in a loop", () =>
    Effect.gen(function*() {
      const { kind, pageSize } = yield* Kernel.Kernel
      if (kind === "linux") return // lets nobody write to the data
      const { events } = yield* setUp
      let seed = 1
      const random = (below: number) => (seed = (seed * 48271) % 0x7fffffff) % below
      for (let round = 0; round < 40; round++) {
        yield* Effect.scoped(Effect.gen(function*() {
          const wakeup = { events: 1 + random(3) }
          const { data, head, reader } = yield* withForeign(events, { order: round % 2 === 0 ? "cpu" : "time", wakeup })
          for (let at = 0; at < pageSize; at += 8) {
            data.setUint32(at, [2, 9, 13, 5][random(4)]!, true)
            data.setUint32(at + 4, random(2) === 0 ? 24 << 16 : random(1 << 20), true)
            if (round % 4 > 1) data.setUint32(at, random(64), true)
          }
          head[0] = BigInt(8 * random(pageSize / 8))
          let samples = 0
          try {
            for (let i = 0; i < 3; i++) samples += reader.drain(() => {})
          } catch (error) {
            expect(error).toBeInstanceOf(PerfBuffer.PerfBufferError)
          }
          expect(samples).toBeLessThanOrEqual(pageSize / 8)
        }))
      }
    }))

  failingCalls((name, effect) => test(name, effect), [{
    name: "samples of a perf buffer are read",
    isSlow: true,
    run: Effect.gen(function*() {
      const { cpus, emit, events } = yield* setUp
      const reader = yield* PerfBuffer.make(events, { size: 1, order: "time" })
      yield* emit(1, cpus[0]!)
      yield* reader.pause
      yield* reader.resume
      yield* reader.losses
      const seen = yield* PerfBuffer.records(reader, Numbered).pipe(Stream.take(1), Stream.runCollect)
      expect(seen.length).toBe(1)
    })
  }, {
    name: "an overwritable perf buffer is read",
    isSlow: true,
    run: Effect.gen(function*() {
      const { cpus, emit, events } = yield* setUp
      const reader = yield* PerfBuffer.make(events, { size: 1, overwritable: true })
      yield* emit(1, cpus[0]!)
      yield* reader.ready
      const seen = yield* PerfBuffer.records(reader, Numbered).pipe(Stream.take(1), Stream.runCollect)
      expect(seen.length).toBe(1)
    })
  }])

  test("an interruption at any moment of opening and reading leaves nothing", () =>
    Effect.gen(function*() {
      const { emit, events } = yield* setUp
      for (let turns = 0; turns < 25; turns++) {
        const reading = yield* PerfBuffer.stream(events, Numbered, { size: 1 }).pipe(
          Stream.runForEachArray(() => Effect.sleep(0)),
          Effect.forkChild
        )
        if (turns % 2 === 0) yield* emit(3)
        for (let i = 0; i < turns % 5; i++) yield* Effect.yieldNow
        if (turns % 2 === 1) yield* emit(3)
        yield* Effect.timeout(Fiber.interrupt(reading), "60 seconds")
      }
    }))
}
