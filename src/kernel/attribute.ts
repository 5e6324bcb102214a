import type { Block } from "./memory.ts"
import { setPointer } from "./memory.ts"

/** A C struct as `abi/generated` describes it. */
export interface StructLayout {
  readonly size: number
  readonly fields: {
    readonly [name: string]: {
      readonly offset: number
      readonly size: number
      readonly shift?: number
      readonly bits?: number
    }
  }
}

/** A number, a pointer to a block, or the bytes of an array. */
export type FieldValue = number | bigint | Block | Uint8Array

const isBlock = (value: FieldValue): value is Block => typeof value === "object" && "address" in value

const readInteger = ({ view }: Block, offset: number, size: number): bigint => {
  if (size === 8) return view.getBigUint64(offset, true)
  if (size === 4) return BigInt(view.getUint32(offset, true))
  return BigInt(size === 2 ? view.getUint16(offset, true) : view.getUint8(offset))
}

const writeInteger = ({ view }: Block, offset: number, size: number, value: bigint): void => {
  if (size === 8) view.setBigUint64(offset, BigInt.asUintN(64, value), true)
  else if (size === 4) view.setUint32(offset, Number(BigInt.asUintN(32, value)), true)
  else if (size === 2) view.setUint16(offset, Number(BigInt.asUintN(16, value)), true)
  else view.setUint8(offset, Number(BigInt.asUintN(8, value)))
}

/**
 * Zeroes the block and writes fields by their UAPI names. Gives the end of the last field written, which is the size to
 * pass: a kernel older than the rest of the struct does not see it.
 */
export const fill = <S extends StructLayout>(
  block: Block,
  struct: S,
  values: { readonly [K in keyof S["fields"]]?: FieldValue | undefined }
): number => {
  block.bytes.fill(0)
  let end = 0
  for (const name of Object.keys(values)) { // none of Object.prototype's
    const value = values[name] as FieldValue | undefined
    const place = struct.fields[name]
    if (value === undefined || place === undefined) continue
    const { bits, offset, shift, size } = place
    end = Math.max(end, offset + size)
    if (isBlock(value)) setPointer(block, offset, value)
    else if (value instanceof Uint8Array) block.bytes.set(value.subarray(0, size), offset)
    else if (bits !== undefined) {
      const field = BigInt.asUintN(bits, BigInt(value)) << BigInt(shift!)
      writeInteger(block, offset, size, readInteger(block, offset, size) | field)
    } else writeInteger(block, offset, size, BigInt(value))
  }
  return end
}

/** A field of 1, 2 or 4 bytes as a number, or of 8 bytes as a number up to 2^53. */
export const readNumber = <S extends StructLayout>(
  block: Block,
  struct: S,
  name: keyof S["fields"] & string
): number => {
  const { offset, size } = struct.fields[name]!
  return Number(readInteger(block, offset, size))
}

/** A `char` array up to its first NUL. */
export const readText = <S extends StructLayout>(block: Block, struct: S, name: keyof S["fields"] & string): string => {
  const { offset, size } = struct.fields[name]!
  const bytes = block.bytes.slice(offset, offset + size)
  const end = bytes.indexOf(0)
  return new TextDecoder().decode(end < 0 ? bytes : bytes.subarray(0, end))
}
