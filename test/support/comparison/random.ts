// Random numbers that are the same on every machine for the same text.
import { hash } from "./compare.ts"

export class Random {
  private state: number

  constructor(text: string) {
    this.state = hash(text)
  }

  /** From 0 up to but without `below` (mulberry32). */
  below(below: number): number {
    this.state = (this.state + 0x6d2b79f5) | 0
    let mixed = Math.imul(this.state ^ (this.state >>> 15), 1 | this.state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below
  }

  /** True once in so many. */
  once(every: number): boolean {
    return this.below(every) === 0
  }

  of<A>(values: ReadonlyArray<A>): A {
    return values[this.below(values.length)]!
  }
}
