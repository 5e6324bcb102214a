// Jumps and calls as text.
import { bpf_func_id } from "../../../abi/generated/enums.ts"
import { INT32, WORD32 } from "../../immediates.ts"
import { CALL, calls, classes, INDIRECT_CALL, LONG_JUMP, sources } from "../../opcodes.ts"
import { givenImmediate, givenOffset, givenSource, isBare } from "./given.ts"
import type { Scanner } from "./scan.ts"
import { comparisons } from "./syntax.ts"
import { immediate32, immediate64, offset16, type Parsed, register, registerWords, target } from "./words.ts"

export const jump = (s: Scanner, opcode: number): Parsed => {
  const { distance: offset, ...rest } = target(s, 16)
  return { opcode, offset, ...rest }
}

export const longJump = (s: Scanner): Parsed => {
  const { distance: immediate, ...rest } = target(s, 32)
  return { opcode: LONG_JUMP, immediate, ...rest }
}

const comparisonWords = new Map(comparisons)

/** The kernel writes the 32 bits of a comparison's immediate, `0xfffffffd` for -3, whatever it compares. */
const compared = (s: Scanner, bits: 32 | 64): number =>
  bits === 32 ? immediate32(s) : immediate64(s, s.given.opcode === undefined ? INT32 : WORD32)

/** `if r1 == 0 goto +5`, after `if` */
export const conditional = (s: Scanner): Parsed => {
  const left = registerWords.get(s.peek()) ?? s.fail("a register")
  s.take()
  const operation = s.from(comparisonWords) ?? s.fail("a comparison")
  const opcode = operation | (left.bits === 64 ? classes.BPF_JMP : classes.BPF_JMP32)
  const right = s.isNumber ? { immediate: compared(s, left.bits) } : { src: register(s, left.bits) }
  s.expect("goto")
  return { ...jump(s, opcode | ("src" in right ? sources.BPF_X : sources.BPF_K)), dst: left.number, ...right }
}

const UNTOLD = "or the bytes of the instruction, since this text does not tell"

/** `kfunc#12@3 <name>`, after `kfunc` */
const kfunc = (s: Scanner): Parsed => {
  const immediate = s.skip("#") ? immediate32(s) : 0
  const offset = s.skip("@") ? offset16(s) : 0
  const name = s.optionalName()
  return {
    opcode: CALL,
    src: calls.BPF_PSEUDO_KFUNC_CALL,
    immediate,
    offset,
    ...(name === undefined ? {} : { reference: { _tag: "Kfunc", name } as const })
  }
}

const ids = bpf_func_id as { readonly [name: string]: number }
/** Numbers of helpers; what is beyond them, and below 0, is an address that the kernel has put there. */
const MOST_HELPER = Object.keys(ids).length

/**
 * `bpf_map_lookup_elem#1`, or the name alone. The kernel also writes so what it calls of its own: `bpf_rcu_read_lock#12345`,
 * and, in dumps of what it has rewritten, `htab_map_update_elem#350800`.
 */
const named = (s: Scanner): Parsed => {
  const column = s.column
  const name = s.take()
  const key = `BPF_FUNC_${name.replace(/^bpf_/, "")}`
  const id = Object.hasOwn(ids, key) ? ids[key] : undefined
  const src = givenSource(s.given)
  if (!s.skip("#")) {
    return id === undefined
      ? s.fail("the name of a helper", name, column)
      : { opcode: CALL, immediate: id }
  }
  const number = s.column
  const immediate = immediate32(s)
  if (src !== undefined) return { opcode: CALL, src, immediate, offset: givenOffset(s.given) }
  if (id === immediate || name === "helper" || name === "unknown") return { opcode: CALL, immediate }
  if (id === undefined) return s.fail(`the name of a helper, ${UNTOLD} what else ${name} is`, name, column)
  return immediate < 0 || immediate > MOST_HELPER
    ? { opcode: CALL, immediate }
    : s.fail(`${id}, which is the number of ${name}`, String(immediate), number)
}

/** `5`: LLVM writes calls of helpers and of functions alike, and tells them apart by the bytes alone. */
const numbered = (s: Scanner): Parsed => {
  const src = givenSource(s.given)
  if (src !== undefined) return { opcode: CALL, src, immediate: immediate32(s) }
  if (isBare(s.given)) {
    return s.fail(`call bpf_NAME#${s.peek()} or call +${s.peek()}, ${UNTOLD} a helper from a function`)
  }
  return { opcode: CALL, immediate: immediate32(s) }
}

/** `+5`, `pc+5 <name>`, and in dumps of what the kernel has rewritten `pc+5#bpf_prog_0d1be93dc989b97b_mix`. */
const local = (s: Scanner): Parsed => {
  const { distance: immediate, ...rest } = target(s, 32)
  if (s.is("#")) {
    const actual = givenImmediate(s.given)
    if (actual === undefined) {
      return s.fail(`a call of +5, ${UNTOLD} the function's number that the kernel has put there`)
    }
    s.skipRest()
    return { opcode: CALL, src: givenSource(s.given)!, offset: immediate, immediate: actual }
  }
  return { opcode: CALL, src: givenSource(s.given) ?? calls.BPF_PSEUDO_CALL, immediate, ...rest }
}

/** What is called, after `call`. */
export const call = (s: Scanner): Parsed => {
  if (s.skip("kfunc")) return kfunc(s)
  if (s.is("+") || s.is("-") || s.is("<") || s.is("pc")) return local(s)
  return s.isNumber ? numbered(s) : /^[A-Za-z_]/.test(s.peek()) ? named(s) : s.fail("what to call")
}

/** `r1`, after `callx`. LLVM up to 18 has the register in the immediate, RFC 9669 and LLVM since 19 as destination. */
export const callx = (s: Scanner): Parsed => {
  const { bytes } = s.given
  if (isBare(s.given)) return s.fail(`callx with ${UNTOLD.slice(3)} which form of it this is`)
  const number = register(s, 64)
  const isOld = bytes !== undefined && givenImmediate(s.given) === number && (bytes[1]! & 15) === 0
  return isOld ? { opcode: INDIRECT_CALL, immediate: number } : { opcode: INDIRECT_CALL, dst: number }
}
