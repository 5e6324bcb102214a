// Perf events of the simulated kernel: those of tracepoints, to which programs are attached.
import { errno } from "../../abi/errno.ts"
import { perf_type_id } from "../../abi/generated/enums.ts"
import { perf_event_attr } from "../../abi/generated/structs.ts"
import { programTypes } from "../../abi/names.ts"
import { perf } from "../../abi/os.ts"
import type { Block, PerfCalls } from "../../kernel/Kernel.ts"
import type { DescriptorTable, PerfEvent } from "./descriptors.ts"
import type { Objects } from "./objects.ts"

export interface PerfEventsOptions {
  readonly descriptors: DescriptorTable
  readonly objects: Objects
  readonly hasTracepointId: (id: number) => boolean
}

const open = ({ descriptors, hasTracepointId, objects }: PerfEventsOptions, attr: Block): number => {
  if (!attr.live) return -errno.EFAULT
  const { config, type } = perf_event_attr.fields
  if (attr.view.getUint32(type.offset, true) !== perf_type_id.PERF_TYPE_TRACEPOINT) return -errno.ENOENT
  const tracepoint = Number(attr.view.getBigUint64(config.offset, true))
  if (!hasTracepointId(tracepoint)) return -errno.ENOENT
  const event: PerfEvent = {
    _tag: "PerfEvent",
    tracepoint,
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
      if (event.program !== undefined) return -errno.EEXIST
      event.program = program
      objects.retain(program)
      return 0
    }
    case perf.PERF_EVENT_IOC_ENABLE:
    case perf.PERF_EVENT_IOC_DISABLE:
      event.enabled = request === perf.PERF_EVENT_IOC_ENABLE
      return 0
    default:
      return -errno.ENOTTY
  }
}

export const perfCalls = (options: PerfEventsOptions): PerfCalls => ({
  open: (attr) => open(options, attr),
  ioctl: (fd, request, argument) => ioctl(options, fd, request, typeof argument === "number" ? argument : -1)
})
