// The producing end of a user ring buffer: values are encoded, written, or wait for room in the order in which they came.
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { errno } from "../../abi/errno.ts"
import { mman } from "../../abi/os.ts"
import { Kernel, type KernelService, type Watch } from "../../kernel/Kernel.ts"
import { InvalidArgument, SystemCallError } from "../../kernel/KernelError.ts"
import { acquireMapping, allOrNothing, retrying, toError } from "../../kernel/systemCall.ts"
import { isTurnDue } from "../../kernel/turn.ts"
import { shown } from "../../kernel/validate.ts"
import { directReads, type Layout, LayoutError } from "../../layout/Layout.ts"
import { describe } from "../../map/BpfMap.ts"
import type { UserRingBufferMap } from "../../map/UserRingBufferMap.ts"
import { acquireOwnership } from "./ringOwner.ts"
import { longestOf, spaceOf, UserRing, type UserRingPosition } from "./userRing.ts"
import { RingBufferFull, UserRingBufferError } from "./userRingError.ts"

/** What becomes of a record for which there is no room. */
export type OnFull = "wait" | "fail"

export type SendError = InvalidArgument | LayoutError | RingBufferFull | SystemCallError | UserRingBufferError

/** How many records are written before the clock is looked at. */
const AT_ONCE = 16

const CLOSED = "The producer's scope, or that of its map, has closed"

/** A record that waits for room, and who waits with it. */
interface Waiting {
  readonly bytes: Uint8Array
  readonly resume: (outcome: Effect.Effect<void, SendError>) => void
}

/** What a codec of a user's own threw, as the error of a value that it does not take. */
const encodeError = (error: unknown): LayoutError =>
  error instanceof LayoutError
    ? error
    : new LayoutError({
      path: "record",
      expected: "a value that the codecs of its layout take",
      actual: error instanceof Error ? `an error: ${shown(error.message)}` : shown(error)
    })

const isTyped = (error: unknown): error is SendError =>
  error instanceof UserRingBufferError || error instanceof SystemCallError || error instanceof LayoutError ||
  error instanceof InvalidArgument || error instanceof RingBufferFull

/** What `body` gives; what it throws of our own errors is its failure. */
const failing = <A>(body: () => Effect.Effect<A, SendError>): Effect.Effect<A, SendError> =>
  Effect.suspend(() => {
    try {
      return body()
    } catch (error) {
      if (isTyped(error)) return Effect.fail(error)
      throw error
    }
  })

interface ProducerOptions {
  readonly deadline: number | undefined
  readonly onFull: OnFull
}

export class UserRingProducer<A> {
  readonly map: UserRingBufferMap<A>
  private readonly kernel: KernelService
  private readonly ring: UserRing
  private readonly options: ProducerOptions
  private readonly layout: Layout<A>
  private readonly size: number
  /** Where records are encoded whose layouts are this package's alone; others' code may keep what it is given. */
  private readonly scratch: { readonly bytes: Uint8Array; readonly view: DataView } | undefined
  private readonly queue = new Set<Waiting>()
  private watch: Watch | undefined
  private armed = false
  private timer: NodeJS.Timeout | undefined

  constructor(
    kernel: KernelService,
    map: UserRingBufferMap<A>,
    size: number,
    ring: UserRing,
    options: ProducerOptions
  ) {
    this.kernel = kernel
    this.map = map
    this.ring = ring
    this.options = options
    this.layout = map.record
    this.size = size
    if (directReads(this.layout) !== undefined) {
      const bytes = new Uint8Array(size)
      this.scratch = { bytes, view: new DataView(bytes.buffer) }
    }
  }

  private failed(result: number): SystemCallError {
    const error = toError(this.kernel, { call: "epoll_ctl", subject: this.ring.subject }, result)
    return error.errno === errno.EBADF && !this.kernel.isReleased()
      ? new SystemCallError({ ...error, hint: CLOSED })
      : error
  }

  /** A value's bytes, good until the next call. Throws `LayoutError`. */
  private encode(value: A): Uint8Array {
    const own = this.scratch
    const bytes = own === undefined ? new Uint8Array(this.size) : own.bytes
    const view = own === undefined ? new DataView(bytes.buffer) : own.view
    if (own !== undefined) bytes.fill(0)
    try {
      this.layout.write(view, bytes, 0, value)
    } catch (error) {
      throw encodeError(error)
    }
    if (bytes.length !== this.size) {
      throw encodeError(new Error("the memory to write to was taken away"))
    }
    return bytes
  }

  /** Throws `SystemCallError` once this has closed. Codecs run before it: they may close it. */
  private assertOpen(): void {
    if (this.watch === undefined || !this.ring.isMapped) throw this.failed(-errno.EBADF)
  }

  /** Writes a record, unless it must wait. */
  private put(bytes: Uint8Array): boolean {
    this.assertOpen()
    return this.queue.size === 0 && this.ring.put(bytes)
  }

  readonly sendUnsafe = (value: A): boolean => {
    const bytes = this.encode(value)
    const written = this.put(bytes)
    this.ring.publish()
    return written
  }

  readonly send = (value: A): Effect.Effect<void, SendError> =>
    failing(() => {
      const bytes = this.encode(value)
      if (!this.put(bytes)) return this.whenFull(bytes, 0)
      this.ring.publish()
      return Effect.void
    })

  readonly sendMany = (values: ReadonlyArray<A>): Effect.Effect<void, SendError> =>
    failing(() => {
      if (!Array.isArray(values)) {
        return Effect.fail(new InvalidArgument({ field: "values", expected: "an array", actual: shown(values) }))
      }
      let next = 0
      const step: Effect.Effect<void, SendError> = failing(() => {
        try {
          for (let i = 1; next < lengthOf(values); i++) {
            const bytes = this.encode(elementOf(values, next))
            if (!this.put(bytes)) {
              return Effect.flatMap(this.whenFull(bytes, next), () => {
                next++
                return step
              })
            }
            next++
            if (i % AT_ONCE === 0 && isTurnDue()) return Effect.flatMap(Effect.yieldNow, () => step)
          }
          return Effect.void
        } finally {
          this.ring.publish()
        }
      })
      return step
    })

  readonly position = (): UserRingPosition => this.ring.where()

  private whenFull(bytes: Uint8Array, sent: number): Effect.Effect<void, SendError> {
    if (this.options.onFull === "wait") return this.wait(bytes)
    return Effect.fail(
      new RingBufferFull({ ring: this.ring.subject, needed: spaceOf(bytes.length), free: this.ring.room(), sent })
    )
  }

  // ---------------------------------------------------------------- waiting for room

  private wait(encoded: Uint8Array): Effect.Effect<void, SendError> {
    const bytes = encoded.slice()
    return Effect.callback<void, SendError>((resume) => {
      const waiting: Waiting = { bytes, resume }
      this.queue.add(waiting)
      this.goOn()
      return Effect.sync(() => {
        // Who comes next may need less.
        if (this.queue.delete(waiting)) this.goOn()
      })
    })
  }

  /** Writes what waits, in order, as far as there is room, and looks for more where that is not all. */
  private goOn(): void {
    try {
      for (const waiting of this.queue) {
        this.assertOpen()
        if (!this.ring.put(waiting.bytes)) break
        this.ring.publish()
        this.queue.delete(waiting)
        waiting.resume(Effect.void)
      }
      if (this.queue.size > 0) this.arm()
      else this.disarm()
    } catch (error) {
      if (!isTyped(error)) throw error
      this.fail(error)
    }
  }

  private arm(): void {
    const { deadline } = this.options
    if (!this.armed) {
      const result = retrying(this.watch!.arm)
      if (result < 0) throw this.failed(result)
      this.armed = true
    }
    if (deadline !== undefined) {
      this.timer ??= setTimeout(() => {
        this.timer = undefined
        this.goOn()
      }, deadline)
    }
  }

  private disarm(): void {
    clearTimeout(this.timer)
    this.timer = undefined
  }

  private fail(error: SendError): void {
    this.disarm()
    const all = [...this.queue]
    this.queue.clear()
    for (const { resume } of all) resume(Effect.fail(error))
  }

  /** Whether the first that waits finds room, or what it waits for is over. */
  private isDue(): boolean {
    for (const { bytes } of this.queue) {
      try {
        return !this.ring.isMapped || this.ring.fits(bytes.length)
      } catch {
        return true // it will fail
      }
    }
    return true
  }

  private report(result: number): void {
    this.armed = false
    if (result >= 0) return this.goOn()
    this.watch = undefined
    this.fail(this.failed(result))
  }

  /** What a codec put before it closed its own producer was sent. */
  private handOver(): void {
    try {
      this.ring.publish()
    } catch (error) {
      if (!isTyped(error)) throw error // the position is another's: nothing can be sent
    }
  }

  /** Watches the ring until the scope closes; who waits then, and later, fails with EBADF. */
  open(fd: number): Effect.Effect<void, SystemCallError, Scope.Scope> {
    return Effect.asVoid(Effect.acquireRelease(
      Effect.suspend(() => {
        const watch = retrying(() =>
          this.kernel.files.watch(fd, (result) => this.report(result), () => this.isDue(), "room")
        )
        if (typeof watch === "number") return Effect.fail(this.failed(watch))
        this.watch = watch
        return Effect.succeed(watch)
      }),
      (watch) =>
        Effect.sync(() => {
          this.handOver()
          this.ring.close()
          watch.close()
          this.report(-errno.EBADF)
        })
    ))
  }
}

// An array may be a Proxy, or have getters: what those throw is an error of the value.
const lengthOf = (values: ReadonlyArray<unknown>): number => {
  try {
    return values.length
  } catch (error) {
    throw encodeError(error)
  }
}

const elementOf = <A>(values: ReadonlyArray<A>, index: number): A => {
  try {
    return values[index]!
  } catch (error) {
    throw encodeError(error)
  }
}

/** Opens the producing end, closed with the scope. */
export const acquireProducer = <A>(
  map: UserRingBufferMap<A>,
  options: ProducerOptions
): Effect.Effect<
  UserRingProducer<A>,
  InvalidArgument | SystemCallError | UserRingBufferError,
  Kernel | Scope.Scope
> =>
  allOrNothing(Effect.gen(function*() {
    const kernel = yield* Kernel
    const { fd, record, spec } = map
    const { pageSize } = kernel
    const { size } = record
    const subject = describe(spec)
    const longest = longestOf(spec.maxEntries)
    if (size > longest) {
      return yield* new InvalidArgument({
        field: "record",
        expected: `a layout of at most ${longest} bytes, for a ring of ${spec.maxEntries}`,
        actual: `one of ${size}`
      })
    }
    // The first page holds the consumer's position, which the kernel shows read-only; the second the producer's, and after
    // it the data, mapped twice in a row, all of which the process may write.
    const consumer = yield* acquireMapping(kernel, subject, {
      fd,
      length: pageSize,
      protection: mman.PROT_READ,
      offset: 0
    })
    const producer = yield* acquireMapping(kernel, subject, {
      fd,
      length: pageSize + 2 * spec.maxEntries,
      protection: mman.PROT_READ | mman.PROT_WRITE,
      offset: pageSize
    })
    yield* acquireOwnership(kernel, subject, producer, "producer")
    const ring = yield* Effect.try({
      try: () => new UserRing({ subject, consumer, producer, dataOffset: pageSize, size: spec.maxEntries }),
      catch: (error) => error as UserRingBufferError
    })
    const opened = new UserRingProducer(kernel, map, size, ring, options)
    yield* opened.open(fd)
    return opened
  }))
