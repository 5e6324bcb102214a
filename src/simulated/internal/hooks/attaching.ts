// BPF_PROG_ATTACH and BPF_PROG_DETACH: programs of cgroups, devices and maps of sockets, without a link.
import { errno } from "../../../abi/errno.ts"
import { bpf_attr_prog_attach } from "../../../abi/generated/structs.ts"
import { programTypes } from "../../../abi/names.ts"
import type { Attr } from "../attr.ts"
import type { Attachment, SimulatedProgram } from "../descriptors.ts"
import type { KernelState } from "../kernelState.ts"
import {
  ALLOW_MULTI,
  BASE_FLAGS,
  deviceTypes,
  isCgroupKind,
  isCgroupType,
  MANY_FLAGS,
  mayAttach,
  PREORDER,
  REPLACE,
  typeFor
} from "./attachable.ts"
import { leavingCgroup, modeOf, placeInCgroup } from "./cgroupOrder.ts"
import { leavingDevice, type Order, placeOnDevice } from "./deviceOrder.ts"
import { hookOf, type Placing } from "./registry.ts"
import { programOf, socketMap, targetHook } from "./targets.ts"

const f = bpf_attr_prog_attach.fields

/** The kinds whose programs have an order on a device (`bpf_mprog_supported`). */
const isOrdered = (type: number): boolean => type === programTypes.sched_cls

const isForSockets = (type: number): boolean => type === programTypes.sk_msg || type === programTypes.sk_skb

/** The flags that BPF_PROG_ATTACH takes for a type of program. */
const attachFlags = (type: number): number =>
  isOrdered(type) ? MANY_FLAGS : isCgroupType(type) ? BASE_FLAGS | MANY_FLAGS : BASE_FLAGS

const orderOf = (attr: Attr): Order => ({
  flags: attr.u32(f.attach_flags),
  relative: attr.u32(f.relative_fd),
  revision: attr.number(f.expected_revision)
})

/** The program that another one is to replace, if it is asked to, or `-errno`. */
const oldOf = (state: KernelState, attr: Attr, type: number): SimulatedProgram | undefined | number =>
  (attr.u32(f.attach_flags) & REPLACE) === 0 ? undefined : programOf(state, attr.i32(f.replace_bpf_fd), type)

/** Where a program goes; `-errno` where it may not. A map of sockets has one for each attach type, the last. */
const place = (
  state: KernelState,
  attr: Attr,
  hook: string,
  program: SimulatedProgram
): Placing | undefined | number => {
  const order = orderOf(attr)
  const attachType = attr.u32(f.attach_type)
  if (isForSockets(program.type)) {
    const [there] = state.hooks.at(hook)
    return there === undefined ? undefined : { index: 0, replaced: there }
  }
  const isCgroup = !isOrdered(program.type)
  const old = isCgroup && (order.flags & ALLOW_MULTI) === 0 ? undefined : oldOf(state, attr, program.type)
  if (typeof old === "number") return old
  if (!isCgroup) return placeOnDevice(state, hook, program, order, old)
  const cgroup = state.descriptors.get(attr.i32(f.target_fd), "Cgroup")!.id
  return placeInCgroup(state, attachType, cgroup, { program, isLink: false, old }, order)
}

/** BPF_PROG_ATTACH, to cgroups, tcx and maps of sockets: it lasts until it is detached or the target is gone. */
export const attachProgram = (state: KernelState, attr: Attr): number => {
  const attachType = attr.u32(f.attach_type)
  const type = typeFor(attachType)
  if (!attr.endsWith(f.expected_revision) || type === undefined) return -errno.EINVAL
  const { flags, relative, revision } = orderOf(attr)
  if ((flags & ~attachFlags(type)) !== 0) return -errno.EINVAL
  if (!isOrdered(type) && !isCgroupType(type) && (relative !== 0 || revision !== 0)) return -errno.EINVAL
  const program = programOf(state, attr.i32(f.attach_bpf_fd), type)
  if (typeof program === "number") return program
  if (!mayAttach(program, attachType)) return -errno.EINVAL
  const isCgroup = isCgroupKind(type, program.attachType)
  if (!isCgroup && !isForSockets(type) && !isOrdered(type)) return -errno.EINVAL
  if (isForSockets(type) && (flags !== 0 || attr.u32(f.replace_bpf_fd) !== 0)) return -errno.EINVAL
  const hook = targetHook(state, attachType, attr.i32(f.target_fd), program)
  if (typeof hook === "number") return hook
  const placing = place(state, attr, hook, program)
  if (typeof placing === "number") return placing
  state.objects.retain(program)
  const attachment = { program, cookie: 0n, isPreordered: isCgroup && (flags & PREORDER) !== 0 }
  state.hooks.attach(hook, attachment, placing, isCgroup ? modeOf(flags) : 0)
  if (placing?.replaced !== undefined) state.objects.release(placing.replaced.program)
  return 0
}

/** Which attachment of a map of sockets goes, or `-errno`. */
const leavingSockets = (
  state: KernelState,
  attachType: number,
  target: number,
  program: SimulatedProgram | number
): readonly [hook: string, Attachment | undefined] | number => {
  const map = socketMap(state, target)
  if (typeof map === "number" && map !== -errno.EOPNOTSUPP) return map
  if (typeof program === "number") return program
  if (typeof map === "number") return map
  const hook = hookOf.socketMap(attachType, map.id)
  return [hook, state.hooks.at(hook).find((other) => other.program === program)]
}

/** BPF_PROG_DETACH */
export const detachProgram = (state: KernelState, attr: Attr): number => {
  const attachType = attr.u32(f.attach_type)
  const type = typeFor(attachType)
  if (!attr.endsWith(f.expected_revision) || type === undefined) return -errno.EINVAL
  const order = orderOf(attr)
  const target = attr.i32(f.target_fd)
  const program = programOf(state, attr.i32(f.attach_bpf_fd), type)
  if (isOrdered(type)) {
    if ((order.flags & ~MANY_FLAGS) !== 0) return -errno.EINVAL
    if (attr.u32(f.attach_bpf_fd) !== 0 && typeof program === "number") return program
    // No device here is a netkit pair.
    if (!deviceTypes.has(attachType)) return -errno.EINVAL
    if (!state.hasDevice(target)) return -errno.ENODEV
    const hook = hookOf.device(attachType, target)
    return leave(state, hook, leavingDevice(state, hook, typeof program === "number" ? undefined : program, order))
  }
  if (order.flags !== 0 || order.relative !== 0) return -errno.EINVAL
  if (isForSockets(type)) {
    if (order.revision !== 0) return -errno.EINVAL
    const found = leavingSockets(state, attachType, target, program)
    return typeof found === "number" ? found : leave(state, found[0], found[1] ?? -errno.ENOENT)
  }
  if (!isCgroupType(type)) return -errno.EINVAL
  const cgroup = state.descriptors.get(target, "Cgroup")
  if (cgroup === undefined) return -errno.EBADF
  if (!isCgroupKind(type, attachType)) return -errno.EINVAL
  const hook = hookOf.cgroup(attachType, cgroup.id)
  const named = typeof program === "number" ? undefined : program
  return leave(state, hook, leavingCgroup(state, hook, named, order.revision))
}

const leave = (state: KernelState, hook: string, attachment: Attachment | number): number => {
  if (typeof attachment === "number") return attachment
  state.hooks.detach(hook, attachment)
  state.objects.release(attachment.program)
  return 0
}
