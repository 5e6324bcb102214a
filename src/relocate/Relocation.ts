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
 * import * as Result from "effect/Result"
 *
 * // struct point { int x; int y; }
 * const types = Btf.parse(Result.getOrThrow(Btf.encode([
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
 * ])))
 * if (types._tag === "Success") console.log(Relocation.resolve(types.success, Asm.coreFieldOffset("point", "y"))) // 4
 * ```
 */
import * as Data from "effect/Data"
import * as Result from "effect/Result"
import * as Btf from "../btf/Btf.ts"
import { candidates } from "../btf/names.ts"
import { parsePath, type Place, walk } from "../btf/path.ts"
import type { CoreReference, LocalCoreReference, Reference } from "../isa/Instruction.ts"
import { extentOf, type FieldKind, fieldValue } from "./internal/field.ts"
import { describeLocal, resolveLocal } from "./internal/local.ts"
import { invalid, missing, type Problem, sizeOf, unanimous } from "./internal/problem.ts"
import { enumValue, matches } from "./internal/types.ts"

/**
 * A reference without a value. `reason` is `"missing"` where the kernel has not what it names, `"ambiguous"` where it has
 * several types of the name and they give different numbers (`candidates` has their ids), and `"invalid"` where no kernel
 * can have it: a path that is none. `reference` names it, such as `member mm.owner of task_struct`; `near` has names like
 * one that is missing.
 */
export class RelocationError extends Data.TaggedError("RelocationError")<{
  readonly reason: "missing" | "ambiguous" | "invalid"
  readonly reference: string
  readonly expected: string
  readonly actual: string
  readonly candidates?: ReadonlyArray<number> | undefined
  /** @internal */
  readonly suggest?: (() => ReadonlyArray<string>) | undefined
}> {
  get near(): ReadonlyArray<string> {
    return this.suggest?.() ?? []
  }

  override get message(): string {
    const near = this.near
    const hint = near.length === 0 ? "" : `; did you mean ${near.join(" or ")}?`
    return `${this.reference}: expected ${this.expected}, got ${this.actual}${hint}`
  }
}

/** References to a kernel's types, functions and variables. */
export type KernelReference = Extract<Reference, { readonly _tag: "Core" | "LocalCore" | "Kfunc" | "KernelVariable" }>

/** A reference in words. */
export const describe = (reference: KernelReference): string => {
  switch (reference._tag) {
    case "Kfunc":
      return `kernel function ${reference.name}`
    case "KernelVariable":
      return `kernel variable ${reference.name}`
    case "LocalCore":
      return describeLocal(reference)
    case "Core":
      if (reference.member === undefined) return `type ${reference.type}`
      return reference.kind.startsWith("enumval")
        ? `value ${reference.member} of enum ${reference.type}`
        : `member ${reference.member} of ${reference.type}`
  }
}

const same = (a: unknown, b: unknown): boolean => a === b

/** A type of a name, in words; where the name has a keyword, that says what it is. */
const typeWords = (type: string): string => `a type ${type}`

const agreed = <A extends number | bigint>(
  btf: Btf.Btf,
  type: string,
  ask: (id: number) => Result.Result<A, Problem>
): Result.Result<A, Problem> => unanimous(candidates(btf, type), typeWords(type), ask, same, String)

const onField = (btf: Btf.Btf, { kind, member, type }: CoreReference): Result.Result<number, Problem> =>
  Result.flatMap(parsePath(member ?? ""), (steps) => {
    const find = (id: number): Result.Result<Place, Problem> => walk(btf, id, steps)
    if (kind !== "field_exists") {
      return agreed(btf, type, (id) => Result.flatMap(find(id), (p) => fieldValue(btf, kind as FieldKind, p)))
    }
    return Result.succeed(candidates(btf, type).some((id) => Result.isSuccess(find(id))) ? 1 : 0)
  })

const onEnum = (btf: Btf.Btf, { kind, member, type }: CoreReference): Result.Result<number | bigint, Problem> => {
  const find = (id: number): Result.Result<number | bigint, Problem> => {
    const value = enumValue(btf, id, member ?? "")
    return value === undefined ? Result.fail(missing(`a value ${member}`, "none")) : Result.succeed(value)
  }
  if (kind === "enumval_value") return agreed(btf, type, find)
  return Result.succeed(candidates(btf, type).some((id) => Result.isSuccess(find(id))) ? 1 : 0)
}

const core = (btf: Btf.Btf, reference: CoreReference): Result.Result<number | bigint, Problem> => {
  const { kind, shape, type } = reference
  switch (kind) {
    case "type_exists":
      return Result.succeed(candidates(btf, type).length > 0 ? 1 : 0)
    case "type_matches":
      return Result.succeed(shape !== undefined && candidates(btf, type).some((id) => matches(btf, id, shape)) ? 1 : 0)
    // As libbpf: the size and the id of a type that the kernel has not are 0, so that a program may ask.
    case "type_size":
      return candidates(btf, type).length === 0 ? Result.succeed(0) : agreed(btf, type, (id) => sizeOf(btf, id))
    case "type_id_target":
      return candidates(btf, type).length === 0 ? Result.succeed(0) : agreed(btf, type, (id) => Result.succeed(id))
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

const byName = (btf: Btf.Btf, name: string, tag: "Func" | "Var"): Result.Result<number, Problem> => {
  const [id] = Btf.idsByName(btf, name, tag)
  return id === undefined ? Result.fail(missing(`a ${tag} ${name}`, "none")) : Result.succeed(id)
}

const valueOf = (btf: Btf.Btf, reference: KernelReference): Result.Result<number | bigint, Problem> => {
  switch (reference._tag) {
    case "Core":
      return core(btf, reference)
    case "LocalCore":
      return Result.map(resolveLocal(btf, reference), ({ value }) => value)
    case "Kfunc":
      return byName(btf, reference.name, "Func")
    case "KernelVariable":
      return byName(btf, reference.name, "Var")
  }
}

const toError = (reference: KernelReference, problem: Problem): RelocationError =>
  new RelocationError({ ...problem, reference: describe(reference) })

/**
 * The number that stands for a reference on the kernel that has these types: a BTF id for functions and variables, and a
 * `bigint` for enumerators of 64 bits.
 */
export const resolve = (btf: Btf.Btf, reference: KernelReference): Result.Result<number | bigint, RelocationError> => {
  const found = valueOf(btf, reference)
  return Result.mapError(found, (problem) => toError(reference, problem))
}

/** Where to load a field that is no bit-field from, and how many bytes. */
export interface Access {
  readonly offset: number
  readonly size: number
}

/** Where a load by name gets its offset and its size from. Fails as `resolve` does. */
export const resolveAccess = (btf: Btf.Btf, reference: CoreReference): Result.Result<Access, RelocationError> => {
  const found = Result.flatMap(parsePath(reference.member ?? ""), (steps) =>
    unanimous<Access>(
      candidates(btf, reference.type),
      typeWords(reference.type),
      (id) =>
        Result.flatMap(walk(btf, id, steps), (place) =>
          place.bitfieldSize === 0
            ? Result.map(extentOf(btf, place), ({ byteOffset, byteSize }) => ({ offset: byteOffset, size: byteSize }))
            : Result.fail(missing("a field of whole bytes", `${place.bitfieldSize} bits`))),
      (a, b) => a.offset === b.offset && a.size === b.size,
      ({ offset, size }) => `${size} bytes at ${offset}`
    ))
  return Result.mapError(found, (problem) => toError(reference, problem))
}

/** The number of a reference by local types; `size` is that of a load or store, `undefined` for the one that it has. */
export const resolveLocalAccess = (
  btf: Btf.Btf,
  reference: LocalCoreReference,
  isMemory: boolean
): Result.Result<{ readonly value: number | bigint; readonly size: number | undefined }, RelocationError> =>
  Result.mapError(resolveLocal(btf, reference, isMemory), (problem) => toError(reference, problem))
