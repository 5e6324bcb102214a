// The commands of bpf(2) on links: those that make them, replace their programs and detach them.
import { errno } from "../../../abi/errno.ts"
import { bpf_attach_type, bpf_link_type, bpf_perf_event_type } from "../../../abi/generated/enums.ts"
import {
  bpf_attr_link_create,
  bpf_attr_link_detach,
  bpf_attr_link_update,
  bpf_attr_raw_tracepoint
} from "../../../abi/generated/structs.ts"
import { programTypes } from "../../../abi/names.ts"
import type { Attr } from "../attr.ts"
import type { Attachment, LinkFacts, SimulatedLink, SimulatedProgram } from "../descriptors.ts"
import type { KernelState } from "../kernelState.ts"
import type { Lifetime } from "../objects.ts"
import { readUserText } from "../userMemory.ts"
import {
  ALLOW_MULTI,
  CGROUP_LINK_FLAGS,
  deviceTypes,
  isCgroupKind,
  linkable,
  mayAttach,
  PREORDER,
  REPLACE,
  XDP_FLAGS_SKB_MODE,
  XDP_MODES
} from "./attachable.ts"
import { modeOf, placeInCgroup } from "./cgroupOrder.ts"
import { type Order, placeOnDevice } from "./deviceOrder.ts"
import { hookOf, type Placing } from "./registry.ts"
import { isTracing, linkOf, programOf, targetHook, tracingHook } from "./targets.ts"

const t = bpf_attach_type

/** What a new link is made of. */
interface NewLink {
  readonly hook: string
  readonly program: SimulatedProgram
  readonly cookie: bigint
  readonly facts: LinkFacts
  readonly holds?: ReadonlyArray<Lifetime>
  readonly placing?: Placing
  /** For a cgroup: the flags that its programs share. */
  readonly mode?: number
  readonly isPreordered?: boolean
}

/** A new link, which detaches when it ends, and lets go of the program that it has by then. */
const openLink = (
  state: KernelState,
  { cookie, facts, holds = [], hook, isPreordered = false, mode, placing, program }: NewLink
): number => {
  const attachment: Attachment = { program, cookie, isPreordered }
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
  attachment.link = link
  state.hooks.attach(hook, attachment, placing, mode)
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
  const map = state.descriptors.get(target, "Map")
  if (map !== undefined) {
    return {
      type: l.BPF_LINK_TYPE_SOCKMAP,
      fields: { "sockmap.map_id": map.id, "sockmap.attach_type": attachType }
    }
  }
  const id = state.descriptors.get(target, "Cgroup")?.id ?? 0n
  return { type: l.BPF_LINK_TYPE_CGROUP, fields: { "cgroup.cgroup_id": id, "cgroup.attach_type": attachType } }
}

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

/** The flags that a link takes where it is put; any others are refused. */
const isLinkFlags = (program: SimulatedProgram, attachType: number, flags: number): boolean => {
  if (isCgroupKind(program.type, program.attachType)) return (flags & ~CGROUP_LINK_FLAGS) === 0
  if (attachType === t.BPF_XDP) return (flags & ~XDP_MODES) === 0 && (flags & (flags - 1)) === 0
  if (deviceTypes.has(attachType) || program.type === programTypes.tracing) return true
  return flags === 0
}

/** Where a link to a cgroup or a device is to go: both have the fields in the same place. */
const orderOf = (attr: Attr, flags: number): Order => {
  const f = bpf_attr_link_create.fields
  return { flags, relative: attr.u32(f["tcx.relative_fd"]), revision: attr.number(f["tcx.expected_revision"]) }
}

/** BPF_LINK_CREATE */
export const createLink = (state: KernelState, attr: Attr): number => {
  const f = bpf_attr_link_create.fields
  if (!attr.endsWith(f["uprobe_multi.pid"])) return -errno.EINVAL
  const program = programOf(state, attr.i32(f.prog_fd))
  if (typeof program === "number") return program
  const attachType = attr.u32(f.attach_type)
  const target = attr.i32(f.target_fd)
  const flags = attr.u32(f.flags)
  if (!mayAttach(program, attachType) || !linkable.has(program.type)) return -errno.EINVAL
  if (isTracing(program) && attachType !== program.attachType) return -errno.EINVAL
  if (program.type === programTypes.netfilter) return flags === 0 ? -errno.EAFNOSUPPORT : -errno.EINVAL
  if (program.type === programTypes.kprobe && attachType !== t.BPF_PERF_EVENT) {
    const isForKernel = attachType === t.BPF_TRACE_KPROBE_MULTI || attachType === t.BPF_TRACE_KPROBE_SESSION
    return isForKernel ? -errno.EOPNOTSUPP : -errno.EINVAL
  }
  if (attachType === t.BPF_TRACE_ITER && (target !== 0 || flags !== 0)) return -errno.EINVAL
  const isDevice = deviceTypes.has(attachType)
  if (!isDevice && !isLinkFlags(program, attachType, flags)) return -errno.EINVAL
  const hook = targetHook(state, attachType, target, program)
  // Links say EINVAL of a map that holds no sockets too.
  if (typeof hook === "number") return hook === -errno.EOPNOTSUPP ? -errno.EINVAL : hook
  if (isDevice && !isLinkFlags(program, attachType, flags)) return -errno.EINVAL
  // No device here runs programs in its driver or its hardware.
  if (attachType === t.BPF_XDP && (flags & ~XDP_FLAGS_SKB_MODE) !== 0) return -errno.EOPNOTSUPP
  const there = state.hooks.at(hook)
  // A device has one XDP program, a perf event one program.
  const isAlone = attachType === t.BPF_XDP || program.type === programTypes.sk_msg ||
    program.type === programTypes.sk_skb
  if (isAlone && there.length > 0) return -errno.EBUSY
  const event = attachType === t.BPF_PERF_EVENT ? state.descriptors.get(target, "PerfEvent") : undefined
  if (event !== undefined) {
    if (program.type !== programTypes.tracepoint) return -errno.EINVAL
    if (event.program !== undefined || there.length > 0) return -errno.EEXIST
  }
  const isCgroup = isCgroupKind(program.type, program.attachType)
  const order = orderOf(attr, isCgroup ? flags | ALLOW_MULTI : flags)
  const placing = isCgroup
    ? placeInCgroup(state, attachType, state.descriptors.get(target, "Cgroup")!.id, { program, isLink: true }, order)
    : isDevice && attachType !== t.BPF_XDP
    ? placeOnDevice(state, hook, program, order)
    : undefined
  if (typeof placing === "number") return placing
  const cookie = attachType === t.BPF_PERF_EVENT
    ? attr.address(f["perf_event.bpf_cookie"])
    : isTracing(program)
    ? attr.address(f["tracing.cookie"])
    : 0n
  return openLink(state, {
    hook,
    program,
    cookie,
    facts: factsOf(state, attachType, target, program),
    holds: event === undefined ? [] : [event],
    isPreordered: isCgroup && (flags & PREORDER) !== 0,
    ...placing === undefined ? {} : { placing, mode: isCgroup ? modeOf(order.flags) : 0 }
  })
}

/** The types of link that can get another program, and that can be detached by force. */
const changeable: ReadonlySet<number> = new Set([
  l.BPF_LINK_TYPE_XDP,
  l.BPF_LINK_TYPE_TCX,
  l.BPF_LINK_TYPE_CGROUP
])

/** Whether a link may have another program; 0 or `-errno`. */
const checkUpdate = ({ hooks }: KernelState, { attachment, facts, hook }: SimulatedLink, program: SimulatedProgram) => {
  const old = attachment.program
  if (facts.type === l.BPF_LINK_TYPE_TCX && program !== old) {
    if (hooks.at(hook).some((other) => other.program === program)) return -errno.EEXIST
  }
  if (program.type !== old.type) return -errno.EINVAL
  return facts.type === l.BPF_LINK_TYPE_XDP && program.attachType !== old.attachType ? -errno.EINVAL : 0
}

/** BPF_LINK_UPDATE: another program in the same place. */
export const updateLink = (state: KernelState, attr: Attr): number => {
  const f = bpf_attr_link_update.fields
  const flags = attr.u32(f.flags)
  if (!attr.endsWith(f.old_prog_fd) || (flags & ~REPLACE) !== 0) return -errno.EINVAL
  const link = linkOf(state, attr.i32(f.link_fd))
  if (typeof link === "number") return link
  const program = programOf(state, attr.i32(f.new_prog_fd))
  if (typeof program === "number") return program
  const replaces = (flags & REPLACE) !== 0
  const expected = replaces ? programOf(state, attr.i32(f.old_prog_fd)) : undefined
  if (typeof expected === "number") return expected
  if (!replaces && attr.u32(f.old_prog_fd) !== 0) return -errno.EINVAL
  if (!changeable.has(link.facts.type)) return -errno.EINVAL
  if (!link.attached) return -errno.ENOLINK
  if (expected !== undefined && expected !== link.attachment.program) return -errno.EPERM
  const error = checkUpdate(state, link, program)
  if (error < 0) return error
  const old = link.attachment.program
  // A device takes the same program again as no change.
  if (old === program && link.facts.type !== l.BPF_LINK_TYPE_CGROUP) return 0
  state.objects.retain(program)
  state.hooks.replaceProgram(link.hook, link.attachment, program)
  state.objects.release(old)
  return 0
}

/** BPF_LINK_DETACH: the link stays, and does nothing from then on. */
export const detachLink = (state: KernelState, attr: Attr): number => {
  const { link_fd } = bpf_attr_link_detach.fields
  if (!attr.endsWith(link_fd)) return -errno.EINVAL
  const link = linkOf(state, attr.i32(link_fd))
  if (typeof link === "number") return link
  if (!changeable.has(link.facts.type)) return -errno.EOPNOTSUPP
  state.hooks.detach(link.hook, link.attachment)
  link.attached = false
  return 0
}

/** The longest name of a raw tracepoint is one less. */
const RAW_NAME = 128

/** BPF_RAW_TRACEPOINT_OPEN: raw tracepoints by name; fentry, fexit and LSM programs without one. */
export const openRawTracepoint = (state: KernelState, attr: Attr): number => {
  const f = bpf_attr_raw_tracepoint.fields
  if (!attr.endsWith(f.cookie)) return -errno.EINVAL
  const program = programOf(state, attr.i32(f.prog_fd))
  if (typeof program === "number") return program
  const cookie = attr.address(f.cookie)
  if (isTracing(program)) {
    if (attr.address(f.name) !== 0n) return -errno.EINVAL
    return openLink(state, { hook: tracingHook(state, program), program, cookie, facts: tracingFacts(program) })
  }
  const isRaw = program.type === programTypes.raw_tracepoint || program.type === programTypes.raw_tracepoint_writable
  if (!isRaw) return -errno.EINVAL
  // A longer name is cut, and then there is none of it.
  const name = readUserText(state.memory, attr.address(f.name), RAW_NAME) ?? ""
  if (!state.hasRawTracepoint(name)) return -errno.ENOENT
  return openLink(state, {
    hook: hookOf.rawTracepoint(name),
    program,
    cookie,
    facts: {
      type: l.BPF_LINK_TYPE_RAW_TRACEPOINT,
      fields: {},
      text: { field: "raw_tracepoint.tp_name", length: "raw_tracepoint.tp_name_len", value: name }
    }
  })
}
