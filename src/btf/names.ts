// Types by the names that users and compilers write: with C's keywords, and with flavours. `Btf.find`, `Btf.member` and
// relocations share it.
import { type Blob, blobOf, type Btf, namedIds } from "./internal/blob.ts"
import { KIND } from "./internal/format.ts"

/** The kinds that a bare name is looked for in, in this order: C keeps tags and typedefs apart, and it means the tag. */
const order: ReadonlyArray<ReadonlyArray<number>> = [
  [KIND.Struct],
  [KIND.Union],
  [KIND.Enum],
  [KIND.Enum64],
  [KIND.Typedef],
  [KIND.Int],
  [KIND.Float]
]

const keywords: { readonly [keyword: string]: ReadonlyArray<number> } = {
  struct: [KIND.Struct],
  union: [KIND.Union],
  enum: [KIND.Enum, KIND.Enum64],
  typedef: [KIND.Typedef]
}

const KEYWORD = /^(struct|union|enum|typedef) +(.*)$/s

/** A name without its keyword, and the kinds that it means, in groups of which the first that has any counts. */
export const splitKeyword = (
  name: string
): { readonly bare: string; readonly groups: ReadonlyArray<ReadonlyArray<number>> } => {
  const [, keyword, bare] = KEYWORD.exec(name) ?? []
  return keyword === undefined ? { bare: name, groups: order } : { bare: bare!, groups: [keywords[keyword]!] }
}

/**
 * A name without its flavour, which tells variants of one type apart in a program: `task_struct___old` is `task_struct`.
 * As libbpf: what follows the last three underscores that stand between other characters.
 */
export const essential = (name: string): string => {
  for (let i = name.length - 5; i >= 0; i--) {
    if (name[i] !== "_" && name.startsWith("___", i + 1) && name[i + 4] !== "_") return name.slice(0, i + 1)
  }
  return name
}

/** The names with a flavour in a BTF and its bases, by what is left without it. Kernels have none, as a rule. */
const flavours = (blob: Blob): ReadonlyMap<string, ReadonlyArray<string>> => {
  const known = blob.memo.get(flavours)
  if (known !== undefined) return known as ReadonlyMap<string, ReadonlyArray<string>>
  const found = new Map<string, Array<string>>()
  for (let part: Blob | undefined = blob; part !== undefined; part = part.base) {
    for (const name of new Set(part.namesWith("___"))) {
      const stripped = essential(name)
      if (stripped !== name) found.set(stripped, [...(found.get(stripped) ?? []), name])
    }
  }
  blob.memo.set(flavours, found)
  return found
}

/** The ids of kinds by a name, and by that name with any flavour; in ascending order. */
const idsOf = (btf: Btf, name: string, kinds: ReadonlyArray<number>): ReadonlyArray<number> => {
  const names = [name, ...(flavours(blobOf(btf)).get(name) ?? [])]
  const ids = names.flatMap((one) => kinds.flatMap((kind) => namedIds(btf, one, kind)))
  return ids.length > 1 ? ids.toSorted((a, b) => a - b) : ids
}

/**
 * The ids of the types of a name, whatever flavour they or it have. With a keyword, `"struct inode"`, those of that kind;
 * without, those of the first kind that has any. A kernel may have several of one name.
 */
export const candidates = (btf: Btf, name: string): ReadonlyArray<number> => {
  const { bare, groups } = splitKeyword(name)
  const wanted = essential(bare)
  for (const kinds of groups) {
    const ids = idsOf(btf, wanted, kinds)
    if (ids.length > 0) return ids
  }
  return []
}

/** As `candidates`, but a name that the BTF has as it stands, with its flavour, means that. */
export const idsMeant = (btf: Btf, name: string): ReadonlyArray<number> => {
  const { bare, groups } = splitKeyword(name)
  for (const kinds of groups) {
    const ids = kinds.flatMap((kind) => namedIds(btf, bare, kind))
    if (ids.length > 0) return ids
  }
  return essential(bare) === bare ? [] : candidates(btf, name)
}
