/**
 * Ready programs, listed and fetched by name: from an XDP program that drops everything to a load balancer, each with its
 * maps as typed handles. They are there to be used, and to be read: each is written with `Asm` and `Snippets` as one
 * would write one's own, one file for each kin in `src/catalog/programs`.
 *
 * `names` lists them, `get` gives one as a value, and `load` puts it into the kernel with its maps. Programs with parameters
 * take them as options, all of which have defaults; a wrong one is an `AsmError` when the program is loaded. Attaching is
 * left to the modules for that. `docs/catalog.md` has a table of all.
 *
 * @example
 * ```ts
 * import { Catalog, PerCpu, Program } from "effect-ebpf"
 * import * as Effect from "effect/Effect"
 *
 * const program = Effect.gen(function*() {
 *   const { maps, program } = yield* Catalog.load("packet-counter")
 *   yield* Program.testRun(program, { data: new Uint8Array(64), repeat: 10 })
 *   return PerCpu.sum(yield* maps.packets.lookup(0)) // 10n
 * })
 *
 * console.log(Catalog.names.length, Catalog.get("tcp-port-filter", { port: 22 }).description)
 * ```
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { allOrNothing } from "../kernel/systemCall.ts"
import type { Kernel } from "../kernel/Kernel.ts"
import { InvalidArgument } from "../kernel/KernelError.ts"
import {
  aFunction,
  anObject,
  aText,
  type Check,
  type Checks,
  readOptions,
  required,
  whenRight
} from "../kernel/options.ts"
import { shown } from "../kernel/validate.ts"
import * as BpfMap from "../map/BpfMap.ts"
import type { MapMismatch } from "../map/MapError.ts"
import * as Program from "../program/Program.ts"
import type { ProgramType } from "../abi/names.ts"
import type { Loaded, Maps, Programs, Recipe, StartError } from "./internal/entry.ts"
import * as audit from "./programs/audit.ts"
import * as balancer from "./programs/balancer.ts"
import * as cgroup from "./programs/cgroup.ts"
import * as counters from "./programs/counters.ts"
import * as demos from "./programs/demos.ts"
import * as events from "./programs/events.ts"
import * as filters from "./programs/filters.ts"
import * as forwarding from "./programs/forwarding.ts"
import * as limits from "./programs/limits.ts"
import * as lists from "./programs/lists.ts"
import * as parsers from "./programs/parsers.ts"
import * as tc from "./programs/tc.ts"
import * as tracing from "./programs/tracing.ts"
import * as verdicts from "./programs/verdicts.ts"

export type { Loaded, Maps, Programs, StartError } from "./internal/entry.ts"

/** What makes each program, by its name. */
const recipes = {
  "xdp-pass": verdicts.pass,
  "xdp-drop": verdicts.drop,
  "xdp-abort": verdicts.abort,
  "xdp-reflect": verdicts.reflect,
  "size-filter": verdicts.sizeFilter,
  "ethernet-parser": parsers.ethernetParser,
  "ipv4-parser": parsers.ipv4Parser,
  "ipv6-parser": parsers.ipv6Parser,
  "ethertype-filter": filters.ethertypeFilter,
  "protocol-filter": filters.protocolFilter,
  "tcp-port-filter": filters.tcpPortFilter,
  "udp-port-range": filters.udpPortRange,
  "map-lookup": lists.mapLookup,
  "ip-allow-list": lists.ipAllowList,
  "ip-allow-prefixes": lists.ipAllowPrefixes,
  "ipv6-allow-prefixes": lists.ipv6AllowPrefixes,
  "packet-counter": counters.packetCounter,
  "protocol-counter": counters.protocolCounter,
  "source-counter": counters.sourceCounter,
  "cgroup-traffic": counters.cgroupTraffic,
  "syn-flood-protection": limits.synFloodProtection,
  "icmp-rate-limit": limits.icmpRateLimit,
  "tc-ok": tc.ok,
  "tc-shot": tc.shot,
  "tc-size-classifier": tc.sizeClassifier,
  "tc-ethertype-shot": tc.ethertypeShot,
  "tail-call-dispatcher": forwarding.tailCallDispatcher,
  "xdp-redirect": forwarding.redirect,
  "load-balancer": balancer.loadBalancer,
  "connection-log": cgroup.connectionLog,
  "connect-port-block": cgroup.connectPortBlock,
  "ring-buffer-output": events.ringBufferOutput,
  "perf-event-output": events.perfEventOutput,
  "cpu-id": events.cpuId,
  "tcp-snapshot": events.tcpSnapshot,
  "printk-tracer": tracing.printkTracer,
  "timestamp-tracer": tracing.timestampTracer,
  "syscall-counter": tracing.syscallCounter,
  "latency-histogram": tracing.latencyHistogram,
  "execve-tracer": audit.execveTracer,
  "lsm-file-open": audit.lsmFileOpen,
  "kprobe-counter": tracing.kprobeCounter,
  arithmetic: demos.arithmetic,
  bitwise: demos.bitwise,
  conditional: demos.conditional,
  "bounded-loop": demos.boundedLoop,
  "local-function": demos.localFunction
} as const

/** The name of a program. */
export type Name = keyof typeof recipes

/** The options of a program; `undefined` for one without. */
export type Options<N extends Name> = Parameters<(typeof recipes)[N]>[0]

/** A program as a value: what it is, its spec, and the definitions of its maps. */
export interface Entry<
  N extends string = string,
  T extends ProgramType = ProgramType,
  M extends Maps = Maps,
  C extends Programs = Programs
> extends Recipe<T, M, C> {
  readonly name: N
}

/** The entry of a name. */
export type EntryOf<N extends Name> = N extends Name
  ? ReturnType<(typeof recipes)[N]> extends Recipe<infer T, infer M, infer C> ? Entry<N, T, M, C> : never
  : never

/** What `load` gives for a name. */
export type LoadedOf<N extends Name> = EntryOf<N> extends infer E
  ? E extends Entry<N, infer T, infer M, infer C> ? Loaded<T, M, C> : never
  : never

/** The names of all programs, the simpler ones of each kin first. */
export const names: ReadonlyArray<Name> = Object.keys(recipes) as Array<Name>

/** True if there is a program of that name. */
export const has = (name: string): name is Name => typeof name === "string" && Object.hasOwn(recipes, name)

const unknown = (name: string): InvalidArgument =>
  new InvalidArgument({
    field: "name",
    expected: "one of Catalog.names",
    actual: typeof name === "string" ? name.slice(0, 60) : shown(name)
  })

const aNumber: Check = { expected: "a number", accepts: (value) => typeof value === "number" }

/**
 * The program of a name, made with these options. Throws `InvalidArgument` for a name that is none, which the compiler does
 * not let through (ask `has` about one from elsewhere), and for options that the program has not, or that are no numbers.
 */
export const get = <const N extends Name>(name: N, options?: Options<N>): EntryOf<N> => {
  if (!has(name)) throw unknown(name)
  const make = recipes[name] as ((options?: unknown) => object) & { readonly options?: ReadonlyArray<string> }
  const checks = Object.fromEntries((make.options ?? []).map((option) => [option, aNumber]))
  return { name, ...make(readOptions(`options of ${name}`, options, checks)) } as EntryOf<N>
}

/** All that loading can fail with. */
export type LoadError = Program.LoadError | MapMismatch | StartError

type Loading<A> = Effect.Effect<A, LoadError, Kernel | Scope.Scope>

const each = <A, B, E, R>(record: { readonly [name: string]: A }, f: (value: A) => Effect.Effect<B, E, R>) =>
  Effect.map(
    Effect.forEach(Object.entries(record), ([name, value]) => Effect.map(f(value), (made) => [name, made] as const)),
    (entries) => Object.fromEntries(entries)
  )

/**
 * Puts an entry into the kernel: its maps, its companions and itself, closed with the scope. If one of them fails, nothing
 * is left.
 *
 * Fails as `Program.load` and `BpfMap.create` do.
 */
export const loadEntry = <N extends string, T extends ProgramType, M extends Maps, C extends Programs>(
  entry: Entry<N, T, M, C>
): Loading<Loaded<T, M, C>> =>
  whenRight(() => put(readOptions<Entry>("entry", entry, entryChecks) as Entry<N, T, M, C>))

const aRecord: Check = {
  expected: "an object of objects, by name",
  accepts: (value) => anObject.accepts(value) && Object.values(value).every(anObject.accepts)
}

const entryChecks: Checks<Entry> = {
  name: aText,
  description: aText,
  since: { expected: "a version", accepts: Array.isArray },
  program: required(anObject),
  companions: required(aRecord),
  maps: required(aRecord),
  start: required(aFunction)
}

const put = <N extends string, T extends ProgramType, M extends Maps, C extends Programs>(
  entry: Entry<N, T, M, C>
): Loading<Loaded<T, M, C>> =>
  allOrNothing(Effect.gen(function*() {
    const maps = yield* each(entry.maps, (definition) => BpfMap.create(definition))
    const companions = yield* each(entry.companions, (spec) => Program.load(spec, { maps }))
    const program = yield* Program.load(entry.program, { maps })
    const loaded = { program, companions, maps } as Loaded<T, M, C>
    yield* entry.start(loaded)
    return loaded
  }))

/**
 * As `loadEntry`, for the program of a name, made with these options. Fails with `InvalidArgument` for a name that is none and
 * for options as `get` throws them.
 */
export const load = <const N extends Name>(
  name: N,
  options?: Options<N>
): Loading<LoadedOf<N>> =>
  whenRight(() => loadEntry(get(name, options) as unknown as Entry) as unknown as Loading<LoadedOf<N>>)
