import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { expect } from "vitest"
import {
  ArrayMap,
  Asm,
  BpfMap,
  Kernel,
  Layout,
  Program,
  ProgramSpec,
  RingBuffer,
  RingBufferMap
} from "../../src/index.ts"
import type { Test } from "../support/kernels.ts"

const Numbered = Layout.struct({ sequence: Layout.u64Number })

/**
 * A program that writes one numbered record at each run, and counts those that found no room. Element 0 of its array is
 * the next number, element 1 the count of lost records.
 */
const numbering = ProgramSpec.make({
  type: "socket_filter",
  name: "numbering",
  instructions: [
    [0, 1].map((index) => [
      Asm.stw("r10", -4, index),
      Asm.ldMapFd("r1", "state"),
      Asm.mov("r2", "r10"),
      Asm.add("r2", -4),
      Asm.call("map_lookup_elem"),
      Asm.jeq("r0", 0, "out"),
      Asm.mov(index === 0 ? "r6" : "r7", "r0")
    ]),
    Asm.ldxdw("r1", "r6", 0),
    Asm.stdw("r10", -16, "r1"),
    Asm.add("r1", 1),
    Asm.stdw("r6", 0, "r1"),
    Asm.ldMapFd("r1", "events"),
    Asm.mov("r2", "r10"),
    Asm.add("r2", -16),
    Asm.mov("r3", 8),
    Asm.mov("r4", 0),
    Asm.call("ringbuf_output"),
    Asm.jeq("r0", 0, "out"),
    Asm.ldxdw("r1", "r7", 0),
    Asm.add("r1", 1),
    Asm.stdw("r7", 0, "r1"),
    Asm.label("out"),
    Asm.mov("r0", 0),
    Asm.exit()
  ]
})

/** A ring, and what puts numbered records into it. */
const setUp = (maxEntries: number) =>
  Effect.gen(function*() {
    const events = yield* RingBufferMap.make({ name: "events", record: Numbered, maxEntries })
    const state = yield* ArrayMap.make({ name: "state", value: Layout.u64Number, maxEntries: 2 })
    const program = yield* Program.load(numbering, { maps: { events, state } })
    const produce = (count: number) =>
      Program.testRun(program, { data: new Uint8Array(14), repeat: count }).pipe(Effect.asVoid)
    return { events, produce, lost: state.lookup(1) }
  })

/** Produces many records without filling the ring: the consumer has a turn of the event loop after every 5,000. */
const produceMany = (produce: (count: number) => Effect.Effect<void, unknown, any>, count: number) =>
  Effect.gen(function*() {
    for (let made = 0; made < count; made += 5000) {
      yield* produce(Math.min(5000, count - made))
      yield* Effect.sleep(0)
    }
  })

export const ringBuffers = (test: Test, options: { readonly events: number }): void => {
  test(`a stream delivers ${options.events} records: none lost, none twice, all in order`, () =>
    Effect.gen(function*() {
      const { events, lost, produce } = yield* setUp(1 << 22)
      const wanted = options.events
      const done = yield* Deferred.make<void>()
      let next = 0
      const consumer = yield* RingBuffer.stream(events).pipe(
        Stream.runForEachArray((batch) => {
          for (const { sequence } of batch) {
            if (sequence !== next) return Effect.die(`expected record ${next}, got ${sequence}`)
            next++
          }
          return next >= wanted ? Deferred.succeed(done, undefined) : Effect.void
        }),
        Effect.forkScoped
      )
      yield* Effect.raceFirst(
        Effect.andThen(produceMany(produce, wanted), Deferred.await(done)),
        Fiber.join(consumer)
      )
      expect(next).toBe(wanted)
      expect(yield* lost).toBe(0)
      // Nothing comes after the last.
      yield* Effect.sleep("20 millis")
      expect(next).toBe(wanted)
    }))

  test("interrupting a stream mid-way leaves the ring to the next reader, which goes on where it stopped", () =>
    Effect.gen(function*() {
      const { events, produce } = yield* setUp(1 << 16)
      const seen: Array<number> = []
      const started = yield* Deferred.make<void>()
      const reader = yield* RingBuffer.stream(events).pipe(
        Stream.runForEachArray((batch) => {
          for (const { sequence } of batch) seen.push(sequence)
          return Deferred.succeed(started, undefined)
        }),
        Effect.forkScoped
      )
      yield* produce(10)
      yield* Deferred.await(started)
      yield* Fiber.interrupt(reader)
      yield* produce(10)
      const rest = yield* RingBuffer.stream(events).pipe(Stream.take(10), Stream.runCollect)
      expect(seen).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
      expect(rest.map((record) => record.sequence)).toEqual([10, 11, 12, 13, 14, 15, 16, 17, 18, 19])
    }))

  test("a full ring loses new records, which the program counts, and keeps the old", () =>
    Effect.gen(function*() {
      const { events, lost, produce } = yield* setUp(4096)
      yield* produce(300) // 16 bytes each: 255 fit, since one byte stays free
      const reader = yield* RingBuffer.make(events)
      const seen: Array<number> = []
      reader.drain((view, bytes, offset) => seen.push(Numbered.read(view, bytes, offset).sequence))
      expect(seen).toEqual(Array.from({ length: 255 }, (_, i) => i))
      expect(yield* lost).toBe(45)
      // The room is given back: the same again, past the end of the ring.
      yield* produce(200)
      seen.length = 0
      expect(reader.drain((view, bytes, offset) => seen.push(Numbered.read(view, bytes, offset).sequence))).toBe(200)
      expect(seen[0]).toBe(300)
      expect(seen[199]).toBe(499)
    }))

  test("drain stops at its limit, and a record that a visitor failed on counts as read", () =>
    Effect.gen(function*() {
      const { events, produce } = yield* setUp(4096)
      const reader = yield* RingBuffer.make(events)
      yield* produce(5)
      const seen: Array<number> = []
      const visit: RingBuffer.Visit = (view, bytes, offset) => seen.push(Numbered.read(view, bytes, offset).sequence)
      expect(reader.drain(visit, 2)).toBe(2)
      expect(() =>
        reader.drain(() => {
          throw new Error("no")
        })
      ).toThrow("no")
      expect(reader.drain(visit)).toBe(2)
      expect(seen).toEqual([0, 1, 3, 4])
      expect(reader.drain(visit)).toBe(0)
    }))

  test("a ring buffer has one reader at a time", () =>
    Effect.gen(function*() {
      const { events } = yield* setUp(4096)
      yield* RingBuffer.make(events)
      const error = yield* Effect.flip(Effect.scoped(RingBuffer.make(events)))
      expect(error).toMatchObject({ _tag: "SystemCallError", code: "EEXIST" })
      expect(error.message).toContain("reader already")
    }))

  test("a reader that outlives its scope drains nothing and fails to wait", () =>
    Effect.gen(function*() {
      const { events, produce } = yield* setUp(4096)
      const reader = yield* Effect.scoped(RingBuffer.make(events))
      yield* produce(3)
      expect(reader.drain(() => {})).toBe(0)
      expect(yield* Effect.flip(reader.ready)).toMatchObject({ code: "EBADF" })
    }))

  test("records shorter than their layout fail the stream, after those before them", () =>
    Effect.gen(function*() {
      const { events, produce } = yield* setUp(4096)
      const Wide = Layout.struct({ sequence: Layout.u64, more: Layout.u64 })
      yield* produce(1)
      const error = yield* RingBuffer.stream({ ...events, record: Wide }).pipe(Stream.runDrain, Effect.flip)
      expect(error).toMatchObject({ _tag: "LayoutError", path: "record" })
    }))

  test("sizes that are no power of two times the page size are refused with the limit", () =>
    Effect.gen(function*() {
      for (const maxEntries of [0, 1000, 4097, 12288, 2 ** 31, -4096, Number.NaN]) {
        const error = yield* Effect.flip(
          Effect.scoped(RingBufferMap.make({ name: "r", record: Numbered, maxEntries }))
        )
        expect(error).toMatchObject({ _tag: "InvalidArgument", field: "maxEntries" })
      }
      const { events } = yield* setUp(4096)
      for (const batchSize of [0, 0.5, -1]) {
        const error = yield* RingBuffer.stream(events, { batchSize }).pipe(Stream.runDrain, Effect.flip)
        expect(error).toMatchObject({ _tag: "InvalidArgument", field: "batchSize" })
      }
    }))

  test("every fiber that waits is woken, whatever became of the others", () =>
    Effect.gen(function*() {
      const { events, produce } = yield* setUp(4096)
      const reader = yield* RingBuffer.make(events)
      const impatient = yield* Effect.forkChild(Effect.timeoutOption(reader.ready, "10 millis"))
      const others = yield* Effect.forEach([1, 2, 3], () => Effect.forkChild(reader.ready))
      expect(yield* Fiber.join(impatient)).toEqual(Option.none())
      yield* produce(1)
      yield* Effect.timeout(Fiber.awaitAll(others), "60 seconds")
      // And those that come when all is read wait for the next.
      reader.drain(() => {})
      const later = yield* Effect.forEach([1, 2], () => Effect.forkChild(reader.ready))
      yield* Effect.sleep("5 millis")
      yield* produce(1)
      yield* Effect.timeout(Fiber.awaitAll(later), "60 seconds")
    }))

  const closings: ReadonlyArray<{
    readonly what: string
    readonly open: (close: Scope.Closeable) => Effect.Effect<RingBuffer.Reader, unknown, Kernel.Kernel | Scope.Scope>
    readonly says: string
  }> = [
    {
      what: "the reader's scope",
      open: (close) => Effect.flatMap(setUp(4096), ({ events }) => Scope.provide(RingBuffer.make(events), close)),
      says: "has closed"
    },
    {
      what: "the map's scope",
      open: (close) => Effect.flatMap(Scope.provide(setUp(4096), close), ({ events }) => RingBuffer.make(events)),
      says: "has closed"
    }
  ]
  for (const { open, says, what } of closings) {
    test(`who waits when ${what} closes fails with EBADF`, () =>
      Effect.gen(function*() {
        const scope = yield* Scope.make()
        const reader = yield* open(scope)
        const waiting = yield* Effect.forEach([1, 2], () => Effect.forkChild(Effect.flip(reader.ready)))
        yield* Effect.sleep("5 millis")
        yield* Scope.close(scope, Exit.void)
        for (const fiber of waiting) {
          const error = yield* Effect.timeout(Fiber.join(fiber), "60 seconds")
          expect(error).toMatchObject({ _tag: "SystemCallError", code: "EBADF" })
          expect(error.message).toContain(says)
        }
      }))
  }

  test("whatever a visitor does with what it is given harms its own records at most", () =>
    Effect.gen(function*() {
      const { events, produce } = yield* setUp(4096)
      const reader = yield* RingBuffer.make(events)
      yield* produce(3)
      expect(reader.drain((_, bytes, offset, length) => bytes.fill(7, offset, offset + length))).toBe(3)
      yield* produce(3)
      expect(reader.drain((_, bytes) => bytes.fill(255))).toBe(3)
      yield* produce(3)
      const take = (_: DataView, { buffer }: Uint8Array) =>
        void (buffer.byteLength > 0 && structuredClone(0, { transfer: [buffer as ArrayBuffer] }))
      expect(reader.drain(take)).toBe(3)
      yield* produce(2)
      const seen: Array<number> = []
      reader.drain((view, bytes, offset) => seen.push(Numbered.read(view, bytes, offset).sequence))
      expect(seen).toEqual([9, 10])
    }))

  test("a ring buffer has one reader, from whatever descriptor it comes", () =>
    Effect.gen(function*() {
      const { events, produce } = yield* setUp(4096)
      const definition = RingBufferMap.define({ name: "events", record: Numbered, maxEntries: 4096 })
      const other = yield* BpfMap.fromFd(definition, events.fd)
      yield* produce(2)
      yield* Effect.scoped(Effect.gen(function*() {
        const reader = yield* RingBuffer.make(events)
        const error = yield* Effect.flip(Effect.scoped(RingBuffer.make(other)))
        expect(error).toMatchObject({ _tag: "SystemCallError", code: "EEXIST" })
        expect(error.message).toContain("reader already")
        expect(reader.drain(() => {}, 1)).toBe(1)
      }))
      const next = yield* RingBuffer.make(other)
      expect(next.drain(() => {})).toBe(1)
    }))

  test("drain within its own visitor is refused, and the outer one goes on", () =>
    Effect.gen(function*() {
      const { events, produce } = yield* setUp(4096)
      const reader = yield* RingBuffer.make(events)
      yield* produce(2)
      const errors: Array<unknown> = []
      const inner = () => {
        try {
          reader.drain(() => {})
        } catch (error) {
          errors.push(error)
        }
      }
      expect(reader.drain(inner)).toBe(2)
      expect(errors).toMatchObject([1, 2].map(() => ({ _tag: "RingBufferError", reason: "InUse" })))
      expect(reader.drain(() => {})).toBe(0)
    }))

  test("drain reads what was there when it began, however fast records come", () =>
    Effect.gen(function*() {
      const { events, produce } = yield* setUp(4096)
      const reader = yield* RingBuffer.make(events)
      const context = yield* Effect.context<Kernel.Kernel>()
      yield* produce(3)
      let visits = 0
      const visit = () => {
        if (++visits < 1000) Effect.runSyncWith(context)(produce(1))
      }
      expect(reader.drain(visit)).toBe(3)
      expect(reader.drain(visit)).toBe(3)
    }))

  /** The page that a foreign reader would write its position to. */
  const mapPosition = (fd: number) =>
    Effect.gen(function*() {
      const kernel = yield* Kernel.Kernel
      const mapping = kernel.files.mmap(fd, kernel.pageSize, 3, 0)
      if (typeof mapping === "number") return yield* Effect.die(mapping)
      yield* Effect.addFinalizer(() => Effect.sync(() => kernel.files.munmap(mapping)))
      return new BigInt64Array(mapping.buffer, 0, 1)
    })

  test("a position that another reader moved, or that cannot be, is an error", () =>
    Effect.gen(function*() {
      const { events, produce } = yield* setUp(4096)
      const position = yield* mapPosition(events.fd)
      yield* produce(4)
      yield* Effect.scoped(Effect.gen(function*() {
        const reader = yield* RingBuffer.make(events)
        position[0] = 16n
        expect(() => reader.drain(() => {})).toThrow(RingBuffer.RingBufferError)
        expect(() => reader.drain(() => {})).toThrow("another reads it")
      }))
      for (const nonsense of [-8n, 3n, 1n << 40n, -(1n << 62n), (1n << 62n) + 1n]) {
        position[0] = nonsense
        const error = yield* RingBuffer.stream(events).pipe(Stream.runDrain, Effect.flip)
        expect(error).toMatchObject({ _tag: "RingBufferError", reason: "Nonsense" })
      }
      // Within a record: what is read as its header is data.
      position[0] = 8n
      const seen: Array<number> = []
      const reader = yield* RingBuffer.make(events)
      try {
        reader.drain((_view, _bytes, _offset, length) => seen.push(length))
      } catch (error) {
        expect(error).toMatchObject({ _tag: "RingBufferError", reason: "Nonsense" })
      }
      expect(seen.length).toBeLessThan(10)
    }))

  test("a stream with a slow consumer leaves timers their turn", () =>
    Effect.gen(function*() {
      const { events, produce } = yield* setUp(1 << 16)
      yield* produce(2000)
      let turns = 0
      let immediate = setImmediate(function count() {
        turns++
        immediate = setImmediate(count)
      })
      yield* RingBuffer.stream(events, { batchSize: 10 }).pipe(
        Stream.take(2000),
        Stream.runForEachArray(() =>
          Effect.sync(() => {
            for (const end = performance.now() + 1; performance.now() < end;);
          })
        )
      )
      clearImmediate(immediate)
      // 200 chunks of 1 ms, and a turn every 5 ms and a chunk.
      expect(turns).toBeGreaterThan(15)
    }))
}
