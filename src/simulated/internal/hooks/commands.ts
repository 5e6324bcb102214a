// The commands of bpf(2) that attach: links, raw tracepoints, and the older BPF_PROG_ATTACH.
import * as Option from "effect/Option"
import { errno } from "../../../abi/errno.ts"
import { bpf_attach_type, bpf_link_type, bpf_perf_event_type } from "../../../abi/generated/enums.ts"
import {
  bpf_attr_link_create,
  bpf_attr_link_detach,
  bpf_attr_link_update,
  bpf_attr_prog_attach,
  bpf_attr_raw_tracepoint
} from "../../../abi/generated/structs.ts"
import { programTypes } from "../../../abi/names.ts"
import * as Btf from "../../../btf/Btf.ts"
import type { Attr } from "../attr.ts"
import type { SimulatedMap } from "../maps.ts"
import { readUserText } from "../userMemory.ts"
import {
  ALLOW_MULTI,
  ALLOW_OVERRIDE,
  BASE_FLAGS,
  BY_ID,
  CGROUP_LINK_FLAGS,
  deviceTypes,
  isCgroupKind,
  isCgroupType,
  linkable,
  MANY_FLAGS,
  mayAttach,
  typeFor,
  XDP_FLAGS_SKB_MODE,
  XDP_MODES
} from "./attachable.ts"
import type { Attachment, LinkFacts, SimulatedLink, SimulatedProgram } from "../descriptors.ts"
import type { Lifetime } from "../objects.ts"
import type { KernelState } from "../kernelState.ts"
import { hookOf } from "./registry.ts"

const t = bpf_attach_type

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
  if (attachType === t.BPF_XDP) {
    // Programs for a devmap's or cpumap's entries run there alone.
    return state.hasDevice(target) && !entryTypes.has(program.attachType)
      ? hookOf.device(attachType, target)
      : -errno.EINVAL
  }
  // No device here is a netkit pair.
  if (attachType === t.BPF_NETKIT_PRIMARY || attachType === t.BPF_NETKIT_PEER) return -errno.EINVAL
  if (deviceTypes.has(attachType)) {
    return state.hasDevice(target) ? hookOf.device(attachType, target) : -errno.ENODEV
  }
  if (attachType === t.BPF_PERF_EVENT) {
    const event = state.descriptors.get(target, "PerfEvent")
    return event === undefined ? -errno.EBADF : hookOf.perfEvent(event)
  }
  if (isTracing(program)) return tracingHook(state, program)
  if (program.type === programTypes.sk_msg || program.type === programTypes.sk_skb) {
    const map = socketMap(state, target)
    return typeof map === "number" ? map : hookOf.socketMap(attachType, map.id)
  }
  if (!isCgroupKind(program.type, program.attachType)) {
    // Network namespaces: there is no descriptor of one here.
    return state.descriptors.any(target) === undefined ? -errno.EBADF : -errno.EINVAL
  }
  const cgroup = state.descriptors.get(target, "Cgroup")
  return cgroup === undefined ? -errno.EBADF : hookOf.cgroup(attachType, cgroup.id)
}

const entryTypes: ReadonlySet<number> = new Set([t.BPF_XDP_DEVMAP, t.BPF_XDP_CPUMAP])

/** What is against the flags of a tcx program, of which there is none to be named by its id; 0 or `-errno`. */
const checkOrder = (flags: number): number =>
  (flags & ~MANY_FLAGS) !== 0 || (flags & BPF_F_REPLACE) !== 0
    ? -errno.EINVAL
    : (flags & BY_ID) !== 0
    ? -errno.ENOENT
    : 0

/** A sockmap or sockhash, or `-errno`. */
const socketMap = (state: KernelState, fd: number): SimulatedMap | number => {
  const map = state.descriptors.any(fd)
  if (map === undefined) return -errno.EBADF
  if (map._tag !== "Map") return -errno.EINVAL
  return map.attributes.type === "sockmap" || map.attributes.type === "sockhash" ? map : -errno.EOPNOTSUPP
}

/** `tp_btf` programs run at the raw tracepoint whose typedef they are made for. */
const tracingHook = (state: KernelState, program: SimulatedProgram): string => {
  const { attachBtfId, attachType } = program
  if (attachType !== t.BPF_TRACE_RAW_TP) return hookOf.function(attachType, attachBtfId)
  const type = Option.getOrUndefined(Btf.type(state.kernelBtf(), attachBtfId))
  return hookOf.rawTracepoint(type?._tag === "Typedef" ? type.name.replace(/^btf_trace_/, "") : "")
}

/** The program of a descriptor, of a type where one is wanted, or `-errno` (`bpf_prog_get_type`). */
const programOf = (state: KernelState, fd: number, type?: number): SimulatedProgram | number => {
  const object = state.descriptors.any(fd)
  if (object === undefined) return -errno.EBADF
  return object._tag === "Program" && (type === undefined || object.type === type) ? object : -errno.EINVAL
}

/** The flags that a link takes where it is put; any others are refused. */
const isLinkFlags = (program: SimulatedProgram, attachType: number, flags: number): boolean => {
  if (isCgroupKind(program.type, program.attachType)) return (flags & ~CGROUP_LINK_FLAGS) === 0
  if (attachType === t.BPF_XDP) return (flags & ~XDP_MODES) === 0 && (flags & (flags - 1)) === 0
  if (deviceTypes.has(attachType) || program.type === programTypes.tracing) return true
  return flags === 0
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
  if (isDevice && attachType !== t.BPF_XDP && checkOrder(flags) < 0) return checkOrder(flags)
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
  if (isCgroupKind(program.type, program.attachType)) {
    const refused = joinCgroup(state, hook, flags | ALLOW_MULTI)
    if (refused < 0) return refused
  }
  const cookie = attachType === t.BPF_PERF_EVENT
    ? attr.address(f["perf_event.bpf_cookie"])
    : isTracing(program)
    ? attr.address(f["tracing.cookie"])
    : 0n
  const facts = factsOf(state, attachType, target, program)
  return openLink(state, hook, program, cookie, facts, event === undefined ? [] : [event])
}

/** Whether a program may join those of a cgroup with these flags, which it then shares with them; 0 or `-errno`. */
const joinCgroup = (state: KernelState, hook: string, flags: number): number => {
  const mode = flags & (ALLOW_OVERRIDE | ALLOW_MULTI)
  // Nothing here has a place before or behind another that is named by its id.
  if (mode === (ALLOW_OVERRIDE | ALLOW_MULTI) || (flags & BY_ID) !== 0) return -errno.EINVAL
  if (state.hooks.at(hook).length > 0 && state.hooks.modes.get(hook) !== mode) return -errno.EPERM
  state.hooks.modes.set(hook, mode)
  return 0
}

/** include/uapi/linux/bpf.h: only if the program is the one expected */
const BPF_F_REPLACE = 1 << 2

/** The types of link that can get another program, and that can be detached by force. */
const changeable: ReadonlySet<number> = new Set([
  l.BPF_LINK_TYPE_XDP,
  l.BPF_LINK_TYPE_TCX,
  l.BPF_LINK_TYPE_CGROUP
])

/** The link of a descriptor, or `-errno`. */
const linkOf = (state: KernelState, fd: number): SimulatedLink | number => {
  const object = state.descriptors.any(fd)
  return object === undefined ? -errno.EBADF : object._tag === "Link" ? object : -errno.EINVAL
}

/** BPF_LINK_UPDATE: another program in the same place. */
export const updateLink = (state: KernelState, attr: Attr): number => {
  const f = bpf_attr_link_update.fields
  const flags = attr.u32(f.flags)
  if (!attr.endsWith(f.old_prog_fd) || (flags & ~BPF_F_REPLACE) !== 0) return -errno.EINVAL
  const link = linkOf(state, attr.i32(f.link_fd))
  if (typeof link === "number") return link
  const program = programOf(state, attr.i32(f.new_prog_fd))
  if (typeof program === "number") return program
  const replaces = (flags & BPF_F_REPLACE) !== 0
  const expected = replaces ? programOf(state, attr.i32(f.old_prog_fd)) : undefined
  if (typeof expected === "number") return expected
  if (!replaces && attr.u32(f.old_prog_fd) !== 0) return -errno.EINVAL
  if (!changeable.has(link.facts.type)) return -errno.EINVAL
  if (!link.attached) return -errno.ENOLINK
  if (expected !== undefined && expected !== link.attachment.program) return -errno.EPERM
  if (program.type !== link.attachment.program.type) return -errno.EINVAL
  state.objects.retain(program)
  state.objects.release(link.attachment.program)
  link.attachment.program = program
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
    return openLink(state, tracingHook(state, program), program, cookie, tracingFacts(program))
  }
  const isRaw = program.type === programTypes.raw_tracepoint || program.type === programTypes.raw_tracepoint_writable
  if (!isRaw) return -errno.EINVAL
  // A longer name is cut, and then there is none of it.
  const name = readUserText(state.memory, attr.address(f.name), RAW_NAME) ?? ""
  if (!state.hasRawTracepoint(name)) return -errno.ENOENT
  return openLink(state, hookOf.rawTracepoint(name), program, cookie, {
    type: l.BPF_LINK_TYPE_RAW_TRACEPOINT,
    fields: {},
    text: { field: "raw_tracepoint.tp_name", length: "raw_tracepoint.tp_name_len", value: name }
  })
}

/** The flags that BPF_PROG_ATTACH takes for a type of program. */
const attachFlags = (type: number): number =>
  type === programTypes.sched_cls ? MANY_FLAGS : isCgroupType(type) ? BASE_FLAGS | MANY_FLAGS : BASE_FLAGS

/** BPF_PROG_ATTACH, to cgroups, tcx and maps of sockets: it lasts until it is detached or the target is gone. */
export const attachProgram = (state: KernelState, attr: Attr): number => {
  const f = bpf_attr_prog_attach.fields
  const attachType = attr.u32(f.attach_type)
  const type = typeFor(attachType)
  if (!attr.endsWith(f.expected_revision) || type === undefined) return -errno.EINVAL
  const flags = attr.u32(f.attach_flags)
  if ((flags & ~attachFlags(type)) !== 0) return -errno.EINVAL
  const program = programOf(state, attr.i32(f.attach_bpf_fd), type)
  if (typeof program === "number") return program
  if (!mayAttach(program, attachType)) return -errno.EINVAL
  const isCgroup = isCgroupKind(type, program.attachType)
  const isSockets = type === programTypes.sk_msg || type === programTypes.sk_skb
  const isDevice = type === programTypes.sched_cls
  if (!isCgroup && !isSockets && !isDevice) return -errno.EINVAL
  if (isSockets && (flags !== 0 || attr.u32(f.replace_bpf_fd) !== 0)) return -errno.EINVAL
  const hook = targetHook(state, attachType, attr.i32(f.target_fd), program)
  if (typeof hook === "number") return hook
  const there = state.hooks.at(hook)
  if (isCgroup) {
    const isMulti = (flags & ALLOW_MULTI) !== 0
    const replaced = isMulti && (flags & BPF_F_REPLACE) !== 0
      ? programOf(state, attr.i32(f.replace_bpf_fd), type)
      : undefined
    if (typeof replaced === "number") return replaced
    if ((flags & BPF_F_REPLACE) !== 0 && !isMulti) return -errno.EINVAL
    const refused = joinCgroup(state, hook, flags)
    if (refused < 0) return refused
    if (isMulti && there.some((other) => other.program === program)) return -errno.EINVAL
    const old = there.find((other) => other.program === replaced)
    if (replaced !== undefined && old === undefined) return -errno.ENOENT
    // Without BPF_F_ALLOW_MULTI a new program takes the place of the old.
    for (const other of isMulti ? old === undefined ? [] : [old] : there) detach(state, hook, other)
  } else if (isDevice) {
    if (checkOrder(flags) < 0) return checkOrder(flags)
    if (there.some((other) => other.program === program)) return -errno.EEXIST
  } else for (const other of there) detach(state, hook, other)
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
  const type = typeFor(attachType)
  if (!attr.endsWith(f.expected_revision) || type === undefined) return -errno.EINVAL
  const program = programOf(state, attr.i32(f.attach_bpf_fd), type)
  const target = attr.i32(f.target_fd)
  if (deviceTypes.has(attachType)) {
    if (attachType === t.BPF_XDP) return -errno.EINVAL
    if (attr.u32(f.attach_bpf_fd) !== 0 && typeof program === "number") return program
    if (!state.hasDevice(target)) return -errno.ENODEV
  } else if (type === programTypes.sk_msg || type === programTypes.sk_skb) {
    const map = socketMap(state, target)
    if (typeof map === "number" && map !== -errno.EOPNOTSUPP) return map
    if (typeof program === "number") return program
    if (typeof map === "number") return map
  } else if (!isCgroupType(type)) return -errno.EINVAL
  else if (state.descriptors.get(target, "Cgroup") === undefined) return -errno.EBADF
  else if (!isCgroupKind(type, attachType)) return -errno.EINVAL
  const cgroup = state.descriptors.get(target, "Cgroup")
  const map = state.descriptors.get(target, "Map")
  const hook = cgroup !== undefined && !deviceTypes.has(attachType)
    ? hookOf.cgroup(attachType, cgroup.id)
    : map !== undefined && !deviceTypes.has(attachType)
    ? hookOf.socketMap(attachType, map.id)
    : hookOf.device(attachType, target)
  const found = state.hooks.at(hook).find((other) => typeof program === "number" || other.program === program)
  if (found === undefined) return -errno.ENOENT
  detach(state, hook, found)
  return 0
}
