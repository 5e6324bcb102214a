// Perf events of the simulated kernel: those of tracepoints, to which programs are attached, and those that take output.
import { errno } from "../../abi/errno.ts"
import { perf_sw_ids, perf_type_id } from "../../abi/generated/enums.ts"
import { perf_event_attr } from "../../abi/generated/structs.ts"
import { programTypes } from "../../abi/names.ts"
import { perf } from "../../abi/os.ts"
import { isExpected } from "../../kernel/Features.ts"
import type { Block, KernelVersion, PerfCalls } from "../../kernel/Kernel.ts"
import type { DescriptorTable, PerfEvent } from "./descriptors.ts"
import type { Objects } from "./objects.ts"
import { outputAttributes, PerfOutputEvent } from "./perfOutput.ts"

export interface PerfEventsOptions {
  readonly descriptors: DescriptorTable
  readonly objects: Objects
  readonly possibleCpus: number
  readonly version: KernelVersion
  readonly hasTracepointId: (id: number) => boolean
}

let lastOutputId = 0

/** An event for what programs output on a CPU, or `-errno`. */
const openOutput = ({ possibleCpus, version }: PerfEventsOptions, attr: Block, pid: number, cpu: number) => {
  if (pid !== -1 || cpu < 0 || cpu >= possibleCpus) return -errno.EINVAL
  const attributes = outputAttributes(attr.view, isExpected(version, "perfLost"))
  return typeof attributes === "number" ? attributes : new PerfOutputEvent(++lastOutputId, cpu, attributes)
}

const open = (options: PerfEventsOptions, attr: Block, pid: number, cpu: number): number => {
  if (!attr.live) return -errno.EFAULT
  const { descriptors, hasTracepointId, objects } = options
  const type = attr.view.getUint32(perf_event_attr.fields.type.offset, true)
  const config = Number(attr.view.getBigUint64(perf_event_attr.fields.config.offset, true))
  const isOutput = type === perf_type_id.PERF_TYPE_SOFTWARE && config === perf_sw_ids.PERF_COUNT_SW_BPF_OUTPUT
  const isTracepoint = type === perf_type_id.PERF_TYPE_TRACEPOINT && hasTracepointId(config)
  if (!isOutput && !isTracepoint) return -errno.ENOENT
  const output = isOutput ? openOutput(options, attr, pid, cpu) : undefined
  if (typeof output === "number") return output
  const event: PerfEvent = {
    _tag: "PerfEvent",
    tracepoint: isTracepoint ? config : -1,
    output,
    program: undefined,
    enabled: false,
    end: () => {
      if (event.program !== undefined) objects.release(event.program)
    }
  }
  return descriptors.open(event)
}

const ioctl = (
  { descriptors, objects }: PerfEventsOptions,
  fd: number,
  request: number,
  argument: number
): number => {
  const event = descriptors.get(fd, "PerfEvent")
  if (event === undefined) return descriptors.any(fd) === undefined ? -errno.EBADF : -errno.ENOTTY
  switch (request) {
    case perf.PERF_EVENT_IOC_SET_BPF: {
      const program = descriptors.any(argument)
      if (program === undefined) return -errno.EBADF
      if (program._tag !== "Program" || program.type !== programTypes.tracepoint) return -errno.EINVAL
      if (event.output !== undefined) return -errno.EINVAL
      if (event.program !== undefined) return -errno.EEXIST
      event.program = program
      objects.retain(program)
      return 0
    }
    case perf.PERF_EVENT_IOC_ENABLE:
    case perf.PERF_EVENT_IOC_DISABLE:
      event.enabled = request === perf.PERF_EVENT_IOC_ENABLE
      return 0
    case perf.PERF_EVENT_IOC_PAUSE_OUTPUT:
      if (event.output?.ring === undefined) return -errno.EINVAL // as for one that has no ring
      event.output.paused = argument !== 0
      return 0
    default:
      return -errno.ENOTTY
  }
}

const readCount = ({ descriptors }: PerfEventsOptions, fd: number, into: Block, size: number): number => {
  const event = descriptors.get(fd, "PerfEvent")
  if (event === undefined) return descriptors.any(fd) === undefined ? -errno.EBADF : -errno.EINVAL
  const counts = new Uint8Array((event.output?.read() ?? BigUint64Array.of(0n)).buffer)
  if (size < counts.length) return -errno.ENOSPC
  if (!into.live || size > into.size) return -errno.EFAULT
  into.bytes.set(counts)
  return counts.length
}

export const perfCalls = (options: PerfEventsOptions): PerfCalls => ({
  open: (attr, pid, cpu) => open(options, attr, pid, cpu),
  ioctl: (fd, request, argument) => ioctl(options, fd, request, typeof argument === "number" ? argument : -1),
  readCount: (fd, into, size) => readCount(options, fd, into, size)
})
