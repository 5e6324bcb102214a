/**
 * What a reader of events has counted: as a snapshot, and as Effect Metrics.
 *
 * Every reader of this library (`RingBuffer`, `PerfBuffer` …) gives a snapshot of its own. The same numbers are in
 * Effect's metric registry, summed over all readers of maps of one name and kind, under these ids, with the attributes
 * `map` (its name) and `kind` (as in `BpfMap`, such as `"ringbuf"`):
 *
 * | id | type | is |
 * | --- | --- | --- |
 * | `ebpf_events_total` | counter | events read |
 * | `ebpf_event_bytes_total` | counter | bytes of their data |
 * | `ebpf_event_batches_total` | counter | times that events were read together |
 * | `ebpf_event_wakeups_total` | counter | times that a waiting reader was woken |
 * | `ebpf_events_lost_total` | counter | events that the kernel reported lost |
 * | `ebpf_event_decode_errors_total` | counter | events that their layout could not decode |
 * | `ebpf_event_lag_bytes` | gauge | bytes that are ready and not read |
 *
 * They are read when metrics are (`Metric.snapshot`, an exporter) and cost a reader nothing. What closed readers counted
 * stays in the counters.
 *
 * @example
 * ```ts
 * import { EventStatistics } from "effect-ebpf"
 * import * as Effect from "effect/Effect"
 *
 * const report = (reader: { readonly statistics: () => EventStatistics.EventStatistics }) =>
 *   Effect.gen(function*() {
 *     const before = reader.statistics()
 *     yield* Effect.sleep("1 second")
 *     const { eventsPerSecond, lag } = EventStatistics.between(before, reader.statistics())
 *     yield* Effect.log(`${eventsPerSecond} events/s, ${lag} bytes behind`)
 *   })
 * ```
 */

/** What a reader has counted since it was opened, or, from `between`, in an interval. */
export interface EventStatistics {
  /** Events read, those included that could not be decoded. */
  readonly events: number
  /** Bytes of their data, without headers and padding. */
  readonly bytes: number
  /** How many times events were read together: drains that found some, or chunks of a stream. */
  readonly batches: number
  /** How many times a waiting reader was woken. */
  readonly wakeups: number
  /** Events that the kernel reported lost. Ring buffers report none: their programs count them. */
  readonly lost: number
  /** Events that their layout could not decode. */
  readonly decodeErrors: number
  /** Bytes that are ready and not read, headers included, at the end of the interval. */
  readonly lag: number
  /** Milliseconds. */
  readonly elapsed: number
  /** `events` by `elapsed`; 0 where no time went by. */
  readonly eventsPerSecond: number
}

/** Events by milliseconds. */
const rate = (events: number, elapsed: number): number => elapsed > 0 ? events * 1000 / elapsed : 0

/** What was counted between two snapshots of one reader, the rate in that time, and the lag at its end. */
export const between = (earlier: EventStatistics, later: EventStatistics): EventStatistics => {
  const events = later.events - earlier.events
  const elapsed = later.elapsed - earlier.elapsed
  return {
    events,
    bytes: later.bytes - earlier.bytes,
    batches: later.batches - earlier.batches,
    wakeups: later.wakeups - earlier.wakeups,
    lost: later.lost - earlier.lost,
    decodeErrors: later.decodeErrors - earlier.decodeErrors,
    lag: later.lag,
    elapsed,
    eventsPerSecond: rate(events, elapsed)
  }
}
