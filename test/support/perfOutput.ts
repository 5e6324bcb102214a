// The least that reads what bpf_perf_event_output writes: perf events of all CPUs, and the records in their rings.
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { perf_event_sample_format, perf_sw_ids, perf_type_id } from "../../src/abi/generated/enums.ts"
import { perf_event_attr } from "../../src/abi/generated/structs.ts"
import { errno } from "../../src/abi/errno.ts"
import { mman, perf } from "../../src/abi/os.ts"
import { Kernel } from "../../src/index.ts"
import { fill } from "../../src/kernel/attribute.ts"
import { acquireBlock, acquireMapping } from "../../src/kernel/systemCall.ts"

/** PERF_ATTR_SIZE_VER5 */
const ATTR_SIZE = 112
/** Where `struct perf_event_mmap_page` has the end of what was written. */
const DATA_HEAD = 1024
const PERF_RECORD_SAMPLE = 9

const openOn = (kernel: Kernel.KernelService, cpu: number): Effect.Effect<number, never, Scope.Scope> =>
  Effect.gen(function*() {
    const attr = yield* Effect.orDie(acquireBlock(kernel, perf_event_attr.size))
    fill(attr, perf_event_attr, {
      type: perf_type_id.PERF_TYPE_SOFTWARE,
      size: ATTR_SIZE,
      config: perf_sw_ids.PERF_COUNT_SW_BPF_OUTPUT,
      sample_period: 1,
      sample_type: perf_event_sample_format.PERF_SAMPLE_RAW,
      wakeup_events: 1
    })
    return yield* Effect.acquireRelease(
      Effect.sync(() => kernel.perf.open(attr, -1, cpu, -1, perf.PERF_FLAG_FD_CLOEXEC)),
      (fd) => Effect.sync(() => fd >= 0 && kernel.files.close(fd))
    )
  })

/** Opens a perf event on each CPU that is online, hands its descriptor over, and gives what reads all records. */
export const perfRings = <E>(put: (cpu: number, fd: number) => Effect.Effect<void, E>) =>
  Effect.gen(function*() {
    const kernel = yield* Kernel.Kernel
    const rings: Array<ArrayBuffer> = []
    for (let cpu = 0; cpu < kernel.possibleCpus; cpu++) {
      const fd = yield* openOn(kernel, cpu)
      if (fd === -errno.ENODEV) continue // a CPU that is not online
      if (fd < 0) return yield* Effect.die(new Error(`perf_event_open on CPU ${cpu}: ${fd}`))
      const mapping = yield* acquireMapping(kernel, "perf ring", {
        fd,
        length: 2 * kernel.pageSize,
        protection: mman.PROT_READ | mman.PROT_WRITE,
        offset: 0
      })
      kernel.perf.ioctl(fd, perf.PERF_EVENT_IOC_ENABLE, 0)
      yield* put(cpu, fd)
      rings.push(mapping.buffer)
    }
    return (): ReadonlyArray<Uint8Array> => rings.flatMap((ring) => records(new DataView(ring), kernel.pageSize))
  })

/** The raw records of a ring that has not wrapped yet. */
const records = (ring: DataView, pageSize: number): ReadonlyArray<Uint8Array> => {
  const found: Array<Uint8Array> = []
  const head = Number(ring.getBigUint64(DATA_HEAD, true))
  for (let at = 0; at < head;) {
    const start = pageSize + at
    if (ring.getUint32(start, true) === PERF_RECORD_SAMPLE) {
      const length = ring.getUint32(start + 8, true)
      found.push(new Uint8Array(ring.buffer, ring.byteOffset + start + 12, length).slice())
    }
    at += ring.getUint16(start + 6, true)
  }
  return found
}
