// Which elements of a map to forget, after kernel/bpf/bpf_lru_list.c. By default all CPUs share two lists, and each has free
// elements of its own, which it fetches many at a time: when none is free any more, as many are forgotten at once, though the
// free ones of other CPUs would do. With BPF_F_NO_COMMON_LRU each CPU has its own lists, and forgets four at once.
//
// Which of the free elements is used cannot be seen, so they are only counted. The kernel remembers where its last look
// through the inactive list ended; here each begins at the oldest.

/** LOCAL_FREE_TARGET and PERCPU_FREE_TARGET; as many elements are looked at each time. */
const COMMON = 128
const PER_CPU = 4

/** The lists that elements are forgotten from, the oldest first. */
interface Lists {
  /** Elements not used since they came here. */
  readonly inactive: Set<number>
  readonly active: Set<number>
  free: number
}

/** What a CPU has of its own, beside shared lists. */
interface Local {
  free: number
  /** Elements that it made since it last fetched free ones. */
  readonly pending: Set<number>
  /** The CPU that it last took from. */
  nextSteal: number
}

interface Place {
  readonly cpu: number
  list: "pending" | "inactive" | "active"
}

/** The oldest of a list, as it is now: they are moved while they are gone through. */
const oldestOf = (list: ReadonlySet<number>, most: number): ReadonlyArray<number> => {
  const oldest: Array<number> = []
  for (const slot of list) if (oldest.push(slot) === most) break
  return oldest
}

/** The order of a map's elements, by their slots. `forget` takes one out of the map. */
export class Lru {
  private readonly forget: (slot: number) => void
  private readonly isCommon: boolean
  private readonly scans: number
  private readonly target: number
  private readonly lists: ReadonlyArray<Lists>
  private readonly locals: ReadonlyArray<Local>
  private readonly places = new Map<number, Place>()
  private readonly used = new Set<number>()

  constructor(entries: number, cpus: number, isCommon: boolean, forget: (slot: number) => void) {
    this.forget = forget
    this.isCommon = isCommon
    this.scans = isCommon ? COMMON : PER_CPU
    // bpf_lru_populate(), since 6.17: what a CPU fetches is at most half of its part.
    this.target = isCommon ? Math.min(COMMON, Math.max(1, Math.floor(Math.floor(entries / cpus) / 2))) : PER_CPU
    const lists = (free: number): Lists => ({ inactive: new Set(), active: new Set(), free })
    this.lists = isCommon ? [lists(entries)] : Array.from({ length: cpus }, () => lists(Math.floor(entries / cpus)))
    this.locals = Array.from({ length: cpus }, (_, cpu) => ({ free: 0, pending: new Set<number>(), nextSteal: cpu }))
  }

  /** Looked up by a program, or updated. */
  use(slot: number): void {
    this.used.add(slot)
  }

  /** Takes a free element on a CPU, for which others may be forgotten. False if there is none. */
  pop(cpu: number): boolean {
    const lists = this.listsOf(cpu)
    if (!this.isCommon) {
      this.rotate(lists)
      if (lists.free === 0) lists.free += this.shrink(lists, this.target)
      if (lists.free === 0) return false
      lists.free--
      return true
    }
    const local = this.locals[cpu]!
    if (local.free === 0) this.fetch(lists, local)
    if (local.free > 0) {
      local.free--
      return true
    }
    return this.steal(local)
  }

  /** What was taken is an element of the map from now on. */
  add(slot: number, cpu: number): void {
    this.used.delete(slot)
    if (this.isCommon) this.locals[cpu]!.pending.add(slot)
    else this.listsOf(cpu).inactive.add(slot)
    this.places.set(slot, { cpu, list: this.isCommon ? "pending" : "inactive" })
  }

  /** What was taken on a CPU is given back unused. */
  giveBack(cpu: number): void {
    if (this.isCommon) this.locals[cpu]!.free++
    else this.listsOf(cpu).free++
  }

  /** Deleted: it is free again, for its CPU alone if it was new. */
  remove(slot: number): void {
    const place = this.places.get(slot)
    if (place === undefined) return
    this.takeOut(slot, place)
    if (place.list === "pending") this.locals[place.cpu]!.free++
    else this.listsOf(place.cpu).free++
  }

  private listsOf(cpu: number): Lists {
    return this.lists[this.isCommon ? 0 : cpu]!
  }

  private takeOut(slot: number, { cpu, list }: Place): void {
    if (list === "pending") this.locals[cpu]!.pending.delete(slot)
    else this.listsOf(cpu)[list].delete(slot)
    this.places.delete(slot)
    this.used.delete(slot)
  }

  /** To the young end of a list, as one not used since. */
  private move(slot: number, list: "inactive" | "active"): void {
    const { cpu } = this.places.get(slot)!
    this.takeOut(slot, this.places.get(slot)!)
    this.listsOf(cpu)[list].add(slot)
    this.places.set(slot, { cpu, list })
  }

  private drop(slot: number): void {
    this.takeOut(slot, this.places.get(slot)!)
    this.forget(slot)
  }

  /** bpf_lru_list_pop_free_to_local() */
  private fetch(lists: Lists, local: Local): void {
    for (const slot of [...local.pending]) this.move(slot, this.used.has(slot) ? "active" : "inactive")
    this.rotate(lists)
    const fetched = Math.min(this.target, lists.free)
    lists.free -= fetched
    local.free += fetched
    if (fetched < this.target) local.free += this.shrink(lists, this.target - fetched)
  }

  private rotate(lists: Lists): void {
    if (lists.inactive.size < lists.active.size) {
      for (const slot of oldestOf(lists.active, this.scans)) {
        this.move(slot, this.used.has(slot) ? "active" : "inactive")
      }
    }
    for (const slot of oldestOf(lists.inactive, this.scans)) if (this.used.has(slot)) this.move(slot, "active")
  }

  /** Forgets the oldest that were not used; if all were, the oldest. How many were forgotten. */
  private shrink(lists: Lists, most: number): number {
    let forgotten = 0
    for (const slot of oldestOf(lists.inactive, this.scans)) {
      if (this.used.has(slot)) this.move(slot, "active")
      else {
        this.drop(slot)
        if (++forgotten === most) break
      }
    }
    if (forgotten > 0) return forgotten
    const [oldest] = lists.inactive.size > 0 ? lists.inactive : lists.active
    if (oldest === undefined) return 0
    this.drop(oldest)
    return 1
  }

  /** From the CPUs in turn: a free element, or its oldest new one. */
  private steal(local: Local): boolean {
    const cpus = this.locals.length
    for (let i = 0, cpu = local.nextSteal; i < cpus; i++, cpu = (cpu + 1) % cpus) {
      const other = this.locals[cpu]!
      local.nextSteal = (cpu + 1) % cpus
      if (other.free > 0) {
        other.free--
        return true
      }
      const [oldest] = other.pending
      if (oldest === undefined) continue
      this.drop([...other.pending].find((slot) => !this.used.has(slot)) ?? oldest)
      return true
    }
    return false
  }
}
