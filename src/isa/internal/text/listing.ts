// A whole program as text: finds functions and jump targets, names them, and prints line by line.
import type { Reference } from "../../Instruction.ts"
import { CALL, calls, LONG_JUMP, pseudo, WIDE_LOAD } from "../../opcodes.ts"
import { isJumpWithOffset, printers, signed } from "../../print.ts"
import { quoted } from "./syntax.ts"

/** What is known of a function beside its place. */
export interface KnownFunction {
  readonly slot: number
  readonly name: string | undefined
  readonly global: boolean
  readonly parameters: number
}

/** A program as the listing takes it. */
export interface Code {
  readonly bytes: Uint8Array
  /** What an instruction refers to, by its slot. */
  readonly references: ReadonlyMap<number, Reference>
  readonly functions: ReadonlyArray<KnownFunction>
  /** Where the instruction of a slot was written, as shown before it. */
  readonly line: ((slot: number) => string | undefined) | undefined
  readonly mapName: ((fd: number) => string | undefined) | undefined
  readonly kfuncName: ((btfId: number, module: number) => string | undefined) | undefined
  readonly showSlots: boolean
  readonly showBytes: boolean
}

/** What a slot is, as bits. */
const START = 1
const FUNCTION = 2
const LABEL = 4

const hex = (n: number, digits: number): string => n.toString(16).padStart(digits, "0")

const maybeQuoted = (name: string | undefined): string | undefined => name === undefined ? undefined : quoted(name)

/** Names that stand for one place each, as the text has them. */
class Names {
  private readonly bySlot = new Map<number, string>()
  /** How many places have asked for each name. */
  private readonly used = new Map<string, number>()
  at(slot: number): string | undefined {
    return this.bySlot.get(slot)
  }
  give(slot: number, wanted: string): string {
    const known = this.bySlot.get(slot)
    if (known !== undefined) return known
    const name = quoted(this.unused(wanted))
    this.bySlot.set(slot, name)
    return name
  }
  private unused(wanted: string): string {
    let n = this.used.get(wanted) ?? 0
    let name = n === 0 ? wanted : `${wanted}_${n + 1}`
    while (this.used.has(name)) name = `${wanted}_${++n + 1}`
    this.used.set(wanted, n + 1)
    if (name !== wanted) this.used.set(name, 1)
    return name
  }
}

class Listing {
  private readonly code: Code
  private readonly view: DataView
  private readonly size: number
  private readonly kinds: Uint8Array
  private readonly functionNames = new Names()
  private readonly known = new Map<number, KnownFunction>()
  private text = ""
  private labels = new Names()
  private begin = 0
  private end = 0

  constructor(code: Code) {
    this.code = code
    this.view = new DataView(code.bytes.buffer, code.bytes.byteOffset, code.bytes.byteLength)
    this.size = Math.floor(code.bytes.length / 8)
    this.kinds = new Uint8Array(this.size)
    this.findStarts()
    this.findFunctions()
  }

  private opcode(slot: number): number {
    return this.view.getUint8(slot * 8)
  }

  private source(slot: number): number {
    return this.view.getUint8(slot * 8 + 1) >> 4
  }

  private low(slot: number): number {
    return this.view.getInt32(slot * 8 + 4, true)
  }

  /** A wide load takes two slots, if the second holds nothing but its half of the immediate. */
  private isWide(slot: number): boolean {
    return this.opcode(slot) === WIDE_LOAD && slot + 1 < this.size && this.view.getUint32(slot * 8 + 8, true) === 0
  }

  private findStarts(): void {
    for (let slot = 0; slot < this.size; slot++) {
      this.kinds[slot] = START
      if (this.opcode(slot) === WIDE_LOAD && this.isWide(slot)) slot++
    }
  }

  private isStart(slot: number): boolean {
    return slot >= 0 && slot < this.size && (this.kinds[slot]! & START) !== 0
  }

  private findFunctions(): void {
    for (const item of this.code.functions) {
      if (item.name === undefined || !this.isStart(item.slot) || this.known.has(item.slot)) continue
      this.known.set(item.slot, item)
      this.nameFunction(item.slot, item.name)
    }
    for (let slot = 0; slot < this.size; slot++) {
      if (this.kinds[slot] === 0) continue
      const opcode = this.opcode(slot)
      if (opcode !== CALL && opcode !== WIDE_LOAD) continue
      const wanted = opcode === CALL ? calls.BPF_PSEUDO_CALL : pseudo.BPF_PSEUDO_FUNC
      if (this.source(slot) !== wanted || (opcode === WIDE_LOAD && !this.isWide(slot))) continue
      const target = slot + 1 + this.low(slot)
      const reference = this.code.references.get(slot)
      const name = reference?._tag === "Function" ? reference.name : `func_${target}`
      if (this.isStart(target)) this.nameFunction(target, name)
    }
  }

  private nameFunction(slot: number, name: string): void {
    this.kinds[slot]! |= FUNCTION
    this.functionNames.give(slot, name)
  }

  /** Labels are the function's own, so they are named when its turn comes. */
  private enter(begin: number): void {
    this.begin = begin
    this.end = begin + 1
    while (this.end < this.size && (this.kinds[this.end]! & FUNCTION) === 0) this.end++
    this.labels = new Names()
    for (let slot = begin; slot < this.end; slot++) {
      const target = this.kinds[slot] === 0 ? undefined : this.jumpTarget(slot)
      if (target === undefined) continue
      const reference = this.code.references.get(slot)
      this.labels.give(target, reference?._tag === "Label" ? reference.name : `L${target}`)
      this.kinds[target]! |= LABEL
    }
  }

  /** Where a jump goes, if a label can stand there. */
  private jumpTarget(slot: number): number | undefined {
    const opcode = this.opcode(slot)
    const isLong = opcode === LONG_JUMP
    if (!isLong && !isJumpWithOffset(opcode)) return undefined
    const target = slot + 1 + (isLong ? this.low(slot) : this.view.getInt16(slot * 8 + 2, true))
    return target >= this.begin && target < this.end && this.isStart(target) ? target : undefined
  }

  print(): string {
    let line: string | undefined
    for (let slot = 0; slot < this.size; slot++) {
      if (slot === 0 || (this.kinds[slot]! & FUNCTION) !== 0) {
        this.enter(slot)
        this.printHeader(slot)
      }
      if ((this.kinds[slot]! & LABEL) !== 0) this.add(`${this.labels.at(slot)}:`)
      const written = this.code.line?.(slot)
      if (written !== undefined && written !== line) this.add(`; ${written.replace(/\s+/g, " ")}`)
      line = written ?? line
      if (this.opcode(slot) === WIDE_LOAD && this.isWide(slot)) this.printWide(slot++)
      else this.printOne(slot)
    }
    const rest = this.code.bytes.subarray(this.size * 8)
    if (rest.length > 0) this.add(`; ${rest.length} bytes more: ${Array.from(rest, (b) => hex(b, 2)).join(" ")}`)
    return this.text
  }

  private add(line: string): void {
    this.text += line + "\n"
  }

  private printHeader(slot: number): void {
    const name = this.functionNames.at(slot)
    if (name === undefined) return
    const item = this.known.get(slot)
    if (slot > 0) this.add("")
    const parameters = item === undefined || item.parameters === 0 ? "" : `(${item.parameters})`
    this.add(`${item?.global === true ? "global " : ""}<${name}>${parameters}:`)
  }

  private push(slot: number, slots: number, text: string): void {
    if (!this.code.showSlots && !this.code.showBytes) {
      this.text += `  ${text}\n`
      return
    }
    const number = this.code.showSlots ? `${String(slot).padStart(6)}: ` : "  "
    const bytes = this.code.bytes.subarray(slot * 8, (slot + slots) * 8)
    const shown = this.code.showBytes ? `[${Array.from(bytes, (b) => hex(b, 2)).join(" ")}] ` : ""
    this.add(number + shown + text)
  }

  private printData(slot: number): void {
    const low = this.view.getUint32(slot * 8, true)
    const high = this.view.getUint32(slot * 8 + 4, true)
    this.push(slot, 1, `.8byte 0x${hex(high, 8)}${hex(low, 8)}`)
  }

  private printOne(slot: number): void {
    const registers = this.view.getUint8(slot * 8 + 1)
    const dst = registers & 15
    const src = registers >> 4
    const printer = printers[this.opcode(slot)]
    const text = dst > 10 || src > 10
      ? undefined
      : printer?.(dst, src, this.view.getInt16(slot * 8 + 2, true), this.low(slot))
    if (text === undefined) return this.printData(slot)
    const name = this.nameOf(slot, src)
    this.push(slot, 1, name === undefined ? text : `${text} <${name}>`)
  }

  /** The name of what an instruction jumps to or calls, as the text has it. */
  private nameOf(slot: number, src: number): string | undefined {
    const opcode = this.opcode(slot)
    if (opcode !== CALL) {
      const target = this.jumpTarget(slot)
      return target === undefined ? undefined : this.labels.at(target)
    }
    if (src === calls.BPF_PSEUDO_CALL) return this.functionNames.at(slot + 1 + this.low(slot))
    if (src !== calls.BPF_PSEUDO_KFUNC_CALL) return undefined
    const reference = this.code.references.get(slot)
    const name = reference?._tag === "Kfunc"
      ? reference.name
      : this.code.kfuncName?.(this.low(slot), this.view.getInt16(slot * 8 + 2, true))
    return maybeQuoted(name)
  }

  private printWide(slot: number): void {
    const registers = this.view.getUint8(slot * 8 + 1)
    const dst = registers & 15
    const text = dst > 10 || this.view.getInt16(slot * 8 + 2, true) !== 0
      ? undefined
      : this.wideText(slot, registers >> 4, this.low(slot), this.view.getUint32(slot * 8 + 12, true))
    if (text !== undefined) return this.push(slot, 2, `r${dst} = ${text}`)
    this.printData(slot)
    this.printData(slot + 1)
  }

  /** What a wide load loads; `undefined` where the halves say more than the text would. */
  private wideText(slot: number, src: number, low: number, high: number): string | undefined {
    const named = (text: string, name: string | undefined) => name === undefined ? text : `${text} <${name}>`
    const reference = this.code.references.get(slot)
    const map = () => maybeQuoted(reference?._tag === "Map" ? reference.name : this.code.mapName?.(low))
    switch (src) {
      case 0:
        return high === 0
          ? `0x${(low >>> 0).toString(16)} ll`
          : `0x${high.toString(16)}${hex(low >>> 0, 8)} ll`
      case pseudo.BPF_PSEUDO_MAP_FD:
        return high === 0 ? named(`map[fd:${low}]`, map()) : undefined
      case pseudo.BPF_PSEUDO_MAP_VALUE:
        return named(`map[fd:${low}][0]+${high}`, map())
      case pseudo.BPF_PSEUDO_MAP_IDX:
        return high === 0 ? `map[idx:${low}]` : undefined
      case pseudo.BPF_PSEUDO_MAP_IDX_VALUE:
        return `map[idx:${low}][0]+${high}`
      case pseudo.BPF_PSEUDO_BTF_ID:
        return named(
          high === 0 ? `btf[id:${low}]` : `btf[id:${low}]@${high}`,
          maybeQuoted(reference?._tag === "KernelVariable" ? reference.name : undefined)
        )
      case pseudo.BPF_PSEUDO_FUNC:
        return high === 0 ? named(`func ${signed(low)}`, this.functionNames.at(slot + 1 + low)) : undefined
      default:
        return undefined
    }
  }
}

/** The text of a program, a line for each instruction, each line with a newline. */
export const list = (code: Code): string => new Listing(code).print()
