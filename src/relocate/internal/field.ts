// The numbers that CO-RE asks of a field, once it is found. Whoever finds it (by names, or by the local types of a
// compiled object) comes here with its place.
import * as Result from "effect/Result"
import type { Btf } from "../../btf/Btf.ts"
import type { Place } from "../../btf/path.ts"
import { missing, type Problem, resolve, sizeOf } from "./problem.ts"

/** The bytes to load for a field, and where in them its bits are. */
export interface Extent {
  readonly byteOffset: number
  readonly byteSize: number
  /** From the start of the struct. */
  readonly bitOffset: number
  readonly bitSize: number
}

/**
 * For a bit-field the smallest aligned load of its type's size, or more, that holds all of it, as clang and libbpf
 * choose it: the offset is the same on both sides.
 */
const bitfieldExtent = (place: Place, typeSize: number): Extent | undefined => {
  const { bitfieldSize, bitOffset } = place
  for (let byteSize = typeSize; byteSize <= 8; byteSize *= 2) {
    const byteOffset = Math.floor(bitOffset / 8 / byteSize) * byteSize
    if (bitOffset + bitfieldSize - byteOffset * 8 <= byteSize * 8) {
      return { byteOffset, byteSize, bitOffset, bitSize: bitfieldSize }
    }
  }
  return undefined
}

/** Where a field lies. */
export const extentOf = (btf: Btf, place: Place): Result.Result<Extent, Problem> =>
  Result.flatMap(sizeOf(btf, place.type), (size) => {
    if (place.bitfieldSize === 0) {
      const byteOffset = place.bitOffset / 8
      return Result.succeed({ byteOffset, byteSize: size, bitOffset: place.bitOffset, bitSize: size * 8 })
    }
    const extent = size > 0 ? bitfieldExtent(place, size) : undefined
    return extent === undefined
      ? Result.fail(missing("a bit-field inside of 8 bytes", `${place.bitfieldSize} bits at ${place.bitOffset}`))
      : Result.succeed(extent)
  })

const isSigned = (btf: Btf, place: Place): Result.Result<boolean, Problem> =>
  Result.map(
    resolve(btf, place.type),
    ([, type]) => (type._tag === "Int" || type._tag === "Enum" || type._tag === "Enum64") && type.signed
  )

/** Shifts cut a field out of a register; what is larger than that has none. */
const shiftsOf = (extent: Extent): Result.Result<{ readonly left: number; readonly right: number }, Problem> => {
  if (extent.byteSize > 8) return Result.fail(missing("a field of up to 8 bytes", `${extent.byteSize} bytes`))
  return Result.succeed({
    left: 64 - (extent.bitOffset + extent.bitSize - extent.byteOffset * 8), // little-endian
    right: 64 - extent.bitSize
  })
}

/** What can be asked of a field. */
export type FieldKind =
  | "field_byte_offset"
  | "field_byte_size"
  | "field_signed"
  | "field_lshift_u64"
  | "field_rshift_u64"

/** The answer for a field. */
export const fieldValue = (btf: Btf, kind: FieldKind, place: Place): Result.Result<number, Problem> => {
  switch (kind) {
    case "field_byte_offset":
      return Result.map(extentOf(btf, place), (extent) => extent.byteOffset)
    case "field_byte_size":
      return Result.map(extentOf(btf, place), (extent) => extent.byteSize)
    case "field_signed":
      return Result.map(isSigned(btf, place), Number)
    case "field_lshift_u64":
      return Result.map(Result.flatMap(extentOf(btf, place), shiftsOf), ({ left }) => left)
    case "field_rshift_u64":
      return Result.map(Result.flatMap(extentOf(btf, place), shiftsOf), ({ right }) => right)
  }
}
