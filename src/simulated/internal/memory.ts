// Simulated memory: regions at made-up addresses, found by the upper half of an address. Both user memory (the arena's
// slabs, strings that a traced process passes) and kernel memory (map values, stacks, contexts) are regions here, so a
// wrong pointer is always seen.

/** A run of bytes at an address. */
export interface Region {
  /** The upper 32 bits of its addresses; its first byte is at `high * 2^32`. */
  readonly high: number
  /** `high` as a signed number while it is mapped, and 0 from then on: what compiled programs compare. */
  key: number
  /** True where an access needs more than a check of the bounds: fields that are pointers, elements with gaps. */
  readonly hooked: boolean
  bytes: Uint8Array
  view: DataView
  readonly writable: boolean
  readonly user: boolean
  /** Where the region is an array of elements: the distance between them, and how much of it belongs to each. */
  readonly elements?: { readonly stride: number; readonly size: number } | undefined
  /** Fields that the kernel widens to pointers as they are loaded, by offset: `xdp_md.data` is one. */
  readonly pointers?: ReadonlyMap<number, bigint> | undefined
}

/** An access to memory that is not there, or not accessible so. */
export class AccessFault extends Error {
  readonly address: bigint
  constructor(address: bigint, why: string) {
    super(`${why} at 0x${address.toString(16)}`)
    this.address = address
  }
}

const FIRST_USER = 0x7000
/** Kernel addresses with five-level page tables begin so; 15 million regions come before one is used again. */
const FIRST_KERNEL = 0xff110000
const LAST_KERNEL = 0xffffbfff

export class AddressSpace {
  private readonly regions = new Map<number, Region>()
  private nextUser = FIRST_USER
  private nextKernel = FIRST_KERNEL

  /** Gives memory an address. */
  map(
    bytes: Uint8Array,
    options?: {
      readonly user?: boolean
      readonly writable?: boolean
      readonly elements?: Region["elements"]
      readonly pointers?: Region["pointers"]
    }
  ): Region {
    const user = options?.user ?? false
    const high = user ? this.nextUser++ : this.takeKernel()
    const writable = options?.writable ?? true
    const region: Region = {
      high,
      key: high | 0,
      hooked: options?.elements !== undefined || options?.pointers !== undefined,
      bytes,
      view: viewOf(bytes),
      writable,
      user,
      elements: options?.elements,
      pointers: options?.pointers
    }
    this.regions.set(region.high, region)
    return region
  }

  /** Takes it away again: a later access is a fault, and its address is not used again soon, to catch stale pointers. */
  unmap(region: Region): void {
    if (!this.regions.delete(region.high)) return
    region.key = 0
    region.view = NO_VIEW
  }

  private takeKernel(): number {
    let high = this.nextKernel
    while (this.regions.has(high)) high = high === LAST_KERNEL ? FIRST_KERNEL : high + 1
    this.nextKernel = high === LAST_KERNEL ? FIRST_KERNEL : high + 1
    return high
  }

  /** The region of an address, if `size` bytes from there lie in it. */
  find(address: bigint, size: number): { readonly region: Region; readonly offset: number } {
    return this.at(Number(address >> 32n), Number(address & 0xffffffffn), size)
  }

  /** As `find`, with the halves of the address. */
  at(high: number, offset: number, size: number): { readonly region: Region; readonly offset: number } {
    const region = this.regions.get(high)
    const address = () => (BigInt(high) << 32n) | BigInt(offset >>> 0)
    if (region === undefined) throw new AccessFault(address(), "no memory")
    if (offset < 0 || offset + size > region.bytes.length) {
      throw new AccessFault(address(), `${size} bytes beyond the ${region.bytes.length} of this memory`)
    }
    const { elements } = region
    if (elements !== undefined && offset % elements.stride + size > elements.size) {
      throw new AccessFault(address(), `${size} bytes beyond an element of ${elements.size}`)
    }
    return { region, offset }
  }

  /** The region of the halves of an address. */
  regionAt(high: number, low: number): Region {
    const region = this.regions.get(high >>> 0)
    if (region !== undefined) return region
    const isBefore = low >>> 0 >= 0x80000000 && this.regions.has((high + 1) >>> 0)
    const why = isBefore ? "bytes beyond the start of memory" : "no memory"
    throw new AccessFault((BigInt(high >>> 0) << 32n) | BigInt(low >>> 0), why)
  }

  /** A copy of bytes. */
  read(address: bigint, size: number): Uint8Array {
    const { offset, region } = this.find(address, size)
    return region.bytes.slice(offset, offset + size)
  }

  write(address: bigint, bytes: Uint8Array): void {
    const { offset, region } = this.find(address, bytes.length)
    region.bytes.set(bytes, offset)
  }
}

export const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)

/** The view of memory that is no more. */
const NO_VIEW = viewOf(new Uint8Array(0))

/** The address of a byte of a region. */
export const addressOf = (region: Region, offset = 0): bigint => (BigInt(region.high) << 32n) + BigInt(offset)

/** No region: what stands for one before there is any. */
export const NOWHERE: Region = {
  high: 0,
  key: 0,
  hooked: false,
  bytes: new Uint8Array(0),
  view: NO_VIEW,
  writable: false,
  user: false
}
