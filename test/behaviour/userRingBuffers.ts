import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { expect } from "vitest"
import {
  Asm,
  BpfMap,
  HashMap,
  Kernel,
  Layout,
  Program,
  ProgramSpec,
  RingBuffer,
  RingBufferMap,
  UserRingBuffer,
  UserRingBufferMap
} from "../../src/index.ts"
import { failingCalls } from "../support/failingCalls.ts"
import type { Test } from "../support/kernels.ts"

const NO_WAKEUP = 1
const E2BIG = 7

interface Taking {
  /** How many bytes each record has. */
  readonly length: number
  /** How many it takes at each run. */
  readonly most?: number
  readonly flags?: number
}

/**
 * A program that takes records and copies each into another ring. One that is not of the length goes there as a record of a
 * byte more, and is the last of its run. It returns what the helper does: the number of records.
 */
const taking = ({ flags = 0, length, most = 1 << 20 }: Taking) =>
  ProgramSpec.make({
    type: "socket_filter",
    name: "taking",
    instructions: [
      // How many were taken: 0, as the packet's mark is. The verifier does not know, and need not follow each number.
      Asm.ldxw("r2", "r1", 8),
      Asm.stw("r10", -8, "r2"),
      Asm.ldMapFd("r1", "commands"),
      Asm.ldFunc("r2", "take"),
      Asm.mov("r3", "r10"),
      Asm.add("r3", -8),
      Asm.mov("r4", flags),
      Asm.call("user_ringbuf_drain"),
      Asm.exit(),
      Asm.func("take", [
        Asm.mov("r6", "r1"),
        Asm.mov("r7", "r2"),
        Array.from({ length: 32 }, (_, i) => Asm.stdw("r10", -8 * (i + 1), 0)),
        Asm.mov("r8", length + 1),
        // As long as it should be,
        Asm.mov("r1", "r10"),
        Asm.add("r1", -256),
        Asm.mov("r2", length),
        Asm.mov("r3", "r6"),
        Asm.mov("r4", 0),
        Asm.mov("r5", 0),
        Asm.call("dynptr_read"),
        Asm.jne("r0", 0, "wrong"),
        // and no longer.
        Asm.mov("r1", "r10"),
        Asm.add("r1", -8),
        Asm.mov("r2", 1),
        Asm.mov("r3", "r6"),
        Asm.mov("r4", length),
        Asm.mov("r5", 0),
        Asm.call("dynptr_read"),
        Asm.jne("r0", -E2BIG, "wrong"),
        Asm.ldMapFd("r1", "taken"),
        Asm.mov("r2", "r10"),
        Asm.add("r2", -256),
        Asm.mov("r3", length),
        Asm.mov("r4", 0),
        Asm.call("ringbuf_output"),
        Asm.ldxw("r1", "r7", 0),
        Asm.add("r1", 1),
        Asm.stw("r7", 0, "r1"),
        Asm.mov("r0", 0),
        Asm.jlt("r1", most, "out"),
        Asm.mov("r0", 1),
        Asm.ja("out"),
        Asm.label("wrong"),
        Asm.ldMapFd("r1", "taken"),
        Asm.mov("r2", "r10"),
        Asm.add("r2", -256),
        Asm.mov("r3", length + 1),
        Asm.mov("r4", 0),
        Asm.call("ringbuf_output"),
        Asm.mov("r0", 1),
        Asm.label("out"),
        Asm.exit()
      ])
    ]
  })

/** Two rings, and programs that take records from the one into the other. `pages` is the ring's size. */
const setUp = <A>(record: Layout.Layout<A>, pages = 1) =>
  Effect.gen(function*() {
    const { pageSize } = yield* Kernel.Kernel
    const maxEntries = pages * pageSize
    const commands = yield* UserRingBufferMap.make({ name: "commands", record, maxEntries })
    const taken = yield* RingBufferMap.make({ name: "taken", record: Layout.u8, maxEntries: 1 << 20 })
    const reader = yield* RingBuffer.make(taken)
    /** What takes records when it is run: the bytes of each. */
    const program = (options: Partial<Taking> = {}) =>
      Effect.map(
        Program.load(taking({ length: record.size, ...options }), { maps: { commands, taken } }),
        (loaded) =>
          Effect.gen(function*() {
            const { returnValue } = yield* Program.testRun(loaded, { data: new Uint8Array(14) })
            const records: Array<Uint8Array> = []
            reader.drain((bytes) => records.push(bytes.bytes()))
            expect(records.length, "records taken").toBe(returnValue)
            return records
          })
      )
    return { commands, maxEntries, program, take: yield* program() }
  })

/** The record of a number, of any length. */
const numbered = (length: number, n: number): Uint8Array => Uint8Array.from({ length }, (_, i) => n * 7 + i)

const numbers = (records: ReadonlyArray<Uint8Array>): ReadonlyArray<number> =>
  records.map((bytes) => new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true))

/** What a record of 4 bytes takes. */
const SPACE = 16

const range = (from: number, to: number): ReadonlyArray<number> => Array.from({ length: to - from }, (_, i) => from + i)

/** A layout of numbers whose encoder is a user's. */
const encoding = (encode: (n: number) => number): Layout.Layout<number> =>
  Layout.transform(Layout.u32, { decode: (n) => n, encode, schema: () => Layout.u32.schema })

export const userRingBuffers = (given: Test): void => {
  const test: Test = (name, effect) => given(name, effect, { needs: "userRingbuf" })

  for (const length of [1, 8, 13, 200]) {
    test(`a program takes each record of ${length} bytes once, in order, through many wraps of the ring`, () =>
      Effect.gen(function*() {
        const { commands, maxEntries, program, take } = yield* setUp(Layout.bytes(length))
        const some = yield* program({ most: 3 })
        const producer = yield* UserRingBuffer.make(commands)
        const space = Math.ceil((length + 8) / 8) * 8
        const most = Math.floor(maxEntries / space)
        const wraps = maxEntries > 4096 ? 2 : 6
        let sent = 0
        let seen = 0
        const check = (records: ReadonlyArray<Uint8Array>) => {
          for (const record of records) expect(record, `record ${seen}`).toEqual(numbered(length, seen++))
        }
        while (sent * space < wraps * maxEntries) {
          while (producer.sendUnsafe(numbered(length, sent))) sent++
          expect(sent - seen).toBe(most)
          expect(producer.position()).toEqual({
            consumer: BigInt(seen * space),
            producer: BigInt(sent * space),
            backlog: most * space,
            free: maxEntries - most * space
          })
          check(yield* some)
          expect(producer.sendUnsafe(numbered(length, sent))).toBe(true)
          sent++
          check(yield* take)
          expect(seen).toBe(sent)
        }
        expect(yield* take).toEqual([])
      }))
  }

  test("records of the largest size fit, and larger ones are refused by their layout", () =>
    Effect.gen(function*() {
      const { pageSize } = yield* Kernel.Kernel
      const open = (length: number) =>
        Effect.gen(function*() {
          const record = Layout.bytes(length)
          const commands = yield* UserRingBufferMap.make({ name: "commands", record, maxEntries: pageSize })
          return yield* UserRingBuffer.make(commands)
        })
      const producer = yield* open(pageSize - 8)
      expect(producer.sendUnsafe(new Uint8Array(pageSize - 8))).toBe(true)
      expect(producer.sendUnsafe(new Uint8Array(pageSize - 8))).toBe(false)
      expect(producer.position().free).toBe(0)
      const error = yield* Effect.flip(Effect.scoped(open(pageSize - 7)))
      expect(error).toMatchObject({ _tag: "InvalidArgument", field: "record" })
      expect(error.message).toContain(`at most ${pageSize - 8} bytes`)
      const data = 1 << 25
      const huge = yield* UserRingBufferMap.make({ name: "huge", record: Layout.bytes(1 << 24), maxEntries: data })
      expect(yield* Effect.flip(Effect.scoped(UserRingBuffer.make(huge)))).toMatchObject({ field: "record" })
    }))

  test("who sends to a full ring waits until a program takes records, and is served in order", () =>
    Effect.gen(function*() {
      const { commands, maxEntries, program, take } = yield* setUp(Layout.u32)
      const one = yield* program({ most: 1 })
      const producer = yield* UserRingBuffer.make(commands)
      const full = maxEntries / SPACE
      yield* producer.sendMany(range(0, full))
      const sent: Array<number> = []
      const waiting = yield* Effect.forEach(
        range(full, full + 5),
        (n) => Effect.forkChild(Effect.andThen(producer.send(n), Effect.sync(() => sent.push(n))))
      )
      yield* Effect.sleep("5 millis")
      expect(sent).toEqual([])
      expect(producer.sendUnsafe(0)).toBe(false)
      // Who is interrupted leaves the turn to the next.
      yield* Fiber.interrupt(waiting[1]!)
      expect(numbers(yield* one)).toEqual([0])
      yield* Effect.timeout(Fiber.join(waiting[0]!), "60 seconds")
      expect(sent).toEqual([full])
      expect(numbers(yield* take)).toEqual(range(1, full + 1))
      yield* Effect.timeout(Fiber.awaitAll(waiting), "60 seconds")
      expect(sent).toEqual([full, full + 2, full + 3, full + 4])
      expect(numbers(yield* take)).toEqual([full + 2, full + 3, full + 4])
      // And again, with the watch that was armed before.
      yield* producer.sendMany(range(0, full))
      const later = yield* Effect.forkChild(producer.sendMany(range(full, 3 * full)))
      const all: Array<number> = []
      while (all.length < 3 * full) {
        all.push(...numbers(yield* take))
        yield* Effect.sleep(0)
      }
      yield* Effect.timeout(Fiber.join(later), "60 seconds")
      expect(all).toEqual(range(0, 3 * full))
    }))

  test("room for less than a record wakes nobody without end, and who waits is woken once there is enough", () =>
    Effect.gen(function*() {
      const { commands, maxEntries, program } = yield* setUp(Layout.bytes(200))
      const one = yield* program({ most: 1 })
      const kernel = yield* Kernel.Kernel
      // Counts how often the watch asks whether there is enough.
      let asked = 0
      const files: Kernel.KernelService["files"] = {
        ...kernel.files,
        watch: (fd, onReport, isDue, awaits) =>
          kernel.files.watch(fd, onReport, isDue === undefined ? undefined : () => (asked++, isDue()), awaits)
      }
      const producer = yield* Effect.provideService(UserRingBuffer.make(commands), Kernel.Kernel, { ...kernel, files })
      let sent = 0
      while (producer.sendUnsafe(numbered(200, sent))) sent++
      expect(producer.position().free).toBe(maxEntries % 208)
      const waiting = yield* Effect.forkChild(producer.send(numbered(200, sent)))
      yield* Effect.sleep("100 millis")
      expect(asked).toBeLessThan(20)
      yield* one
      yield* Effect.timeout(Fiber.join(waiting), "60 seconds")
      expect(producer.position().backlog).toBe(sent * 208)
    }))

  test("a program that wakes nobody is noticed within the deadline", () =>
    Effect.gen(function*() {
      const { commands, maxEntries, program } = yield* setUp(Layout.u32)
      const quiet = yield* program({ flags: NO_WAKEUP })
      const producer = yield* UserRingBuffer.make(commands, { deadline: "5 millis" })
      const full = maxEntries / SPACE
      yield* producer.sendMany(range(0, full))
      const waiting = yield* Effect.forkChild(producer.send(full))
      yield* Effect.sleep("2 millis")
      expect(numbers(yield* quiet)).toEqual(range(0, full))
      yield* Effect.timeout(Fiber.join(waiting), "60 seconds")
      expect(numbers(yield* quiet)).toEqual([full])
    }))

  test("who is to fail at a full ring learns how many records were sent", () =>
    Effect.gen(function*() {
      const { commands, maxEntries, take } = yield* setUp(Layout.u32)
      const producer = yield* UserRingBuffer.make(commands, { onFull: "fail" })
      const full = maxEntries / SPACE
      yield* producer.send(0)
      const error = yield* Effect.flip(producer.sendMany(range(1, full + 9)))
      expect(error).toMatchObject({ _tag: "RingBufferFull", needed: SPACE, free: 0, sent: full - 1 })
      expect(error.message).toContain("user_ringbuf map \"commands\" is full")
      expect(yield* Effect.flip(producer.send(0))).toMatchObject({ _tag: "RingBufferFull", sent: 0 })
      expect(numbers(yield* take)).toEqual(range(0, full))
      yield* producer.send(full)
      expect(numbers(yield* take)).toEqual([full])
    }))

  test("a user ring buffer has one producer, from whatever descriptor it comes, and the next goes on after it", () =>
    Effect.gen(function*() {
      const { commands, maxEntries, take } = yield* setUp(Layout.u32)
      const definition = UserRingBufferMap.define({ name: "commands", record: Layout.u32, maxEntries })
      const other = yield* BpfMap.fromFd(definition, commands.fd)
      yield* Effect.scoped(Effect.gen(function*() {
        const producer = yield* UserRingBuffer.make(commands)
        for (const map of [commands, other]) {
          const error = yield* Effect.flip(Effect.scoped(UserRingBuffer.make(map)))
          expect(error).toMatchObject({ _tag: "SystemCallError", code: "EEXIST" })
          expect(error.message).toContain("producer already")
        }
        yield* producer.sendMany([0, 1])
      }))
      const next = yield* UserRingBuffer.make(other)
      yield* next.sendMany([2, 3])
      expect(numbers(yield* take)).toEqual([0, 1, 2, 3])
    }))

  for (const what of ["producer", "map"]) {
    test(`who sends, or waits, when the scope of the ${what} closes fails with EBADF, and what was sent is taken`, () =>
      Effect.gen(function*() {
        const { commands, maxEntries, take } = yield* setUp(Layout.u32)
        const definition = UserRingBufferMap.define({ name: "commands", record: Layout.u32, maxEntries })
        const scope = yield* Scope.make()
        const map = yield* Scope.provide(BpfMap.fromFd(definition, commands.fd), scope)
        const producer = yield* what === "map"
          ? UserRingBuffer.make(map)
          : Scope.provide(UserRingBuffer.make(map), scope)
        const full = maxEntries / SPACE
        yield* producer.sendMany(range(0, full))
        const waiting = yield* Effect.forEach([1, 2], (n) => Effect.forkChild(Effect.flip(producer.send(n))))
        yield* Effect.sleep("5 millis")
        yield* Scope.close(scope, Exit.void)
        for (const fiber of waiting) {
          const error = yield* Effect.timeout(Fiber.join(fiber), "60 seconds")
          expect(error).toMatchObject({ _tag: "SystemCallError", code: "EBADF" })
          expect(error.message).toContain("has closed")
        }
        expect(yield* Effect.flip(producer.send(1))).toMatchObject({ code: "EBADF" })
        expect(yield* Effect.flip(producer.sendMany([1]))).toMatchObject({ code: "EBADF" })
        expect(() => producer.sendUnsafe(1)).toThrow("has closed")
        expect(numbers(yield* take)).toEqual(range(0, full))
        if (what === "producer") expect(producer.position().backlog).toBe(0)
      }))
  }

  test("a value that cannot be encoded takes nothing of the ring, whatever its codec does", () =>
    Effect.gen(function*() {
      const { commands, take } = yield* setUp(encoding((n) => {
        if (n === 13) throw new Error("thirteen")
        return n
      }))
      yield* Effect.scoped(Effect.gen(function*() {
        const producer = yield* UserRingBuffer.make(commands)
        for (const wrong of [-1, 2 ** 32, 0.5, "1", undefined, Symbol("1")]) {
          const error = yield* Effect.flip(producer.send(wrong as number))
          expect(error).toMatchObject({ _tag: "LayoutError" })
          expect(() => producer.sendUnsafe(wrong as number)).toThrow(Layout.LayoutError)
        }
        const error = yield* Effect.flip(producer.sendMany([1, 2, 13, 3]))
        expect(error).toMatchObject({ _tag: "LayoutError", path: "record" })
        expect(error.message).toContain("thirteen")
        expect(producer.position().producer).toBe(BigInt(2 * SPACE))
        const hostile = new Proxy([4], {
          get: () => {
            throw new Error("no")
          }
        })
        expect(yield* Effect.flip(producer.sendMany(hostile))).toMatchObject({ _tag: "LayoutError" })
        for (const wrong of [undefined, 1, "12", new Set([1])]) {
          expect(yield* Effect.flip(producer.sendMany(wrong as any))).toMatchObject({
            _tag: "InvalidArgument",
            field: "values"
          })
        }
      }))
      expect(numbers(yield* take)).toEqual([1, 2])
    }))

  test("a codec may send through the producer it encodes for, close it, or keep its memory", () =>
    Effect.gen(function*() {
      let act: (n: number) => void = () => {}
      const { commands, maxEntries, take } = yield* setUp(encoding((n) => {
        act(n)
        return n
      }))
      const scope = yield* Scope.make()
      const producer = yield* Scope.provide(UserRingBuffer.make(commands), scope)
      act = (n) => {
        if (n < 3) producer.sendUnsafe(n + 1)
      }
      yield* producer.sendMany([0, 10])
      expect(numbers(yield* take)).toEqual([3, 2, 1, 0, 10])
      act = (n) => {
        if (n === 2) Effect.runSync(Scope.close(scope, Exit.void))
      }
      expect(yield* Effect.flip(producer.sendMany([1, 2, 3]))).toMatchObject({ code: "EBADF" })
      // A layout that is none of this package's own, with what it was given.
      const kept: Array<Uint8Array> = []
      const foreign = (write: (bytes: Uint8Array, value: number) => void): Layout.Layout<number> =>
        Object.assign(Object.create(Layout.u32), {
          size: 4,
          align: 4,
          write: (_: DataView, bytes: Uint8Array, __: number, value: number) => write(bytes, value)
        })
      const record = foreign((bytes, value) => {
        for (const old of kept) old.fill(255)
        kept.push(bytes)
        if (value === 9) structuredClone(0, { transfer: [bytes.buffer as ArrayBuffer] })
        else bytes[0] = value
      })
      const definition = UserRingBufferMap.define({ name: "commands", record, maxEntries })
      const other = yield* UserRingBuffer.make(yield* BpfMap.fromFd(definition, commands.fd))
      yield* other.sendMany([5, 6])
      expect(yield* Effect.flip(other.send(9))).toMatchObject({ _tag: "LayoutError" })
      expect(numbers(yield* take)).toEqual([1, 5, 6])
    }))

  /** The page of the producer's position, as another program that writes to the ring has it. */
  const mapPosition = (fd: number) =>
    Effect.gen(function*() {
      const kernel = yield* Kernel.Kernel
      const mapping = kernel.files.mmap(fd, kernel.pageSize, 3, kernel.pageSize)
      if (typeof mapping === "number") return yield* Effect.die(mapping)
      yield* Effect.addFinalizer(() => Effect.sync(() => kernel.files.munmap(mapping)))
      return new BigInt64Array(mapping.buffer, 0, 1)
    })

  test("a position that another moved, or that cannot be, is an error", () =>
    Effect.gen(function*() {
      const { commands, maxEntries } = yield* setUp(Layout.u32)
      const position = yield* mapPosition(commands.fd)
      yield* Effect.scoped(Effect.gen(function*() {
        const producer = yield* UserRingBuffer.make(commands)
        yield* producer.send(1)
        position[0] = 32n
        for (let i = 0; i < 3; i++) {
          const error = yield* Effect.flip(producer.send(2))
          expect(error).toMatchObject({ _tag: "UserRingBufferError", reason: "Moved" })
          expect(error.message).toContain("another writes to it")
        }
        expect(() => producer.sendUnsafe(2)).toThrow(UserRingBuffer.UserRingBufferError)
        expect(() => producer.position()).toThrow(UserRingBuffer.UserRingBufferError)
        expect(position[0]).toBe(32n)
      }))
      for (const nonsense of [-8n, 3n, BigInt(maxEntries + 8), 1n << 40n, -(1n << 62n), (1n << 62n) + 1n]) {
        position[0] = nonsense
        expect(yield* Effect.flip(Effect.scoped(UserRingBuffer.make(commands)))).toMatchObject({
          _tag: "UserRingBufferError",
          reason: "Nonsense"
        })
      }
      // Who waits is told as well.
      position[0] = 0n
      const producer = yield* UserRingBuffer.make(commands, { deadline: "2 millis" })
      yield* producer.sendMany(range(0, maxEntries / SPACE))
      const waiting = yield* Effect.forkChild(Effect.flip(producer.send(1)))
      yield* Effect.sleep("2 millis")
      position[0] = 8n
      expect(yield* Effect.timeout(Fiber.join(waiting), "60 seconds")).toMatchObject({ reason: "Moved" })
    }))

  test("maps and options that are none are refused", () =>
    Effect.gen(function*() {
      const { commands } = yield* setUp(Layout.u32)
      const hash = yield* HashMap.make({ name: "hash", key: Layout.u32, value: Layout.u32, maxEntries: 1 })
      for (const map of [hash, undefined, {}, commands.fd]) {
        const error = yield* Effect.flip(Effect.scoped(UserRingBuffer.make(map as any)))
        expect(error).toMatchObject({ _tag: "InvalidArgument", field: "map", expected: "a UserRingBufferMap" })
        expect(yield* Stream.make(1).pipe(Stream.run(UserRingBuffer.sink(map as any)), Effect.flip)).toEqual(error)
      }
      for (const options of [{ onFull: "drop" }, { deadline: 0 }, { size: 1 }]) {
        const error = yield* Effect.flip(Effect.scoped(UserRingBuffer.make(commands, options as any)))
        expect(error).toMatchObject({ _tag: "InvalidArgument" })
      }
      for (const producer of [undefined, {}, { sendMany: () => Effect.void }]) {
        const error = yield* Stream.make(1).pipe(Stream.run(UserRingBuffer.sinkTo(producer as any)), Effect.flip)
        expect(error).toMatchObject({ _tag: "InvalidArgument", field: "producer" })
      }
    }))

  test("a sink holds its stream up while the ring is full, and loses nothing", () =>
    Effect.gen(function*() {
      const { commands, maxEntries, take } = yield* setUp(Layout.u32)
      const wanted = Math.max(2000, 2 * maxEntries / SPACE)
      const sending = yield* Effect.forkChild(
        Stream.fromIterable(range(0, wanted)).pipe(Stream.rechunk(100), Stream.run(UserRingBuffer.sink(commands)))
      )
      const all: Array<number> = []
      while (all.length < wanted) {
        all.push(...numbers(yield* take))
        yield* Effect.sleep(0)
      }
      expect(yield* Effect.timeout(Fiber.join(sending), "60 seconds")).toBe(undefined)
      expect(all).toEqual(range(0, wanted))
      // Through a producer that stays open, and one that a stream was interrupted in.
      const producer = yield* UserRingBuffer.make(commands)
      yield* Stream.make(1, 2).pipe(Stream.run(UserRingBuffer.sinkTo(producer)))
      yield* producer.send(3)
      const stuck = yield* Effect.forkChild(
        Stream.fromIterable(range(4, 2 * wanted)).pipe(Stream.run(UserRingBuffer.sinkTo(producer)))
      )
      yield* Effect.sleep("2 millis")
      yield* Fiber.interrupt(stuck)
      const rest = numbers(yield* take)
      expect(rest).toEqual(range(1, rest.length + 1))
      yield* producer.send(7)
      expect(numbers(yield* take)).toEqual([7])
    }))

  test("many records are sent with turns of the event loop between them", () =>
    Effect.gen(function*() {
      const slow = encoding((n) => {
        for (const end = performance.now() + 0.5; performance.now() < end;);
        return n
      })
      const { commands, take } = yield* setUp(slow)
      const producer = yield* UserRingBuffer.make(commands)
      let turns = 0
      let immediate = setImmediate(function count() {
        turns++
        immediate = setImmediate(count)
      })
      yield* producer.sendMany(range(0, 200))
      clearImmediate(immediate)
      // 100 ms in all, and a turn after each 16 records where 5 ms have gone by.
      expect(turns).toBeGreaterThan(4)
      expect(numbers(yield* take)).toEqual(range(0, 200))
    }))

  test("an interruption at any moment of opening and sending leaves nothing", () =>
    Effect.gen(function*() {
      const { commands, maxEntries, take } = yield* setUp(Layout.u32)
      for (let turns = 0; turns < 20; turns++) {
        const sending = yield* Effect.forkChild(
          Stream.fromIterable(range(0, maxEntries / 4)).pipe(Stream.run(UserRingBuffer.sink(commands)))
        )
        for (let i = 0; i < turns % 5; i++) yield* Effect.yieldNow
        if (turns % 2 === 1) yield* take
        yield* Effect.timeout(Fiber.interrupt(sending), "60 seconds")
      }
      yield* take
      const producer = yield* UserRingBuffer.make(commands)
      yield* producer.send(1)
      expect(numbers(yield* take)).toEqual([1])
    }))

  failingCalls(test, [{
    name: "records are sent, and wait for room",
    isSlow: true,
    needs: "userRingbuf",
    run: Effect.gen(function*() {
      const { commands, maxEntries, take } = yield* setUp(Layout.u32)
      const producer = yield* UserRingBuffer.make(commands)
      yield* producer.sendMany(range(0, maxEntries / SPACE))
      const waiting = yield* Effect.forkChild(producer.sendMany([1, 2]))
      yield* Effect.sleep("1 millis")
      yield* take
      yield* Effect.timeout(Fiber.join(waiting), "60 seconds")
    })
  }])
}
