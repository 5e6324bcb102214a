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
  RingBufferMap,
  Snippets
} from "../../src/index.ts"
import type { Test } from "../support/kernels.ts"

const Numbered = Layout.struct({ sequence: Layout.u64Number })

type Sequence = Layout.Type<typeof Numbered>

/**
 * A program that writes one numbered record at each run, and counts those that found no room. Element 0 of its array is
 * the next number, element 1 the count of lost records.
 */
const numbering = (flags: number) =>
  ProgramSpec.make({
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
      Asm.mov("r4", flags),
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
const setUp = (maxEntries: number, flags = 0, record: Layout.Layout<Sequence> = Numbered) =>
  Effect.gen(function*() {
    const events = yield* RingBufferMap.make({ name: "events", record, maxEntries })
    const state = yield* ArrayMap.make({ name: "state", value: Layout.u64Number, maxEntries: 2 })
    const program = yield* Program.load(numbering(flags), { maps: { events, state } })
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

const NO_WAKEUP = 1

/** A program that reserves a record of `length` bytes, and submits or discards it. */
const reserving = (length: number, discards: boolean) =>
  ProgramSpec.make({
    type: "socket_filter",
    name: "reserving",
    instructions: [
      Snippets.ringbufReserve("events", { size: length }, "full"),
      Asm.mov("r6", "r0"),
      Asm.stw("r6", 0, length),
      discards ? Snippets.ringbufDiscard("r6") : Snippets.ringbufSubmit("r6"),
      Asm.label("full"),
      Asm.mov("r0", 0),
      Asm.exit()
    ]
  })

/** A layout that gives its memory to code of a user's own. */
const peeping = (see: (view: DataView, bytes: Uint8Array, offset: number) => Sequence): Layout.Layout<Sequence> =>
  Object.assign(Object.create(Numbered), { size: 8, align: 8, read: see })

/** A layout with a user's codec in it, which fails for odd numbers. */
const Even = Layout.struct({
  sequence: Layout.transform(Layout.u64Number, {
    decode: (n) => {
      if (n % 2 === 1) throw new Error(`${n} is odd`)
      return n
    },
    encode: (n) => n,
    schema: () => Layout.u64Number.schema
  })
})

/** How many streams are interrupted one after the other. */
const INTERRUPTIONS = 300

export const ringBuffers = (
  test: Test,
  options: { readonly events: number; readonly readers?: number }
): void => {
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
      reader.drain((record) => seen.push(record.decode().sequence))
      expect(seen).toEqual(Array.from({ length: 255 }, (_, i) => i))
      expect(yield* lost).toBe(45)
      // The room is given back: the same again, past the end of the ring.
      yield* produce(200)
      seen.length = 0
      expect(reader.drain((record) => seen.push(record.decode().sequence))).toBe(200)
      expect(seen[0]).toBe(300)
      expect(seen[199]).toBe(499)
    }))

  test("drain stops at its limit, and a record that a visitor failed on counts as read", () =>
    Effect.gen(function*() {
      const { events, produce } = yield* setUp(4096)
      const reader = yield* RingBuffer.make(events)
      yield* produce(5)
      const seen: Array<number> = []
      const visit: RingBuffer.Visit<Sequence> = (record) => seen.push(record.u64Number(0))
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
      expect(error).toMatchObject({ _tag: "EventDecodeError", cause: { _tag: "LayoutError", path: "record" } })
      expect((error as RingBuffer.EventDecodeError).bytes).toEqual(new Uint8Array(8))
      expect((error as Error).message).toContain("expected at least 16 bytes, got 8 bytes")
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
    readonly open: (
      close: Scope.Closeable
    ) => Effect.Effect<RingBuffer.Reader<Sequence>, unknown, Kernel.Kernel | Scope.Scope>
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
        reader.drain((record) => seen.push(record.length))
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
  test("a record gives typed reads within its bounds, and none once its visit has ended", () =>
    Effect.gen(function*() {
      const { events, produce } = yield* setUp(4096)
      yield* produce(3)
      const reader = yield* RingBuffer.make(events)
      let kept: RingBuffer.RingRecord<Sequence> | undefined
      const outOfBounds: Array<unknown> = []
      const visits = reader.drain((record) => {
        kept = record
        const n = record.u8(0)
        expect([record.length, record.u16(0), record.u32(0), record.u64(0), record.u64Number(0)])
          .toEqual([8, n, n, BigInt(n), n])
        expect([record.i8(0), record.i16(0), record.i32(0), record.i64(0), record.i64Number(0)])
          .toEqual([n, n, n, BigInt(n), n])
        expect([record.u16be(0), record.u32be(0), record.u64be(0)])
          .toEqual([n << 8, n * 2 ** 24, BigInt(n) << 56n])
        expect([record.f64(0), record.f32(4)]).toEqual([n * Number.MIN_VALUE, 0])
        expect(record.bytes()).toEqual(Uint8Array.of(n, 0, 0, 0, 0, 0, 0, 0))
        expect(record.bytes(0, 2)).toEqual(Uint8Array.of(n, 0))
        expect([record.text(), record.text(1), record.text(8)]).toEqual([
          String.fromCharCode(n).replace("\0", ""),
          "",
          ""
        ])
        expect(record.decode()).toEqual({ sequence: n })
        expect(record.read(Layout.u32, 4)).toBe(0)
        const wrong: ReadonlyArray<(at: any) => unknown> = [
          (at) => record.u8(at),
          (at) => record.u32(at),
          (at) => record.u64Number(at),
          (at) => record.bytes(at, 8),
          (at) => record.text(at, 8),
          (at) => record.read(Layout.u64, at)
        ]
        for (const at of [8, -1, 0.5, Number.NaN, 2 ** 32, 2 ** 53, "1", undefined, { valueOf: () => 0 }]) {
          for (const read of wrong) {
            try {
              if (at !== undefined || read !== wrong[3]) outOfBounds.push(read(at))
            } catch (error) {
              outOfBounds.push((error as RingBuffer.RingBufferError).reason)
            }
          }
        }
      })
      expect(visits).toBe(3)
      const read = outOfBounds.filter((found) => found !== "OutOfBounds")
      // Left out, the place is the beginning.
      expect(read).toEqual([0, 1, 2].flatMap((n) => [n === 0 ? "" : String.fromCharCode(n), BigInt(n)]))
      for (const late of [() => kept!.length, () => kept!.u8(0), () => kept!.decode(), () => kept!.bytes()]) {
        expect(late).toThrow(RingBuffer.RingBufferError)
        expect(late).toThrow("visit has ended")
      }
      expect(String(kept)).toBe("record of ringbuf map \"events\", its visit ended")
    }))

  test("no code of a user's reaches the ring's memory, whatever a layout's codecs do", () =>
    Effect.gen(function*() {
      const { events, produce } = yield* setUp(4096)
      yield* produce(6)
      const scribbling = peeping((view, bytes, offset) => {
        const sequence = Number(view.getBigUint64(offset, true))
        bytes.fill(255)
        return { sequence }
      })
      const taking = peeping((view, bytes, offset) => {
        const sequence = Number(view.getBigUint64(offset, true))
        structuredClone(0, { transfer: [bytes.buffer as ArrayBuffer] })
        return { sequence }
      })
      const values: Array<number> = []
      yield* Effect.scoped(Effect.gen(function*() {
        const reader = yield* RingBuffer.make(events)
        reader.drain((record) => values.push(record.read(scribbling).sequence, record.read(taking).sequence), 2)
        expect(values).toEqual([0, 0, 1, 1])
      }))
      yield* Effect.scoped(Effect.gen(function*() {
        const reader = yield* RingBuffer.make({ ...events, record: taking })
        expect(reader.take(1)).toEqual([{ sequence: 2 }])
        reader.drain((record) => values.push(record.decode().sequence), 1)
        expect(values.at(-1)).toBe(3)
      }))
      const rest = yield* RingBuffer.stream({ ...events, record: scribbling }).pipe(Stream.take(2), Stream.runCollect)
      expect(rest[0]).toEqual({ sequence: 4 })
    }))

  test("a visitor, or a codec, may close its reader: nothing is read after it, and the next reader goes on there", () =>
    Effect.gen(function*() {
      const { events, produce } = yield* setUp(4096)
      yield* produce(8)
      const closing = (
        record: Layout.Layout<Sequence>,
        use: (reader: RingBuffer.Reader<Sequence>, close: () => void) => void
      ) =>
        Effect.gen(function*() {
          const scope = yield* Scope.make()
          const reader = yield* Scope.provide(RingBuffer.make({ ...events, record }), scope)
          use(reader, () => Effect.runSync(Scope.close(scope, Exit.void)))
        })
      const seen: Array<number> = []
      yield* closing(Numbered, (reader, close) => {
        reader.drain((record) => {
          seen.push(record.decode().sequence)
          if (seen.length < 2) return
          close()
          expect(() => record.u8(0)).toThrow("visit has ended")
        })
        expect(reader.drain(() => {})).toBe(0)
        expect(reader.take()).toEqual([])
        expect(reader.columns().rows).toBe(0)
        expect(reader.position().backlog).toBe(0)
        expect(reader.statistics()).toMatchObject({ events: 2, lag: 0 })
      })
      expect(seen).toEqual([0, 1])
      let close = () => {}
      const record = peeping((view, _, offset) => {
        const sequence = Number(view.getBigUint64(offset, true))
        if (sequence === 3) close()
        return { sequence }
      })
      yield* closing(record, (reader, end) => {
        close = end
        reader.take(2)
      })
      const reader = yield* RingBuffer.make(events)
      expect(reader.take().map(({ sequence }) => sequence)).toEqual([4, 5, 6, 7])
    }))

  test("peek sees what drain will, and takes nothing", () =>
    Effect.gen(function*() {
      const { events, produce } = yield* setUp(4096)
      yield* produce(3)
      const reader = yield* RingBuffer.make(events)
      const seen: Array<number> = []
      expect(reader.peek((record) => seen.push(record.u32(0)))).toBe(3)
      expect(reader.peek((record) => seen.push(record.u32(0)), 1)).toBe(1)
      expect(reader.statistics().events).toBe(0)
      expect(reader.position()).toEqual({ consumer: 0n, producer: 48n, backlog: 48 })
      expect(reader.drain((record) => seen.push(record.u32(0)))).toBe(3)
      expect(reader.peek(() => {})).toBe(0)
      expect(seen).toEqual([0, 1, 2, 0, 0, 1, 2])
      expect(reader.position()).toEqual({ consumer: 48n, producer: 48n, backlog: 0 })
      expect(reader.statistics()).toMatchObject({ events: 3, bytes: 24, batches: 1, lag: 0, decodeErrors: 0 })
    }))

  test("limits and visitors that are none are refused, and nothing is read by them", () =>
    Effect.gen(function*() {
      const { events, produce } = yield* setUp(4096)
      yield* produce(3)
      const reader = yield* RingBuffer.make(events)
      for (const limit of [0, -1, 0.5, Number.NEGATIVE_INFINITY]) {
        expect([reader.drain(() => {}, limit), reader.take(limit), reader.columns(limit).rows]).toEqual([0, [], 0])
      }
      for (const limit of [Number.NaN, "2", null, {}] as ReadonlyArray<any>) {
        expect(() => reader.drain(() => {}, limit)).toThrow("limit")
        expect(() => reader.take(limit)).toThrow("limit")
      }
      expect(() => reader.drain(undefined as any)).toThrow("visit")
      const refused: ReadonlyArray<Effect.Effect<unknown, unknown, Kernel.Kernel | Scope.Scope>> = [
        RingBuffer.make(events, { deadline: 0 }),
        RingBuffer.make(events, { Deadline: 5 } as any),
        RingBuffer.processEvents(reader, () => {}, { limit: 0 }),
        RingBuffer.processEvents(reader, 1 as any),
        RingBuffer.processEvents({} as any, () => {}),
        RingBuffer.streamFrom({} as any).pipe(Stream.runDrain),
        RingBuffer.stream(events, { onDecodeError: "ignore" as any }).pipe(Stream.runDrain)
      ]
      for (const effect of refused) expect(yield* Effect.flip(effect)).toMatchObject({ _tag: "InvalidArgument" })
      expect(reader.drain(() => {})).toBe(3)
    }))

  test("batches of values and columns hold what is there, with what fails after what was before it", () =>
    Effect.gen(function*() {
      const { events, produce } = yield* setUp(4096, 0, Even)
      const reader = yield* RingBuffer.make(events)
      yield* produce(4)
      const failing = (read: () => unknown) => {
        try {
          return read()
        } catch (error) {
          return error
        }
      }
      expect(reader.take()).toEqual([{ sequence: 0 }])
      const error = failing(reader.take)
      expect(error).toBeInstanceOf(RingBuffer.EventDecodeError)
      expect(error).toMatchObject({ source: "ringbuf map \"events\"", bytes: Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 0) })
      expect((error as Error).message).toContain("1 is odd")
      expect(reader.columns().columns).toEqual({ sequence: [2] })
      expect(failing(reader.columns)).toMatchObject({ bytes: Uint8Array.of(3, 0, 0, 0, 0, 0, 0, 0) })
      expect([reader.take(), reader.columns().rows]).toEqual([[], 0])
      expect(reader.statistics()).toMatchObject({ events: 4, decodeErrors: 2 })
    }))

  test("columns are typed arrays of the size of their batch", () =>
    Effect.gen(function*() {
      const { events, produce } = yield* setUp(1 << 16)
      const reader = yield* RingBuffer.make(events)
      yield* produce(1000)
      expect(reader.columns(3)).toEqual({ rows: 3, columns: { sequence: Float64Array.of(0, 1, 2) } })
      const { columns, rows } = reader.columns()
      expect([rows, columns.sequence.length, columns.sequence[996]]).toEqual([997, 997, 999])
      expect(reader.columns()).toEqual({ rows: 0, columns: { sequence: new Float64Array(0) } })
      yield* produce(2)
      const batches = yield* RingBuffer.streamColumns(events).pipe(Stream.take(1), Stream.runCollect, Effect.flip)
      expect(batches).toMatchObject({ code: "EEXIST" })
    }))

  test("columns are filled again where a batch of the reader's has room, and in no other object", () =>
    Effect.gen(function*() {
      const { events, produce } = yield* setUp(1 << 16)
      const reader = yield* RingBuffer.make(events)
      yield* produce(13)
      const first = reader.columns(5)
      const second = reader.columns(3, first)
      expect(second.rows).toBe(3)
      expect(second.columns.sequence).toBe(first.columns.sequence)
      expect(second.columns.sequence).toEqual(Float64Array.of(5, 6, 7, 3, 4))
      // Its memory can be another's by now.
      structuredClone(null, { transfer: [second.columns.sequence.buffer as ArrayBuffer] })
      expect(reader.columns(2, second)).toEqual({ rows: 2, columns: { sequence: Float64Array.of(8, 9) } })
      expect(reader.columns(2, reader.columns(1)).columns.sequence).toEqual(Float64Array.of(11, 12))
      expect(reader.columns(2, first).rows).toBe(0)
      for (const other of [null, {}, { ...first }, 5, new Proxy(first, {})]) {
        expect(() => reader.columns(1, other as typeof first)).toThrow("`columns` gave")
      }
    }))

  test(`${INTERRUPTIONS} streams that are interrupted at any time leave the ring to the next, and nothing comes twice`, () =>
    Effect.gen(function*() {
      const { events, lost, produce } = yield* setUp(1 << 20)
      let last = -1
      let produced = 0
      const wrong: Array<string> = []
      const see = (sequence: number) => {
        if (sequence <= last) wrong.push(`${sequence} after ${last}`)
        last = sequence
      }
      for (let i = 0; i < INTERRUPTIONS; i++) {
        const stream = RingBuffer.stream(events, i % 2 === 0 ? { batchSize: 7 } : { deadline: "1 millis" })
        const fiber = yield* Stream.runForEachArray(stream, (batch) => {
          for (const { sequence } of batch) see(sequence)
          return i % 3 === 0 ? Effect.yieldNow : Effect.void
        }).pipe(Effect.forkChild)
        if (i % 5 > 0) yield* Effect.yieldNow
        const count = 1 + i % 50
        yield* produce(count)
        produced += count
        if (i % 4 > 1) yield* i % 4 === 2 ? Effect.yieldNow : Effect.sleep(0)
        yield* Fiber.interrupt(fiber)
      }
      const reader = yield* RingBuffer.make(events)
      const given = Number(reader.position().consumer) / 16
      expect(last).toBeLessThan(given)
      const rest = reader.drain((record) => see(record.u64Number(0)))
      expect([given + rest, yield* lost, wrong]).toEqual([produced, 0, []])
    }))

  test("a stream of columns has one element for each time that there was something", () =>
    Effect.gen(function*() {
      const { events, produce } = yield* setUp(1 << 16)
      yield* produce(10)
      const found = yield* RingBuffer.streamColumns(events, { batchSize: 6 }).pipe(Stream.take(2), Stream.runCollect)
      expect(found.map(({ columns }) => [...columns.sequence])).toEqual([[0, 1, 2, 3, 4, 5], [6, 7, 8, 9]])
    }))

  test("records that cannot be decoded are skipped where that is asked for, and counted", () =>
    Effect.gen(function*() {
      const { events, produce } = yield* setUp(4096, 0, Even)
      const reader = yield* RingBuffer.make(events)
      yield* produce(7)
      const found = yield* RingBuffer.streamFrom(reader, { onDecodeError: "skip" }).pipe(
        Stream.take(4),
        Stream.runCollect
      )
      expect(found.map(({ sequence }) => sequence)).toEqual([0, 2, 4, 6])
      expect(reader.statistics()).toMatchObject({ events: 7, decodeErrors: 3 })
      yield* produce(1)
      const error = yield* RingBuffer.streamFrom(reader).pipe(Stream.runDrain, Effect.flip)
      expect(error).toMatchObject({ _tag: "EventDecodeError" })
    }))

  test("discarded, zero-length and differently long records are read past the end of the ring", () =>
    Effect.gen(function*() {
      const { pageSize } = yield* Kernel.Kernel
      const record = Layout.struct({ length: Layout.u32 })
      const events = yield* RingBufferMap.make({ name: "events", record, maxEntries: pageSize })
      const lengths = [4, 12, 40, 100, 333, 1000]
      const programs = yield* Effect.forEach(
        lengths.flatMap((length) => [false, true].map((discards) => ({ length, discards }))),
        ({ discards, length }) =>
          Effect.map(Program.load(reserving(length, discards), { maps: { events } }), (program) => ({
            discards,
            length,
            program
          }))
      )
      const empty = yield* Program.load(
        ProgramSpec.make({
          type: "socket_filter",
          name: "empty",
          instructions: [
            Asm.ldMapFd("r1", "events"),
            Asm.mov("r2", "r10"),
            Asm.add("r2", -8),
            Asm.stdw("r10", -8, 0),
            Asm.mov("r3", 0),
            Asm.mov("r4", 0),
            Asm.call("ringbuf_output"),
            Asm.mov("r0", 0),
            Asm.exit()
          ]
        }),
        { maps: { events } }
      )
      const reader = yield* RingBuffer.make(events)
      const run = (program: typeof empty) => Program.testRun(program, { data: new Uint8Array(14) })
      const expected: Array<number> = []
      const found: Array<number> = []
      let seed = 7
      for (let i = 0; i < 40; i++) {
        for (let j = 0; j < 3; j++) {
          seed = (seed * 1103515245 + 12345) & 0x7fffffff
          if (seed % 7 === 0) {
            yield* run(empty)
            expected.push(0)
            continue
          }
          const { discards, length, program } = programs[(seed >>> 8) % programs.length]!
          yield* run(program)
          if (!discards) expected.push(length)
        }
        reader.drain((record) => {
          found.push(record.length)
          if (record.length > 0) expect(record.u32(0)).toBe(record.length)
        })
      }
      expect(found).toEqual(expected)
      expect(reader.position().backlog).toBe(0)
      expect(reader.position().consumer).toBeGreaterThan(4n * BigInt(pageSize))
    }))

  test("processEvents ends at its limit or its timeout, whichever is first", () =>
    Effect.gen(function*() {
      const { events, produce } = yield* setUp(1 << 16)
      const reader = yield* RingBuffer.make(events)
      yield* produce(10)
      const seen: Array<number> = []
      const visit: RingBuffer.Visit<Sequence> = (record) => seen.push(record.u32(0))
      expect(yield* RingBuffer.processEvents(reader, visit, { limit: 4 })).toBe(4)
      expect(yield* RingBuffer.processEvents(reader, visit, { timeout: 0 })).toBe(6)
      expect(yield* RingBuffer.processEvents(reader, visit, { limit: 1, timeout: "2 millis" })).toBe(0)
      const later = yield* Effect.forkChild(RingBuffer.processEvents(reader, visit, { limit: 600 }))
      yield* Effect.sleep("2 millis")
      yield* produce(500)
      yield* Effect.sleep("2 millis")
      yield* produce(500)
      expect(yield* Effect.timeout(Fiber.join(later), "60 seconds")).toBe(600)
      expect(seen).toEqual(Array.from({ length: 610 }, (_, i) => i))
      expect(reader.drain(() => {})).toBe(400)
    }))

  test("records that wake nobody are seen at a flush, or within the deadline", () =>
    Effect.gen(function*() {
      const { events, produce } = yield* setUp(4096, NO_WAKEUP)
      yield* Effect.scoped(Effect.gen(function*() {
        const reader = yield* RingBuffer.make(events)
        const first = yield* RingBuffer.streamFrom(reader).pipe(Stream.take(3), Stream.runCollect, Effect.forkChild)
        yield* Effect.sleep("10 millis")
        yield* produce(3)
        yield* Effect.sleep("20 millis")
        expect(reader.statistics()).toMatchObject({ events: 0, wakeups: 0, lag: 48 })
        yield* reader.flush
        expect(yield* Effect.timeout(Fiber.join(first), "60 seconds")).toHaveLength(3)
        // With nobody there the next who waits goes on.
        yield* reader.flush
        yield* Effect.timeout(reader.ready, "60 seconds")
      }))
      const later = yield* RingBuffer.stream(events, { deadline: "5 millis" }).pipe(
        Stream.take(3),
        Stream.runCollect,
        Effect.forkChild
      )
      yield* Effect.sleep("10 millis")
      yield* produce(3)
      expect(yield* Effect.timeout(Fiber.join(later), "60 seconds")).toHaveLength(3)
    }))

  test("a program counts the records that found no room, in a map of one value", () =>
    Effect.gen(function*() {
      const { pageSize } = yield* Kernel.Kernel
      const events = yield* RingBufferMap.make({ name: "events", record: Layout.u64Number, maxEntries: pageSize })
      const value = Layout.struct({ events: Layout.u64Number, others: Layout.u64Number })
      const lost = yield* ArrayMap.make({ name: "lost", value, maxEntries: 1 })
      const spec = ProgramSpec.make({
        type: "socket_filter",
        name: "counting",
        instructions: [
          Snippets.ringbufReserve("events", Layout.u64Number, "full"),
          Asm.stdw("r0", 0, 1),
          Snippets.ringbufSubmit("r0"),
          Asm.ja("out"),
          Asm.label("full"),
          Snippets.countLost("lost", 8),
          Asm.label("out"),
          Asm.mov("r0", 0),
          Asm.exit()
        ]
      })
      const program = yield* Program.load(spec, { maps: { events, lost } })
      const made = pageSize / 16 + 100
      yield* Program.testRun(program, { data: new Uint8Array(14), repeat: made })
      const reader = yield* RingBuffer.make(events)
      const read = reader.take().length
      expect(yield* lost.lookup(0)).toEqual({ events: 0, others: made - read })
      expect(made - read).toBeGreaterThan(99)
    }))

  test("several rings are one stream, which takes from each in turn", () =>
    Effect.gen(function*() {
      const rings = yield* Effect.forEach([0, 1, 2], () => setUp(4096))
      const counts = new Map<number, number>()
      const done = yield* Deferred.make<void>()
      let total = 0
      yield* RingBuffer.streamAll(rings.map(({ events }) => events), { batchSize: 10 }).pipe(
        Stream.runForEachArray((batch) => {
          for (const { sequence } of batch) counts.set(sequence, (counts.get(sequence) ?? 0) + 1)
          total += batch.length
          return total >= 3 * 60 ? Deferred.succeed(done, undefined) : Effect.void
        }),
        Effect.forkScoped
      )
      for (let i = 0; i < 3; i++) {
        for (const { produce } of rings) yield* produce(20)
        yield* Effect.sleep("2 millis")
      }
      yield* Effect.timeout(Deferred.await(done), "60 seconds")
      expect([...counts]).toEqual(Array.from({ length: 60 }, (_, i) => [i, 3]))
      const none = yield* RingBuffer.streamAll<Sequence>([]).pipe(Stream.runCollect)
      expect(none).toEqual([])
    }))

  for (const what of ["reader", "map"] as const) {
    test(`with drainOnClose a stream ends with what was submitted before its ${what}'s scope closed`, () =>
      Effect.gen(function*() {
        const scope = yield* Scope.make()
        const { events, produce } = yield* what === "map" ? Scope.provide(setUp(4096), scope) : setUp(4096)
        const seen: Array<number> = []
        const slowly = Stream.runForEachArray((batch: ReadonlyArray<Sequence>) => {
          for (const { sequence } of batch) seen.push(sequence)
          return Effect.sleep("20 millis")
        })
        const options = { batchSize: 4, drainOnClose: true }
        const source: Stream.Stream<Sequence, RingBuffer.StreamError, Kernel.Kernel> = what === "map"
          ? RingBuffer.stream(events, options)
          : RingBuffer.streamFrom(yield* Scope.provide(RingBuffer.make(events), scope), options)
        const running = yield* Effect.forkChild(slowly(source))
        yield* Effect.sleep("5 millis")
        yield* produce(13)
        yield* Effect.sleep("5 millis")
        if (what === "map") yield* Effect.sleep("150 millis")
        yield* Scope.close(scope, Exit.void)
        yield* Effect.timeout(Fiber.join(running), "60 seconds")
        expect(seen).toEqual(Array.from({ length: 13 }, (_, i) => i))
      }))
  }

  test(`${options.readers ?? 1000} readers are open at once, each with its own records`, () =>
    Effect.gen(function*() {
      const { pageSize } = yield* Kernel.Kernel
      const rings = yield* Effect.forEach(
        Array.from({ length: options.readers ?? 1000 }),
        () =>
          RingBufferMap.make({ name: "events", record: Layout.struct({ length: Layout.u32 }), maxEntries: pageSize })
      )
      const readers = yield* Effect.forEach(rings, (ring) => RingBuffer.make(ring))
      const waiting = yield* Effect.forEach(readers, ({ ready }) => Effect.forkChild(ready))
      yield* Effect.sleep("5 millis")
      const chosen = [0, rings.length >> 1, rings.length - 1]
      for (const i of chosen) {
        const program = yield* Program.load(reserving(8, false), { maps: { events: rings[i]! } })
        yield* Program.testRun(program, { data: new Uint8Array(14) })
        yield* Effect.timeout(Fiber.join(waiting[i]!), "60 seconds")
      }
      expect(readers.flatMap((reader, i) => reader.take().map(({ length }) => [i, length])))
        .toEqual(chosen.map((i) => [i, 8]))
      expect(readers.reduce((sum, reader) => sum + reader.statistics().wakeups, 0)).toBe(chosen.length)
    }))
}
