// Helpers on strings: printing, formatting, numbers.
import { errno } from "../../../abi/errno.ts"
import { viewOf } from "../memory.ts"
import { type Environment, failed, type Helpers, readString, u32, u64, unlessFault } from "./environment.ts"
import { format, type FormatSource } from "./format.ts"

/** MAX_BPRINTF_VARARGS */
const MOST_VALUES = 12
/** BPF_TRACE_PRINTK_SIZE */
const PRINT_SIZE = 1024

/** What __bpf_strtoull() copies of a number, less its NUL. */
const MOST_DIGITS = 63

const latin1 = (bytes: Uint8Array): string => Buffer.from(bytes).toString("latin1")

const isSpace = (character: string | undefined): boolean => character !== undefined && /\s/.test(character)

/** __bpf_strtoull(): how much was read of a number, and the number. */
const parse = (
  text: string,
  flags: bigint
): { readonly length: number; readonly value: bigint; readonly negative: boolean } | number => {
  const base = Number(flags & 0x1fn)
  if (![0, 8, 10, 16].includes(base) || (flags & ~0x1fn) !== 0n) return errno.EINVAL
  let at = 0
  while (isSpace(text[at])) at++
  const negative = text[at] === "-"
  if (negative) at++
  const rest = text.slice(at, at + MOST_DIGITS)
  const actual = base === 0 ? /^0[xX][0-9a-fA-F]/.test(rest) ? 16 : rest.startsWith("0") ? 8 : 10 : base
  // _parse_integer_fixup_radix(): the prefix goes, whatever follows it.
  const start = actual === 16 && /^0[xX]/.test(rest) ? 2 : 0
  const digits = (actual === 16 ? /^[0-9a-fA-F]+/ : actual === 8 ? /^[0-7]+/ : /^[0-9]+/).exec(rest.slice(start))?.[0]
  if (digits === undefined) return errno.EINVAL
  const value = BigInt(actual === 16 ? `0x${digits}` : actual === 8 ? `0o${digits}` : digits)
  return value >= 2n ** 64n ? errno.ERANGE : { length: at + start + digits.length, value, negative }
}

export const stringHelpers = ({ memory, records }: Environment): Helpers => {
  const source: FormatSource = {
    string: (address, of) =>
      unlessFault(() => {
        const { region } = memory.find(address, 1)
        const isWrong = of !== "either" && region.user !== (of === "user")
        return isWrong ? undefined : latin1(readString(memory, address))
      }, () => undefined),
    bytes: (address, size) =>
      unlessFault(
        () => memory.find(address, size).region.user ? undefined : memory.read(address, size),
        () => undefined
      )
  }
  const print = (address: bigint, size: bigint, values: ReadonlyArray<bigint>): bigint => {
    const bytes = memory.read(address, u32(size))
    const end = bytes.indexOf(0)
    if (end < 0) return failed(errno.EINVAL)
    const out = format(latin1(bytes.subarray(0, end)), values, source)
    if (out === undefined) return failed(errno.EINVAL)
    records.printed.push(out.slice(0, PRINT_SIZE - 1))
    return BigInt(out.length)
  }
  const valuesAt = (data: bigint, length: number): ReadonlyArray<bigint> | undefined => {
    if (length % 8 !== 0 || length > MOST_VALUES * 8) return undefined
    if (length === 0) return []
    const view = viewOf(memory.read(data, length))
    return Array.from({ length: length / 8 }, (_, i) => view.getBigUint64(i * 8, true))
  }
  const number = (isSigned: boolean) => (text: bigint, length: bigint, flags: bigint, out: bigint): bigint => {
    const characters = latin1(memory.read(text, u32(length)))
    memory.write(out, new Uint8Array(8)) // whatever comes of it
    const end = characters.indexOf("\0")
    const parsed = parse(end < 0 ? characters : characters.slice(0, end), flags)
    if (typeof parsed === "number") return failed(parsed)
    const value = parsed.negative ? -parsed.value : parsed.value
    if (!isSigned && parsed.negative) return failed(errno.EINVAL)
    if (isSigned && BigInt.asIntN(64, value) !== value) return failed(errno.ERANGE)
    const bytes = new Uint8Array(8)
    viewOf(bytes).setBigUint64(0, u64(value), true)
    memory.write(out, bytes)
    return BigInt(parsed.length)
  }
  return {
    BPF_FUNC_trace_printk: (text, size, a, b, c) => print(text, size, [a, b, c]),
    BPF_FUNC_trace_vprintk: (text, size, data, length) => {
      const values = valuesAt(data, u32(length))
      return values === undefined ? failed(errno.EINVAL) : print(text, size, values)
    },
    BPF_FUNC_snprintf: (destination, size, text, data, length) => {
      const values = valuesAt(data, u32(length))
      const out = values === undefined
        ? undefined
        : format(latin1(readString(memory, text)), values, source)
      if (out === undefined) return failed(errno.EINVAL)
      const room = u32(size)
      if (room > 0) memory.write(destination, Buffer.from(`${out.slice(0, room - 1)}\0`, "latin1"))
      return BigInt(out.length + 1)
    },
    BPF_FUNC_strtol: number(true),
    BPF_FUNC_strtoul: number(false),
    BPF_FUNC_strncmp: (a, size, b) => {
      const left = memory.read(a, u32(size))
      const right = readString(memory, b)
      for (let i = 0; i < left.length; i++) {
        const difference = left[i]! - (right[i] ?? 0)
        if (difference !== 0) return u64(difference < 0 ? -1 : 1)
        if (left[i] === 0) break
      }
      return 0n
    }
  }
}
