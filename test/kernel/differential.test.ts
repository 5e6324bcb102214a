// The simulated kernel is held against the real one: generated programs run on both, and what they return, the packet
// they leave and the maps they wrote must agree.
import { beforeEach, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { expect } from "vitest"
import { Features, Kernel } from "../../src/index.ts"
import * as SimulatedKernel from "../../src/simulated/SimulatedKernel.ts"
import {
  type Abilities,
  build,
  ELEMENT,
  mutate,
  mutations,
  print,
  type Recipe,
  recipes
} from "../support/generatedPrograms.ts"
import { skipUnlessPossible } from "../support/privilege.ts"
import { type Outcome, RawDoor } from "../support/rawDoor.ts"

/** How many programs run. DIFFERENTIAL_RUNS and DIFFERENTIAL_SEED raise it and choose others. */
const RUNS = Number(process.env["DIFFERENTIAL_RUNS"] ?? 2000)
/** Of those with a field changed: some are loops that both kernels follow for a million instructions. */
const CHANGED_RUNS = Math.ceil(RUNS / 4)
const SEED = process.env["DIFFERENTIAL_SEED"] ?? "effect-ebpf"

const HASH_VALUE = 16
const zero = new Uint8Array(4)
/** What the element of the array begins with: small and large numbers, the verifier knows none of them. */
const start = Uint8Array.from({ length: ELEMENT }, (_, i) => (i % 8 === 7 ? (i > 32 ? 0xff : 0) : (i * 37) & 0xff))

interface Side {
  readonly door: RawDoor
  readonly array: number
  readonly hash: number
}

const side = (kernel: Kernel.KernelService): Side => {
  const door = new RawDoor(kernel)
  return {
    door,
    array: door.map("BPF_MAP_TYPE_ARRAY", 4, ELEMENT, 1),
    hash: door.map("BPF_MAP_TYPE_HASH", 4, HASH_VALUE, 3)
  }
}

interface Result extends Outcome {
  readonly element: string
  readonly entries: ReadonlyArray<readonly [key: string, value: string]>
}

const runOn = (
  { array, door, hash }: Side,
  recipe: Recipe,
  bytes: Uint8Array
): Result | { readonly rejected: number } => {
  const fd = door.load(recipe.type, bytes)
  if (fd < 0) return { rejected: fd }
  try {
    door.update(array, zero, start)
    door.clear(hash, 4)
    const outcome = door.testRun(fd, Uint8Array.from(recipe.packet))
    const element = Buffer.from(door.lookup(array, zero, ELEMENT) ?? []).toString("hex")
    return { ...outcome, element, entries: door.entries(hash, 4, HASH_VALUE) }
  } finally {
    door.kernel.files.close(fd)
  }
}

const isFrom = (version: Kernel.KernelVersion, major: number, minor: number): boolean =>
  version.major > major || (version.major === major && version.minor >= minor)

/** What the running kernel has, and does as the simulated one, which is 6.18. */
const abilitiesOf = (version: Kernel.KernelVersion): Abilities => ({
  longResults: isFrom(version, 6, 4),
  foldedSums: isFrom(version, 6, 13),
  cpuV4: Features.isExpected(version, "cpuV4"),
  loadAcquire: Features.isExpected(version, "loadAcquire"),
  atomics: Features.isExpected(version, "atomics")
})

/** Both kernels, each with its maps, as long as the scope lives. */
const bothKernels = Effect.gen(function*() {
  const linux = Context.get(yield* Layer.build(Kernel.layer), Kernel.Kernel)
  const simulation = Context.get(yield* Layer.build(SimulatedKernel.layer()), Kernel.Kernel)
  const acquire = (kernel: Kernel.KernelService) =>
    Effect.acquireRelease(Effect.sync(() => side(kernel)), ({ door }) => Effect.sync(() => door.close()))
  return {
    release: linux.version.release,
    abilities: abilitiesOf(linux.version),
    real: yield* acquire(linux),
    simulated: yield* acquire(simulation)
  }
})

const check = <A>(values: Arbitrary.Arbitrary<A>, runs: number, property: (value: A) => void) =>
  Effect.gen(function*() {
    const result = yield* Arbitrary.checkEffect(
      values,
      (value) =>
        Effect.try({
          try: () => {
            property(value)
            return true
          },
          catch: (error) => error
        }),
      { runs, seed: SEED, size: 40, maxShrinks: 2000 }
    )
    if (result._tag === "Falsified" && result.failure._tag === "PropertyError") throw result.failure.error
    expect(result._tag).toBe("Passed")
  })

describe("generated programs", () => {
  beforeEach(skipUnlessPossible)

  it.live(
    "return, write to packets and write to maps the same on both kernels",
    () =>
      Effect.gen(function*() {
        const { abilities, real, release, simulated } = yield* bothKernels
        const counts = { accepted: 0, rejected: 0, slots: 0 }
        yield* check(recipes, RUNS, (recipe) => {
          const onReal = runOn(real, recipe, build(recipe, abilities, real))
          const bytes = build(recipe, abilities, simulated)
          const onSimulated = runOn(simulated, recipe, bytes)
          if ("rejected" in onReal) return void counts.rejected++
          counts.accepted++
          counts.slots += bytes.length / 8
          if ("rejected" in onSimulated) {
            throw new Disagreement(`rejected: ${simulated.door.verdict(recipe.type, bytes)}`, bytes)
          }
          if (!sameResult(onReal, onSimulated)) {
            throw new Disagreement(`${JSON.stringify(show(onReal))}\n${JSON.stringify(show(onSimulated))}`, bytes)
          }
        })
        console.log(`differential: ${RUNS} programs (seed ${SEED}) on Linux ${release}: ${JSON.stringify(counts)}`)
        expect(counts.accepted).toBeGreaterThan(RUNS * 0.9)
      }).pipe(Effect.scoped),
    { timeout: 3_600_000 }
  )

  // What a changed program reads of its stack may never have been written, and differs: results are not compared.
  it.live(
    "with one field changed, are accepted where the real kernel accepts them, and never trap then",
    () =>
      Effect.gen(function*() {
        const { abilities, real, release, simulated } = yield* bothKernels
        const counts = { accepted: 0, rejectedByBoth: 0, trapped: 0, unnoticed: 0 }
        const pairs = Arbitrary.all([recipes, mutations])
        yield* check(pairs, CHANGED_RUNS, ([recipe, mutation]) => {
          const onReal = runOn(real, recipe, mutate(build(recipe, abilities, real), mutation))
          const bytes = mutate(build(recipe, abilities, simulated), mutation)
          const onSimulated = runOn(simulated, recipe, bytes)
          if ("rejected" in onReal) {
            if ("rejected" in onSimulated) counts.rejectedByBoth++
            else if (onSimulated.error < 0) counts.trapped++
            else counts.unnoticed++
            return
          }
          counts.accepted++
          if ("rejected" in onSimulated) {
            throw new Disagreement(`rejected: ${simulated.door.verdict(recipe.type, bytes)}`, bytes)
          }
          if (onSimulated.error !== onReal.error) throw new Disagreement(`run: ${onSimulated.error}`, bytes)
        })
        console.log(`changed programs: ${CHANGED_RUNS} (seed ${SEED}) on Linux ${release}: ${JSON.stringify(counts)}`)
        expect(counts.rejectedByBoth).toBeGreaterThan(counts.unnoticed)
      }).pipe(Effect.scoped),
    { timeout: 3_600_000 }
  )
})

class Disagreement extends Error {
  constructor(what: string, bytes: Uint8Array) {
    super(`the kernels disagree:\n${what}\n${print(bytes)}`)
  }
}

const show = (result: Result) => ({ ...result, data: Buffer.from(result.data).toString("hex") })

const sameResult = (a: Result, b: Result): boolean => JSON.stringify(show(a)) === JSON.stringify(show(b))
