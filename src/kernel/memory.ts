/**
 * Memory that the kernel may be told of. Addresses given to a system call must not move and must not be freed by the
 * garbage collector, so none of them comes from a JavaScript buffer: all come from `Block`s of the Kernel's own arena,
 * which lies outside the JavaScript heap, and no other module computes an address.
 */

/**
 * A piece of the arena: zeroed when allocated, at an address that holds until it is freed. Views over it cannot reach
 * beyond it. After the Kernel is released they have length 0.
 */
export interface Block {
  /** Where it lies, for the Kernel. Below 2^53, so a `number` holds it. */
  readonly address: number
  /** In bytes, a multiple of 8. */
  readonly size: number
  readonly bytes: Uint8Array
  readonly view: DataView
  readonly u32: Uint32Array
  /** False once freed: the Kernel refuses it with EFAULT from then on. */
  readonly live: boolean
}

/** Memory of a kernel object mapped into this process, made by `Kernel.mmap`. */
export interface Mapping {
  readonly length: number
  /** The mapped bytes; of length 0 once unmapped. Writing a mapping made without `PROT_WRITE` kills the process. */
  readonly buffer: ArrayBuffer
}

/** Writes the address of `target` (plus `offset` bytes into it) as a 64-bit pointer at `at` in `block`. */
export const setPointer = (block: Block, at: number, target: Block, offset = 0): void => {
  if (!(offset >= 0 && offset <= target.size)) throw new RangeError(`offset ${offset} in a block of ${target.size}`)
  const address = target.address + offset
  block.view.setUint32(at, address % 0x1_0000_0000, true)
  block.view.setUint32(at + 4, Math.floor(address / 0x1_0000_0000), true)
}
