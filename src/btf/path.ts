// Paths of members: `mm->owner.comm[3]`. Names are of members of structs and unions, looked for through anonymous ones;
// `.` goes on inside, `[n]` into an array, and `->` to what a pointer points to. `Btf.member` and relocations share it.
import * as Result from "effect/Result"
import { nearest } from "../abi/nearest.ts"
import { type Blob, blobOf, type Btf, tagOf } from "./internal/blob.ts"
import type { BtfError } from "./internal/error.ts"
import { infoFlag, infoVlen, intBits, intOffset, KIND, placeOffset, placeSize } from "./internal/format.ts"
import { MAX_DEPTH, sizeOf, target } from "./internal/resolve.ts"
import { want, type Wanted } from "./internal/strings.ts"

/** Why a path leads nowhere: there is no such thing, or the path itself is wrong. */
export interface PathProblem {
  readonly reason: "missing" | "invalid"
  readonly expected: string
  readonly actual: string
  readonly suggest?: (() => ReadonlyArray<string>) | undefined
}

const missing = (expected: string, actual: string, suggest?: () => ReadonlyArray<string>): PathProblem => ({
  reason: "missing",
  expected,
  actual,
  suggest
})

const fromError = (error: BtfError): PathProblem => missing(error.expected, error.actual)

/** One step of a path. */
export type Step =
  | { readonly _tag: "Member"; readonly name: string }
  | { readonly _tag: "Index"; readonly index: number }
  | { readonly _tag: "Arrow" }

/** A place in a type: `bitOffset` counts from the start of the struct that the path's last arrow leads to. */
export interface Place {
  /** The last member's name. */
  readonly name: string
  readonly type: number
  readonly bitOffset: number
  /** 0 where it is no bit-field. */
  readonly bitfieldSize: number
}

const TOKEN = /(->|\.)|\[(\d{1,9})\]|([A-Za-z_]\w*)/y

const parseSteps = (path: string): Result.Result<ReadonlyArray<Step>, PathProblem> => {
  const steps: Array<Step> = []
  const invalid = (actual: string): Result.Result<never, PathProblem> =>
    Result.fail({ reason: "invalid", expected: "a path such as a.b[0]->c", actual })
  let afterName = false // what may follow a name or an index: a joint, or an index
  TOKEN.lastIndex = 0
  while (TOKEN.lastIndex < path.length) {
    const at = TOKEN.lastIndex
    const match = TOKEN.exec(path)
    const [, joint, index, name] = match ?? []
    if (match === null || (name === undefined) !== afterName) return invalid(`${JSON.stringify(path)}, wrong at ${at}`)
    if (name !== undefined) steps.push({ _tag: "Member", name })
    else if (index !== undefined) steps.push({ _tag: "Index", index: Number(index) })
    else if (joint === "->") steps.push({ _tag: "Arrow" })
    afterName = joint === undefined
  }
  return afterName ? Result.succeed(steps) : invalid(JSON.stringify(path))
}

const isName = /^[A-Za-z_]\w*$/

/** The steps of a path, or a problem with how it is written. */
export const parsePath = (path: string): Result.Result<ReadonlyArray<Step>, PathProblem> =>
  isName.test(path) ? Result.succeed([{ _tag: "Member", name: path }]) : parseSteps(path)

interface Entry {
  readonly owner: Blob
  /** The word at which the member's entry begins. */
  readonly at: number
  readonly flag: boolean
  /** Where the anonymous struct or union lies that it is in. */
  readonly base: number
}

const isComposite = (kind: number): boolean => kind === KIND.Struct || kind === KIND.Union

/** The name of what has none. */
const unnamed: Wanted = { bytes: Uint8Array.of(0), length: 0, hash: 0 }

interface Frame {
  readonly owner: Blob
  readonly flag: boolean
  readonly base: number
  readonly end: number
  at: number
}

const frameOf = (owner: Blob, id: number, base: number): Frame => {
  const at = owner.at(id)
  const info = owner.word(at + 1)
  return { owner, flag: infoFlag(info), base, at: at + 3, end: at + 3 + infoVlen(info) * 3 }
}

/**
 * The members of a struct in the order of C: each anonymous struct or union is looked through where it stands. `visit` is
 * given the members of a name, or all that have one, and says whether to stop. Each type is looked through once, so this ends
 * in BTF that is circular, and takes no longer than to read it.
 */
const visitMembers = (
  owner: Blob,
  id: number,
  wanted: Wanted | undefined,
  visit: (frame: Frame, at: number) => boolean
): void => {
  let seen: Set<number> | undefined
  const stack: Array<Frame> = [frameOf(owner, id, 0)]
  while (stack.length > 0) {
    const frame = stack.at(-1)!
    const { base, flag, owner: blob } = frame
    const at = wanted === undefined ? frame.at : blob.scan(frame.at, frame.end, wanted)
    if (at >= frame.end) {
      stack.pop()
      continue
    }
    frame.at = at + 3
    const name = blob.unsigned(at)
    if (wanted === undefined ? !blob.isNamed(name, unnamed) : blob.isNamed(name, wanted)) {
      if (visit(frame, at)) return
      continue
    }
    const inner = target(blob, blob.unsigned(at + 1))
    if (Result.isFailure(inner)) continue
    const { id: innerId, owner: innerOwner } = inner.success
    seen ??= new Set([id])
    if (!isComposite(innerOwner.kind(innerId)) || seen.has(innerId)) continue
    seen.add(innerId)
    const place = blob.unsigned(at + 2)
    stack.push(frameOf(innerOwner, innerId, base + placeOffset(place, flag)))
  }
}

/** Structs that were asked for a member, and the members of those that were asked more often, by the hashes of their names. */
interface Asked {
  readonly structs: Map<number, Map<number, Entry> | null>
  /** How many members are indexed. */
  count: number
}

/** The most members that are indexed at a time, some 100 bytes each. */
const MOST_INDEXED = 16_384

const asked = (blob: Blob): Asked => {
  const known = blob.memo.get(asked)
  if (known !== undefined) return known as Asked
  const made: Asked = { structs: new Map(), count: 0 }
  blob.memo.set(asked, made)
  return made
}

/** The members of a struct by the hashes of their names; of two with one hash, the first. */
const indexMembers = (owner: Blob, id: number): Map<number, Entry> => {
  const entries = new Map<number, Entry>()
  visitMembers(owner, id, undefined, ({ base, flag, owner: blob }, at) => {
    const hash = blob.hashAt(blob.unsigned(at))
    if (!entries.has(hash)) entries.set(hash, { owner: blob, at, flag, base })
    return entries.size >= MOST_INDEXED
  })
  return entries
}

/** A member by name, in the order of C. A struct's members are indexed when it is asked for a second one. */
const findEntry = (owner: Blob, id: number, wanted: Wanted): Entry | undefined => {
  const all = asked(owner)
  let index = all.structs.get(id)
  if (index === undefined) {
    if (all.structs.size >= MOST_INDEXED) all.structs.clear()
    all.structs.set(id, null)
  } else if (index === null) {
    index = indexMembers(owner, id)
    all.count += index.size
    if (all.count > MOST_INDEXED) {
      all.structs.clear()
      all.count = index.size
    }
    all.structs.set(id, index)
  }
  const known = index?.get(wanted.hash)
  if (known !== undefined && known.owner.isNamed(known.owner.unsigned(known.at), wanted)) return known
  let found: Entry | undefined
  visitMembers(owner, id, wanted, ({ base, flag, owner: blob }, at) => {
    found = { owner: blob, at, flag, base }
    return true
  })
  return found
}

/** The names of a struct's members and of those of its anonymous ones, for suggestions: at most a thousand. */
const memberNames = (blob: Blob, id: number, depth = 0): ReadonlyArray<string> => {
  const at = blob.at(id)
  const names: Array<string> = []
  const count = Math.min(1000, infoVlen(blob.word(at + 1)))
  for (let i = 0; i < count && names.length < 1000; i++) {
    const entry = at + 3 + i * 3
    const name = blob.string(blob.unsigned(entry))
    if (name !== "") {
      names.push(name)
      continue
    }
    const inner = target(blob, blob.unsigned(entry + 1))
    if (Result.isSuccess(inner) && depth < MAX_DEPTH && isComposite(inner.success.owner.kind(inner.success.id))) {
      names.push(...memberNames(inner.success.owner, inner.success.id, depth + 8))
    }
  }
  return names
}

const enterMember = (btf: Btf, place: Place, name: string): Result.Result<Place, PathProblem> => {
  const found = target(btf, place.type)
  if (Result.isFailure(found)) return Result.fail(missing(`a member ${name}`, found.failure.actual))
  const { id, owner } = found.success
  const kind = owner.kind(id)
  if (!isComposite(kind)) return Result.fail(missing(`a member ${name}`, "none"))
  const entry = findEntry(owner, id, want(name))
  if (entry === undefined) {
    return Result.fail(missing(`a member ${name}`, "none", () => nearest(name, memberNames(owner, id))))
  }
  const position = entry.owner.unsigned(entry.at + 2)
  const type = entry.owner.unsigned(entry.at + 1)
  const bitOffset = place.bitOffset + entry.base + placeOffset(position, entry.flag)
  const bitfieldSize = placeSize(position, entry.flag)
  const made = { name, type, bitOffset, bitfieldSize }
  return bitfieldSize === 0 ? legacyBitfield(btf, made) : Result.succeed(made)
}

/** Before kind_flag (5.0), bit-fields had an integer type of so many bits of their own, at an offset in it. */
const legacyBitfield = (btf: Btf, place: Place): Result.Result<Place, PathProblem> => {
  const found = target(btf, place.type)
  const isInt = Result.isSuccess(found) && found.success.owner.kind(found.success.id) === KIND.Int
  if (isInt) {
    const { id, owner } = found.success
    const at = owner.at(id)
    const data = owner.word(at + 3)
    const bits = intBits(data)
    if (bits !== 0 && bits !== owner.unsigned(at + 2) * 8) {
      return Result.succeed({ ...place, bitOffset: place.bitOffset + intOffset(data), bitfieldSize: bits })
    }
  }
  return place.bitOffset % 8 === 0
    ? Result.succeed(place)
    : Result.fail(missing(`a member ${place.name} that begins with a byte`, `bit ${place.bitOffset}`))
}

const enterIndex = (btf: Btf, place: Place, index: number): Result.Result<Place, PathProblem> => {
  const found = Result.mapError(target(btf, place.type), fromError)
  if (Result.isFailure(found)) return Result.fail(found.failure)
  const { id, owner } = found.success
  const kind = owner.kind(id)
  if (kind !== KIND.Array) return Result.fail(missing("an array", tagOf(kind)))
  const at = owner.at(id)
  const length = owner.unsigned(at + 5)
  // A flexible array at the end of a struct has length 0, and any index.
  if (length !== 0 && index >= length) {
    return Result.fail(missing(`an array of more than ${index} elements`, `one of ${length}`))
  }
  const type = owner.unsigned(at + 3)
  return Result.flatMap(Result.mapError(sizeOf(btf, type), fromError), (size) => {
    const bitOffset = place.bitOffset + index * size * 8
    return Number.isSafeInteger(bitOffset)
      ? Result.succeed({ name: place.name, type, bitOffset, bitfieldSize: 0 })
      : Result.fail(missing("an offset below 2^53 bits", "a larger one"))
  })
}

const enterArrow = (btf: Btf, place: Place): Result.Result<Place, PathProblem> =>
  Result.flatMap(Result.mapError(target(btf, place.type), fromError), ({ id, owner }) =>
    owner.kind(id) === KIND.Pointer
      ? Result.succeed({ name: place.name, type: owner.unsigned(owner.at(id) + 2), bitOffset: 0, bitfieldSize: 0 })
      : Result.fail(missing("a pointer before ->", tagOf(owner.kind(id)))))

/** Goes one step on from a place. */
export const enter = (btf: Btf, place: Place, step: Step): Result.Result<Place, PathProblem> => {
  switch (step._tag) {
    case "Member":
      return enterMember(btf, place, step.name)
    case "Index":
      return enterIndex(btf, place, step.index)
    case "Arrow":
      return enterArrow(btf, place)
  }
}

/** Follows a path from a type. */
export const walk = (btf: Btf, root: number, steps: ReadonlyArray<Step>): Result.Result<Place, PathProblem> => {
  let place: Place = { name: "", type: root, bitOffset: 0, bitfieldSize: 0 }
  for (const step of steps) {
    const next = enter(btf, place, step)
    if (Result.isFailure(next)) return next
    place = next.success
  }
  return Result.succeed(place)
}

/** The names in a BTF that are most like one, of chosen kinds. */
export const nearNames = (btf: Btf, name: string, kinds: ReadonlySet<number> | undefined): ReadonlyArray<string> => {
  const found = new Set<string>()
  for (let blob: Blob | undefined = blobOf(btf); blob !== undefined; blob = blob.base) {
    for (let id = blob.firstId; id <= blob.lastId; id++) {
      if (kinds !== undefined && !kinds.has(blob.kind(id))) continue
      const offset = blob.unsigned(blob.at(id))
      if (offset === 0) continue
      const text = blob.string(offset)
      if (isAlike(name, text)) found.add(text)
    }
  }
  return nearest(name, found)
}

/** Most names are told apart without counting what must change: by their lengths and by which letters they have. */
const isAlike = (a: string, b: string): boolean => {
  if (b.length > 128) return false
  if (Math.abs(a.length - b.length) <= 2) {
    let differ = letters(a) ^ letters(b)
    let count = 0
    for (; differ !== 0; differ &= differ - 1) count++
    if (count <= 4) return true
  }
  return a.length >= 3 && b.includes(a)
}

const letters = (text: string): number => {
  let mask = 0
  for (let i = 0; i < text.length; i++) mask |= 1 << (text.charCodeAt(i) & 31)
  return mask
}
