// Perf events that take what programs output, and their rings, after kernel/events/ring_buffer.c. The reader sees the very
// pages that it would map.
import { errno } from "../../abi/errno.ts"
import { perf_event_read_format, perf_event_sample_format, perf_event_type } from "../../abi/generated/enums.ts"
import { perf_event_attr } from "../../abi/generated/structs.ts"
import { viewOf } from "./memory.ts"

/** `struct perf_event_mmap_page`. */
const Page = { data_head: 1024, data_tail: 1032, data_offset: 1040, data_size: 1048 } as const

const HEADER_SIZE = 8
/** A record's size is told in 16 bits. */
const LARGEST_RECORD = 0xfff8

const { PERF_SAMPLE_RAW, PERF_SAMPLE_TIME } = perf_event_sample_format

/** What of a `perf_event_attr` says how records are written. */
export interface OutputAttributes {
  readonly timed: boolean
  /** Whether other records than samples are stamped too. */
  readonly sampleIdAll: boolean
  readonly backward: boolean
  /** Whether who reads the event is told what it lost. */
  readonly tellsLost: boolean
  /** Bytes after which a reader is woken, or 0. */
  readonly watermark: number
  /** Samples after which a reader is woken, or 0. */
  readonly wakeupEvents: number
}

/** The attributes, or `-errno` for what is not simulated, or not known to a kernel that `tellsLost` nobody. */
export const outputAttributes = (attr: DataView, tellsLost: boolean): OutputAttributes | number => {
  const { read_format, sample_type, wakeup_events } = perf_event_attr.fields
  const readFormat = Number(attr.getBigUint64(read_format.offset, true))
  const known = tellsLost ? perf_event_read_format.PERF_FORMAT_LOST : 0
  if ((readFormat & ~known) !== 0) return -errno.EINVAL
  const bit = (name: "sample_id_all" | "watermark" | "write_backward"): boolean => {
    const { offset, shift } = perf_event_attr.fields[name]
    return ((attr.getBigUint64(offset, true) >> BigInt(shift)) & 1n) === 1n
  }
  const sampleType = Number(attr.getBigUint64(sample_type.offset, true))
  if ((sampleType & ~PERF_SAMPLE_TIME) !== PERF_SAMPLE_RAW) return -errno.EOPNOTSUPP
  const wakeup = attr.getUint32(wakeup_events.offset, true)
  return {
    timed: (sampleType & PERF_SAMPLE_TIME) !== 0,
    sampleIdAll: bit("sample_id_all"),
    backward: bit("write_backward"),
    tellsLost: readFormat !== 0,
    watermark: bit("watermark") ? wakeup : 0,
    wakeupEvents: bit("watermark") ? 0 : wakeup
  }
}

export class SimulatedPerfRing {
  /** What is mapped: the page of positions, then the data. */
  readonly buffer: ArrayBuffer
  private readonly attributes: OutputAttributes
  private readonly id: number
  private readonly size: number
  private readonly overwrites: boolean
  private readonly positions: DataView
  private readonly tail: BigInt64Array
  private readonly head: BigInt64Array
  private readonly data: Uint8Array
  private readonly wake: () => void
  private readonly watermark: number
  private written = 0
  private woken = 0
  private events = 0
  private lost = 0

  constructor(ring: {
    readonly attributes: OutputAttributes
    readonly id: number
    readonly size: number
    readonly pageSize: number
    /** True if it is mapped without write access. */
    readonly overwrites: boolean
    readonly wake: () => void
  }) {
    const { attributes, pageSize, size } = ring
    this.attributes = attributes
    this.id = ring.id
    this.size = size
    this.overwrites = ring.overwrites
    this.wake = ring.wake
    this.watermark = Math.min(size, attributes.watermark) || size / 2
    this.buffer = new ArrayBuffer(pageSize + size)
    this.positions = new DataView(this.buffer, 0, pageSize)
    this.head = new BigInt64Array(this.buffer, Page.data_head, 1)
    this.tail = new BigInt64Array(this.buffer, Page.data_tail, 1)
    this.data = new Uint8Array(this.buffer, pageSize)
    this.positions.setBigUint64(Page.data_offset, BigInt(pageSize), true)
    this.positions.setBigUint64(Page.data_size, BigInt(size), true)
  }

  /** What is output while the ring is paused is lost. */
  lose(): void {
    this.lost++
  }

  /** perf_event_output(): 0, or `-errno`. */
  output(sample: Uint8Array, time: bigint): number {
    const { attributes: { sampleIdAll, timed, wakeupEvents } } = this
    const stamp = timed ? 8 : 0
    const data = Math.ceil((sample.length + 4) / 8) * 8
    const size = HEADER_SIZE + stamp + data
    if (size > LARGEST_RECORD) return -errno.E2BIG
    const trailer = sampleIdAll ? stamp : 0
    const lostSize = this.lost > 0 ? HEADER_SIZE + 16 + trailer : 0
    if (!this.hasRoom(size + lostSize)) {
      this.lost++
      return -errno.ENOSPC
    }
    const backward = this.attributes.backward
    const at = backward ? -(this.written + size + lostSize) : this.written
    this.written += size + lostSize
    let wakes = false
    if (this.written - this.woken > this.watermark) {
      this.woken += this.watermark
      wakes = true
    }
    if (lostSize > 0) this.write(at, this.lostRecord(lostSize, trailer, time))
    // What rounds a sample up is not written: there is what was there.
    const record = new Uint8Array(HEADER_SIZE + stamp + 4 + sample.length)
    const view = viewOf(record)
    view.setUint32(0, perf_event_type.PERF_RECORD_SAMPLE, true)
    view.setUint16(6, size, true)
    if (timed) view.setBigUint64(HEADER_SIZE, time, true)
    view.setUint32(HEADER_SIZE + stamp, data - 4, true)
    record.set(sample, HEADER_SIZE + stamp + 4)
    this.write(at + lostSize, record)
    if (wakeupEvents > 0 && ++this.events >= wakeupEvents) {
      this.events -= wakeupEvents
      wakes = true
    }
    Atomics.store(this.head, 0, BigInt(backward ? -this.written : this.written))
    if (wakes) this.wake()
    return 0
  }

  private lostRecord(size: number, trailer: number, time: bigint): Uint8Array {
    const record = new Uint8Array(size)
    const view = viewOf(record)
    view.setUint32(0, perf_event_type.PERF_RECORD_LOST, true)
    view.setUint16(6, size, true)
    view.setBigUint64(8, BigInt(this.id), true)
    view.setBigUint64(16, BigInt(this.lost), true)
    if (trailer > 0) view.setBigUint64(size - trailer, time, true)
    this.lost = 0
    return record
  }

  /** One byte stays free, as CIRC_SPACE has it: positions are told modulo the size. */
  private hasRoom(length: number): boolean {
    if (this.overwrites) return true
    const space = (Number(BigInt.asIntN(52, Atomics.load(this.tail, 0))) - (this.written + 1)) % this.size
    return (space < 0 ? space + this.size : space) >= length
  }

  private write(position: number, bytes: Uint8Array): void {
    const start = ((position % this.size) + this.size) % this.size
    const first = bytes.subarray(0, this.size - start)
    this.data.set(first, start)
    this.data.set(bytes.subarray(first.length), 0)
  }
}

/** A perf event that takes what programs output on one CPU. */
export class PerfOutputEvent {
  readonly cpu: number
  readonly attributes: OutputAttributes
  /** There while it is mapped. */
  ring: SimulatedPerfRing | undefined
  paused = false
  /** Called when a reader is to be woken. */
  readonly wakers = new Set<() => void>()
  private readonly id: number
  private lost = 0

  constructor(id: number, cpu: number, attributes: OutputAttributes) {
    this.id = id
    this.cpu = cpu
    this.attributes = attributes
  }

  /** The ring that a mapping of `length` bytes shows: the one that is there, or a new one; or `-errno` (perf_mmap()). */
  map(length: number, pageSize: number, writes: boolean): SimulatedPerfRing | number {
    const size = length - pageSize
    if (size <= 0 || size % pageSize !== 0 || !Number.isInteger(Math.log2(size))) return -errno.EINVAL
    if (this.ring !== undefined) return this.ring.buffer.byteLength === length ? this.ring : -errno.EINVAL
    this.ring = new SimulatedPerfRing({
      attributes: this.attributes,
      id: this.id,
      size,
      pageSize,
      overwrites: !writes,
      wake: () => {
        for (const wake of this.wakers) wake()
      }
    })
    return this.ring
  }

  output(sample: Uint8Array, time: bigint): number {
    if (this.ring === undefined) return -errno.ENOSPC
    const result = this.paused ? -errno.ENOSPC : this.ring.output(sample, time)
    if (this.paused) this.ring.lose()
    if (result === -errno.ENOSPC) this.lost++
    return result
  }

  /** What read(2) gives: the count of the event, which counts nothing, and what it lost where that is asked for. */
  read(): BigUint64Array {
    return this.attributes.tellsLost ? BigUint64Array.of(0n, BigInt(this.lost)) : BigUint64Array.of(0n)
  }
}
