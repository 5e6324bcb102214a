import type { Block } from "./memory.ts"

/** A large piece of memory with a fixed address, from which blocks are cut. */
export interface Slab {
  readonly address: number
  readonly buffer: ArrayBuffer
}

/** Where slabs come from: real anonymous memory, or a simulated address space. `map` gives a slab of zeros or `-errno`. */
export interface SlabSource {
  readonly map: (size: number) => Slab | number
  readonly unmap: (slab: Slab) => void
}

class ArenaBlock implements Block {
  readonly address: number
  readonly size: number
  readonly bytes: Uint8Array
  readonly view: DataView
  readonly u32: Uint32Array
  live = true
  constructor(slab: Slab, offset: number, size: number) {
    this.address = slab.address + offset
    this.size = size
    this.bytes = new Uint8Array(slab.buffer, offset, size)
    this.view = new DataView(slab.buffer, offset, size)
    this.u32 = new Uint32Array(slab.buffer, offset, size / 4)
  }
}

const SLAB_SIZE = 1 << 20
/** Blocks above this get a slab of their own, which is given back when they are freed. */
const LARGE = SLAB_SIZE / 4
/** The smallest block is a cache line, so that no two blocks share one. */
const SMALLEST = 64

/** Blocks are rounded up to powers of two; a freed one is kept for the next of its size. */
const classOf = (size: number): number => Math.max(6, 32 - Math.clz32(size - 1))

interface Place {
  readonly slab: Slab
  readonly offset: number
}

/**
 * An allocator of blocks. Small blocks are cut from shared slabs of 1 MiB that stay until `close`: a stale view then
 * reads another block's bytes at worst, and never unmapped memory.
 */
export class Arena {
  private readonly source: SlabSource
  private readonly shared: Array<Slab> = []
  private top = SLAB_SIZE
  private readonly freePlaces: Array<Array<Place>> = []
  private readonly places = new Map<Block, Place>()

  constructor(source: SlabSource) {
    this.source = source
  }

  /** How many blocks are allocated and not freed. */
  get liveBlocks(): number {
    return this.places.size
  }

  /** A zeroed block of at least `size` bytes (its `size` is rounded up to 8), or `-errno`. */
  allocate(size: number): Block | number {
    const rounded = Math.ceil(Math.max(size, 1) / 8) * 8
    const place = rounded > LARGE ? this.ownSlab(rounded) : this.sharedPlace(rounded)
    if (typeof place === "number") return place
    const block = new ArenaBlock(place.slab, place.offset, rounded)
    // Fresh pages are zeros, and cost nothing until they are written.
    if (rounded <= LARGE) block.bytes.fill(0)
    this.places.set(block, place)
    return block
  }

  free(block: Block): void {
    const place = this.places.get(block)
    if (place === undefined) return
    this.places.delete(block)
    ;(block as ArenaBlock).live = false
    if (block.size > LARGE) this.source.unmap(place.slab)
    else (this.freePlaces[classOf(block.size)] ??= []).push(place)
  }

  close(): void {
    for (const [block, { slab }] of this.places) if (block.size > LARGE) this.source.unmap(slab)
    for (const slab of this.shared) this.source.unmap(slab)
    for (const block of this.places.keys()) (block as ArenaBlock).live = false
    this.places.clear()
    this.shared.length = 0
    this.freePlaces.length = 0
    this.top = SLAB_SIZE
  }

  private ownSlab(size: number): Place | number {
    const slab = this.source.map(size)
    return typeof slab === "number" ? slab : { slab, offset: 0 }
  }

  private sharedPlace(size: number): Place | number {
    const sizeClass = classOf(size)
    const reused = this.freePlaces[sizeClass]?.pop()
    if (reused !== undefined) return reused
    const step = Math.max(SMALLEST, 2 ** sizeClass)
    if (this.top + step > SLAB_SIZE) {
      const slab = this.source.map(SLAB_SIZE)
      if (typeof slab === "number") return slab
      this.shared.push(slab)
      this.top = 0
    }
    const place = { slab: this.shared[this.shared.length - 1]!, offset: this.top }
    this.top += step
    return place
  }
}
