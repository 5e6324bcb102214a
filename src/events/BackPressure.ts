/**
 * What happens when events come faster than they are consumed: chosen, and counted. Works on any `Stream`; its arrays are
 * passed on as they are.
 *
 * Without any of it a stream of a ring buffer blocks: it is read only as its consumer asks for more, the ring fills, and the
 * kernel drops new records, which only the program can count. The strategies:
 *
 * - `block`: as without, and what goes by is counted. With `lost`, so is what the program lost.
 * - `buffer`: up to `capacity` records wait in this process while the consumer is busy. Then it blocks.
 * - `dropOldest`, `dropNewest`: the ring is read on, and what does not fit into `capacity` records is dropped.
 * - `sample`: the ring is read on, and the consumer gets, of all that came while it was busy, `capacity` records that are
 *   chosen at random, each with the same likelihood, in their order.
 * - `every`: one of each `nth` records, whether the consumer is busy or not. It blocks.
 *
 * Memory is bounded in all cases: `capacity` records, the array that the source gave last and the one that the consumer
 * has. A consumer that is ready to take has its turn before anything is dropped.
 *
 * @example
 * ```ts
 * import { BackPressure, Layout, RingBuffer, type RingBufferMap } from "effect-ebpf"
 * import * as Effect from "effect/Effect"
 * import * as Stream from "effect/Stream"
 *
 * declare const events: RingBufferMap.RingBufferMap<number>
 * declare const store: (batch: ReadonlyArray<number>) => Effect.Effect<void>
 *
 * const program = Effect.gen(function*() {
 *   const pressure = yield* BackPressure.make({ strategy: "dropOldest", capacity: 100_000, name: "events" })
 *   yield* RingBuffer.stream(events).pipe(pressure.through, Stream.runForEachArray(store), Effect.forkScoped)
 *   const { dropped } = yield* pressure.snapshot
 *   return dropped
 * })
 * ```
 */
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import * as Random from "effect/Random"
import type * as Context from "effect/Context"
import type * as Stream from "effect/Stream"
import { deferredStream } from "../effect/onDemand.ts"
import type { InvalidArgument } from "../kernel/KernelError.ts"
import { anInteger, type Check, type Checks, oneOf, readingOptions, required } from "../kernel/options.ts"
import { type Backlog, keepingNewest, keepingOldest, keepingSample } from "./internal/backlog.ts"
import { type Account, buffering, straight } from "./internal/pressed.ts"

/** What to do when events come faster than they are consumed; the page of this module says what each means. */
export type Policy =
  | { readonly strategy: "block" }
  | {
    readonly strategy: "buffer" | "dropNewest" | "dropOldest" | "sample"
    /** How many records may wait, 1 to 2^24. */
    readonly capacity: number
  }
  | {
    readonly strategy: "every"
    /** Of how many records one is kept, the first. 1 to 2^24. */
    readonly nth: number
  }

/** A policy, and how its counts are shown. */
export type Options<E = never> = Policy & {
  /** The attribute `stream` of the metrics; `"events"` if left out. */
  readonly name?: string | undefined
  /** How many records the kernel's side lost, as the program counts them: asked for each snapshot. */
  readonly lost?: Effect.Effect<bigint | number, E> | undefined
}

/**
 * What went by so far, in records, over all streams with this back-pressure. At any time
 * `received = delivered + dropped + abandoned + buffered`.
 */
export interface Snapshot {
  /** Taken from the source. */
  readonly received: number
  /** Handed to the consumer. */
  readonly delivered: number
  /** Left out as the policy says. */
  readonly dropped: number
  /** Waiting when their stream was interrupted, or its consumer had enough. */
  readonly abandoned: number
  /** Waiting now; those of the source's last array that found no room yet included. */
  readonly buffered: number
  /** The most that ever waited at once. */
  readonly mostBuffered: number
  /** What `lost` says, or 0 without it: not among those received. */
  readonly lost: number
}

/** A policy with its counts. It may be used for several streams, and for one that runs more than once. */
export interface BackPressure<E = never> {
  readonly policy: Policy
  /** The stream with this policy between its source and its consumer. */
  readonly through: <A, E2, R>(stream: Stream.Stream<A, E2, R>) => Stream.Stream<A, E2, R>
  /** Fails as `lost` does. */
  readonly snapshot: Effect.Effect<Snapshot, E>
}

const MOST = 1 << 24

const count: Check = required(anInteger(1, MOST))
const anything: Check = { expected: "anything", accepts: () => true }

/** Which options each strategy takes beside those of all. */
const strategies: { readonly [S in Policy["strategy"]]: { readonly [option: string]: Check } } = {
  block: {},
  buffer: { capacity: count },
  dropNewest: { capacity: count },
  dropOldest: { capacity: count },
  every: { nth: count },
  sample: { capacity: count }
}

const common = {
  strategy: required(oneOf(Object.keys(strategies))),
  name: { expected: "a text", accepts: (value: unknown) => typeof value === "string" },
  lost: { expected: "an Effect of a number", accepts: Effect.isEffect }
}

/** An option of another strategy is none: it would do nothing in silence. Of an unknown strategy only that is said. */
const checksFor = <E>(options: unknown): Checks<Options<E>> => {
  const strategy = typeof options === "object" && options !== null ? Reflect.get(options, "strategy") : undefined
  const own = typeof strategy === "string" && Object.hasOwn(strategies, strategy)
    ? strategies[strategy as Policy["strategy"]]
    : { capacity: anything, nth: anything }
  return { ...common, ...own } as unknown as Checks<Options<E>>
}

/** The counters of all back-pressures, told apart by the attributes `stream` and `strategy`. */
const meters = {
  received: Metric.counter("ebpf_back_pressure_received", {
    description: "Records taken from a source",
    incremental: true
  }),
  delivered: Metric.counter("ebpf_back_pressure_delivered", {
    description: "Records handed to a consumer",
    incremental: true
  }),
  dropped: Metric.counter("ebpf_back_pressure_dropped", {
    description: "Records left out as the policy says",
    incremental: true
  }),
  abandoned: Metric.counter("ebpf_back_pressure_abandoned", {
    description: "Records that waited when their consumer left",
    incremental: true
  }),
  buffered: Metric.gauge("ebpf_back_pressure_buffered", { description: "Records that wait for a consumer" })
}

type Counts = { -readonly [K in Exclude<keyof Snapshot, "lost">]: number }

const accountOf = (
  counts: Counts,
  attributes: { readonly strategy: string; readonly stream: string },
  context: Context.Context<never>
): Account => {
  const metric = {
    received: Metric.withAttributes(meters.received, attributes),
    delivered: Metric.withAttributes(meters.delivered, attributes),
    dropped: Metric.withAttributes(meters.dropped, attributes),
    abandoned: Metric.withAttributes(meters.abandoned, attributes),
    buffered: Metric.withAttributes(meters.buffered, attributes)
  }
  const adding = (what: "abandoned" | "delivered" | "dropped" | "received") => (more: number) => {
    counts[what] += more
    metric[what].updateUnsafe(more, context)
  }
  return {
    received: adding("received"),
    delivered: adding("delivered"),
    dropped: adding("dropped"),
    abandoned: adding("abandoned"),
    buffered: (change) => {
      counts.buffered += change
      counts.mostBuffered = Math.max(counts.mostBuffered, counts.buffered)
      metric.buffered.updateUnsafe(counts.buffered, context)
    }
  }
}

/** One of each `nth`, counted over the borders of arrays. */
const every = (nth: number) => {
  let next = 0
  return <A>(records: ReadonlyArray<A>): ReadonlyArray<A> => {
    const picked: Array<A> = []
    for (; next < records.length; next += nth) picked.push(records[next]!)
    next -= records.length
    return picked
  }
}

const backlogOf = <A>(
  { capacity, strategy }: Exclude<Policy, { readonly strategy: "block" | "every" }>,
  random: () => number
): Backlog<A> =>
  strategy === "sample"
    ? keepingSample(capacity, random)
    : strategy === "dropOldest"
    ? keepingNewest(capacity)
    : keepingOldest(capacity)

/**
 * A policy, with counts that begin at 0. They are shown by `snapshot`, and by the metrics `ebpf_back_pressure_received`,
 * `_delivered`, `_dropped`, `_abandoned` (counters) and `_buffered` (a gauge) with the attributes `stream` and `strategy`. A
 * sample is drawn with Effect's `Random`.
 *
 * Fails with `InvalidArgument` for an unknown strategy or option, and for a capacity that is none.
 *
 * @example
 * ```ts
 * import { BackPressure } from "effect-ebpf"
 * import * as Effect from "effect/Effect"
 * import * as Stream from "effect/Stream"
 *
 * const sampled = Effect.gen(function*() {
 *   const pressure = yield* BackPressure.make({ strategy: "every", nth: 100 })
 *   const kept = yield* Stream.range(1, 1000).pipe(pressure.through, Stream.runCollect) // 1, 101, 201 …
 *   const { dropped } = yield* pressure.snapshot // 990
 *   return { kept, dropped }
 * })
 * ```
 */
export const make = <E = never>(options: Options<E>): Effect.Effect<BackPressure<E>, InvalidArgument> =>
  Effect.gen(function*() {
    const read = yield* readingOptions("options of back-pressure", options, checksFor<E>(options))
    const { lost, name = "events", ...policy } = read
    const attributes = { stream: name, strategy: policy.strategy }
    const counts: Counts = { received: 0, delivered: 0, dropped: 0, abandoned: 0, buffered: 0, mostBuffered: 0 }

    const through = <A, E2, R>(stream: Stream.Stream<A, E2, R>): Stream.Stream<A, E2, R> =>
      deferredStream((module) =>
        module.transformPull(stream, (pull, scope) =>
          Effect.flatMap(Effect.context<never>(), (context) => {
            const account = accountOf(counts, attributes, context)
            if (policy.strategy === "block") return Effect.succeed(straight(pull, account, (records) => records))
            if (policy.strategy === "every") return Effect.succeed(straight(pull, account, every(policy.nth)))
            const { capacity, strategy } = policy
            return Effect.flatMap(Random.Random, (random) =>
              buffering(pull, scope, account, {
                backlog: backlogOf<A>(policy, () => random.nextDoubleUnsafe()),
                capacity,
                waits: strategy === "buffer"
              }))
          })) as Stream.Stream<A, E2, R>
      )

    return {
      policy,
      through,
      snapshot: Effect.map(lost ?? Effect.succeed(0), (number) => ({ ...counts, lost: Number(number) }))
    }
  })
