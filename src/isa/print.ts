// One instruction as text, in the style of LLVM's disassembler. There is a printer for each opcode. It gives `undefined`
// for numbers that the text would not keep, such as an offset in an `exit`: those become a line of data.
import { bpf_func_id } from "../abi/generated/enums.ts"
import {
  alu,
  atomics,
  BPF_ADDR_SPACE_CAST,
  CALL,
  calls,
  classes,
  CONDITIONAL_JUMP,
  EXIT,
  INDIRECT_CALL,
  INDIRECT_JUMP,
  JUMP,
  jumps,
  LONG_JUMP,
  modes,
  PER_CPU_ADDRESS,
  SIGNED,
  sizes,
  sources,
  SPECULATION_BARRIER
} from "./opcodes.ts"
import {
  arithmeticOperators,
  comparisons,
  fetchingAtomics,
  lockedOperators,
  signedOperators,
  widths
} from "./internal/text/syntax.ts"

/** The text of an instruction with these numbers; where it ends in a distance, a name may follow. */
export type Printer = (dst: number, src: number, offset: number, immediate: number) => string | undefined

const registers = Array.from({ length: 11 }, (_, n) => `r${n}`)
const halves = Array.from({ length: 11 }, (_, n) => `w${n}`)

/** Printers by opcode. Registers above 10 are not for them. */
export const printers: Array<Printer | undefined> = Array.from({ length: 256 })

/** `+5` or `-5`. */
export const signed = (n: number): string => n < 0 ? `${n}` : `+${n}`

const address = (register: number, offset: number): string =>
  offset < 0 ? `(${registers[register]} - ${-offset})` : `(${registers[register]} + ${offset})`

// ---------------------------------------------------------------- arithmetic

const addArithmetic = (
  operationClass: number,
  names: ReadonlyArray<string>,
  operator: string,
  operation: number,
  wanted: number
): void => {
  const chain = (opcode: number, printer: Printer) => {
    const other = printers[opcode]
    printers[opcode] = (dst, src, offset, immediate) =>
      offset === wanted ? printer(dst, src, offset, immediate) : other?.(dst, src, offset, immediate)
  }
  chain(
    operationClass | operation | sources.BPF_K,
    (dst, src, _, immediate) => src === 0 ? `${names[dst]} ${operator} ${immediate}` : undefined
  )
  chain(
    operationClass | operation | sources.BPF_X,
    (dst, src, _, immediate) => immediate === 0 ? `${names[dst]} ${operator} ${names[src]}` : undefined
  )
}

const spaceCast = (dst: number, src: number, immediate: number): string =>
  `${registers[dst]} = addr_space_cast(${registers[src]}, ${immediate >>> 16}, ${immediate & 0xffff})`

const addMoves = (operationClass: number, names: ReadonlyArray<string>): void => {
  const isLong = operationClass === classes.BPF_ALU64
  addArithmetic(operationClass, names, "=", alu.BPF_MOV, 0)
  const plain = printers[operationClass | alu.BPF_MOV | sources.BPF_X]!
  printers[operationClass | alu.BPF_MOV | sources.BPF_X] = (dst, src, offset, immediate) => {
    if (offset === 0) return plain(dst, src, offset, immediate)
    if (isLong && offset === BPF_ADDR_SPACE_CAST) return spaceCast(dst, src, immediate)
    if (isLong && offset === PER_CPU_ADDRESS && immediate === 0) {
      return `${registers[dst]} = &(void __percpu *)(${registers[src]})`
    }
    const extends_ = offset === 8 || offset === 16 || (isLong && offset === 32)
    return extends_ && immediate === 0 ? `${names[dst]} = (s${offset})${names[src]}` : undefined
  }
}

const addSwap = (opcode: number, name: string): void => {
  printers[opcode] = (dst, src, offset, immediate) =>
    src === 0 && offset === 0 && (immediate === 16 || immediate === 32 || immediate === 64)
      ? `${registers[dst]} = ${name}${immediate} ${registers[dst]}`
      : undefined
}

for (const [operationClass, names] of [[classes.BPF_ALU64, registers], [classes.BPF_ALU, halves]] as const) {
  for (const [operator, operation] of arithmeticOperators) {
    addArithmetic(operationClass, names, operator, operation, 0)
  }
  for (const [operator, operation] of signedOperators) {
    addArithmetic(operationClass, names, operator, operation, SIGNED)
  }
  addMoves(operationClass, names)
  printers[operationClass | alu.BPF_NEG] = (dst, src, offset, immediate) =>
    src === 0 && offset === 0 && immediate === 0 ? `${names[dst]} = -${names[dst]}` : undefined
}
addSwap(classes.BPF_ALU | alu.BPF_END | sources.BPF_K, "le")
addSwap(classes.BPF_ALU | alu.BPF_END | sources.BPF_X, "be")
addSwap(classes.BPF_ALU64 | alu.BPF_END, "bswap")

// ---------------------------------------------------------------- memory

const addAtomics = (bits: number, size: number): void => {
  const wide = bits === 64
  const isLong = bits >= 32
  const prefix = wide ? "atomic64_" : "atomic_"
  const locked = new Map(lockedOperators.map(([operator, code]) => [code, operator]))
  const fetching = new Map(fetchingAtomics.map(([name, code]) => [code, name]))
  const names = wide ? registers : halves
  printers[classes.BPF_STX | modes.BPF_ATOMIC | size] = (dst, src, offset, immediate) => {
    const place = `(u${bits} *)${address(immediate === atomics.BPF_LOAD_ACQ ? src : dst, offset)}`
    if (immediate === atomics.BPF_LOAD_ACQ) return `${names[dst]} = load_acquire(${place})`
    if (immediate === atomics.BPF_STORE_REL) return `store_release(${place}, ${names[src]})`
    if (!isLong) return undefined
    const operator = locked.get(immediate)
    if (operator !== undefined) return `lock *${place} ${operator} ${names[src]}`
    const name = fetching.get(immediate)
    if (name !== undefined) return `${names[src]} = ${prefix}${name}(${place}, ${names[src]})`
    return immediate === atomics.BPF_CMPXCHG
      ? `${names[0]} = ${prefix}cmpxchg(${place}, ${names[0]}, ${names[src]})`
      : undefined
  }
}

for (const [bits, size] of widths) {
  printers[classes.BPF_LDX | modes.BPF_MEM | size] = (dst, src, offset, immediate) =>
    immediate === 0 ? `${registers[dst]} = *(u${bits} *)${address(src, offset)}` : undefined
  printers[classes.BPF_STX | modes.BPF_MEM | size] = (dst, src, offset, immediate) =>
    immediate === 0 ? `*(u${bits} *)${address(dst, offset)} = ${registers[src]}` : undefined
  printers[classes.BPF_ST | modes.BPF_MEM | size] = (dst, src, offset, immediate) =>
    src === 0 ? `*(u${bits} *)${address(dst, offset)} = ${immediate}` : undefined
  addAtomics(bits, size)
  if (size === sizes.BPF_DW) continue
  printers[classes.BPF_LDX | modes.BPF_MEMSX | size] = (dst, src, offset, immediate) =>
    immediate === 0 ? `${registers[dst]} = *(s${bits} *)${address(src, offset)}` : undefined
  printers[classes.BPF_LD | modes.BPF_ABS | size] = (dst, src, offset, immediate) =>
    dst === 0 && src === 0 && offset === 0 ? `r0 = *(u${bits} *)skb[${immediate}]` : undefined
  printers[classes.BPF_LD | modes.BPF_IND | size] = (dst, src, offset, immediate) =>
    dst === 0 && offset === 0
      ? `r0 = *(u${bits} *)skb[${registers[src]} ${immediate < 0 ? `- ${-immediate}` : `+ ${immediate}`}]`
      : undefined
}

// ---------------------------------------------------------------- control flow

for (const [jumpClass, names] of [[classes.BPF_JMP, registers], [classes.BPF_JMP32, halves]] as const) {
  for (const [operator, operation] of comparisons) {
    printers[jumpClass | operation | sources.BPF_K] = (dst, src, offset, immediate) =>
      src === 0 ? `if ${names[dst]} ${operator} ${immediate} goto ${signed(offset)}` : undefined
    printers[jumpClass | operation | sources.BPF_X] = (dst, src, offset, immediate) =>
      immediate === 0 ? `if ${names[dst]} ${operator} ${names[src]} goto ${signed(offset)}` : undefined
  }
}
printers[JUMP] = (dst, src, offset, immediate) =>
  dst === 0 && src === 0 && immediate === 0 ? `goto ${signed(offset)}` : undefined
printers[LONG_JUMP] = (dst, src, offset, immediate) =>
  dst === 0 && src === 0 && offset === 0 ? `gotol ${signed(immediate)}` : undefined
printers[INDIRECT_JUMP] = (dst, src, offset, immediate) =>
  src === 0 && offset === 0 && immediate === 0 ? `gotox ${registers[dst]}` : undefined
printers[CONDITIONAL_JUMP] = (dst, src, offset, immediate) =>
  dst === 0 && src === 0 && immediate === 0 ? `may_goto ${signed(offset)}` : undefined
printers[EXIT] = (dst, src, offset, immediate) =>
  dst === 0 && src === 0 && offset === 0 && immediate === 0 ? "exit" : undefined

printers[INDIRECT_CALL] = (dst, src, offset, immediate) =>
  src === 0 && offset === 0 && immediate === 0 ? `callx ${registers[dst]}` : undefined
printers[SPECULATION_BARRIER] = (dst, src, offset, immediate) =>
  dst === 0 && src === 0 && offset === 0 && immediate === 0 ? "nospec" : undefined

const helperNames: Array<string> = []
for (const [name, id] of Object.entries(bpf_func_id)) {
  if (!name.startsWith("__")) helperNames[id] = `bpf_${name.slice("BPF_FUNC_".length)}`
}

/** A helper's name as C has it, such as `bpf_map_lookup_elem`; `undefined` for an unknown number. */
export const helperNameOf = (id: number): string | undefined => helperNames[id]

printers[CALL] = (dst, src, offset, immediate) => {
  if (dst !== 0) return undefined
  if (src === calls.BPF_PSEUDO_KFUNC_CALL) {
    return offset === 0 ? `call kfunc#${immediate}` : `call kfunc#${immediate}@${offset}`
  }
  if (offset !== 0) return undefined
  if (src === 0) return `call ${helperNames[immediate] ?? "helper"}#${immediate}`
  return src === calls.BPF_PSEUDO_CALL ? `call ${signed(immediate)}` : undefined
}

// A conditional jump of JMP32 that means nothing must not be taken for one: BPF_JA, BPF_CALL and BPF_EXIT have none.
export const isJumpWithOffset = (opcode: number): boolean =>
  opcode === JUMP || opcode === CONDITIONAL_JUMP || conditional[opcode] === 1

const conditional = new Uint8Array(256)
for (const jumpClass of [classes.BPF_JMP, classes.BPF_JMP32]) {
  for (const operation of Object.values(jumps)) {
    if (comparisons.some(([, known]) => known === operation)) {
      conditional[jumpClass | operation | sources.BPF_K] = 1
      conditional[jumpClass | operation | sources.BPF_X] = 1
    }
  }
}
