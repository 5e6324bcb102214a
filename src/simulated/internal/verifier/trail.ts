// The instructions that were looked at, in their order, each with the one before it on its path: what the log of a rejection
// prints, and what numbers that decide are followed back through.

const FRAME_BITS = 3
const SLOT_BITS = 10
const FRAME = (1 << FRAME_BITS) - 1
const SLOT = (1 << SLOT_BITS) - 1

/** Stands for no instruction: that before the first one. */
export const NO_STEP = -1

/**
 * Three numbers for each instruction and no object: a million of those would be moved about by the garbage collector for as
 * long as their path is followed.
 */
export class Trail {
  length = 0
  private places = new Int32Array(1024)
  private befores = new Int32Array(1024)
  /** The frame that it ran in, the slot that it touched, and the registers that are linked after it. */
  private notes = new Int32Array(1024)

  /** Adds an instruction, and gives its number. */
  add(pc: number, frame: number, before: number): number {
    const step = this.length++
    if (step === this.places.length) this.grow()
    this.places[step] = pc
    this.befores[step] = before
    this.notes[step] = frame
    return step
  }

  private grow(): void {
    const larger = (old: Int32Array<ArrayBuffer>): Int32Array<ArrayBuffer> => {
      const out = new Int32Array(old.length * 4)
      out.set(old)
      return out
    }
    this.places = larger(this.places)
    this.befores = larger(this.befores)
    this.notes = larger(this.notes)
  }

  pc(step: number): number {
    return this.places[step]!
  }

  /** The instruction before it on its path, or `NO_STEP`. */
  before(step: number): number {
    return this.befores[step]!
  }

  frame(step: number): number {
    return this.notes[step]! & FRAME
  }

  /** The slot of a stack that it stored a register into or loaded one from, counted through all frames; or -1. */
  slot(step: number): number {
    return ((this.notes[step]! >> FRAME_BITS) & SLOT) - 1
  }

  noteSlot(step: number, slot: number): void {
    this.notes[step]! |= (slot + 1) << FRAME_BITS
  }

  /** After a comparison, the registers that hold the same number as one of its operands, as a set of bits. */
  linked(step: number): number {
    return this.notes[step]! >> (FRAME_BITS + SLOT_BITS)
  }

  noteLinked(step: number, registers: number): void {
    this.notes[step]! |= registers << (FRAME_BITS + SLOT_BITS)
  }

  /** Where the last so many were. */
  last(count: number): Int32Array {
    return this.places.subarray(Math.max(0, this.length - count), this.length)
  }
}
