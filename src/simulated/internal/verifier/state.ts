// What the verifier knows at one instruction: of each register and each spilled value in each frame, in the terms of
// kernel/bpf/verifier.c.
import type { SimulatedMap } from "../maps.ts"
import { type Deciding, SLOTS, type Step } from "./precision.ts"
import * as Scalar from "./scalar.ts"

/** What a register holds. `anything` is what this verifier does not follow: all is allowed with it. */
export type Kind =
  | "none"
  | "scalar"
  | "ctx"
  | "stack"
  | "map"
  | "value"
  | "packet"
  | "meta"
  | "end"
  | "memory"
  | "function"
  | "anything"

export interface Register {
  readonly kind: Kind
  /** A number; or the variable part of a pointer's offset. */
  readonly scalar: Scalar.Scalar
  /** The fixed part of a pointer's offset; of a number, its distance from those of its id. */
  readonly offset: number
  /** Registers of one id hold the same number, come from the same nullable pointer, or have the same variable part. */
  readonly id: number
  readonly nullable: boolean
  /** True for a number that is `offset` more than those of its id. */
  readonly shifted: boolean
  /** The bytes of the packet that are known to be there, from the variable part on. */
  readonly range: number
  readonly map: SimulatedMap | undefined
  /** The size of `memory`. */
  readonly size: number
  /** The frame of a stack pointer. */
  readonly frame: number
  /** What must be given back. */
  readonly reference: number
  /** The dynptr that gave access to `memory`. */
  readonly dynptr: number
  readonly writable: boolean
}

const base: Register = {
  kind: "none",
  scalar: Scalar.constant(0n),
  offset: 0,
  id: 0,
  nullable: false,
  shifted: false,
  range: 0,
  map: undefined,
  size: 0,
  frame: 0,
  reference: 0,
  dynptr: 0,
  writable: true
}

export const none = base
export const anything: Register = { ...base, kind: "anything" }
export const number = (scalar: Scalar.Scalar, id = 0): Register => ({ ...base, kind: "scalar", scalar, id })
export const unknownNumber = number(Scalar.unknown)
export const pointer = (kind: Kind, parts?: Partial<Register>): Register => ({ ...base, kind, ...parts })

export const isPointer = ({ kind }: Register): boolean => kind !== "none" && kind !== "scalar" && kind !== "anything"

const names: { readonly [K in Kind]: string } = {
  none: "?",
  scalar: "scalar",
  ctx: "ctx",
  stack: "fp",
  map: "map_ptr",
  value: "map_value",
  packet: "pkt",
  meta: "pkt_meta",
  end: "pkt_end",
  memory: "ringbuf_mem",
  function: "func",
  anything: "ptr_"
}

/** The kernel's name of what a register holds. */
export const nameOf = ({ kind, nullable }: Register): string => `${names[kind]}${nullable ? "_or_null" : ""}`

/** What a byte of the stack holds (enum bpf_stack_slot_type). */
export const bytes = { NEVER_WRITTEN: 0, SPILL: 1, NUMBER: 2, ZERO: 3, DYNPTR: 4 } as const

/**
 * Eight bytes of the stack. `types` has four bits for each byte, the lowest address first; `register` is what was spilled
 * there, and the first byte of a spill is that of the slot.
 */
export interface StackSlot {
  readonly register: Register
  readonly types: number
}

/** Eight bytes of one kind. */
export const allOf = (type: number): number => (type * 0x11111111) >>> 0

export const typeAt = ({ types }: StackSlot, byte: number): number => (types >>> (byte * 4)) & 15

/** The slot of a frame's stack that a byte is in, and which byte of it that is. */
export const slotIndex = (at: number): number => at >> 3
export const byteOfSlot = (at: number): number => at & 7

export const emptySlot: StackSlot = { register: base, types: 0 }

/** How many bytes of a slot hold a spilled register, from its first on. */
export const spilledSize = (slot: StackSlot): number => {
  let size = 0
  while (size < 8 && typeAt(slot, size) === bytes.SPILL) size++
  return size
}

export interface Frame {
  readonly registers: Array<Register>
  /** From the bottom of the stack up, 64 of them. */
  readonly slots: Array<StackSlot>
  /** Where the caller goes on. */
  readonly returnTo: number
  readonly function: number
}

export const STACK = 512
const noSlots: ReadonlyArray<StackSlot> = Array.from({ length: STACK / 8 }, () => emptySlot)

export const makeFrame = (index: number, start: number, returnTo: number): Frame => ({
  registers: [...Array.from({ length: 10 }, () => none), pointer("stack", { frame: index })],
  slots: [...noSlots],
  returnTo,
  function: start
})

/** A state that was kept. They hang together as a tree, so that loops are told from paths that meet again. */
export interface Node {
  readonly parent: Node | undefined
  /** Paths from here that are not at their end yet. */
  branches: number
  /** The numbers that decided something later. */
  readonly deciding: Deciding
  /** The last step before it. */
  readonly step: Step | undefined
  readonly state: State
}

export interface State {
  pc: number
  readonly frames: Array<Frame>
  /** The instruction that took each reference. */
  readonly references: Map<number, number>
  /** True while a spin lock is held. */
  locked: boolean
  mayGotoDepth: number
  /** The state that was kept last. */
  node: Node | undefined
  /** The instruction that was looked at last, and those before. */
  step: Step | undefined
  /** Instructions since a state was kept. */
  stretch: number
}

export const copyState = (state: State): State => ({
  ...state,
  frames: state.frames.map((frame) => ({
    ...frame,
    registers: [...frame.registers],
    slots: [...frame.slots]
  })),
  references: new Map(state.references)
})

/** Changes all registers and spilled values of all frames that `which` picks. */
export const replaceAll = (
  { frames }: State,
  which: (register: Register) => boolean,
  change: (register: Register) => Register
): void => {
  for (const frame of frames) {
    for (const [index, register] of frame.registers.entries()) {
      if (which(register)) frame.registers[index] = change(register)
    }
    for (const [at, slot] of frame.slots.entries()) {
      if (slot !== emptySlot && (slot.types & 15) === bytes.SPILL && which(slot.register)) {
        frame.slots[at] = { ...slot, register: change(slot.register) }
      }
    }
  }
}

// ---------------------------------------------------------------- comparing

/** How states are compared: the same, or no worse. */
export type Comparison = "exact" | "within"

const isScalarWithin = (old: Scalar.Scalar, now: Scalar.Scalar, comparison: Comparison): boolean =>
  Scalar.contains(old, now) && (comparison === "within" || Scalar.contains(now, old))

const isWithin = (old: Register, now: Register, comparison: Comparison, decides: boolean): boolean => {
  if (old === now) return true
  if (old.kind === "none") return comparison === "within" || now.kind === "none"
  if (old.kind !== now.kind) return false
  if (old.kind === "scalar" && !decides) return true
  if (old.kind === "scalar") return isScalarWithin(old.scalar, now.scalar, comparison)
  if (old.kind === "anything") return true
  return old.offset === now.offset && old.nullable === now.nullable && old.map === now.map &&
    old.size === now.size && old.frame === now.frame && old.writable === now.writable &&
    (old.reference === 0) === (now.reference === 0) && isScalarWithin(old.scalar, now.scalar, comparison) &&
    (comparison === "within" ? old.range <= now.range : old.range === now.range)
}

/** As `isWithin`, for what stands in the stack (stacksafe). */
const isSlotWithin = (old: StackSlot, now: StackSlot, comparison: Comparison, decides: boolean): boolean => {
  if (old === now) return true
  for (let byte = 0; byte < 8; byte++) {
    const before = typeAt(old, byte)
    const after = typeAt(now, byte)
    // What was never written, or held any number, does not tell more: it may hold anything now.
    if (before === after) continue
    if (comparison === "exact") return false
    if (before === bytes.NEVER_WRITTEN && after !== bytes.DYNPTR) continue
    if (before === bytes.NUMBER && (after === bytes.ZERO || after === bytes.NEVER_WRITTEN)) continue
    if (before === bytes.NUMBER && after === bytes.SPILL && now.register.kind === "scalar") continue
    return false
  }
  return (old.types & 15) !== bytes.SPILL && (old.types & 15) !== bytes.DYNPTR
    ? true
    : isWithin(old.register, now.register, comparison, decides)
}

/**
 * True if all that goes well from the old state goes well from this one. `live` tells the registers that are read, and
 * `deciding` those numbers that must be alike: all where it is not given.
 */
export const isStateWithin = (
  old: State,
  now: State,
  comparison: Comparison,
  live: (frame: number) => number,
  deciding: Deciding | undefined
): boolean => {
  if (old.frames.length !== now.frames.length || old.locked !== now.locked) return false
  if (old.references.size !== now.references.size) return false
  for (const [index, frame] of now.frames.entries()) {
    const other = old.frames[index]!
    if (other.returnTo !== frame.returnTo || other.function !== frame.function) return false
    const used = live(index)
    for (let r = 0; r < 10; r++) {
      if ((used & (1 << r)) === 0) continue
      const decides = deciding === undefined || (deciding.registers[index]! & (1 << r)) !== 0
      if (!isWithin(other.registers[r]!, frame.registers[r]!, comparison, decides)) return false
    }
    for (let at = 0; at < frame.slots.length; at++) {
      const decides = deciding === undefined || deciding.slots.has(index * SLOTS + at)
      if (!isSlotWithin(other.slots[at]!, frame.slots[at]!, comparison, decides)) return false
    }
  }
  return true
}
