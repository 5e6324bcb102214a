// Types of a kernel by name, and what CO-RE asks of whole types and of enumerators.
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import type { Btf } from "../../btf/Btf.ts"
import type { BtfType } from "../../btf/BtfType.ts"
import type { CoreShape } from "../../isa/Instruction.ts"
import { parsePath, resolve, walk } from "./path.ts"

/** The kinds that a type can be asked for, in the order in which a bare name is looked for. */
const kinds = ["Struct", "Union", "Enum", "Enum64", "Typedef", "Int", "Float"] as const

const keywords: { readonly [keyword: string]: ReadonlyArray<BtfType["_tag"]> } = {
  struct: ["Struct"],
  union: ["Union"],
  enum: ["Enum", "Enum64"],
  typedef: ["Typedef"]
}

/**
 * The ids of the types of a name. With a keyword, `"struct inode"`, those of that kind; without, those of the first kind
 * that has any: C keeps tags and typedefs apart, and a bare name means the tag. A kernel may have several of one name.
 */
export const candidates = (btf: Btf, name: string): ReadonlyArray<number> => {
  const [, keyword, rest] = /^(struct|union|enum|typedef) +(.*)$/.exec(name) ?? []
  if (keyword !== undefined) return keywords[keyword]!.flatMap((tag) => btf.idsByName(rest!, tag))
  for (const tag of kinds) {
    const ids = btf.idsByName(name, tag)
    if (ids.length > 0) return ids
  }
  return []
}

/** The value of an enumerator. */
export const enumValue = (btf: Btf, id: number, name: string): number | bigint | undefined => {
  const resolved = resolve(btf, id)
  if (Result.isFailure(resolved)) return undefined
  const [, type] = resolved.success
  return type._tag === "Enum" || type._tag === "Enum64"
    ? type.values.find((value) => value.name === name)?.value
    : undefined
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
export const matches = (btf: Btf, id: number, shape: CoreShape): boolean => {
  const own = Option.getOrUndefined(btf.type(id))
  if (own === undefined || !(shapes[shape.kind] ?? []).includes(own._tag)) return false
  const members = Object.entries(shape.members ?? {}).every(([name, kind]) => {
    const place = Result.flatMap(parsePath(name), (steps) => walk(btf, id, steps))
    const type = Result.flatMap(place, (found) => resolve(btf, found.type))
    return Result.isSuccess(type) && (shapes[kind] ?? []).includes(type.success[1]._tag)
  })
  return members && (shape.values ?? []).every((name) => enumValue(btf, id, name) !== undefined)
}
