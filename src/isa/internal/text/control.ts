// Jumps and calls as text.
import { bpf_func_id } from "../../../abi/generated/enums.ts"
import { CALL, calls, classes, LONG_JUMP, sources } from "../../opcodes.ts"
import type { Scanner } from "./scan.ts"
import { comparisons } from "./syntax.ts"
import { immediate32, offset16, type Parsed, register, registerWords, target } from "./words.ts"

export const jump = (s: Scanner, opcode: number): Parsed => {
  const { distance: offset, ...rest } = target(s, 16)
  return { opcode, offset, ...rest }
}

export const longJump = (s: Scanner): Parsed => {
  const { distance: immediate, ...rest } = target(s, 32)
  return { opcode: LONG_JUMP, immediate, ...rest }
}

const comparisonWords = new Map(comparisons)

/** `if r1 == 0 goto +5`, after `if` */
export const conditional = (s: Scanner): Parsed => {
  const left = registerWords.get(s.peek()) ?? s.fail("a register")
  s.take()
  const operation = s.from(comparisonWords) ?? s.fail("a comparison")
  const opcode = operation | (left.bits === 64 ? classes.BPF_JMP : classes.BPF_JMP32)
  const right = s.isNumber ? { immediate: immediate32(s) } : { src: register(s, left.bits) }
  s.expect("goto")
  return { ...jump(s, opcode | ("src" in right ? sources.BPF_X : sources.BPF_K)), dst: left.number, ...right }
}

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

/** `bpf_map_lookup_elem#1`: the number counts, and the name where there is none. */
const helper = (s: Scanner): Parsed => {
  const column = s.column
  const name = s.take()
  if (s.skip("#")) return { opcode: CALL, immediate: immediate32(s) }
  const id = (bpf_func_id as { readonly [name: string]: number })[`BPF_FUNC_${name.replace(/^bpf_/, "")}`]
  return id === undefined ? s.fail("the name of a helper", name, column) : { opcode: CALL, immediate: id }
}

/** What is called, after `call`. */
export const call = (s: Scanner): Parsed => {
  if (s.skip("kfunc")) return kfunc(s)
  if (s.is("+") || s.is("-") || s.is("<") || s.is("pc")) {
    const { distance: immediate, ...rest } = target(s, 32)
    return { opcode: CALL, src: calls.BPF_PSEUDO_CALL, immediate, ...rest }
  }
  return s.isNumber
    ? { opcode: CALL, immediate: immediate32(s) }
    : /^[A-Za-z_]/.test(s.peek())
    ? helper(s)
    : s.fail("what to call")
}
