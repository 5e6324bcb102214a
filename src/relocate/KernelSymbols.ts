/**
 * The names of the kernel's functions and variables by address, from `/proc/kallsyms`: for stacks and pointers that
 * programs report. Addresses are shown to who has CAP_SYSLOG only (`kernel.kptr_restrict`); without it there are none.
 *
 * @example
 * ```ts
 * import { KernelSymbols } from "effect-ebpf"
 * import * as Effect from "effect/Effect"
 *
 * const name = (address: bigint) =>
 *   Effect.map(KernelSymbols.load, (symbols) => KernelSymbols.format(symbols, address)) // "do_sys_open+0x1c"
 * ```
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { readFile } from "../kernel/systemCall.ts"
import { Kernel } from "../kernel/Kernel.ts"
import type { SystemCallError } from "../kernel/KernelError.ts"

/** A symbol, and how far into it an address is, in bytes. */
export interface Symbol {
  readonly name: string
  /** The module that it belongs to; `undefined` for the kernel itself. */
  readonly module: string | undefined
  readonly offset: bigint
}

/** Symbols by ascending address. */
export interface KernelSymbols {
  /** How many there are: 0 where the kernel hides them. */
  readonly size: number
  /** The symbol that an address lies in: the last one that begins at or before it. `None` below the first. */
  readonly find: (address: bigint) => Option.Option<Symbol>
}

/** `ffffffff81000000 T _stext`, or with `[module]` after a tab; kinds `a` and `A` are no addresses. */
const LINE = /^([0-9a-f]+) ([a-zA-Z?]) (\S+)(?:\s+\[(.+)\])?$/

/** The symbols in a text as `/proc/kallsyms` is; lines of other forms, and hidden addresses (0), are left out. */
export const parse = (text: string): KernelSymbols => {
  const found: Array<{ readonly address: bigint; readonly name: string; readonly module: string | undefined }> = []
  for (const line of text.split("\n")) {
    const match = LINE.exec(line)
    if (match === null || match[2] === "a" || match[2] === "A") continue
    const address = BigInt(`0x${match[1]}`)
    if (address !== 0n) found.push({ address: BigInt.asUintN(64, address), name: match[3]!, module: match[4] })
  }
  // Modules' symbols come after the kernel's, in the order of their loading.
  found.sort((a, b) => a.address < b.address ? -1 : a.address > b.address ? 1 : 0)
  const addresses = BigUint64Array.from(found, ({ address }) => address)
  return {
    size: found.length,
    find: (address) => {
      let low = 0
      let high = addresses.length
      while (low < high) {
        const middle = (low + high) >> 1
        if (addresses[middle]! <= address) low = middle + 1
        else high = middle
      }
      const symbol = found[low - 1]
      return symbol === undefined
        ? Option.none()
        : Option.some({ name: symbol.name, module: symbol.module, offset: address - symbol.address })
    }
  }
}

/** The running kernel's symbols: some 200,000, read once. Fails with `SystemCallError` where there is no such file. */
export const load: Effect.Effect<KernelSymbols, SystemCallError, Kernel> = Effect.flatMap(
  Kernel,
  (kernel) => Effect.map(readFile(kernel, "/proc/kallsyms"), (bytes) => parse(new TextDecoder().decode(bytes)))
)

/** `name+0x10`, with ` [module]` after it where it is in one; the address alone where it has no name. */
export const format = (symbols: KernelSymbols, address: bigint): string =>
  Option.match(symbols.find(address), {
    onNone: () => `0x${address.toString(16)}`,
    onSome: ({ module, name, offset }) =>
      `${name}${offset === 0n ? "" : `+0x${offset.toString(16)}`}${module === undefined ? "" : ` [${module}]`}`
  })
