// Which kinds of program may call which helper, as real kernels answered (internal/helpers/offered.ts).
import type { AttachType, ProgramType } from "../abi/names.ts"
import { offered, probedVersions } from "./internal/helpers/offered.ts"

export { probedVersions }

/** A kernel that was asked. */
export type ProbedVersion = typeof probedVersions[number]

/** A kind of program, as far as it is known: without an attach type, any of its type is meant. */
export interface Caller {
  readonly type: ProgramType
  readonly attachType?: AttachType | undefined
  /** Whether it may sleep (BPF_F_SLEEPABLE). */
  readonly sleepable?: boolean | undefined
}

export interface Availability {
  /** The oldest kernel of those asked that offers the helper. */
  readonly since: ProbedVersion
  /** The oldest that no longer does. */
  readonly withdrawn: string | undefined
}

type Row = typeof offered[number]

/** By the whole name of a kind, such as `lsm/lsm_mac+sleeps`, and all of a type by the type's. */
interface Index {
  readonly byKind: ReadonlyMap<string, Row>
  readonly byType: ReadonlyMap<string, ReadonlyArray<Row>>
}

let index: Index | undefined

const indexed = (): Index => {
  if (index !== undefined) return index
  const byKind = new Map<string, Row>()
  const byType = new Map<string, Array<Row>>()
  for (const row of offered) {
    const [type = ""] = row.kinds[0]!.split(/[/+]/)
    for (const kind of row.kinds) byKind.set(kind, row)
    byType.set(type, [...byType.get(type) ?? [], row])
  }
  return index = { byKind, byType }
}

/** The rows that a caller may stand for: its own, or all of its type where it is not told which. */
const rowsOf = ({ attachType, sleepable, type }: Caller): ReadonlyArray<Row> => {
  const { byKind, byType } = indexed()
  const sleeps = sleepable === true ? "+sleeps" : ""
  const own = attachType === undefined
    ? sleepable === undefined ? undefined : byKind.get(`${type}${sleeps}`)
    : byKind.get(`${type}/${attachType}${sleeps}`) ?? byKind.get(`${type}/${attachType}`) ??
      byKind.get(`${type}${sleeps}`)
  return own === undefined ? byType.get(type) ?? [] : [own]
}

/** Since when a caller may call the helper of an id; `undefined` if no kernel offers it. */
export const availability = (id: number, caller: Caller): Availability | undefined => {
  let best: { readonly number: number; readonly withdrawn: string | undefined } | undefined
  for (const { since, withdrawn } of rowsOf(caller)) {
    const number = Number(since[id - 1])
    if (!(number >= 1) || (best !== undefined && best.number <= number)) continue
    best = { number, withdrawn: withdrawn?.find(([withdrawnId]) => withdrawnId === id)?.[1] }
  }
  return best === undefined ? undefined : { since: probedVersions[best.number - 1]!, withdrawn: best.withdrawn }
}

/** The types that may call the helper of an id, in at least some of their attach types. */
export const callersOf = (id: number): ReadonlyArray<ProgramType> =>
  [...indexed().byType].flatMap(([type, rows]) =>
    rows.some(({ since }) => since[id - 1] !== "." && since[id - 1] !== undefined) ? [type as ProgramType] : []
  )
