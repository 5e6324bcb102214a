// The consuming side of a user ring buffer, after kernel/bpf/ringbuf.c: a process produces records in pages that it has
// mapped, and programs take them (bpf_user_ringbuf_drain). Nothing that stands in those pages can be trusted.
import { errno } from "../../abi/errno.ts"
import { bpf_ringbuf_flags, bpf_ringbuf_header } from "../../abi/generated/enums.ts"
import { viewOf } from "./memory.ts"

const { BPF_RINGBUF_BUSY_BIT, BPF_RINGBUF_DISCARD_BIT, BPF_RINGBUF_HDR_SZ } = bpf_ringbuf_header
const { BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP } = bpf_ringbuf_flags
/** BPF_MAX_USER_RINGBUF_SAMPLES: what one call takes at most. */
const MOST_SAMPLES = 128 * 1024

/** A record that a program may look at before it is released. */
export interface UserSample {
  readonly bytes: Uint8Array
  /** Gives the room back to the producer. */
  readonly release: () => void
}

export class SimulatedUserRingBuffer {
  /** What is mapped at offset 0: the consumer's position, which only the kernel writes. */
  readonly consumerPage: ArrayBuffer
  /** What is mapped after it: the producer's position, then the data, twice. */
  readonly producerPages: ArrayBuffer
  /** Called when a program has taken records and wakes the producer. */
  readonly wakers = new Set<() => void>()
  private readonly size: number
  private readonly consumer: BigInt64Array
  private readonly producer: BigInt64Array
  private readonly data: Uint8Array
  private busy = false

  constructor(size: number, pageSize: number) {
    this.size = size
    this.consumerPage = new ArrayBuffer(pageSize)
    this.producerPages = new ArrayBuffer(pageSize + 2 * size)
    this.consumer = new BigInt64Array(this.consumerPage, 0, 1)
    this.producer = new BigInt64Array(this.producerPages, 0, 1)
    this.data = new Uint8Array(this.producerPages, pageSize)
  }

  /** Bytes that are produced and not yet taken. */
  get available(): number {
    return Number(BigInt.asUintN(64, Atomics.load(this.producer, 0) - Atomics.load(this.consumer, 0)))
  }

  /**
   * The next record, or `-errno`: ENODATA if there is none, EAGAIN where it was discarded (it is passed over), EBUSY where
   * it is not finished, E2BIG and EINVAL where the pages do not make sense.
   */
  peek(): UserSample | number {
    const produced = BigInt.asUintN(64, Atomics.load(this.producer, 0))
    const consumed = BigInt.asUintN(64, Atomics.load(this.consumer, 0))
    if (produced % 8n !== 0n || produced < consumed) return -errno.EINVAL
    if (produced === consumed) return -errno.ENODATA
    const start = Number(consumed % BigInt(this.size))
    const header = this.uint32(start)
    const length = header & ~(BPF_RINGBUF_BUSY_BIT | BPF_RINGBUF_DISCARD_BIT)
    const total = Math.ceil((length + BPF_RINGBUF_HDR_SZ) / 8) * 8
    if (BigInt(total) > produced - consumed) return -errno.EINVAL
    if (total > this.size) return -errno.E2BIG
    if ((header & BPF_RINGBUF_BUSY_BIT) !== 0) return -errno.EBUSY
    const release = () => Atomics.store(this.consumer, 0, BigInt.asIntN(64, consumed + BigInt(total)))
    if ((header & BPF_RINGBUF_DISCARD_BIT) !== 0) {
      release()
      return -errno.EAGAIN
    }
    return { bytes: this.read(start + BPF_RINGBUF_HDR_SZ, length), release }
  }

  /**
   * Hands the records over one after the other until `use` gives false or there is none left (bpf_user_ringbuf_drain).
   * Their number, or `-errno` where the pages do not make sense, or for a call from within `use`.
   */
  drain(use: (sample: Uint8Array) => boolean, flags: number): number {
    if (this.busy) return -errno.EBUSY
    this.busy = true
    let taken = 0
    try {
      for (let i = 0, goesOn = true; i < MOST_SAMPLES && goesOn; i++) {
        const sample = this.peek()
        if (sample === -errno.ENODATA) break
        if (sample === -errno.EAGAIN) continue
        if (typeof sample === "number") return sample
        try {
          goesOn = use(sample.bytes)
        } finally {
          sample.release()
        }
        taken++
      }
      return taken
    } finally {
      this.busy = false
      const wakes = (flags & BPF_RB_FORCE_WAKEUP) !== 0 || ((flags & BPF_RB_NO_WAKEUP) === 0 && taken > 0)
      if (wakes) { for (const wake of this.wakers) wake() }
    }
  }

  private uint32(at: number): number {
    return viewOf(this.read(at, 4)).getUint32(0, true)
  }

  /**
   * A record's bytes, which may run over the end of the first copy of the data. A real mapping shows the same bytes twice;
   * here there are two, and a producer that writes straight on, as the mapping is made for, writes them to the second.
   */
  private read(at: number, length: number): Uint8Array {
    return this.data.slice(at, at + length)
  }
}
