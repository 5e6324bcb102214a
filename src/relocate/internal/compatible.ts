// Whether a type of the kernel can stand for one of a compiled program: what CO-RE compares beside names. The rules are
// those of libbpf's relo_core.c: bpf_core_fields_are_compat, bpf_core_types_are_compat and bpf_core_types_match.
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Btf from "../../btf/Btf.ts"
import type { BtfType, Enum, Enum64, FuncProto, Struct, Union } from "../../btf/BtfType.ts"
import { essential } from "../../btf/names.ts"

/** How deep types are compared, as in libbpf. */
const MAX_DEPTH = 32
/** How many pairs of types are compared for one question: a program's own types are input like any other. */
const MOST_PAIRS = 100_000

const isEnum = (type: BtfType): type is Enum | Enum64 => type._tag === "Enum" || type._tag === "Enum64"
const isComposite = (type: BtfType): type is Struct | Union => type._tag === "Struct" || type._tag === "Union"

/** One of a kind: both kinds of enum are. */
const areAlike = (a: BtfType, b: BtfType): boolean => a._tag === b._tag || (isEnum(a) && isEnum(b))

const nameOf = (type: BtfType): string => "name" in type ? essential(type.name) : ""

interface Pair {
  readonly local: BtfType
  readonly target: BtfType
}

/** Compares types of a program (`local`) with a kernel's. */
export class Comparison {
  private readonly local: Btf.Btf
  private readonly target: Btf.Btf
  private pairs = 0

  constructor(local: Btf.Btf, target: Btf.Btf) {
    this.local = local
    this.target = target
  }

  /** True if it gave up: its answers are "no" then. */
  get isExhausted(): boolean {
    return this.pairs > MOST_PAIRS
  }

  /** Both types behind typedefs and qualifiers; `undefined` for `void` on both sides is `"void"`. */
  private resolve(local: number, target: number): Pair | "void" | undefined {
    if (++this.pairs > MOST_PAIRS) return undefined
    const one = Btf.resolve(this.local, local)
    const other = Btf.resolve(this.target, target)
    if (Result.isSuccess(one) && Result.isSuccess(other)) {
      return { local: one.success[1], target: other.success[1] }
    }
    const isVoid = (result: typeof one): boolean => Result.isFailure(result) && result.failure.actual === "void"
    return isVoid(one) && isVoid(other) ? "void" : undefined
  }

  areFieldsCompatible(localId: number, targetId: number, depth = MAX_DEPTH): boolean {
    const pair = this.resolve(localId, targetId)
    if (pair === "void") return true
    if (pair === undefined || depth === 0) return false
    const { local, target } = pair
    if (isComposite(local) && isComposite(target)) return true
    if (!areAlike(local, target)) return false
    switch (local._tag) {
      case "Pointer":
      case "Float":
        return true
      case "Forward":
      case "Enum":
      case "Enum64": {
        const [a, b] = [nameOf(local), nameOf(target)]
        return a === "" || b === "" || a === b
      }
      case "Int":
        // No whole integers: what bit-fields were before 5.0.
        return local.offset === 0 && target._tag === "Int" && target.offset === 0
      case "Array":
        return target._tag === "Array" && this.areFieldsCompatible(local.type, target.type, depth - 1)
      default:
        return false
    }
  }

  /** Whether types of one name are of a kind, as far as their name is not enough: what they point to, what functions take. */
  areTypesCompatible(localId: number, targetId: number): boolean {
    const local = Option.getOrUndefined(Btf.type(this.local, localId))
    const target = Option.getOrUndefined(Btf.type(this.target, targetId))
    return local !== undefined && target !== undefined && areAlike(local, target) &&
      this.areCompatible(localId, targetId, MAX_DEPTH)
  }

  private areCompatible(localId: number, targetId: number, depth: number): boolean {
    const pair = this.resolve(localId, targetId)
    if (pair === "void") return true
    if (pair === undefined || depth === 0) return false
    const { local, target } = pair
    if (!areAlike(local, target)) return false
    switch (local._tag) {
      case "Struct":
      case "Union":
      case "Enum":
      case "Enum64":
      case "Forward":
        return true
      case "Int":
        return local.offset === 0 && target._tag === "Int" && target.offset === 0
      case "Pointer":
      case "Array":
        return this.areCompatible(local.type, (target as typeof local).type, depth - 1)
      case "FuncProto":
        return this.areAllOf(local, target as FuncProto, (a, b) => this.areCompatible(a, b, depth - 1))
      default:
        return false
    }
  }

  private areAllOf(local: FuncProto, target: FuncProto, compare: (a: number, b: number) => boolean): boolean {
    return local.parameters.length === target.parameters.length &&
      local.parameters.every(({ type }, i) => compare(type, target.parameters[i]!.type)) &&
      compare(local.returns, target.returns)
  }

  /** Whether the kernel's type has all that the program's has, by names and types. */
  doTypesMatch(localId: number, targetId: number): boolean {
    return this.match(localId, targetId, false, MAX_DEPTH)
  }

  private match(localId: number, targetId: number, behindPointer: boolean, depth: number): boolean {
    const pair = this.resolve(localId, targetId)
    if (pair === "void") return true
    if (pair === undefined || depth === 0) return false
    const { local, target } = pair
    if (nameOf(local) !== nameOf(target)) return false
    switch (local._tag) {
      case "Forward":
        if (target._tag === "Forward") return local.of === target.of
        return behindPointer && target._tag === (local.of === "union" ? "Union" : "Struct")
      case "Enum":
      case "Enum64":
        return isEnum(target) && this.haveAllNames(local, target)
      case "Struct":
      case "Union":
        if (!behindPointer) return local._tag === target._tag && this.matchMembers(local, target, depth)
        if (target._tag === "Forward") return target.of === (local._tag === "Union" ? "union" : "struct")
        return local._tag === target._tag
      case "Int":
        return target._tag === "Int" && local.size === target.size && local.signed === target.signed
      case "Float":
        return target._tag === "Float" && local.size === target.size
      case "Pointer":
        return target._tag === "Pointer" && this.match(local.type, target.type, true, depth - 1)
      case "Array":
        return target._tag === "Array" && local.length === target.length &&
          this.match(local.type, target.type, behindPointer, depth - 1)
      case "FuncProto":
        return target._tag === "FuncProto" &&
          this.areAllOf(local, target, (a, b) => this.match(a, b, behindPointer, depth - 1))
      default:
        return false
    }
  }

  private haveAllNames(local: Enum | Enum64, target: Enum | Enum64): boolean {
    const names = new Set<string>()
    for (const { name } of target.values) names.add(essential(name))
    return local.values.length <= target.values.length &&
      (local.values as ReadonlyArray<{ readonly name: string }>).every(({ name }) => names.has(essential(name)))
  }

  private matchMembers(local: Struct | Union, target: Struct | Union, depth: number): boolean {
    if (local.members.length > target.members.length) return false
    const byName = new Map<string, Array<number>>()
    for (const { name, type } of target.members) {
      const known = byName.get(essential(name))
      if (known === undefined) byName.set(essential(name), [type])
      else known.push(type)
    }
    return local.members.every(({ name, type }) =>
      (byName.get(essential(name)) ?? []).some((other) => this.match(type, other, false, depth - 1))
    )
  }
}
