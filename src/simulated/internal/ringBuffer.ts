// The producing side of a ring buffer, after kernel/bpf/ringbuf.c. The consumer reads the very pages that it would map:
// the positions' pages, and the data twice in a row.
import { bpf_ringbuf_flags, bpf_ringbuf_header, bpf_ringbuf_query } from "../../abi/generated/enums.ts"
import { addressOf, type AddressSpace, type Region } from "./memory.ts"

const { BPF_RINGBUF_BUSY_BIT, BPF_RINGBUF_DISCARD_BIT, BPF_RINGBUF_HDR_SZ } = bpf_ringbuf_header
/** UINT_MAX / 4 in the kernel: what is left of a header's 32 bits. */
const LARGEST_RECORD = 0x3fffffff

interface Reservation {
  readonly region: Region
  readonly position: number
  readonly length: number
}

export class SimulatedRingBuffer {
  /** What is mapped at offset 0: the consumer's position. */
  readonly consumerPage: ArrayBuffer
  /** What is mapped after it: the producer's position, then the data, twice. */
  readonly producerPages: ArrayBuffer
  private readonly memory: AddressSpace
  private readonly size: number
  private readonly pageSize: number
  private readonly consumer: BigInt64Array
  private readonly producer: BigInt64Array
  private readonly data: Uint8Array
  private readonly reservations = new Map<bigint, Reservation>()
  /** Called when a program submits in a way that wakes the consumer. */
  readonly wakers = new Set<() => void>()

  constructor(memory: AddressSpace, size: number, pageSize: number) {
    this.memory = memory
    this.size = size
    this.pageSize = pageSize
    this.consumerPage = new ArrayBuffer(pageSize)
    this.producerPages = new ArrayBuffer(pageSize + 2 * size)
    this.consumer = new BigInt64Array(this.consumerPage, 0, 1)
    this.producer = new BigInt64Array(this.producerPages, 0, 1)
    this.data = new Uint8Array(this.producerPages, pageSize)
  }

  private get consumed(): number {
    return Number(Atomics.load(this.consumer, 0))
  }

  private get produced(): number {
    return Number(this.producer[0])
  }

  /** Bytes that are reserved and not consumed. */
  get available(): number {
    return this.produced - this.consumed
  }

  /** The address of memory for a record, or 0 when there is no room. */
  reserve(length: number): bigint {
    if (length > LARGEST_RECORD) return 0n
    const total = Math.ceil((length + BPF_RINGBUF_HDR_SZ) / 8) * 8
    const position = this.produced
    if (total > this.size || position + total - this.consumed > this.size - 1) return 0n
    this.writeHeader(position, (length | BPF_RINGBUF_BUSY_BIT) >>> 0)
    Atomics.store(this.producer, 0, BigInt(position + total))
    const region = this.memory.map(new Uint8Array(length))
    const address = addressOf(region)
    this.reservations.set(address, { region, position, length })
    return address
  }

  /** Submits or discards a reserved record. False if the address is none. */
  commit(address: bigint, flags: number, discard: boolean): boolean {
    const reservation = this.reservations.get(address)
    if (reservation === undefined) return false
    const { length, position, region } = reservation
    this.reservations.delete(address)
    this.memory.unmap(region)
    this.write(position + BPF_RINGBUF_HDR_SZ, region.bytes)
    this.writeHeader(position, discard ? (length | BPF_RINGBUF_DISCARD_BIT) >>> 0 : length)
    const caughtUp = (this.consumed & (this.size - 1)) === (position & (this.size - 1))
    const { BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP } = bpf_ringbuf_flags
    if ((flags & BPF_RB_FORCE_WAKEUP) !== 0 || (caughtUp && (flags & BPF_RB_NO_WAKEUP) === 0)) {
      for (const wake of this.wakers) wake()
    }
    return true
  }

  /** Takes away the memory of records that were never submitted. */
  free(): void {
    for (const { region } of this.reservations.values()) this.memory.unmap(region)
    this.reservations.clear()
  }

  output(bytes: Uint8Array, flags: number): boolean {
    const address = this.reserve(bytes.length)
    if (address === 0n) return false
    this.memory.write(address, bytes)
    return this.commit(address, flags, false)
  }

  query(what: number): bigint {
    switch (what) {
      case bpf_ringbuf_query.BPF_RB_AVAIL_DATA:
        return BigInt(this.available)
      case bpf_ringbuf_query.BPF_RB_RING_SIZE:
        return BigInt(this.size)
      case bpf_ringbuf_query.BPF_RB_CONS_POS:
        return BigInt(this.consumed)
      case bpf_ringbuf_query.BPF_RB_PROD_POS:
        return BigInt(this.produced)
      default:
        return 0n
    }
  }

  private writeHeader(position: number, header: number): void {
    const bytes = new Uint8Array(BPF_RINGBUF_HDR_SZ)
    const view = new DataView(bytes.buffer)
    view.setUint32(0, header, true)
    view.setUint32(4, Math.floor((position % this.size) / this.pageSize), true) // pg_off: nobody reads it here
    this.write(position, bytes)
  }

  /** Writes to both copies of the data, which one double mapping would do at once. */
  private write(position: number, bytes: Uint8Array): void {
    const start = position % this.size
    const first = bytes.subarray(0, this.size - start)
    const wrapped = bytes.subarray(this.size - start)
    this.data.set(first, start)
    this.data.set(first, start + this.size)
    this.data.set(wrapped, 0)
    this.data.set(wrapped, this.size)
  }
}
