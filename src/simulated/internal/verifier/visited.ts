// The states that were kept at each instruction: a path that comes to one with no less ends there (is_state_visited), and
// what decided there decides for it too. A state that is compared often and never fits is given up.
import { CONDITIONAL_JUMP } from "../../../isa/opcodes.ts"
import type { Code } from "../interpreter/code.ts"
import { type Deciding, isNone, noneDecides, SLOTS, stepBack } from "./precision.ts"
import * as Scalar from "./scalar.ts"
import {
  copyState,
  isStateWithin,
  type Node,
  type Register,
  setSlot,
  spilledSize,
  type State,
  unknownNumber
} from "./state.ts"
import { NO_STEP, type Trail } from "./trail.ts"

/** A path of more steps since its last kept state than this gets another. */
const LONGEST_STRETCH = 40
/** A state is kept only after so many jumps and instructions since the last; in a loop, only after many more. */
const LEAST_JUMPS = 2
const LEAST_INSTRUCTIONS = 8
const LEAST_JUMPS_IN_LOOP = 20
const LEAST_INSTRUCTIONS_IN_LOOP = 100
/** How many times more often a state may fail to fit than it fits: at a loop whose states must be kept, more. */
const MISSES = 3
const MISSES_IN_LOOP = 64

/** A state that is kept to compare with, as long as comparing pays. */
interface Seen {
  readonly state: State
  readonly node: Node
  hits: number
  misses: number
}

const everything = (): number => 0x3ff

/** A quick look before states are compared: a loop leaves every register of its frame as it was, dead ones too. */
const mayLoop = (old: State, now: State): boolean => {
  if (old.frames.length !== now.frames.length) return false
  const before = old.frames.at(-1)!.registers
  const { registers } = now.frames.at(-1)!
  for (let r = 0; r < registers.length; r++) {
    const [then, register] = [before[r]!, registers[r]!]
    if (register !== then && (register.id !== then.id || register.kind !== then.kind)) return false
  }
  return true
}

const copyDeciding = ({ registers, slots }: Deciding): Deciding => ({
  registers: [...registers],
  slots: new Set(slots)
})

/** How far the search had come. */
interface Progress {
  readonly instructions: number
  readonly jumps: number
}

export class Visited {
  private readonly code: Code
  private readonly live: Uint16Array
  private readonly trail: Trail
  private readonly seen: Array<Array<Seen> | undefined>
  /** How far it was when a state was kept last. */
  private kept: Progress = { instructions: 0, jumps: 0 }

  constructor(code: Code, live: Uint16Array, trail: Trail) {
    this.code = code
    this.live = live
    this.trail = trail
    this.seen = Array.from({ length: code.length }, () => undefined)
  }

  /**
   * What a state that comes to its instruction is: `new` if it must be followed, `known` where an earlier one covers it, and
   * `endless` where it is one of its own path that changed nothing.
   */
  visit(state: State, instructions: number, jumped: number): "new" | "known" | "endless" {
    const { pc } = state
    const seen = this.seen[pc]
    const mustKeep = state.stretch > LONGEST_STRETCH || this.code.opcodes[pc] === CONDITIONAL_JUMP
    const jumps = jumped - this.kept.jumps
    const processed = instructions - this.kept.instructions
    let keeps = mustKeep || (jumps >= LEAST_JUMPS && processed >= LEAST_INSTRUCTIONS)
    if (seen === undefined) {
      if (keeps) this.keep(state, instructions, jumped)
      return "new"
    }
    const live = (index: number): number =>
      this.live[index === state.frames.length - 1 ? pc : state.frames[index + 1]!.returnTo]!
    let i = 0
    while (i < seen.length) {
      const each = seen[i]!
      const { node, state: old } = each
      if (node.branches === 0) {
        if (isStateWithin(old, state, "within", live, node.deciding)) {
          each.hits++
          this.decide(state, copyDeciding(node.deciding))
          return "known"
        }
      } else {
        // This path came through that state: it is a loop.
        if (old.mayGotoDepth !== state.mayGotoDepth) {
          if (this.code.opcodes[pc] === CONDITIONAL_JUMP && isStateWithin(old, state, "within", live, undefined)) {
            return "known"
          }
        } else if (mayLoop(old, state) && isStateWithin(old, state, "exact", everything, undefined)) return "endless"
        if (!mustKeep && jumps < LEAST_JUMPS_IN_LOOP && processed < LEAST_INSTRUCTIONS_IN_LOOP) keeps = false
      }
      if (keeps) each.misses++
      const most = mustKeep && node.branches > 0 ? MISSES_IN_LOOP : MISSES
      // What never fits is not compared with any longer.
      if (each.misses > each.hits * most + most) seen.splice(i, 1)
      else i++
    }
    if (keeps) this.keep(state, instructions, jumped)
    return "new"
  }

  private keep(state: State, instructions: number, jumps: number): void {
    this.kept = { instructions, jumps }
    const node: Node = {
      parent: state.node,
      branches: 1,
      deciding: noneDecides(),
      step: state.step,
      state: copyState(state)
    }
    state.node = node
    state.stretch = 0
    const kept = { state: node.state, node, hits: 0, misses: 0 }
    const seen = this.seen[state.pc]
    if (seen === undefined) this.seen[state.pc] = [kept]
    else seen.unshift(kept)
  }

  /** Follows what decides back to the first state that knows of it already. */
  decide(state: State, deciding: Deciding): void {
    let { node } = state
    for (let { step } = state;; step = this.trail.before(step)) {
      while (node !== undefined && node.step === step) {
        markDeciding(node, deciding)
        node = node.parent
        if (isNone(deciding)) return
      }
      if (step === NO_STEP || node === undefined) return
      stepBack(this.code, this.trail, step, deciding)
      if (isNone(deciding)) return
    }
  }
}

/** Marks what decides in a kept state, and takes off what is known already or is no number. */
const markDeciding = ({ deciding: known, state }: Node, deciding: Deciding): void => {
  for (let index = 0; index < state.frames.length; index++) {
    const { registers } = state.frames[index]!
    const set = deciding.registers[index]!
    if (set === 0) continue
    let left = 0
    for (let r = 0; r < 10; r++) {
      const bit = 1 << r
      if ((set & bit) !== 0 && (known.registers[index]! & bit) === 0 && registers[r]!.kind === "scalar") left |= bit
    }
    known.registers[index] = known.registers[index]! | left
    deciding.registers[index] = left
  }
  for (const slot of deciding.slots) {
    if (known.slots.has(slot)) deciding.slots.delete(slot)
    else known.slots.add(slot)
  }
}

/** The state that a path had at an instruction in its round before. */
export const roundBefore = (state: State, pc: number): Node | undefined => {
  for (let node = state.node?.parent; node !== undefined; node = node.parent) {
    if (node.state.pc === pc && isSameCall(node.state, state)) return node
  }
  return undefined
}

const isSameCall = (old: State, now: State): boolean =>
  old.frames.length === now.frames.length &&
  old.frames.every(({ returnTo }, index) => returnTo === now.frames[index]!.returnTo)

const isWidened = (then: Register, now: Register): boolean =>
  then.kind === "scalar" && now.kind === "scalar" &&
  !(Scalar.contains(then.scalar, now.scalar) && Scalar.contains(now.scalar, then.scalar))

/**
 * Forgets numbers that change from one round of a `may_goto` loop to the next and decided nothing so far, so that rounds
 * become alike (widen_imprecise_scalars).
 */
export const widen = ({ deciding, state: old }: Node, state: State): void => {
  for (const [index, frame] of state.frames.entries()) {
    const before = old.frames[index]!
    const { registers } = frame
    for (let r = 0; r < 10; r++) {
      const decides = (deciding.registers[index]! & (1 << r)) !== 0
      if (!decides && isWidened(before.registers[r]!, registers[r]!)) registers[r] = unknownNumber
    }
    for (const [at, slot] of frame.slots.entries()) {
      const then = before.slots[at]!
      if (spilledSize(slot) === 0 || spilledSize(then) === 0 || deciding.slots.has(index * SLOTS + at)) continue
      if (isWidened(then.register, slot.register)) setSlot(frame, at, { ...slot, register: unknownNumber })
    }
  }
}
