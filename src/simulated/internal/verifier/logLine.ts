// Instructions as the verifier's log prints them (kernel/bpf/disasm.c): the disassembler's text, in the kernel's spelling.
import { printers } from "../../../isa/print.ts"
import { classes, fields, modes, WIDE_LOAD } from "../../../isa/opcodes.ts"
import type { Code } from "../interpreter/code.ts"

const inHex = (_: string, head: string, sign: string, digits: string): string =>
  `${head}${sign}0x${Number(digits).toString(16)} goto`

const spelled = (text: string): string =>
  text
    .replace(/\((r\d+) ([+-]) (\d+)\)/, "($1 $2$3)")
    .replace(/^(if \w+ \S+ )(-?)(\d+) goto/, inHex)
    .replace(/^(.*goto|gotol|may_goto|call) ([+-]\d+)$/, "$1 pc$2")
    .replace(/^call kfunc#/, "call kernel-function#")
    .replace(/^call helper#/, "call unknown#")
    .replace(/^(lock .*)w(\d+)$/, "$1r$2")

/** The immediate of an atomic operation says which one it is. */
const isAtomic = (opcode: number): boolean =>
  (opcode & (fields.CLASS | fields.MODE)) === (classes.BPF_STX | modes.BPF_ATOMIC)

/** The text of an opcode with these fields, or with those left out that it has no use for. */
const text = (code: Code, pc: number): string => {
  const [dst, src, offset, immediate] = [code.dst[pc]!, code.src[pc]!, code.offsets[pc]!, code.immediates[pc]!]
  const opcode = code.opcodes[pc]!
  const print = printers[opcode]
  if (print === undefined || dst > 10 || src > 10) return "?"
  for (const d of [dst, 0]) {
    for (const s of [src, 0]) {
      for (const o of [offset, 0]) {
        const printed = print(d, s, o, immediate) ?? (isAtomic(opcode) ? undefined : print(d, s, o, 0))
        if (printed !== undefined) return spelled(printed)
      }
    }
  }
  return "?"
}

/** A line of the log: `12: (79) r1 = *(u64 *)(r2 +0)`. */
export const logLine = (code: Code, pc: number): string => {
  const opcode = code.opcodes[pc]!
  const instruction = opcode === WIDE_LOAD
    ? `r${code.dst[pc]} = 0x${(code.wide.get(pc) ?? 0n).toString(16)}`
    : text(code, pc)
  return `${pc}: (${opcode.toString(16).padStart(2, "0")}) ${instruction}`
}
