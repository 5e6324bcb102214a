// Helpers for time, chance, and the task that an event happens in.
import { errno } from "../../../abi/errno.ts"
import { viewOf } from "../memory.ts"
import { type Environment, failed, type Helpers, s32, terminated, u32, u64 } from "./environment.ts"

/** What stat(2) says of /proc/self/ns/pid in the first namespace of a kernel. */
const NAMESPACES_DEVICE = 4n
const FIRST_PID_NAMESPACE = 0xeffffffcn

/** CONFIG_HZ=250 */
const NANOSECONDS_PER_JIFFY = 4_000_000n

export const timeHelpers = ({ now, random }: Environment): Helpers => ({
  BPF_FUNC_ktime_get_ns: () => u64(now()),
  BPF_FUNC_ktime_get_boot_ns: () => u64(now()),
  BPF_FUNC_ktime_get_coarse_ns: () => u64(now()),
  BPF_FUNC_ktime_get_tai_ns: () => u64(now()),
  BPF_FUNC_jiffies64: () => u64(now() / NANOSECONDS_PER_JIFFY),
  BPF_FUNC_get_prandom_u32: () => BigInt(Math.floor(random() * 2 ** 32))
})

export const taskHelpers = (environment: Environment): Helpers => {
  const { event, map, memory, records, task } = environment
  const cgroups = (): ReadonlyArray<bigint> => task().task.cgroups
  const signal = (number: bigint): bigint => {
    if (s32(number) < 0 || s32(number) > 64) return failed(errno.EINVAL)
    records.signals.push({ pid: task().task.pid, signal: s32(number) })
    return 0n
  }
  /** Whether a cgroup of an array is among those of what happens. */
  const underCgroup = (pointer: bigint, index: bigint): bigint => {
    const array = map(pointer)
    if (array === undefined || u32(index) >= array.attributes.maxEntries) return failed(errno.E2BIG)
    const key = new Uint8Array(4)
    viewOf(key).setUint32(0, u32(index), true)
    const cgroup = array.referent?.(key) as { readonly id?: unknown } | undefined
    if (cgroup === undefined) return failed(errno.EAGAIN)
    return typeof cgroup.id === "bigint" && cgroups().includes(cgroup.id) ? 1n : 0n
  }
  const ancestor = (level: bigint): bigint => s32(level) < 0 ? 0n : cgroups()[s32(level)] ?? 0n
  return {
    BPF_FUNC_get_smp_processor_id: () => BigInt(task().task.cpu),
    BPF_FUNC_get_numa_node_id: () => 0n,
    BPF_FUNC_get_current_pid_tgid: () => {
      const { pid, tid } = task().task
      return (BigInt(pid) << 32n) | BigInt(tid ?? pid)
    },
    BPF_FUNC_get_ns_current_pid_tgid: (device, inode, out, size) => {
      const isOwn = device === NAMESPACES_DEVICE && inode === FIRST_PID_NAMESPACE
      if (u32(size) !== 8 || !isOwn) {
        memory.write(out, new Uint8Array(u32(size)))
        return failed(errno.EINVAL)
      }
      const { pid, tid } = task().task
      const bytes = new Uint8Array(8)
      viewOf(bytes).setUint32(0, tid ?? pid, true)
      viewOf(bytes).setUint32(4, pid, true)
      memory.write(out, bytes)
      return 0n
    },
    BPF_FUNC_get_current_uid_gid: () => (BigInt(task().task.gid) << 32n) | BigInt(task().task.uid),
    BPF_FUNC_get_current_comm: (destination, length) => {
      const out = new Uint8Array(u32(length))
      out.set(terminated(new TextEncoder().encode(task().task.command), Math.min(16, out.length)))
      memory.write(destination, out)
      return 0n
    },
    BPF_FUNC_get_current_task: () => task().address,
    BPF_FUNC_get_current_task_btf: () => task().address,
    BPF_FUNC_get_current_cgroup_id: () => cgroups().at(-1) ?? 0n,
    BPF_FUNC_get_current_ancestor_cgroup_id: ancestor,
    BPF_FUNC_skb_cgroup_id: (_context) => cgroups().at(-1) ?? 0n,
    BPF_FUNC_skb_ancestor_cgroup_id: (_context, level) => ancestor(level),
    BPF_FUNC_sk_cgroup_id: (_socket) => cgroups().at(-1) ?? 0n,
    BPF_FUNC_sk_ancestor_cgroup_id: (_socket, level) => ancestor(level),
    BPF_FUNC_get_cgroup_classid: (_context) => 0n,
    BPF_FUNC_skb_cgroup_classid: (_context) => 0n,
    BPF_FUNC_current_task_under_cgroup: underCgroup,
    BPF_FUNC_skb_under_cgroup: (_context, pointer, index) => underCgroup(pointer, index),
    BPF_FUNC_get_route_realm: (_context) => 0n,
    BPF_FUNC_send_signal: signal,
    BPF_FUNC_send_signal_thread: signal,
    BPF_FUNC_get_socket_cookie: (_context) => event().socketCookie,
    BPF_FUNC_get_socket_uid: (_context) => BigInt(task().task.uid),
    BPF_FUNC_get_netns_cookie: (_context) => 1n
  }
}
