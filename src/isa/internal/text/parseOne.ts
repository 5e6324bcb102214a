// One line of text as an instruction: what `print.ts` writes, and what llvm-objdump writes.
import {
  alu,
  BPF_ADDR_SPACE_CAST,
  classes,
  CONDITIONAL_JUMP,
  EXIT,
  INDIRECT_JUMP,
  JUMP,
  SIGNED,
  sources,
  WIDE_LOAD
} from "../../opcodes.ts"
import { call, conditional, jump, longJump } from "./control.ts"
import { btfLoad, functionLoad, load, mapLoad } from "./loads.ts"
import type { Scanner } from "./scan.ts"
import { fetching, fetchingWords, loadAcquire, locked, store, storeRelease } from "./stores.ts"
import { arithmeticOperators, signedOperators } from "./syntax.ts"
import { immediate32, type Parsed, register, type RegisterWord, registerWords, widthWords } from "./words.ts"

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
    ? { opcode: opcode | sources.BPF_K, dst, offset, immediate: immediate32(s) }
    : { opcode: opcode | sources.BPF_X, dst, offset, src: register(s, bits) }
}

const move = (dst: RegisterWord, rest: Omit<Parsed, "opcode" | "dst">): Parsed => ({
  opcode: aluClass(dst.bits) | alu.BPF_MOV | (rest.src === undefined ? sources.BPF_K : sources.BPF_X),
  dst: dst.number,
  ...rest
})

/** `r1 = 5`, `r1 = 5 ll`, after the sign if there is one */
const constant = (s: Scanner, dst: RegisterWord, negative: boolean): Parsed => {
  const column = s.column
  const value = s.big(negative)
  if (s.skip("ll")) {
    return dst.bits === 64
      ? { opcode: WIDE_LOAD, dst: dst.number, immediate: value }
      : s.fail("a register r0 to r10 for 64 bits", `w${dst.number}`, s.first)
  }
  const signed = BigInt.asIntN(64, value)
  if (signed < -0x80000000n || signed > 0xffffffffn) {
    return s.fail("a number of 32 bits, or ll after it", String(signed), column)
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

// ---------------------------------------------------------------- lines

const assignment = (s: Scanner, dst: RegisterWord): Parsed => {
  if (s.skip("*")) return load(s, dst)
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
  if (s.skip("exit")) return { opcode: EXIT }
  if (s.skip("lock")) return locked(s)
  return s.skip("store_release") ? storeRelease(s) : s.fail("an instruction")
}
