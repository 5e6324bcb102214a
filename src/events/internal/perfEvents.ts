// Opens the rings of a perf buffer: for each CPU a perf event that takes what programs output, its ring, a watch, and the
// CPU's entry of the map.
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import { errno } from "../../abi/errno.ts"
import {
  perf_event_read_format,
  perf_event_sample_format,
  perf_sw_ids,
  perf_type_id
} from "../../abi/generated/enums.ts"
import { mman, perf } from "../../abi/os.ts"
import { isExpected } from "../../kernel/Features.ts"
import type { Block, KernelService } from "../../kernel/Kernel.ts"
import { type InvalidArgument, SystemCallError } from "../../kernel/KernelError.ts"
import { acquirePerfEvent } from "../../kernel/perfEvents.ts"
import { acquireMapping, retrying, toError } from "../../kernel/systemCall.ts"
import type { Waiting } from "../../kernel/waiting.ts"
import type { LayoutError } from "../../layout/Layout.ts"
import type { PerfEventArray } from "../../map/PerfEventArray.ts"
import { PerfRing, type Wakeup } from "./perfRing.ts"

/** include/uapi/linux/time.h: what `bpf_ktime_get_ns` tells. */
const CLOCK_MONOTONIC = 1

/** What read(2) gives with PERF_FORMAT_LOST: the event's count, and what it lost, of 8 bytes each. */
export const LOST_FORMAT = 16

export interface RingSettings {
  readonly subject: string
  /** Bytes of each ring's data: a power of two of pages. */
  readonly size: number
  readonly wakeup: Wakeup
  /** Whether samples and losses are stamped. */
  readonly timed: boolean
  readonly overwritable: boolean
}

/** A ring of a CPU, as long as its scope lives. */
export interface OpenRing {
  readonly ring: PerfRing
  /** Stops output into the ring, or starts it again: 0, or `-errno`. What programs output meanwhile is counted as lost. */
  readonly pause: (paused: boolean) => number
  /** How many samples were lost so far, those included that no record tells of yet: the number, or `-errno`. */
  readonly lost: (memory: Block) => number
  readonly scope: Scope.Closeable
  /** False once another ring has the CPU's entry of the map, which this one's end is to leave alone then. */
  ownsEntry: boolean
  /** Set once the CPU was seen offline: its event has ended, and does not come back with it. */
  offline: boolean
}

export type OpenFailure = InvalidArgument | LayoutError | SystemCallError

const hintsOf = (what: string): { readonly [errno: number]: string } => ({
  [errno.EPERM]:
    `${what} is charged to kernel.perf_event_mlock_kb for each CPU and then to RLIMIT_MEMLOCK: make rings ` +
    "smaller, raise one of them, or run with CAP_IPC_LOCK"
})

const withHint = (error: SystemCallError, hints: { readonly [errno: number]: string }): SystemCallError =>
  error.call === "mmap" && hints[error.errno] !== undefined
    ? new SystemCallError({ ...error, hint: hints[error.errno] })
    : error

/** Opens the ring of a CPU, in a scope of its own beneath `owner`; `undefined` for one that is not online. */
export const openRing = (
  kernel: KernelService,
  map: PerfEventArray,
  waiting: Waiting,
  owner: Scope.Scope,
  cpu: number,
  settings: RingSettings
): Effect.Effect<OpenRing | undefined, OpenFailure> => {
  const { overwritable, size, timed, wakeup } = settings
  const { PERF_SAMPLE_RAW, PERF_SAMPLE_TIME } = perf_event_sample_format
  const subject = `${settings.subject}, CPU ${cpu}`
  const opened = { ownsEntry: true, offline: false }
  const open = Effect.gen(function*() {
    const event = yield* acquirePerfEvent(kernel, subject, {
      pid: -1,
      cpu,
      fields: {
        type: perf_type_id.PERF_TYPE_SOFTWARE,
        config: perf_sw_ids.PERF_COUNT_SW_BPF_OUTPUT,
        sample_period: 1,
        sample_type: timed ? PERF_SAMPLE_RAW | PERF_SAMPLE_TIME : PERF_SAMPLE_RAW,
        ...(timed ? { sample_id_all: 1, use_clockid: 1, clockid: CLOCK_MONOTONIC } : {}),
        ...("events" in wakeup ? { wakeup_events: wakeup.events } : { watermark: 1, wakeup_watermark: wakeup.bytes }),
        ...(overwritable ? { write_backward: 1 } : {}),
        ...(isExpected(kernel.version, "perfLost") ? { read_format: perf_event_read_format.PERF_FORMAT_LOST } : {})
      }
    })
    // A ring that is mapped without write access is one that the kernel overwrites: it knows of no reader's position.
    const mapping = yield* acquireMapping(kernel, subject, {
      fd: event.fd,
      length: kernel.pageSize + size,
      protection: overwritable ? mman.PROT_READ : mman.PROT_READ | mman.PROT_WRITE,
      offset: 0
    })
    const { pageSize } = kernel
    const ring = new PerfRing({
      subject: settings.subject,
      cpu,
      mapping,
      pageSize,
      size,
      wakeup,
      backward: overwritable
    })
    yield* Effect.addFinalizer(() =>
      Effect.sync(() => {
        ring.closed = true
      })
    )
    yield* waiting.add({ fd: event.fd, isDue: () => ring.isDue(), position: () => ring.produced })
    yield* Effect.acquireRelease(
      map.update(cpu, event),
      () => Effect.suspend(() => opened.ownsEntry ? Effect.ignore(map.delete(cpu)) : Effect.void)
    )
    return Object.assign(opened, {
      ring,
      pause: (paused: boolean) =>
        retrying(() => kernel.perf.ioctl(event.fd, perf.PERF_EVENT_IOC_PAUSE_OUTPUT, paused ? 1 : 0)),
      lost: (memory: Block) => {
        if (!isExpected(kernel.version, "perfLost")) return ring.lost
        const result = retrying(() => kernel.perf.readCount(event.fd, memory, LOST_FORMAT))
        return result < 0 ? result : Number(memory.view.getBigUint64(8, true))
      }
    })
  })
  return Effect.uninterruptible(Effect.flatMap(Scope.fork(owner), (scope) =>
    Scope.provide(open, scope).pipe(
      Effect.map((one): OpenRing => Object.assign(one, { scope })),
      Effect.onError((cause) => Scope.close(scope, Exit.failCause(cause))),
      Effect.catchIf(
        (error): error is SystemCallError =>
          error instanceof SystemCallError && error.call === "perf_event_open" && error.errno === errno.ENODEV,
        () => Effect.succeed(undefined)
      ),
      Effect.mapError((error) =>
        error instanceof SystemCallError
          ? withHint(error, hintsOf(`A ring of ${size} bytes`))
          : error
      )
    )))
}

/** The error of a ring's ioctl. */
export const pauseError = (kernel: KernelService, subject: string, result: number): SystemCallError =>
  toError(kernel, { call: "ioctl", command: "PERF_EVENT_IOC_PAUSE_OUTPUT", subject }, result)

/** The error of reading what an event lost. */
export const lostError = (kernel: KernelService, subject: string, result: number): SystemCallError =>
  toError(kernel, { call: "read", subject }, result)
