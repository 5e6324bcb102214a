// What CO-RE asks of whole types and of enumerators.
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Btf from "../../btf/Btf.ts"
import type { BtfType } from "../../btf/BtfType.ts"
import type { CoreShape } from "../../isa/Instruction.ts"
import { parsePath, walk } from "../../btf/path.ts"
import { resolve } from "./problem.ts"

/**
 * The value of an enumerator. One of 32 bits is extended by its sign, whatever its enum says, as libbpf does: kernels before
 * 6.0 have no word for signed enums in their BTF, and their `-1` reads as 4294967295.
 */
export const enumValue = (btf: Btf.Btf, id: number, name: string): number | bigint | undefined => {
  const resolved = resolve(btf, id)
  if (Result.isFailure(resolved)) return undefined
  const [, type] = resolved.success
  if (type._tag === "Enum") {
    const found = type.values.find((value) => value.name === name)
    return found === undefined ? undefined : found.value | 0
  }
  return type._tag === "Enum64" ? type.values.find((value) => value.name === name)?.value : undefined
}

const shapes: { readonly [K in CoreShape["kind"] | "float" | "pointer" | "array"]: ReadonlyArray<BtfType["_tag"]> } = {
  struct: ["Struct"],
  union: ["Union"],
  enum: ["Enum", "Enum64"],
  int: ["Int"],
  typedef: ["Typedef"],
  float: ["Float"],
  pointer: ["Pointer"],
  array: ["Array"]
}

/** True if the type has the kind, the members and the values of the shape. */
export const matches = (btf: Btf.Btf, id: number, shape: CoreShape): boolean => {
  const own = Option.getOrUndefined(Btf.type(btf, id))
  if (own === undefined || !(shapes[shape.kind] ?? []).includes(own._tag)) return false
  const members = Object.entries(shape.members ?? {}).every(([name, kind]) => {
    const place = Result.flatMap(parsePath(name), (steps) => walk(btf, id, steps))
    const type = Result.flatMap(place, (found) => resolve(btf, found.type))
    return Result.isSuccess(type) && (shapes[kind] ?? []).includes(type.success[1]._tag)
  })
  return members && (shape.values ?? []).every((name) => enumValue(btf, id, name) !== undefined)
}
