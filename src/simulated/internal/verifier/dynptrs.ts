// Dynptrs on the stack: 16 bytes that only helpers touch.
import type { Path } from "./path.ts"
import * as Scalar from "./scalar.ts"
import {
  allOf,
  bytes,
  type Frame,
  nameOf,
  pointer,
  type Register,
  setSlot,
  STACK,
  type StackSlot,
  typeAt
} from "./state.ts"

const SIZE = 16

interface Place {
  readonly frame: Frame
  /** Its first slot. */
  readonly at: number
}

/** Where an argument says that a dynptr is, or is to be (dynptr_get_spi). `undefined` beyond the stack. */
const placeOf = (path: Path, r: number, given: Register): Place | undefined => {
  if (given.kind !== "stack") path.reject(`R${r} type=${nameOf(given)} expected=fp, dynptr_ptr`)
  if (!Scalar.isConstant(given.scalar)) path.invalid("dynptr has to be at a constant offset")
  const offset = given.offset + Scalar.valueOf(given.scalar)
  if (offset % 8 !== 0 || offset > -SIZE) path.invalid(`cannot pass in dynptr at an offset=${offset}`)
  return offset < -STACK ? undefined : { frame: path.state.frames[given.frame]!, at: (STACK + offset) / 8 }
}

const slotAt = ({ frame, at }: Place): StackSlot => frame.slots[at]!

const isDynptr = (place: Place): boolean => {
  const first = slotAt(place)
  const second = place.frame.slots[place.at + 1]!
  return typeAt(first, 0) === bytes.DYNPTR && typeAt(second, 0) === bytes.DYNPTR &&
    first.register.id === second.register.id && first.register.size === SIZE && second.register.size === 0
}

/** An initialized dynptr. */
export const takeDynptr = (path: Path, r: number, given: Register, releases: boolean): Register | undefined => {
  if (given.kind === "anything") return undefined
  const place = placeOf(path, r, given)
  if (
    releases &&
    (place === undefined || typeAt(slotAt(place), 0) !== bytes.DYNPTR || slotAt(place).register.reference === 0)
  ) {
    path.invalid(`arg ${r} is an unacquired reference`)
  }
  if (place === undefined || !isDynptr(place)) path.invalid(`Expected an initialized dynptr as arg #${r - 1}`)
  return slotAt(place!).register
}

/** Makes a dynptr where an argument says; `reference` is 0 for one that needs not be given back. */
export const makeDynptr = (path: Path, given: Register, r: number, reference: number): void => {
  const place = placeOf(path, r, given)
  if (place === undefined) return
  const id = reference === 0 ? path.newId() : reference
  for (const [index, size] of [[0, SIZE], [1, 0]] as const) {
    const register = pointer("memory", { id, reference, size })
    setSlot(place.frame, place.at + index, { register, types: allOf(bytes.DYNPTR) })
  }
}

/** Where a dynptr is to be made, which may hold what needs not be given back. */
export const checkDynptrPlace = (path: Path, r: number, given: Register): void => {
  placeOf(path, r, given)
}

/** Forgets a dynptr that was given back. */
export const dropDynptr = (path: Path, id: number): void => {
  for (const frame of path.state.frames) {
    for (const [at, slot] of frame.slots.entries()) {
      if (typeAt(slot, 0) === bytes.DYNPTR && slot.register.id === id) {
        setSlot(frame, at, { register: slot.register, types: 0 })
      }
    }
  }
}
