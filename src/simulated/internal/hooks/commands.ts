// The commands of bpf(2) that attach: links, raw tracepoints, and the older BPF_PROG_ATTACH.
import { errno } from "../../../abi/errno.ts"
import { bpf_attach_type } from "../../../abi/generated/enums.ts"
import {
  bpf_attr_link_create,
  bpf_attr_link_detach,
  bpf_attr_link_update,
  bpf_attr_prog_attach,
  bpf_attr_raw_tracepoint
} from "../../../abi/generated/structs.ts"
import { type AttachType, attachTypes, programTypes } from "../../../abi/names.ts"
import { typeFor as kindFor } from "../../../spec/ProgramKind.ts"
import { type Attr, nameOf } from "../attr.ts"
import type { Attachment, SimulatedLink, SimulatedProgram } from "../descriptors.ts"
import type { KernelState } from "../kernelState.ts"
import { hookOf } from "./registry.ts"

const t = bpf_attach_type

/** The type of program that an attach type takes (attach_type_to_prog_type); `undefined` where several do. */
const typeFor = (attachType: number): number | undefined => {
  const name = nameOf(attachTypes, attachType)
  const type = name === undefined ? undefined : kindFor(name as AttachType)
  return type === undefined || type === "tracing" || type === "lsm" ? undefined : programTypes[type]
}

const deviceTypes: ReadonlySet<number> = new Set([t.BPF_XDP, t.BPF_TCX_INGRESS, t.BPF_TCX_EGRESS])

/** A new link, which detaches when it ends, and lets go of the program that it has by then. */
const openLink = (state: KernelState, hook: string, program: SimulatedProgram, cookie: bigint): number => {
  const attachment: Attachment = { program, cookie }
  state.hooks.attach(hook, attachment)
  const link: SimulatedLink = {
    _tag: "Link",
    id: state.newId(),
    hook,
    attachment,
    end: () => {
      state.hooks.detach(hook, attachment)
      state.objects.release(attachment.program)
    }
  }
  const fd = state.descriptors.open(link)
  if (fd >= 0) state.objects.retain(program)
  else state.hooks.detach(hook, attachment)
  return fd
}

/** The hook of a target, or `-errno`. */
const targetHook = (
  state: KernelState,
  attachType: number,
  target: number,
  program: SimulatedProgram
): string | number => {
  if (deviceTypes.has(attachType)) {
    return state.hasDevice(target) ? hookOf.device(attachType, target) : -errno.ENODEV
  }
  if (attachType === t.BPF_PERF_EVENT) {
    const event = state.descriptors.get(target, "PerfEvent")
    return event === undefined ? -errno.EBADF : hookOf.perfEvent(event)
  }
  if (program.type === programTypes.tracing || program.type === programTypes.lsm) {
    return hookOf.function(program.attachType, program.attachBtfId)
  }
  const cgroup = state.descriptors.get(target, "Cgroup")
  return cgroup === undefined ? -errno.EBADF : hookOf.cgroup(attachType, cgroup.id)
}

/** BPF_LINK_CREATE */
export const createLink = (state: KernelState, attr: Attr): number => {
  const f = bpf_attr_link_create.fields
  const program = state.descriptors.get(attr.u32(f.prog_fd), "Program")
  if (program === undefined) return -errno.EBADF
  const attachType = attr.u32(f.attach_type)
  const wanted = typeFor(attachType)
  if (wanted !== undefined && wanted !== program.type) return -errno.EINVAL
  const hook = targetHook(state, attachType, attr.u32(f.target_fd), program)
  if (typeof hook === "number") return hook
  // A device has one XDP program, a perf event one program.
  const alone = attachType === t.BPF_XDP || attachType === t.BPF_PERF_EVENT
  if (alone && state.hooks.at(hook).length > 0) return -errno.EBUSY
  const isTracing = program.type === programTypes.tracing || program.type === programTypes.lsm
  const cookie = attachType === t.BPF_PERF_EVENT
    ? attr.address(f["perf_event.bpf_cookie"])
    : isTracing
    ? attr.address(f["tracing.cookie"])
    : 0n
  return openLink(state, hook, program, cookie)
}

/** include/uapi/linux/bpf.h: only if the program is the one expected */
const BPF_F_REPLACE = 1 << 2

/** BPF_LINK_UPDATE: another program in the same place. */
export const updateLink = (state: KernelState, attr: Attr): number => {
  const f = bpf_attr_link_update.fields
  const link = state.descriptors.get(attr.u32(f.link_fd), "Link")
  const program = state.descriptors.get(attr.u32(f.new_prog_fd), "Program")
  if ((attr.u32(f.flags) & ~BPF_F_REPLACE) !== 0) return -errno.EINVAL
  if (link === undefined || program === undefined) return -errno.EBADF
  if (program.type !== link.attachment.program.type) return -errno.EINVAL
  const expected = state.descriptors.get(attr.u32(f.old_prog_fd), "Program")
  if ((attr.u32(f.flags) & BPF_F_REPLACE) !== 0 && expected !== link.attachment.program) return -errno.EPERM
  state.objects.retain(program)
  state.objects.release(link.attachment.program)
  link.attachment.program = program
  return 0
}

/** BPF_LINK_DETACH: the link stays, and does nothing from then on. */
export const detachLink = (state: KernelState, attr: Attr): number => {
  const link = state.descriptors.get(attr.u32(bpf_attr_link_detach.fields.link_fd), "Link")
  if (link === undefined) return -errno.EBADF
  state.hooks.detach(link.hook, link.attachment)
  return 0
}

/** BPF_RAW_TRACEPOINT_OPEN: raw tracepoints by name; fentry, fexit and LSM programs without one. */
export const openRawTracepoint = (state: KernelState, attr: Attr): number => {
  const f = bpf_attr_raw_tracepoint.fields
  const program = state.descriptors.get(attr.u32(f.prog_fd), "Program")
  if (program === undefined) return -errno.EBADF
  const cookie = attr.address(f.cookie)
  if (program.type === programTypes.tracing || program.type === programTypes.lsm) {
    if (attr.address(f.name) !== 0n) return -errno.EINVAL
    return openLink(state, hookOf.function(program.attachType, program.attachBtfId), program, cookie)
  }
  const isRaw = program.type === programTypes.raw_tracepoint || program.type === programTypes.raw_tracepoint_writable
  if (!isRaw) return -errno.EINVAL
  const bytes = state.memory.find(attr.address(f.name), 1)
  const rest = bytes.region.bytes.subarray(bytes.offset, bytes.offset + 128)
  const name = new TextDecoder().decode(rest.subarray(0, Math.max(0, rest.indexOf(0))))
  if (!state.hasRawTracepoint(name)) return -errno.ENOENT
  return openLink(state, hookOf.rawTracepoint(name), program, cookie)
}

/** BPF_PROG_ATTACH, to cgroups and tcx: it lasts until it is detached or the target is gone. */
export const attachProgram = (state: KernelState, attr: Attr): number => {
  const f = bpf_attr_prog_attach.fields
  const program = state.descriptors.get(attr.u32(f.attach_bpf_fd), "Program")
  if (program === undefined) return -errno.EBADF
  const attachType = attr.u32(f.attach_type)
  const wanted = typeFor(attachType)
  if (wanted === undefined || wanted !== program.type || attachType === t.BPF_XDP) return -errno.EINVAL
  const hook = targetHook(state, attachType, attr.u32(f.target_fd), program)
  if (typeof hook === "number") return hook
  const [ALLOW_MULTI] = [2]
  const there = state.hooks.at(hook)
  if (there.some((other) => other.program === program)) return -errno.EINVAL
  const shares = (attr.u32(f.attach_flags) & ALLOW_MULTI!) !== 0 || deviceTypes.has(attachType)
  // Without BPF_F_ALLOW_MULTI a new program takes the place of the old.
  if (!shares) { for (const other of there) detach(state, hook, other) }
  state.objects.retain(program)
  state.hooks.attach(hook, { program, cookie: 0n })
  return 0
}

const detach = (state: KernelState, hook: string, attachment: Attachment): void => {
  state.hooks.detach(hook, attachment)
  state.objects.release(attachment.program)
}

/** BPF_PROG_DETACH */
export const detachProgram = (state: KernelState, attr: Attr): number => {
  const f = bpf_attr_prog_attach.fields
  const attachType = attr.u32(f.attach_type)
  const program = state.descriptors.get(attr.u32(f.attach_bpf_fd), "Program")
  const wanted = typeFor(attachType)
  if (wanted === undefined) return -errno.EINVAL
  const target = attr.u32(f.target_fd)
  const cgroup = state.descriptors.get(target, "Cgroup")
  if (!deviceTypes.has(attachType) && cgroup === undefined) return -errno.EBADF
  const hook = cgroup === undefined ? hookOf.device(attachType, target) : hookOf.cgroup(attachType, cgroup.id)
  const found = state.hooks.at(hook).find((other) => program === undefined || other.program === program)
  if (found === undefined) return -errno.ENOENT
  detach(state, hook, found)
  return 0
}
