import { describe, it } from "@effect/vitest"
import { expect } from "vitest"
import { errno } from "../../../src/abi/errno.ts"
import { bpf_cmd } from "../../../src/abi/generated/enums.ts"
import { bpf_attr_get_id, bpf_attr_prog_bind_map } from "../../../src/abi/generated/structs.ts"
import { programTypes } from "../../../src/abi/names.ts"
import { Objects } from "../../../src/simulated/internal/objects.ts"
import type { MapDoor, Shape } from "../../support/mapDoor.ts"
import { host, partsOf, withDoor } from "../../support/simulatedMaps.ts"

const create = (door: MapDoor, shape: Partial<Shape>, inner?: number): number => {
  const whole = { type: "hash", keySize: 4, valueSize: 4, maxEntries: 4, flags: 0, ...shape } as const
  return door.create(whole, { btf: -1, inner })
}

const key = (number: number): Uint8Array => Uint8Array.of(number, 0, 0, 0)

/** The ids of all maps, by one step after the other. */
const mapIds = (door: MapDoor): ReadonlyArray<number> => {
  const ids: Array<number> = []
  for (let id = 0;;) {
    if (door.call(bpf_cmd.BPF_MAP_GET_NEXT_ID, bpf_attr_get_id, { start_id: id }) < 0) return ids
    id = door.written(bpf_attr_get_id.fields.next_id)
    ids.push(id)
  }
}

const openById = (door: MapDoor, id: number): number =>
  door.call(bpf_cmd.BPF_MAP_GET_FD_BY_ID, bpf_attr_get_id, { map_id: id })

describe("how long objects of the simulated kernel live", () => {
  it.effect("a map goes with its last descriptor, and its id with it", () =>
    withDoor((door) => {
      const fd = create(door, {})
      const id = door.id(fd)
      const other = create(door, {})
      const copy = door.kernel.files.dup(fd)
      const again = openById(door, id)
      expect(mapIds(door)).toEqual([id, door.id(other)])
      for (const each of [fd, copy, again]) {
        expect(mapIds(door)).toContain(id)
        door.kernel.files.close(each)
      }
      expect(mapIds(door)).toEqual([door.id(other)])
      expect(openById(door, id)).toBe(-errno.ENOENT)
      door.kernel.files.close(other)
    }))

  it("the memory of a map goes with it", () => {
    for (
      const type of ["hash", "percpu_hash", "array", "percpu_array", "lpm_trie", "devmap", "ringbuf", "arena"] as const
    ) {
      const kernel = host()
      const mapped: Array<unknown> = []
      const { map, unmap } = kernel.memory
      kernel.memory.map = (...given) => {
        const region = map.apply(kernel.memory, given)
        mapped.push(region)
        return region
      }
      kernel.memory.unmap = (region) => {
        mapped.splice(mapped.indexOf(region), 1)
        unmap.call(kernel.memory, region)
      }
      const ring = type === "ringbuf" || type === "arena"
      const parts = partsOf(kernel, type, {
        flags: type === "arena" ? 1024 : 0,
        ...(ring ? { keySize: 0, valueSize: 0, maxEntries: 4096 } : type === "lpm_trie" ? { keySize: 8 } : {})
      })
      for (let i = 0; i < 4; i++) parts.elements?.update(new Uint8Array(8).fill(i).subarray(0, ring ? 0 : 8), key(1), 0)
      parts.ring?.reserve(8)
      if (type !== "hash" && type !== "percpu_hash" && type !== "lpm_trie" && type !== "devmap") {
        expect([type, mapped.length]).toEqual([type, 1])
      }
      parts.free?.()
      expect([type, mapped.length]).toEqual([type, 0])
    }
  })

  it.effect("a mapping keeps a map, and a map with a page that may be written cannot be frozen", () =>
    withDoor((door) => {
      const fd = create(door, { type: "array", flags: 1024 })
      const id = door.id(fd)
      const mapping = door.kernel.files.mmap(fd, 4096, 3, 0)
      if (typeof mapping === "number") throw new Error(`mmap: ${mapping}`)
      new Uint32Array(mapping.buffer)[2] = 77 // the second element, 8 bytes on
      expect(door.lookup(bpf_cmd.BPF_MAP_LOOKUP_ELEM, fd, key(1), new Uint8Array(4), 0)).toMatchObject({
        value: "4d000000"
      })
      expect(door.freeze(fd).result).toBe(-errno.EBUSY)
      door.kernel.files.close(fd)
      expect(mapIds(door)).toEqual([id])
      door.kernel.files.munmap(mapping)
      expect(mapIds(door)).toEqual([])
    }))

  it.effect("views of memory that was mapped have length 0 once it is unmapped, and the map keeps its values", () =>
    withDoor((door) => {
      const fd = create(door, { type: "array", flags: 1024 })
      const mapping = door.kernel.files.mmap(fd, 4096, 3, 0)
      if (typeof mapping === "number") throw new Error(`mmap: ${mapping}`)
      const view = new Uint32Array(mapping.buffer)
      view[2] = 5
      door.kernel.files.munmap(mapping)
      expect(view.length).toBe(0)
      const look = () => door.lookup(bpf_cmd.BPF_MAP_LOOKUP_ELEM, fd, key(1), new Uint8Array(4), 0)
      expect(look()).toMatchObject({ result: 0, value: "05000000" })
      expect(door.update(fd, key(1), key(6), 0).result).toBe(0)
      const again = door.kernel.files.mmap(fd, 4096, 1, 0)
      if (typeof again === "number") throw new Error(`mmap: ${again}`)
      expect(new Uint32Array(again.buffer)[2]).toBe(6)
      door.kernel.files.munmap(again)
      expect(look()).toMatchObject({ value: "06000000" })
      door.kernel.files.close(fd)
    }))

  it.effect("a frozen map is no longer written by system calls, nor mapped to be", () =>
    withDoor((door) => {
      const fd = create(door, { type: "array", flags: 1024 })
      expect(door.freeze(fd).result).toBe(0)
      expect(door.freeze(fd).result).toBe(-errno.EPERM)
      expect(door.update(fd, key(0), key(1), 0).result).toBe(-errno.EPERM)
      expect(door.kernel.files.mmap(fd, 4096, 3, 0)).toBe(-errno.EPERM)
      const mapping = door.kernel.files.mmap(fd, 4096, 1, 0)
      if (typeof mapping === "number") throw new Error(`mmap: ${mapping}`)
      door.kernel.files.munmap(mapping)
      door.kernel.files.close(fd)
    }))

  it.effect("a map in a map lives as long as it is there", () =>
    withDoor((door) => {
      for (const type of ["array_of_maps", "hash_of_maps"] as const) {
        const inner = create(door, {})
        const outer = create(door, { type }, inner)
        const id = door.id(inner)
        expect(door.update(outer, key(1), key(inner), 0).result).toBe(0)
        expect(door.update(outer, key(1), key(inner), 0).result).toBe(0)
        door.kernel.files.close(inner)
        expect(mapIds(door)).toEqual([id, door.id(outer)])
        const shown = door.lookup(bpf_cmd.BPF_MAP_LOOKUP_ELEM, outer, key(1), new Uint8Array(4), 0)
        expect(shown).toMatchObject({ value: Buffer.from(Uint32Array.of(id).buffer).toString("hex") })
        door.delete(outer, key(1))
        expect(mapIds(door)).toEqual([door.id(outer)])
        const second = create(door, {})
        door.update(outer, key(1), key(second), 0)
        door.kernel.files.close(second)
        door.kernel.files.close(outer)
        expect(mapIds(door)).toEqual([])
      }
    }))

  it.effect("an inner map must be as the template was", () =>
    withDoor((door) => {
      const inner = create(door, { type: "array" })
      const outer = create(door, { type: "array_of_maps" }, inner)
      const others = [
        create(door, { type: "array", valueSize: 8 }),
        create(door, { type: "array", maxEntries: 5 }),
        create(door, { type: "array", flags: 1024 }),
        create(door, {}),
        outer
      ]
      for (const fd of others) expect(door.update(outer, key(0), key(fd), 0).result).toBe(-errno.EINVAL)
      expect(create(door, { type: "array_of_maps" }, outer)).toBe(-errno.EINVAL)
      expect(create(door, { type: "array_of_maps" }, 900)).toBe(-errno.EBADF)
      // Where BPF_F_INNER_MAP says so, the number of entries may be any.
      const any = create(door, { type: "array", flags: 4096 })
      const loose = create(door, { type: "array_of_maps" }, any)
      const large = create(door, { type: "array", flags: 4096, maxEntries: 50 })
      expect(door.update(loose, key(0), key(large), 0).result).toBe(0)
      for (const fd of [inner, ...others, any, loose, large]) door.kernel.files.close(fd)
      expect(mapIds(door)).toEqual([])
    }))

  it.effect("a prog_array forgets its programs when no process can reach it", () =>
    withDoor((door) => {
      const program = door.program(programTypes.socket_filter)
      const array = create(door, { type: "prog_array" })
      const id = door.id(program)
      const exists = () => {
        const fd = door.call(bpf_cmd.BPF_PROG_GET_FD_BY_ID, bpf_attr_get_id, { prog_id: id })
        if (fd >= 0) door.kernel.files.close(fd)
        return fd >= 0
      }
      // The program holds the map, and the map the program.
      const bound = { prog_fd: program, map_fd: array, flags: 0 }
      expect(door.call(bpf_cmd.BPF_PROG_BIND_MAP, bpf_attr_prog_bind_map, bound)).toBe(0)
      expect(door.update(array, key(2), key(program), 0).result).toBe(0)
      door.kernel.files.close(program)
      expect(exists()).toBe(true)
      door.kernel.files.close(array)
      expect(exists()).toBe(false)
      expect(mapIds(door)).toEqual([])
    }))

  it("a prog_array takes the programs of one type: the first that it was given, or that calls through it", () => {
    const [filter, xdp] = [{ _tag: "Program", type: 1 }, { _tag: "Program", type: 6 }]
    const kernel = host(new Map([[3, filter], [4, xdp]]))
    const put = partsOf(kernel, "prog_array")
    expect([put.calls.update(key(0), key(3), 0, {}), put.calls.delete(key(0))]).toEqual([0, 0])
    expect(put.calls.update(key(0), key(4), 0, {})).toBe(-errno.EINVAL)
    expect([put.claim!(6), put.claim!(1)]).toEqual([false, true])
    const claimed = partsOf(kernel, "prog_array")
    expect(claimed.claim!(6)).toBe(true)
    expect(claimed.calls.update(key(0), key(3), 0, {})).toBe(-errno.EINVAL)
    expect(claimed.calls.update(key(0), key(4), 0, {})).toBe(0)
  })

  it.effect("/proc tells of a descriptor whether it is a map's", () =>
    withDoor((door) => {
      const fd = create(door, { type: "array", flags: 1024 })
      const told = (number: number) => {
        const text = door.kernel.files.read(`/proc/self/fdinfo/${number}`)
        return typeof text === "number" ? text : new TextDecoder().decode(text)
      }
      expect(told(fd)).toMatch(/^map_type:\t2\nkey_size:\t4\n[^]*^map_flags:\t0x400\n[^]*^frozen:\t0\n/m)
      expect(told(0)).not.toMatch(/map_type/)
      door.kernel.files.close(fd)
      expect(told(fd)).toBe(-errno.ENOENT)
    }))

  it.effect("a map that no descriptor is left for is not kept", () =>
    withDoor((door, open) => {
      const fds: Array<number> = []
      for (let fd = create(door, {}); fd >= 0; fd = create(door, {})) fds.push(fd)
      expect(fds.length).toBe(open().descriptors)
      expect(create(door, {})).toBe(-errno.EMFILE)
      expect(mapIds(door).length).toBe(fds.length)
      for (const fd of fds) door.kernel.files.close(fd)
      expect(mapIds(door)).toEqual([])
    }))

  it("perf events go from a perf_event_array with the file that put them in, unless they are to stay", () => {
    const event = { _tag: "PerfEvent" }
    for (const flags of [0, 2048]) {
      const kernel = host(new Map([[3, event]]))
      kernel.objects.retain(event)
      const { calls, closeFile, free, referent } = partsOf(kernel, "perf_event_array", { flags })
      const [file, other] = [{}, {}]
      expect(calls.update(key(0), key(3), 0, file)).toBe(0)
      expect(calls.update(key(1), key(3), 0, other)).toBe(0)
      closeFile?.(file)
      expect([referent!(key(0)), referent!(key(1))]).toEqual([flags === 0 ? undefined : event, event])
      kernel.objects.release(event)
      expect(kernel.objects.exists(event)).toBe(true)
      free!()
      expect(kernel.objects.exists(event)).toBe(false)
    }
  })

  it("what an object holds ends after it, and once", () => {
    const ended: Array<string> = []
    const object = (name: string, holds: ReadonlyArray<{ readonly _tag: string }> = []) => ({
      _tag: name,
      holds,
      end: () => ended.push(name)
    })
    const objects = new Objects()
    const map = object("map")
    const program = object("program", [map, map])
    objects.retain(map, true)
    objects.retain(program, true)
    objects.release(map, true)
    objects.release(program, true)
    objects.release(program, true)
    expect(ended).toEqual(["program", "map"])
  })
})
