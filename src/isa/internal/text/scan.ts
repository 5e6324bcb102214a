// Words of one line of text, with their columns.
import * as Data from "effect/Data"
import type { Given } from "./given.ts"

/** Text that is no program. `line` and `column` count from 1. */
export class ParseError extends Data.TaggedError("ParseError")<{
  readonly line: number
  readonly column: number
  readonly expected: string
  readonly actual: string
}> {
  override get message(): string {
    return `line ${this.line}, column ${this.column}: expected ${this.expected}, got ${this.actual}`
  }
}

type Kind = "number" | "word" | "string" | "symbol" | "end"

interface Token {
  readonly kind: Kind
  readonly text: string
  /** From 0. */
  readonly at: number
}

const signedSymbol = String.raw`s>>=|s\/=|s%=|s>=|s<=|s>|s<`
const symbol = String.raw`<<=|>>=|\+=|-=|\*=|\/=|%=|\|=|&=|\^=|==|!=|>=|<=|[^\s]`
const TOKEN = new RegExp(
  String
    .raw`[^\S\n]*(?:(0x[0-9a-fA-F]+|\d+)|(${signedSymbol})|([A-Za-z_.$][\w.$]*)|("(?:[^"\\]|\\.)*")|(;.*|${symbol})|$)`,
  "y"
)

/** No number of the text form has more digits; longer ones would only cost time. */
const MOST_DIGITS = 40

const shown = ({ kind, text }: Token): string =>
  kind === "end" ? "the end of the line" : text.length > 40 ? `${text.slice(0, 40)}…` : text

/** Reads a line from left to right. What it does not find it throws, as a `ParseError`: `parse` catches that. */
export class Scanner {
  private readonly text: string
  private readonly line: number
  private next: Token
  /** Where the first word of the line begins, from 1. */
  readonly first: number
  /** What the line says of the instruction beside its words. */
  readonly given: Given

  constructor(text: string, line: number, given: Given) {
    this.text = text
    this.line = line
    this.given = given
    this.next = this.read(given.from)
    this.first = this.column
  }

  private read(from: number): Token {
    TOKEN.lastIndex = from
    const match = TOKEN.exec(this.text)
    if (match === null || match[0].trim() === "" || match[5]?.startsWith(";") === true) {
      return { kind: "end", text: "", at: Math.min(this.text.length, from + (match?.[0].length ?? 0)) }
    }
    const [whole, number, signed, word, string] = match
    const kind = number !== undefined
      ? "number"
      : word !== undefined
      ? "word"
      : string !== undefined
      ? "string"
      : "symbol"
    const text = number ?? signed ?? word ?? string ?? match[5]!
    return { kind, text, at: from + whole.length - text.length }
  }

  /** Where the next word begins, from 1. */
  get column(): number {
    return this.next.at + 1
  }

  fail(expected: string, actual = shown(this.next), column = this.column): never {
    throw new ParseError({ line: this.line, column, expected, actual })
  }

  take(): string {
    const { at, text } = this.next
    this.next = this.read(at + text.length)
    return text
  }

  peek(): string {
    return this.next.text
  }

  get atEnd(): boolean {
    return this.next.kind === "end"
  }

  is(text: string): boolean {
    return this.next.text === text && this.next.kind !== "string"
  }

  /** Takes the next word if it is this one. */
  skip(text: string): boolean {
    if (!this.is(text)) return false
    this.take()
    return true
  }

  expect(text: string): void {
    if (!this.skip(text)) this.fail(text)
  }

  end(): void {
    if (!this.atEnd) this.fail("the end of the line")
  }

  /** Takes the next word if a table has it. */
  from<A>(table: ReadonlyMap<string, A>): A | undefined {
    const found = this.next.kind === "string" ? undefined : table.get(this.next.text)
    if (found !== undefined) this.take()
    return found
  }

  get isNumber(): boolean {
    return this.next.kind === "number" || this.is("-")
  }

  private digits(): string {
    if (this.next.kind !== "number") this.fail("a number")
    if (this.next.text.length > MOST_DIGITS) this.fail("a number of at most 64 bits")
    return this.take()
  }

  /** A number with its sign, between two. */
  number(minimum: number, maximum: number): number {
    const column = this.column
    const negative = this.skip("-")
    const size = Number(this.digits())
    const value = negative && size !== 0 ? -size : size
    if (value >= minimum && value <= maximum) return value
    return this.fail(`a number from ${minimum} to ${maximum}`, String(value), column)
  }

  /** A number of 64 bits, signed or unsigned; its sign may have been taken before. */
  big(isNegative = false): bigint {
    const column = this.column
    const negative = isNegative || this.skip("-")
    const size = BigInt(this.digits())
    const value = negative ? -size : size
    if (value >= -(2n ** 63n) && value < 2n ** 64n) return BigInt.asUintN(64, value)
    return this.fail("a number of 64 bits", String(value), column)
  }

  /** A word, or any text in quotes. */
  name(): string {
    if (this.next.kind === "word") return this.take()
    if (this.next.kind !== "string") this.fail("a name")
    const column = this.column
    try {
      return JSON.parse(this.take()) as string
    } catch {
      return this.fail("a name in quotes as JSON has it", "another", column)
    }
  }

  /** `<name>`, if it is there. Other tools have names of any letters there, and none in quotes. */
  optionalName(): string | undefined {
    if (!this.skip("<")) return undefined
    if (this.next.kind === "string") {
      const name = this.name()
      this.expect(">")
      return name
    }
    const begin = this.next.at
    const end = this.text.indexOf(">", begin)
    if (end <= begin) return this.fail("a name and >")
    const name = this.text.slice(begin, end).trim()
    this.next = this.read(end + 1)
    return name
  }

  /** Passes over all that is left of the line. */
  skipRest(): void {
    this.next = this.read(this.text.length)
  }
}
