/**
 * Writes to user ring buffers: records that this process sends to BPF programs, which take them with
 * `bpf_user_ringbuf_drain`. Kernel 6.1.
 *
 * A user ring buffer has one producer at a time, on the whole machine: a second one fails with EEXIST, from whatever handle,
 * thread or process it comes. (Programs that do not use this library are not asked; if one writes too, this one fails with a
 * `UserRingBufferError`.) Records are taken in the order in which they were sent, each once. The kernel starts no program when
 * a record is sent: one takes records when it runs for a reason of its own, such as a timer, a packet or a test run.
 *
 * **A full ring.** Records lie in the ring until a program takes them, each as many bytes as its layout has, and 8, rounded up
 * to 8. Where there is no room, `send` and the sink wait for it or fail, as `onFull` says. A program that takes records wakes
 * who waits, unless it gives the flag `BPF_RB_NO_WAKEUP` (1): then a `deadline` is needed, after which they look themselves.
 *
 * @example
 * ```ts
 * import { Layout, UserRingBuffer, UserRingBufferMap } from "effect-ebpf"
 * import * as Effect from "effect/Effect"
 * import * as Stream from "effect/Stream"
 *
 * const Command = Layout.struct({ port: Layout.u16, verdict: Layout.u16 })
 *
 * const program = Effect.gen(function*() {
 *   const commands = yield* UserRingBufferMap.make({ name: "commands", record: Command, maxEntries: 65536 })
 *   // … load and attach a program that drains it …
 *   const producer = yield* UserRingBuffer.make(commands)
 *   yield* producer.send({ port: 443, verdict: 1 })
 *   yield* Stream.make({ port: 80, verdict: 0 }, { port: 22, verdict: 1 }).pipe(
 *     Stream.run(UserRingBuffer.sinkTo(producer))
 *   )
 * })
 * ```
 */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type * as Sink from "effect/Sink"
import { deferredSink } from "../effect/onDemand.ts"
import type { Kernel } from "../kernel/Kernel.ts"
import { InvalidArgument, type SystemCallError } from "../kernel/KernelError.ts"
import { type Checks, oneOf, readingOptions } from "../kernel/options.ts"
import { shown } from "../kernel/validate.ts"
import { isLayout } from "../layout/Layout.ts"
import { isBpfMap } from "../map/BpfMap.ts"
import type { UserRingBufferMap } from "../map/UserRingBufferMap.ts"
import { aDuration, toMilliseconds } from "./internal/duration.ts"
import type { UserRingPosition } from "./internal/userRing.ts"
import type { UserRingBufferError } from "./internal/userRingError.ts"
import { acquireProducer, type OnFull, type SendError, UserRingProducer } from "./internal/userRingProducer.ts"

export type { UserRingPosition } from "./internal/userRing.ts"
export { RingBufferFull, UserRingBufferError } from "./internal/userRingError.ts"
export type { OnFull, SendError } from "./internal/userRingProducer.ts"

/**
 * The producing end of a user ring buffer. A value is encoded by the map's layout before anything of the ring is taken for
 * it: one that cannot be encoded leaves nothing there.
 *
 * All of it fails with `LayoutError` for a value that the layout does not take, with `UserRingBufferError` if another wrote to
 * the ring, and with `SystemCallError` (EBADF) once the scope of the producer or of its map has closed, or the Kernel layer
 * was released.
 */
export interface Producer<in out A> {
  /** The ring that is written to. */
  readonly map: UserRingBufferMap<A>
  /**
   * Sends a record. With no room for it, or with others that wait for room, it waits its turn, or fails with
   * `RingBufferFull`, as `onFull` says. An interrupted one was either sent or not, and leaves its turn to the next.
   */
  readonly send: (value: A) => Effect.Effect<void, SendError>
  /**
   * Sends records in order, handed over together as far as there is room. Where it fails, those before were sent:
   * `RingBufferFull` says how many. Records that others send meanwhile may come between. The event loop has its turns.
   */
  readonly sendMany: (values: ReadonlyArray<A>) => Effect.Effect<void, SendError>
  /**
   * As `send`, at once, and false where there is no room, or others wait for it. Throws what `send` fails with, but
   * `RingBufferFull`.
   */
  readonly sendUnsafe: (value: A) => boolean
  /** Where this producer and the programs are in the ring, and how far apart. Throws `UserRingBufferError`. */
  readonly position: () => UserRingPosition
}

/** How a producer meets a full ring. */
export interface Options {
  /** `"wait"` until a program made room, or `"fail"` with `RingBufferFull`. `"wait"` unless given. */
  readonly onFull?: OnFull
  /**
   * How long who waits for room may not notice a program that made some and woke nobody (`BPF_RB_NO_WAKEUP`): it then looks
   * that often. From 1 ms on; none unless given.
   */
  readonly deadline?: Duration.Input
}

const checks: Checks<Options> = { onFull: oneOf(["wait", "fail"]), deadline: aDuration(1) }

const isUserRing = (map: unknown): boolean =>
  isBpfMap(map) && map.spec.type === "user_ringbuf" && isLayout((map as UserRingBufferMap<unknown>).record)

/** Why a producer may not be opened. */
export type MakeError = InvalidArgument | SystemCallError | UserRingBufferError

/**
 * Opens the producing end of a user ring buffer, closed with the scope. Records that were sent stay in the ring, for programs
 * to take; the next producer goes on after them.
 *
 * Fails with `SystemCallError`: EEXIST if it has a producer already; with `InvalidArgument` for a wrong option, a map that is
 * no user ring buffer, and records that are larger than the ring, or than the 16,777,215 bytes (2^24 - 1) that the kernel shows a
 * program; and with `UserRingBufferError` for a ring whose positions cannot be.
 *
 * @example
 * ```ts
 * import { UserRingBuffer, type UserRingBufferMap } from "effect-ebpf"
 * import * as Effect from "effect/Effect"
 *
 * declare const commands: UserRingBufferMap.UserRingBufferMap<number>
 *
 * const sending = Effect.gen(function*() {
 *   const producer = yield* UserRingBuffer.make(commands, { onFull: "fail" })
 *   yield* producer.sendMany([1, 2, 3]).pipe(
 *     Effect.catchTag("RingBufferFull", ({ sent }) => Effect.log(`only ${sent} of 3 fit`))
 *   )
 * })
 * ```
 */
export const make = <A>(
  map: UserRingBufferMap<A>,
  options?: Options
): Effect.Effect<Producer<A>, MakeError, Kernel | Scope.Scope> =>
  Effect.flatMap(
    readingOptions<Options>("options", options, checks),
    ({ deadline, onFull = "wait" }): Effect.Effect<Producer<A>, MakeError, Kernel | Scope.Scope> =>
      isUserRing(map)
        ? acquireProducer(map, { deadline: toMilliseconds(deadline), onFull })
        : Effect.fail(new InvalidArgument({ field: "map", expected: "a UserRingBufferMap", actual: shown(map) }))
  )

/**
 * A sink that sends what a stream gives, as `sendMany` does, through a producer that it opens and closes with the stream.
 * With `onFull: "wait"`, the default, a full ring holds the stream up.
 *
 * @example
 * ```ts
 * import { UserRingBuffer, type UserRingBufferMap } from "effect-ebpf"
 * import * as Stream from "effect/Stream"
 *
 * declare const commands: UserRingBufferMap.UserRingBufferMap<number>
 *
 * const sending = Stream.run(Stream.range(1, 100_000), UserRingBuffer.sink(commands))
 * ```
 */
export const sink = <A>(
  map: UserRingBufferMap<A>,
  options?: Options
): Sink.Sink<void, A, never, MakeError | SendError, Kernel> =>
  deferredSink((module) => module.unwrap(Effect.map(make(map, options), (producer) => sending(module, producer))))

/** As `sink`, of a producer that is open and stays so. */
export const sinkTo = <A>(producer: Producer<A>): Sink.Sink<void, A, never, SendError> =>
  deferredSink((module) =>
    producer instanceof UserRingProducer
      ? sending(module, producer as Producer<A>)
      : module.fail(
        new InvalidArgument({
          field: "producer",
          expected: "a producer of UserRingBuffer.make",
          actual: shown(producer)
        })
      )
  )

const sending = <A>(module: typeof Sink, producer: Producer<A>): Sink.Sink<void, A, never, SendError> =>
  module.forEachArray((values: ReadonlyArray<A>) => producer.sendMany(values))
