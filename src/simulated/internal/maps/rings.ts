// ringbuf and user_ringbuf as maps, after kernel/bpf/ringbuf.c. They have no elements.
import { errno } from "../../../abi/errno.ts"
import type { Family, MappingRequest } from "../maps.ts"
import { SimulatedRingBuffer } from "../ringBuffer.ts"
import { SimulatedUserRingBuffer } from "../userRingBuffer.ts"
import { refusing } from "./calls.ts"
import { BPF_F_NUMA_NODE } from "./flags.ts"
import { MOST_MEMORY } from "./values.ts"

const check: Family["check"] = ({ flags, keySize, maxEntries, valueSize }, { pageSize }) => {
  if ((flags & ~BPF_F_NUMA_NODE) !== 0) return -errno.EINVAL
  const isPower = maxEntries !== 0 && Number.isInteger(Math.log2(maxEntries))
  return keySize !== 0 || valueSize !== 0 || !isPower || maxEntries % pageSize !== 0 ? -errno.EINVAL : 0
}

/** The pages that both kinds have, in the order in which a file of theirs has them. */
interface Pages {
  readonly consumerPage: ArrayBuffer
  readonly producerPages: ArrayBuffer
}

const show = (pages: Pages, pageSize: number, { length, offset }: MappingRequest): ArrayBuffer | number => {
  if (offset !== 0 && offset !== pageSize) return -errno.EINVAL
  const buffer = offset === 0 ? pages.consumerPage : pages.producerPages
  return length > buffer.byteLength ? -errno.EINVAL : buffer
}

export const ringbuf: Family = {
  check,
  make: ({ memory, pageSize }, { maxEntries }) => {
    if (maxEntries > MOST_MEMORY) return -errno.ENOMEM
    const ring = new SimulatedRingBuffer(memory, maxEntries, pageSize)
    return {
      ring,
      calls: refusing(errno.ENOTSUPP),
      // A process may only write the consumer's page: ringbuf_map_mmap_kern().
      mapping: (request) =>
        request.writes && (request.offset !== 0 || request.length !== pageSize)
          ? -errno.EPERM
          : show(ring, pageSize, request),
      free: () => ring.free()
    }
  }
}

export const userRingbuf: Family = {
  check,
  make: ({ pageSize }, { maxEntries }) => {
    if (maxEntries > MOST_MEMORY) return -errno.ENOMEM
    const userRing = new SimulatedUserRingBuffer(maxEntries, pageSize)
    return {
      userRing,
      calls: refusing(errno.ENOTSUPP),
      // The other way round, a process may write all but the consumer's page: ringbuf_map_mmap_user().
      mapping: (request) => request.writes && request.offset === 0 ? -errno.EPERM : show(userRing, pageSize, request)
    }
  }
}
