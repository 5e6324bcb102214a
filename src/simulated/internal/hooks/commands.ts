// The commands of bpf(2) that attach: links, raw tracepoints, and the older BPF_PROG_ATTACH.
import { errno } from "../../../abi/errno.ts"
import { bpf_attach_type, bpf_link_type, bpf_perf_event_type } from "../../../abi/generated/enums.ts"
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
import type { Attachment, LinkFacts, SimulatedLink, SimulatedProgram } from "../descriptors.ts"
import type { Lifetime } from "../objects.ts"
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
const openLink = (
  state: KernelState,
  hook: string,
  program: SimulatedProgram,
  cookie: bigint,
  facts: LinkFacts,
  holds: ReadonlyArray<Lifetime> = []
): number => {
  const attachment: Attachment = { program, cookie }
  state.hooks.attach(hook, attachment)
  const link: SimulatedLink = {
    _tag: "Link",
    id: state.newId(),
    hook,
    facts,
    attached: true,
    attachment,
    holds,
    end: () => {
      state.hooks.detach(hook, attachment)
      state.objects.release(attachment.program)
    }
  }
  // Before a descriptor is looked for: a link that finds none ends here, and lets go of it.
  state.objects.retain(program)
  return state.descriptors.open(link)
}

const l = bpf_link_type

/** What a link of an attach type tells of its place. */
const factsOf = (state: KernelState, attachType: number, target: number, program: SimulatedProgram): LinkFacts => {
  if (attachType === t.BPF_XDP) return { type: l.BPF_LINK_TYPE_XDP, fields: { "xdp.ifindex": target } }
  if (deviceTypes.has(attachType)) {
    return {
      type: l.BPF_LINK_TYPE_TCX,
      fields: { "tcx.ifindex": target, "tcx.attach_type": attachType }
    }
  }
  if (attachType === t.BPF_PERF_EVENT) {
    const name = state.tracepointName(state.descriptors.get(target, "PerfEvent")!.tracepoint)
    return {
      type: l.BPF_LINK_TYPE_PERF_EVENT,
      fields: { "perf_event.type": bpf_perf_event_type.BPF_PERF_EVENT_TRACEPOINT },
      text: { field: "perf_event.tracepoint.tp_name", length: "perf_event.tracepoint.name_len", value: name }
    }
  }
  if (isTracing(program)) return tracingFacts(program)
  const id = state.descriptors.get(target, "Cgroup")?.id ?? 0n
  return { type: l.BPF_LINK_TYPE_CGROUP, fields: { "cgroup.cgroup_id": id, "cgroup.attach_type": attachType } }
}

const isTracing = ({ type }: SimulatedProgram): boolean => type === programTypes.tracing || type === programTypes.lsm

const tracingFacts = ({ attachBtfId, attachType }: SimulatedProgram): LinkFacts => ({
  type: l.BPF_LINK_TYPE_TRACING,
  fields: {
    "tracing.attach_type": attachType,
    "tracing.target_obj_id": VMLINUX_BTF,
    "tracing.target_btf_id": attachBtfId
  }
})

/** The kernel's own types have the first id. */
const VMLINUX_BTF = 1

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
  if (attachType === t.BPF_XDP && state.hooks.at(hook).length > 0) return -errno.EBUSY
  const target = attr.u32(f.target_fd)
  const event = attachType === t.BPF_PERF_EVENT ? state.descriptors.get(target, "PerfEvent") : undefined
  if (event !== undefined) {
    if (program.type !== programTypes.tracepoint) return -errno.EINVAL
    if (event.program !== undefined || state.hooks.at(hook).length > 0) return -errno.EEXIST
  }
  const cookie = attachType === t.BPF_PERF_EVENT
    ? attr.address(f["perf_event.bpf_cookie"])
    : isTracing(program)
    ? attr.address(f["tracing.cookie"])
    : 0n
  const facts = factsOf(state, attachType, target, program)
  return openLink(state, hook, program, cookie, facts, event === undefined ? [] : [event])
}

/** include/uapi/linux/bpf.h: only if the program is the one expected */
const BPF_F_REPLACE = 1 << 2

/** The types of link that can get another program, and that can be detached by force. */
const changeable: ReadonlySet<number> = new Set([
  l.BPF_LINK_TYPE_XDP,
  l.BPF_LINK_TYPE_TCX,
  l.BPF_LINK_TYPE_CGROUP
])

/** BPF_LINK_UPDATE: another program in the same place. */
export const updateLink = (state: KernelState, attr: Attr): number => {
  const f = bpf_attr_link_update.fields
  const flags = attr.u32(f.flags)
  if ((flags & ~BPF_F_REPLACE) !== 0) return -errno.EINVAL
  const link = state.descriptors.get(attr.u32(f.link_fd), "Link")
  const program = state.descriptors.get(attr.u32(f.new_prog_fd), "Program")
  if (link === undefined || program === undefined) return -errno.EBADF
  const expected = state.descriptors.get(attr.u32(f.old_prog_fd), "Program")
  if ((flags & BPF_F_REPLACE) !== 0) { if (expected === undefined) return -errno.EBADF }
  else if (attr.u32(f.old_prog_fd) !== 0) return -errno.EINVAL
  if (!changeable.has(link.facts.type)) return -errno.EINVAL
  if (!link.attached) return -errno.ENOLINK
  if (expected !== undefined && (flags & BPF_F_REPLACE) !== 0 && expected !== link.attachment.program) {
    return -errno.EPERM
  }
  if (program.type !== link.attachment.program.type) return -errno.EINVAL
  state.objects.retain(program)
  state.objects.release(link.attachment.program)
  link.attachment.program = program
  return 0
}

/** BPF_LINK_DETACH: the link stays, and does nothing from then on. */
export const detachLink = (state: KernelState, attr: Attr): number => {
  const link = state.descriptors.get(attr.u32(bpf_attr_link_detach.fields.link_fd), "Link")
  if (link === undefined) return -errno.EBADF
  if (!changeable.has(link.facts.type)) return -errno.EOPNOTSUPP
  state.hooks.detach(link.hook, link.attachment)
  link.attached = false
  return 0
}

/** BPF_RAW_TRACEPOINT_OPEN: raw tracepoints by name; fentry, fexit and LSM programs without one. */
export const openRawTracepoint = (state: KernelState, attr: Attr): number => {
  const f = bpf_attr_raw_tracepoint.fields
  const program = state.descriptors.get(attr.u32(f.prog_fd), "Program")
  if (program === undefined) return -errno.EBADF
  const cookie = attr.address(f.cookie)
  if (isTracing(program)) {
    if (attr.address(f.name) !== 0n) return -errno.EINVAL
    const hook = hookOf.function(program.attachType, program.attachBtfId)
    return openLink(state, hook, program, cookie, tracingFacts(program))
  }
  const isRaw = program.type === programTypes.raw_tracepoint || program.type === programTypes.raw_tracepoint_writable
  if (!isRaw) return -errno.EINVAL
  const bytes = state.memory.find(attr.address(f.name), 1)
  const rest = bytes.region.bytes.subarray(bytes.offset, bytes.offset + 128)
  const name = new TextDecoder().decode(rest.subarray(0, Math.max(0, rest.indexOf(0))))
  if (!state.hasRawTracepoint(name)) return -errno.ENOENT
  return openLink(state, hookOf.rawTracepoint(name), program, cookie, {
    type: l.BPF_LINK_TYPE_RAW_TRACEPOINT,
    fields: {},
    text: { field: "raw_tracepoint.tp_name", length: "raw_tracepoint.tp_name_len", value: name }
  })
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
