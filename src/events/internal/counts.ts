// What a reader counts: plain numbers that it adds to as it reads, and that are looked at when somebody asks, by a
// snapshot or through Effect's metric registry. So counting costs a reader an addition, and no metric is updated.
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import type * as Scope from "effect/Scope"
import type { EventStatistics } from "../EventStatistics.ts"

/** The numbers that only grow, in the order of the table of metrics. */
const totals = ["events", "bytes", "batches", "wakeups", "lost", "decodeErrors"] as const
type Total = (typeof totals)[number]

const metrics: { readonly [T in Total]: readonly [id: string, description: string] } = {
  events: ["ebpf_events_total", "events read"],
  bytes: ["ebpf_event_bytes_total", "bytes of the data of events read"],
  batches: ["ebpf_event_batches_total", "times that events were read together"],
  wakeups: ["ebpf_event_wakeups_total", "times that a waiting reader was woken"],
  lost: ["ebpf_events_lost_total", "events that the kernel reported lost"],
  decodeErrors: ["ebpf_event_decode_errors_total", "events that their layout could not decode"]
}

/** What is read from, for the attributes of its metrics, and its present lag in bytes. */
export interface Counted {
  /** The map's type, such as `"ringbuf"`. */
  readonly kind: string
  /** The map's name. */
  readonly name: string
  readonly lag: () => number
}

/** The counts of one reader. Add to the fields; all of them are exact up to 2^53. */
export class Counts {
  events = 0
  bytes = 0
  batches = 0
  wakeups = 0
  lost = 0
  decodeErrors = 0
  private readonly opened = performance.now()
  private readonly source: Counted
  private closed: number | undefined

  constructor(source: Counted) {
    this.source = source
  }

  /** In bytes; 0 once the reader has closed. */
  lag(): number {
    return this.closed === undefined ? this.source.lag() : 0
  }

  close(): void {
    this.closed ??= performance.now()
  }

  snapshot(): EventStatistics {
    const elapsed = (this.closed ?? performance.now()) - this.opened
    return {
      events: this.events,
      bytes: this.bytes,
      batches: this.batches,
      wakeups: this.wakeups,
      lost: this.lost,
      decodeErrors: this.decodeErrors,
      lag: this.lag(),
      elapsed,
      eventsPerSecond: elapsed > 0 ? this.events * 1000 / elapsed : 0
    }
  }
}

/** All readers whose metrics have the same attributes in the same registry: they are one series of each metric. */
class Series {
  readonly open = new Set<Counts>()
  /** What closed readers counted. */
  private readonly past = new Map<Total, number>()

  total(what: Total): number {
    let sum = this.past.get(what) ?? 0
    for (const counts of this.open) sum += counts[what]
    return sum
  }

  lag(): number {
    let sum = 0
    for (const counts of this.open) sum += counts.lag()
    return sum
  }

  retire(counts: Counts): void {
    if (!this.open.delete(counts)) return
    for (const what of totals) this.past.set(what, (this.past.get(what) ?? 0) + counts[what])
  }
}

const registries = new WeakMap<object, Map<string, Series>>()

const nothing = (): void => {}

/** The series of these attributes, registered on first use: the registry then asks it for its numbers. */
const seriesOf = (context: Context.Context<never>, { kind, name }: Counted): Series => {
  const registry = Context.get(context, Metric.MetricRegistry)
  const found = registries.get(registry) ?? new Map<string, Series>()
  registries.set(registry, found)
  const attributes = { map: name, kind }
  const key = JSON.stringify([
    name,
    kind,
    Object.entries(Context.get(context, Metric.CurrentMetricAttributes)).toSorted()
  ])
  const known = found.get(key)
  if (known !== undefined) return known
  const series = new Series()
  found.set(key, series)
  for (const what of totals) {
    const [id, description] = metrics[what]
    Metric.registerUnsafe(Metric.counter(id, { description, attributes, incremental: true }), context, {
      get: () => ({ count: series.total(what), incremental: true }),
      update: nothing,
      modify: nothing
    })
  }
  Metric.registerUnsafe(
    Metric.gauge("ebpf_event_lag_bytes", { description: "bytes that are ready and not read", attributes }),
    context,
    { get: () => ({ value: series.lag() }), update: nothing, modify: nothing }
  )
  return series
}

/** Counts for one reader, in the metrics as long as the scope lives; what was counted stays in them. */
export const acquireCounts = (source: Counted): Effect.Effect<Counts, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.map(Effect.context<never>(), (context) => {
      const series = seriesOf(context, source)
      const counts = new Counts(source)
      series.open.add(counts)
      return { series, counts }
    }),
    ({ counts, series }) =>
      Effect.sync(() => {
        series.retire(counts)
        counts.close()
      })
  ).pipe(Effect.map(({ counts }) => counts))
