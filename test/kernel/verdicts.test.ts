// The verdicts of the simulated kernel are held against those of the real one: programs of the catalog, of the specs and
// seeds written for it are changed at random, and both kernels must refuse them with the same error, or both accept them
// and run them to the same result.
import { beforeEach, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { expect } from "vitest"
import { programTypes } from "../../src/abi/names.ts"
import { Kernel } from "../../src/index.ts"
import * as SimulatedKernel from "../../src/simulated/SimulatedKernel.ts"
import { isDefined, mapsAfter, resetMaps, withoutGarbage } from "../support/definedResults.ts"
import { print } from "../support/generatedPrograms.ts"
import { ACCEPTED, type KnownVerdict, knownVerdicts } from "../support/knownVerdicts.ts"
import { changed, changes, type LoadCall, type Seed, seeds } from "../support/mutatedPrograms.ts"
import { skipUnlessPossible } from "../support/privilege.ts"
import { RawDoor } from "../support/rawDoor.ts"

/** How many programs are changed. VERDICTS_RUNS and VERDICTS_SEED raise it and choose others. */
const RUNS = Number(process.env["VERDICTS_RUNS"] ?? 20_000)
const SEED = process.env["VERDICTS_SEED"] ?? "effect-ebpf"
/** The kernel that the simulated one is like: verdicts differ from series to series. */
const SERIES = [6, 18]

/** What the verifier wrote last, without its figures. */
const lastLine = (log: string): string =>
  log.split("\n").findLast((line) => line !== "" && !/^(processed|verification|stack depth|mark_)/.test(line)) ?? ""

const verdictOf = (door: RawDoor, call: LoadCall, fd: number): string =>
  fd >= 0 ? ACCEPTED : `${fd} ${lastLine(door.logOf(call))}`

const runnable: ReadonlySet<number> = new Set([programTypes.socket_filter, programTypes.sched_cls, programTypes.xdp])
const packet = Uint8Array.from({ length: 64 }, (_, i) => i)

/** What a kernel does with a program that may be run: an error, and what is defined of the result. */
const run = (door: RawDoor, call: LoadCall, fd: number, defined: boolean): string => {
  if (defined) resetMaps(door, call.bytes)
  const { data, error, returnValue } = door.testRun(fd, packet)
  if (!defined || error !== 0) return JSON.stringify({ error })
  return JSON.stringify({
    error,
    returnValue,
    data: Buffer.from(data).toString("hex"),
    maps: mapsAfter(door, call.bytes)
  })
}

class Disagreement extends Error {
  constructor(seed: Seed, call: LoadCall, what: ReadonlyArray<string>) {
    super(`the kernels disagree on "${seed.name}", changed:\n${what.join("\n")}\n${print(call.bytes)}`)
  }
}

describe("changed programs", () => {
  beforeEach(skipUnlessPossible)

  it.live(
    "are refused with the same error by both kernels, or accepted by both",
    () =>
      Effect.gen(function*() {
        const linux = Context.get(yield* Layer.build(Kernel.layer), Kernel.Kernel)
        const { major, minor, release } = linux.version
        if (major !== SERIES[0] || minor !== SERIES[1]) {
          console.log(`verdicts: not compared on ${release}: the simulated kernel is ${SERIES.join(".")}`)
          return
        }
        const simulation = Context.get(yield* Layer.build(SimulatedKernel.layer()), Kernel.Kernel)
        const all = yield* seeds(linux, simulation)
        const acquire = (kernel: Kernel.KernelService) =>
          Effect.acquireRelease(Effect.sync(() => new RawDoor(kernel)), (door) => Effect.sync(() => door.close()))
        const real = yield* acquire(linux)
        const simulated = yield* acquire(simulation)
        const counts = { accepted: 0, refused: 0, run: 0, compared: 0, known: 0 }
        const met = new Set<KnownVerdict>()
        const compare = (seed: Seed, a: LoadCall, b: LoadCall): void => {
          const [onReal, onSimulated] = [real.loadCall(a), simulated.loadCall(b)]
          try {
            if (Math.min(onReal, 0) !== Math.min(onSimulated, 0)) {
              const verdicts = [verdictOf(real, a, onReal), verdictOf(simulated, b, onSimulated)] as const
              const known = knownVerdicts.find((each) =>
                each.linux.test(verdicts[0]) && each.simulated.test(verdicts[1])
              )
              if (known === undefined) throw new Disagreement(seed, a, verdicts)
              met.add(known)
              counts.known++
              return
            }
            if (onReal < 0) return void counts.refused++
            counts.accepted++
            // A run may send a copy of the packet to a device.
            if (!runnable.has(a.type) || callsOut(a.bytes)) return
            counts.run++
            const agree = (x: LoadCall, y: LoadCall, fd: number, other: number, defined: boolean): void => {
              const [first, second] = [run(real, x, fd, defined), run(simulated, y, other, defined)]
              if (first !== second) throw new Disagreement(seed, x, [first, second])
            }
            agree(a, b, onReal, onSimulated, false)
            // The same, with nothing in it that may be anything.
            const [clean, cleanToo] = [withoutGarbage(a), withoutGarbage(b)]
            if (!isDefined(real, clean)) return
            const [fd, other] = [real.loadCall(clean), simulated.loadCall(cleanToo)]
            try {
              if (fd < 0 || other < 0) return
              counts.compared++
              agree(clean, cleanToo, fd, other, true)
            } finally {
              if (fd >= 0) linux.files.close(fd)
              if (other >= 0) simulation.files.close(other)
            }
          } finally {
            if (onReal >= 0) linux.files.close(onReal)
            if (onSimulated >= 0) simulation.files.close(onSimulated)
          }
        }
        for (const seed of all) compare(seed, seed.real, seed.simulated)
        const result = yield* Arbitrary.checkEffect(
          changes,
          ({ list, seed: index }) =>
            Effect.try({
              try: () => {
                const seed = all[index % all.length]!
                const apply = (call: LoadCall) => ({ ...call, bytes: list.reduce(changed, call.bytes) })
                compare(seed, apply(seed.real), apply(seed.simulated))
                return true
              },
              catch: (error) => error
            }),
          { runs: RUNS, seed: SEED, size: 40, maxShrinks: 200 }
        )
        console.log(`verdicts: ${RUNS} changed programs (seed ${SEED}) on Linux ${release}: ${JSON.stringify(counts)}`)
        if (result._tag === "Falsified" && result.failure._tag === "PropertyError") throw result.failure.error
        expect(result._tag).toBe("Passed")
        expect(counts.known, "known differences").toBeLessThan(RUNS / 1000 + 5)
        // A line that nothing needs any more must go.
        if (process.env["VERDICTS_SEED"] !== undefined || RUNS < 20_000) return
        expect(knownVerdicts.filter((each) => !met.has(each)), "known differences that are none").toEqual([])
      }).pipe(Effect.scoped),
    { timeout: 3_600_000 }
  )
})

const CLONE_REDIRECT = 13

const callsOut = (bytes: Uint8Array): boolean => {
  for (let at = 0; at < bytes.length; at += 8) if (bytes[at] === 0x85 && bytes[at + 4] === CLONE_REDIRECT) return true
  return false
}
