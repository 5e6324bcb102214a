// BPF_PROG_QUERY: which programs are attached, in what order, and in which state of the order.
import { errno } from "../../../abi/errno.ts"
import { bpf_attach_type } from "../../../abi/generated/enums.ts"
import { bpf_attr_query } from "../../../abi/generated/structs.ts"
import type { Attr } from "../attr.ts"
import type { Attachment } from "../descriptors.ts"
import type { KernelState } from "../kernelState.ts"
import { writeUser } from "../userMemory.ts"
import { isCgroupType, typeFor } from "./attachable.ts"
import { effective } from "./cgroupOrder.ts"
import { hookOf } from "./registry.ts"
import { socketMap } from "./targets.ts"

const f = bpf_attr_query.fields
const t = bpf_attach_type

/** BPF_F_QUERY_EFFECTIVE: those of the cgroups above, too. */
const EFFECTIVE = 1

const word = (value: number): Uint8Array => new Uint8Array(Uint32Array.of(value).buffer)

/** What is written for each program, where the caller has an array for it. */
type Column = readonly [field: keyof typeof f, of: (attachment: Attachment) => number]

const ids: Column = ["prog_ids", ({ program }) => program.id]

/** Writes as many as there is room for; -ENOSPC if some are left. */
const list = (state: KernelState, attr: Attr, there: ReadonlyArray<Attachment>, columns: ReadonlyArray<Column>) => {
  const room = attr.u32(f.count)
  if (room === 0 || attr.address(f.prog_ids) === 0n || there.length === 0) return 0
  for (const [index, attachment] of there.slice(0, room).entries()) {
    for (const [field, of] of columns) {
      const array = attr.address(f[field])
      if (array !== 0n) writeUser(state.memory, array + BigInt(index * 4), word(of(attachment)))
    }
  }
  return room < there.length ? -errno.ENOSPC : 0
}

/** `bpf_mprog_query` */
const queryDevice = (state: KernelState, attr: Attr): number => {
  const device = attr.u32(f.target_ifindex)
  if (!state.hasDevice(device)) return -errno.ENODEV
  const hook = hookOf.device(attr.u32(f.attach_type), device)
  const there = state.hooks.at(hook)
  if (attr.u32(f.query_flags) !== 0 || attr.u32(f.attach_flags) !== 0) return -errno.EINVAL
  const status = list(state, attr, there, columnsOfDevice)
  attr.answer(f.attach_flags, 0)
  attr.answer(f.revision, state.hooks.revision(hook))
  attr.answer(f.count, there.length)
  return status
}

const columnsOfDevice: ReadonlyArray<Column> = [
  ids,
  ["prog_attach_flags", () => 0],
  ["link_ids", ({ link }) => link?.id ?? 0],
  ["link_attach_flags", () => 0]
]

/** `__cgroup_bpf_query` */
const queryCgroup = (state: KernelState, attr: Attr): number => {
  const cgroup = state.descriptors.get(attr.i32(f.target_fd), "Cgroup")
  if (cgroup === undefined) return -errno.EBADF
  const attachType = attr.u32(f.attach_type)
  const isEffective = (attr.u32(f.query_flags) & EFFECTIVE) !== 0
  if (isEffective && attr.address(f.prog_attach_flags) !== 0n) return -errno.EINVAL
  const hook = hookOf.cgroup(attachType, cgroup.id)
  const there = isEffective ? effective(state, attachType, cgroup.id) : state.hooks.at(hook)
  const mode = isEffective ? 0 : state.hooks.mode(hook)
  const status = list(state, attr, there, [ids, ["prog_attach_flags", () => mode]])
  attr.answer(f.attach_flags, mode)
  attr.answer(f.prog_cnt, there.length)
  attr.answer(f.revision, isEffective ? 0 : state.hooks.revision(hook))
  return status
}

/** `sock_map_bpf_prog_query` */
const querySockets = (state: KernelState, attr: Attr): number => {
  if (attr.u32(f.query_flags) !== 0) return -errno.EINVAL
  const map = socketMap(state, attr.i32(f.target_fd))
  if (typeof map === "number" && map !== -errno.EOPNOTSUPP) return map
  const there = typeof map === "number" ? [] : state.hooks.at(hookOf.socketMap(attr.u32(f.attach_type), map.id))
  list(state, attr, there, [ids])
  attr.answer(f.attach_flags, 0)
  attr.answer(f.prog_cnt, there.length)
  return typeof map === "number" ? map : 0
}

const socketTypes: ReadonlySet<number> = new Set([
  t.BPF_SK_SKB_STREAM_PARSER,
  t.BPF_SK_SKB_STREAM_VERDICT,
  t.BPF_SK_MSG_VERDICT,
  t.BPF_SK_SKB_VERDICT
])

export const queryPrograms = (state: KernelState, attr: Attr): number => {
  const attachType = attr.u32(f.attach_type)
  if (!attr.endsWith(f.revision) || (attr.u32(f.query_flags) & ~EFFECTIVE) !== 0) return -errno.EINVAL
  if (attachType === t.BPF_TCX_INGRESS || attachType === t.BPF_TCX_EGRESS) return queryDevice(state, attr)
  if (socketTypes.has(attachType)) return querySockets(state, attr)
  const type = typeFor(attachType)
  if (attachType === t.BPF_FLOW_DISSECTOR || attachType === t.BPF_SK_LOOKUP) {
    if (attr.u32(f.query_flags) !== 0) return -errno.EINVAL
    return state.descriptors.any(attr.i32(f.target_fd)) === undefined ? -errno.EBADF : -errno.EINVAL
  }
  const isCgroup = attachType === t.BPF_LSM_CGROUP ||
    (type !== undefined && isCgroupType(type) && attachType !== t.BPF_LSM_MAC)
  return isCgroup ? queryCgroup(state, attr) : -errno.EINVAL
}
