// The producer's side of BPF_MAP_TYPE_USER_RINGBUF, in the mapped pages. The protocol is that of kernel/bpf/ringbuf.c,
// __bpf_user_ringbuf_peek():
//
//   - the producer's position is ours; below it lie records, each a header of 8 bytes, data, and padding to 8 bytes;
//   - the consumer's position is the kernel's, which moves it (release) when a program has let go of a record;
//   - the kernel loads the producer's position (acquire), and reads no byte beyond it; it then loads the record's header.
//
// Ordering. A record is encoded before anything is reserved for it, so it never lies in the ring unfinished: its header
// (without BUSY) and data are written plainly beyond the producer's position, where nobody reads, and then the position is
// moved over it by one atomic operation, which is a release: who sees the position (the kernel's acquire) sees the whole
// record, header and data, on x86-64 and arm64 alike. libbpf moves the position first, over a header with BUSY, since its
// caller fills the record in place; it then needs a second release, that of the header. Here one is enough, and a thread
// that is ended at any instruction (a worker) leaves either the whole record or none: no BUSY that would hold up the ring
// for ever. Of several records in a row the position is moved once.
//
// The consumer's position is loaded with Atomics.load, an acquire, before what it frees is written over: the kernel's reads
// of it came before its release. The loaded position may be old, which only makes the ring look fuller.
//
// The position is moved by a compare-and-exchange: where another producer has moved it, that is found out and not undone.
// It is one 64-bit operation, since two of 32 bits would be seen half-done every 4 GiB.
//
// The data is mapped twice in a row, so a record that runs over the end is written on into the second copy. On Linux that is
// the same memory as the beginning of the first.
import { bpf_ringbuf_header } from "../../abi/generated/enums.ts"
import type { Mapping } from "../../kernel/memory.ts"
import { UserRingBufferError } from "./userRingError.ts"

const HEADER_SIZE = bpf_ringbuf_header.BPF_RINGBUF_HDR_SZ

/** DYNPTR_MAX_SIZE: a program sees a record through a dynptr, and a longer one would hold up the ring for ever. */
const MOST_DATA = (1 << 24) - 1

/** What a record of so many bytes takes in the ring. */
export const spaceOf = (length: number): number => Math.ceil((length + HEADER_SIZE) / 8) * 8

/** The longest record of a ring of `size` bytes. */
export const longestOf = (size: number): number => Math.min(size - HEADER_SIZE, MOST_DATA)

export interface UserRingPages {
  /** In words, for errors. */
  readonly subject: string
  /** Read-only. */
  readonly consumer: Mapping
  readonly producer: Mapping
  /** Where the data begins in the producer's mapping: one page after its position. */
  readonly dataOffset: number
  /** A power of two, at most 2^30. */
  readonly size: number
}

/** Where a user ring buffer is. */
export interface UserRingPosition {
  /** How many bytes programs have taken since the ring was made, headers and padding included. */
  readonly consumer: bigint
  /** How many were sent. */
  readonly producer: bigint
  /** Their difference: what programs have still to take. */
  readonly backlog: number
  /** How many bytes are free. */
  readonly free: number
}

export class UserRing {
  readonly subject: string
  readonly size: number
  private readonly consumed: BigInt64Array
  private readonly produced: BigInt64Array
  private readonly words: Uint32Array
  private readonly data: Uint8Array
  private readonly dataOffset: number
  /** The position as we left it. */
  private position: bigint
  /** Bytes written beyond it, and not yet the kernel's. */
  private staged = 0
  /** Bytes free beyond those, as of the last look. */
  private free = 0
  private closed = false

  /** Throws `UserRingBufferError` for positions that cannot be. */
  constructor({ consumer, dataOffset, producer, size, subject }: UserRingPages) {
    this.subject = subject
    this.size = size
    this.dataOffset = dataOffset
    this.consumed = new BigInt64Array(consumer.buffer, 0, 1)
    this.produced = new BigInt64Array(producer.buffer, 0, 1)
    this.words = new Uint32Array(producer.buffer)
    this.data = new Uint8Array(producer.buffer)
    this.position = Atomics.load(this.produced, 0)
    this.look()
  }

  /** False once this has closed, or its kernel was released: no view of the pages has anything then. */
  get isMapped(): boolean {
    return !this.closed && this.produced.length > 0 && this.consumed.length > 0
  }

  close(): void {
    this.closed = true
  }

  private failure(reason: UserRingBufferError["reason"], expected: string, actual: string): UserRingBufferError {
    return new UserRingBufferError({ ring: this.subject, reason, expected, actual })
  }

  private moved(found: bigint): UserRingBufferError {
    return this.failure(
      "Moved",
      `the producer's position where this producer left it, at ${this.position}`,
      `${found}: another writes to it`
    )
  }

  /** Looks how much is free. */
  private look(): void {
    const { position, size } = this
    const consumed = Atomics.load(this.consumed, 0)
    const produced = Atomics.load(this.produced, 0)
    if (produced !== position) throw this.moved(produced)
    const count = position - consumed
    if (consumed < 0n || count < 0n || count > BigInt(size) || ((consumed | position) & 7n) !== 0n) {
      throw this.failure(
        "Nonsense",
        `positions of 8 bytes each, the consumer's at most ${size} behind the producer's`,
        `${consumed} and ${position}`
      )
    }
    this.free = size - Number(count) - this.staged
  }

  /** Whether there is room for so many bytes of data. Throws `UserRingBufferError`. */
  fits(length: number): boolean {
    const space = spaceOf(length)
    if (space <= this.free) return true
    this.look()
    return space <= this.free
  }

  /** Writes a record, unless the ring is too full. It is the kernel's after `publish`. Throws `UserRingBufferError`. */
  put(bytes: Uint8Array): boolean {
    const { length } = bytes
    if (!this.fits(length)) return false
    const space = spaceOf(length)
    const offset = this.dataOffset +
      ((Number(BigInt.asIntN(32, this.position)) + this.staged) & (this.size - 1))
    this.words[offset >>> 2] = length
    this.words[(offset >>> 2) + 1] = 0
    this.data.set(bytes, offset + HEADER_SIZE)
    this.staged += space
    this.free -= space
    return true
  }

  /** Hands over what was put. Throws `UserRingBufferError`. */
  publish(): void {
    if (this.staged === 0 || !this.isMapped) return
    const { position } = this
    const next = position + BigInt(this.staged)
    const found = Atomics.compareExchange(this.produced, 0, position, next)
    if (found !== position) throw this.moved(found)
    this.position = next
    this.staged = 0
  }

  /** How many bytes are free, as of now. */
  room(): number {
    this.look()
    return this.free
  }

  /** Where it is; all of it free for pages that were unmapped. */
  where(): UserRingPosition {
    const { position, size } = this
    if (!this.isMapped) return { consumer: position, producer: position, backlog: 0, free: size }
    this.look()
    const backlog = size - this.free - this.staged
    return { consumer: position - BigInt(backlog), producer: position, backlog, free: this.free }
  }
}
