// What is asked of BTF by name.
import { dual } from "effect/Function"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import { nearest } from "../../abi/nearest.ts"
import type { BtfType, DeclTag, Member } from "../BtfType.ts"
import { idsMeant, splitKeyword } from "../names.ts"
import { nearNames, parsePath, type PathProblem, type Place, walk } from "../path.ts"
import { type Blob, blobOf, type Btf, namedIds, TypeId } from "./blob.ts"
import { decode, decodeOwn, wideValue } from "./decode.ts"
import { type BtfError, problem } from "./error.ts"
import { infoFlag, infoKind, infoVlen, KIND, kindOf } from "./format.ts"
import { declare } from "./print.ts"
import { resolve as resolveType, sizeOf as sizeOfType } from "./resolve.ts"
import { want, type Wanted } from "./strings.ts"

/** True if the value is parsed BTF. */
export const isBtf = (u: unknown): u is Btf => typeof u === "object" && u !== null && TypeId in u

/** For functions whose last arguments may be left out: data first where the first is BTF. */
const isDataFirst = (args: IArguments): boolean => isBtf(args[0])

/** The kinds of type. */
export type Tag = BtfType["_tag"]

/** The type of a kind. */
export type OfTag<T extends Tag> = Extract<BtfType, { readonly _tag: T }>

/** A type and its id. */
export type Found<T extends Tag> = readonly [id: number, type: OfTag<T>]

/** The type with an id; `None` for 0 (`void`) and ids that do not exist. Decoded anew each time. */
export const type: {
  (id: number): (btf: Btf) => Option.Option<BtfType>
  (btf: Btf, id: number): Option.Option<BtfType>
} = dual(2, (btf: Btf, id: number): Option.Option<BtfType> => Option.fromUndefinedOr(decode(btf, id)))

const isKind = (blob: Blob, id: number, tag: Tag | undefined): boolean =>
  tag === undefined || (tag === "Opaque" ? kindOf.size < blob.kind(id) : blob.kind(id) === kindOf.get(tag))

/** Every type in ascending order of id, or those of one kind; those of its base are the base's. */
export const types: {
  <T extends Tag = Tag>(tag?: T): (btf: Btf) => Generator<Found<T>>
  <T extends Tag = Tag>(btf: Btf, tag?: T): Generator<Found<T>>
} = dual(isDataFirst, function*<T extends Tag>(btf: Btf, tag?: T): Generator<Found<T>> {
  const blob = blobOf(btf)
  for (let id = btf.firstId; id <= btf.lastId; id++) {
    if (isKind(blob, id, tag)) yield [id, decodeOwn(blob, id) as OfTag<T>]
  }
})

/** The ids of the types with a name, in ascending order, those of a base first. Only those of one kind, where a tag is given. */
export const idsByName: {
  (name: string, tag?: Tag): (btf: Btf) => ReadonlyArray<number>
  (btf: Btf, name: string, tag?: Tag): ReadonlyArray<number>
} = dual(
  isDataFirst,
  (btf: Btf, name: string, tag?: Tag): ReadonlyArray<number> =>
    tag === "Opaque"
      ? namedIds(btf, name, undefined).filter((id) => isKind(blobOf(btf).owner(id)!, id, tag))
      : namedIds(btf, name, tag === undefined ? undefined : kindOf.get(tag) ?? 0)
)

/** The most answers to a kind of question that are kept for the next time. */
const KEPT = 16_384

/** What is kept of a kind of question, by what was asked. */
const remembered = (blob: Blob, question: unknown): Map<unknown, unknown> => {
  const known = blob.memo.get(question) as Map<unknown, unknown> | undefined
  if (known !== undefined) return known
  const made = new Map<unknown, unknown>()
  blob.memo.set(question, made)
  return made
}

const keepAt = <K, V>(kept: Map<K, V>, key: K, value: V): void => {
  if (kept.size >= KEPT) kept.clear()
  kept.set(key, value)
}

const kindsOf = (tag: Tag | undefined): ReadonlySet<number> | undefined =>
  tag === undefined ? undefined : new Set([kindOf.get(tag) ?? 0])

/**
 * The first type of a name, or of a name and a kind, with its id: `find(btf, "task_struct", "Struct")` is a `Struct`. A
 * flavour (`task_struct___old`) is left out where no type has the name with it. Fails where there is none; the error's
 * `near` has names like it.
 */
export const find: {
  <T extends Tag = Tag>(name: string, tag?: T): (btf: Btf) => Result.Result<Found<T>, BtfError>
  <T extends Tag = Tag>(btf: Btf, name: string, tag?: T): Result.Result<Found<T>, BtfError>
} = dual(isDataFirst, <T extends Tag>(btf: Btf, name: string, tag?: T): Result.Result<Found<T>, BtfError> => {
  const kept = remembered(blobOf(btf), tag) as Map<string, Result.Result<Found<T>, BtfError>>
  const known = kept.get(name)
  if (known !== undefined) return known
  const ids = idsByName(btf, name, tag)
  const id = ids[0] ?? idsMeant(btf, name).find((one) => isKind(blobOf(btf).owner(one)!, one, tag))
  if (id === undefined) {
    return Result.fail(
      problem("lookup", `a ${tag ?? "type"} named ${name}`, "none", () => nearNames(btf, name, kindsOf(tag)))
    )
  }
  const found = Result.succeed([id, decode(btf, id) as OfTag<T>] as const)
  keepAt(kept, name, found)
  return found
})

/** Every type of a name, or of a name and a kind, with its id, in ascending order: a kernel may have several structs of one name. */
export const findAll: {
  <T extends Tag = Tag>(name: string, tag?: T): (btf: Btf) => ReadonlyArray<Found<T>>
  <T extends Tag = Tag>(btf: Btf, name: string, tag?: T): ReadonlyArray<Found<T>>
} = dual(
  isDataFirst,
  <T extends Tag>(btf: Btf, name: string, tag?: T): ReadonlyArray<Found<T>> =>
    idsByName(btf, name, tag).map((id) => [id, decode(btf, id) as OfTag<T>])
)

/**
 * The type behind typedefs, qualifiers and tags, and that of a variable, with its id. Fails for `void`, a dangling id and a
 * circle.
 */
export const resolve: {
  (id: number): (btf: Btf) => Result.Result<readonly [id: number, type: BtfType], BtfError>
  (btf: Btf, id: number): Result.Result<readonly [id: number, type: BtfType], BtfError>
} = dual(2, resolveType)

/**
 * The size of a type, or of a variable, in bytes. Fails for types without one (`void`, functions, forward declarations)
 * and for arrays of 4 GiB or more.
 */
export const sizeOf: {
  (id: number): (btf: Btf) => Result.Result<number, BtfError>
  (btf: Btf, id: number): Result.Result<number, BtfError>
} = dual(2, sizeOfType)

interface Kept {
  count: number
  readonly byType: Map<string | number, Map<string, Member>>
}

const keptMembers = (blob: Blob): Kept => {
  const known = blob.memo.get(keptMembers) as Kept | undefined
  if (known !== undefined) return known
  const made: Kept = { count: 0, byType: new Map() }
  blob.memo.set(keptMembers, made)
  return made
}

const keep = (kept: Kept, root: string | number, path: string, found: Member): void => {
  if (++kept.count > KEPT) {
    kept.count = 1
    kept.byType.clear()
  }
  let paths = kept.byType.get(root)
  if (paths === undefined) kept.byType.set(root, paths = new Map())
  paths.set(path, found)
}

const composites: ReadonlySet<number> = new Set([KIND.Struct, KIND.Union])

const isComposite = (btf: Btf, id: number): boolean => {
  const resolved = resolveType(btf, id)
  return Result.isSuccess(resolved) && (resolved.success[1]._tag === "Struct" || resolved.success[1]._tag === "Union")
}

const rootsOf = (btf: Btf, root: string | number): Result.Result<ReadonlyArray<number>, BtfError> => {
  if (typeof root === "number") return Result.succeed([root])
  const kept = remembered(blobOf(btf), rootsOf) as Map<string, ReadonlyArray<number>>
  const known = kept.get(root)
  if (known !== undefined) return Result.succeed(known)
  const roots = idsMeant(btf, root).filter((id) => isComposite(btf, id))
  if (roots.length > 0) {
    keepAt(kept, root, roots)
    return Result.succeed(roots)
  }
  const { bare } = splitKeyword(root)
  return Result.fail(
    problem("lookup", `a struct or union named ${root}`, "none", () => nearNames(btf, bare, composites))
  )
}

const lookupError = (btf: Btf, root: string | number, path: string, why: PathProblem): BtfError => {
  const of = typeof root === "number" ? Result.getOrElse(declare(btf, root, ""), () => `type ${root}`) : root
  const expected = why.reason === "invalid" ? why.expected : `a member ${path} in ${of}`
  const name = /^a member (.*)$/.exec(why.expected)?.[1]
  const actual = why.reason === "invalid" || name === undefined
    ? why.reason === "invalid" ? why.actual : `${why.actual} in place of ${why.expected}`
    : why.actual === "none"
    ? `no member ${name}`
    : `${why.actual}`
  return problem("lookup", expected, actual, why.suggest)
}

/** Where a member lies in each of the types of a name that have it; they must agree. */
const locate = (
  btf: Btf,
  roots: ReadonlyArray<number>,
  root: string | number,
  path: string
): Result.Result<Place, BtfError> => {
  const steps = parsePath(path)
  if (Result.isFailure(steps)) return Result.fail(lookupError(btf, root, path, steps.failure))
  let first: Place | undefined
  let why: PathProblem | undefined
  for (const id of roots) {
    const found = walk(btf, id, steps.success)
    if (Result.isFailure(found)) {
      why ??= found.failure
      continue
    }
    const place = found.success
    if (first !== undefined && (first.bitOffset !== place.bitOffset || first.bitfieldSize !== place.bitfieldSize)) {
      const at = `bit ${first.bitOffset} in one and bit ${place.bitOffset} in another of types ${roots.join(", ")}`
      return Result.fail(problem("lookup", `one place of ${path} in ${root}`, at))
    }
    first ??= place
  }
  return first === undefined ? Result.fail(lookupError(btf, root, path, why!)) : Result.succeed(first)
}

/**
 * A member of a struct or union by path, as in `member(btf, "task_struct", "mm->owner.comm[2]")`: its type, and its offset
 * in bits from the start of the struct that the last `->` leads to. `.` goes on inside, `[n]` into an array, `->` to what a
 * pointer points to; anonymous structs and unions are looked through. The paths are those of relocations.
 *
 * The type is a name, with or without keyword (`"struct inode"`, or a typedef of one), or an id. Fails where there is no
 * such member (the error's `near` has those like it), and where several types of the name have it at different places.
 */
export const member: {
  (root: string | number, path: string): (btf: Btf) => Result.Result<Member, BtfError>
  (btf: Btf, root: string | number, path: string): Result.Result<Member, BtfError>
} = dual(3, (btf: Btf, root: string | number, path: string): Result.Result<Member, BtfError> => {
  const kept = keptMembers(blobOf(btf))
  const known = kept.byType.get(root)?.get(path)
  if (known !== undefined) return Result.succeed(known)
  const roots = rootsOf(btf, root)
  if (Result.isFailure(roots)) return Result.fail(roots.failure)
  const found = locate(btf, roots.success, root, path)
  if (Result.isSuccess(found)) keep(kept, root, path, found.success)
  return found
})

/** A function's type: what it takes, in order, and what it gives, by id; `text` is its declaration in C. */
export interface Signature {
  readonly id: number
  /** "" for the type of a function pointer. */
  readonly name: string
  readonly returns: number
  readonly parameters: ReadonlyArray<{ readonly name: string; readonly type: number }>
  /** True where any number of arguments may follow: the `...` of C. */
  readonly variadic: boolean
  readonly text: string
}

/**
 * The signature of a function by name, or by the id of a function or of a function's type: that of `"vfs_read"` has `text`
 * `"ssize_t vfs_read(struct file *file, char *buf, size_t count, loff_t *pos)"`.
 */
export const signature: {
  (of: string | number): (btf: Btf) => Result.Result<Signature, BtfError>
  (btf: Btf, of: string | number): Result.Result<Signature, BtfError>
} = dual(2, (btf: Btf, of: string | number): Result.Result<Signature, BtfError> =>
  Result.gen(function*() {
    const [id, own] = typeof of === "string"
      ? yield* find(btf, of, "Func")
      : [of, decode(btf, of)] as const
    const prototype = own?._tag === "Func" ? decode(btf, own.type) : own
    if (prototype?._tag !== "FuncProto") {
      return yield* Result.fail(problem(`type ${id}`, "a function", prototype?._tag ?? "none"))
    }
    const last = prototype.parameters.at(-1)
    const variadic = last !== undefined && last.type === 0 && last.name === ""
    return {
      id,
      name: own?._tag === "Func" ? own.name : "",
      returns: prototype.returns,
      parameters: variadic ? prototype.parameters.slice(0, -1) : prototype.parameters,
      variadic,
      text: yield* declare(btf, id, "")
    }
  }))

/**
 * A type as C writes it: `"const char *"`, `"struct foo[4]"`, `"int (*)(struct file *file)"`. Type tags are left out. Fails
 * for a dangling id, a circle, and what would be a text of over 10,000 characters.
 */
export const typeName: {
  (id: number): (btf: Btf) => Result.Result<string, BtfError>
  (btf: Btf, id: number): Result.Result<string, BtfError>
} = dual(2, (btf: Btf, id: number): Result.Result<string, BtfError> => declare(btf, id, ""))

/** The declaration in C of something of a type: `"const char *name"`, `"int (*name)(void)"`. Fails as `typeName` does. */
export const declaration: {
  (id: number, name: string): (btf: Btf) => Result.Result<string, BtfError>
  (btf: Btf, id: number, name: string): Result.Result<string, BtfError>
} = dual(3, declare)

/** An enumerator, with the id of its enum; `value` is a `bigint` where the enum is an `Enum64`. */
export interface Enumerator {
  readonly enum: number
  readonly name: string
  readonly value: number | bigint
}

interface EnumEntry {
  readonly id: number
  /** The word at which the entry begins. */
  readonly at: number
  readonly kind: number
  readonly flag: boolean
}

function* entriesOf(blob: Blob): Generator<EnumEntry> {
  for (let id = blob.firstId; id <= blob.lastId; id++) {
    const at = blob.at(id)
    const info = blob.word(at + 1)
    const kind = infoKind(info)
    if (kind !== KIND.Enum && kind !== KIND.Enum64) continue
    const each = kind === KIND.Enum ? 2 : 3
    for (let i = 0; i < infoVlen(info); i++) yield { id, at: at + 3 + i * each, kind, flag: infoFlag(info) }
  }
}

/** The entry of an enum that begins at a word, if one does. */
const entryAt = (blob: Blob, at: number): EnumEntry | undefined => {
  const id = blob.firstId + blob.indexOf(at)
  const record = blob.at(id)
  const info = blob.word(record + 1)
  const kind = infoKind(info)
  if (kind !== KIND.Enum && kind !== KIND.Enum64) return undefined
  const before = at - record - 3
  return before >= 0 && before % (kind === KIND.Enum ? 2 : 3) === 0 ? { id, at, kind, flag: infoFlag(info) } : undefined
}

/** The entries of a name, in order. */
const entriesNamed = (blob: Blob, wanted: Wanted): ReadonlyArray<EnumEntry> => {
  const places = blob.placesOf(wanted, 0)
  return places === undefined
    ? [...entriesOf(blob)].filter(({ at }) => blob.isNamed(blob.unsigned(at), wanted))
    : places.toSorted((a, b) => a - b).flatMap((at) => entryAt(blob, at) ?? [])
}

/** Every enumerator of a name, of named and anonymous enums, in ascending order of the enums' ids. */
export const enumerators: {
  (name: string): (btf: Btf) => ReadonlyArray<Enumerator>
  (btf: Btf, name: string): ReadonlyArray<Enumerator>
} = dual(2, (btf: Btf, name: string): ReadonlyArray<Enumerator> => {
  const blob = blobOf(btf)
  const found = blob.base === undefined ? [] : [...enumerators(blob.base, name)]
  if (name === "" || name.includes("\0")) return found
  for (const { at, flag, id, kind } of entriesNamed(blob, want(name))) {
    const narrow = flag ? blob.word(at + 1) : blob.unsigned(at + 1)
    found.push({ enum: id, name, value: kind === KIND.Enum ? narrow : wideValue(blob, at, flag) })
  }
  return found
})

const enumeratorNames = (btf: Btf): ReadonlySet<string> => {
  const names = new Set<string>()
  for (let blob: Blob | undefined = blobOf(btf); blob !== undefined; blob = blob.base) {
    for (const { at } of entriesOf(blob)) names.add(blob.string(blob.unsigned(at)))
  }
  return names
}

/**
 * The value of an enumerator by its name alone, as C has it: `enumerator(btf, "BPF_MAP_TYPE_HASH")`. Fails where no enum
 * has it, and where several do with different values (`enumerators` has them all).
 */
export const enumerator: {
  (name: string): (btf: Btf) => Result.Result<Enumerator, BtfError>
  (btf: Btf, name: string): Result.Result<Enumerator, BtfError>
} = dual(2, (btf: Btf, name: string): Result.Result<Enumerator, BtfError> => {
  const kept = remembered(blobOf(btf), enumerator) as Map<string, Result.Result<Enumerator, BtfError>>
  const known = kept.get(name)
  if (known !== undefined) return known
  const found = enumerators(btf, name)
  const [first] = found
  if (first === undefined) {
    return Result.fail(
      problem("lookup", `an enumerator ${name}`, "none", () => nearest(name, enumeratorNames(btf)))
    )
  }
  const other = found.find(({ value }) => BigInt(value) !== BigInt(first.value))
  if (other !== undefined) {
    const actual = `${first.value} in type ${first.enum} and ${other.value} in type ${other.enum}`
    return Result.fail(problem("lookup", `one value of ${name}`, actual))
  }
  const only = Result.succeed(first)
  keepAt(kept, name, only)
  return only
})

const tagIndex = (blob: Blob): ReadonlyMap<number, ReadonlyArray<number>> => {
  const known = blob.memo.get(tagIndex)
  if (known !== undefined) return known as ReadonlyMap<number, ReadonlyArray<number>>
  const found = new Map<number, Array<number>>()
  for (let id = blob.firstId; id <= blob.lastId; id++) {
    if (blob.kind(id) !== KIND.DeclTag) continue
    const of = blob.unsigned(blob.at(id) + 2)
    const ids = found.get(of)
    if (ids === undefined) found.set(of, [id])
    else ids.push(id)
  }
  blob.memo.set(tagIndex, found)
  return found
}

/**
 * The declaration tags of a type, function or variable, by its id: all of them, or those of one component. Components are
 * members and parameters by index, and -1 for the declaration itself.
 */
export const tagsOf: {
  (id: number, component?: number): (btf: Btf) => ReadonlyArray<DeclTag>
  (btf: Btf, id: number, component?: number): ReadonlyArray<DeclTag>
} = dual(isDataFirst, (btf: Btf, id: number, component?: number): ReadonlyArray<DeclTag> => {
  const blob = blobOf(btf)
  const inBase = blob.base === undefined ? [] : tagsOf(blob.base, id, component)
  const own = (tagIndex(blob).get(id) ?? []).map((tag) => decodeOwn(blob, tag) as DeclTag)
  return [...inBase, ...own.filter((tag) => component === undefined || tag.component === component)]
})
