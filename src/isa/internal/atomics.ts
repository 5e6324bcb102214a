// Atomic operations on memory: class STX with mode ATOMIC. The operation is in the immediate.
import type { Instruction } from "../Instruction.ts"
import { atomics, classes, modes, sizes } from "../opcodes.ts"
import { INT16 } from "../immediates.ts"
import { at, Operands, type Register } from "./operand.ts"
import { named } from "./source.ts"

/**
 * An operation on the number at `dst + offset` that no other CPU sees half done. Those that fetch leave the number that
 * was there before in `src`, and order all memory accesses before and after them; the others order nothing.
 */
export type Atomic = (dst: Register, offset: number, src: Register) => Instruction

const atomic = (name: string, operation: number): Atomic => {
  const opcode = classes.BPF_STX | modes.BPF_ATOMIC | (name.endsWith("32") ? sizes.BPF_W : sizes.BPF_DW)
  const builder: Atomic = named(name, (dst, offset, src) => {
    const operands = new Operands(builder)
    return at(builder, operands, {
      opcode,
      dst: operands.register("dst", dst),
      offset: operands.integer("offset", offset, INT16),
      src: operands.register("src", src),
      immediate: operation
    })
  })
  return builder
}

/** `*(dst + offset) += src`, 8 bytes. */
export const atomicAdd: Atomic = atomic("atomicAdd", atomics.BPF_ADD)
/** `*(dst + offset) |= src`, 8 bytes. Kernel 5.12. */
export const atomicOr: Atomic = atomic("atomicOr", atomics.BPF_OR)
/** `*(dst + offset) &= src`, 8 bytes. Kernel 5.12. */
export const atomicAnd: Atomic = atomic("atomicAnd", atomics.BPF_AND)
/** `*(dst + offset) ^= src`, 8 bytes. Kernel 5.12. */
export const atomicXor: Atomic = atomic("atomicXor", atomics.BPF_XOR)
/** `*(dst + offset) += src`, 8 bytes, and `src` becomes what was there. Kernel 5.12. */
export const atomicFetchAdd: Atomic = atomic("atomicFetchAdd", atomics.BPF_ADD | atomics.BPF_FETCH)
/** `*(dst + offset) |= src`, 8 bytes, and `src` becomes what was there. Kernel 5.12. */
export const atomicFetchOr: Atomic = atomic("atomicFetchOr", atomics.BPF_OR | atomics.BPF_FETCH)
/** `*(dst + offset) &= src`, 8 bytes, and `src` becomes what was there. Kernel 5.12. */
export const atomicFetchAnd: Atomic = atomic("atomicFetchAnd", atomics.BPF_AND | atomics.BPF_FETCH)
/** `*(dst + offset) ^= src`, 8 bytes, and `src` becomes what was there. Kernel 5.12. */
export const atomicFetchXor: Atomic = atomic("atomicFetchXor", atomics.BPF_XOR | atomics.BPF_FETCH)
/** Exchanges `*(dst + offset)` and `src`, 8 bytes. Kernel 5.12. */
export const atomicXchg: Atomic = atomic("atomicXchg", atomics.BPF_XCHG)
/** `*(dst + offset) = src` if it was equal to `r0`, 8 bytes; `r0` becomes what was there. Kernel 5.12. */
export const atomicCmpxchg: Atomic = atomic("atomicCmpxchg", atomics.BPF_CMPXCHG)
/** As `atomicAdd`, 4 bytes. */
export const atomicAdd32: Atomic = atomic("atomicAdd32", atomics.BPF_ADD)
/** As `atomicOr`, 4 bytes. */
export const atomicOr32: Atomic = atomic("atomicOr32", atomics.BPF_OR)
/** As `atomicAnd`, 4 bytes. */
export const atomicAnd32: Atomic = atomic("atomicAnd32", atomics.BPF_AND)
/** As `atomicXor`, 4 bytes. */
export const atomicXor32: Atomic = atomic("atomicXor32", atomics.BPF_XOR)
/** As `atomicFetchAdd`, 4 bytes. */
export const atomicFetchAdd32: Atomic = atomic("atomicFetchAdd32", atomics.BPF_ADD | atomics.BPF_FETCH)
/** As `atomicFetchOr`, 4 bytes. */
export const atomicFetchOr32: Atomic = atomic("atomicFetchOr32", atomics.BPF_OR | atomics.BPF_FETCH)
/** As `atomicFetchAnd`, 4 bytes. */
export const atomicFetchAnd32: Atomic = atomic("atomicFetchAnd32", atomics.BPF_AND | atomics.BPF_FETCH)
/** As `atomicFetchXor`, 4 bytes. */
export const atomicFetchXor32: Atomic = atomic("atomicFetchXor32", atomics.BPF_XOR | atomics.BPF_FETCH)
/** As `atomicXchg`, 4 bytes. */
export const atomicXchg32: Atomic = atomic("atomicXchg32", atomics.BPF_XCHG)
/** As `atomicCmpxchg`, 4 bytes. */
export const atomicCmpxchg32: Atomic = atomic("atomicCmpxchg32", atomics.BPF_CMPXCHG)

/** `dst = *(src + offset)`, zero-extended, before any later access to memory. Kernel 6.15. */
export type LoadAcquire = (dst: Register, src: Register, offset: number) => Instruction

const loadAcquire = (name: string, size: number): LoadAcquire => {
  const opcode = classes.BPF_STX | modes.BPF_ATOMIC | size
  const builder: LoadAcquire = named(name, (dst, src, offset) => {
    const operands = new Operands(builder)
    return at(builder, operands, {
      opcode,
      dst: operands.register("dst", dst),
      src: operands.register("src", src),
      offset: operands.integer("offset", offset, INT16),
      immediate: atomics.BPF_LOAD_ACQ
    })
  })
  return builder
}

/** Loads 1 byte, with acquire ordering. */
export const loadAcquire8: LoadAcquire = loadAcquire("loadAcquire8", sizes.BPF_B)
/** Loads 2 bytes, with acquire ordering. */
export const loadAcquire16: LoadAcquire = loadAcquire("loadAcquire16", sizes.BPF_H)
/** Loads 4 bytes, with acquire ordering. */
export const loadAcquire32: LoadAcquire = loadAcquire("loadAcquire32", sizes.BPF_W)
/** Loads 8 bytes, with acquire ordering. */
export const loadAcquire64: LoadAcquire = loadAcquire("loadAcquire64", sizes.BPF_DW)

/** `*(dst + offset) = src`, after any earlier access to memory. Kernel 6.15. */
export type StoreRelease = (dst: Register, offset: number, src: Register) => Instruction

const storeRelease = (name: string, size: number): StoreRelease => {
  const opcode = classes.BPF_STX | modes.BPF_ATOMIC | size
  const builder: StoreRelease = named(name, (dst, offset, src) => {
    const operands = new Operands(builder)
    return at(builder, operands, {
      opcode,
      dst: operands.register("dst", dst),
      offset: operands.integer("offset", offset, INT16),
      src: operands.register("src", src),
      immediate: atomics.BPF_STORE_REL
    })
  })
  return builder
}

/** Stores 1 byte, with release ordering. */
export const storeRelease8: StoreRelease = storeRelease("storeRelease8", sizes.BPF_B)
/** Stores 2 bytes, with release ordering. */
export const storeRelease16: StoreRelease = storeRelease("storeRelease16", sizes.BPF_H)
/** Stores 4 bytes, with release ordering. */
export const storeRelease32: StoreRelease = storeRelease("storeRelease32", sizes.BPF_W)
/** Stores 8 bytes, with release ordering. */
export const storeRelease64: StoreRelease = storeRelease("storeRelease64", sizes.BPF_DW)
