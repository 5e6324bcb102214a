// What waits between a source of arrays and its consumer, of bounded size. Arrays are kept as they come and cut only where a
// bound falls inside one, so a record costs nothing of its own.

export interface Backlog<A> {
  /** How many records wait. */
  readonly size: () => number
  /** Takes records in, at most `capacity` at once, and gives how many were dropped for want of room: of them or of older ones. */
  readonly offer: (records: ReadonlyArray<A>) => number
  /** What the consumer has next, in the order in which it came; empty if nothing waits. */
  readonly take: () => ReadonlyArray<A>
}

/** So many records are put together for one `take`, where they came in several arrays. */
const TAKEN_AT_ONCE = 4096
/** From this many emptied places on the list of arrays is moved to its front. */
const FEWEST_MOVED = 1024

/** A first-in first-out list of arrays. */
class Arrays<A> {
  size = 0
  private arrays: Array<ReadonlyArray<A> | undefined> = []
  /** Where the first array is, and how many of its records are gone. */
  private first = 0
  private gone = 0

  push(records: ReadonlyArray<A>): void {
    if (records.length === 0) return
    this.arrays.push(records)
    this.size += records.length
  }

  private shift(): ReadonlyArray<A> {
    const records = this.arrays[this.first]!
    const rest = this.gone === 0 ? records : records.slice(this.gone)
    this.arrays[this.first++] = undefined
    this.gone = 0
    this.size -= rest.length
    if (this.first >= FEWEST_MOVED && this.first * 2 >= this.arrays.length) {
      this.arrays = this.arrays.slice(this.first)
      this.first = 0
    }
    return rest
  }

  private get firstLength(): number {
    return (this.arrays[this.first]?.length ?? 0) - this.gone
  }

  dropFirst(count: number): void {
    let left = count
    while (left > 0 && left >= this.firstLength) left -= this.shift().length
    this.gone += left
    this.size -= left
  }

  take(): ReadonlyArray<A> {
    if (this.size === 0) return []
    const head = this.shift()
    if (this.size === 0 || head.length + this.firstLength > TAKEN_AT_ONCE) return head
    const all = head.slice()
    while (this.size > 0 && all.length + this.firstLength <= TAKEN_AT_ONCE) {
      for (const record of this.shift()) all.push(record)
    }
    return all
  }
}

/** Keeps the oldest: of what is offered, what finds no room is dropped. */
export const keepingOldest = <A>(capacity: number): Backlog<A> => {
  const arrays = new Arrays<A>()
  return {
    size: () => arrays.size,
    offer: (records) => {
      const room = capacity - arrays.size
      if (records.length <= room) {
        arrays.push(records)
        return 0
      }
      arrays.push(records.slice(0, room))
      return records.length - room
    },
    take: () => arrays.take()
  }
}

/** Keeps the newest: what waits longest is dropped. */
export const keepingNewest = <A>(capacity: number): Backlog<A> => {
  const arrays = new Arrays<A>()
  return {
    size: () => arrays.size,
    offer: (records) => {
      const excess = Math.max(0, arrays.size + records.length - capacity)
      arrays.dropFirst(Math.min(excess, arrays.size))
      const over = Math.max(0, records.length - capacity)
      arrays.push(over === 0 ? records : records.slice(over))
      return excess
    },
    take: () => arrays.take()
  }
}

/**
 * Keeps a sample: of all that came since the last `take` each record is kept with the same likelihood (algorithm R of
 * Vitter's "Random sampling with a reservoir", 1985).
 */
export const keepingSample = <A>(capacity: number, random: () => number): Backlog<A> => {
  let kept: Array<A> = []
  /** The number of each of `kept`, counted from the last `take`. */
  let numbers: Array<number> = []
  let seen = 0
  return {
    size: () => kept.length,
    offer: (records) => {
      let dropped = 0
      for (const record of records) {
        if (kept.length < capacity) {
          numbers.push(seen)
          kept.push(record)
        } else {
          const place = Math.floor(random() * (seen + 1))
          if (place < capacity) {
            kept[place] = record
            numbers[place] = seen
          }
          dropped++
        }
        seen++
      }
      return dropped
    },
    take: () => {
      const [records, order] = [kept, numbers]
      const isWhole = seen === kept.length
      kept = []
      numbers = []
      seen = 0
      if (isWhole) return records
      return Array.from(records.keys()).toSorted((a, b) => order[a]! - order[b]!).map((place) => records[place]!)
    }
  }
}
