// What the verifier knows at one instruction: of each register and each spilled value in each frame, in the terms of
// kernel/bpf/verifier.c.
import type { SimulatedMap } from "../maps.ts"
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
  /** The fixed part of a pointer's offset. */
  readonly offset: number
  /** Registers of one id hold the same number, come from the same nullable pointer, or have the same variable part. */
  readonly id: number
  readonly nullable: boolean
  /** The bytes of the packet that are known to be there, from the variable part on. */
  readonly range: number
  readonly map: SimulatedMap | undefined
  /** The size of `memory`. */
  readonly size: number
  /** The frame of a stack pointer. */
  readonly frame: number
  /** What must be given back. */
  readonly reference: number
  readonly writable: boolean
}

const base: Register = {
  kind: "none",
  scalar: Scalar.constant(0n),
  offset: 0,
  id: 0,
  nullable: false,
  range: 0,
  map: undefined,
  size: 0,
  frame: 0,
  reference: 0,
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

/** A value that was stored whole at a place of the stack. */
export interface Spill {
  readonly register: Register
  readonly size: number
}

export interface Frame {
  readonly registers: Array<Register>
  /** By offset from the bottom of the stack, 0 to 511. */
  readonly spills: Map<number, Spill>
  /** 1 for bytes that were written. */
  readonly written: Uint8Array
  /** Where the caller goes on. */
  readonly returnTo: number
  readonly function: number
}

export const STACK = 512

/** `untold` where it does not matter which bytes were written: none is kept. */
export const makeFrame = (index: number, start: number, returnTo: number, untold: boolean): Frame => ({
  registers: [...Array.from({ length: 10 }, () => none), pointer("stack", { frame: index })],
  spills: new Map(),
  written: new Uint8Array(untold ? 0 : STACK),
  returnTo,
  function: start
})

/** Where a path was before: states hang together as a tree, so that loops are told from paths that meet again. */
export interface Node {
  readonly parent: Node | undefined
  /** Paths from here that are not at their end yet. */
  branches: number
}

export interface State {
  pc: number
  readonly frames: Array<Frame>
  /** The instruction that took each reference. */
  readonly references: Map<number, number>
  /** True while a spin lock is held. */
  locked: boolean
  mayGotoDepth: number
  node: Node | undefined
  /** Instructions since the program's start. */
  length: number
  /** The length at which it was last kept to compare with. */
  keptAt: number
}

export const copyState = (state: State): State => ({
  ...state,
  frames: state.frames.map((frame) => ({
    ...frame,
    registers: [...frame.registers],
    spills: new Map(frame.spills),
    written: frame.written.slice()
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
    for (const [at, spill] of frame.spills) {
      if (which(spill.register)) frame.spills.set(at, { ...spill, register: change(spill.register) })
    }
  }
}

// ---------------------------------------------------------------- comparing

/** How states are compared: the same, or no worse. */
export type Comparison = "exact" | "within"

const isScalarWithin = (old: Scalar.Scalar, now: Scalar.Scalar, comparison: Comparison): boolean =>
  Scalar.contains(old, now) && (comparison === "within" || Scalar.contains(now, old))

const isWithin = (old: Register, now: Register, comparison: Comparison): boolean => {
  if (old === now) return true
  if (old.kind === "none") return comparison === "within" || now.kind === "none"
  if (old.kind !== now.kind) return false
  if (old.kind === "scalar") return isScalarWithin(old.scalar, now.scalar, comparison)
  if (old.kind === "anything") return true
  return old.offset === now.offset && old.nullable === now.nullable && old.map === now.map &&
    old.size === now.size && old.frame === now.frame && old.writable === now.writable &&
    (old.reference === 0) === (now.reference === 0) && isScalarWithin(old.scalar, now.scalar, comparison) &&
    (comparison === "within" ? old.range <= now.range : old.range === now.range)
}

/** True if all that goes well from the old state goes well from this one. `live` tells the registers that are read. */
export const isStateWithin = (
  old: State,
  now: State,
  comparison: Comparison,
  live: (frame: number) => number
): boolean => {
  if (old.frames.length !== now.frames.length || old.locked !== now.locked) return false
  if (old.references.size !== now.references.size) return false
  for (const [index, frame] of now.frames.entries()) {
    const other = old.frames[index]!
    if (other.returnTo !== frame.returnTo || other.function !== frame.function) return false
    const used = live(index)
    for (let r = 0; r < 10; r++) {
      if ((used & (1 << r)) === 0) continue
      if (!isWithin(other.registers[r]!, frame.registers[r]!, comparison)) return false
    }
    for (const [at, spill] of other.spills) {
      const same = frame.spills.get(at)
      if (same === undefined || same.size !== spill.size) return false
      if (!isWithin(spill.register, same.register, comparison)) return false
    }
    if (comparison === "exact" && frame.spills.size !== other.spills.size) return false
  }
  return true
}
