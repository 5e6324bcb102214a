// The simulated kernel's maps are held against the real one's: generated sequences of bpf(2) commands run on both, and
// results, values, keys and counts must agree.
import { beforeEach, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { expect } from "vitest"
import { errno } from "../../src/abi/errno.ts"
import { bpf_cmd } from "../../src/abi/generated/enums.ts"
import { programTypes } from "../../src/abi/names.ts"
import { Kernel } from "../../src/index.ts"
import * as SimulatedKernel from "../../src/simulated/SimulatedKernel.ts"
import { type Answer, MapDoor, type Shape } from "../support/mapDoor.ts"
import {
  type Kind,
  kinds,
  kindsOf,
  type Limits,
  limitsOf,
  type Recipe,
  recipes,
  type Step
} from "../support/mapRecipes.ts"
import { skipUnlessPossible } from "../support/privilege.ts"

/** How many sequences run. MAPS_AGREE_RUNS and MAPS_AGREE_SEED raise it and choose others. */
const RUNS = Number(process.env["MAPS_AGREE_RUNS"] ?? 4000)
const SEED = process.env["MAPS_AGREE_SEED"] ?? "effect-ebpf"

const RDONLY = 8
const WRONLY = 16
/** No descriptor is as high as this. */
const NO_FD = 100_000
const FILLER = 0x5a

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex")
const word = (value: number, size = 4): Uint8Array => {
  const bytes = new Uint8Array(size)
  new DataView(bytes.buffer).setUint32(0, value, true)
  return bytes
}

const lacksMemory = (answer: unknown): boolean =>
  answer === -errno.ENOMEM || (answer as Partial<Answer> | undefined)?.result === -errno.ENOMEM

/** A kernel, and the objects that maps of objects are given. */
class Side {
  readonly door: MapDoor
  readonly cpus: number
  readonly btf: number
  readonly objects: ReadonlyArray<number>
  /** What look-ups show of maps and of programs, as their numbers here: the ids of the two may be the same. */
  private readonly maps: ReadonlyMap<string, string>
  private readonly programs: ReadonlyMap<string, string>

  constructor(kernel: Kernel.KernelService) {
    this.door = new MapDoor(kernel)
    this.cpus = kernel.possibleCpus
    const map = (shape: Partial<Shape>) =>
      this.door.keep(this.door.create(
        { type: "array", keySize: 4, valueSize: 4, maxEntries: 2, flags: 0, ...shape },
        { btf: -1 }
      ))
    this.btf = this.door.keep(this.door.btf())
    const program = (type: number) => this.door.keep(this.door.program(type))
    const maps = [map({}), map({})]
    const programs = [program(programTypes.socket_filter), program(programTypes.xdp)]
    const idsOf = (fds: ReadonlyArray<number>) =>
      new Map(fds.map((fd, i) => [hex(word(this.door.id(fd))), `object ${i}`]))
    this.maps = idsOf(maps)
    this.programs = idsOf(programs)
    const process = this.door.keep(kernel.files.pidfdOpen(globalThis.process.pid))
    this.objects = [
      ...maps,
      ...programs,
      map({ maxEntries: 3 }),
      map({ type: "hash" }),
      this.btf,
      process,
      NO_FD,
      0x7fffffff
    ]
  }

  show(kind: Kind, text: string): string {
    if (kind.values !== "descriptor") return text
    return (kind.inner === true ? this.maps : this.programs).get(text) ?? text
  }

  /** Runs a sequence on a new map: what each command gave. */
  run(kind: Kind, recipe: Recipe, limits: Limits): ReadonlyArray<unknown> {
    const given = kind.shape(recipe.sizes)
    const access = recipe.readOnly ? RDONLY : recipe.writeOnly ? WRONLY : 0
    const inner = kind.inner === true ? this.objects[0] : undefined
    const fd = this.door.create({ ...given, flags: given.flags | access }, { inner, btf: this.btf })
    if (fd < 0) return [fd]
    try {
      const map = new MapUnderTest(this, kind, given, fd, limits)
      return [...recipe.steps.map((step) => map.run(step)), map.walk()]
    } finally {
      this.door.kernel.files.close(fd)
    }
  }
}

class MapUnderTest {
  private readonly side: Side
  private readonly kind: Kind
  private readonly shape: Shape
  private readonly fd: number
  private readonly limits: Limits
  private readonly valueBytes: number

  constructor(side: Side, kind: Kind, shape: Shape, fd: number, limits: Limits) {
    this.side = side
    this.kind = kind
    this.shape = shape
    this.fd = fd
    this.limits = limits
    this.valueBytes = kind.perCpu === true ? Math.ceil(shape.valueSize / 8) * 8 * side.cpus : shape.valueSize
  }

  /** What a command gave; `undefined` for one that is not the same on all kernels. */
  run(step: Step): unknown {
    const { door } = this.side
    const flags = step.flags > this.mostFlags ? 0 : step.flags
    switch (step.name) {
      case "lookup":
        return this.shown(
          door.lookup(
            bpf_cmd.BPF_MAP_LOOKUP_ELEM,
            this.fd,
            this.key(step.key),
            this.given(step),
            this.lookupFlags(flags)
          )
        )
      case "take":
        return this.take(step, flags)
      case "update":
        return door.update(this.fd, this.key(step.key), this.value(step.value), flags)
      case "delete":
        return door.delete(this.fd, this.key(step.key))
      case "next":
        return this.next(step)
      case "walk":
        return this.walk()
      case "freeze":
        return this.limits.freezes && step.count === 0 ? door.freeze(this.fd) : undefined
      case "info":
        return door.info(this.fd, ["type", "key_size", "value_size", "max_entries", "map_flags", "ifindex"])
      default:
        return this.limits.batches ? this.batch(step, flags) : undefined
    }
  }

  /** Keys and values, as far as look-ups show them; in order where the kernel promises one. */
  walk(): unknown {
    const found: Array<unknown> = []
    let key: Uint8Array | undefined
    for (let i = 0; i < 64; i++) {
      const { next, result } = this.side.door.next(this.fd, key, this.shape.keySize)
      if (result < 0) return [result, ...this.kind.unordered === true ? found.toSorted() : found]
      key = Buffer.from(next, "hex")
      const given = new Uint8Array(this.valueBytes)
      const value = this.shown(this.side.door.lookup(bpf_cmd.BPF_MAP_LOOKUP_ELEM, this.fd, key, given, 0))
      found.push(`${next} ${JSON.stringify(value)}`)
    }
    throw new Error("the walk does not end")
  }

  private take(step: Step, flags: number): unknown {
    const { keys } = this.kind
    if (!this.limits.takesFromHashes && keys !== "none") return undefined
    if (!this.limits.takesFromStacks && this.shape.type === "stack_trace") return undefined
    const command = bpf_cmd.BPF_MAP_LOOKUP_AND_DELETE_ELEM
    const known = this.limits.takesFromHashes ? this.lookupFlags(flags) : 0 // the command had none before
    return this.shown(this.side.door.lookup(command, this.fd, this.key(step.key), this.given(step), known))
  }

  private next(step: Step): unknown {
    const key = step.key === 0 ? undefined : this.key(step.key)
    const answer = this.side.door.next(this.fd, key, this.shape.keySize)
    // After a known key of a hash there may be another, or none; before the first, all know.
    return this.kind.unordered === true ? (key === undefined ? answer.result : undefined) : answer
  }

  private batch(step: Step, flags: number): unknown {
    const many = Array.from({ length: step.count }, (_, i) => i)
    const { door } = this.side
    const common = {
      keys: many.map((i) => this.key(1 + (step.key + i * (1 + step.value)) % 7) ?? new Uint8Array(0)),
      values: many.map((i) => this.value((step.value + i) % 10)),
      keySize: this.shape.keySize,
      valueBytes: this.valueBytes,
      count: step.count,
      from: undefined,
      elementFlags: flags,
      flags: step.value === 9 ? 1 : 0
    }
    switch (step.name) {
      case "updateBatch": {
        const { done, result } = door.batch(bpf_cmd.BPF_MAP_UPDATE_BATCH, this.fd, common)
        return { done, result }
      }
      case "deleteBatch": {
        const { done, result } = door.batch(bpf_cmd.BPF_MAP_DELETE_BATCH, this.fd, common)
        return { done, result }
      }
      default: {
        const takes = step.name === "takeBatch"
        const command = takes ? bpf_cmd.BPF_MAP_LOOKUP_AND_DELETE_BATCH : bpf_cmd.BPF_MAP_LOOKUP_BATCH
        const lookup = { ...common, keys: [], values: [] }
        if (this.kind.unordered === true) return this.batchOfBuckets(command, lookup)
        const from = step.key === 0 ? undefined : this.key(step.key)
        const { cursor, done, entries, result } = door.batch(command, this.fd, { ...lookup, from })
        return { result, done, cursor, entries: entries.map((entry) => this.entry(entry)) }
      }
    }
  }

  /** Which buckets come first is not said: all in one call, or none. */
  private batchOfBuckets(command: number, lookup: Parameters<MapDoor["batch"]>[2]): unknown {
    const count = lookup.count === 0 ? 0 : 16
    const from = lookup.count === 1 ? word(0xffffffff) : undefined // beyond the last bucket
    const { done, entries, result } = this.side.door.batch(command, this.fd, { ...lookup, count, from })
    return { result, done, entries: result === -524 ? [] : entries.map((entry) => this.entry(entry)).toSorted() }
  }

  private entry(text: string): string {
    const [key, value] = text.split("=")
    return `${key}=${this.side.show(this.kind, value!)}`
  }

  private shown(answer: Answer): Answer {
    return answer.result < 0 ? answer : { ...answer, value: this.side.show(this.kind, String(answer["value"])) }
  }

  /** Where a look-up writes; what it looks for in a Bloom filter. */
  private given(step: Step): Uint8Array {
    return this.shape.type === "bloom_filter" ? this.value(step.value) : new Uint8Array(this.valueBytes).fill(FILLER)
  }

  private key(number: number): Uint8Array | undefined {
    const { keySize } = this.shape
    switch (this.kind.keys) {
      case "none":
        return number === 7 ? word(0) : undefined // which is wrong
      case "index":
        return word(number === 7 ? 0xffffffff : number)
      case "descriptor":
        return word(this.side.objects[number + 2]!)
      case "prefix": {
        const key = new Uint8Array(keySize).fill([0x00, 0xc0, 0xa0, 0x80][number % 4]!, 4)
        new DataView(key.buffer).setUint32(0, [0, 1, 2, 3, 8, 9, 40, 5][number]!, true)
        return key
      }
      default: {
        const key = new Uint8Array(keySize)
        key[keySize - 1] = number
        return key
      }
    }
  }

  /** The flags that all kernels take, or refuse, alike: later ones refuse fewer, of per-CPU maps most of all. */
  private get mostFlags(): number {
    return this.limits.unknownFlags ? Number.MAX_SAFE_INTEGER : this.kind.perCpu === true ? 2 : 7
  }

  /** Later kernels look first whether the file may be read, and then at the flags. */
  private lookupFlags(flags: number): number {
    return this.limits.unknownFlags ? flags : 0
  }

  private isPadding(at: number): boolean {
    return this.kind.perCpu === true && at % (Math.ceil(this.shape.valueSize / 8) * 8) >= this.shape.valueSize
  }

  private value(number: number): Uint8Array {
    switch (this.kind.values) {
      case "descriptor":
        return word(this.side.objects[number]!, this.shape.valueSize)
      case "device":
        return word([0, 1, 1, 1, NO_FD][number] ?? 0, this.shape.valueSize)
      case "queue":
        return word([0, 64, 20_000][number] ?? 0)
      default:
        // Kernels after 6.18 keep no padding between the values of CPUs: there is none but zeros.
        return Uint8Array.from({ length: this.valueBytes }, (_, i) => this.isPadding(i) ? 0 : (number * 31 + i) & 0xff)
    }
  }
}

describe("generated sequences of map commands", () => {
  beforeEach(skipUnlessPossible)

  it.live(
    "give the same on both kernels, for every kind of map",
    () =>
      Effect.gen(function*() {
        const linux = Context.get(yield* Layer.build(Layer.fresh(Kernel.layer)), Kernel.Kernel)
        linux.bpf.raiseMemlock() // which maps were charged to before 5.11
        const context = yield* Layer.build(SimulatedKernel.layer({ possibleCpus: linux.possibleCpus }))
        const open = (kernel: Kernel.KernelService) =>
          Effect.acquireRelease(Effect.sync(() => new Side(kernel)), ({ door }) => Effect.sync(() => door.close()))
        const real = yield* open(linux)
        const simulated = yield* open(Context.get(context, Kernel.Kernel))
        const names = kindsOf(linux.version)
        // An update of a map of maps waits for a grace period (synchronize_rcu): those come once where others come often.
        const choices = names.flatMap((name) =>
          (kinds[name] as Kind).inner === true ? [name] : [name, name, name, name]
        )
        const limits = limitsOf(linux.version)
        const runs = new Map<string, number>()
        let commands = 0
        let passedOver = 0

        const agree = (recipe: Recipe): boolean => {
          const name = choices[recipe.kind % choices.length]!
          const expected = real.run(kinds[name], recipe, limits)
          // Maps are freed after a grace period: those that wait for it (arenas take 8 GiB of addresses) may be too many.
          // Kernel 7.3 on an emulated processor without cmpxchg16b has none for task_storage either.
          if (expected.some(lacksMemory)) {
            passedOver++
            return true
          }
          const actual = simulated.run(kinds[name], recipe, limits)
          expected.forEach((answer, i) => {
            if (JSON.stringify(answer) === JSON.stringify(actual[i])) return
            const before = recipe.steps.slice(0, i + 1).map((step) => JSON.stringify(step)).join("\n")
            const was = `${JSON.stringify(answer)} on Linux, ${JSON.stringify(actual[i])} simulated`
            throw new Error(`${name} ${JSON.stringify(kinds[name].shape(recipe.sizes))}: ${was}, after\n${before}`)
          })
          runs.set(name, (runs.get(name) ?? 0) + 1)
          commands += expected.length
          return true
        }

        const result = yield* Arbitrary.checkEffect(
          recipes,
          (recipe) => Effect.try({ try: () => agree(recipe), catch: (error) => error }),
          { runs: RUNS, seed: SEED, size: 60, maxShrinks: 1000 }
        )
        console.log(
          `maps: ${RUNS} sequences (seed ${SEED}) of ${commands} commands on ${runs.size} kinds of map, ` +
            `Linux ${linux.version.release}; ${passedOver} passed over for lack of memory`
        )
        if (result._tag === "Falsified" && result.failure._tag === "PropertyError") throw result.failure.error
        expect(result._tag).toBe("Passed")
        expect(runs.size).toBe(names.length)
        expect(passedOver).toBeLessThan(RUNS / 10)
      }).pipe(Effect.scoped),
    { timeout: 600_000 }
  )
})
