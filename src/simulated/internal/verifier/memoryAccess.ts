// Loads, stores, and memory that helpers are given: what may be touched, and what is known of it then.
import { programTypes } from "../../../abi/names.ts"
import { contextAccess } from "./contexts.ts"
import type { Path } from "./path.ts"
import * as Scalar from "./scalar.ts"
import {
  allOf,
  anything,
  byteOfSlot,
  bytes,
  emptySlot,
  type Frame,
  nameOf,
  none,
  number,
  pointer,
  type Register,
  replaceAll,
  setSlot,
  slotIndex,
  spilledSize,
  STACK,
  type StackSlot,
  typeAt,
  unknownNumber,
  withTypes
} from "./state.ts"

/** BPF_MAX_VAR_OFF */
const MOST_OFFSET = 2 ** 29

/** What an access is to: `argument` for a helper's. */
export interface Access {
  readonly register: number
  readonly offset: number
  readonly size: number
  readonly write: boolean
  readonly argument?: boolean
  /** True for a store of what no register holds: the result of an atomic operation. */
  readonly unknown?: boolean
  /** True for a load that extends the sign. */
  readonly signed?: boolean
  /** True where a misaligned access is never allowed. */
  readonly strict?: boolean
}

/** Checks that `offset + variable part`, and `size` bytes from there, lie in memory of `length` bytes. */
const checkBounds = (
  path: Path,
  pointed: Register,
  access: Access,
  length: number,
  what: (offset: number) => string
): void => {
  const { register, size } = access
  const offset = pointed.offset + access.offset
  const smin = Scalar.smin(pointed.scalar)
  const umax = Scalar.umax(pointed.scalar)
  const r = `R${register}`
  if (offset + smin < 0) {
    if (smin < 0) {
      path.reject(`${r} min value is negative, either use unsigned index or do a if (index >=0) check.`)
    }
    path.reject(what(offset), `${r} min value is outside of the allowed memory range`)
  }
  const isOutside = (at: number): boolean => at < 0 || at + size > length
  if (isOutside(offset + smin)) {
    path.reject(what(offset + smin), `${r} min value is outside of the allowed memory range`)
  }
  if (umax >= MOST_OFFSET) {
    path.reject(`${r} unbounded memory access, make sure to bounds check any such access`)
  }
  if (isOutside(offset + umax)) {
    path.reject(what(offset + umax), `${r} max value is outside of the allowed memory range`)
  }
}

const readOnly: ReadonlySet<number> = new Set([
  programTypes.lwt_in,
  programTypes.lwt_out,
  programTypes.lwt_seg6local,
  programTypes.sk_reuseport,
  programTypes.flow_dissector,
  programTypes.cgroup_skb
])

/** Whether a type of program may store into its packet (may_access_direct_pkt_data). */
export const mayWritePacket = (type: number): boolean => !readOnly.has(type)

/** Marks of a pointer at or beyond the packet's end (AT_PKT_END, BEYOND_PKT_END). */
export const AT_END = -1
export const BEYOND_END = -2

const checkPacket = (path: Path, pointed: Register, access: Access): void => {
  const offset = pointed.offset + access.offset
  if (Scalar.smin(pointed.scalar) < 0) {
    path.reject(`R${access.register} min value is negative, either use unsigned index or do a if (index >=0) check.`)
  }
  if (pointed.range < 0) path.invalid(`R${access.register} offset is outside of the packet`)
  if (offset < 0 || offset + access.size > pointed.range) {
    path.reject(
      `invalid access to packet, off=${offset} size=${access.size}, ` +
        `R${access.register}(id=${pointed.id},off=${offset},r=${pointed.range})`,
      `R${access.register} offset is outside of the packet`
    )
  }
}

/** The range of the stack that an access may touch, from the bottom of its frame (check_stack_access_within_bounds). */
const stackRange = (path: Path, pointed: Register, access: Access): readonly [from: number, to: number] => {
  const kind = access.write ? "write to" : "read from"
  const smin = Scalar.smin(pointed.scalar)
  const smax = Scalar.smax(pointed.scalar)
  const offset = pointed.offset + access.offset
  const r = `R${access.register}`
  const isFixed = Scalar.isConstant(pointed.scalar)
  if (!isFixed && (smin <= -MOST_OFFSET || smax >= MOST_OFFSET)) {
    path.reject(`invalid unbounded variable-offset ${kind} stack ${r}`)
  }
  const from = STACK + offset + smin
  const to = STACK + offset + smax + access.size
  const why = isFixed
    ? `invalid ${kind} stack ${r} off=${offset + smin} size=${access.size}`
    : `invalid variable-offset ${kind} stack ${r} off=${offset} size=${access.size}`
  if (from < 0 || from >= STACK) path.reject(why)
  if (to > STACK) path.invalid(why)
  return [from, to]
}

/** The low bytes of a number (coerce_reg_to_size). */
const narrowed = (scalar: Scalar.Scalar, size: number): Scalar.Scalar => {
  if (size === 8) return scalar
  if (size === 4) return Scalar.zeroExtended(scalar)
  const bits = Scalar.ofBits(size * 8)
  if (Scalar.isConstant(scalar)) return Scalar.small(scalar.valueLow & bits.umaxLow)
  return Scalar.umax(scalar) <= Scalar.umax(bits) ? scalar : bits
}

const zero = number(Scalar.small(0))
const isZero = ({ kind, scalar }: Register): boolean => kind === "scalar" && Scalar.isZero(scalar)

/** Whether a scalar has no bits above its low `size` bytes. */
const fits = ({ scalar }: Register, size: number): boolean => size === 8 || Scalar.umax(scalar) < 2 ** (size * 8)

/** A slot of which a part is overwritten: what was spilled there is no register any more (scrub_spilled_slot). */
const scrubbed = (slot: StackSlot): StackSlot => {
  if (slot === emptySlot) return slot
  return { register: none, types: withTypes(slot, 0, spilledSize(slot), bytes.NUMBER).types }
}

/** A dynptr goes when a byte of it is overwritten; one that must be given back may not go (destroy_if_dynptr_stack_slot). */
const destroyDynptr = (path: Path, frame: Frame, at: number): void => {
  const slot = frame.slots[at]!
  if (typeAt(slot, 0) !== bytes.DYNPTR) return
  if (slot.register.reference !== 0) path.invalid("cannot overwrite referenced dynptr")
  for (const [index, other] of frame.slots.entries()) {
    if (typeAt(other, 0) === bytes.DYNPTR && other.register.id === slot.register.id) setSlot(frame, index, emptySlot)
  }
  // What the dynptr gave access to is no memory of its any more.
  replaceAll(
    path.state,
    (register) => register.kind === "memory" && register.dynptr === slot.register.id,
    () => unknownNumber
  )
}

const hasDynptr = (frame: Frame, from: number, to: number): boolean => {
  for (let at = slotIndex(from); at <= slotIndex(to - 1); at++) {
    if (typeAt(frame.slots[at]!, 0) === bytes.DYNPTR) return true
  }
  return false
}

/** A load at a known place (check_stack_read_fixed_off). */
const loadStack = (path: Path, pointed: Register, access: Access, from: number): Register => {
  const frame = path.state.frames[pointed.frame]!
  const { size } = access
  const slot = frame.slots[slotIndex(from)]!
  const first = byteOfSlot(from)
  if (typeAt(slot, 0) === bytes.SPILL) {
    const spilled = spilledSize(slot)
    const { register } = slot
    if (size === 8 && spilled === 8) return register
    if (register.kind === "anything") return anything
    if (register.kind !== "scalar") path.reject("invalid size of register fill")
    // Little endian: the low bytes stand at the spill's first.
    if (size <= spilled && first === 0) {
      const known = number(narrowed(register.scalar, size), fits(register, size) ? register.id : 0)
      return known
    }
    checkWritten(path, frame, access, from, from + size)
    const within = first + size <= spilled
    if (within && isZero(register)) return zero
    return isAll(slot, first, size, bytes.ZERO) ? zero : unknownOf(size)
  }
  checkWritten(path, frame, access, from, from + size)
  return isAll(slot, first, size, bytes.ZERO) ? zero : unknownOf(size)
}

const unknownOf = (size: number): Register => number(Scalar.ofBits(size * 8))

const isAll = (slot: StackSlot, from: number, size: number, type: number): boolean => {
  for (let byte = from; byte < from + size; byte++) if (typeAt(slot, byte) !== type) return false
  return true
}

/** Kernels before 6.3 refuse to read bytes of the stack that were never written; a dynptr is not to be read at all. */
const checkWritten = (path: Path, frame: Frame, access: Access, from: number, to: number): void => {
  let missing = from
  for (; missing < to; missing++) {
    const type = typeAt(frame.slots[slotIndex(missing)]!, byteOfSlot(missing))
    if (type === bytes.DYNPTR || (type === bytes.NEVER_WRITTEN && !path.rules.allowsUnwrittenStack)) break
  }
  if (missing === to) return
  const offset = from - STACK
  path.reject(
    access.argument === true
      ? `invalid indirect read from stack R${access.register} off ${offset}+${missing - from} size ${to - from}`
      : `invalid read from stack off ${offset}+${missing - from} size ${access.size}`
  )
}

/** A store at a known place (check_stack_write_fixed_off). */
const storeStack = (path: Path, pointed: Register, access: Access, from: number, value: Register): void => {
  const frame = path.state.frames[pointed.frame]!
  const at = slotIndex(from)
  const { size } = access
  destroyDynptr(path, frame, at)
  const old = frame.slots[at]!
  const first = byteOfSlot(from)
  if (value.kind === "scalar" && first === 0 && access.unknown !== true) {
    const stored = fits(value, size) ? value : number(narrowed(value.scalar, size))
    setSlot(frame, at, spilled(path, stored, old, size))
  } else if (value.kind !== "scalar" && value.kind !== "none" && !(value.kind === "anything" && size !== 8)) {
    if (size !== 8) path.reject("invalid size of register spill")
    if (value.kind === "stack" && pointed.frame !== path.state.frames.length - 1) {
      path.invalid("cannot spill pointers to stack into stack frame of the caller")
    }
    setSlot(frame, at, { register: value, types: allOf(bytes.SPILL) })
  } else {
    const type = isZero(value) && access.unknown !== true ? bytes.ZERO : bytes.NUMBER
    setSlot(frame, at, withTypes(scrubbed(old), first, size, type))
  }
}

const spilled = (path: Path, register: Register, old: StackSlot, size: number): StackSlot => {
  if (size === 8) return { register, types: allOf(bytes.SPILL) }
  // The rest of the slot holds what it held, but for a register.
  const rest = path.rules.allowsUnwrittenStack ? scrubbed(old) : { ...scrubbed(old) }
  return { ...withTypes(rest, 0, size, bytes.SPILL), register }
}

/** A store to one of several places (check_stack_write_var_off). */
const storeSomewhere = (path: Path, frame: Frame, from: number, to: number, value: Register): void => {
  const writesZero = isZero(value)
  for (let at = from; at < to; at++) {
    const slot = frame.slots[slotIndex(at)]!
    const type = typeAt(slot, byteOfSlot(at))
    if (type === bytes.DYNPTR) path.reject("dynptr cannot be overwritten at an offset that is not known")
    if (writesZero && type === bytes.SPILL && isZero(slot.register)) continue
    const kept = writesZero && type === bytes.ZERO ? bytes.ZERO : bytes.NUMBER
    const next = withTypes(slot, byteOfSlot(at), 1, kept)
    const hadSpill = typeAt(next, 0) === bytes.SPILL || typeAt(slot, 0) === bytes.SPILL
    setSlot(frame, slotIndex(at), hadSpill ? { ...next, register: none } : next)
  }
}

/** A load from one of several places (check_stack_read_var_off). */
const loadSomewhere = (path: Path, frame: Frame, access: Access, from: number, to: number): Register => {
  checkWritten(path, frame, access, from, to)
  for (let at = from; at < to; at++) {
    const slot = frame.slots[slotIndex(at)]!
    if (typeAt(slot, 0) === bytes.SPILL && slot.register.kind === "anything") return anything
    if (typeAt(slot, byteOfSlot(at)) !== bytes.ZERO) return unknownOf(access.size)
  }
  return zero
}

/** What a helper reads or writes of the stack (check_stack_range_initialized). */
const passStack = (path: Path, frame: Frame, access: Access, from: number, to: number): void => {
  if (hasDynptr(frame, from, to) && access.write) {
    path.reject(`potential write to dynptr at off=${from - STACK} disallowed`)
  }
  if (!access.write) return checkWritten(path, frame, access, from, to)
  for (let at = from; at < to; at++) {
    const slot = frame.slots[slotIndex(at)]!
    const left = typeAt(slot, byteOfSlot(at)) === bytes.SPILL ? scrubbed(slot) : slot
    setSlot(frame, slotIndex(at), withTypes(left, byteOfSlot(at), 1, bytes.NUMBER))
  }
}

const mayBeMisaligned = ({ scalar }: Register, offset: number, size: number): boolean =>
  (((scalar.valueLow + offset) | scalar.maskLow) & (size - 1)) !== 0

/** Memory that may be accessed at any address, but by an atomic operation. */
const checkAligned = (path: Path, pointed: Register, access: Access): void => {
  if (access.strict !== true || pointed.kind === "anything" || pointed.kind === "stack") return
  const offset = pointed.offset + access.offset
  if (mayBeMisaligned(pointed, offset, access.size)) {
    path.reject(`misaligned value access off ${offset}+0 size ${access.size}`)
  }
}

const misaligned = (path: Path, pointed: Register, access: Access): void => {
  const offset = pointed.offset + access.offset
  if (mayBeMisaligned(pointed, offset, access.size)) {
    path.reject(`misaligned stack access off ${offset}+0 size ${access.size}`)
  }
}

const checkContext = (path: Path, pointed: Register, access: Access): Register => {
  const offset = pointed.offset + access.offset
  if (pointed.offset !== 0) {
    const syscallLike = contextAccess(path, offset, access.size, access.write) === "anything"
    if (!syscallLike) {
      path.reject(`dereference of modified ctx ptr R${access.register} off=${pointed.offset} disallowed`)
    }
  }
  if (!Scalar.isConstant(pointed.scalar)) {
    if (contextAccess(path, 0xfff0, 1, true) === "anything") return anything // a type whose context is plain memory
    const { mask, value } = Scalar.exact(pointed.scalar)
    path.reject(`variable ctx access var_off=(0x${value.toString(16)}; 0x${mask.toString(16)}) disallowed`)
  }
  const kind = contextAccess(path, offset, access.size, access.write)
  const isPacket = kind === "packet" || kind === "meta" || kind === "end"
  if (kind === undefined || (isPacket && access.signed === true)) {
    path.reject(`invalid bpf_context access off=${offset} size=${access.size}`)
  }
  path.contextSize = Math.max(path.contextSize, offset + access.size)
  if (kind === "scalar") return number(Scalar.ofBits(access.size * 8))
  return kind === "anything" ? anything : pointer(kind)
}

const valueBounds = (path: Path, pointed: Register, access: Access): void => {
  const { valueSize } = pointed.map!.attributes
  checkBounds(
    path,
    pointed,
    access,
    valueSize,
    (offset) => `invalid access to map value, value_size=${valueSize} off=${offset} size=${access.size}`
  )
  checkHidden(path, pointed, access)
}

/** Locks and timers are for their helpers alone: no part of one may be touched (check_map_access). */
const checkHidden = (path: Path, pointed: Register, access: Access): void => {
  const offset = pointed.offset + access.offset
  for (const field of pointed.map!.attributes.hidden) {
    const isTouched = Scalar.smin(pointed.scalar) + offset < field.offset + field.size &&
      field.offset < Scalar.umax(pointed.scalar) + offset + access.size
    if (isTouched) path.reject(`bpf_${field.kind} cannot be accessed directly by load/store`)
  }
}

/** Fields of `struct bpf_map`, through its BTF: they are read only, forward from its beginning (check_ptr_to_map_access). */
const checkMapFields = (path: Path, pointed: Register, access: Access): Register => {
  const { type } = pointed.map!.attributes
  const name = type.endsWith("array") ? "bpf_array" : type.endsWith("hash") ? "bpf_htab" : "bpf_map"
  const offset = pointed.offset + access.offset
  if (offset < 0) path.reject(`R${access.register} is ${name} invalid negative access: off=${offset}`)
  if (access.write) path.reject(`only read from ${name} is supported`)
  return anything
}

/** BPF_F_RDONLY_PROG */
const READ_ONLY_PROGRAM = 128
/** BPF_F_WRONLY_PROG */
const WRITE_ONLY_PROGRAM = 256

/**
 * Checks an access and gives what a load would give. `stored` is what a store writes.
 */
export const checkAccess = (path: Path, pointed: Register, access: Access, stored?: Register): Register => {
  const { register, size, write } = access
  const scalar = number(Scalar.ofBits(size * 8))
  if (pointed.kind === "none") path.reject(`R${register} !read_ok`)
  if (pointed.nullable && pointed.kind !== "anything") {
    path.reject(`R${register} invalid mem access '${nameOf(pointed)}'`)
  }
  checkAligned(path, pointed, access)
  switch (pointed.kind) {
    case "anything":
      return anything
    case "ctx":
      return checkContext(path, pointed, access)
    case "stack": {
      if (access.argument !== true) misaligned(path, pointed, access)
      const [from, to] = stackRange(path, pointed, access)
      const frame = path.state.frames[pointed.frame]!
      path.touch(frame.function, from)
      const isFixed = Scalar.isConstant(pointed.scalar)
      if (access.argument === true) {
        if (to > from) passStack(path, frame, access, from, to)
        return scalar
      }
      if (!write) return isFixed ? loadStack(path, pointed, access, from) : loadSomewhere(path, frame, access, from, to)
      const value = stored ?? unknownNumber
      if (isFixed) storeStack(path, pointed, access, from, value)
      else storeSomewhere(path, frame, from, to, value)
      return scalar
    }
    case "value": {
      const { flags } = pointed.map!.attributes
      if (write && (flags & READ_ONLY_PROGRAM) !== 0) {
        path.reject(
          `write into map forbidden, value_size=${pointed.map!.attributes.valueSize} off=${
            pointed.offset + access.offset
          } size=${size}`
        )
      }
      if (!write && (flags & WRITE_ONLY_PROGRAM) !== 0) {
        path.reject(
          `read from map forbidden, value_size=${pointed.map!.attributes.valueSize} off=${
            pointed.offset + access.offset
          } size=${size}`
        )
      }
      valueBounds(path, pointed, access)
      return scalar
    }
    case "memory":
      if (write && !pointed.writable) path.reject(`R${register} cannot write into rdonly_mem`)
      checkBounds(
        path,
        pointed,
        access,
        pointed.size,
        (offset) => `invalid access to memory, mem_size=${pointed.size} off=${offset} size=${size}`
      )
      return scalar
    case "packet":
    case "meta":
      if (write && access.argument !== true && !mayWritePacket(path.type)) path.reject("cannot write into packet")
      checkPacket(path, pointed, access)
      return scalar
    case "map":
      return checkMapFields(path, pointed, access)
    default:
      return path.reject(`R${register} invalid mem access '${nameOf(pointed)}'`)
  }
}
