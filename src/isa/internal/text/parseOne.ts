// One line of text as an instruction: what `print.ts` writes, and what llvm-objdump writes.
import {
  alu,
  BPF_ADDR_SPACE_CAST,
  classes,
  CONDITIONAL_JUMP,
  EXIT,
  INDIRECT_JUMP,
  JUMP,
  PER_CPU_ADDRESS,
  SIGNED,
  sources,
  SPECULATION_BARRIER,
  WIDE_LOAD
} from "../../opcodes.ts"
import { INT32, WORD32 } from "../../immediates.ts"
import { call, callx, conditional, jump, longJump } from "./control.ts"
import { givenOpcode, givenSource } from "./given.ts"
import { btfLoad, functionLoad, load, mapLoad, subprogramLoad } from "./loads.ts"
import type { Scanner } from "./scan.ts"
import { fetching, fetchingWords, loadAcquire, locked, store, storeRelease } from "./stores.ts"
import { arithmeticOperators, signedOperators } from "./syntax.ts"
import {
  immediate32,
  immediate64,
  type Parsed,
  register,
  type RegisterWord,
  registerWords,
  widthWords
} from "./words.ts"

// ---------------------------------------------------------------- arithmetic

interface Operation {
  readonly operation: number
  readonly offset: number
}

const operations = new Map<string, Operation>()
for (const [operator, operation] of arithmeticOperators) operations.set(operator, { operation, offset: 0 })
for (const [operator, operation] of signedOperators) operations.set(operator, { operation, offset: SIGNED })

const aluClass = (bits: 32 | 64): number => bits === 64 ? classes.BPF_ALU64 : classes.BPF_ALU

const operate = (s: Scanner, { bits, number: dst }: RegisterWord, { offset, operation }: Operation): Parsed => {
  const opcode = aluClass(bits) | operation
  return s.isNumber
    ? { opcode: opcode | sources.BPF_K, dst, offset, immediate: bits === 64 ? immediate64(s) : immediate32(s) }
    : { opcode: opcode | sources.BPF_X, dst, offset, src: register(s, bits) }
}

const move = (dst: RegisterWord, rest: Omit<Parsed, "opcode" | "dst">): Parsed => ({
  opcode: aluClass(dst.bits) | alu.BPF_MOV | (rest.src === undefined ? sources.BPF_K : sources.BPF_X),
  dst: dst.number,
  ...rest
})

/** Where kernels have their own memory: the upper 16 bits of all addresses there are set. */
const KERNEL_ADDRESSES = 0xffff000000000000n
/** What the verifier says of a register with a number. */
const SCALAR = /\bR\d+(?:_\w*)?=(?:scalar|inv|-?\d|P?0x)/

/**
 * A wide load as the verifier's log has it, `(18) r1 = 0xffff88810439e400`: without `ll`, and with the address of a map in
 * place of what the program has there.
 */
const loggedWide = (s: Scanner, dst: RegisterWord, value: bigint, column: number): Parsed => {
  const { bytes, state } = s.given
  const isAddress = value >= KERNEL_ADDRESSES && (state === undefined || !SCALAR.test(state))
  const isPointer = state !== undefined && /\bR\d+(?:_\w*)?=(?:map|percpu|ptr_|rdonly|func|mem)/.test(state)
  if (bytes === undefined && (isAddress || isPointer)) {
    const expected = "map[fd:N] or the bytes of the instruction: the log shows an address of this kernel in their place"
    return s.fail(expected, `0x${value.toString(16)}`, column)
  }
  return { opcode: WIDE_LOAD, dst: dst.number, src: givenSource(s.given) ?? 0, immediate: value }
}

/** `r1 = 5`, `r1 = 5 ll`, after the sign if there is one */
const constant = (s: Scanner, dst: RegisterWord, negative: boolean): Parsed => {
  const column = s.column
  const value = s.big(negative)
  const hasSuffix = s.skip("ll")
  if (hasSuffix || givenOpcode(s.given) === WIDE_LOAD) {
    if (dst.bits !== 64) return s.fail("a register r0 to r10 for 64 bits", `w${dst.number}`, s.first)
    return hasSuffix
      ? { opcode: WIDE_LOAD, dst: dst.number, src: givenSource(s.given) ?? 0, immediate: value }
      : loggedWide(s, dst, value, column)
  }
  const signed = BigInt.asIntN(64, value)
  const [minimum, maximum] = dst.bits === 64 ? INT32 : WORD32
  if (signed < minimum || signed > maximum) {
    const expected = dst.bits === 64
      ? `a number from ${minimum} to ${maximum}, since its sign is extended, or ll after it for 64 bits`
      : "a number of 32 bits"
    return s.fail(expected, String(signed), column)
  }
  return move(dst, { immediate: Number(signed) | 0 })
}

/** `r1 = -r1` */
const negation = (s: Scanner, dst: RegisterWord): Parsed => {
  const column = s.column
  const src = register(s, dst.bits)
  const name = `${dst.bits === 64 ? "r" : "w"}${dst.number}`
  if (src !== dst.number) s.fail(name, "another register", column)
  return { opcode: aluClass(dst.bits) | alu.BPF_NEG, dst: dst.number }
}

/** `r1 = (s8)r2` */
const extension = (s: Scanner, dst: RegisterWord): Parsed => {
  const width = s.from(widthWords)
  if (width === undefined || !width.signed || width.bits >= dst.bits) {
    return s.fail(dst.bits === 64 ? "s8, s16 or s32" : "s8 or s16")
  }
  s.expect(")")
  return move(dst, { offset: width.bits, src: register(s, dst.bits) })
}

const swapOpcodes = new Map<string, readonly [opcode: number, bits: number]>()
for (const bits of [16, 32, 64]) {
  swapOpcodes.set(`le${bits}`, [classes.BPF_ALU | alu.BPF_END | sources.BPF_K, bits])
  swapOpcodes.set(`be${bits}`, [classes.BPF_ALU | alu.BPF_END | sources.BPF_X, bits])
  swapOpcodes.set(`bswap${bits}`, [classes.BPF_ALU64 | alu.BPF_END, bits])
}

/** `r1 = be16 r1` */
const swap = (s: Scanner, dst: RegisterWord, [opcode, bits]: readonly [number, number]): Parsed => {
  const column = s.column
  if (register(s, 64) !== dst.number || dst.bits !== 64) s.fail(`r${dst.number}`, "another register", column)
  return { opcode, dst: dst.number, immediate: bits }
}

/** `r1 = addr_space_cast(r2, 0, 1)` */
const spaceCast = (s: Scanner, dst: RegisterWord): Parsed => {
  s.expect("(")
  const src = register(s, 64)
  s.expect(",")
  const to = s.number(0, 0xffff)
  s.expect(",")
  const from = s.number(0, 0xffff)
  s.expect(")")
  return move(dst, { src, offset: BPF_ADDR_SPACE_CAST, immediate: (to << 16) | from })
}

/** `r1 = &(void __percpu *)(r1)`, after `&`: the kernel's own, in place of calls that give an address of this CPU */
const perCpu = (s: Scanner, dst: RegisterWord): Parsed => {
  for (const word of ["(", "void", "__percpu", "*", ")", "("]) s.expect(word)
  const src = register(s, 64)
  s.expect(")")
  return move(dst, { src, offset: PER_CPU_ADDRESS })
}

// ---------------------------------------------------------------- lines

const assignment = (s: Scanner, dst: RegisterWord): Parsed => {
  if (s.skip("*")) return load(s, dst)
  if (dst.bits === 64 && s.skip("&")) return perCpu(s, dst)
  if (s.skip("(")) return extension(s, dst)
  const negative = s.skip("-")
  if (negative && registerWords.has(s.peek())) return negation(s, dst)
  if (negative) return constant(s, dst, true)
  if (s.isNumber) return constant(s, dst, false)
  if (registerWords.has(s.peek())) return move(dst, { src: register(s, dst.bits) })
  const bytes = s.from(swapOpcodes)
  if (bytes !== undefined) return swap(s, dst, bytes)
  const atomic = s.from(fetchingWords)
  if (atomic !== undefined) return fetching(s, dst, atomic)
  if (s.skip("load_acquire")) return loadAcquire(s, dst)
  if (dst.bits === 64 && s.skip("addr_space_cast")) return spaceCast(s, dst)
  if (dst.bits === 64 && s.skip("map")) return mapLoad(s, dst.number)
  if (dst.bits === 64 && s.skip("btf")) return btfLoad(s, dst.number)
  if (dst.bits === 64 && s.skip("func")) return functionLoad(s, dst.number)
  if (dst.bits === 64 && s.skip("subprog")) return subprogramLoad(s, dst.number)
  return s.fail("a value")
}

/** The instruction of a line; throws `ParseError` where there is none. Data lines are not for it. */
export const parseOne = (s: Scanner): Parsed => {
  const dst = s.from(registerWords)
  if (dst !== undefined) {
    if (s.skip("=")) return assignment(s, dst)
    return operate(s, dst, s.from(operations) ?? s.fail("an operator such as = or +="))
  }
  if (s.skip("*")) return store(s)
  if (s.skip("if")) return conditional(s)
  if (s.skip("goto")) return jump(s, JUMP)
  if (s.skip("may_goto")) return jump(s, CONDITIONAL_JUMP)
  if (s.skip("gotol")) return longJump(s)
  if (s.skip("gotox")) return { opcode: INDIRECT_JUMP, dst: register(s, 64) }
  if (s.skip("call")) return call(s)
  if (s.skip("callx")) return callx(s)
  if (s.skip("nospec")) return { opcode: SPECULATION_BARRIER }
  if (s.skip("exit")) return { opcode: EXIT }
  if (s.skip("lock")) return locked(s)
  return s.skip("store_release") ? storeRelease(s) : s.fail("an instruction")
}
