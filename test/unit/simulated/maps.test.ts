import * as Result from "effect/Result"
import { describe, it } from "@effect/vitest"
import { expect } from "vitest"
import { errno } from "../../../src/abi/errno.ts"
import { bpf_cmd, bpf_map_type } from "../../../src/abi/generated/enums.ts"
import {
  bpf_attr_btf_load,
  bpf_attr_info,
  bpf_attr_map_create,
  bpf_map_info
} from "../../../src/abi/generated/structs.ts"
import { type MapType, mapTypes } from "../../../src/abi/names.ts"
import { Btf } from "../../../src/index.ts"
import { families } from "../../../src/simulated/internal/maps/families.ts"
import { viewOf } from "../../../src/simulated/internal/memory.ts"
import type { MapDoor, Shape } from "../../support/mapDoor.ts"
import { host, partsOf, withDoor } from "../../support/simulatedMaps.ts"

const { BPF_MAP_LOOKUP_ELEM, BPF_MAP_LOOKUP_BATCH } = bpf_cmd

const u32 = (value: number): Uint8Array => {
  const bytes = new Uint8Array(4)
  viewOf(bytes).setUint32(0, value, true)
  return bytes
}

const create = (door: MapDoor, shape: Partial<Shape> & Pick<Shape, "type">, inner?: number): number =>
  door.keep(door.create({ keySize: 4, valueSize: 4, maxEntries: 4, flags: 0, ...shape }, { btf: -1, inner }))

const value = (door: MapDoor, fd: number, key: Uint8Array | undefined, size = 4): string | number => {
  const answer = door.lookup(BPF_MAP_LOOKUP_ELEM, fd, key, new Uint8Array(size), 0)
  return answer.result < 0 ? answer.result : String(answer["value"])
}

/** All keys, by one step after the other. */
const keys = (door: MapDoor, fd: number, keySize = 4): ReadonlyArray<string> => {
  const found: Array<string> = []
  for (let key: Uint8Array | undefined;;) {
    const { next, result } = door.next(fd, key, keySize)
    if (result < 0) return found
    found.push(next)
    key = Buffer.from(next, "hex")
  }
}

describe("hash maps of the simulated kernel", () => {
  it("a map that forgets is never full, and forgets first what was longest not used by a program", () => {
    const kernel = host()
    const { elements } = partsOf(kernel, "lru_hash")
    for (const key of [1, 2, 3, 4]) expect(elements!.update(u32(key), u32(key), 0)).toBe(0)
    elements!.find(u32(1))
    for (const key of [5, 6]) expect(elements!.update(u32(key), u32(key), 0)).toBe(0)
    const there = [1, 2, 3, 4, 5, 6].filter((key) => elements!.find(u32(key)) !== undefined)
    expect(there).toEqual([1, 4, 5, 6])
  })

  it.effect("a look-up by a system call is no use", () =>
    withDoor((door) => {
      const fd = create(door, { type: "lru_hash", maxEntries: 2 })
      door.update(fd, u32(1), u32(1), 0)
      door.update(fd, u32(2), u32(2), 0)
      value(door, fd, u32(1))
      expect(door.update(fd, u32(3), u32(3), 0).result).toBe(0)
      expect(value(door, fd, u32(1))).toBe(-errno.ENOENT)
    }))

  it("a program sees and changes the value of its CPU, and a process those of all", () => {
    const kernel = host()
    const { calls, elements } = partsOf(kernel, "percpu_hash", { valueSize: 4 })
    expect(elements!.update(u32(7), u32(0x11), 0, 1)).toBe(0)
    expect(calls.lookup(u32(7), () => new Uint8Array(0))).toEqual(
      Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0x11, 0, 0, 0, 0, 0, 0, 0)
    )
    expect(elements!.update(u32(7), u32(0x22), 0, 0)).toBe(0)
    expect(kernel.memory.read(elements!.find(u32(7), 0)!, 4)).toEqual(u32(0x22))
    expect(kernel.memory.read(elements!.find(u32(7), 1)!, 4)).toEqual(u32(0x11))
  })

  it("a value keeps its address as long as it is not updated, however many come and go", () => {
    const kernel = host()
    const { elements } = partsOf(kernel, "hash", { maxEntries: 100_000, valueSize: 100 })
    elements!.update(u32(0), new Uint8Array(100).fill(7), 0)
    const address = elements!.find(u32(0))!
    for (let key = 1; key < 5000; key++) elements!.update(u32(key), new Uint8Array(100), 0)
    for (let key = 1; key < 4000; key++) elements!.delete(u32(key))
    expect(elements!.find(u32(0))).toBe(address)
    expect(kernel.memory.read(address, 100)).toEqual(new Uint8Array(100).fill(7))
  })

  it.effect("a walk meets every key once, and an unknown key starts it over", () =>
    withDoor((door) => {
      const fd = create(door, { type: "hash", maxEntries: 3000 })
      for (let key = 0; key < 3000; key++) door.update(fd, u32(key), u32(key), 0)
      const all = keys(door, fd)
      expect(new Set(all).size).toBe(3000)
      expect(all.length).toBe(3000)
      expect(door.next(fd, u32(5000), 4).next).toBe(all[0])
    }))

  it.effect("batches go by whole buckets: what does not fit is ENOSPC, and a cursor goes on where the last one ended", () =>
    withDoor((door) => {
      const fd = create(door, { type: "hash", maxEntries: 256 })
      for (let key = 0; key < 200; key++) door.update(fd, u32(key), u32(key), 0)
      const batch = { keys: [], values: [], keySize: 4, valueBytes: 4, elementFlags: 0, flags: 0 }
      const found: Array<string> = []
      let from: Uint8Array | undefined
      for (let calls = 0; calls < 200; calls++) {
        const { cursor, entries, result } = door.batch(BPF_MAP_LOOKUP_BATCH, fd, { ...batch, count: 16, from })
        found.push(...entries)
        from = Buffer.from(cursor, "hex")
        if (result < 0) {
          expect(result).toBe(-errno.ENOENT)
          break
        }
      }
      expect(new Set(found).size).toBe(200)
      expect(found.length).toBe(200)
      const crowded = create(door, { type: "hash", maxEntries: 1, keySize: 1 })
      door.update(crowded, Uint8Array.of(1), u32(1), 0)
      const none = door.batch(BPF_MAP_LOOKUP_BATCH, crowded, { ...batch, keySize: 1, count: 1, from: undefined })
      expect(none).toMatchObject({ result: -errno.ENOENT, done: 1 })
    }))

  it.effect("a bucket that is larger than a batch is ENOSPC", () =>
    withDoor((door) => {
      const fd = create(door, { type: "hash", maxEntries: 2 })
      // Of so few buckets, one holds two of these.
      for (let key = 0; key < 64; key++) {
        door.update(fd, u32(key), u32(key), 0)
        if (keys(door, fd).length < 2) continue
        const batch = { keys: [], values: [], keySize: 4, valueBytes: 4, elementFlags: 0, flags: 0, from: undefined }
        const { done, result } = door.batch(BPF_MAP_LOOKUP_BATCH, fd, { ...batch, count: 1 })
        if (result === -errno.ENOSPC) return expect(done).toBe(0)
        door.delete(fd, Buffer.from(keys(door, fd)[0]!, "hex"))
      }
      throw new Error("no two keys met in a bucket")
    }))
})

describe("other families of the simulated kernel", () => {
  it.effect("a prefix is found by what lies in it, the longest first, and met after what lies in it", () =>
    withDoor((door) => {
      const fd = create(door, { type: "lpm_trie", keySize: 8, flags: 1, maxEntries: 8 })
      const prefix = (length: number, ...bytes: ReadonlyArray<number>) => Uint8Array.of(length, 0, 0, 0, ...bytes)
      const put = (key: Uint8Array, number: number) => expect(door.update(fd, key, u32(number), 0).result).toBe(0)
      put(prefix(8, 10, 0, 0, 0), 1)
      put(prefix(16, 10, 1, 0, 0), 2)
      put(prefix(0, 0, 0, 0, 0), 3)
      put(prefix(32, 192, 168, 0, 1), 4)
      expect(value(door, fd, prefix(32, 10, 1, 2, 3))).toBe("02000000")
      expect(value(door, fd, prefix(32, 10, 2, 2, 3))).toBe("01000000")
      expect(value(door, fd, prefix(32, 8, 8, 8, 8))).toBe("03000000")
      expect(value(door, fd, prefix(4, 10, 0, 0, 0))).toBe("03000000")
      expect(keys(door, fd, 8)).toEqual([
        "100000000a010000",
        "080000000a000000",
        "20000000c0a80001",
        "0000000000000000"
      ])
      expect(door.delete(fd, prefix(33, 10, 0, 0, 0)).result).toBe(-errno.EINVAL)
    }))

  it.effect("a Bloom filter knows what was pushed, and takes little else for it", () =>
    withDoor((door) => {
      const fd = create(door, { type: "bloom_filter", keySize: 0, maxEntries: 1000 })
      const isThere = (number: number) => door.lookup(BPF_MAP_LOOKUP_ELEM, fd, undefined, u32(number), 0).result
      for (let i = 0; i < 500; i++) door.update(fd, undefined, u32(i), 0)
      for (let i = 0; i < 500; i++) expect(isThere(i)).toBe(0)
      const mistaken = Array.from({ length: 1000 }, (_, i) => isThere(10_000 + i)).filter((result) => result === 0)
      expect(mistaken.length).toBeLessThan(100)
    }))

  it("stacks are kept by an id, once each, and a process reads and takes them", () => {
    const kernel = host()
    const { calls, elements, stacks } = partsOf(kernel, "stack_trace", { valueSize: 24, maxEntries: 1024 })
    const id = stacks!.store([1n, 2n, 3n, 4n], 0)
    expect(id).toBeGreaterThanOrEqual(0)
    expect(stacks!.store([1n, 2n, 3n], 0)).toBe(id)
    const shown = calls.lookup(u32(id), () => new Uint8Array(0)) as Uint8Array
    expect([0, 8, 16].map((at) => viewOf(shown).getBigUint64(at, true))).toEqual([1n, 2n, 3n])
    expect(elements!.next(undefined)).toEqual(u32(id))
    expect(elements!.next(u32(id))).toBeUndefined()
    const one = partsOf(host(), "stack_trace", { valueSize: 8, maxEntries: 1 })
    expect(one.stacks!.store([1n], 0)).toBe(0)
    expect(one.stacks!.store([2n], 0)).toBe(-errno.EEXIST)
    expect(one.stacks!.store([2n], 1024)).toBe(0)
    expect(calls.lookupAndDelete!(u32(id))).toEqual(shown)
    expect(calls.lookupAndDelete!(u32(id))).toBe(-errno.ENOENT)
  })

  it("a value of a process is the same by its id and by its descriptor", () => {
    const kernel = host(new Map([[9, { _tag: "Process", pid: 42 }], [10, { _tag: "Process", pid: 42 }]]))
    const { calls, storage } = partsOf(kernel, "task_storage", { maxEntries: 0, flags: 1 })
    expect(storage!.find(42)).toBeUndefined()
    expect(storage!.update(42, u32(5), 1)).toBe(0)
    expect(calls.lookup(u32(9), () => new Uint8Array(0))).toEqual(u32(5))
    expect(calls.update(u32(10), u32(6), 0, {})).toBe(0)
    expect(kernel.memory.read(storage!.find(42)!, 4)).toEqual(u32(6))
    expect(calls.lookup(u32(11), () => new Uint8Array(0))).toBe(-errno.EBADF)
    expect(calls.delete(u32(9))).toBe(0)
    expect(storage!.find(42)).toBeUndefined()
  })

  it("the value of a cgroup comes with the first attachment and goes with the last", () => {
    const kernel = host()
    const { calls, cgroupStorage } = partsOf(kernel, "cgroup_storage", { keySize: 16, maxEntries: 0 })
    expect(calls.next(undefined)).toBe(-errno.ENOENT)
    cgroupStorage!.attach(77n, 1)
    cgroupStorage!.attach(77n, 1)
    const key = calls.next(undefined) as Uint8Array
    expect(viewOf(key).getBigUint64(0, true)).toBe(77n)
    expect(calls.update(key, u32(3), 1, {})).toBe(-errno.EINVAL)
    expect(calls.update(key, u32(3), 0, {})).toBe(0)
    expect(kernel.memory.read(cgroupStorage!.find(77n, 1)!, 4)).toEqual(u32(3))
    cgroupStorage!.detach(77n, 1)
    expect(cgroupStorage!.find(77n, 1)).toBeDefined()
    cgroupStorage!.detach(77n, 1)
    expect(calls.lookup(key, () => new Uint8Array(0))).toBe(-errno.ENOENT)
  })

  it("a socket goes into a sockmap by its descriptor, and shows as its cookie", () => {
    const kernel = host(
      new Map([
        [5, { _tag: "Socket", kind: "tcp", cookie: 0x1234n } as never],
        [6, { _tag: "Socket", kind: "xdp", cookie: 1n } as never],
        [7, { _tag: "Map" }]
      ])
    )
    const { calls, referent } = partsOf(kernel, "sockmap", { valueSize: 8 })
    const fd = (number: number) => Uint8Array.of(number, 0, 0, 0, 0, 0, 0, 0)
    expect(calls.update(u32(1), fd(5), 2, {})).toBe(-errno.ENOENT)
    expect(calls.update(u32(1), fd(5), 0, {})).toBe(0)
    expect(calls.update(u32(1), fd(6), 0, {})).toBe(-errno.EOPNOTSUPP)
    expect(calls.update(u32(1), fd(7), 0, {})).toBe(-errno.ENOTSOCK)
    expect(calls.lookup(u32(1), () => new Uint8Array(0))).toEqual(Uint8Array.of(0x34, 0x12, 0, 0, 0, 0, 0, 0))
    expect(referent!(u32(1))).toMatchObject({ cookie: 0x1234n })
    expect(partsOf(kernel, "xskmap").calls.update(u32(0), u32(6), 0, {})).toBe(0)
  })

  it.effect("pages of an arena are allocated, given back zeroed, and shared with the process that maps them first", () =>
    withDoor((door) => {
      const { arena } = partsOf(host(), "arena", { keySize: 0, valueSize: 0, flags: 1024, maxEntries: 3 })
      expect([arena!.allocate(1), arena!.allocate(2), arena!.allocate(1)]).toEqual([0, 4096, undefined])
      arena!.region.bytes[4096] = 9
      arena!.release(4096, 1)
      expect(arena!.region.bytes[4096]).toBe(0)
      expect(arena!.allocate(1, 2)).toBeUndefined()
      expect(arena!.allocate(1, 1)).toBe(4096)
      const fd = create(door, { type: "arena", keySize: 0, valueSize: 0, flags: 1024, maxEntries: 3 })
      const mapping = door.kernel.files.mmap(fd, 3 * 4096, 3, 0)
      if (typeof mapping === "number") throw new Error(`mmap: ${mapping}`)
      expect(mapping.buffer.byteLength).toBe(3 * 4096)
      expect(door.kernel.files.mmap(fd, 3 * 4096, 3, 0)).toBe(-errno.EINVAL)
      door.kernel.files.munmap(mapping)
    }))

  it.effect("a program drains what a process produces, over discarded and wrapped records, and no further than finished ones", () =>
    withDoor((door) => {
      const { mapping, userRing } = partsOf(host(), "user_ringbuf", { keySize: 0, valueSize: 0, maxEntries: 4096 })
      const data = mapping!({ offset: 4096, length: 3 * 4096, writes: true }) as ArrayBuffer
      const bytes = new Uint8Array(data, 4096)
      const producer = new BigInt64Array(data, 0, 1)
      let position = 0
      const produce = (length: number, fill: number, flags = 0) => {
        const at = position % 4096
        viewOf(bytes).setUint32(at, (length | flags) >>> 0, true)
        bytes.fill(fill, at + 8, at + 8 + length)
        position += Math.ceil((length + 8) / 8) * 8
        producer[0] = BigInt(position)
      }
      const drain = () => {
        const seen: Array<readonly [length: number, first: number | undefined]> = []
        const result = userRing!.drain((sample) => seen.push([sample.length, sample[0]]) < 100, 0)
        return { result, seen }
      }
      expect(drain()).toEqual({ result: 0, seen: [] })
      produce(4000, 1)
      produce(20, 2, 0x40000000)
      expect(drain()).toEqual({ result: 1, seen: [[4000, 1]] })
      produce(200, 3) // over the end of the pages
      expect(drain()).toEqual({ result: 1, seen: [[200, 3]] })
      produce(8, 4, 0x80000000)
      expect(drain().result).toBe(-errno.EBUSY)
      producer[0] = 7n
      expect(drain().result).toBe(-errno.EINVAL)
      expect(mapping!({ offset: 0, length: 4096, writes: true })).toBe(-errno.EPERM)
      expect(create(door, { type: "user_ringbuf", keySize: 0, valueSize: 0, maxEntries: 4096 })).toBeGreaterThan(2)
    }))

  it.effect("every kind of map that Linux 6.18 has, this one has", () => {
    const { BPF_MAP_TYPE_UNSPEC, __MAX_BPF_MAP_TYPE, ...numbers } = bpf_map_type
    const had = new Set((Object.keys(families) as Array<MapType>).map((name) => mapTypes[name]))
    expect([...new Set<number>(Object.values(numbers))].filter((number) => !had.has(number))).toEqual([])
    expect([BPF_MAP_TYPE_UNSPEC, __MAX_BPF_MAP_TYPE].filter((number) => had.has(number))).toEqual([])
    return withDoor((door) => {
      const result = (map_type: number) => door.call(bpf_cmd.BPF_MAP_CREATE, bpf_attr_map_create, { map_type })
      expect(result(__MAX_BPF_MAP_TYPE)).toBe(-errno.EINVAL)
    })
  })
})

describe("values that BTF describes", () => {
  const int = (name: string) =>
    ({ _tag: "Int", name, size: 4, bits: 32, offset: 0, signed: false, char: false, bool: false }) as const
  const member = (name: string, type: number, bitOffset: number) => ({ name, type, bitOffset, bitfieldSize: 0 })
  const types = Result.getOrThrow(Btf.encode([
    int("unsigned int"),
    { _tag: "Struct", name: "bpf_spin_lock", size: 4, members: [member("val", 1, 0)] },
    { _tag: "Struct", name: "value", size: 8, members: [member("lock", 2, 0), member("count", 1, 32)] }
  ]))

  const described = (door: MapDoor, btf: number, flags = 0) =>
    door.call(bpf_cmd.BPF_MAP_CREATE, bpf_attr_map_create, {
      map_type: mapTypes.hash,
      key_size: 4,
      value_size: 8,
      max_entries: 4,
      map_flags: flags,
      btf_fd: btf,
      btf_key_type_id: 1,
      btf_value_type_id: 3
    })

  const loadBtf = (door: MapDoor): number => {
    const block = door.kernel.allocate(4096)
    if (typeof block === "number") throw new Error("no memory")
    block.bytes.set(types)
    const fd = door.call(bpf_cmd.BPF_BTF_LOAD, bpf_attr_btf_load, { btf: block, btf_size: types.length })
    door.kernel.free(block)
    return door.keep(fd)
  }

  it.effect("a spin lock is neither read nor written, and BPF_F_LOCK is for values with one", () =>
    withDoor((door) => {
      const fd = door.keep(described(door, loadBtf(door)))
      expect(door.update(fd, u32(1), new Uint8Array(8).fill(0xff), 4).result).toBe(0)
      expect(door.lookup(BPF_MAP_LOOKUP_ELEM, fd, u32(1), new Uint8Array(8), 4)).toEqual({
        result: 0,
        value: "00000000ffffffff"
      })
      expect(door.freeze(fd).result).toBe(-errno.ENOTSUPP)
      const plain = create(door, { type: "hash" })
      expect(door.update(plain, u32(1), u32(1), 4).result).toBe(-errno.EINVAL)
      expect(described(door, loadBtf(door), 128)).toBe(-errno.EACCES)
    }))

  it.effect("a map knows its BTF, which lives as long as the map", () =>
    withDoor((door) => {
      const btf = loadBtf(door)
      const fd = door.keep(described(door, btf))
      const { fields } = door.info(fd, ["btf_id", "btf_key_type_id", "btf_value_type_id"])
      expect(fields).toEqual([expect.any(Number), 1, 3])
      const id = (fields as ReadonlyArray<number>)[0]
      const open = () =>
        door.call(bpf_cmd.BPF_BTF_GET_FD_BY_ID, { size: 4, fields: { id: { offset: 0, size: 4 } } }, { id })
      door.kernel.files.close(btf)
      const again = open()
      expect(again).toBeGreaterThan(2)
      door.kernel.files.close(again)
      door.kernel.files.close(fd)
      expect(open()).toBe(-errno.ENOENT)
    }))

  it.effect("a shorter struct of information is filled as far as it goes, and a longer one must end in zeros", () =>
    withDoor((door) => {
      const fd = create(door, { type: "bloom_filter", keySize: 0, extra: 7, maxEntries: 9 })
      const block = door.kernel.allocate(256)
      if (typeof block === "number") throw new Error("no memory")
      const ask = (length: number) => {
        const result = door.call(bpf_cmd.BPF_OBJ_GET_INFO_BY_FD, bpf_attr_info, {
          bpf_fd: fd,
          info_len: length,
          info: block
        })
        return [result, door.written(bpf_attr_info.fields.info_len)]
      }
      block.bytes.fill(0xee)
      expect(ask(20)).toEqual([0, 20])
      expect([...block.u32.subarray(0, 6)].map((word) => word.toString(16))).toEqual(
        ["1e", expect.any(String), "0", "4", "9", "eeeeeeee"]
      )
      expect(ask(256)[0]).toBe(-errno.E2BIG)
      block.bytes.fill(0)
      expect(ask(256)).toEqual([0, bpf_map_info.size])
      expect(block.view.getBigUint64(bpf_map_info.fields.map_extra.offset, true)).toBe(7n)
      door.kernel.free(block)
    }))
})
