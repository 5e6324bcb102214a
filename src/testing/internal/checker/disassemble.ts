// Instructions as the verifier's log prints them (kernel/bpf/disasm.c).
import { bpf_func_id } from "../../../abi/generated/enums.ts"
import { alu, atomics, classes, jumps, modes, sizes, WIDE_LOAD } from "../../../isa/opcodes.ts"
import { CALL, calls, type Code, EXIT, LONG_JUMP, MAY_GOTO } from "../interpreter/code.ts"

const helperNames = new Map<number, string>(
  Object.entries(bpf_func_id).map(([name, id]) => [id, name.replace("BPF_FUNC_", "bpf_")])
)

/** A helper's name as C has it, or `undefined`. */
export const helperName = (id: number): string | undefined => helperNames.get(id)

const operators: { readonly [operation: number]: string } = {
  [alu.BPF_ADD]: "+=",
  [alu.BPF_SUB]: "-=",
  [alu.BPF_MUL]: "*=",
  [alu.BPF_DIV]: "/=",
  [alu.BPF_OR]: "|=",
  [alu.BPF_AND]: "&=",
  [alu.BPF_LSH]: "<<=",
  [alu.BPF_RSH]: ">>=",
  [alu.BPF_MOD]: "%=",
  [alu.BPF_XOR]: "^=",
  [alu.BPF_MOV]: "=",
  [alu.BPF_ARSH]: "s>>="
}

const comparisons: { readonly [operation: number]: string } = {
  [jumps.BPF_JEQ]: "==",
  [jumps.BPF_JGT]: ">",
  [jumps.BPF_JLT]: "<",
  [jumps.BPF_JGE]: ">=",
  [jumps.BPF_JLE]: "<=",
  [jumps.BPF_JSET]: "&",
  [jumps.BPF_JNE]: "!=",
  [jumps.BPF_JSGT]: "s>",
  [jumps.BPF_JSLT]: "s<",
  [jumps.BPF_JSGE]: "s>=",
  [jumps.BPF_JSLE]: "s<="
}

const types: { readonly [size: number]: string } = {
  [sizes.BPF_B]: "u8",
  [sizes.BPF_H]: "u16",
  [sizes.BPF_W]: "u32",
  [sizes.BPF_DW]: "u64"
}

const atomicNames: { readonly [operation: number]: string } = {
  [atomics.BPF_ADD]: "add",
  [atomics.BPF_AND]: "and",
  [atomics.BPF_OR]: "or",
  [atomics.BPF_XOR]: "xor"
}

const sign = (offset: number): string => offset < 0 ? String(offset) : `+${offset}`

const arithmetic = (code: Code, pc: number): string => {
  const opcode = code.opcodes[pc]!
  const operation = opcode & 0xf0
  const is64 = (opcode & 7) === classes.BPF_ALU64
  const dst = `${is64 ? "r" : "w"}${code.dst[pc]}`
  const immediate = code.immediates[pc]!
  const offset = code.offsets[pc]!
  if (operation === alu.BPF_END) {
    const name = is64 ? "bswap" : (opcode & 8) !== 0 ? "be" : "le"
    return `r${code.dst[pc]} = ${name}${immediate} r${code.dst[pc]}`
  }
  if (operation === alu.BPF_NEG) return `${dst} = -${dst}`
  if ((opcode & 8) === 0) return `${dst} ${offset === 1 ? "s" : ""}${operators[operation] ?? "?"} ${immediate}`
  const src = `${is64 ? "r" : "w"}${code.src[pc]}`
  if (operation !== alu.BPF_MOV) return `${dst} ${offset === 1 ? "s" : ""}${operators[operation] ?? "?"} ${src}`
  if (is64 && offset === 1) return `${dst} = addr_space_cast(${src}, ${immediate >>> 16}, ${immediate & 0xffff})`
  return offset === 0 ? `${dst} = ${src}` : `${dst} = (s${offset})${src}`
}

const atomic = (code: Code, pc: number): string => {
  const place = `(${types[code.opcodes[pc]! & 0x18]} *)(r${code.dst[pc]} ${sign(code.offsets[pc]!)})`
  const operation = code.immediates[pc]!
  const wide = (code.opcodes[pc]! & 0x18) === sizes.BPF_DW
  const bits = wide ? "64" : ""
  const w = wide ? "r" : "w"
  const src = `${w}${code.src[pc]}`
  switch (operation) {
    case atomics.BPF_CMPXCHG:
      return `${w}0 = atomic${bits}_cmpxchg(${place}, ${w}0, ${src})`
    case atomics.BPF_XCHG:
      return `${src} = atomic${bits}_xchg(${place}, ${src})`
    case atomics.BPF_LOAD_ACQ:
      return `${w}${code.dst[pc]} = load_acquire((${types[code.opcodes[pc]! & 0x18]} *)(r${code.src[pc]} ${
        sign(code.offsets[pc]!)
      }))`
    case atomics.BPF_STORE_REL:
      return `store_release(${place}, ${src})`
    default: {
      const name = atomicNames[operation & ~atomics.BPF_FETCH] ?? "?"
      if ((operation & atomics.BPF_FETCH) !== 0) return `${src} = atomic${bits}_fetch_${name}(${place}, ${src})`
      return `lock *${place} ${operators[operation] ?? "?"} r${code.src[pc]}`
    }
  }
}

const jump = (code: Code, pc: number): string => {
  const opcode = code.opcodes[pc]!
  if (opcode === EXIT) return "exit"
  if (opcode === LONG_JUMP) return `gotol pc${sign(code.immediates[pc]!)}`
  if (opcode === MAY_GOTO) return `may_goto pc${sign(code.offsets[pc]!)}`
  if (opcode === CALL) {
    const id = code.immediates[pc]!
    if (code.src[pc] === calls.program) return `call pc${sign(id)}`
    if (code.src[pc] === calls.kfunc) return `call kernel-function#${id}`
    return `call ${helperName(id) ?? "unknown"}#${id}`
  }
  if ((opcode & 0xf0) === jumps.BPF_JA) return `goto pc${sign(code.offsets[pc]!)}`
  const r = (opcode & 7) === classes.BPF_JMP32 ? "w" : "r"
  const value = (opcode & 8) !== 0
    ? `${r}${code.src[pc]}`
    : `${code.immediates[pc]! < 0 ? "-" : ""}0x${Math.abs(code.immediates[pc]!).toString(16)}`
  return `if ${r}${code.dst[pc]} ${comparisons[opcode & 0xf0] ?? "?"} ${value} goto pc${sign(code.offsets[pc]!)}`
}

const text = (code: Code, pc: number): string => {
  const opcode = code.opcodes[pc]!
  const place = (register: number) => `*(${types[opcode & 0x18]} *)(r${register} ${sign(code.offsets[pc]!)})`
  switch (opcode & 7) {
    case classes.BPF_ALU:
    case classes.BPF_ALU64:
      return arithmetic(code, pc)
    case classes.BPF_LDX: {
      const memory = place(code.src[pc]!)
      return `r${code.dst[pc]} = ${(opcode & 0xe0) === modes.BPF_MEMSX ? memory.replace("u", "s") : memory}`
    }
    case classes.BPF_ST:
      return `${place(code.dst[pc]!)} = ${code.immediates[pc]}`
    case classes.BPF_STX:
      return (opcode & 0xe0) === modes.BPF_ATOMIC ? atomic(code, pc) : `${place(code.dst[pc]!)} = r${code.src[pc]}`
    case classes.BPF_LD:
      if (opcode === WIDE_LOAD) return `r${code.dst[pc]} = 0x${(code.wide.get(pc) ?? 0n).toString(16)}`
      return (opcode & 0xe0) === modes.BPF_IND
        ? `r0 = *(${types[opcode & 0x18]} *)skb[r${code.src[pc]} + ${code.immediates[pc]}]`
        : `r0 = *(${types[opcode & 0x18]} *)skb[${code.immediates[pc]}]`
    default:
      return jump(code, pc)
  }
}

/** A line of the log: `12: (79) r1 = *(u64 *)(r2 +0)`. */
export const line = (code: Code, pc: number): string =>
  `${pc}: (${code.opcodes[pc]!.toString(16).padStart(2, "0")}) ${text(code, pc)}`
