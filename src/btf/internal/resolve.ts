// What lies behind references, and how large it is; on records, without decoding them.
import * as Result from "effect/Result"
import type { BtfType } from "../BtfType.ts"
import { type Blob, blobOf, type Btf, tagOf } from "./blob.ts"
import { decodeOwn } from "./decode.ts"
import { type BtfError, problem } from "./error.ts"
import { KIND } from "./format.ts"

/** How deep references may nest; beyond it BTF from outside is taken to be circular. The kernel's limit is 32. */
export const MAX_DEPTH = 32

/** Sizes beyond this are the kernel's limit too: an array of more has none. */
const MAX_SIZE = 0xffffffff

const isReference = (kind: number): boolean => {
  switch (kind) {
    case KIND.Typedef:
    case KIND.Volatile:
    case KIND.Const:
    case KIND.Restrict:
    case KIND.TypeTag:
    case KIND.Var:
      return true
    default:
      return false
  }
}

/** A type behind references: its id is 0 for `void`, and -1 where the chain has no end. */
export const follow = (btf: Btf, id: number): number => {
  const blob = blobOf(btf)
  let current = id
  for (let depth = 0; depth <= MAX_DEPTH; depth++) {
    const owner = blob.owner(current)
    if (owner === undefined || !isReference(owner.kind(current))) return current
    current = owner.unsigned(owner.at(current) + 2)
  }
  return -1
}

/** The type behind references, not decoded. */
export const target = (
  btf: Btf,
  id: number
): Result.Result<{ readonly owner: Blob; readonly id: number }, BtfError> => {
  const found = follow(btf, id)
  if (found < 0) {
    return Result.fail(problem(`type ${id}`, `at most ${MAX_DEPTH} references`, "a longer chain, or a circle"))
  }
  const owner = blobOf(btf).owner(found)
  return owner === undefined
    ? Result.fail(problem(`type ${id}`, "a type", found === 0 ? "void" : `id ${found}`))
    : Result.succeed({ owner, id: found })
}

/**
 * The type behind typedefs, qualifiers and tags, and of a variable, with its id. Fails for `void`, a dangling id and a
 * circle.
 */
export const resolve = (btf: Btf, id: number): Result.Result<readonly [id: number, type: BtfType], BtfError> =>
  Result.map(target(btf, id), (found) => [found.id, decodeOwn(found.owner, found.id)])

/**
 * The size of a type, or of a variable, in bytes. Fails for types without one (`void`, functions, forward declarations)
 * and for arrays of 4 GiB or more.
 */
export const sizeOf = (btf: Btf, id: number): Result.Result<number, BtfError> => {
  const blob = blobOf(btf)
  let count = 1
  let current = id
  // References and arrays together, each counted by its own limit.
  for (let depth = 0; depth <= MAX_DEPTH; depth++) {
    const found = follow(btf, current)
    const owner = found < 0 ? undefined : blob.owner(found)
    if (owner === undefined) return Result.map(target(btf, current), () => 0)
    const at = owner.at(found)
    const kind = owner.kind(found)
    switch (kind) {
      case KIND.Array:
        count *= owner.unsigned(at + 5)
        current = owner.unsigned(at + 3)
        continue
      case KIND.Pointer:
        return sized(id, count, 8)
      case KIND.Int:
      case KIND.Struct:
      case KIND.Union:
      case KIND.Enum:
      case KIND.Enum64:
      case KIND.DataSection:
      case KIND.Float:
        return sized(id, count, owner.unsigned(at + 2))
      default:
        return Result.fail(problem(`type ${id}`, "a type that has a size", tagOf(kind)))
    }
  }
  return Result.fail(problem(`type ${id}`, `at most ${MAX_DEPTH} nested arrays`, "more, or a circle"))
}

const tooLarge = (id: number): Result.Result<never, BtfError> =>
  Result.fail(problem(`type ${id}`, `a size of at most ${MAX_SIZE} bytes`, "a larger array"))

const sized = (id: number, count: number, size: number): Result.Result<number, BtfError> =>
  // Not a number where infinitely many have no size.
  count * size <= MAX_SIZE ? Result.succeed(count * size) : tooLarge(id)
