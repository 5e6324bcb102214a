/**
 * Reads what programs write with `bpf_perf_event_output` (and `bpf_skb_output`, `bpf_xdp_output`) into a `PerfEventArray`:
 * as a `Stream` of decoded samples and losses, or sample by sample. Kernel 4.7; on kernels from 5.8 on a ring buffer
 * (`RingBuffer`) is mostly the better choice: one ring for all CPUs, in order.
 *
 * **Rings.** Each CPU that is online has a ring of its own, and its entry of the map. A CPU that is possible but offline has
 * none, and numbers may have holes: `entries` says how many entries a map needs. The kernel tells nobody who does not listen
 * on a netlink socket of CPUs that come or go: `refresh` looks, a stream does so by itself whenever it is woken, once a
 * second at most, and what a CPU outputs before it has a ring is refused to its program (ENOENT). A CPU that went and came
 * back between two looks is not noticed: programs on it are refused (EOPNOTSUPP) until the next reader.
 *
 * **Losses.** What finds no room is lost: the program is told (ENOSPC), and the kernel writes a record of how many there
 * were before the next that fits. They are counted by CPU, and are elements of the stream at their place. Losses after which
 * nothing more was output are in no record yet: `losses` has them too, from kernel 6.0 on.
 *
 * **Padding.** A sample has up to 7 bytes more than the program gave, whose content means nothing. Layouts decode what they
 * have, and ignore the rest.
 *
 * **Readers.** A map's entry holds one ring. A second reader in this thread fails with EEXIST; one in another process takes
 * the entries over, which the kernel allows and tells nobody.
 *
 * @example
 * ```ts
 * import { Layout, PerfBuffer, PerfEventArray } from "effect-ebpf"
 * import * as Effect from "effect/Effect"
 * import * as Stream from "effect/Stream"
 *
 * const Event = Layout.struct({ pid: Layout.u32, command: Layout.cstring(16) })
 *
 * const program = Effect.gen(function*() {
 *   const events = yield* PerfEventArray.make({ name: "events", maxEntries: yield* PerfBuffer.entries })
 *   // … load and attach a program that outputs to it …
 *   yield* PerfBuffer.stream(events, Event).pipe(
 *     Stream.runForEach((event) =>
 *       event._tag === "Lost"
 *         ? Effect.logWarning(`${event.count} samples of CPU ${event.cpu} are lost`)
 *         : Effect.log(`${event.value.pid} ${event.value.command}`)
 *     )
 *   )
 * })
 * ```
 */
import type * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import type * as Pull from "effect/Pull"
import * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import { errno } from "../abi/errno.ts"
import { deferredStream } from "../effect/onDemand.ts"
import { readCpus } from "../kernel/cpus.ts"
import { type Block, Kernel, type KernelService } from "../kernel/Kernel.ts"
import { InvalidArgument, SystemCallError } from "../kernel/KernelError.ts"
import { aBoolean, anInteger, type Check, type Checks, oneOf, readingOptions } from "../kernel/options.ts"
import { acquireBlock, allOrNothing } from "../kernel/systemCall.ts"
import { isTurnDue } from "../kernel/turn.ts"
import { shown } from "../kernel/validate.ts"
import { makeWaiting, type Waiting } from "../kernel/waiting.ts"
import { isLayout, type Layout, LayoutError } from "../layout/Layout.ts"
import { describe, info, isBpfMap } from "../map/BpfMap.ts"
import type { PerfEventArray } from "../map/PerfEventArray.ts"
import type { EventStatistics } from "./EventStatistics.ts"
import { acquireCounts, type Counts } from "./internal/counts.ts"
import { PerfCursor } from "./internal/perfCursor.ts"
import { PerfBufferError } from "./internal/perfError.ts"
import {
  LOST_FORMAT,
  lostError,
  type OpenFailure,
  type OpenRing,
  openRing,
  pauseError,
  type RingSettings
} from "./internal/perfEvents.ts"
import { acquireReading } from "./internal/perfReaders.ts"
import type { Visit, Visitor } from "./internal/perfPiece.ts"
import type { Wakeup } from "./internal/perfRing.ts"

export { PerfBufferError } from "./internal/perfError.ts"
export type { Visit, Visitor } from "./internal/perfPiece.ts"
export type { Wakeup } from "./internal/perfRing.ts"

/** What a reader is to be like. */
export interface Options {
  /**
   * Bytes for each CPU, 1 to 2^30; rounded up to a power of two of the kernel's pages (4, 16 or 64 KiB). 64 KiB unless given.
   * Without CAP_IPC_LOCK the memory is charged to `kernel.perf_event_mlock_kb`, and then to RLIMIT_MEMLOCK.
   */
  readonly size?: number
  /**
   * When the kernel wakes who waits: at each so many samples of a CPU (`{ events: 1 }` unless given), and at half a ring; or
   * at each so many bytes (`{ bytes }`, at most half a ring, since a ring that is full may have no more). Until then samples
   * wait, unless there is a `deadline` or a `flush`.
   */
  readonly wakeup?: Wakeup
  /**
   * How long samples may wait below the `wakeup`. Who waits in `ready` then looks at all rings that often, so a timer runs
   * where without it nothing does. None unless given.
   */
  readonly deadline?: Duration.Input
  /**
   * `"cpu"`: one CPU after the other, each in its own order. `"time"`: all in the order of their time, which every record
   * then has (8 bytes more). They are delivered a turn of the event loop later, so that what another CPU stamped before is
   * there too. `"cpu"` unless given.
   */
  readonly order?: "cpu" | "time"
  /**
   * True for rings that keep the newest: nothing is lost, and the oldest samples are written over. `drain` then stops output
   * while it copies, and gives those that are new since the last, the oldest first. False unless given.
   */
  readonly overwritable?: boolean
}

/** What a CPU's ring has given so far. */
export interface CpuStatistics {
  readonly cpu: number
  readonly samples: number
  /** Of samples, their padding included. */
  readonly bytes: number
  /** Samples that the kernel reported lost. */
  readonly lost: number
  /** Bytes of records that were written over before they were read; in overwritable rings only. */
  readonly overwritten: number
}

/**
 * The reading end of a perf buffer. `drain` and `ready` are meant to take turns: drain until it gives 0, then wait.
 */
export interface Reader {
  /** In words, for errors: `perf_event_array map "events"`. */
  readonly subject: string
  /**
   * Calls a visitor for each sample that is there when it begins, at most `limit` of them, and gives their number. The memory
   * that it sees is a copy, the reader's own and valid only inside the call: decode or copy. What is written to it harms
   * samples of this reader at most. If a visitor throws, the sample counts as read.
   *
   * Throws a `PerfBufferError` if called within its own visitor, if another reader moved a ring's position, and for
   * positions and records that cannot be; for overwritable rings a `SystemCallError` too. After the scope has closed it
   * gives 0. It blocks the event loop as long as it reads: with a slow visitor, give a `limit`.
   */
  readonly drain: (visit: Visit | Visitor, limit?: number) => number
  /**
   * Waits for a wake-up, a `flush` or the `deadline`, for any number of fibers. Fails with EBADF once the scope has closed,
   * or the Kernel layer was released. Takes up to 4 ms in a `worker_threads` worker.
   */
  readonly ready: Effect.Effect<void, SystemCallError>
  /** Lets who waits in `ready` go on now, or the next who would wait, so that samples below the `wakeup` are read too. */
  readonly flush: Effect.Effect<void>
  /** Stops output into all rings. What programs output meanwhile is lost, and counted as such. */
  readonly pause: Effect.Effect<void, SystemCallError>
  readonly resume: Effect.Effect<void, SystemCallError>
  /**
   * Looks which CPUs are online: opens rings for those that are new, and gives the numbers of both, what was opened and what
   * went offline. What a CPU left in its ring is still read.
   *
   * Fails with `InvalidArgument` if the map has no entry for a CPU, and with `SystemCallError`.
   */
  readonly refresh: Effect.Effect<
    { readonly opened: ReadonlyArray<number>; readonly offline: ReadonlyArray<number> },
    InvalidArgument | LayoutError | SystemCallError
  >
  /**
   * How many samples each CPU has lost so far, as the kernel counts them: those included that no record tells of yet, because
   * nothing was output after them. Before kernel 6.0 the same as `cpus` has. Fails with `SystemCallError`.
   */
  readonly losses: Effect.Effect<ReadonlyArray<{ readonly cpu: number; readonly lost: number }>, SystemCallError>
  /** What was read, as a snapshot; the same numbers are in Effect's metrics, see `EventStatistics`. */
  readonly statistics: () => EventStatistics
  /** The same by CPU, for each that ever had a ring, in the order of their numbers. */
  readonly cpus: () => ReadonlyArray<CpuStatistics>
}

const LARGEST = 1 << 30
const DEFAULT_SIZE = 1 << 16
const INT_MAX = 0x7fffffff

const isWakeup = (value: unknown): boolean => {
  if (typeof value !== "object" || value === null) return false
  const [name, ...others] = Object.keys(value)
  if (others.length > 0 || (name !== "events" && name !== "bytes")) return false
  const number = (value as Record<string, unknown>)[name]
  return Number.isInteger(number) && (number as number) >= 1 && (number as number) <= INT_MAX
}

const isDuration = (value: any): boolean => {
  try {
    const duration = Option.getOrUndefined(Duration.fromInput(value))
    return duration !== undefined && Duration.isFinite(duration) && Duration.toMillis(duration) >= 1
  } catch {
    return false
  }
}

const aDuration: Check = { expected: "a duration of a millisecond or more", accepts: isDuration }

const checks: Checks<Options> = {
  size: anInteger(1, LARGEST),
  wakeup: { expected: "{ events } or { bytes } with an integer from 1 to 2147483647", accepts: isWakeup },
  deadline: aDuration,
  order: oneOf(["cpu", "time"]),
  overwritable: { expected: "true or false", accepts: (value) => typeof value === "boolean" }
}

const wrong = (field: string, expected: string, actual: unknown): InvalidArgument =>
  new InvalidArgument({ field, expected, actual: shown(actual) })

/** A power of two of pages. */
const ringSize = (size: number, pageSize: number): number => {
  let rounded = pageSize
  while (rounded < size) rounded *= 2
  return rounded
}

const settingsOf = (
  kernel: KernelService,
  subject: string,
  options: Options
): Effect.Effect<RingSettings, InvalidArgument> => {
  const size = ringSize(options.size ?? DEFAULT_SIZE, kernel.pageSize)
  const wakeup = options.wakeup ?? { events: 1 }
  const { order, overwritable = false } = options
  if ("bytes" in wakeup && wakeup.bytes > size / 2) {
    const expected = `at most half a ring, which is ${size / 2} bytes`
    return Effect.fail(new InvalidArgument({ field: "wakeup.bytes", expected, actual: String(wakeup.bytes) }))
  }
  return Effect.succeed({ subject, size, wakeup, timed: order === "time", overwritable })
}

/**
 * How many entries a map needs so that each CPU that may ever be there has its own: the highest number of a possible CPU
 * and 1, which is more than their count where numbers have holes.
 */
export const entries: Effect.Effect<number, SystemCallError, Kernel> = Effect.flatMap(
  Kernel,
  (kernel) => Effect.map(readCpus(kernel, "possible"), (cpus) => Math.max(...cpus) + 1)
)

const CLOSED = "The reader's scope has closed"

/** Opens, closes and counts the rings of one reader. */
class Rings {
  /** Those that are open; a CPU that came back may have two, until the older one is read. */
  private open: ReadonlyArray<OpenRing> = []
  private readonly past = new Map<number, CpuStatistics>()
  private paused = false
  private closed = false
  private readonly reader: {
    readonly kernel: KernelService
    readonly map: PerfEventArray
    readonly waiting: Waiting
    readonly scope: Scope.Scope
    readonly settings: RingSettings
    readonly cursor: PerfCursor
  }

  constructor(reader: Rings["reader"]) {
    this.reader = reader
  }

  get lag(): number {
    return this.open.reduce((sum, { ring }) => sum + ring.lag(), 0)
  }

  /** Whether there is anything to read, below a wake-up or not. */
  get hasUnread(): boolean {
    return this.open.some(({ ring }) => ring.lag() > 0 || ring.isDue())
  }

  cpus(): ReadonlyArray<CpuStatistics> {
    const all = new Map(this.past)
    for (const { ring } of this.open) all.set(ring.cpu, sum(ring, all.get(ring.cpu)))
    return [...all.values()].toSorted((a, b) => a.cpu - b.cpu)
  }

  /** What each CPU lost, as the kernel counts it. */
  readonly losses = (memory: Block): Reader["losses"] =>
    Effect.suspend(() => {
      const { kernel, settings: { subject } } = this.reader
      if (this.closed) return Effect.fail(lostError(kernel, subject, -errno.EBADF))
      const all = new Map([...this.past].map(([cpu, { lost }]) => [cpu, lost]))
      for (const one of this.open) {
        const lost = one.lost(memory)
        if (lost < 0) return Effect.fail(lostError(kernel, subject, lost))
        all.set(one.ring.cpu, lost + (all.get(one.ring.cpu) ?? 0))
      }
      return Effect.succeed([...all].map(([cpu, lost]) => ({ cpu, lost })).toSorted((a, b) => a.cpu - b.cpu))
    })

  /** Pauses or resumes all: 0, or the first `-errno`. */
  pause(paused: boolean): number {
    this.paused = paused
    return this.pauseAll(paused)
  }

  private pauseAll(paused: boolean): number {
    let failed = 0
    for (const one of this.open) {
      const result = one.offline ? 0 : one.pause(paused)
      if (result < 0 && failed === 0) failed = result
    }
    return failed
  }

  /** Runs something while output is stopped. */
  readonly whilePaused = <A>(read: () => A): A => {
    if (this.paused) return read()
    const { kernel, settings: { subject } } = this.reader
    const stopped = this.pauseAll(true)
    if (stopped < 0) {
      this.pauseAll(false)
      throw pauseError(kernel, subject, stopped)
    }
    try {
      return read()
    } finally {
      this.pauseAll(false)
    }
  }

  /**
   * Opens the rings of CPUs that have none, and closes those of CPUs that went, once they are read. Not to be interrupted: a
   * ring that is in the map is one that is read.
   */
  readonly refresh: Reader["refresh"] = Effect.uninterruptible(Effect.gen({ self: this }, function*() {
    const { kernel, map, settings: { subject } } = this.reader
    if (this.closed) {
      return yield* new SystemCallError({
        call: "perf_event_open",
        command: undefined,
        subject,
        errno: errno.EBADF,
        hint: CLOSED
      })
    }
    const online = yield* readCpus(kernel, "online")
    const offline: Array<number> = []
    for (const one of this.open) {
      if (one.offline || online.includes(one.ring.cpu)) continue
      one.offline = true
      offline.push(one.ring.cpu)
    }
    yield* this.closeRead
    const known = new Set(this.open.filter((one) => !one.offline).map(({ ring }) => ring.cpu))
    const opened: Array<number> = []
    for (const cpu of online) {
      if (known.has(cpu)) continue
      if (cpu >= map.spec.maxEntries) {
        const expected = `one of ${cpu + 1} entries or more, as \`PerfBuffer.entries\` says: CPU ${cpu} is online`
        return yield* new InvalidArgument({ field: "map", expected, actual: `one of ${map.spec.maxEntries}` })
      }
      if (yield* this.add(cpu)) opened.push(cpu)
    }
    return { opened, offline }
  }))

  close(): void {
    this.closed = true
  }

  private add(cpu: number): Effect.Effect<boolean, OpenFailure> {
    const { cursor, kernel, map, scope, settings, waiting } = this.reader
    return Effect.map(openRing(kernel, map, waiting, scope, cpu, settings), (one) => {
      if (one === undefined) return false
      for (const other of this.open) if (other.ring.cpu === cpu) other.ownsEntry = false
      this.open = [...this.open, one]
      cursor.add(one.ring)
      if (this.paused) one.pause(true)
      return true
    })
  }

  /** Closes the rings of offline CPUs of which everything is delivered. */
  private readonly closeRead = Effect.suspend(() => {
    const { cursor, settings } = this.reader
    const done = this.open.filter((one) =>
      one.offline && (settings.overwritable || (one.ring.lag() === 0 && cursor.isDelivered(one.ring)))
    )
    if (done.length === 0) return Effect.void
    this.open = this.open.filter((one) => !done.includes(one))
    return Effect.forEach(done, ({ ring, scope }) => {
      this.past.set(ring.cpu, sum(ring, this.past.get(ring.cpu)))
      cursor.remove(ring)
      return Scope.close(scope, Exit.void)
    }, { discard: true })
  })
}

const sum = (ring: CpuStatistics, before: CpuStatistics | undefined): CpuStatistics => ({
  cpu: ring.cpu,
  samples: ring.samples + (before?.samples ?? 0),
  bytes: ring.bytes + (before?.bytes ?? 0),
  lost: ring.lost + (before?.lost ?? 0),
  overwritten: ring.overwritten + (before?.overwritten ?? 0)
})

/** Waits for a wake-up; with a deadline, also looks by itself whether something waits below it. */
const waitingFor = (
  waiting: Waiting,
  rings: Rings,
  cursor: PerfCursor,
  counts: Counts,
  deadline: Duration.Duration | undefined
): Effect.Effect<void, SystemCallError> => {
  const late: Effect.Effect<void> = deadline === undefined
    ? Effect.never
    : Effect.flatMap(Effect.sleep(deadline), () => {
      if (!rings.hasUnread && !cursor.isHolding) return late
      counts.wakeups++
      return Effect.void
    })
  const wait = deadline === undefined ? waiting.ready : Effect.raceFirst(waiting.ready, late)
  // What is held back is to be looked at again, but not before the event loop has turned: programs have to come to an end.
  return Effect.suspend(() => cursor.isHolding ? Effect.yieldNow : wait)
}

/**
 * Opens a ring for each CPU that is online, and puts them into the map; all is closed with the scope. Needs CAP_PERFMON (or
 * CAP_SYS_ADMIN before 5.8) and CAP_BPF.
 *
 * Fails with `InvalidArgument` for options that are none, and for a map with fewer entries than an online CPU's number
 * wants (`entries`); with `SystemCallError`: EEXIST if the map has a reader in this process, ENODEV if no CPU has a ring,
 * EPERM for more memory than may be locked.
 */
export const make = (
  map: PerfEventArray,
  options?: Options
): Effect.Effect<Reader, InvalidArgument | LayoutError | SystemCallError, Kernel | Scope.Scope> =>
  allOrNothing(Effect.gen(function*() {
    if (!isBpfMap(map) || map.spec.type !== "perf_event_array") {
      return yield* wrong("map", "a PerfEventArray", map)
    }
    const read = yield* readingOptions<Options>("options of a perf buffer", options, checks)
    const kernel = yield* Kernel
    const scope = yield* Effect.scope
    const subject = describe(map.spec)
    const settings = yield* settingsOf(kernel, subject, read)
    yield* acquireReading(kernel, subject, (yield* info(map)).id)

    let rings: Rings | undefined
    const counts = yield* acquireCounts({
      kind: "perf_event_array",
      name: map.spec.name,
      lag: () => rings?.lag ?? 0
    })
    const waiting = yield* makeWaiting(
      kernel,
      subject,
      { [errno.EBADF]: CLOSED },
      () => {
        counts.wakeups++
      }
    )
    const cursor = new PerfCursor({
      subject,
      order: read.order ?? "cpu",
      overwritable: settings.overwritable,
      paused: (reading) => rings!.whilePaused(reading),
      counts
    })
    const memory = yield* acquireBlock(kernel, LOST_FORMAT)
    const all = rings = new Rings({ kernel, map, waiting, scope, settings, cursor })
    const { opened } = yield* all.refresh
    if (opened.length === 0) {
      const hint = "No CPU that is online takes a perf event"
      return yield* new SystemCallError({
        call: "perf_event_open",
        command: undefined,
        subject,
        errno: errno.ENODEV,
        hint
      })
    }
    const atClose = new Set<() => void>()
    yield* Effect.addFinalizer(() =>
      Effect.sync(() => {
        for (const collect of atClose) collect()
        cursor.close()
        all.close()
      })
    )

    const setPaused = (paused: boolean) =>
      Effect.suspend(() => {
        const result = all.pause(paused)
        return result < 0 ? Effect.fail(pauseError(kernel, subject, result)) : Effect.void
      })
    const deadline = read.deadline === undefined ? undefined : Duration.fromInputUnsafe(read.deadline)
    return {
      subject,
      drain: (visit, limit) => cursor.drain(visit, limit),
      ready: waitingFor(waiting, all, cursor, counts, deadline),
      flush: Effect.sync(waiting.wake),
      pause: setPaused(true),
      resume: setPaused(false),
      refresh: all.refresh,
      losses: all.losses(memory),
      statistics: () => counts.snapshot(),
      cpus: () => all.cpus(),
      [internals]: { counts, atClose }
    } as Reader
  }))

/** What streams need of their reader beside its interface. */
interface Internals {
  readonly counts: Counts
  /** Called before the rings close. */
  readonly atClose: Set<() => void>
}

const internals = Symbol.for("~effect-ebpf/PerfBuffer/internals")

const internalsOf = (reader: Reader): Internals => (reader as unknown as { readonly [internals]: Internals })[internals]

/** A sample, decoded. */
export interface Sample<A> {
  readonly _tag: "Sample"
  readonly cpu: number
  readonly value: A
  /** Nanoseconds of CLOCK_MONOTONIC; `undefined` unless the reader orders by time. */
  readonly time: bigint | undefined
}

/** So many samples of a CPU found no room, after the sample of that CPU before this element. */
export interface Lost {
  readonly _tag: "Lost"
  readonly cpu: number
  readonly count: number
  /** Of the report, which comes with the next sample; `undefined` unless the reader orders by time. */
  readonly time: bigint | undefined
}

/** What a stream is to be like. */
export interface StreamOptions {
  /** How many elements a chunk has at most, 1 to 2^24; 4096 unless given. */
  readonly batchSize?: number
  /**
   * What becomes of a sample that the layout cannot decode, such as one that is shorter: `"fail"` ends the stream with the
   * `LayoutError` after all samples before it, `"skip"` counts it (`decodeErrors`) and goes on. `"fail"` unless given.
   */
  readonly onDecodeError?: "fail" | "skip"
  /**
   * True for a stream of `records` that ends, when the scope of its reader closes, with what was output until then: all that
   * the rings have is copied as it closes. Else it fails with EBADF. False unless given.
   */
  readonly drainOnClose?: boolean
}

const DEFAULT_BATCH = 4096
/** How many samples are decoded before the clock is looked at. */
const DECODED_AT_ONCE = 256
/** Milliseconds between two looks which CPUs are online. */
const REFRESH = 1000

const streamChecks: Checks<StreamOptions> = {
  batchSize: anInteger(1, 1 << 24),
  onDecodeError: oneOf(["fail", "skip"]),
  drainOnClose: aBoolean
}

type Failure = InvalidArgument | LayoutError | PerfBufferError | SystemCallError

const isFailure = (error: unknown): error is Failure =>
  error instanceof LayoutError || error instanceof PerfBufferError || error instanceof SystemCallError

/** A sample as an element of the stream: decoded, or its bytes. */
type Decode<A> = (view: DataView, bytes: Uint8Array, offset: number, length: number) => A

const pulling = <A>(reader: Reader, decode: Decode<A>, options: StreamOptions) => {
  const { batchSize: limit = DEFAULT_BATCH, drainOnClose = false, onDecodeError = "fail" } = options
  const { atClose, counts } = internalsOf(reader)
  type Element = Sample<A> | Lost
  let failure: Failure | undefined
  let batch: Array<Element> = []
  let looked = performance.now()
  const visitor: Visitor = {
    sample: (view, bytes, offset, length, cpu, time) => {
      let value: A
      try {
        value = decode(view, bytes, offset, length)
      } catch (error) {
        if (!(error instanceof LayoutError)) throw error
        counts.decodeErrors++
        if (onDecodeError === "skip") return
        throw error
      }
      batch.push({ _tag: "Sample", cpu, value, time })
    },
    lost: (cpu, count, time) => {
      batch.push({ _tag: "Lost", cpu, count, time })
    }
  }
  const fill = (): Array<Element> => {
    batch = []
    const before = counts.batches
    try {
      for (;;) {
        const wanted = Math.min(DECODED_AT_ONCE, limit - batch.length)
        if (reader.drain(visitor, wanted) < wanted || batch.length >= limit || isTurnDue()) break
      }
    } catch (error) {
      if (!isFailure(error)) throw error
      failure = error
    }
    counts.batches = batch.length > 0 ? before + 1 : before
    return batch
  }
  type Chunk = Arr.NonEmptyReadonlyArray<Element>
  const refresh = Effect.suspend(() => {
    const now = performance.now()
    if (now - looked < REFRESH) return Effect.void
    looked = now
    return Effect.asVoid(reader.refresh)
  })
  /** What the rings had when the reader closed, and how much of it was given. */
  let rest: ReadonlyArray<Element> | undefined
  let given = 0
  const collect = (): void => {
    batch = []
    try {
      reader.drain(visitor)
      reader.drain(visitor) // by time, the first holds back what it found
    } catch (error) {
      if (!isFailure(error)) throw error
      if (!(error instanceof PerfBufferError && error.reason === "InUse")) failure ??= error
    }
    rest = batch
  }
  const wait = Effect.andThen(
    Effect.catch(reader.ready, (error) => rest === undefined ? Effect.fail(error) : Effect.void),
    Effect.suspend(() => rest === undefined ? refresh : Effect.void)
  )
  const next = (): Pull.Pull<Chunk, Failure> => {
    if (rest !== undefined && given < rest.length) {
      const events = rest.slice(given, given += limit)
      return Effect.succeed(events as unknown as Chunk)
    }
    if (failure !== undefined) return Effect.fail(failure)
    if (rest !== undefined) return Cause.done()
    const events = fill()
    if (events.length > 0) return Effect.succeed(events as unknown as Chunk)
    if (failure !== undefined) return Effect.fail(failure)
    return Effect.flatMap(wait, () => pull)
  }
  const pull: Pull.Pull<Chunk, Failure> = Effect.suspend(() =>
    isTurnDue() ? Effect.flatMap(Effect.yieldNow, next) : next()
  )
  if (!drainOnClose) return Effect.succeed(pull)
  return Effect.as(
    Effect.acquireRelease(
      Effect.sync(() => atClose.add(collect)),
      () => Effect.sync(() => atClose.delete(collect))
    ),
    pull
  )
}

const streaming = <A>(
  acquire: Effect.Effect<Reader, Failure, Kernel | Scope.Scope>,
  decode: Decode<A> | InvalidArgument,
  options: StreamOptions | undefined
): Stream.Stream<Sample<A> | Lost, Failure, Kernel> =>
  deferredStream((module) =>
    module.scoped(module.fromPull(Effect.gen(function*() {
      const read = yield* readingOptions<StreamOptions>("options of a stream", options, streamChecks)
      if (typeof decode !== "function") return yield* decode
      return yield* pulling(yield* acquire, decode, read)
    })))
  )

const decodeBy = <A>(layout: Layout<A>): Decode<A> | InvalidArgument => {
  if (!isLayout(layout)) return wrong("layout", "a Layout", layout)
  const { size } = layout
  return (view, bytes, offset, length) => {
    if (length >= size) return layout.read(view, bytes, offset)
    throw new LayoutError({ path: "sample", expected: `at least ${size} bytes`, actual: `${length} bytes` })
  }
}

const copied: Decode<Uint8Array> = (_view, bytes, offset, length) => bytes.slice(offset, offset + length)

/** The options of a reader, and those of its stream. */
const split = (options: (Options & StreamOptions) | undefined): [Options | undefined, StreamOptions | undefined] => {
  if (typeof options !== "object" || options === null) return [options, undefined]
  const [reader, stream]: [Record<string, unknown>, Record<string, unknown>] = [{}, {}]
  for (const [name, value] of Object.entries(options)) {
    ;(Object.hasOwn(streamChecks, name) ? stream : reader)[name] = value
  }
  return [reader, stream]
}

/**
 * The samples and losses of a reader, decoded by a layout. Each chunk holds what was there when the stream was woken, up to
 * `batchSize` elements; with nothing there it waits without holding a thread, and with always something there it gives the
 * event loop a turn every 5 ms, beside what its consumer does with a chunk. It ends only by failing or by being interrupted.
 *
 * A sample may be longer than the layout, and mostly is: the rest is ignored. Fails with `LayoutError` for a shorter one,
 * unless `onDecodeError` is `"skip"`; with `PerfBufferError` if a ring cannot be read on; and as `ready` and `refresh` do.
 */
export const records = <A>(
  reader: Reader,
  layout: Layout<A>,
  options?: StreamOptions
): Stream.Stream<Sample<A> | Lost, InvalidArgument | LayoutError | PerfBufferError | SystemCallError> =>
  streaming(
    typeof reader === "object" && reader !== null && internals in reader
      ? Effect.succeed(reader)
      : Effect.fail(wrong("reader", "a Reader of PerfBuffer.make", reader)),
    decodeBy(layout),
    options
  ) as Stream.Stream<Sample<A> | Lost, Failure>

/** As `records`, opening a reader that is closed with the stream. Fails as `make` and `records` do. */
export const stream = <A>(
  map: PerfEventArray,
  layout: Layout<A>,
  options?: Options & StreamOptions
): Stream.Stream<Sample<A> | Lost, InvalidArgument | LayoutError | PerfBufferError | SystemCallError, Kernel> => {
  const [ofReader, ofStream] = split(options)
  return streaming(make(map, ofReader), decodeBy(layout), ofStream)
}

/** As `stream`, with the bytes of each sample as a copy, up to 7 bytes of padding included. */
export const streamBytes = (
  map: PerfEventArray,
  options?: Options & StreamOptions
): Stream.Stream<
  Sample<Uint8Array> | Lost,
  InvalidArgument | LayoutError | PerfBufferError | SystemCallError,
  Kernel
> => {
  const [ofReader, ofStream] = split(options)
  return streaming(make(map, ofReader), copied, ofStream)
}
