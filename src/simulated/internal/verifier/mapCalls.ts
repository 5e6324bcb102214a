// Which helper takes which kind of map (check_map_func_compatibility in kernel/bpf/verifier.c).
import { bpf_func_id } from "../../../abi/generated/enums.ts"
import { type MapType, mapTypes, programTypes } from "../../../abi/names.ts"
import type { HelperName } from "../../../isa/Helper.ts"
import { helperNameOf } from "../../../isa/print.ts"

const idOf = (name: HelperName): number => bpf_func_id[`BPF_FUNC_${name}`]
const ids = (...names: ReadonlyArray<HelperName>): ReadonlySet<number> => new Set(names.map(idOf))

/** Kinds of map that only these helpers take. */
const helpersOf: { readonly [T in MapType]?: ReadonlySet<number> } = {
  prog_array: ids("tail_call"),
  perf_event_array: ids(
    "perf_event_read",
    "perf_event_output",
    "skb_output",
    "perf_event_read_value",
    "xdp_output"
  ),
  ringbuf: ids("ringbuf_output", "ringbuf_reserve", "ringbuf_query", "ringbuf_reserve_dynptr"),
  user_ringbuf: ids("user_ringbuf_drain"),
  stack_trace: ids("get_stackid"),
  cgroup_array: ids("skb_under_cgroup", "current_task_under_cgroup"),
  cgroup_storage: ids("get_local_storage"),
  percpu_cgroup_storage: ids("get_local_storage"),
  devmap: ids("redirect_map", "map_lookup_elem"),
  devmap_hash: ids("redirect_map", "map_lookup_elem"),
  cpumap: ids("redirect_map"),
  xskmap: ids("redirect_map", "map_lookup_elem"),
  array_of_maps: ids("map_lookup_elem"),
  hash_of_maps: ids("map_lookup_elem"),
  sockmap: ids(
    "sk_redirect_map",
    "sock_map_update",
    "msg_redirect_map",
    "sk_select_reuseport",
    "map_lookup_elem"
  ),
  sockhash: ids(
    "sk_redirect_hash",
    "sock_hash_update",
    "msg_redirect_hash",
    "sk_select_reuseport",
    "map_lookup_elem"
  ),
  reuseport_sockarray: ids("sk_select_reuseport"),
  queue: ids("map_peek_elem", "map_pop_elem", "map_push_elem"),
  stack: ids("map_peek_elem", "map_pop_elem", "map_push_elem"),
  sk_storage: ids("sk_storage_get", "sk_storage_delete", "kptr_xchg"),
  inode_storage: ids("inode_storage_get", "inode_storage_delete", "kptr_xchg"),
  task_storage: ids("task_storage_get", "task_storage_delete", "kptr_xchg"),
  cgrp_storage: ids("cgrp_storage_get", "cgrp_storage_delete", "kptr_xchg"),
  bloom_filter: ids("map_peek_elem", "map_push_elem")
}

/** Helpers that take only these kinds of map; all that the table above names, and those that have their own word. */
const mapsOf: ReadonlyMap<number, ReadonlySet<MapType>> = (() => {
  const sets = new Map<number, Set<MapType>>()
  for (const type of Object.keys(helpersOf) as Array<MapType>) {
    for (const id of helpersOf[type]!) sets.set(id, (sets.get(id) ?? new Set()).add(type))
  }
  sets.delete(idOf("map_lookup_elem"))
  sets.delete(idOf("kptr_xchg"))
  return sets.set(
    idOf("map_lookup_percpu_elem"),
    new Set<MapType>(["percpu_array", "percpu_hash", "lru_percpu_hash"])
  )
})()

/** Types of program that may change a map of sockets by its key (`may_update_sockmap`). */
const socketWriters: ReadonlySet<number> = new Set([
  programTypes.socket_filter,
  programTypes.sched_cls,
  programTypes.sched_act,
  programTypes.xdp,
  programTypes.sk_reuseport,
  programTypes.flow_dissector,
  programTypes.sk_lookup
])

const changesSockets = (programType: number, id: number): boolean =>
  id === idOf("map_delete_elem") || id === idOf("map_update_elem")
    ? socketWriters.has(programType) || (programType === programTypes.sock_ops && id === idOf("map_delete_elem"))
    : false

/** Why a map may not be passed to a helper, in the kernel's words; `undefined` where it may. */
export const whyNotPassable = (programType: number, id: number, type: MapType): string | undefined => {
  const takes = helpersOf[type]
  const isSockets = type === "sockmap" || type === "sockhash"
  const isTaken = takes === undefined || takes.has(id) || (isSockets && changesSockets(programType, id))
  const isWanted = mapsOf.get(id)?.has(type) !== false
  return isTaken && isWanted
    ? undefined
    : `cannot pass map_type ${mapTypes[type]} into func bpf_${helperNameOf(id)}#${id}`
}
