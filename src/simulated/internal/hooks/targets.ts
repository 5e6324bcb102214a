// What the commands that attach are given: programs, links, cgroups, devices and maps of sockets, by descriptor or by id.
import * as Option from "effect/Option"
import { errno } from "../../../abi/errno.ts"
import { bpf_attach_type } from "../../../abi/generated/enums.ts"
import { programTypes } from "../../../abi/names.ts"
import * as Btf from "../../../btf/Btf.ts"
import type { SimulatedLink, SimulatedProgram } from "../descriptors.ts"
import type { SimulatedMap } from "../maps.ts"
import type { KernelState } from "../kernelState.ts"
import { BY_ID, deviceTypes, isCgroupKind, LINK } from "./attachable.ts"
import { hookOf } from "./registry.ts"

const t = bpf_attach_type

export const isTracing = ({ type }: SimulatedProgram): boolean =>
  type === programTypes.tracing || type === programTypes.lsm

/** The program of a descriptor, of a type where one is wanted, or `-errno` (`bpf_prog_get_type`). */
export const programOf = (state: KernelState, fd: number, type?: number): SimulatedProgram | number => {
  const object = state.descriptors.any(fd)
  if (object === undefined) return -errno.EBADF
  return object._tag === "Program" && (type === undefined || object.type === type) ? object : -errno.EINVAL
}

/** The link of a descriptor, or `-errno`. */
export const linkOf = (state: KernelState, fd: number): SimulatedLink | number => {
  const object = state.descriptors.any(fd)
  return object === undefined ? -errno.EBADF : object._tag === "Link" ? object : -errno.EINVAL
}

/** A program or a link beside which, or in the place of which, something is put. */
export interface Anchor {
  readonly program: SimulatedProgram
  readonly link: SimulatedLink | undefined
}

/** What `relative_fd` or `relative_id` names, as the flags say; `undefined` for nothing, or `-errno`. */
export const anchorOf = (state: KernelState, flags: number, relative: number): Anchor | undefined | number => {
  const byId = (flags & BY_ID) !== 0
  if ((flags & LINK) !== 0) {
    if (!byId && relative === 0) return -errno.EINVAL
    const link = byId ? state.objects.byId("Link", relative) ?? -errno.ENOENT : linkOf(state, relative | 0)
    if (typeof link === "number") return link
    return link._tag === "Link" ? { program: link.attachment.program, link } : -errno.EINVAL
  }
  if (!byId && relative === 0) return undefined
  const program = byId ? state.objects.byId("Program", relative) ?? -errno.ENOENT : programOf(state, relative | 0)
  if (typeof program === "number") return program
  return program._tag === "Program" ? { program, link: undefined } : -errno.EINVAL
}

/** A sockmap or sockhash, or `-errno`. */
export const socketMap = (state: KernelState, fd: number): SimulatedMap | number => {
  const map = state.descriptors.any(fd)
  if (map === undefined) return -errno.EBADF
  if (map._tag !== "Map") return -errno.EINVAL
  return map.attributes.type === "sockmap" || map.attributes.type === "sockhash" ? map : -errno.EOPNOTSUPP
}

/** `tp_btf` programs run at the raw tracepoint whose typedef they are made for. */
export const tracingHook = (state: KernelState, program: SimulatedProgram): string => {
  const { attachBtfId, attachType } = program
  if (attachType !== t.BPF_TRACE_RAW_TP) return hookOf.function(attachType, attachBtfId)
  const type = Option.getOrUndefined(Btf.type(state.kernelBtf(), attachBtfId))
  return hookOf.rawTracepoint(type?._tag === "Typedef" ? type.name.replace(/^btf_trace_/, "") : "")
}

const entryTypes: ReadonlySet<number> = new Set([t.BPF_XDP_DEVMAP, t.BPF_XDP_CPUMAP])

/** The hook of a target, or `-errno`. */
export const targetHook = (
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
