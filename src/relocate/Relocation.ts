/**
 * Numbers that depend on the kernel a program is to run on: offsets and sizes of its structs, values of its enums, ids of
 * its functions. Programs refer to them by name (`Asm.coreFieldOffset` and its sisters, `Asm.callKfunc`), and this module
 * answers from the kernel's BTF. It is pure: `Program.load` calls it with the running kernel's types, and a test with any.
 *
 * What the kernel has not is a failure with reason `"missing"`, unless its existence was what was asked. `Program.load`
 * then does as libbpf: it puts in place of the instruction one that the verifier rejects, so that a program fails only if
 * control can reach it, and may guard it with `Asm.coreFieldExists`.
 *
 * @example
 * ```ts
 * import { Asm, Btf, Relocation } from "effect-ebpf"
 *
 * // struct point { int x; int y; }
 * const types = Btf.parse(Btf.encode([
 *   { _tag: "Int", name: "int", size: 4, bits: 32, offset: 0, signed: true, char: false, bool: false },
 *   {
 *     _tag: "Struct",
 *     name: "point",
 *     size: 8,
 *     members: [
 *       { name: "x", type: 1, bitOffset: 0, bitfieldSize: 0 },
 *       { name: "y", type: 1, bitOffset: 32, bitfieldSize: 0 }
 *     ]
 *   }
 * ]))
 * if (types._tag === "Success") console.log(Relocation.resolve(types.success, Asm.coreFieldOffset("point", "y"))) // 4
 * ```
 */
import * as Data from "effect/Data"
import * as Result from "effect/Result"
import type { Btf } from "../btf/Btf.ts"
import type { CoreReference, Reference } from "../isa/Instruction.ts"
import { extentOf, type FieldKind, fieldValue } from "./internal/field.ts"
import { parsePath, type Place, sizeOf, walk } from "./internal/path.ts"
import { invalid, missing, type Problem } from "./internal/problem.ts"
import { candidates, enumValue, matches } from "./internal/types.ts"

/**
 * A reference without a value. `reason` is `"missing"` where the kernel has not what it names, and `"invalid"` where no
 * kernel can: a path that is none. `reference` names it, such as `member mm.owner of task_struct`.
 */
export class RelocationError extends Data.TaggedError("RelocationError")<{
  readonly reason: "missing" | "invalid"
  readonly reference: string
  readonly expected: string
  readonly actual: string
}> {
  override get message(): string {
    return `${this.reference}: expected ${this.expected}, got ${this.actual}`
  }
}

/** References to a kernel's types, functions and variables. */
export type KernelReference = Extract<Reference, { readonly _tag: "Core" | "Kfunc" | "KernelVariable" }>

/** A reference in words. */
export const describe = (reference: KernelReference): string => {
  switch (reference._tag) {
    case "Kfunc":
      return `kernel function ${reference.name}`
    case "KernelVariable":
      return `kernel variable ${reference.name}`
    case "Core":
      if (reference.member === undefined) return `type ${reference.type}`
      return reference.kind.startsWith("enumval")
        ? `value ${reference.member} of enum ${reference.type}`
        : `member ${reference.member} of ${reference.type}`
  }
}

/** Asks each type of the name. Those that know must agree: a kernel may have two structs of one name. */
const unanimous = <A>(
  btf: Btf,
  type: string,
  ask: (id: number) => Result.Result<A, Problem>,
  isEqual: (a: A, b: A) => boolean
): Result.Result<A, Problem> => {
  let answer: Result.Result<A, Problem> = Result.fail(missing(`a type ${type}`, "none"))
  let found = false
  for (const id of candidates(btf, type)) {
    const one = ask(id)
    if (Result.isFailure(one)) {
      if (!found) answer = one
      continue
    }
    if (found && Result.isSuccess(answer) && !isEqual(answer.success, one.success)) {
      return Result.fail(missing(`one type ${type}`, "several that differ"))
    }
    found = true
    answer = one
  }
  return answer
}

const same = (a: unknown, b: unknown): boolean => a === b

const onField = (btf: Btf, { kind, member, type }: CoreReference): Result.Result<number, Problem> =>
  Result.flatMap(parsePath(member ?? ""), (steps) => {
    const find = (id: number): Result.Result<Place, Problem> => walk(btf, id, steps)
    if (kind !== "field_exists") {
      return unanimous(btf, type, (id) => Result.flatMap(find(id), (p) => fieldValue(btf, kind as FieldKind, p)), same)
    }
    return Result.succeed(candidates(btf, type).some((id) => Result.isSuccess(find(id))) ? 1 : 0)
  })

const onEnum = (btf: Btf, { kind, member, type }: CoreReference): Result.Result<number | bigint, Problem> => {
  const find = (id: number): Result.Result<number | bigint, Problem> => {
    const value = enumValue(btf, id, member ?? "")
    return value === undefined ? Result.fail(missing(`a value ${member}`, "none")) : Result.succeed(value)
  }
  if (kind === "enumval_value") return unanimous(btf, type, find, same)
  return Result.succeed(candidates(btf, type).some((id) => Result.isSuccess(find(id))) ? 1 : 0)
}

const core = (btf: Btf, reference: CoreReference): Result.Result<number | bigint, Problem> => {
  const { kind, shape, type } = reference
  switch (kind) {
    case "type_exists":
      return Result.succeed(candidates(btf, type).length > 0 ? 1 : 0)
    case "type_matches":
      return Result.succeed(shape !== undefined && candidates(btf, type).some((id) => matches(btf, id, shape)) ? 1 : 0)
    case "type_size":
      return unanimous(btf, type, (id) => sizeOf(btf, id), same)
    case "type_id_target": {
      const [id] = candidates(btf, type)
      return id === undefined ? Result.fail(missing(`a type ${type}`, "none")) : Result.succeed(id)
    }
    case "enumval_exists":
    case "enumval_value":
      return onEnum(btf, reference)
    case "field_byte_offset":
    case "field_byte_size":
    case "field_exists":
    case "field_signed":
    case "field_lshift_u64":
    case "field_rshift_u64":
      return onField(btf, reference)
    default:
      return Result.fail(invalid("a kind of relocation", String(kind)))
  }
}

const byName = (btf: Btf, name: string, tag: "Func" | "Var"): Result.Result<number, Problem> => {
  const [id] = btf.idsByName(name, tag)
  return id === undefined ? Result.fail(missing(`a ${tag} ${name}`, "none")) : Result.succeed(id)
}

const toError = (reference: KernelReference, problem: Problem): RelocationError =>
  new RelocationError({ ...problem, reference: describe(reference) })

/**
 * The number that stands for a reference on the kernel that has these types: a BTF id for functions and variables, and a
 * `bigint` for enumerators of 64 bits.
 */
export const resolve = (btf: Btf, reference: KernelReference): Result.Result<number | bigint, RelocationError> => {
  const found = reference._tag === "Core"
    ? core(btf, reference)
    : byName(btf, reference.name, reference._tag === "Kfunc" ? "Func" : "Var")
  return Result.mapError(found, (problem) => toError(reference, problem))
}

/** Where to load a field that is no bit-field from, and how many bytes. Fails as `resolve` does. */
export const resolveAccess = (
  btf: Btf,
  reference: CoreReference
): Result.Result<{ readonly offset: number; readonly size: number }, RelocationError> => {
  const found = Result.flatMap(parsePath(reference.member ?? ""), (steps) =>
    unanimous(
      btf,
      reference.type,
      (id) =>
        Result.flatMap(walk(btf, id, steps), (place) =>
          place.bitfieldSize === 0
            ? Result.map(extentOf(btf, place), ({ byteOffset, byteSize }) => ({ offset: byteOffset, size: byteSize }))
            : Result.fail(missing("a field of whole bytes", `${place.bitfieldSize} bits`))),
      (a, b) => a.offset === b.offset && a.size === b.size
    ))
  return Result.mapError(found, (problem) => toError(reference, problem))
}
