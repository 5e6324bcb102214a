// CO-RE by the types of a compiled program: a local type and an access string say what the program means, names lead to the
// same in the kernel's types. What libbpf decides (relo_core.c) is decided the same way.
import * as Result from "effect/Result"
import * as Btf from "../../btf/Btf.ts"
import type { BtfType } from "../../btf/BtfType.ts"
import { candidates, essential } from "../../btf/names.ts"
import { enter, type Place, type Step } from "../../btf/path.ts"
import type { LocalCoreReference } from "../../isa/Instruction.ts"
import { Comparison } from "./compatible.ts"
import { type Extent, extentOf, type FieldKind, fieldValue } from "./field.ts"
import { invalid, missing, type Problem, resolve, sizeOf, unanimous } from "./problem.ts"
import { enumValue } from "./types.ts"

/** A number, and for the offset of a field how many bytes a load or store of it takes; `undefined` for as many as before. */
export interface Relocated {
  readonly value: number | bigint
  readonly size: number | undefined
}

/** What a field of the local type is: where it lies there, and the steps to it by name, each with its local type. */
interface LocalField {
  readonly place: Place
  /** How many elements of the root type come before: the first number of an access string. */
  readonly first: number
  readonly steps: ReadonlyArray<{ readonly step: Step; readonly type: number }>
}

const MOST_STEPS = 64

const typesOf = ({ types }: LocalCoreReference): Result.Result<Btf.Btf, Problem> =>
  Btf.isBtf(types) ? Result.succeed(types) : Result.fail(invalid("the program's BTF", typeof types))

const parseAccess = (access: string): Result.Result<ReadonlyArray<number>, Problem> => {
  const numbers = /^\d{1,9}(:\d{1,9})*$/.test(access) ? access.split(":").map(Number) : []
  return numbers.length === 0 || numbers.length > MOST_STEPS
    ? Result.fail(invalid("an access string such as 0:1:2", JSON.stringify(access)))
    : Result.succeed(numbers)
}

const localField = (btf: Btf.Btf, root: number, access: ReadonlyArray<number>): Result.Result<LocalField, Problem> =>
  Result.gen(function*() {
    const [first, ...rest] = access as [number, ...Array<number>]
    const steps: Array<LocalField["steps"][number]> = []
    const rootSize = yield* sizeOf(btf, root)
    let place: Place = { name: "", type: root, bitOffset: first * rootSize * 8, bitfieldSize: 0 }
    for (const index of rest) {
      const [, type] = yield* resolve(btf, place.type)
      if (type._tag === "Array") {
        const step: Step = { _tag: "Index", index }
        place = yield* enter(btf, place, step)
        steps.push({ step, type: place.type })
        continue
      }
      if (type._tag !== "Struct" && type._tag !== "Union") {
        return yield* Result.fail(invalid("a struct, union or array of the program's types", type._tag))
      }
      const member = type.members[index]
      if (member === undefined) {
        return yield* Result.fail(invalid(`a member ${index} of ${type.name}`, `${type.members.length} members`))
      }
      place = { ...member, bitOffset: place.bitOffset + member.bitOffset }
      // What an anonymous struct holds is found from outside.
      if (member.name !== "") steps.push({ step: { _tag: "Member", name: member.name }, type: member.type })
    }
    return { place, first, steps }
  })

/** The same field in a type of the kernel; a field that is something else there is as good as missing. */
const targetField = (
  btf: Btf.Btf,
  root: number,
  { first, steps }: LocalField,
  comparison: Comparison
): Result.Result<Place, Problem> =>
  Result.gen(function*() {
    const size = first === 0 ? 0 : yield* sizeOf(btf, root)
    let place: Place = { name: "", type: root, bitOffset: first * size * 8, bitfieldSize: 0 }
    for (const { step, type } of steps) {
      place = yield* enter(btf, place, step)
      if (step._tag === "Member" && !comparison.areFieldsCompatible(type, place.type)) {
        return yield* Result.fail(missing(`a member ${step.name} of a like type`, "another kind of type"))
      }
    }
    return place
  })

const isNumber = (btf: Btf.Btf, id: number, tag: "Pointer" | "Int"): boolean => {
  const found = resolve(btf, id)
  if (Result.isFailure(found) || found.success[1]._tag !== tag) return false
  const [, type] = found.success
  return type._tag !== "Int" || !type.signed
}

/** The new size of a load. Only pointers and unsigned integers read the same from more or fewer bytes. */
const resized = (
  local: { readonly btf: Btf.Btf; readonly place: Place; readonly extent: Extent },
  target: { readonly btf: Btf.Btf; readonly place: Place; readonly extent: Extent }
): Result.Result<number | undefined, Problem> => {
  if (local.place.bitfieldSize !== 0 || target.place.bitfieldSize !== 0) return Result.succeed(undefined)
  const [before, after] = [local.extent.byteSize, target.extent.byteSize]
  if (before === after) return Result.succeed(undefined)
  const isSafe = (["Pointer", "Int"] as const).some((tag) =>
    isNumber(local.btf, local.place.type, tag) && isNumber(target.btf, target.place.type, tag)
  )
  return isSafe
    ? Result.succeed(after)
    : Result.fail(missing(`a field of ${before} bytes, or a pointer or unsigned integer`, `one of ${after} bytes`))
}

const onField = (
  btf: Btf.Btf,
  own: Btf.Btf,
  reference: LocalCoreReference,
  ids: ReadonlyArray<number>,
  isMemory: boolean
): Result.Result<Relocated, Problem> =>
  Result.gen(function*() {
    const local = yield* localField(own, reference.type, yield* parseAccess(reference.access))
    const comparison = new Comparison(own, btf)
    const find = (id: number) => targetField(btf, id, local, comparison)
    if (reference.kind === "field_exists") {
      const found = ids.map(find)
      const wrong = found.find((one) => Result.isFailure(one) && one.failure.reason === "invalid")
      if (wrong !== undefined && Result.isFailure(wrong)) return yield* Result.fail(wrong.failure)
      return { value: found.some(Result.isSuccess) ? 1 : 0, size: undefined }
    }
    const kind = reference.kind as FieldKind
    const extent = yield* extentOf(own, local.place)
    return yield* unanimous<Relocated & { readonly place: Place }>(
      ids,
      describeLocal(reference),
      (id) =>
        Result.gen(function*() {
          const place = yield* find(id)
          const value = yield* fieldValue(btf, kind, place)
          const target = yield* extentOf(btf, place)
          const size = isMemory && kind === "field_byte_offset"
            ? yield* resized({ btf: own, place: local.place, extent }, { btf, place, extent: target })
            : undefined
          return { value, size, place }
        }),
      // All must lie at the same bit, whatever is asked of them.
      (a, b) => a.value === b.value && a.size === b.size && a.place.bitOffset === b.place.bitOffset,
      ({ value }) => String(value)
    )
  })

const onType = (
  btf: Btf.Btf,
  own: Btf.Btf,
  { kind, type }: LocalCoreReference,
  ids: ReadonlyArray<number>
): Result.Result<Relocated, Problem> => {
  const comparison = new Comparison(own, btf)
  const found = ids.filter((id) =>
    kind === "type_matches" ? comparison.doTypesMatch(type, id) : comparison.areTypesCompatible(type, id)
  )
  if (comparison.isExhausted) return Result.fail(invalid("types that can be compared", "too many, or a circle"))
  const plain = (value: number): Relocated => ({ value, size: undefined })
  if (found.length === 0) return Result.succeed(plain(0))
  if (kind === "type_exists" || kind === "type_matches") return Result.succeed(plain(1))
  return Result.map(
    unanimous(
      found,
      "a type",
      (id) => kind === "type_size" ? sizeOf(btf, id) : Result.succeed(id),
      (a, b) => a === b,
      String
    ),
    plain
  )
}

const onEnum = (
  btf: Btf.Btf,
  local: BtfType | undefined,
  { access, kind }: LocalCoreReference,
  ids: ReadonlyArray<number>
): Result.Result<Relocated, Problem> =>
  Result.gen(function*() {
    const [index] = yield* parseAccess(access)
    const values = local?._tag === "Enum" || local?._tag === "Enum64" ? local.values : []
    const name = values[index!]?.name
    if (name === undefined) {
      return yield* Result.fail(invalid(`a value ${access} of the enum`, `${values.length} values`))
    }
    const find = (id: number): number | bigint | undefined =>
      enumValue(btf, id, name) ?? enumValueByEssential(btf, id, essential(name))
    if (kind === "enumval_exists") return { value: ids.some((id) => find(id) !== undefined) ? 1 : 0, size: undefined }
    const value = yield* unanimous<number | bigint>(
      ids,
      `a value ${name}`,
      (id) => {
        const one = find(id)
        return one === undefined ? Result.fail(missing(`a value ${name}`, "none")) : Result.succeed(one)
      },
      (a, b) => BigInt(a) === BigInt(b),
      String
    )
    return { value, size: undefined }
  })

/** Enumerators have flavours too. */
const enumValueByEssential = (btf: Btf.Btf, id: number, wanted: string): number | bigint | undefined => {
  const found = resolve(btf, id)
  if (Result.isFailure(found)) return undefined
  const [, type] = found.success
  if (type._tag !== "Enum" && type._tag !== "Enum64") return undefined
  const name = (type.values as ReadonlyArray<{ readonly name: string }>).find((value) =>
    essential(value.name) === wanted
  )
  return name === undefined ? undefined : enumValue(btf, id, name.name)
}

const keywords: { readonly [tag: string]: string } = {
  Struct: "struct ",
  Union: "union ",
  Enum: "enum ",
  Enum64: "enum ",
  Typedef: "typedef "
}

/** The number of a reference by local types, on the kernel that has these. `isMemory` is true for loads and stores. */
export const resolveLocal = (
  btf: Btf.Btf,
  reference: LocalCoreReference,
  isMemory = false
): Result.Result<Relocated, Problem> =>
  Result.gen(function*() {
    const own = yield* typesOf(reference)
    const { kind, type: id } = reference
    const found = Btf.type(own, id)
    if (kind === "type_id_local") {
      if (found._tag === "None") return yield* Result.fail(invalid(`a type ${id} of the program`, "none"))
      return { value: id, size: undefined }
    }
    const local = found._tag === "Some" ? found.value : undefined
    const name = local !== undefined && "name" in local ? local.name : ""
    if (local === undefined || name === "") {
      return yield* Result.fail(invalid("a type of the program that has a name", local?._tag ?? `id ${id}`))
    }
    const keyword = keywords[local._tag]
    const ids = keyword === undefined
      ? Btf.idsByName(btf, essential(name), local._tag)
      : candidates(btf, `${keyword}${name}`)
    if (kind.startsWith("field")) return yield* onField(btf, own, reference, ids, isMemory)
    return yield* kind.startsWith("enumval") ? onEnum(btf, local, reference, ids) : onType(btf, own, reference, ids)
  })

/** A reference in words: its type as C writes it, and its access string. */
export const describeLocal = ({ access, kind, type, types }: LocalCoreReference): string => {
  const name = Btf.isBtf(types) ? Result.getOrElse(Btf.typeName(types, type), () => `type ${type}`) : `type ${type}`
  return kind.startsWith("type") ? `${kind} of ${name}` : `${kind} of ${name} at ${access}`
}
