// How long the objects of the simulated kernel live: as long as something refers to them. The kernel counts twice: all
// references, and those of processes (descriptors, pins, mappings), without which a prog_array forgets its programs.

/** What every object has, and may have to say about its life. */
export interface Lifetime {
  readonly _tag: string
  /** Of the kinds that have ids which all processes see. */
  readonly id?: number | bigint
  /** What exists at least as long as this does: a program's maps, a link's program. Must not change once it is open. */
  readonly holds?: ReadonlyArray<Lifetime> | undefined
  /** Called when the last reference is gone: gives back memory, detaches, lets go of what it took later. */
  readonly end?: (() => void) | undefined
  /** Called when no process refers to it any more, though programs or maps may. */
  readonly unused?: (() => void) | undefined
}

/** The kinds that have ids which all processes see. */
export type IdentifiedTag = "Map" | "Program" | "Btf" | "Link"

interface Count {
  all: number
  users: number
}

const identifiedTags: ReadonlySet<string> = new Set<IdentifiedTag>(["Map", "Program", "Btf", "Link"])

/**
 * The objects that exist. An object begins with its first reference: what it `holds` is held from then on, and let go
 * when its last reference is gone, after its own `end`.
 */
export class Objects<O extends Lifetime = Lifetime> {
  private readonly counts = new Map<Lifetime, Count>()
  /** By id, in ascending order: ids only grow. */
  private readonly identified = new Map<string, Map<number, Lifetime>>()
  private readonly bound = new Map<Lifetime, ReadonlyArray<Lifetime>>()
  private lastId = 0

  /** An id that was never used before. Kinds share one sequence. */
  newId(): number {
    return ++this.lastId
  }

  /** One reference more. `user` where a process holds it: by a descriptor, a pin or a mapping. */
  retain(object: Lifetime, user = false): void {
    const count = this.counts.get(object) ?? this.begin(object)
    count.all++
    if (user) count.users++
  }

  /** One reference fewer; the last ends the object. */
  release(object: Lifetime, user = false): void {
    const count = this.counts.get(object)
    if (count === undefined) return
    if (user && --count.users === 0) object.unused?.()
    if (--count.all === 0) this.end(object)
  }

  /** True from the first reference until the last is gone. */
  exists(object: Lifetime): boolean {
    return this.counts.has(object)
  }

  /** Lets an object that exists hold one more (BPF_PROG_BIND_MAP). */
  bind(object: Lifetime, held: Lifetime): void {
    const bound = this.bound.get(object) ?? []
    if (this.heldBy(object).includes(held)) return
    this.bound.set(object, [...bound, held])
    this.retain(held)
  }

  /** What an object holds. */
  heldBy(object: Lifetime): ReadonlyArray<Lifetime> {
    return [...object.holds ?? [], ...this.bound.get(object) ?? []]
  }

  byId(tag: IdentifiedTag, id: number): O | undefined {
    return this.identified.get(tag)?.get(id) as O | undefined
  }

  /** The smallest id of a kind above another. */
  idAfter(tag: IdentifiedTag, id: number): number | undefined {
    for (const next of this.identified.get(tag)?.keys() ?? []) if (next > id) return next
    return undefined
  }

  *all(): Generator<O> {
    yield* this.counts.keys() as MapIterator<O>
  }

  private begin(object: Lifetime): Count {
    const count: Count = { all: 0, users: 0 }
    this.counts.set(object, count)
    if (identifiedTags.has(object._tag)) {
      const kin = this.identified.get(object._tag) ?? new Map<number, Lifetime>()
      this.identified.set(object._tag, kin.set(Number(object.id), object))
    }
    for (const held of object.holds ?? []) this.retain(held)
    return count
  }

  private end(object: Lifetime): void {
    this.counts.delete(object)
    this.identified.get(object._tag)?.delete(Number(object.id))
    object.end?.()
    const held = this.heldBy(object)
    this.bound.delete(object)
    for (const other of held) this.release(other)
  }
}
