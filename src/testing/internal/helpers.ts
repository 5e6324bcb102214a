// The helper functions of the simulated kernel, by their numbers. Results are those of the kernel's own: addresses, or
// -errno as a 64-bit number.
import { errno } from "../../abi/errno.ts"
import { bpf_func_id } from "../../abi/generated/enums.ts"
import type { Helper } from "./interpreter.ts"
import type { SimulatedMap } from "./maps.ts"
import { AccessFault, type AddressSpace } from "./memory.ts"
import type { Task } from "./tasks.ts"

/** What helpers see of the world. The task is that of the event being handled. */
export interface Environment {
  readonly memory: AddressSpace
  readonly task: () => { readonly task: Task; readonly address: bigint }
  readonly map: (pointer: bigint) => SimulatedMap | undefined
  /** Nanoseconds of a clock that does not jump. */
  readonly now: () => bigint
  /** A random number from 0 to 1. */
  readonly random: () => number
}

const u64 = (value: bigint | number): bigint => BigInt.asUintN(64, BigInt(value))
const failed = (number: number): bigint => u64(-number)

/** What comes before any other work on a string is its end: a NUL within the size, or the size. */
const copyString = (source: Uint8Array, size: number): Uint8Array => {
  const end = source.indexOf(0)
  const length = Math.min(end < 0 ? source.length : end, size - 1)
  const out = new Uint8Array(length + 1)
  out.set(source.subarray(0, length))
  return out
}

export const makeHelpers = ({ map, memory, now, random, task }: Environment): ReadonlyMap<number, Helper> => {
  const size = (value: bigint): number => Number(value & 0xffffffffn)

  const elementsOf = (pointer: bigint) => {
    const found = map(pointer)
    if (found?.elements === undefined) throw new RangeError("the first argument is no map with elements")
    return { elements: found.elements, ...found.attributes }
  }

  const ringOf = (pointer: bigint) => {
    const ring = map(pointer)?.ring
    if (ring === undefined) throw new RangeError("the first argument is no ring buffer")
    return ring
  }

  /** Reads memory that need not be there: EFAULT, and zeros in its place. */
  const probe = (destination: bigint, length: number, source: bigint, user: boolean): bigint => {
    const target = memory.find(destination, length) // the program's own memory must be there
    try {
      const { offset, region } = memory.find(source, length)
      if (region.user !== user) throw new AccessFault(source, "memory of the other kind")
      target.region.bytes.set(region.bytes.subarray(offset, offset + length), target.offset)
      return 0n
    } catch (error) {
      if (!(error instanceof AccessFault)) throw error
      target.region.bytes.fill(0, target.offset, target.offset + length)
      return failed(errno.EFAULT)
    }
  }

  const probeString = (destination: bigint, length: number, source: bigint, user: boolean): bigint => {
    const target = memory.find(destination, length)
    if (length === 0) return 0n
    try {
      const { offset, region } = memory.find(source, 1)
      if (region.user !== user) throw new AccessFault(source, "memory of the other kind")
      const text = copyString(region.bytes.subarray(offset), length)
      target.region.bytes.set(text, target.offset)
      return BigInt(text.length)
    } catch (error) {
      if (!(error instanceof AccessFault)) throw error
      target.region.bytes.fill(0, target.offset, target.offset + length)
      return failed(errno.EFAULT)
    }
  }

  const commit = (discard: boolean): Helper => (record, flags) => {
    for (const ring of rings) if (ring.commit(record, Number(flags), discard)) return 0n
    throw new RangeError("the first argument is no reserved record")
  }
  /** Rings that records were reserved in: a record's address does not tell its ring. */
  const rings = new Set<ReturnType<typeof ringOf>>()

  const table: { readonly [K in keyof typeof bpf_func_id]?: Helper } = {
    BPF_FUNC_map_lookup_elem: (pointer, key) => {
      const { elements, keySize } = elementsOf(pointer)
      return elements.find(memory.read(key, keySize)) ?? 0n
    },
    BPF_FUNC_map_update_elem: (pointer, key, value, flags) => {
      const { elements, keySize, valueSize } = elementsOf(pointer)
      return u64(elements.update(memory.read(key, keySize), memory.read(value, valueSize), Number(flags)))
    },
    BPF_FUNC_map_delete_elem: (pointer, key) => {
      const { elements, keySize } = elementsOf(pointer)
      return u64(elements.delete(memory.read(key, keySize)))
    },
    BPF_FUNC_ktime_get_ns: () => u64(now()),
    BPF_FUNC_ktime_get_boot_ns: () => u64(now()),
    BPF_FUNC_get_prandom_u32: () => BigInt(Math.floor(random() * 2 ** 32)),
    BPF_FUNC_get_smp_processor_id: () => BigInt(task().task.cpu),
    BPF_FUNC_get_current_pid_tgid: () => {
      const { pid, tid } = task().task
      return (BigInt(pid) << 32n) | BigInt(tid ?? pid)
    },
    BPF_FUNC_get_current_uid_gid: () => (BigInt(task().task.gid) << 32n) | BigInt(task().task.uid),
    BPF_FUNC_get_current_comm: (destination, length) => {
      const text = copyString(new TextEncoder().encode(task().task.command), Math.min(16, size(length)))
      const out = new Uint8Array(size(length))
      out.set(text)
      memory.write(destination, out)
      return 0n
    },
    BPF_FUNC_get_current_task: () => task().address,
    BPF_FUNC_probe_read: (destination, length, source) => probe(destination, size(length), source, false),
    BPF_FUNC_probe_read_kernel: (destination, length, source) => probe(destination, size(length), source, false),
    BPF_FUNC_probe_read_user: (destination, length, source) => probe(destination, size(length), source, true),
    BPF_FUNC_probe_read_kernel_str: (destination, length, source) =>
      probeString(destination, size(length), source, false),
    BPF_FUNC_probe_read_user_str: (destination, length, source) => probeString(destination, size(length), source, true),
    BPF_FUNC_ringbuf_output: (pointer, source, length, flags) =>
      ringOf(pointer).output(memory.read(source, size(length)), Number(flags)) ? 0n : failed(errno.EAGAIN),
    BPF_FUNC_ringbuf_reserve: (pointer, length) => {
      const ring = ringOf(pointer)
      rings.add(ring)
      return ring.reserve(size(length))
    },
    BPF_FUNC_ringbuf_submit: commit(false),
    BPF_FUNC_ringbuf_discard: commit(true),
    BPF_FUNC_ringbuf_query: (pointer, what) => ringOf(pointer).query(Number(what))
  }
  return new Map(
    (Object.keys(table) as Array<keyof typeof table>).map((name) => [bpf_func_id[name], table[name]!])
  )
}
