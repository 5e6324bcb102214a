// The kernel's printf for programs: bpf_bprintf_prepare() says which formats there are, lib/vsprintf.c what they give.

/** What formats read of memory. */
export interface FormatSource {
  /** A string of the kernel's or of user memory; `undefined` if it is not there. */
  readonly string: (address: bigint, user: boolean) => string | undefined
  readonly bytes: (address: bigint, size: number) => Uint8Array | undefined
}

const SPECIFIER = /^([0+\- ]*)(\d*)(?:(ll?)?([iduxX])|(c)|(s)|p(ks|us|I4|i4|I6|i6|[KxsSB])?)/

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

const internet = (bytes: Uint8Array | undefined, kind: string): string => {
  if (bytes === undefined) return "(null)"
  if (kind.endsWith("4")) return [...bytes].map((b) => kind === "i4" ? String(b).padStart(3, "0") : String(b)).join(".")
  const groups = Array.from({ length: 8 }, (_, i) => ((bytes[i * 2]! << 8) | bytes[i * 2 + 1]!).toString(16))
  if (kind === "i6") return groups.map((group) => group.padStart(4, "0")).join("")
  const longest = /(?:^|:)0(?::0)+(?=:|$)/.exec(groups.join(":"))?.[0]
  if (longest === undefined) return groups.join(":")
  return groups.join(":").replace(longest, ":").replace(/^:(?!:)/, "::").replace(/(?<!:):$/, "::")
}

/** The text, or `undefined` for a format that the kernel refuses (-EINVAL). `values` are the arguments in order. */
export const format = (text: string, values: ReadonlyArray<bigint>, source: FormatSource): string | undefined => {
  let out = ""
  let next = 0
  for (let i = 0; i < text.length; i++) {
    const character = text[i]!
    const code = character.charCodeAt(0)
    if (code > 126 || (code < 32 && ![9, 10, 11, 12, 13].includes(code))) return undefined
    if (character !== "%") {
      out += character
      continue
    }
    if (text[i + 1] === "%") {
      out += "%"
      i++
      continue
    }
    const match = SPECIFIER.exec(text.slice(i + 1))
    if (match === null || next >= values.length) return undefined
    const [whole, flags = "", width = "", length, conversion, character_, string, pointer] = match
    const value = values[next++]!
    i += whole.length
    const piece = conversion !== undefined
      ? integer(value, flags, conversion, length !== undefined)
      : character_ !== undefined
      ? String.fromCharCode(Number(value & 0xffn))
      : string !== undefined || pointer === "ks" || pointer === "us"
      ? source.string(value, pointer === "us") ?? ""
      : pointer !== undefined && pointer.length === 2
      ? internet(source.bytes(value, pointer.endsWith("4") ? 4 : 16), pointer)
      : BigInt.asUintN(64, value).toString(16).padStart(16, "0")
    out += padded(piece, flags, Number(width))
  }
  return next === values.length ? out : undefined
}
