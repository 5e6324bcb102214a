import type { Block } from "../Memory.ts"
import { setPointer } from "../Memory.ts"

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
  for (const name in values) {
    const value = values[name] as FieldValue | undefined
    const place = struct.fields[name]
    if (value === undefined || place === undefined) continue
    const { bits, offset, shift, size } = place
    end = Math.max(end, offset + size)
    if (isBlock(value)) setPointer(block, offset, value)
    else if (value instanceof Uint8Array) block.bytes.set(value.subarray(0, size), offset)
    else if (bits !== undefined) {
      const mask = (1n << BigInt(bits)) - 1n
      const unit = block.view.getBigUint64(offset, true)
      block.view.setBigUint64(offset, unit | ((BigInt(value) & mask) << BigInt(shift!)), true)
    } else if (size === 8) block.view.setBigUint64(offset, BigInt.asUintN(64, BigInt(value)), true)
    else if (size === 4) block.view.setUint32(offset, Number(value) >>> 0, true)
    else if (size === 2) block.view.setUint16(offset, Number(value), true)
    else block.view.setUint8(offset, Number(value))
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
  if (size === 8) return Number(block.view.getBigUint64(offset, true))
  if (size === 4) return block.view.getUint32(offset, true)
  return size === 2 ? block.view.getUint16(offset, true) : block.view.getUint8(offset)
}

/** A `char` array up to its first NUL. */
export const readText = <S extends StructLayout>(block: Block, struct: S, name: keyof S["fields"] & string): string => {
  const { offset, size } = struct.fields[name]!
  const bytes = block.bytes.slice(offset, offset + size)
  const end = bytes.indexOf(0)
  return new TextDecoder().decode(end < 0 ? bytes : bytes.subarray(0, end))
}
