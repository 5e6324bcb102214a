// Programs as JavaScript: one function for each of their functions, made when a program runs for the first time. Every
// memory access finds its region by the upper half of the address and checks its bounds; the region that a base register
// pointed to last is remembered in a local. Backward jumps count against a budget, so that no program runs for ever.
import {
  atomics,
  CALL,
  calls,
  classes,
  CONDITIONAL_JUMP,
  EXIT,
  fields,
  jumps,
  modes,
  sizes,
  WIDE_LOAD
} from "../../../isa/opcodes.ts"
import {
  arithmetic,
  immediate,
  multiplyHigh,
  type Operand,
  register,
  signedDivide,
  signedModulo,
  swap32
} from "./arithmetic.ts"
import { unsignedDivide, unsignedModulo } from "./arithmetic.ts"
import { type Code, endOf, isGoto, isJump, targetOf } from "./code.ts"
import { wrongInstruction } from "../verifier/structure.ts"
import { NOWHERE } from "../memory.ts"
import type { Helper } from "./helper.ts"

/** A function of a program: r1 to r5 by halves. It leaves r0 in the first two of the processor's halves. */
export type Compiled = (...halves: ReadonlyArray<number>) => void

/** What compiled code is bound to: the processor, of which this is what is known when it is made. */
export interface Host {
  readonly helpers: ReadonlyArray<Helper | undefined>
  readonly registers: BigUint64Array
  readonly halves: Int32Array
}

/** `BPF_F_MAX_LOOPS`: how often a `may_goto` goes on (include/linux/bpf.h, BPF_MAX_LOOPS). */
const MAY_GOTO_LIMIT = 8 * 1024 * 1024

const FRAME = 512
const TAIL_CALL = 12

const widths: { readonly [size: number]: 1 | 2 | 4 | 8 } = {
  [sizes.BPF_B]: 1,
  [sizes.BPF_H]: 2,
  [sizes.BPF_W]: 4,
  [sizes.BPF_DW]: 8
}

type Width = 1 | 2 | 4 | 8

/** Sets `g<base>`, `o` and checks, for an access to base + offset. */
const locate = (base: number, offset: number, width: Width): string => {
  const { high, low } = register(base)
  const g = `g${base}`
  const address = offset === 0
    ? `o=${low}>>>0;k=${high};`
    : `o=${low}+${offset}>>>0;k=${high};` +
      (offset > 0 ? `if(o<(${low}>>>0))k=k+1|0;` : `if(o>(${low}>>>0))k=k-1|0;`)
  return `${address}if(${g}.key!==k)${g}=S.seek(k,o);if(o+${width}>${g}.view.byteLength)S.beyond(${g},k,o,${width});`
}

const loaded = (dst: number, width: Width, signed: boolean, read: (kind: string, at: number) => string): string => {
  const { high, low } = register(dst)
  if (width === 8) return `t=${read("Int32", 0)};${high}=${read("Int32", 4)};${low}=t;`
  const kind = width === 4 ? "Int32" : `${signed ? "Int" : "Uint"}${width * 8}`
  return `${low}=${read(kind, 0)};${high}=${signed ? `${low}>>31` : "0"};`
}

/** Access to the frame's own stack at a known offset: no check is left to do. */
const ownStack = (kind: string, at: number): string => {
  const width = Number(kind.replace(/\D+/, "")) / 8
  return at % width === 0 ? `F.${kind.toLowerCase()}[${at / width}]` : ""
}

const isOwnStack = (base: number, offset: number, width: Width): boolean =>
  base === 10 && offset >= -FRAME && offset + width <= 0

const load = (dst: number, src: number, offset: number, width: Width, signed: boolean): string => {
  if (isOwnStack(src, offset, width)) {
    const at = FRAME + offset
    return loaded(
      dst,
      width,
      signed,
      (kind, more) => ownStack(kind, at + more) || `F.view.get${kind}(${at + more},true)`
    )
  }
  const { high, low } = register(dst)
  const special = `if(g${src}.hooked){S.load(g${src},o,${width},${signed});${low}=X[22];${high}=X[23];}`
  const plain = loaded(dst, width, signed, (kind, more) => `g${src}.view.get${kind}(o${more === 0 ? "" : "+4"},true)`)
  return `${locate(src, offset, width)}${special}else{${plain}}`
}

const store = (dst: number, offset: number, width: Width, value: Operand): string => {
  const put = (write: (kind: string, at: number, half: string) => string) =>
    width === 8
      ? `${write("Int32", 0, value.low)}${write("Int32", 4, value.high)}`
      : write(`Int${width * 8}`, 0, value.low)
  if (isOwnStack(dst, offset, width)) {
    const at = FRAME + offset
    return put((kind, more, half) => {
      const element = ownStack(kind, at + more)
      return element === "" ? `F.view.set${kind}(${at + more},${half},true);` : `${element}=${half};`
    })
  }
  const special = `if(g${dst}.hooked||!g${dst}.writable)S.store(g${dst},o,${width},${value.low},${value.high});`
  const plain = put((kind, more, half) => `g${dst}.view.set${kind}(o${more === 0 ? "" : "+4"},${half},true);`)
  return `${locate(dst, offset, width)}${special}else{${plain}}`
}

const atomic = (operation: number, dst: number, src: number, offset: number, width: Width): string => {
  if (operation === atomics.BPF_LOAD_ACQ) return load(dst, src, offset, width, false)
  const value = register(src)
  if (operation === atomics.BPF_STORE_REL) return store(dst, offset, width, value)
  const call = `${
    locate(dst, offset, width)
  }S.atomic(g${dst},o,${width},${operation},${value.low},${value.high},l0,h0);`
  // The old value goes into r0 for a compare and exchange, and into the source register where it is fetched.
  if (operation === atomics.BPF_CMPXCHG) return `${call}l0=X[22];h0=X[23];`
  return (operation & atomics.BPF_FETCH) === 0 ? call : `${call}${value.low}=X[22];${value.high}=X[23];`
}

const unsigned = (a: Operand, b: Operand, comparison: string): string =>
  `((${a.high}>>>0)${comparison[0]}(${b.high}>>>0)||${a.high}===${b.high}&&(${a.low}>>>0)${comparison}(${b.low}>>>0))`

const signed = (a: Operand, b: Operand, comparison: string): string =>
  `(${a.high}${comparison[0]}${b.high}||${a.high}===${b.high}&&(${a.low}>>>0)${comparison}(${b.low}>>>0))`

const comparisons: { readonly [operation: number]: readonly [comparison: string, signed: boolean] } = {
  [jumps.BPF_JGT]: [">", false],
  [jumps.BPF_JGE]: [">=", false],
  [jumps.BPF_JLT]: ["<", false],
  [jumps.BPF_JLE]: ["<=", false],
  [jumps.BPF_JSGT]: [">", true],
  [jumps.BPF_JSGE]: [">=", true],
  [jumps.BPF_JSLT]: ["<", true],
  [jumps.BPF_JSLE]: ["<=", true]
}

/** The condition of a jump, as source. */
const condition = (operation: number, bits: 32 | 64, a: Operand, b: Operand): string => {
  const wide = bits === 64
  switch (operation) {
    case jumps.BPF_JEQ:
      return wide ? `${a.low}===${b.low}&&${a.high}===${b.high}` : `${a.low}===${b.low}`
    case jumps.BPF_JNE:
      return wide ? `${a.low}!==${b.low}||${a.high}!==${b.high}` : `${a.low}!==${b.low}`
    case jumps.BPF_JSET:
      return wide ? `(${a.low}&${b.low}|${a.high}&${b.high})!==0` : `(${a.low}&${b.low})!==0`
    default: {
      const [comparison, isSigned] = comparisons[operation]!
      if (wide) return isSigned ? signed(a, b, comparison) : unsigned(a, b, comparison)
      return isSigned ? `${a.low}${comparison}${b.low}` : `(${a.low}>>>0)${comparison}(${b.low}>>>0)`
    }
  }
}

const arguments_ = [1, 2, 3, 4, 5].flatMap((n) => [`l${n}`, `h${n}`]).join()

/** How many arguments a helper takes, or `undefined` for one that is not there. */
type Arity = (id: number) => number | undefined

const wrongCallee = (code: Code, pc: number, arity: Arity): string | undefined => {
  if (code.opcodes[pc] !== CALL) return undefined
  const called = code.immediates[pc]!
  if (code.src[pc] === calls.BPF_PSEUDO_CALL) {
    return code.functions.includes(pc + 1 + called) ? undefined : `call to invalid destination ${pc + 1 + called}`
  }
  if (code.src[pc] !== 0) return `no kernel function ${called}`
  return called === TAIL_CALL || arity(called) !== undefined ? undefined : `no helper ${called}`
}

const callHelper = (id: number, arity: number): string => {
  if (id === TAIL_CALL) {
    return `t=S.tail(l2,h2,l3);if(t!==undefined){S.depth--;S.budget=b;return t(${arguments_});}l0=-22;h0=-1;`
  }
  const given = [1, 2, 3, 4, 5].slice(0, arity)
  const put = given.map((n) => `X[${n * 2}]=l${n};X[${n * 2 + 1}]=h${n};`).join("")
  return `${put}S.budget=b;W[0]=H[${id}](${given.map((n) => `W[${n}]`).join()});b=S.budget;l0=X[0];h0=X[1];`
}

const call = (code: Code, pc: number, arity: Arity): string => {
  if (code.src[pc] !== calls.BPF_PSEUDO_CALL) return callHelper(code.immediates[pc]!, arity(code.immediates[pc]!) ?? 0)
  return `S.budget=b;f${pc + 1 + code.immediates[pc]!}(${arguments_});b=S.budget;l0=X[0];h0=X[1];`
}

/** Packet loads of classic BPF: big-endian, from the packet of the context in r6. Beyond its end the program ends. */
const packetLoad = (code: Code, pc: number): string => {
  const opcode = code.opcodes[pc]!
  const indirect = (opcode & fields.MODE) === modes.BPF_IND ? register(code.src[pc]!).low : "0"
  const width = widths[opcode & fields.SIZE]!
  return `if(!S.packet(l6,h6,${indirect},${code.immediates[pc]},${width})){X[0]=0;X[1]=0;S.depth--;S.budget=b;return}` +
    "l0=X[22];h0=0;"
}

/** One instruction that is no jump, as source. */
const operation = (code: Code, pc: number, arity: Arity): string => {
  const opcode = code.opcodes[pc]!
  const dst = code.dst[pc]!
  const src = code.src[pc]!
  const offset = code.offsets[pc]!
  const constant = code.immediates[pc]!
  const width = widths[opcode & fields.SIZE]!
  const mode = opcode & fields.MODE
  switch (opcode & fields.CLASS) {
    case classes.BPF_ALU:
    case classes.BPF_ALU64:
      return arithmetic(opcode, dst, src, offset, constant)
    case classes.BPF_LD: {
      if (opcode !== WIDE_LOAD) return packetLoad(code, pc)
      const value = code.wide.get(pc)!
      return `l${dst}=${BigInt.asIntN(32, value)};h${dst}=${BigInt.asIntN(32, value >> 32n)};`
    }
    case classes.BPF_LDX:
      return load(dst, src, offset, width, mode === modes.BPF_MEMSX)
    case classes.BPF_ST:
      return store(dst, offset, width, immediate(constant))
    case classes.BPF_STX:
      return mode === modes.BPF_ATOMIC
        ? atomic(constant, dst, src, offset, width)
        : store(dst, offset, width, register(src))
    default:
      if (opcode === EXIT) return "X[0]=l0;X[1]=h0;S.depth--;S.budget=b;return;"
      return call(code, pc, arity)
  }
}

/** Operations that may trap, and so must say where they are. */
const mayTrap = (code: Code, pc: number): boolean => {
  const opcode = code.opcodes[pc]!
  switch (opcode & fields.CLASS) {
    case classes.BPF_LDX:
    case classes.BPF_ST:
    case classes.BPF_STX:
      return true
    case classes.BPF_LD:
      return opcode !== WIDE_LOAD
    default:
      return opcode === CALL
  }
}

const jumpCondition = (code: Code, pc: number): string => {
  const opcode = code.opcodes[pc]!
  if (opcode === CONDITIONAL_JUMP) return "m--<=0"
  const b = (opcode & fields.SOURCE) !== 0 ? register(code.src[pc]!) : immediate(code.immediates[pc]!)
  return condition(
    opcode & fields.OPERATION,
    (opcode & fields.CLASS) === classes.BPF_JMP32 ? 32 : 64,
    register(code.dst[pc]!),
    b
  )
}

const jump = (code: Code, pc: number): string => {
  const target = targetOf(code, pc)
  const count = target <= pc ? `if((b-=${pc - target + 1})<0){p=${pc};S.over()}` : ""
  const go = `{${count}q=${target};continue}`
  return isGoto(code.opcodes[pc]!) ? go : `if(${jumpCondition(code, pc)})${go}`
}

const functionSource = (code: Code, start: number, arity: Arity): string => {
  const end = endOf(code, start)
  const targets = new Set<number>()
  for (let pc = start; pc < end; pc++) {
    if (isJump(code.opcodes[pc]!)) targets.add(targetOf(code, pc))
    if (code.opcodes[pc] === WIDE_LOAD) pc++
  }
  const lines: Array<string> = []
  const bases = new Set<number>()
  for (let pc = start; pc < end; pc++) {
    if (targets.has(pc)) lines.push(`case ${pc}:`)
    const opcode = code.opcodes[pc]!
    const wrong = wrongInstruction(code, pc) ?? wrongCallee(code, pc, arity)
    // Code that no path leads to may be nonsense, and all of a program may that was loaded unchecked.
    if (wrong !== undefined) lines.push(`p=${pc};S.wrong(${JSON.stringify(wrong)});`)
    else if (isJump(opcode)) lines.push(jump(code, pc))
    else {
      const source = operation(code, pc, arity)
      for (const [, base] of source.matchAll(/\bg(\d+)\b/g)) bases.add(Number(base))
      lines.push(mayTrap(code, pc) ? `p=${pc};${source}` : source)
    }
    if (opcode === WIDE_LOAD) pc++
  }
  const left = `throw new RangeError("left the program")`
  const body = targets.size === 0
    ? `${lines.join("\n")}\n${left}`
    : `for(;;){switch(q){case -1:\n${lines.join("\n")}\n}${left}}`
  const locals = [
    "l0=0,h0=0,l6=0,h6=0,l7=0,h7=0,l8=0,h8=0,l9=0,h9=0",
    `t=0,o=0,k=0,q=-1,m=${MAY_GOTO_LIMIT},p=${start}`,
    ...[...bases].map((base) => `g${base}=Z`)
  ].join()
  return `function f${start}(${arguments_}){let ${locals};let b=S.budget-${Math.max(1, end - start)};` +
    `const F=S.enter(${start}),h10=F.high;try{if(b<0)S.over();${body}}catch(e){throw S.trap(e,p)}}`
}

const support = { multiplyHigh, signedDivide, signedModulo, swap32, unsignedDivide, unsignedModulo }

/** The functions of a program, by the slots where they begin. */
export const compile = (code: Code, processor: Host): ReadonlyMap<number, Compiled> => {
  const arity: Arity = (id) => processor.helpers[id]?.length
  const source = `"use strict";const {${Object.keys(support).join()}}=A;\n${
    code.functions.map((start) => functionSource(code, start, arity)).join("\n")
  }\nreturn [${code.functions.map((start) => `f${start}`).join()}]`
  const make = new Function("S", "X", "W", "H", "Z", "A", source) as (
    ...names: ReadonlyArray<unknown>
  ) => ReadonlyArray<Compiled>
  const compiled = make(processor, processor.halves, processor.registers, processor.helpers, NOWHERE, support)
  return new Map(code.functions.map((start, index) => [start, compiled[index]!]))
}
