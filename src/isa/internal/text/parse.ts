// Text as a program: lines to functions, labels and instructions, and names to distances.
import * as Result from "effect/Result"
import * as Instruction from "../../Instruction.ts"
import { INT16 } from "../../immediates.ts"
import { CALL, calls, EXIT, INDIRECT_JUMP, JUMP, LONG_JUMP, WIDE_LOAD } from "../../opcodes.ts"
import type { Item, Label } from "../item.ts"
import { bytesAlone, type Given, givenOf, givenOpcode } from "./given.ts"
import { parseOne } from "./parseOne.ts"
import { ParseError, Scanner } from "./scan.ts"
import type { Parsed } from "./words.ts"

/** A program read from text. */
export interface Listing {
  /** What `Asm.assemble` takes. */
  readonly items: ReadonlyArray<Item>
  /** The bytes of the program, 8 for each slot, whatever stands in them. */
  readonly bytes: Uint8Array
}

/** An instruction whose target may not be known yet. */
interface Pending {
  readonly _tag: "Pending"
  readonly parsed: Parsed
  readonly slot: number
  readonly slots: number
  readonly line: number
  readonly column: number
  /** What the line says that its bytes are, and the words that must agree with them. */
  readonly bytes: Uint8Array | undefined
  readonly words: string
}

interface Body {
  readonly header: { readonly name: string; readonly global: boolean; readonly parameters: number } | undefined
  readonly slot: number
  readonly items: Array<Pending | Label>
  /** The slot of each label. */
  readonly labels: Map<string, number>
}

const NAME = String.raw`(?:[A-Za-z_.$][\w.$]*|"(?:[^"\\]|\\.)*")`
const LABEL = new RegExp(`^\\s*${NAME}:\\s*(?:;.*)?$`)
const HEADER = new RegExp(`^\\s*([0-9a-f]{16}\\s+)?(global\\s+)?<(?:${NAME}|[^"<>]+)>(?:\\(([0-5])\\))?:\\s*(?:;.*)?$`)
/** What LLVM names labels of its own, which llvm-objdump writes as it writes functions. */
const COMPILER_LABEL = /^(?:\.L.*|L(?:BB|tmp|func_)\w*\d)$/
/** What llvm-objdump and bpftool write for instructions that they are too old for. */
const UNKNOWN = /^(?:<unknown>|BUG_\w+)$/
/** bpftool's headers: `int parse(struct __sk_buff * ctx):` */
const PROTOTYPE = /^[A-Za-z_][\w *]*?([A-Za-z_]\w*)\([^;]*\):\s*$/
/** Lines of llvm-objdump about the file, and of `-r` about relocations: its bytes are those of the file. */
const OBJECT = /^(?:\S.*:\s+file format \S+|\s*[0-9a-f]{16}:\s+R_BPF_\w+\s.*)$/
const SECTION = /^Disassembly of section (.*):$/
const COMMENT = /^\s*(?:;|#|\/\/|$)/

const BYTE = 0xff
const NIBBLE = 0xf

/** What the verifier writes beside instructions: functions, states, what it looks back for, and how much it did. */
const VERIFIER = new RegExp(
  String.raw`^\s*(?:${
    [
      String.raw`func#\d+ @\d+`,
      String.raw`Func#\d+ .*`,
      String.raw`Live regs before insn:`,
      String.raw`Validating .*`,
      String.raw`(?:\d+: )?(?:frame\d+: )?R\d+(?:_\w+)?[=:].*`,
      String.raw`from \d+ to \d+.*`,
      String.raw`\d+: safe`,
      String.raw`(?:returning from callee|caller|callee|to caller at \d+):?.*`,
      String.raw`(?:frame\d+: )?(?:last_idx|regs=|parent |mark_precise|propagating|part of scc|frame \d).*`,
      String.raw`\(\d+\) (?:frame|live stack).*`,
      String.raw`stack depth .*`,
      String.raw`SCC .*`,
      String.raw`verification time .*`,
      String.raw`(?:processed|peak_states|max_states|insns_state).*`
    ].join("|")
  })$`
)

/** True for the log of a verifier: its instructions come in the order of its walk, and again and again. */
const isLog = (lines: ReadonlyArray<string>): boolean => {
  let next: number | undefined
  for (const line of lines) {
    if (line.length > LONGEST_LINE || COMMENT.test(line)) continue
    const { opcode, slot } = givenOf(line, undefined)
    if (slot === undefined || opcode === undefined) {
      if (VERIFIER.test(line)) return true
      if (slot !== undefined) next = undefined
      continue
    }
    if (next !== undefined && slot !== next) return true
    next = slot + (opcode === WIDE_LOAD ? 2 : 1)
  }
  return false
}

/** How far a jump or a call of a function goes. */
const distanceOf = (parsed: Parsed): number | undefined => {
  const instruction = Instruction.make(parsed)
  return Instruction.isLocalCall(instruction) ? Number(parsed.immediate) : Instruction.jumpDistance(instruction)
}

const endsPath = ({ opcode }: Parsed): boolean =>
  opcode === EXIT || opcode === JUMP || opcode === LONG_JUMP || opcode === INDIRECT_JUMP

/** A line is an instruction of some 40 letters; nothing needs one as long as this. */
const LONGEST_LINE = 10_000

const label = (name: string): Label => ({ _tag: "Label", name, source: undefined })

class Parser {
  readonly bodies: Array<Body> = [{ header: undefined, slot: 0, items: [], labels: new Map() }]
  readonly functions = new Map<string, number>()
  size = 0
  private line = 0
  /** The number that the text has for the first slot, once a line has a number. */
  private base: number | undefined
  private section: string | undefined

  private get body(): Body {
    return this.bodies[this.bodies.length - 1]!
  }

  private fail(column: number, expected: string, actual: string, line = this.line): never {
    throw new ParseError({ line, column, expected, actual })
  }

  private nameAt(line: string, from: number): string {
    if (line[from] !== "\"" && line[from - 1] === "<") return line.slice(from, line.indexOf(">", from)).trim()
    const given = { slot: undefined, opcode: undefined, bytes: undefined, state: undefined, from }
    return new Scanner(line, this.line, given).name()
  }

  read(text: string): void {
    const lines = text.split(/\r\n|\n|\r/)
    const log = isLog(lines) ? new Map<number, Logged>() : undefined
    for (let i = 0; i < lines.length; i++) {
      const line = lines[i]!
      this.line++
      if (line.length > LONGEST_LINE) this.fail(LONGEST_LINE, "the end of the line", "a line of more letters")
      if (COMMENT.test(line)) continue
      if (log !== undefined) {
        this.readLogged(line, log)
        continue
      }
      const below = bytesAlone(lines[i + 1])
      this.readLine(line, below)
      if (below === undefined) continue
      i++
      this.line++
    }
    if (log !== undefined) this.addLogged(log)
  }

  private readLine(line: string, below: Uint8Array | undefined): void {
    const header = HEADER.exec(line)
    if (header === null) {
      const from = line.search(/\S/)
      return LABEL.test(line) ? this.addLabel(this.nameAt(line, from), from + 1) : this.readOther(line, below)
    }
    const [, address, global, parameters] = header
    const from = line.indexOf("<") + 1
    const name = this.nameAt(line, from)
    if (address !== undefined) {
      const bytes = Number.parseInt(address, 16)
      if (bytes % 8 === 0) this.checkSlot(bytes / 8, 1)
      if (COMPILER_LABEL.test(name)) return this.addLabel(name, from + 1)
    }
    this.addFunction(name, global !== undefined, Number(parameters ?? 0), from + 1)
  }

  private readOther(line: string, below: Uint8Array | undefined): void {
    if (OBJECT.test(line)) return
    const section = SECTION.exec(line)?.[1]
    if (section !== undefined) {
      if (this.section !== undefined) this.fail(1, "one section (llvm-objdump -j NAME)", `a second one, ${section}`)
      this.section = section
      return
    }
    const name = PROTOTYPE.exec(line)?.[1]
    if (name === undefined) return this.addInstruction(line, below)
    // Functions of several files may have one name: their instructions follow each other all the same.
    if (!this.functions.has(name)) this.addFunction(name, false, 0, 1)
  }

  private addFunction(name: string, global: boolean, parameters: number, column: number): void {
    if (this.functions.has(name)) this.fail(column, `one function ${name}`, "a second one")
    this.functions.set(name, this.size)
    this.bodies.push({ header: { name, global, parameters }, slot: this.size, items: [], labels: new Map() })
  }

  private addLabel(name: string, column: number): void {
    if (this.body.labels.has(name)) this.fail(column, `one label ${name}`, "a second one")
    this.body.labels.set(name, this.size)
    this.body.items.push(label(name))
  }

  /** Numbers of slots count on from the first that the text has. */
  private checkSlot(slot: number, column: number): void {
    this.base ??= slot - this.size
    const expected = this.base + this.size
    if (slot !== expected) this.fail(column, `slot ${expected}`, `slot ${slot}`)
  }

  private addInstruction(line: string, below: Uint8Array | undefined): void {
    const given = givenOf(line, below)
    if (given.slot !== undefined) this.checkSlot(given.slot, 1)
    for (const { column, parsed, slots, ...rest } of this.instructionsOf(line, given)) {
      if (parsed === undefined) this.addData(rest.data!, column, rest)
      else this.push(parsed, slots, column, rest)
    }
  }

  /** What stands in a line: an instruction, or data. */
  private instructionsOf(line: string, given: Given) {
    const { bytes, from } = given
    const s = new Scanner(line, this.line, given)
    const { column } = s
    const words = line.slice(from).trim()
    if (bytes !== undefined && bytes.length !== 8 && bytes.length !== 16) {
      return this.fail(1, "8 or 16 bytes", `${bytes.length} bytes`)
    }
    if (s.skip(".8byte")) {
      const data = s.big()
      s.end()
      return [{ parsed: undefined, data, column, bytes, words, slots: 1 }]
    }
    if (UNKNOWN.test(words)) {
      if (bytes === undefined) return this.fail(column, "the bytes of an instruction that the tool did not know", words)
      const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
      return Array.from({ length: bytes.length / 8 }, (_, i) => ({
        parsed: undefined,
        data: view.getBigUint64(i * 8, true),
        column,
        bytes: undefined,
        words,
        slots: 1
      }))
    }
    const parsed = parseOne(s)
    s.end()
    const opcode = givenOpcode(given)
    if (opcode !== undefined && parsed.opcode !== opcode) {
      this.fail(column, `words for opcode 0x${opcode.toString(16).padStart(2, "0")}, which the line has`, words)
    }
    const slots = parsed.opcode === WIDE_LOAD ? 2 : 1
    if (bytes !== undefined && bytes.length !== slots * 8) this.fail(1, `${slots * 8} bytes`, `${bytes.length} bytes`)
    return [{ parsed, data: undefined, column, bytes, words, slots }]
  }

  private push(
    parsed: Parsed,
    slots: number,
    column: number,
    { bytes, words }: { readonly bytes: Uint8Array | undefined; readonly words: string }
  ): void {
    this.body.items.push({ _tag: "Pending", parsed, slot: this.size, slots, line: this.line, column, bytes, words })
    this.size += slots
  }

  /** A line of data is an instruction whose numbers its text would not keep; a wide one takes two lines. */
  private addData(
    value: bigint,
    column: number,
    given: { readonly bytes: Uint8Array | undefined; readonly words: string }
  ): void {
    const last = this.body.items[this.body.items.length - 1]
    if (last?._tag === "Pending" && isHalf(last) && BigInt.asUintN(32, value) === 0n) {
      this.body.items.pop()
      this.size = last.slot
      const immediate = value | BigInt(Number(last.parsed.immediate) >>> 0)
      const bytes = last.bytes === undefined || given.bytes === undefined
        ? undefined
        : Uint8Array.of(...last.bytes, ...given.bytes)
      return this.push({ ...last.parsed, immediate }, 2, last.column, { bytes, words: last.words })
    }
    const low = Number(BigInt.asUintN(32, value))
    const immediate = Number(BigInt.asIntN(32, value >> 32n))
    const [opcode, registers] = [low & BYTE, low >> 8]
    const parsed = { opcode, dst: registers & NIBBLE, src: (registers >> 4) & NIBBLE, offset: low >> 16, immediate }
    this.push(parsed, 1, column, given)
  }

  /** A line of the verifier's log: an instruction, as often as the verifier came by, or what it has to say. */
  private readLogged(line: string, log: Map<number, Logged>): void {
    const given = givenOf(line, undefined)
    const { opcode, slot } = given
    if (slot === undefined || opcode === undefined) {
      if (!VERIFIER.test(line)) {
        this.fail(1, "an instruction, or what the verifier writes beside them", line.slice(0, 60))
      }
      return
    }
    const words = line.slice(given.from).replace(/;.*$/, "").trim()
    const known = log.get(slot)
    if (known !== undefined) {
      if (known.words !== words) this.fail(given.from + 1, `what the log had for slot ${slot}, ${known.words}`, words)
      // Where the first time did not tell what was loaded, this one may.
      if (known.refusal === undefined) return
    }
    try {
      const [found] = this.instructionsOf(line, given)
      const { column, parsed, slots } = found!
      if (parsed !== undefined) log.set(slot, { words, parsed, slots, line: this.line, column, refusal: undefined })
    } catch (error) {
      if (!(error instanceof ParseError)) throw error
      // The list of live registers comes before the walk, and shows no state.
      if (known === undefined) {
        log.set(slot, { words, parsed: undefined, slots: 2, line: this.line, column: error.column, refusal: error })
      }
    }
  }

  /** The instructions of a log in the order of their slots, if the log shows all that control can reach. */
  private addLogged(log: ReadonlyMap<number, Logged>): void {
    const order = [...log.keys()].toSorted((a, b) => a - b)
    if (order.length === 0) return
    const missing = (slot: number, why: string): never =>
      this.fail(1, `the instruction of slot ${slot}, ${why}`, "a log without it", this.line)
    this.base = order[0]!
    for (const slot of order) {
      const { column, line, parsed, refusal, slots, words } = log.get(slot)!
      if (refusal !== undefined) throw refusal
      if (slot !== this.base + this.size) missing(this.base + this.size, `which is before slot ${slot}`)
      const after = slot + slots
      if (!endsPath(parsed!) && !log.has(after)) missing(after, `which comes after slot ${slot}`)
      const distance = distanceOf(parsed!)
      if (distance !== undefined && !log.has(slot + 1 + distance)) {
        missing(slot + 1 + distance, `to which slot ${slot} goes`)
      }
      this.line = line
      this.push(parsed!, slots, column, { bytes: undefined, words })
    }
  }
}

/** What a log had for a slot. */
interface Logged {
  readonly words: string
  readonly parsed: Parsed | undefined
  readonly slots: number
  readonly line: number
  readonly column: number
  readonly refusal: ParseError | undefined
}

/** True for the first line of a wide load that was written as data. */
const isHalf = ({ parsed, slots }: Pending): boolean => parsed.opcode === WIDE_LOAD && slots === 1

/** Puts names' places into the instructions. */
class Resolver {
  private readonly functions: ReadonlyMap<string, number>
  readonly bytes: Uint8Array
  private readonly view: DataView
  constructor(functions: ReadonlyMap<string, number>, size: number) {
    this.functions = functions
    this.bytes = new Uint8Array(size * 8)
    this.view = new DataView(this.bytes.buffer)
  }

  item(body: Body): Item {
    const items = body.items.map((item) => item._tag === "Label" ? item : this.instruction(item, body))
    return body.header === undefined ? items : { _tag: "Function", ...body.header, items, source: undefined }
  }

  private instruction(pending: Pending, body: Body): Instruction.Instruction {
    const { parsed, slot } = pending
    const instruction = Instruction.make({ ...parsed, ...this.resolved(pending, body) })
    // A first half without its second has no place in the model: `assemble` rejects it, and here it takes one slot.
    Instruction.write(this.view, slot * 8, instruction)
    this.compare(pending)
    return instruction
  }

  /** The words of a line must say what its bytes do. */
  private compare({ bytes, column, line, slot, words }: Pending): void {
    if (bytes === undefined) return
    for (let i = 0; i < bytes.length; i++) {
      if (bytes[i] === this.bytes[slot * 8 + i]) continue
      const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join(" ")
      throw new ParseError({ line, column, expected: `words for the bytes ${hex}, which the line has`, actual: words })
    }
  }

  private resolved({ column, line, parsed, slot }: Pending, { labels }: Body): Partial<Parsed> {
    const { opcode, place: wanted, target } = parsed
    if (wanted !== undefined) {
      const begin = this.functions.get(wanted.name)
      const distance = distanceOf(parsed)
      if (begin !== undefined && distance !== undefined && begin + wanted.bytes / 8 !== slot + 1 + distance) {
        const actual = `<${wanted.name}+0x${wanted.bytes.toString(16)}>`
        throw new ParseError({ line, column, expected: `the place that ${distance} slots lead to`, actual })
      }
      return {}
    }
    if (target === undefined) return {}
    const isCall = opcode === WIDE_LOAD || (opcode === CALL && parsed.src === calls.BPF_PSEUDO_CALL)
    const place = isCall ? this.functions.get(target) : labels.get(target)
    if (place === undefined) {
      // A listing of a part of a program may name what it does not have: then the number counts.
      if (parsed.numbered === true) return {}
      throw new ParseError({ line, column, expected: `a ${isCall ? "function" : "label"} ${target}`, actual: "none" })
    }
    const distance = place - slot - 1
    if (isCall) {
      const immediate = opcode === WIDE_LOAD ? BigInt.asUintN(32, BigInt(distance)) : distance
      return { immediate, reference: { _tag: "Function", name: target } }
    }
    const reference = { _tag: "Label", name: target } as const
    if (opcode === LONG_JUMP) return { immediate: distance, reference }
    if (distance < INT16[0] || distance > INT16[1]) {
      const expected = "a label at most 32767 slots away"
      throw new ParseError({ line, column, expected, actual: String(distance) })
    }
    return { offset: distance, reference }
  }
}

/** The program in a text, or a `ParseError` with the line and column of the first mistake. */
export const parse = (text: string): Result.Result<Listing, ParseError> => {
  try {
    const parser = new Parser()
    parser.read(text)
    const resolver = new Resolver(parser.functions, parser.size)
    const items = parser.bodies.flatMap((body) =>
      body.items.length === 0 && body.header === undefined ? [] : [resolver.item(body)]
    )
    return Result.succeed({ items, bytes: resolver.bytes })
  } catch (error) {
    if (error instanceof ParseError) return Result.fail(error)
    throw error
  }
}
