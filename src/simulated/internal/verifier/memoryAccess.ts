// Loads, stores, and memory that helpers are given: what may be touched, and what is known of it then.
import { contextAccess } from "./contexts.ts"
import type { Path } from "./path.ts"
import * as Scalar from "./scalar.ts"
import {
  anything,
  type Frame,
  nameOf,
  number,
  pointer,
  type Register,
  type Spill,
  STACK,
  unknownNumber
} from "./state.ts"

/** BPF_MAX_VAR_OFF */
const MOST_OFFSET = 2n ** 29n

/** What an access is to: `argument` for a helper's. */
export interface Access {
  readonly register: number
  readonly offset: number
  readonly size: number
  readonly write: boolean
  readonly argument?: boolean
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
  const { smin, umax } = pointed.scalar.wide
  const r = `R${register}`
  if (BigInt(offset) + smin < 0n) {
    if (smin < 0n) {
      path.reject(`${r} min value is negative, either use unsigned index or do a if (index >=0) check.`)
    }
    path.reject(what(offset), `${r} min value is outside of the allowed memory range`)
  }
  const isOutside = (at: bigint): boolean =>
    at < 0n || at + BigInt(size) > BigInt(length) || (size === 0 && at > BigInt(length))
  if (isOutside(BigInt(offset) + smin)) {
    path.reject(what(offset + Number(smin)), `${r} min value is outside of the allowed memory range`)
  }
  if (umax >= MOST_OFFSET) {
    path.reject(`${r} unbounded memory access, make sure to bounds check any such access`)
  }
  if (isOutside(BigInt(offset) + umax)) {
    path.reject(what(offset + Number(umax)), `${r} max value is outside of the allowed memory range`)
  }
}

const checkPacket = (path: Path, pointed: Register, access: Access): void => {
  const offset = pointed.offset + access.offset
  if (pointed.scalar.wide.smin < 0n) {
    path.reject(`R${access.register} min value is negative, either use unsigned index or do a if (index >=0) check.`)
  }
  if (offset < 0 || offset + access.size > pointed.range) {
    path.reject(
      `invalid access to packet, off=${offset} size=${access.size}, ` +
        `R${access.register}(id=${pointed.id},off=${offset},r=${pointed.range})`,
      `R${access.register} offset is outside of the packet`
    )
  }
}

/** The range of the stack that an access may touch, from the bottom of its frame. */
const stackRange = (path: Path, pointed: Register, access: Access): readonly [from: number, to: number] => {
  const kind = access.write ? "write to" : "read from"
  const { smax, smin } = pointed.scalar.wide
  const offset = pointed.offset + access.offset
  if (smin < -MOST_OFFSET || smax > MOST_OFFSET) {
    path.reject(
      `invalid unbounded variable-offset ${
        access.argument === true ? "indirect access to" : kind
      } stack R${access.register}`
    )
  }
  const from = STACK + offset + Number(smin)
  const to = STACK + offset + Number(smax) + access.size
  if (from < 0 || to > STACK) {
    const indirect = access.argument === true ? "indirect access to" : kind
    path.reject(
      smin === smax
        ? `invalid ${indirect} stack R${access.register} off=${offset + Number(smin)} size=${access.size}`
        : `invalid variable-offset ${indirect} stack R${access.register} off=${offset} size=${access.size}`
    )
  }
  return [from, to]
}

const overlaps = (at: number, spill: Spill, from: number, to: number): boolean => at < to && at + spill.size > from

/** Forgets what was spilled in a part of a frame. */
const forget = (frame: Frame, from: number, to: number): void => {
  for (const [at, spill] of frame.spills) if (overlaps(at, spill, from, to)) frame.spills.delete(at)
}

const loadStack = (path: Path, pointed: Register, access: Access, from: number, to: number): Register => {
  const frame = path.state.frames[pointed.frame]!
  const isFixed = to - from === access.size
  const spill = isFixed ? frame.spills.get(from) : undefined
  if (spill !== undefined && access.size === spill.size) return spill.register
  if (spill !== undefined && access.size < spill.size && spill.register.kind === "scalar") {
    return number(narrowed(spill.register.scalar, access.size))
  }
  for (const [at, other] of frame.spills) {
    if (overlaps(at, other, from, to) && other.register.kind === "anything") return anything
  }
  checkWritten(path, frame, access, from, to)
  return number(Scalar.ofBits(access.size * 8))
}

/** The low bytes of a number. */
const narrowed = (scalar: Scalar.Scalar, size: number): Scalar.Scalar => {
  if (size === 8) return scalar
  if (size === 4) return Scalar.zeroExtended(scalar)
  const bits = Scalar.ofBits(size * 8)
  if (Scalar.isConstant(scalar)) return Scalar.constant(BigInt.asUintN(size * 8, scalar.tnum.value))
  return scalar.wide.umax <= bits.wide.umax ? scalar : bits
}

/** Kernels before 6.3 refuse to read bytes of the stack that were never written. */
const checkWritten = (path: Path, frame: Frame, access: Access, from: number, to: number): void => {
  if (path.allowsUnwrittenStack) return
  const missing = frame.written.subarray(from, to).indexOf(0)
  if (missing < 0) return
  const offset = from - STACK
  path.reject(
    access.argument === true
      ? `invalid indirect read from stack R${access.register} off ${offset}+${missing} size ${to - from}`
      : `invalid read from stack off ${offset}+${missing} size ${access.size}`
  )
}

const storeStack = (path: Path, pointed: Register, from: number, to: number, size: number, value: Register): void => {
  const frame = path.state.frames[pointed.frame]!
  forget(frame, from, to)
  frame.written.fill(1, from, to)
  if (to - from !== size) return
  const whole = size === 8 || (size === 4 && value.kind === "scalar")
  const stored = size === 4 && value.kind === "scalar" ? number(Scalar.zeroExtended(value.scalar)) : value
  if (value.kind === "anything" || (whole && from % size === 0)) frame.spills.set(from, { register: stored, size })
}

const misaligned = (path: Path, pointed: Register, access: Access): void => {
  const offset = pointed.offset + access.offset
  const unsure = BigInt.asUintN(64, pointed.scalar.tnum.value + BigInt(offset)) | pointed.scalar.tnum.mask
  if ((unsure & BigInt(access.size - 1)) !== 0n) {
    path.reject(`misaligned stack access off ${offset}+0 size ${access.size}`)
  }
}

const checkContext = (path: Path, pointed: Register, access: Access): Register => {
  const offset = pointed.offset + access.offset
  if (pointed.offset !== 0) {
    const syscallLike = contextAccess(path.type, offset, access.size, access.write) === "anything"
    if (!syscallLike) {
      path.reject(`dereference of modified ctx ptr R${access.register} off=${pointed.offset} disallowed`)
    }
  }
  const { tnum } = pointed.scalar
  if (tnum.mask !== 0n) {
    if (contextAccess(path.type, 0xfff0, 1, true) === "anything") return anything // a type whose context is plain memory
    path.reject(`variable ctx access var_off=(0x${tnum.value.toString(16)}; 0x${tnum.mask.toString(16)}) disallowed`)
  }
  const kind = contextAccess(path.type, offset, access.size, access.write)
  if (kind === undefined) path.reject(`invalid bpf_context access off=${offset} size=${access.size}`)
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
  switch (pointed.kind) {
    case "anything":
      return anything
    case "ctx":
      return checkContext(path, pointed, access)
    case "stack": {
      if (access.argument !== true) misaligned(path, pointed, access)
      const [from, to] = stackRange(path, pointed, access)
      if (access.argument === true) {
        const frame = path.state.frames[pointed.frame]!
        if (write) {
          forget(frame, from, to)
          frame.written.fill(1, from, to)
        } else checkWritten(path, frame, access, from, to)
        return scalar
      }
      if (!write) return loadStack(path, pointed, access, from, to)
      storeStack(path, pointed, from, to, size, stored ?? unknownNumber)
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
      checkPacket(path, pointed, access)
      return scalar
    case "map":
      return anything // fields of struct bpf_map, through its BTF
    default:
      return path.reject(`R${register} invalid mem access '${nameOf(pointed)}'`)
  }
}
