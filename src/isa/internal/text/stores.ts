// Stores as text, and atomic operations.
import { atomics, classes, modes, sizes } from "../../opcodes.ts"
import type { Scanner } from "./scan.ts"
import { fetchingAtomics, lockedOperators } from "./syntax.ts"
import {
  addend,
  address,
  immediate32,
  immediate64,
  offset16,
  type Parsed,
  pointer,
  register,
  type RegisterWord,
  type Width
} from "./words.ts"

interface Fetching {
  readonly code: number
  /** The width that the name tells; the pointer tells it where this is undefined. */
  readonly bits: 32 | 64 | undefined
  /** LLVM's exchanges take a bare address, `xchg_64(r1 + 0, r2)`. */
  readonly bare: boolean
}

export const fetchingWords = new Map<string, Fetching>()
for (const [name, code] of [...fetchingAtomics, ["cmpxchg", atomics.BPF_CMPXCHG] as const]) {
  fetchingWords.set(`atomic64_${name}`, { code, bits: 64, bare: false })
  fetchingWords.set(`atomic_${name}`, { code, bits: undefined, bare: false })
}
for (const [name, code] of [["xchg", atomics.BPF_XCHG], ["cmpxchg", atomics.BPF_CMPXCHG]] as const) {
  fetchingWords.set(`${name}_64`, { code, bits: 64, bare: true })
  fetchingWords.set(`${name}32_32`, { code, bits: 32, bare: true })
}

/** `(u64 *)(r1 + 0)` */
const typedAddress = (s: Scanner): Width & ReturnType<typeof address> => {
  s.expect("(")
  const column = s.column
  const width = pointer(s)
  if (width.signed) s.fail("u8, u16, u32 or u64", `s${width.bits}`, column)
  return { ...width, ...address(s) }
}

const bareAddress = (s: Scanner, bits: 32 | 64): Width & ReturnType<typeof address> => {
  const base = register(s, 64)
  const size = bits === 64 ? sizes.BPF_DW : sizes.BPF_W
  return { size, bits, signed: false, register: base, offset: addend(s, offset16) }
}

// The pointer tells the width of an atomic operation: registers may be named in full or by their half, as the kernel does
// the one and LLVM the other.

/** `r2 = atomic64_fetch_add((u64 *)(r1 + 0), r2)`, after the name */
export const fetching = (s: Scanner, dst: RegisterWord, { bare, bits, code }: Fetching): Parsed => {
  s.expect("(")
  const column = s.column
  const place = bare ? bareAddress(s, bits!) : typedAddress(s)
  if (place.bits < 32 || (bits !== undefined && bits !== place.bits)) {
    s.fail(bits === undefined ? "u32 or u64" : `u${bits}`, `u${place.bits}`, column)
  }
  s.expect(",")
  const isCompare = code === atomics.BPF_CMPXCHG
  if (isCompare) {
    const second = s.column
    if (register(s) !== 0) s.fail("register 0, which is compared with", "another register", second)
    s.expect(",")
  }
  const src = register(s)
  s.expect(")")
  const result = isCompare ? 0 : src
  if (dst.number !== result) s.fail(`register ${result}, where the old value comes back`, "another register", s.first)
  const opcode = classes.BPF_STX | modes.BPF_ATOMIC | place.size
  return { opcode, dst: place.register, src, offset: place.offset, immediate: code }
}

/** `lock *(u64 *)(r1 + 0) += r2`, after `lock` */
export const locked = (s: Scanner): Parsed => {
  s.expect("*")
  const column = s.column
  const place = typedAddress(s)
  if (place.bits < 32) s.fail("u32 or u64", `u${place.bits}`, column)
  const found = lockedOperators.find(([operator]) => s.is(operator)) ?? s.fail("+=, |=, &= or ^=")
  s.take()
  const opcode = classes.BPF_STX | modes.BPF_ATOMIC | place.size
  return { opcode, dst: place.register, src: register(s), offset: place.offset, immediate: found[1] }
}

/** `r1 = load_acquire((u64 *)(r2 + 0))`, after the name */
export const loadAcquire = (s: Scanner, dst: RegisterWord): Parsed => {
  s.expect("(")
  const { offset, register: src, size } = typedAddress(s)
  s.expect(")")
  const opcode = classes.BPF_STX | modes.BPF_ATOMIC | size
  return { opcode, dst: dst.number, src, offset, immediate: atomics.BPF_LOAD_ACQ }
}

/** `store_release((u64 *)(r1 + 0), r2)`, after the name */
export const storeRelease = (s: Scanner): Parsed => {
  s.expect("(")
  const { offset, register: dst, size } = typedAddress(s)
  s.expect(",")
  const src = register(s)
  s.expect(")")
  const opcode = classes.BPF_STX | modes.BPF_ATOMIC | size
  return { opcode, dst, src, offset, immediate: atomics.BPF_STORE_REL }
}

/** `*(u64 *)(r1 + 0) = r2`, after `*` */
export const store = (s: Scanner): Parsed => {
  const { offset, register: dst, size } = typedAddress(s)
  s.expect("=")
  return s.isNumber
    ? {
      opcode: classes.BPF_ST | modes.BPF_MEM | size,
      dst,
      offset,
      immediate: size === sizes.BPF_DW ? immediate64(s) : immediate32(s)
    }
    : { opcode: classes.BPF_STX | modes.BPF_MEM | size, dst, offset, src: register(s) }
}
