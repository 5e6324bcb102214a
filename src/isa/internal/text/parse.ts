// Text as a program: lines to functions, labels and instructions, and names to distances.
import * as Result from "effect/Result"
import * as Instruction from "../../Instruction.ts"
import { CALL, calls, LONG_JUMP, WIDE_LOAD } from "../../opcodes.ts"
import type { Item, Label } from "../item.ts"
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
}

interface Body {
  readonly header: { readonly name: string; readonly global: boolean; readonly parameters: number } | undefined
  readonly slot: number
  readonly items: Array<Pending | Label>
  /** The slot of each label. */
  readonly labels: Map<string, number>
}

const NAME = String.raw`(?:[A-Za-z_.$][\w.$]*|"(?:[^"\\]|\\.)*")`
/** What other tools write before an instruction: its number, and its bytes or its opcode. */
const PREFIX = /^\s*(?:\d+:\s*)?(?:\[[0-9a-f ]*\]\s*|(?:[0-9a-f]{2}\s){8,16}\s*|\([0-9a-f]{2}\)\s*)?/
const LABEL = new RegExp(`^\\s*${NAME}:\\s*(?:;.*)?$`)
const HEADER = new RegExp(`^\\s*([0-9a-f]{16}\\s+)?(global\\s+)?<${NAME}>(?:\\(([0-5])\\))?:\\s*(?:;.*)?$`)
const COMMENT = /^\s*(?:;|#|\/\/|$)/

/** A line is an instruction of some 40 letters; nothing needs one as long as this. */
const LONGEST_LINE = 10_000

const label = (name: string): Label => ({ _tag: "Label", name, source: undefined })

class Parser {
  readonly bodies: Array<Body> = [{ header: undefined, slot: 0, items: [], labels: new Map() }]
  readonly functions = new Map<string, number>()
  size = 0
  private line = 0

  private get body(): Body {
    return this.bodies[this.bodies.length - 1]!
  }

  private fail(column: number, expected: string, actual: string, line = this.line): never {
    throw new ParseError({ line, column, expected, actual })
  }

  private nameAt(line: string, from: number): string {
    return new Scanner(line, this.line, from).name()
  }

  read(text: string): void {
    for (const line of text.split(/\r\n|\n|\r/)) {
      this.line++
      if (line.length > LONGEST_LINE) this.fail(LONGEST_LINE, "the end of the line", "a line of more letters")
      if (!COMMENT.test(line)) this.readLine(line)
    }
  }

  private readLine(line: string): void {
    const header = HEADER.exec(line)
    if (header === null) {
      const from = line.search(/\S/)
      return LABEL.test(line) ? this.addLabel(this.nameAt(line, from), from + 1) : this.addInstruction(line)
    }
    const [, address, global, parameters] = header
    const from = line.indexOf("<") + 1
    const name = this.nameAt(line, from)
    // llvm-objdump writes labels of the compiler as it writes functions.
    if (address !== undefined && /^(?:\.?L|LBB)/.test(name)) return this.addLabel(name, from + 1)
    this.addFunction(name, global !== undefined, Number(parameters ?? 0), from + 1)
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

  private addInstruction(line: string): void {
    const from = PREFIX.exec(line)?.[0].length ?? 0
    const s = new Scanner(line, this.line, from)
    const column = s.column
    if (s.skip(".8byte")) {
      const value = s.big()
      s.end()
      return this.addData(value, column)
    }
    const parsed = parseOne(s)
    s.end()
    this.push(parsed, parsed.opcode === WIDE_LOAD ? 2 : 1, column)
  }

  private push(parsed: Parsed, slots: number, column: number): void {
    this.body.items.push({ _tag: "Pending", parsed, slot: this.size, slots, line: this.line, column })
    this.size += slots
  }

  /** A line of data is an instruction whose numbers its text would not keep; a wide one takes two lines. */
  private addData(value: bigint, column: number): void {
    const last = this.body.items[this.body.items.length - 1]
    if (last?._tag === "Pending" && isHalf(last) && (value & 0xffffffffn) === 0n) {
      this.body.items.pop()
      this.size = last.slot
      const immediate = value | BigInt(Number(last.parsed.immediate) >>> 0)
      return this.push({ ...last.parsed, immediate }, 2, last.column)
    }
    const fields = Number(value & 0xffffffffn)
    const opcode = fields & 0xff
    const immediate = Number(BigInt.asIntN(32, value >> 32n))
    const offset = fields >> 16
    this.push({ opcode, dst: (fields >> 8) & 15, src: (fields >> 12) & 15, offset, immediate }, 1, column)
  }
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
    return instruction
  }

  private resolved({ column, line, parsed, slot }: Pending, { labels }: Body): Partial<Parsed> {
    const { opcode, target } = parsed
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
    if (distance < -0x8000 || distance > 0x7fff) {
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
