// Helpers on maps.
import { errno } from "../../../abi/errno.ts"
import { bpf_perf_event_output_flags } from "../../../abi/generated/enums.ts"
import type { PerfEvent } from "../descriptors.ts"
import type { SimulatedMap } from "../maps.ts"
import { addressOf, viewOf } from "../memory.ts"
import { type Environment, failed, type Helpers, u32, u64 } from "./environment.ts"

const STOP = 1n
const { BPF_F_CTXLEN_MASK, BPF_F_INDEX_MASK } = bpf_perf_event_output_flags

export const mapHelpers = (environment: Environment): Helpers => {
  const { map, memory, packets, possibleCpus, processor, records, task } = environment
  const cpu = () => task().task.cpu

  const elementsOf = (pointer: bigint) => {
    const found = map(pointer)
    if (found?.elements === undefined) throw new RangeError("the first argument is no map with elements")
    return { elements: found.elements, ...found.attributes }
  }
  const queueOf = (pointer: bigint) => {
    const found = map(pointer)
    if (found?.queue === undefined) throw new RangeError("the first argument is no queue, stack or Bloom filter")
    return { queue: found.queue, valueSize: found.attributes.valueSize }
  }
  const mapOf = (pointer: bigint): SimulatedMap => {
    const found = map(pointer)
    if (found === undefined) throw new RangeError("the argument is no map")
    return found
  }
  const find = (pointer: bigint, key: bigint, on: number): bigint => {
    const { elements, keySize } = elementsOf(pointer)
    return elements.find(memory.read(key, keySize), on) ?? 0n
  }
  const taken = (pointer: bigint, value: bigint, take: "peek" | "pop"): bigint => {
    const { queue, valueSize } = queueOf(pointer)
    const got = take === "pop" ? queue.pop() : queue.peek(memory.read(value, valueSize))
    if (typeof got === "number") {
      // A queue's value is nothing then; a filter's is what was asked for.
      if (map(pointer)!.attributes.type !== "bloom_filter") memory.write(value, new Uint8Array(valueSize))
      return u64(got)
    }
    memory.write(value, got)
    return 0n
  }

  /** bpf_for_each_map_elem: the callback gets the map, the key, the value and the caller's context. */
  const forEach = (pointer: bigint, callback: bigint, context: bigint): bigint => {
    const { elements, keySize } = elementsOf(pointer)
    const program = processor().current!
    const place = memory.map(new Uint8Array(keySize), { writable: false })
    try {
      let count = 0n
      let key = elements.next(undefined)
      while (key !== undefined) {
        const next = elements.next(key)
        const value = elements.find(key, cpu())
        if (value !== undefined) {
          place.bytes.set(key)
          count++
          if (processor().callback(program, callback, pointer, addressOf(place), value, context) === STOP) break
        }
        key = next
      }
      return count
    } finally {
      memory.unmap(place)
    }
  }

  /** The bytes that a program gives, and those of its packet after them if it asks for some; or `-errno`. */
  const sampleOf = (context: bigint, flags: bigint, data: bigint, size: bigint): Uint8Array | number => {
    const given = memory.read(data, u32(size))
    const length = Number((flags & BPF_F_CTXLEN_MASK) >> 32n)
    if (length === 0) return given
    const packet = packets.get(Number(context >> 32n))
    if (packet === undefined) return -errno.EINVAL
    return length > packet.whole.length
      ? -errno.EFAULT
      : new Uint8Array([...given, ...packet.whole.subarray(0, length)])
  }

  const perfOutput = (context: bigint, pointer: bigint, flags: bigint, data: bigint, size: bigint): bigint => {
    const target = mapOf(pointer)
    if (target.attributes.type !== "perf_event_array") throw new RangeError("the map is no perf_event_array")
    if ((flags & ~BPF_F_INDEX_MASK & ~BPF_F_CTXLEN_MASK) !== 0n) return failed(errno.EINVAL)
    const sample = sampleOf(context, flags, data, size)
    if (typeof sample === "number") return u64(sample)
    const index = u32(flags) === 0xffffffff ? cpu() : u32(flags)
    if (index >= target.attributes.maxEntries) return failed(errno.E2BIG)
    records.perfOutputs.push({ map: target.attributes.name, cpu: index, data: sample })
    const key = new Uint8Array(4)
    viewOf(key).setUint32(0, index, true)
    const event = target.referent?.(key) as PerfEvent | undefined
    if (event === undefined) return failed(errno.ENOENT)
    if (event.output === undefined) return failed(errno.EINVAL)
    return u64(event.output.cpu === cpu() ? event.output.output(sample, environment.now()) : -errno.EOPNOTSUPP)
  }

  return {
    BPF_FUNC_map_lookup_elem: (pointer, key) => find(pointer, key, cpu()),
    BPF_FUNC_map_update_elem: (pointer, key, value, flags) => {
      const { elements, keySize, valueSize } = elementsOf(pointer)
      const result = elements.update(memory.read(key, keySize), memory.read(value, valueSize), Number(flags), cpu())
      return u64(result)
    },
    BPF_FUNC_map_delete_elem: (pointer, key) => {
      const { elements, keySize } = elementsOf(pointer)
      return u64(elements.delete(memory.read(key, keySize)))
    },
    BPF_FUNC_map_lookup_percpu_elem: (pointer, key, on) => u32(on) < possibleCpus ? find(pointer, key, u32(on)) : 0n,
    BPF_FUNC_map_push_elem: (pointer, value, flags) => {
      const { queue, valueSize } = queueOf(pointer)
      return u64(queue.push(memory.read(value, valueSize), Number(flags)))
    },
    BPF_FUNC_map_pop_elem: (pointer, value) => taken(pointer, value, "pop"),
    BPF_FUNC_map_peek_elem: (pointer, value) => taken(pointer, value, "peek"),
    BPF_FUNC_for_each_map_elem: (pointer, callback, context, flags) =>
      flags === 0n ? forEach(pointer, callback, context) : failed(errno.EINVAL),
    BPF_FUNC_perf_event_output: perfOutput,
    BPF_FUNC_skb_output: perfOutput,
    BPF_FUNC_xdp_output: perfOutput,
    // Compiled programs make tail calls themselves; this only tells that there are some.
    BPF_FUNC_tail_call: () => failed(errno.EINVAL)
  }
}
