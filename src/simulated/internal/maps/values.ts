// Where the values of maps lie, and how they are copied in and out.
import { bpf_map_update_flags } from "../../../abi/generated/enums.ts"
import type { HiddenField } from "../btfObject.ts"
import type { MapAttributes } from "../maps.ts"
import { addressOf, type AddressSpace, type Region } from "../memory.ts"
import { BPF_F_RDONLY_PROG } from "./flags.ts"

const { BPF_EXIST, BPF_F_LOCK } = bpf_map_update_flags

/** Values begin at multiples of 8, as in the kernel. */
export const align8 = (size: number): number => Math.ceil(size / 8) * 8

/** The most memory that one map may take here, 1 GiB: a larger one is ENOMEM, as on a machine that has no more. */
export const MOST_MEMORY = 2 ** 30

/** Keys as strings of one character per byte: a `Map` cannot look up arrays by content. */
export const keyText = (key: Uint8Array): string =>
  Buffer.from(key.buffer, key.byteOffset, key.length).toString("latin1")

/** True for update flags that no map takes: unknown ones, and BPF_NOEXIST with BPF_EXIST. */
export const isBadUpdate = (flags: number, attributes: MapAttributes): boolean => {
  if (flags > BPF_EXIST + BPF_F_LOCK || (flags & ~BPF_F_LOCK) > BPF_EXIST) return true
  return (flags & BPF_F_LOCK) !== 0 && !hasSpinLock(attributes)
}

/** True if BPF_F_LOCK means something to the map. */
export const hasSpinLock = ({ hidden }: MapAttributes): boolean => hidden.some(({ kind }) => kind === "spin_lock")

/** Copies a value over another, but not its hidden fields. */
export const copyValue = (target: Uint8Array, value: Uint8Array, hidden: ReadonlyArray<HiddenField>): void => {
  const kept = hidden.map(({ offset, size }) => target.slice(offset, offset + size))
  target.set(value)
  hidden.forEach(({ offset }, i) => target.set(kept[i]!, offset))
}

/** A copy of a value as system calls see it: hidden fields read as zeros. */
export const shownValue = (value: Uint8Array, hidden: ReadonlyArray<HiddenField>): Uint8Array => {
  const shown = value.slice()
  for (const { offset, size } of hidden) shown.fill(0, offset, offset + size)
  return shown
}

/** True if programs may write the map's values. */
export const isWritable = ({ flags }: MapAttributes): boolean => (flags & BPF_F_RDONLY_PROG) === 0

const CHUNK_SIZE = 1 << 16

/**
 * Memory for values that come and go. A value keeps its address as long as it is there; memory is taken in chunks, which
 * stay until the map ends.
 */
export class Values {
  /** The bytes from one value to the next: one for each CPU where `copies` says so. */
  readonly stride: number
  private readonly memory: AddressSpace
  private readonly attributes: MapAttributes
  private readonly perChunk: number
  private readonly chunks: Array<Region> = []
  private readonly unused: Array<number> = []
  private taken = 0

  constructor(memory: AddressSpace, attributes: MapAttributes, copies = 1) {
    this.memory = memory
    this.attributes = attributes
    this.stride = align8(attributes.valueSize) * copies
    this.perChunk = Math.max(1, Math.min(Math.floor(CHUNK_SIZE / this.stride), attributes.maxEntries + 1))
  }

  /** A place for a value, which may hold what another left there. */
  take(): number {
    const slot = this.unused.pop() ?? this.taken++
    if (slot >= this.chunks.length * this.perChunk) this.addChunk()
    return slot
  }

  give(slot: number): void {
    this.unused.push(slot)
  }

  /** The address of the value, or of its copy for a CPU. */
  address(slot: number, cpu = 0): bigint {
    return addressOf(this.chunkOf(slot), this.offsetOf(slot) + cpu * align8(this.attributes.valueSize))
  }

  /** All of a value's bytes, padding and all CPUs' included. */
  bytes(slot: number): Uint8Array {
    const offset = this.offsetOf(slot)
    return this.chunkOf(slot).bytes.subarray(offset, offset + this.stride)
  }

  free(): void {
    for (const chunk of this.chunks) this.memory.unmap(chunk)
  }

  private chunkOf(slot: number): Region {
    return this.chunks[Math.floor(slot / this.perChunk)]!
  }

  private offsetOf(slot: number): number {
    return (slot % this.perChunk) * this.stride
  }

  private addChunk(): void {
    const elements = { stride: align8(this.attributes.valueSize), size: this.attributes.valueSize }
    const options = { writable: isWritable(this.attributes), elements }
    this.chunks.push(this.memory.map(new Uint8Array(this.perChunk * this.stride), options))
  }
}
