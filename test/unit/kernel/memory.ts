// Slabs for an arena under test: at addresses that no two share, with a record of what was mapped and unmapped.
import { Arena, type Slab } from "../../../src/kernel/arena.ts"
import type { Block } from "../../../src/kernel/memory.ts"

export interface Slabs {
  readonly arena: Arena
  /** The sizes of all slabs ever mapped, in order. */
  readonly mapped: ReadonlyArray<number>
  /** The slabs that are mapped now. */
  readonly live: ReadonlySet<Slab>
  /** Makes every further mapping fail with this. */
  failWith: number | undefined
}

/** `dirt` fills new slabs, so that zeroes in a block are the arena's work. */
export const slabs = (options?: { readonly dirt?: number }): Slabs => {
  const mapped: Array<number> = []
  const live = new Set<Slab>()
  let next = 0x7f00_0000_0000
  const all: Slabs = {
    mapped,
    live,
    failWith: undefined,
    arena: new Arena({
      map: (size) => {
        if (all.failWith !== undefined) return all.failWith
        const buffer = new ArrayBuffer(size)
        // Only what is cut into blocks may be dirty: a block that has a slab to itself is as `map` gave it.
        if (size === 1 << 20) new Uint8Array(buffer).fill(options?.dirt ?? 0)
        const slab: Slab = { address: next, buffer }
        next += Math.ceil(size / 4096) * 4096
        mapped.push(size)
        live.add(slab)
        return slab
      },
      unmap: (slab) => {
        if (!live.delete(slab)) throw new Error("unmapped twice")
      }
    })
  }
  return all
}

export const allocated = (arena: Arena, size: number): Block => {
  const block = arena.allocate(size)
  if (typeof block === "number") throw new Error(`allocate(${size}) gave ${block}`)
  return block
}

/** A block of its own, for tests of what is written to one. */
export const blockOf = (size: number): Block => allocated(slabs().arena, size)
