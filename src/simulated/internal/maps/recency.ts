// Which element of a map to forget: after kernel/bpf/bpf_lru_list.c, with one list in place of many.

/** Slots in the order in which they came. One that was used since is passed over once. */
export class Recency {
  /** In order of age; true if used since it last came to its turn. */
  private readonly slots = new Map<number, boolean>()

  add(slot: number): void {
    this.slots.set(slot, false)
  }

  use(slot: number): void {
    this.slots.set(slot, true)
  }

  remove(slot: number): void {
    this.slots.delete(slot)
  }

  /** The slot to forget. There must be one. */
  oldest(): number {
    for (const [slot, used] of this.slots) {
      if (!used) return slot
      this.slots.delete(slot)
      this.slots.set(slot, false) // comes again in this very walk, at its end
    }
    throw new RangeError("nothing to forget")
  }
}
