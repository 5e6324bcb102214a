// The kernel's printf for programs: bpf_bprintf_prepare() says which formats there are, lib/vsprintf.c what they give.

/** What formats read of memory. */
export interface FormatSource {
  /** A string of the kernel's or of user memory, or of either as the address tells; `undefined` if it is not there. */
  readonly string: (address: bigint, of: "kernel" | "user" | "either") => string | undefined
  readonly bytes: (address: bigint, size: number) => Uint8Array | undefined
}

/** What a conversion is: `k`, `u` and `s` are strings, by whose memory they are in; `p` with the letters behind it. */
interface Conversion {
  readonly flags: string
  readonly width: number
  readonly long: boolean
  readonly kind: string
}

/** A text between conversions, or a conversion. */
type Piece = string | Conversion

const SPECIFIER = /^([0+\- ]*)([1-9]\d*)?(?:(ll?)?([iduxX])|(c)|(s)|p(ks|us|I4|i4|I6|i6|[KxsSB])?)/
/** FIELD_WIDTH_MAX */
const MOST_WIDTH = 2 ** 23 - 1

/** What may follow `%s` and `%p`, that no letter is taken for a part of them: isspace() and ispunct() of lib/ctype.c. */
const endsWord = (next: string | undefined): boolean =>
  next === undefined || /[\t-\r !-/:-@[-`{-~\xa0-\xbf\xd7\xf7]/.test(next)

/** The pieces of a format with its conversions in order, or `undefined` for one that the kernel refuses (-EINVAL). */
export const parseFormat = (text: string): ReadonlyArray<Piece> | undefined => {
  const pieces: Array<Piece> = []
  for (let i = 0; i < text.length; i++) {
    const character = text[i]!
    const code = character.charCodeAt(0)
    // What is beyond ASCII is text.
    if (code === 127 || (code < 32 && ![9, 10, 11, 12, 13].includes(code))) return undefined
    if (character !== "%") {
      pieces.push(character)
      continue
    }
    if (text[i + 1] === "%") {
      pieces.push("%")
      i++
      continue
    }
    const match = SPECIFIER.exec(text.slice(i + 1))
    if (match === null) return undefined
    const [whole, flags = "", width = "", length, integer, character_, string, pointer] = match
    i += whole.length
    const isPlainPointer = integer === undefined && character_ === undefined && string === undefined &&
      pointer === undefined
    const isString = string !== undefined || pointer === "ks" || pointer === "us"
    if ((isPlainPointer || isString) && !endsWord(text[i + 1])) return undefined
    pieces.push({
      flags,
      width: Math.min(Number(width), MOST_WIDTH),
      long: length !== undefined,
      kind: integer ?? character_ ?? string ?? `p${pointer ?? ""}`
    })
  }
  return pieces
}

const padded = (text: string, flags: string, width: number): string => {
  if (flags.includes("-")) return text.padEnd(width)
  if (!flags.includes("0")) return text.padStart(width)
  const sign = /^[+\- ]/.exec(text)?.[0] ?? ""
  return sign + text.slice(sign.length).padStart(width - sign.length, "0")
}

const integer = (value: bigint, flags: string, conversion: string, wide: boolean): string => {
  const bits = wide ? 64 : 32
  if (conversion === "x") return BigInt.asUintN(bits, value).toString(16)
  if (conversion === "X") return BigInt.asUintN(bits, value).toString(16).toUpperCase()
  if (conversion === "u") return String(BigInt.asUintN(bits, value))
  const signed = BigInt.asIntN(bits, value)
  const sign = signed < 0n ? "" : flags.includes("+") ? "+" : flags.includes(" ") ? " " : ""
  return sign + signed
}

/** An address that cannot be read is all zeros. Groups of IPv6 are never shortened: that would be `%pI6c`. */
const internet = (bytes: Uint8Array, kind: string): string => {
  if (kind.endsWith("4")) {
    return [...bytes].map((b) => kind === "pi4" ? String(b).padStart(3, "0") : String(b)).join(".")
  }
  const groups = Array.from(
    { length: 8 },
    (_, i) => ((bytes[i * 2]! << 8) | bytes[i * 2 + 1]!).toString(16).padStart(4, "0")
  )
  return groups.join(kind === "pi6" ? "" : ":")
}

const convert = ({ flags, kind, long, width }: Conversion, value: bigint, source: FormatSource): string => {
  const address = BigInt.asUintN(64, value)
  switch (kind) {
    case "c":
      return String.fromCharCode(Number(value & 0xffn))
    case "s":
      return source.string(address, "either") ?? ""
    case "pks":
      return source.string(address, "kernel") ?? ""
    case "pus":
      return source.string(address, "user") ?? ""
    case "pI4":
    case "pi4":
    case "pI6":
    case "pi6": {
      const size = kind.endsWith("4") ? 4 : 16
      return internet(source.bytes(address, size) ?? new Uint8Array(size), kind)
    }
    case "ps":
    case "pS":
    case "pB":
      // No symbol is known here.
      return `0x${address.toString(16)}`
    case "p":
    case "pK":
    case "px":
      return address.toString(16).padStart(width === 0 ? 16 : 0, "0")
    default:
      return integer(value, flags, kind, long)
  }
}

/** What is a string by the time that widths are looked at. */
const isFormattedBefore: ReadonlySet<string> = new Set(["pI4", "pi4", "pI6", "pi6", "pB"])

/**
 * The text, or `undefined` for a format that the kernel refuses (-EINVAL). `values` are the arguments in order; there may
 * be more of them than conversions.
 */
export const format = (text: string, values: ReadonlyArray<bigint>, source: FormatSource): string | undefined => {
  const pieces = parseFormat(text)
  if (pieces === undefined || conversionsOf(pieces) > values.length) return undefined
  let out = ""
  let next = 0
  for (const piece of pieces) {
    if (typeof piece === "string") out += piece
    else {
      const converted = convert(piece, values[next++]!, source)
      out += isFormattedBefore.has(piece.kind) ? converted : padded(converted, piece.flags, piece.width)
    }
  }
  return out
}

/** How many values a format takes. */
export const conversionsOf = (pieces: ReadonlyArray<Piece>): number =>
  pieces.filter((piece) => typeof piece !== "string").length
