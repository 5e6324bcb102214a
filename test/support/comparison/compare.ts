// Runs the same cases on both kernels and counts where they answer the same.
import { readFileSync } from "node:fs"

/** One case of a row. `name` is what it is known by; `run` gives what a kernel answers, in words. */
export interface Case<Side> {
  readonly name: string
  readonly run: (side: Side) => number | string
}

export interface Row<Side> {
  readonly name: string
  readonly cases: Iterable<Case<Side>>
  /** What Linux answers to a case that says nothing of the kernel: this machine's policy refuses it, whatever it is. */
  readonly policy?: number | undefined
}

/** Each difference as `name: what Linux answers, what the simulated kernel answers`. */
export interface Compared {
  /** Cases that this machine's policy refuses: they are not compared. */
  readonly refused: number
  readonly cases: number
  readonly differences: ReadonlyMap<string, string>
}

/** FNV-1a: where a case's name falls, the same on every machine. */
export const hash = (text: string): number => {
  let value = 0x811c9dc5
  for (let i = 0; i < text.length; i++) value = Math.imul(value ^ text.charCodeAt(i), 0x01000193)
  return value >>> 0
}

/** True for the cases that are in a sample of one in `every`, chosen by a seed. */
export const isInSample = (name: string, every: number, seed: string): boolean =>
  every <= 1 || hash(`${seed} ${name}`) % every === 0

export const compareRow = <Side extends { readonly reset: () => void }>(
  row: Row<Side>,
  sides: { readonly real: Side; readonly simulated: Side },
  sample: { readonly every: number; readonly seed: string }
): Compared => {
  const differences = new Map<string, string>()
  const names = new Set<string>()
  let refused = 0
  for (const { name, run } of row.cases) {
    if (!isInSample(name, sample.every, sample.seed)) continue
    if (names.has(name)) throw new Error(`two cases of "${row.name}" have the name ${name}`)
    names.add(name)
    const [real, simulated] = [sides.real, sides.simulated].map((side) => {
      side.reset()
      return run(side)
    })
    if (real === row.policy) refused++
    else if (real !== simulated) differences.set(name, `Linux ${real}, simulated ${simulated}`)
  }
  return { cases: names.size - refused, refused, differences }
}

const file = new URL("knownDifferences.json", import.meta.url)

/** The differences that are known, by row and case: the list may only become shorter. */
export const knownDifferences: { readonly [row: string]: { readonly [name: string]: string } } = JSON.parse(
  readFileSync(file, "utf8")
)
export const knownDifferencesFile = file
