// What the verifier knows at one instruction: of each register and each spilled value in each frame, in the terms of
// kernel/bpf/verifier.c.
import type { SimulatedMap } from "../maps.ts"
import { type Deciding, SLOTS } from "./precision.ts"
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
  scalar: Scalar.small(0),
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
/** The same with another number, or another variable part. */
export const withScalar = (register: Register, scalar: Scalar.Scalar): Register => ({ ...register, scalar })
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

const BITS_OF_TYPE = 4
const TYPE = (1 << BITS_OF_TYPE) - 1
const BYTES_OF_SLOT = 8

export const typeAt = ({ types }: StackSlot, byte: number): number => (types >>> (byte * BITS_OF_TYPE)) & TYPE

/** The slot with some of its bytes of another kind. */
export const withTypes = (slot: StackSlot, from: number, size: number, type: number): StackSlot => {
  let { types } = slot
  for (let byte = from; byte < from + size; byte++) {
    const shift = byte * BITS_OF_TYPE
    types = (types & ~(TYPE << shift)) | (type << shift)
  }
  return { register: slot.register, types: types >>> 0 }
}

/** The slot of a frame's stack that a byte is in, and which byte of it that is. */
export const slotIndex = (at: number): number => Math.floor(at / BYTES_OF_SLOT)
export const byteOfSlot = (at: number): number => at & (BYTES_OF_SLOT - 1)

export const emptySlot: StackSlot = { register: base, types: 0 }

/** How many bytes of a slot hold a spilled register, from its first on. */
export const spilledSize = (slot: StackSlot): number => {
  let size = 0
  while (size < 8 && typeAt(slot, size) === bytes.SPILL) size++
  return size
}

export interface Frame {
  readonly registers: Array<Register>
  /** From the bottom of the stack up, 64 of them. Written by `setSlot`. */
  slots: ReadonlyArray<StackSlot>
  /** False while another state has the same slots. */
  ownsSlots: boolean
  /** Where the caller goes on. */
  readonly returnTo: number
  readonly function: number
}

export const STACK = 512
const noSlots: ReadonlyArray<StackSlot> = Array.from({ length: STACK / 8 }, () => emptySlot)

export const makeFrame = (index: number, start: number, returnTo: number): Frame => ({
  registers: [...Array.from({ length: 10 }, () => none), pointer("stack", { frame: index })],
  slots: noSlots,
  ownsSlots: false,
  returnTo,
  function: start
})

/** Changes a slot: of this frame alone. */
export const setSlot = (frame: Frame, at: number, slot: StackSlot): void => {
  if (!frame.ownsSlots) {
    frame.slots = [...frame.slots]
    frame.ownsSlots = true
  }
  ;(frame.slots as Array<StackSlot>)[at] = slot
}

/** A state that was kept. They hang together as a tree, so that loops are told from paths that meet again. */
export interface Node {
  readonly parent: Node | undefined
  /** Paths from here that are not at their end yet. */
  branches: number
  /** The numbers that decided something later. */
  readonly deciding: Deciding
  /** The last step before it, by its number in the trail. */
  readonly step: number
  readonly state: State
}

export interface State {
  pc: number
  readonly frames: Array<Frame>
  /** The instruction that took each reference. */
  references: ReadonlyMap<number, number>
  /** True while a spin lock is held. */
  locked: boolean
  mayGotoDepth: number
  /** The state that was kept last. */
  node: Node | undefined
  /** The instruction that was looked at last, by its number in the trail. */
  step: number
  /** Instructions since a state was kept. */
  stretch: number
}

const copyFrame = (frame: Frame): Frame => {
  frame.ownsSlots = false
  const { function: start, registers, returnTo, slots } = frame
  return { registers: registers.slice(), slots, ownsSlots: false, returnTo, function: start }
}

/** A copy that shares what is seldom written, until either writes it. */
export const copyState = (state: State): State => {
  const { frames, locked, mayGotoDepth, node, pc, references, step, stretch } = state
  const copies = [copyFrame(frames[0]!)]
  for (let index = 1; index < frames.length; index++) copies.push(copyFrame(frames[index]!))
  return { pc, frames: copies, references, locked, mayGotoDepth, node, step, stretch }
}

/** What must be given back from now on, and what took it. */
export const addReference = (state: State, id: number, pc: number): void => {
  state.references = new Map(state.references).set(id, pc)
}

/** False if there is no such reference. */
export const dropReference = (state: State, id: number): boolean => {
  const references = new Map(state.references)
  if (!references.delete(id)) return false
  state.references = references
  return true
}

/** Changes all registers and spilled values of all frames that `which` picks. */
export const replaceAll = (
  { frames }: State,
  which: (register: Register) => boolean,
  change: (register: Register) => Register
): void => {
  for (let index = 0; index < frames.length; index++) {
    const frame = frames[index]!
    const { registers } = frame
    for (let r = 0; r < registers.length; r++) {
      if (which(registers[r]!)) registers[r] = change(registers[r]!)
    }
    for (let at = 0; at < SLOTS; at++) {
      const slot = frame.slots[at]!
      if (slot !== emptySlot && typeAt(slot, 0) === bytes.SPILL && which(slot.register)) {
        setSlot(frame, at, { register: change(slot.register), types: slot.types })
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
  const first = typeAt(old, 0)
  return first !== bytes.SPILL && first !== bytes.DYNPTR
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
  for (let index = 0; index < now.frames.length; index++) {
    const frame = now.frames[index]!
    const other = old.frames[index]!
    if (other.returnTo !== frame.returnTo || other.function !== frame.function) return false
    const used = live(index)
    for (let r = 0; r < 10; r++) {
      if ((used & (1 << r)) === 0) continue
      const decides = deciding === undefined || (deciding.registers[index]! & (1 << r)) !== 0
      if (!isWithin(other.registers[r]!, frame.registers[r]!, comparison, decides)) return false
    }
    if (frame.slots === other.slots) continue
    for (let at = 0; at < SLOTS; at++) {
      if (frame.slots[at] === other.slots[at]) continue
      const decides = deciding === undefined || deciding.slots.has(index * SLOTS + at)
      if (!isSlotWithin(other.slots[at]!, frame.slots[at]!, comparison, decides)) return false
    }
  }
  return true
}
