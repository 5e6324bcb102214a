// Loads as text: from memory, from packets, and of the addresses of maps, variables and functions.
import { classes, modes, pseudo, sizes, WIDE_LOAD } from "../../opcodes.ts"
import { INT32 } from "../../immediates.ts"
import { givenUpper } from "./given.ts"
import type { Scanner } from "./scan.ts"
import {
  addend,
  address,
  distance,
  immediate32,
  type Parsed,
  pointer,
  register,
  type RegisterWord,
  target,
  type Width
} from "./words.ts"

/** `r0 = *(u8 *)skb[r1 + 4]`, after `skb` */
const packetLoad = (s: Scanner, dst: RegisterWord, { signed, size }: Width, column: number): Parsed => {
  if (signed || size === sizes.BPF_DW) s.fail("u8, u16 or u32 of a packet", "another", column)
  if (dst.number !== 0) s.fail("r0, where packet loads end", `r${dst.number}`, s.first)
  s.expect("[")
  const opcode = classes.BPF_LD | size
  const parsed: Parsed = s.isNumber
    ? { opcode: opcode | modes.BPF_ABS, immediate: immediate32(s) }
    : { opcode: opcode | modes.BPF_IND, src: register(s, 64), immediate: addend(s, immediate32) }
  s.expect("]")
  return parsed
}

/** `r1 = *(u64 *)(r2 + 8)`, after `*` */
export const load = (s: Scanner, dst: RegisterWord): Parsed => {
  s.expect("(")
  const column = s.column
  const width = pointer(s)
  if (s.skip("skb")) return packetLoad(s, dst, width, column)
  if (width.signed && width.bits === 64) s.fail("s8, s16 or s32", "s64", column)
  const { offset, register: src } = address(s)
  const mode = width.signed ? modes.BPF_MEMSX : modes.BPF_MEM
  return { opcode: classes.BPF_LDX | mode | width.size, dst: dst.number, src, offset }
}

const reference = (name: string | undefined, tag: "Map" | "KernelVariable"): Pick<Parsed, "reference"> =>
  name === undefined ? {} : { reference: { _tag: tag, name } }

const halves = (low: number, high: number): bigint => (BigInt(high) << 32n) | BigInt(low >>> 0)

/** `map[fd:5][0]+16`, after `map` */
export const mapLoad = (s: Scanner, dst: number): Parsed => {
  s.expect("[")
  // What has been loaded shows a map's id, where the descriptor was.
  const isFd = s.is("fd") || s.is("id")
  if (!isFd && !s.is("idx")) s.fail("fd, id or idx")
  s.take()
  s.expect(":")
  const low = immediate32(s)
  s.expect("]")
  const isValue = s.skip("[")
  let high = 0
  if (isValue) {
    s.number(0, 0)
    s.expect("]")
    if (s.skip("+")) high = s.number(0, 0xffffffff)
  }
  const src = isFd
    ? isValue ? pseudo.BPF_PSEUDO_MAP_VALUE : pseudo.BPF_PSEUDO_MAP_FD
    : isValue
    ? pseudo.BPF_PSEUDO_MAP_IDX_VALUE
    : pseudo.BPF_PSEUDO_MAP_IDX
  const name = isFd ? s.optionalName() : undefined
  return { opcode: WIDE_LOAD, dst, src, immediate: halves(low, high), ...reference(name, "Map") }
}

/** `btf[id:5]@7`, after `btf` */
export const btfLoad = (s: Scanner, dst: number): Parsed => {
  s.expect("[")
  s.expect("id")
  s.expect(":")
  const low = immediate32(s)
  s.expect("]")
  const high = s.skip("@") ? s.number(0, 0xffffffff) : 0
  const immediate = halves(low, high)
  return {
    opcode: WIDE_LOAD,
    dst,
    src: pseudo.BPF_PSEUDO_BTF_ID,
    immediate,
    ...reference(s.optionalName(), "KernelVariable")
  }
}

/** `subprog[+5]`, after `subprog`: the kernel has put the function's number into the upper half. */
export const subprogramLoad = (s: Scanner, dst: number): Parsed => {
  const upper = givenUpper(s.given)
  if (upper === undefined) s.fail("func +5, or the bytes of the instruction, since this text leaves out half of it")
  s.expect("[")
  const low = distance(s, ...INT32)
  s.expect("]")
  return { opcode: WIDE_LOAD, dst, src: pseudo.BPF_PSEUDO_FUNC, immediate: halves(low, upper!) }
}

/** `func +5 <name>`, after `func`; a name alone will do */
export const functionLoad = (s: Scanner, dst: number): Parsed => {
  const { distance: low, ...rest } = target(s, 32)
  return { opcode: WIDE_LOAD, dst, src: pseudo.BPF_PSEUDO_FUNC, immediate: halves(low, 0), ...rest }
}
