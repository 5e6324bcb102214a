import { it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import { expect } from "vitest"
import { acquireCounts } from "../../../src/events/internal/counts.ts"
import { EventStatistics } from "../../../src/index.ts"

/** The metrics of this library in a registry of the test's own. */
const inOwnRegistry = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.provideService(effect, Metric.MetricRegistry, new Map())

const values = Effect.map(
  Metric.snapshot,
  (snapshots) =>
    Object.fromEntries(snapshots.map(({ attributes, id, state }) => [
      `${id}${JSON.stringify(attributes)}`,
      "count" in state ? state.count : "value" in state ? state.value : undefined
    ]))
)

const source = (name: string, lag = 0) => ({ kind: "ringbuf", name, lag: () => lag })
const of = (id: string, name: string): string => `${id}${JSON.stringify({ map: name, kind: "ringbuf" })}`

it.live("readers of maps of one name are one series, and what closed ones counted stays", () =>
  inOwnRegistry(Effect.gen(function*() {
    const first = yield* acquireCounts(source("a", 8))
    const other = yield* acquireCounts(source("b", 3))
    yield* Effect.scoped(Effect.gen(function*() {
      const second = yield* acquireCounts(source("a", 16))
      first.events += 2
      second.events += 3
      second.lost += 1
      other.events += 7
      const now = yield* values
      expect(now[of("ebpf_events_total", "a")]).toBe(5)
      expect(now[of("ebpf_events_lost_total", "a")]).toBe(1)
      expect(now[of("ebpf_event_lag_bytes", "a")]).toBe(24)
      expect(now[of("ebpf_events_total", "b")]).toBe(7)
    }))
    first.events += 1
    const later = yield* values
    expect(later[of("ebpf_events_total", "a")]).toBe(6)
    expect(later[of("ebpf_event_lag_bytes", "a")]).toBe(8)
    expect(Object.keys(later)).toHaveLength(14)
  })))

it.live("attributes of the surrounding effect are those of the series", () =>
  inOwnRegistry(Effect.gen(function*() {
    for (const host of ["x", "y"]) {
      const counts = yield* Effect.provideService(acquireCounts(source("a")), Metric.CurrentMetricAttributes, { host })
      counts.events += host === "x" ? 1 : 2
    }
    const found = (yield* Metric.snapshot).filter(({ id }) => id === "ebpf_events_total")
    expect(found.map(({ attributes, state }) => [attributes?.["host"], (state as { readonly count: number }).count]))
      .toEqual([["x", 1], ["y", 2]])
  })))

it.live("a snapshot has the rate since opening, and between two of them that of the time between", () =>
  Effect.gen(function*() {
    const counts = yield* acquireCounts(source("a", 40))
    counts.events += 5
    counts.bytes += 50
    const earlier = counts.snapshot()
    yield* Effect.sleep("2 millis")
    counts.events += 10
    counts.wakeups += 1
    const later = counts.snapshot()
    expect(later).toMatchObject({ events: 15, bytes: 50, wakeups: 1, lag: 40, lost: 0, decodeErrors: 0, batches: 0 })
    expect(later.eventsPerSecond).toBeCloseTo(15000 / later.elapsed)
    const between = EventStatistics.between(earlier, later)
    expect(between).toMatchObject({ events: 10, bytes: 0, wakeups: 1, lag: 40 })
    expect(between.eventsPerSecond).toBeCloseTo(10000 / between.elapsed)
    expect(EventStatistics.between(later, later).eventsPerSecond).toBe(0)
  }))

it.live("a closed reader's numbers stand still and its lag is 0", () =>
  Effect.gen(function*() {
    const counts = yield* Effect.scoped(acquireCounts(source("a", 40)))
    const first = counts.snapshot()
    yield* Effect.sleep("2 millis")
    expect(counts.snapshot()).toEqual(first)
    expect(first.lag).toBe(0)
  }))
