// Paths of members: `mm->owner.comm[3]`. Names are of members of structs and unions, looked for through anonymous ones;
// `.` goes on inside, `[n]` into an array, and `->` to what a pointer points to.
import * as Result from "effect/Result"
import * as Btf from "../../btf/Btf.ts"
import type { Member } from "../../btf/BtfType.ts"
import { invalid, missing, type Problem } from "./problem.ts"

/** One step of a path. */
export type Step =
  | { readonly _tag: "Member"; readonly name: string }
  | { readonly _tag: "Index"; readonly index: number }
  | { readonly _tag: "Arrow" }

/** A place in a type: `bitOffset` counts from the start of the struct that the path's last arrow leads to. */
export interface Place {
  readonly type: number
  readonly bitOffset: number
  /** 0 where it is no bit-field. */
  readonly bitfieldSize: number
}

const TOKEN = /(->|\.)|\[(\d{1,9})\]|([A-Za-z_]\w*)/y

/** The steps of a path, or a problem with how it is written. */
export const parsePath = (path: string): Result.Result<ReadonlyArray<Step>, Problem> => {
  const steps: Array<Step> = []
  let afterName = false // what may follow a name or an index: a joint, or an index
  TOKEN.lastIndex = 0
  while (TOKEN.lastIndex < path.length) {
    const at = TOKEN.lastIndex
    const match = TOKEN.exec(path)
    const [, joint, index, name] = match ?? []
    if (match === null || (name === undefined) !== afterName) {
      return Result.fail(invalid("a path such as a.b[0]->c", `${JSON.stringify(path)}, wrong at ${at}`))
    }
    if (name !== undefined) steps.push({ _tag: "Member", name })
    else if (index !== undefined) steps.push({ _tag: "Index", index: Number(index) })
    else if (joint === "->") steps.push({ _tag: "Arrow" })
    afterName = joint === undefined
  }
  return afterName
    ? Result.succeed(steps)
    : Result.fail(invalid("a path such as a.b[0]->c", JSON.stringify(path)))
}

/** How deep anonymous members may nest; deeper BTF is taken to be circular. */
const MOST_NESTING = 32

const findMember = (
  btf: Btf.Btf,
  id: number,
  name: string,
  depth: number,
  seen: Set<number>
): Member | undefined => {
  const resolved = Btf.resolve(btf, id)
  if (Result.isFailure(resolved) || depth > MOST_NESTING || seen.has(resolved.success[0])) return undefined
  const [target, type] = resolved.success
  if (type._tag !== "Struct" && type._tag !== "Union") return undefined
  seen.add(target)
  for (const member of type.members) {
    if (member.name === name) return member
    if (member.name !== "") continue
    const inner = findMember(btf, member.type, name, depth + 1, seen)
    if (inner !== undefined) return { ...inner, bitOffset: inner.bitOffset + member.bitOffset }
  }
  return undefined
}

const enterIndex = (btf: Btf.Btf, place: Place, index: number): Result.Result<Place, Problem> =>
  Result.gen(function*() {
    const [, type] = yield* resolve(btf, place.type)
    if (type._tag !== "Array") return yield* Result.fail(missing("an array", type._tag))
    // A flexible array at the end of a struct has length 0, and any index.
    if (type.length !== 0 && index >= type.length) {
      return yield* Result.fail(missing(`an array of more than ${index} elements`, `one of ${type.length}`))
    }
    const size = yield* sizeOf(btf, type.type)
    return { type: type.type, bitOffset: place.bitOffset + index * size * 8, bitfieldSize: 0 }
  })

const enter = (btf: Btf.Btf, place: Place, step: Step): Result.Result<Place, Problem> => {
  switch (step._tag) {
    case "Member": {
      const found = findMember(btf, place.type, step.name, 0, new Set())
      if (found === undefined) return Result.fail(missing(`a member ${step.name}`, "none"))
      const { bitfieldSize, bitOffset, type } = found
      return Result.succeed({ type, bitOffset: place.bitOffset + bitOffset, bitfieldSize })
    }
    case "Index":
      return enterIndex(btf, place, step.index)
    case "Arrow":
      return Result.flatMap(resolve(btf, place.type), ([, type]) =>
        type._tag === "Pointer"
          ? Result.succeed({ type: type.type, bitOffset: 0, bitfieldSize: 0 })
          : Result.fail(missing("a pointer before ->", type._tag)))
  }
}

/** Follows a path from a type. */
export const walk = (btf: Btf.Btf, root: number, steps: ReadonlyArray<Step>): Result.Result<Place, Problem> => {
  let place: Result.Result<Place, Problem> = Result.succeed({ type: root, bitOffset: 0, bitfieldSize: 0 })
  for (const step of steps) {
    if (Result.isFailure(place)) return place
    place = enter(btf, place.success, step)
  }
  return place
}

const asProblem = (error: Btf.BtfError): Problem => missing(error.expected, error.actual)

/** `Btf.resolve`, with its failure as a problem. */
export const resolve = (btf: Btf.Btf, id: number) => Result.mapError(Btf.resolve(btf, id), asProblem)

/** `Btf.sizeOf`, with its failure as a problem. */
export const sizeOf = (btf: Btf.Btf, id: number) => Result.mapError(Btf.sizeOf(btf, id), asProblem)
