// What users pass, against the types too: options of every public function, and arguments of all of them.
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import { expect } from "vitest"
import * as library from "../../src/index.ts"
import * as Faults from "../../src/simulated/Faults.ts"
import * as SimulatedKernel from "../../src/simulated/SimulatedKernel.ts"
import { type Exported, exportedFunctions, hostileValues, neverOptions, outcomeOf } from "../support/hostile.ts"
import type { Test } from "../support/kernels.ts"

const { Asm, Btf, BpfMap, Catalog, Disassembler, HashMap, Layout, Link, Program, ProgramSpec } = library
const { u32, u64 } = Layout

type Options = Readonly<Record<string, unknown>>

/** A function with options: all that it takes, right, and which must be there. */
interface Taking {
  readonly all: Options
  readonly required: ReadonlyArray<string>
  readonly call: (options: any) => unknown
  /** Options that name each other, so that one alone is no error: none of those that are left out is tried. */
  readonly untried?: ReadonlyArray<string>
}

const common = { name: "given", maxEntries: 4096, flags: 0, numaNode: 0 }
const named = ["name", "maxEntries"]
const { maxEntries: _, ...withoutEntries } = common
const instructions = [Asm.mov("r0", 2), Asm.exit()]
const inner = HashMap.define({ name: "inner", key: u32, value: u32, maxEntries: 1 })
const spec = { type: "hash", keySize: 4, valueSize: 4, ...common } as const
const blob = Result.getOrThrow(Btf.encode([]))
const btf = Result.getOrThrow(Btf.parse(blob))
const debugInfo = { btf: blob, functions: new Uint8Array(0), lines: new Uint8Array(0) }
const none: Taking["required"] = []

const options: { readonly [constructor: string]: readonly [own: Options, ...required: Array<string>] } = {
  "Arena": [{ ...common }, ...named],
  "ArrayMap": [{ ...common, value: u32, mmapable: true, btf: true }, ...named, "value"],
  "BloomFilter": [{ ...common, value: u32, hashes: 3 }, ...named, "value"],
  "CgroupArray": [common, ...named],
  "CgroupStorage": [{ ...withoutEntries, value: u32 }, "name", "value"],
  "CgroupStorage.PerCpu": [{ ...withoutEntries, value: u32 }, "name", "value"],
  "CpuMap": [common, ...named],
  "DevMap": [common, ...named],
  "DevMap.Hash": [common, ...named],
  "HashMap": [{ ...common, key: u32, value: u32, btf: true }, ...named, "key", "value"],
  "HashMap.Lru": [{ ...common, key: u32, value: u32, btf: true }, ...named, "key", "value"],
  "LocalStorage.Socket": [{ ...withoutEntries, value: u32 }, "name", "value"],
  "LocalStorage.Inode": [{ ...withoutEntries, value: u32 }, "name", "value"],
  "LocalStorage.Task": [{ ...withoutEntries, value: u32 }, "name", "value"],
  "LocalStorage.Cgroup": [{ ...withoutEntries, value: u32 }, "name", "value"],
  "LpmTrie": [{ ...common, key: u64, value: u32 }, ...named, "key", "value"],
  "MapOfMaps": [{ ...common, inner }, ...named, "inner"],
  "MapOfMaps.Hash": [{ ...common, inner, key: u32 }, ...named, "inner", "key"],
  "PerCpuArrayMap": [{ ...common, value: u32 }, ...named, "value"],
  "PerCpuHashMap": [{ ...common, key: u32, value: u32 }, ...named, "key", "value"],
  "PerCpuHashMap.Lru": [{ ...common, key: u32, value: u32 }, ...named, "key", "value"],
  "PerfEventArray": [common, ...named],
  "ProgArray": [{ ...common, programs: "xdp" }, ...named, "programs"],
  "QueueMap": [{ ...common, value: u32 }, ...named, "value"],
  "QueueMap.Stack": [{ ...common, value: u32 }, ...named, "value"],
  "ReuseportSockArray": [common, ...named],
  "RingBufferMap": [{ ...common, record: u32 }, ...named, "record"],
  "SockMap": [common, ...named],
  "SockMap.Hash": [{ ...common, key: u32 }, ...named, "key"],
  "StackTraceMap": [{ ...common, maxDepth: 16 }, ...named],
  "StructOpsMap": [{ name: "given", btf, type: "given", flags: 0 }, "name", "btf", "type"],
  "UserRingBufferMap": [{ ...common, record: u32 }, ...named, "record"],
  "XskMap": [common, ...named],
  "BytesMap": [{ ...spec, mapExtra: 0 }, ...named, "type", "keySize", "valueSize", "flags"]
}

/** `make` and `define` of each kind of each family. */
const constructors: { readonly [name: string]: Taking } = Object.fromEntries(
  Object.entries(options).flatMap(([constructor, [all, ...required]]) => {
    const [family, kind = ""] = constructor.split(".")
    const module = (library as unknown as Record<string, Record<string, Taking["call"]>>)[family!]!
    return ["define", "make"].map((verb) => {
      const call = (given: unknown) => module[`${verb}${kind}`]!(given)
      return [`${family}.${verb}${kind}`, { all, required, call }] as const
    })
  })
)

/** What else takes options, over objects that are there. */
const functions = (
  { array, hash, link, perCpu, program, queue, tracing, userRing }: Objects
): { readonly [name: string]: Taking } => ({
  ...constructors,
  "ArrayMap.view": { all: { readonly: true }, required: none, call: (given) => library.ArrayMap.view(array, given) },
  "BpfMap.create": { all: { pinFolder: "/sys/fs/bpf" }, required: none, call: (given) => BpfMap.create(inner, given) },
  "BpfMap.make, its options": {
    all: { pinFolder: "/sys/fs/bpf" },
    required: none,
    call: (given) => BpfMap.make(spec, given)
  },
  "BpfMap.make": {
    all: { ...spec, mapExtra: 0 },
    required: [...named, "type", "keySize", "valueSize", "flags"],
    call: (given) => BpfMap.make(given)
  },
  "BpfMap.dump": { all: { most: 1 }, required: none, call: (given) => BpfMap.dump(hash, given) },
  "Btf.parse": { all: { base: btf }, required: none, call: (given) => Btf.parse(blob, given), untried: ["base"] },
  "Catalog.get": { all: { port: 1 }, required: none, call: (given) => Catalog.get("tcp-port-filter", given) },
  "Catalog.load": { all: { port: 1 }, required: none, call: (given) => Catalog.load("tcp-port-filter", given) },
  "Catalog.loadEntry": {
    all: { ...Catalog.get("xdp-pass") },
    required: ["program", "companions", "maps", "start"],
    call: (given) => Catalog.loadEntry(given)
  },
  "Disassembler.disassemble": {
    all: {
      functions: [],
      mapName: () => "",
      kfuncName: () => "",
      line: () => "",
      source: true,
      slots: true,
      bytes: true
    },
    required: none,
    call: (given) => Disassembler.disassemble(new Uint8Array(8), given)
  },
  "Asm.func": {
    all: { global: true, parameters: 1 },
    required: none,
    call: (given) => Asm.assemble([Asm.callLocal("f"), Asm.exit(), Asm.func("f", instructions, given)])
  },
  "Layout.decodeColumns": {
    all: { stride: 4 },
    required: none,
    call: (given) => Layout.decodeColumns(u32, new Uint8Array(4), given)
  },
  "Link.update": { all: { expected: program }, required: none, call: (given) => Link.update(link, tracing, given) },
  "Program.load": {
    all: { maps: {}, btf, logLevel: 1 },
    required: none,
    call: (given) => Program.load(ProgramSpec.make({ type: "xdp", name: "given", instructions }), given)
  },
  "Program.load, its spec": {
    all: { ...ProgramSpec.make({ type: "xdp", name: "given", instructions, debugInfo, section: "xdp" }) },
    required: ["type", "name", "instructions"],
    call: (given) => Program.load(given)
  },
  "Program.testRun": {
    all: { data: new Uint8Array(64), repeat: 1 },
    required: ["data"],
    call: (given) => Program.testRun(program, given)
  },
  "ProgramSpec.make": {
    all: { type: "xdp", name: "given", license: "GPL", instructions, flags: [], debugInfo, section: "xdp" },
    required: ["type", "name", "instructions"],
    call: (given) => ProgramSpec.make(given)
  },
  "ProgramSpec.makeDynamic": {
    all: { type: "tracing", name: "given", instructions, expectedAttachType: "trace_iter", attachTo: "x" },
    required: ["type", "name", "instructions"],
    call: (given) => ProgramSpec.makeDynamic(given)
  },
  "ProgramSpec.make, its debugInfo": {
    all: { ...debugInfo, functionRecordSize: 8, lineRecordSize: 16 },
    required: Object.keys(debugInfo),
    call: (given) => ProgramSpec.make({ type: "xdp", name: "given", instructions, debugInfo: given ?? null })
  },
  "Snippets.packet": {
    all: { context: "xdp", from: "r1", data: "r2", end: "r3", length: 14, otherwise: "out" },
    required: ["context", "from", "data", "end", "length", "otherwise"],
    call: (given) => Asm.assemble([library.Snippets.packet(given), Asm.label("out"), Asm.mov("r0", 0), Asm.exit()])
  },
  "Snippets.stack": {
    all: { below: -8 },
    required: none,
    call: (given) => library.Snippets.stack({ key: u32 }, given)
  },
  "Tracepoint.attach": {
    all: { cookie: 1n },
    required: none,
    call: (given) => library.Tracepoint.attach(tracing, sched, given),
    untried: ["cookie"] // for kernels before 5.15
  },
  "Tracepoint.attach, its target": {
    all: sched,
    required: ["category", "name"],
    call: (given) => library.Tracepoint.attach(tracing, given)
  },
  // Of what is not there: that is found when all options are read.
  "RawTracepoint.attach": {
    all: { cookie: 1n },
    required: none,
    call: (given) => library.RawTracepoint.attach(tracing as any, "sched_no_such_event", given)
  },
  "Xdp.attach": {
    all: { mode: "skb" },
    required: none,
    call: (given) => library.Xdp.attach(program, "nonesuch0", given)
  },
  "Tcx.attach": {
    all: { direction: "ingress", before: "all", expectedRevision: 1n },
    required: ["direction"],
    call: (given) => library.Tcx.attach(program as any, "nonesuch0", given)
  },
  "Cgroup.attach": {
    all: { before: "all", expectedRevision: 1n },
    required: none,
    call: (given) => library.Cgroup.attach(program as any, "/nonesuch", given)
  },
  "Faults.layer": {
    all: { nth: 1000, error: "ENOMEM" },
    required: ["nth", "error"],
    call: (given) => Faults.layer(given)
  },
  "SimulatedKernel.layer": {
    all: {
      release: "6.18.0",
      possibleCpus: 2,
      tracefs: "mounted",
      bpffs: "mounted",
      verifier: "on",
      devices: ["eth0"],
      functions: ["f"],
      tracepoints: ["a/b"]
    },
    required: none,
    call: (given) => SimulatedKernel.layer(given)
  },
  "lookup of a map": { all: { lock: false }, required: none, call: (given) => hash.lookup(1, given) },
  "lookupAndDelete of a map": { all: { lock: false }, required: none, call: (given) => hash.lookupAndDelete(9, given) },
  "update of a map": { all: { lock: false, mode: "any" }, required: none, call: (given) => hash.update(1, 1, given) },
  "setMany of a map": {
    all: { lock: false, mode: "any" },
    required: none,
    call: (given) => hash.setMany([[1, 1]], given)
  },
  "setColumns of a map": {
    all: { lock: false, mode: "any" },
    required: none,
    call: (given) => hash.setColumns(Uint32Array.of(1), Uint32Array.of(1), given)
  },
  "updateAll of a map": {
    all: { lock: false, mode: "any" },
    required: none,
    call: (given) => perCpu.updateAll(1, 1, given)
  },
  "UserRingBuffer.make": {
    all: { onFull: "wait", deadline: 10 },
    required: none,
    call: (given) => library.UserRingBuffer.make(userRing, given)
  },
  "UserRingBuffer.sink": {
    all: { onFull: "fail", deadline: 10 },
    required: none,
    call: (given) => Stream.run(Stream.make(1), library.UserRingBuffer.sink(userRing, given))
  },
  "push of a queue": { all: { evict: true }, required: none, call: (given) => queue.push(1, given) }
})

const sched = { category: "sched", name: "sched_process_exec" }

/** Kernels may lack a kind, or this process the privilege for one: then right options are refused by the kernel. */
const kernelSays =
  /^(SystemCallError|AttachError|BtfError|RelocationError|VerifierError)|tcp_congestion|takes functions for|attachTo|a UserRingBufferMap/

const objects = Effect.gen(function*() {
  const values = { name: "given", value: u32, maxEntries: 16 }
  const hash = yield* HashMap.make({ ...values, key: u32 })
  const tracing = yield* Program.load(
    ProgramSpec.make({ type: "tracepoint", name: "given", instructions: [Asm.mov("r0", 0), Asm.exit()] })
  )
  return {
    array: yield* library.ArrayMap.make({ ...values, mmapable: true }),
    hash,
    perCpu: yield* library.PerCpuHashMap.make({ ...values, key: u32 }),
    queue: yield* library.QueueMap.make(values),
    // Before kernel 6.1 there is none, and another map is refused in its place.
    userRing: yield* Effect.catchTag(
      library.UserRingBufferMap.make({ name: "given", record: u32, maxEntries: 65536 }),
      "SystemCallError",
      () => Effect.succeed(hash as never)
    ),
    ring: yield* library.RingBufferMap.make({ name: "given", record: u32, maxEntries: 65536 }),
    program: yield* Program.load(ProgramSpec.make({ type: "xdp", name: "given", instructions })),
    tracing,
    link: yield* library.Tracepoint.attach(tracing, sched)
  }
})

type Objects = Effect.Success<typeof objects>

/** What a type of options may not do, tried on one function. */
const tryOptions = (name: string, { all, call, required, untried = [] }: Taking) =>
  Effect.gen(function*() {
    const problems: Array<string> = []
    const outcome = (given: unknown) => outcomeOf(() => call(given))
    const refused = (given: unknown, what: string, words: string | RegExp) =>
      Effect.map(outcome(given), ({ kind, text }) => {
        if (kind !== "refused" || !(typeof words === "string" ? text.includes(words) : words.test(text))) {
          problems.push(`${name} given ${what}: ${kind}, ${text}`)
        }
      })
    const accepted = (given: unknown, what: string) =>
      Effect.map(outcome(given), ({ kind, text }) => {
        if (kind === "defect" || kind === "refused" && !kernelSays.test(text)) {
          problems.push(`${name} given ${what}: ${kind}, ${text}`)
        }
      })
    const right: Options = { ...all }
    const least: Options = Object.fromEntries(required.map((option) => [option, all[option]]))
    for (const option of untried) delete (right as any)[option]
    yield* accepted(right, "all options")
    yield* accepted(least, "those that must be there")

    for (const option of required) {
      const { [option]: _, ...others } = right
      yield* refused(others, `no ${option}`, option)
      yield* refused({ ...right, [option]: undefined }, `undefined for ${option}`, option)
    }
    yield* refused({ ...right, nonesuch: 1 }, "an option that is none", "nonesuch")
    for (const option of Object.keys(right).filter((known) => known.length > 3)) {
      const near = `${option}s`
      yield* refused({ ...right, [near]: right[option] }, near, option)
    }
    for (const option of Object.keys(all)) {
      for (const [what, value] of neverOptions) {
        yield* refused({ ...right, [option]: value() }, `${what} for ${option}`, option)
      }
      const getter = {
        get: () => {
          throw new Error("of the test")
        },
        enumerable: true
      }
      yield* refused(Object.defineProperty({ ...right }, option, getter), `${option} that throws`, option)
    }
    for (const [what, value] of hostileValues) {
      if (["undefined", "an object", "an object without prototype", "a date"].includes(what)) continue
      if (name === "Faults.layer" && (what === "a function" || what === "a class")) continue // it decides
      yield* refused(value(), what, /./)
    }

    // What is inherited is not given.
    const inherited = Object.create(right)
    if (required.length > 0) yield* refused(inherited, "all options inherited", new RegExp(required.join("|")))
    else yield* accepted(inherited, "all options inherited")

    // Each is read once: what comes second is another's.
    let reads = new Map<string, number>()
    const changing = Object.defineProperties(
      {},
      Object.fromEntries(
        Object.keys(right).map((option) => [option, {
          enumerable: true,
          get: () => {
            const count = (reads.get(option) ?? 0) + 1
            reads.set(option, count)
            return count === 1 ? right[option] : Symbol("a second look")
          }
        }])
      )
    )
    yield* accepted(changing, "options that change")
    for (const [option, count] of reads) if (count !== 1) problems.push(`${name} reads ${option} ${count} times`)
    return problems
  })

/** While `Object.prototype` has the names of a function's options, right ones do what they did. */
const polluted = (taking: { readonly [name: string]: Taking }) => {
  const plain = Object.prototype as unknown as Record<string, unknown>
  return Effect.forEach(Object.entries(taking), ([name, { all, call, required }]) =>
    Effect.gen(function*() {
      const least = Object.fromEntries(required.map((option) => [option, all[option]]))
      // `value` on Object.prototype is what JavaScript's own property descriptors inherit: nothing works then.
      const names = [...Object.keys(all).filter((option) => option !== "value"), "map_flags", "numa_node", "prog_flags"]
      const before = yield* outcomeOf(() => call({ ...least }))
      const after = yield* Effect.acquireUseRelease(
        Effect.sync(() => {
          for (const option of names) {
            Object.defineProperty(plain, option, { value: -7, configurable: true, writable: true })
          }
        }),
        () => outcomeOf(() => call({ ...least })),
        () =>
          Effect.sync(() => {
            for (const option of names) delete plain[option]
          })
      )
      expect(after.kind, `${name}, with names on Object.prototype: ${after.text}`).toBe(before.kind)
    }), { discard: true })
}

/** Functions whose parameter sounds like options, which they are not: what they take is data, checked as such. */
const noOptions = new Set([
  "BpfMap.describe", // the spec of a handle
  "MapDefinition.describe"
])

/** Modules that are new, and not held to this yet. May only shrink. */
const notYet = new Set([
  "BackPressure",
  "BpfIterator",
  "Elf",
  "EventStatistics",
  "PerfBuffer",
  "RingBuffer"
])

/**
 * Functions of pure data that throw what JavaScript throws for an argument of another kind (a TypeError, where they are
 * called), as no type of theirs is asked for at all. May only shrink.
 */
const plain =
  /^(Address|BpfMap\.describe|Btf|BtfType|Disassembler\.parse|Faults\.wrap|Features|Helper|Instruction|KernelBtf\.shared|KernelSymbols\.(parse|format)|Layout\.(encode|decode|decodeColumns|writeColumns|rowsOf|field|directReads|columnsFor|scatteredReads)|LpmTrie\.prefix|MapKind|PerCpu|ProgramContext|ProgramKind|Relocation|ReturnCode|Tracepoint\.recordSize|Asm\.coreRead)\b/

const takesOptions = ({ name, parameters }: Exported): boolean =>
  !noOptions.has(name) && parameters.some((parameter) => /^(options|input|plan|spec|entry)\b/.test(parameter))

/** Objects of the right kind, by the names of parameters, in whose place a wrong one is not all that is tried. */
const rightFor = ({ array, hash, link, program, ring }: Objects): { readonly [parameter: string]: unknown } => ({
  arena: hash,
  array,
  map: hash,
  definition: inner,
  given: inner,
  program,
  link,
  layout: u32,
  ring,
  btf,
  kernel: undefined,
  type: "xdp",
  items: instructions
})

export const given = (test: Test): void => {
  test("options are what the types say, in every function that takes them", () =>
    Effect.gen(function*() {
      const taking = functions(yield* objects)
      const exported = yield* Effect.promise(exportedFunctions)
      const forgotten = exported.filter((one) => takesOptions(one) && !notYet.has(one.name.split(".")[0]!)).map((
        { name }
      ) => name).filter((name) => !(name in taking))
      expect(forgotten, "functions with options that test/behaviour/given.ts does not try").toEqual([])
      const problems: Array<string> = []
      for (const [name, one] of Object.entries(taking)) problems.push(...(yield* tryOptions(name, one)))
      expect(problems).toEqual([])
      yield* polluted(taking)
    }))

  test("no argument of a public function is a defect", () =>
    Effect.gen(function*() {
      const right = rightFor(yield* objects)
      const exported = yield* Effect.promise(exportedFunctions)
      const defects = new Map<string, string>()
      for (const { call, name, parameters } of exported) {
        const count = Math.max(1, call.length, parameters.length)
        for (const [what, value] of hostileValues) {
          // It would mount a file system, or make a folder.
          if (name.startsWith("BpfFs.") && what === "undefined") continue
          for (let first = 0; first < count; first++) {
            const leading = parameters.slice(0, first).map((parameter) => right[parameter] ?? u32)
            const all = Array.from({ length: count }, (_, i) => i < first ? leading[i] : value())
            const { kind, text } = yield* outcomeOf(() => call(...all))
            if (notYet.has(name.split(".")[0]!) || plain.test(name)) continue
            if (kind === "defect" && !defects.has(name)) defects.set(name, `${what} from argument ${first} on: ${text}`)
          }
        }
      }
      expect([...defects].map(([name, text]) => `${name}: ${text.split("\n").slice(0, 3).join(" ")}`)).toEqual([])
    }))
}
