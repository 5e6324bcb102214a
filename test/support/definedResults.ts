// Which results of a program are defined, so that two kernels must agree on them: those that depend on no address, no time
// and no memory that was never written.
import koffi from "koffi"
import { bpf_func_id } from "../../src/abi/generated/enums.ts"
import { mapTypes } from "../../src/abi/names.ts"
import { CALL, pseudo, WIDE_LOAD } from "../../src/isa/opcodes.ts"
import type { LoadCall, RawDoor } from "./rawDoor.ts"

const STACK = 512

/** The program after 64 instructions that set its stack to zero. */
export const withoutGarbage = (call: LoadCall): LoadCall => {
  const bytes = new Uint8Array(STACK + call.bytes.length)
  const view = new DataView(bytes.buffer)
  for (let at = 0; at < STACK; at += 8) {
    bytes.set([0x7a, 0x0a], at) // *(u64 *)(r10 - …) = 0
    view.setInt16(at + 2, at - STACK, true)
  }
  bytes.set(call.bytes, STACK)
  return { ...call, bytes }
}

/** Helpers whose results are the moment's, the machine's or what was in memory before. */
const undefinedHelpers: ReadonlySet<number> = new Set([
  bpf_func_id.BPF_FUNC_ktime_get_ns,
  bpf_func_id.BPF_FUNC_ktime_get_boot_ns,
  bpf_func_id.BPF_FUNC_ktime_get_coarse_ns,
  bpf_func_id.BPF_FUNC_ktime_get_tai_ns,
  bpf_func_id.BPF_FUNC_jiffies64,
  bpf_func_id.BPF_FUNC_get_prandom_u32,
  bpf_func_id.BPF_FUNC_get_smp_processor_id,
  bpf_func_id.BPF_FUNC_get_numa_node_id,
  bpf_func_id.BPF_FUNC_get_hash_recalc,
  bpf_func_id.BPF_FUNC_get_socket_cookie,
  bpf_func_id.BPF_FUNC_get_current_pid_tgid,
  bpf_func_id.BPF_FUNC_get_current_uid_gid,
  bpf_func_id.BPF_FUNC_get_current_comm,
  bpf_func_id.BPF_FUNC_get_current_task,
  bpf_func_id.BPF_FUNC_get_current_cgroup_id,
  bpf_func_id.BPF_FUNC_get_current_ancestor_cgroup_id,
  bpf_func_id.BPF_FUNC_trace_printk,
  bpf_func_id.BPF_FUNC_perf_event_output,
  bpf_func_id.BPF_FUNC_redirect_map,
  bpf_func_id.BPF_FUNC_fib_lookup,
  bpf_func_id.BPF_FUNC_ringbuf_reserve,
  bpf_func_id.BPF_FUNC_ringbuf_reserve_dynptr
])
/** A packet load at an index, which may be an address. */
const isIndexed = (opcode: number): boolean => (opcode & 0xe7) === 0x40

/** `capget` and `capset` on x86-64, and the version of their header. */
const [CAPGET, CAPSET, VERSION] = [125, 126, 0x20080522]
const [CAP_SYS_ADMIN, CAP_PERFMON] = [21, 38]

const capabilities = (() => {
  const syscall = koffi.load(null).func("long syscall(long, void *, void *)")
  const header = Uint32Array.of(VERSION, 0)
  return (number: number, sets: Uint32Array): boolean => Number(syscall(number, header, sets)) === 0
})()

/** Runs something without the right to read the kernel's memory, and so without addresses as results. */
const withoutPerfmon = <A>(f: () => A): A => {
  const before = new Uint32Array(6)
  if (!capabilities(CAPGET, before)) throw new Error("capget()")
  const less = before.slice()
  less[0] = less[0]! & ~(1 << CAP_SYS_ADMIN)
  less[3] = less[3]! & ~(1 << (CAP_PERFMON - 32))
  if (!capabilities(CAPSET, less)) throw new Error("capset()")
  try {
    return f()
  } finally {
    capabilities(CAPSET, before)
  }
}

/** Whether the results of a program are defined: Linux takes it from those who may see no address too. */
export const isDefined = (linux: RawDoor, call: LoadCall): boolean => {
  const view = new DataView(call.bytes.buffer, call.bytes.byteOffset)
  for (let at = 0; at < call.bytes.length; at += 8) {
    const opcode = call.bytes[at]!
    if (isIndexed(opcode)) return false
    if (opcode === CALL && call.bytes[at + 1]! >> 4 === 0 && undefinedHelpers.has(view.getInt32(at + 4, true))) {
      return false
    }
  }
  const fd = withoutPerfmon(() => linux.loadCall(call))
  if (fd >= 0) linux.kernel.files.close(fd)
  return fd >= 0
}

// ---------------------------------------------------------------- maps

/** Maps that are read and written by key here, and the largest of their values and numbers of entries. */
const byKey: ReadonlySet<number> = new Set([mapTypes.hash, mapTypes.array, mapTypes.lru_hash])
const MOST_BYTES = 2048
const MOST_ENTRIES = 300

const mapsOf = (door: RawDoor, bytes: Uint8Array) => {
  const view = new DataView(bytes.buffer, bytes.byteOffset)
  const out = []
  for (let at = 0; at < bytes.length; at += 8) {
    const source = bytes[at + 1]! >> 4
    if (bytes[at] !== WIDE_LOAD || (source !== pseudo.BPF_PSEUDO_MAP_FD && source !== pseudo.BPF_PSEUDO_MAP_VALUE)) {
      continue
    }
    const fd = view.getInt32(at + 4, true)
    const info = door.mapInfo(fd)
    if (info !== undefined && byKey.has(info.type) && info.valueSize <= MOST_BYTES && info.maxEntries <= MOST_ENTRIES) {
      out.push({ fd, ...info })
    }
  }
  return out
}

/** Sets the maps that a program names to the same contents on each kernel, as far as they may be written. */
export const resetMaps = (door: RawDoor, bytes: Uint8Array): void => {
  for (const { fd, keySize, maxEntries, type, valueSize } of mapsOf(door, bytes)) {
    if (type === mapTypes.array) {
      for (let i = 0; i < maxEntries; i++) {
        door.tryUpdate(fd, new Uint8Array(Uint32Array.of(i).buffer), new Uint8Array(valueSize))
      }
    } else {
      for (let left = MOST_ENTRIES; left > 0 && door.remove(fd, keySize); left--);
      door.tryUpdate(fd, new Uint8Array(keySize), new Uint8Array(valueSize).fill(7))
    }
  }
}

/** What the maps that a program names hold. */
export const mapsAfter = (door: RawDoor, bytes: Uint8Array) =>
  mapsOf(door, bytes).map(({ fd, keySize, valueSize }) => door.entries(fd, keySize, valueSize))
